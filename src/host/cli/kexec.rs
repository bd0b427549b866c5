//! `trust kexec`.

use super::{
    HostCommand, arguments,
    firmware_variables::{self, EFIVARS},
    tpm_options::TpmArguments,
};
use crate::{
    console,
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        eventlog::{replay::BankHash, values},
        fs::data::{Input, MAX_IMAGE},
        image::pe::Image,
        kexec::{
            disk,
            judge::{self, SignedBy, Trusted},
            load::{self, Demands},
            measurements::{self, KexecMeasurement},
            successor::Successor,
        },
        keyset::{Keyset, Role},
        predict::{live::LiveVariables, sbat::LEVEL_AT_RUNTIME},
        say::output,
        uefi::variable::{DB, DBX},
        uki::kernel,
    },
    measure::bank::Bank,
    measure_log::{self, MeasureLog},
    policy::{
        boot_kind::BootKind,
        pcr_values::{PcrName, PcrValues},
    },
    tpm::Tpm,
    tpm2::{Selection, bank},
};
use clap::{Parser, ValueHint};
use serde_json::json;
use std::{
    collections::BTreeSet,
    fs, mem,
    path::{Path, PathBuf},
    process::Command,
};

/// The PCRs that are extended.
const PCRS: [u8; 3] = [7, 11, 12];
/// Is there where systemd is the first process (sd_booted(3)).
const SYSTEMD: &str = "/run/systemd/system";

const HELP: &str = "\
The image is verified first: against the keyset or the certificates given, or else db of this machine's firmware; and in any case
against dbx and the SBAT level, where the firmware shows them. Then it is measured, and loaded: its kernel, its initrd and its command line, and nothing else. PCR 7 is extended with
the word kexec and the signer, PCR 11 with its sections as systemd-stub does, PCR 12 with its command line. What was locked
stays locked: the successor gets no secret from the TPM.

Nothing is loaded that was not measured. What root loads afterwards by other means is not what was measured; no policy
opens anything for these measurements that was not open before.

Examples:
  trust kexec /efi/EFI/Linux/acme.efi --dry-run
  trust kexec acme.efi --keyset acme --dry-run --pcrs pcrs.json
  trust kexec acme.efi --keyset acme
  trust kexec acme.efi --load-only && systemctl kexec";

/// Replace the running kernel by that of a signed image, which is measured first
#[derive(Parser)]
#[command(name = "kexec", after_help = HELP)]
pub struct Kexec {
    /// The image
    #[arg(value_name = "UKI", value_hint = ValueHint::FilePath)]
    image: PathBuf,
    /// It must be signed by this keyset's key for production images
    #[arg(long, value_name = "KEYSET")]
    keyset: Option<String>,
    /// Certificates, in PEM or DER, any of which may vouch for it; may be repeated
    #[arg(long, value_name = "FILE", num_args = 1, value_hint = ValueHint::FilePath, conflicts_with = "keyset")]
    cert: Vec<PathBuf>,
    /// Which of its profiles is started
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    profile: usize,
    /// Measure and load it, and leave starting it to somebody else
    #[arg(long)]
    load_only: bool,
    /// Start it at once, without having services stopped; disks are synced first
    #[arg(long, conflicts_with = "load_only")]
    now: bool,
    /// Hand over the volumes that the boot has opened for that (`trust luks open --for-kexec`), and the identity whose key is in
    /// the TPM: the successor starts with them, and without the TPM
    #[arg(long)]
    with_disk: bool,
    /// Where that identity is
    #[arg(long, value_name = "DIR", default_value = "/priv/factory/secure", value_hint = ValueHint::DirPath)]
    secrets_dir: PathBuf,
    /// Say what would be measured, and what the PCRs would be; measure nothing and load nothing
    #[arg(long, conflicts_with_all = ["load_only", "now"])]
    dry_run: bool,
    /// With --dry-run: the PCRs are as in this file, and not as in the TPM; - for standard input: JSON or text of `trust pcr
    /// read`, what tpm2_pcrread prints, or what this command says of the image before
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "dry_run")]
    pcrs: Option<PathBuf>,
    /// Where the firmware's variables are, a directory like efivarfs [default: this machine's; with --pcrs, none]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    efivars: Option<PathBuf>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    /// The log of measurements
    #[arg(long, value_name = "FILE", default_value = measure_log::PLACE, value_hint = ValueHint::FilePath)]
    measure_log: PathBuf,
    #[command(flatten)]
    tpm: TpmArguments,
}

impl HostCommand for Kexec {
    fn run(self) -> Result<()> {
        let of_image = |error: Error| error.within(format!("use {}", self.image.display()));
        let input = Input::open(&self.image, MAX_IMAGE)?;
        let image = Image::parse(&input).map_err(of_image)?;
        let (starter, trusted) = (self.starter()?, self.trusted()?);
        let signed_by = judge::judge(&image, &trusted)?;
        let mut successor = Successor::of(&image, self.profile)?;
        let of_kernel = kernel::parse(successor.kernel).map_err(of_image)?;
        if !self.dry_run {
            let Demands { signed } = load::demands()?;
            if signed {
                judge::judge_kernel(&of_kernel, &trusted)?;
            }
        }
        let handed_over =
            if self.with_disk { [disk::volumes()?, disk::identity(&self.secrets_dir)?].concat() } else { Vec::new() };
        let paths: Vec<_> = handed_over.iter().map(|(path, _)| path.clone()).collect();
        let (tpm, before) = self.before()?;
        let banks = banks(&before)?;
        let stub = (successor.stub, successor.profile);
        let measurements = measurements::of(&image, stub, &successor.cmdline, &signed_by.fingerprint, &banks)?;
        let after = after(&before, &banks, &measurements);
        if let Some(mut tpm) = tpm.filter(|_| !self.dry_run) {
            self.measure(&mut tpm, &measurements)?;
            drop(tpm);
            if let Ok(log) = fs::read(&self.measure_log) {
                successor.add_log(log)?;
            }
            for (path, mut contents) in handed_over {
                successor.hand_over(&path, mem::take(&mut contents))?;
            }
            load::load(&successor)?;
        }
        self.say(&signed_by, &successor, &measurements, &after, &paths)?;
        starter.start()
    }
}

impl Kexec {
    fn trusted(&self) -> Result<Trusted> {
        let named = match &self.keyset {
            Some(name) => Some(vec![Keyset::open(name)?.certificate_der(Role::of_images(BootKind::Production))?]),
            None if self.cert.is_empty() => None,
            None => {
                Some(self.cert.iter().map(|path| arguments::certificates(path)).collect::<Result<Vec<_>>>()?.concat())
            }
        };
        let names = [DB.name, DBX.name, LEVEL_AT_RUNTIME.name];
        let of_machine = || Path::new(EFIVARS).is_dir() && self.pcrs.is_none();
        let variables = match &self.efivars {
            Some(dir) => firmware_variables::of_directory(dir, &names)?,
            None if of_machine() => firmware_variables::of_directory(Path::new(EFIVARS), &names)?,
            None => LiveVariables::default(),
        };
        Trusted::of(named, &variables)
    }

    /// The PCRs as they are, and the TPM that says so, if one does.
    fn before(&self) -> Result<(Option<Tpm>, PcrValues)> {
        if let Some(path) = &self.pcrs {
            return Ok((None, arguments::pcr_values(path)?));
        }
        let mut tpm = self.tpm.connect()?;
        let mask = PCRS.iter().fold(0, |mask, pcr| mask | 1 << pcr);
        let of_these = |bank: Selection| Selection { pcrs: bank.pcrs & mask, ..bank };
        let selections: Vec<_> = tpm.active_banks()?.into_iter().map(of_these).collect();
        let values = tpm.read_pcrs(&selections)?.values;
        Ok((Some(tpm), values))
    }

    fn measure(&self, tpm: &mut Tpm, measurements: &[KexecMeasurement]) -> Result<()> {
        let mut log = MeasureLog::at(self.measure_log.clone());
        if let Some(why) = log.hold_or_say() {
            console::warn(&format!("the image is measured without a record in {why}"));
        }
        for KexecMeasurement { pcr, event, digests } in measurements {
            tpm.extend_pcr(*pcr, digests)?;
            let names: Vec<_> = digests.iter().map(|(id, digest)| (bank::name(*id), digest)).collect();
            log.append_event(*pcr, names.iter().map(|(name, digest)| (&**name, &***digest)), event);
        }
        Ok(())
    }

    fn say(
        &self,
        signed_by: &SignedBy,
        successor: &Successor<'_>,
        measurements: &[KexecMeasurement],
        after: &PcrValues,
        handed_over: &[String],
    ) -> Result<()> {
        let SignedBy { subject, fingerprint, image } = signed_by;
        if self.json {
            let one = |measured: &KexecMeasurement| json!({ "pcr": measured.pcr, "event": measured.event });
            return output::json(&json!({
                "format": 1,
                "image": self.image,
                "digest": hex(image),
                "signer": subject,
                "signer_fingerprint": hex(fingerprint),
                "cmdline": successor.cmdline,
                "measurements": measurements.iter().map(one).collect::<Vec<_>>(),
                "pcrs": values::to_json(after),
                "handed_over": handed_over,
                "loaded": !self.dry_run,
            }));
        }
        output::line(format_args!("{}: signed by {subject}", self.image.display()))?;
        output::lines(handed_over.iter().map(|path| format!("hands over {path}")))?;
        let width = after.iter().map(|(name, _)| name.to_string().len()).max().unwrap_or(0);
        let label = if self.dry_run { "would be" } else { "is" };
        output::lines(after.iter().map(|(name, value)| format!("{:width$}  {label} {}", name.to_string(), hex(value))))
    }
}

/// The banks in which PCRs are extended, each once.
fn banks(before: &PcrValues) -> Result<Vec<Bank>> {
    let ids: BTreeSet<u16> =
        before.iter().filter(|(name, _)| PCRS.contains(&name.number)).map(|(name, _)| name.bank).collect();
    let known = |id: u16| {
        Bank::by_id(id).ok_or_else(|| {
            let why = format!("the TPM has a bank {}, whose hash is not known here", bank::name(id));
            Error::new(Kind::Usage, "measure the image", why).remedy("switch that bank off in the firmware setup")
        })
    };
    ids.into_iter().map(known).collect()
}

/// What the PCRs will be, of those that are known.
fn after(before: &PcrValues, banks: &[Bank], measurements: &[KexecMeasurement]) -> PcrValues {
    let mut values = Vec::new();
    for (bank, number) in banks.iter().flat_map(|bank| PCRS.map(|pcr| (bank.id(), pcr))) {
        let name = PcrName { bank, number };
        let Some((value, hash)) = before.get(name).zip(BankHash::of(bank)) else { continue };
        let digests = measurements.iter().filter(|measured| measured.pcr == number);
        let digests = digests.flat_map(|measured| &measured.digests).filter(|(id, _)| *id == bank);
        let value = digests.fold(value.to_vec(), |value, (_, digest)| hash.extended(&value, digest));
        values.push((name, value));
    }
    PcrValues::new(values)
}

/// Who starts what is loaded.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Execution {
    /// Nobody yet.
    Nobody,
    /// systemd, which stops the services.
    Systemd,
    /// The kernel, at once.
    Kernel,
}

impl Kexec {
    /// Is asked before anything is measured.
    fn starter(&self) -> Result<Execution> {
        match () {
            () if self.dry_run || self.load_only => Ok(Execution::Nobody),
            () if self.now => Ok(Execution::Kernel),
            () if Path::new(SYSTEMD).is_dir() => Ok(Execution::Systemd),
            () => Err(Error::new(Kind::Usage, "start the image by kexec", "there is no systemd to stop the services")
                .remedy("stop them yourself and give --now; or load it alone: --load-only")),
        }
    }
}

impl Execution {
    fn start(self) -> Result<()> {
        match self {
            Self::Nobody => Ok(()),
            Self::Kernel => load::start(),
            Self::Systemd => match Command::new("systemctl").arg("kexec").status() {
                Ok(status) if status.success() => Ok(()),
                Ok(status) => Err(Error::new(
                    Kind::System,
                    "start what is loaded",
                    format!("`systemctl kexec` ends with {status}"),
                )
                .remedy("start it yourself: `kexec --exec`")),
                Err(why) => Err(Error::system("run systemctl", why)),
            },
        }
    }
}
