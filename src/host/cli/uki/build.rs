//! `trust uki build`.

use super::{in_file, open};
use crate::{
    console,
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    host::{
        cli::machine,
        fs::{
            atomic::{self, Output},
            interrupt,
        },
        image::{
            authenticode::{self, Signer},
            pe::Image,
            uki::{
                additions,
                build::{self, Ingredients},
                cmdline, inspect,
                measure::{self, Measured},
                text,
            },
        },
        keyset::{Keyset, Role},
        pki::{
            certificate,
            credentials::Credentials,
            key::{Hash, PrivateKey},
        },
        predict::{self, databases::Chain},
        say::output,
    },
    measure::bank::Bank,
    policy::boot_kind::BootKind,
};
use clap::Args;
use serde_json::{Map, Value, json};
use std::path::PathBuf;

/// Who may read an image: everybody, as all of it lies on an open partition.
const IMAGE: u32 = 0o644;

pub const HELP: &str = "\
The initrd gets a further archive with the keyset's public files: /pcr7data, /manifestCA.pem
and, with --with-trust, /usr/bin/trust. The same input gives the same image.

PCR 4 is for a boot with Secure Boot on that goes from a boot entry of the firmware to the
image, or to shim and then to the image. PCR 11 is that at the start of the kernel;
`trust uki measure` has those after each phase.

Example:
  trust uki build --keyset acme --kind production --output acme.efi \\
    --kernel /boot/vmlinuz-6.12 --initrd initrd.img --with-trust \\
    --cmdline @cmdline --os-release root/usr/lib/os-release

Where the file cmdline has these lines:
  console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30
  noresume systemd.import_credentials=no systemd.gpt_auto=0
  rdinit=/usr/bin/trust -- init --end";

/// `trust uki build`
#[derive(Args)]
pub struct Build {
    /// Name of the keyset
    #[arg(long, value_name = "NAME")]
    keyset: String,
    /// What the image may do, which decides who signs it
    #[arg(long)]
    kind: BootKind,
    /// The kernel, with an EFI stub
    #[arg(long, value_name = "FILE")]
    kernel: PathBuf,
    /// The initrd; several are put one behind the other
    #[arg(long, value_name = "FILE", required = true, num_args = 1..)]
    initrd: Vec<PathBuf>,
    /// The kernel's command line, or a file that holds it, where lines that begin with # are comments; must be there but
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
    /// A picture to show meanwhile, BMP
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
    /// Where the image goes
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    machine: machine::Options,
}

impl Build {
    pub(super) fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let cmdline = self.command_line()?;
        let signer = self.signer(&keyset)?;
        let pcr7 = self.pcr7(&keyset, signer.as_ref())?;
        let (kernel, machine) = build::open_kernel(&self.kernel)?;
        let program =
            self.with_trust.as_ref().map(|given| additions::program(given.as_deref(), machine)).transpose()?;
        let ingredients = Ingredients {
            kernel,
            initrds: self.initrd.clone(),
            additions: additions::archive(&keyset, program)?,
            cmdline,
            os_release: self.os_release.clone(),
            uname: self.uname.clone(),
            stub: self.stub.clone(),
            splash: self.splash.clone(),
        };
        interrupt::defer();
        let mut output = Output::begin(&self.output, IMAGE)?;
        let doubts = build::build(&ingredients, &mut output)?;
        let mut measured = measured(&Image::parse(output.data())?)?;
        let see = |at: usize, bytes: &[u8]| measured.iter_mut().flatten().for_each(|section| section.see(at, bytes));
        let digest = match &signer {
            Some(Credentials { key, certificate }) => {
                let signer = Signer { key, certificate, intermediates: &[] };
                authenticode::sign(&mut output, &[], signer, Hash::Sha256, see)?
            }
            None => authenticode::digest_and(&Image::parse(output.data())?, Hash::Sha256, see)?,
        };
        let pcr11 = measured.map(|sections| measure::pcr11(&sections, Bank::Sha256).value().to_vec());
        let pcrs = [(4, self.pcr4(digest)?), (7, pcr7.map(Vec::from)), (11, pcr11)];
        if let Some(pcr7) = &pcr7 {
            self.expect_policy(&ingredients.additions, pcr7)?;
        }
        if self.kind.reads_secrets() {
            doubts.iter().for_each(|doubt| console::warn(doubt));
        } else if let Some(mute) = cmdline::is_mute(ingredients.cmdline.as_deref().unwrap_or_default()) {
            console::warn(&mute);
        }
        let size = output.data().len();
        interrupt::check()?;
        output.finish()?;
        let mut pcrs = pcrs.into_iter().filter_map(|(index, value)| Some((index, hex(&value?))));
        if self.json {
            let pcrs: Map<_, _> = pcrs.map(|(index, value)| (index.to_string(), Value::from(value))).collect();
            return output::json(&json!({ "output": self.output, "size": size, "pcr": { "sha256": pcrs } }));
        }
        pcrs.try_for_each(|(index, value)| output::line(format_args!("PCR {index}: {value}")))
    }

    /// The command line. Where the image has none, the stub takes that of the boot menu, which nobody signs.
    fn command_line(&self) -> Result<Option<String>> {
        let line = self.cmdline.as_deref().map(text::command_line).transpose()?.filter(|line| !line.is_empty());
        if line.is_none() && self.kind.reads_secrets() {
            let why = "it has no command line, and that of the boot menu, which nobody signs, would take its place";
            return Err(Error::new(Kind::Usage, "build an image that may read secrets", why).remedy(
                "give one, such as --cmdline 'console=tty0 console=ttyS0 root=/dev/mapper/root ro panic=30 noresume \
                 systemd.import_credentials=no systemd.gpt_auto=0 rdinit=/usr/bin/trust -- init --end'",
            ));
        }
        Ok(line)
    }

    fn signer(&self, keyset: &Keyset) -> Result<Option<Credentials>> {
        match (&self.key, &self.cert) {
            _ if self.unsigned => Ok(None),
            (Some(key), Some(cert)) => {
                let certificate = certificate::first(&atomic::read(cert)?).map_err(|e| e.within(in_file(cert)))?;
                Ok(Some(Credentials { key: PrivateKey::open(key)?, certificate }))
            }
            _ if !keyset.has_key(Role::of_images(self.kind)) => {
                let (role, name) = (Role::of_images(self.kind).dir(), &self.keyset);
                let why = format!("keyset {name:?} has no private key {role} here");
                Err(Error::new(Kind::Usage, "sign the image", why).remedy(format!(
                    "build it with --unsigned, and sign it where the key is: trust sign efi IMAGE --key {role}/privkey.pem \
                     --cert {role}/cert.pem --output SIGNED; or have the keyset name a token: trust keyset use-key {name} \
                     {role} pkcs11:…"
                )))
            }
            _ => keyset.credentials(Role::of_images(self.kind)).map(Some),
        }
    }

    /// What the machines of the keyset measure, if it is its certificate that vouches for the image.
    fn pcr7(&self, keyset: &Keyset, signer: Option<&Credentials>) -> Result<Option<Digest>> {
        let prediction = predict::pcr7(keyset, &self.machine.machine(keyset)?)?;
        let own = keyset.certificate(Role::of_images(self.kind))?;
        if signer.is_some_and(|signer| signer.certificate != own) {
            console::warn("--cert is not the keyset's certificate: PCR 7 cannot be predicted");
            return Ok(None);
        }
        Ok(Some(prediction.values().of(self.kind)))
    }

    /// PCR 4 when an image of this digest is started.
    fn pcr4(&self, image: Vec<u8>) -> Result<Option<Vec<u8>>> {
        let mut started = Vec::new();
        if self.machine.chain() == Chain::Shim {
            let Some(shim) = self.machine.shim() else {
                console::note("without --shim PCR 4 cannot be predicted");
                return Ok(None);
            };
            let shim = open(shim)?;
            started.push(authenticode::digest(&Image::parse(&shim)?, Hash::Sha256)?);
        }
        started.push(image);
        Ok(Some(measure::pcr4(&started, Bank::Sha256).value().to_vec()))
    }

    /// Says so if trust on the machine would not know this boot.
    fn expect_policy(&self, additions: &[u8], pcr7: &Digest) -> Result<()> {
        let known = inspect::look_into(additions)?.policies;
        let expected = |policy: &inspect::Policy| policy.pcr7 == *pcr7 && policy.info.kind == self.kind;
        if !known.iter().any(expected) {
            console::warn(&format!(
                "the keyset has no policy for PCR 7 = {}: this boot will be allowed nothing; \
                 sign one with `trust keyset pcr7data {}` and build the image again",
                hex(pcr7),
                self.keyset
            ));
        }
        Ok(())
    }
}

/// What PCR 11 will be made of when the kernel starts, if the stub is systemd's.
fn measured(image: &Image<'_>) -> Result<Option<Vec<Measured>>> {
    let Some((_, version)) = measure::stub_version(image)? else {
        console::note("the stub does not say that it is systemd's: PCR 11 cannot be predicted");
        return Ok(None);
    };
    measure::sections(image, version, 0, &[Bank::Sha256]).map(Some)
}
