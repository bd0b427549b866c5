//! `trust uki build`.

use super::in_file;
use crate::{
    console,
    digest::hex,
    error::Result,
    host::{
        cli::machine,
        fs::atomic,
        keyset::Keyset,
        pki::{certificate, credentials::Credentials, key::PrivateKey},
        say::output,
        uki::{
            build::{Built, By, Recipe, Remark},
            ingredients::Ingredients,
            text,
        },
    },
    policy::boot_kind::BootKind,
};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};

pub const HELP: &str = "\
The initrd gets a further archive with the keyset's public files: /pcr7data, /manifestCA.pem
and, with --with-trust, /usr/bin/trust. The same input gives the same image.

PCR 4 is for a boot with Secure Boot on that goes from a boot entry of the firmware to the
image, or to shim and then to the image. PCR 11 is that at the start of the kernel;
`trust uki measure` has those after each phase.

Example:
  trust uki build acme --kind production --output acme.efi \\
    --kernel /boot/vmlinuz-6.12 --initrd initrd.img --with-trust \\
    --cmdline @cmdline --os-release root/usr/lib/os-release

Where the file cmdline has these lines:
  console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30
  noresume systemd.import_credentials=no systemd.gpt_auto=0
  rdinit=/usr/bin/trust -- init --end";

/// `trust uki build`
#[derive(Args)]
#[command(override_usage = "trust uki build <KEYSET> [OPTIONS] --kind <KIND> --kernel <FILE>\n       \
    --initrd <FILE>... --output <FILE>")]
pub struct Build {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// What the image may do, which decides who signs it
    #[arg(long)]
    kind: BootKind,
    /// The kernel, with an EFI stub
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initrd; several are put one after the other
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    initrd: Vec<PathBuf>,
    /// The kernel's command line, or a file that holds it, where lines that begin with # are comments; required, except
    /// for `limited`
    #[arg(long, value_name = "TEXT|@FILE", allow_hyphen_values = true)]
    cmdline: Option<String>,
    /// os-release(5) of the system that boots; without ID= it is linux
    #[arg(long, value_name = "FILE")]
    os_release: Option<PathBuf>,
    /// What `uname -r` will print [default: as the kernel says]
    #[arg(long, value_name = "RELEASE")]
    uname: Option<String>,
    /// systemd-stub [default: /usr/lib/systemd/boot/efi/linuxARCH.efi.stub]
    #[arg(long, value_name = "FILE")]
    stub: Option<PathBuf>,
    /// A picture to show while it starts, BMP
    #[arg(long, value_name = "FILE")]
    splash: Option<PathBuf>,
    /// Put the program into the initrd as /usr/bin/trust [default: the trust-initrd that came with this program]
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true)]
    #[allow(clippy::option_option, reason = "absent, without a value, with one")]
    with_trust: Option<Option<PathBuf>>,
    /// Sign with this private key and not with the keyset's: a file or a pkcs11: URI
    #[arg(long, value_name = "KEY", requires = "cert")]
    key: Option<String>,
    /// The certificate of --key
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// Leave signing to `trust sign efi`, elsewhere
    #[arg(long, conflicts_with_all = ["key", "cert"])]
    unsigned: bool,
    /// Whether the kernel within the image is signed by the same key, for `trust kexec` where the running kernel is locked down
    #[arg(long, value_name = "yes|no", default_value = "yes", action = clap::ArgAction::Set,
        value_parser = clap::builder::BoolishValueParser::new(), hide_possible_values = true)]
    sign_kernel: bool,
    /// Where the image goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: machine::MachineOptions,
}

impl Build {
    pub(super) fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let cmdline = self.cmdline.as_deref().map(text::command_line).transpose()?.filter(|line| !line.is_empty());
        let machine = self.machine.machine(&keyset)?;
        let recipe = Recipe {
            keyset,
            keyset_name: self.keyset,
            kind: self.kind,
            ingredients: Ingredients {
                kernel: self.kernel,
                initrds: self.initrd,
                cmdline,
                os_release: self.os_release,
                uname: self.uname,
                stub: self.stub,
                splash: self.splash,
            },
            program: self.with_trust,
            signer: signer(self.unsigned, self.key.as_deref(), self.cert.as_deref())?,
            sign_kernel: self.sign_kernel,
            shim: self.machine.shim().map(Path::to_owned),
            machine,
        };
        let Built { size, pcrs, remarks } = recipe.build(&self.output)?;
        for remark in remarks {
            match remark {
                Remark::Note(text) => console::note(&text),
                Remark::Warning(text) => console::warn(&text),
            }
        }
        let mut pcrs = pcrs.into_iter().map(|(index, value)| (index, hex(&value)));
        if self.json {
            let pcrs: Map<_, _> = pcrs.map(|(index, value)| (index.to_string(), Value::from(value))).collect();
            return output::json(&json!({ "output": self.output, "size": size, "pcr": { "sha256": pcrs } }));
        }
        pcrs.try_for_each(|(index, value)| output::line(format_args!("PCR {index}: {value}")))
    }
}

/// Who signs the image, by --unsigned, --key and --cert.
fn signer(unsigned: bool, key: Option<&str>, cert: Option<&Path>) -> Result<By> {
    match (key, cert) {
        _ if unsigned => Ok(By::Unsigned),
        (Some(key), Some(cert)) => {
            let certificate = certificate::first(&atomic::read(cert)?).map_err(|e| e.within(in_file(cert)))?;
            Ok(By::Other(Box::new(Credentials { key: PrivateKey::open(key)?, certificate })))
        }
        _ => Ok(By::Keyset),
    }
}
