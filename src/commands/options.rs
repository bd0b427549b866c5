//! The options of the commands on the target: one table, from which both
//! programs parse and print their help.

use super::{Command, init::END};
use crate::{
    error::{Error, Kind, Result},
    guard::OnLockFailure,
    tpm::{Address, layout::SRK_HANDLE},
};
use std::{ffi::OsString, fmt::Write, path::PathBuf, time::Duration};

/// One option, as the help shows it.
pub struct Spec {
    /// With its dashes.
    pub name: &'static str,
    /// What its value is called; empty for a flag.
    pub value: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// The commands that take it.
    pub commands: &'static [Command],
}

const OF_THE_TPM: &[Command] = &[Command::Setup, Command::Preinit, Command::Provision, Command::Lock, Command::Raise];
const WITH_A_TPM: &[Command] =
    &[Command::Setup, Command::Preinit, Command::Provision, Command::Lock, Command::Raise, Command::Finish];
const PUBLISHING: &[Command] = &[Command::Setup, Command::Preinit];
const KEYRING: &[Command] = &[Command::Setup, Command::Preinit, Command::Finish];

/// Every option.
pub const SPECS: &[Spec] = &[
    Spec {
        name: "--tcti",
        value: "TCTI",
        help: "where the TPM is: device[:PATH] (the default: /dev/tpmrm0, else /dev/tpm0), swtpm:path=SOCKET, swtpm:host=IP,port=N or mssim:host=IP,port=N",
        commands: WITH_A_TPM,
    },
    Spec {
        name: "--wait",
        value: "SECONDS",
        help: "wait at most so long, 0 to 3600, for the TPM to appear, and three times as long for each of its answers, but at least 3 s (10)",
        commands: WITH_A_TPM,
    },
    Spec {
        name: "--wait",
        value: "SECONDS",
        help: "wait at most so long, 0 to 3600, for the volume to appear (10)",
        commands: &[Command::LuksOpen],
    },
    Spec {
        name: "--pcr7data",
        value: "DIR",
        help: "the directory that holds policy-N with the signed policies (/pcr7data)",
        commands: WITH_A_TPM,
    },
    Spec {
        name: "--srk-signature",
        value: "FILE",
        help: "where an authority vouches for the TPM's storage root key, if the keyset asks for it (/.extra/global_credentials/trust.srk.cred)",
        commands: &[Command::Setup, Command::Preinit, Command::Raise, Command::Finish],
    },
    Spec {
        name: "--srk-public",
        value: "FILE",
        help: "write the public area of the TPM's storage root key to this file, for `trust sudi certify-tpm`",
        commands: &[Command::Provision],
    },
    Spec {
        name: "--on-lock-failure",
        value: "poweroff|exit",
        help: "what to do when PCR 7 cannot be proven locked (poweroff)",
        commands: OF_THE_TPM,
    },
    Spec { name: "--verbose", value: "", help: "show every step with its time; never a secret", commands: WITH_A_TPM },
    Spec {
        name: "--event-log",
        value: "FILE",
        help: "where the firmware's event log is, which explains a refusal (/sys/kernel/security/tpm0/binary_bios_measurements)",
        commands: PUBLISHING,
    },
    Spec {
        name: "--secrets-dir",
        value: "DIR",
        help: "where the tmpfs with certificate and key is attached (/priv/factory/secure)",
        commands: &[Command::Setup, Command::Finish],
    },
    Spec {
        name: "--manifest-ca",
        value: "FILE",
        help: "a certificate to be published beside them, if it is there (/manifestCA.pem)",
        commands: &[Command::Setup],
    },
    Spec {
        name: "--also-as",
        value: "DESCRIPTION",
        help: "the passphrase is there under this description too, beside machine:luks; may be given again",
        commands: KEYRING,
    },
    Spec {
        name: "--key-timeout",
        value: "SECONDS",
        help: "have the kernel drop the passphrase after so long (never)",
        commands: PUBLISHING,
    },
    Spec {
        name: "--root",
        value: "DIR",
        help: "first make sure that all that is mounted there stands on volumes that luks open has opened in this boot; if not, withdraw all and fail",
        commands: &[Command::Finish],
    },
    Spec { name: "--keep-files", value: "", help: "withdraw the passphrase alone", commands: &[Command::Finish] },
    Spec {
        name: "--key-to-tpm",
        value: "",
        help: "withdraw the passphrase, and put one that this TPM alone can use in the place of the private key; if that fails, withdraw all",
        commands: &[Command::Finish],
    },
    Spec {
        name: "--parent",
        value: "HANDLE",
        help: "the storage key in the TPM that holds that key (0x81000001)",
        commands: &[Command::Finish],
    },
    Spec {
        name: "--cryptsetup",
        value: "FILE",
        help: "the program that opens the volume (/usr/sbin/cryptsetup, else /sbin/cryptsetup or /usr/bin/cryptsetup)",
        commands: &[Command::LuksOpen],
    },
    Spec {
        name: END,
        value: "",
        help: "as the first process of all, at the end of the signed command line: what has been appended behind it is refused",
        commands: &[Command::Setup, Command::Init],
    },
    Spec {
        name: EXEC,
        value: "PROGRAM ARG...",
        help: "become this program when all is done; as the first process of all, first mount /dev, /proc, /sys and securityfs",
        commands: &[Command::Setup],
    },
];

/// Takes everything after it.
const EXEC: &str = "--exec";

/// The options of one run.
pub struct Options {
    pub tcti: Address,
    pub wait: Duration,
    pub pcr7data: PathBuf,
    pub srk_signature: PathBuf,
    pub srk_public: Option<PathBuf>,
    pub on_lock_failure: OnLockFailure,
    pub verbose: bool,
    pub event_log: PathBuf,
    pub secrets_dir: PathBuf,
    pub manifest_ca: PathBuf,
    pub also_as: Vec<String>,
    pub key_timeout: Option<u32>,
    pub root: Option<PathBuf>,
    pub keep_files: bool,
    pub key_to_tpm: bool,
    pub parent: u32,
    pub cryptsetup: Option<PathBuf>,
    /// The program to become, with its arguments.
    pub exec: Vec<OsString>,
    /// What stands without dashes, or behind `--`.
    pub operands: Vec<OsString>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            tcti: Address::default(),
            wait: Duration::from_secs(10),
            pcr7data: "/pcr7data".into(),
            srk_signature: "/.extra/global_credentials/trust.srk.cred".into(),
            srk_public: None,
            on_lock_failure: OnLockFailure::default(),
            verbose: false,
            event_log: "/sys/kernel/security/tpm0/binary_bios_measurements".into(),
            secrets_dir: "/priv/factory/secure".into(),
            manifest_ca: "/manifestCA.pem".into(),
            also_as: Vec::new(),
            key_timeout: None,
            root: None,
            keep_files: false,
            key_to_tpm: false,
            parent: SRK_HANDLE,
            cryptsetup: None,
            exec: Vec::new(),
            operands: Vec::new(),
        }
    }
}

/// What argv asks for.
pub enum Request {
    /// To run the command.
    Run(Box<Options>),
    /// To show its help.
    Help,
}

/// Parses what follows the command's name.
///
/// # Errors
/// [`Kind::Usage`].
pub fn parse(command: Command, args: impl IntoIterator<Item = OsString>) -> Result<Request> {
    let usage = |why: String| Error::new(Kind::Usage, format!("run {}", command.name()), why);
    let mut options = Options::default();
    let mut parser = lexopt::Parser::from_args(args);
    while let Some(arg) = parser.next().map_err(|e| usage(e.to_string()))? {
        let name = match arg {
            lexopt::Arg::Short('h') | lexopt::Arg::Long("help") => return Ok(Request::Help),
            lexopt::Arg::Long(name) => format!("--{name}"),
            lexopt::Arg::Short(short) => return Err(usage(format!("there is no option -{short}"))),
            lexopt::Arg::Value(value) => {
                options.operands.push(value);
                continue;
            }
        };
        let spec = SPECS.iter().find(|spec| spec.name == name && spec.commands.contains(&command));
        let spec = spec.ok_or_else(|| usage(format!("it has no option {name}")))?;
        if spec.name == EXEC {
            options.exec = parser.raw_args().map_err(|e| usage(e.to_string()))?.collect();
            if options.exec.is_empty() {
                return Err(usage(format!("{EXEC} needs {}", spec.value)));
            }
            break;
        }
        let value =
            if spec.value.is_empty() { OsString::new() } else { parser.value().map_err(|e| usage(e.to_string()))? };
        set(&mut options, spec, value).ok_or_else(|| usage(format!("{name} needs {}: {}", spec.value, spec.help)))?;
    }
    let expected = command.operands().len();
    let given = options.operands.len();
    if given < expected || given > expected && !command.has_more_operands() {
        return Err(usage(match expected {
            0 => "it takes no operands".into(),
            _ => format!("it needs {}", command.operands().join(" and ")),
        }));
    }
    Ok(Request::Run(Box::new(options)))
}

/// Sets one option; `None` when the value does not fit.
fn set(options: &mut Options, spec: &Spec, value: OsString) -> Option<()> {
    let text = || value.to_str();
    match spec.name {
        "--tcti" => options.tcti = text()?.parse().ok()?,
        "--wait" => {
            let seconds: u64 = text()?.parse().ok().filter(|seconds| *seconds <= 3600)?;
            options.wait = Duration::from_secs(seconds);
        }
        "--pcr7data" => options.pcr7data = value.into(),
        "--srk-signature" => options.srk_signature = value.into(),
        "--srk-public" => options.srk_public = Some(value.into()),
        "--on-lock-failure" => {
            options.on_lock_failure = match text()? {
                "poweroff" => OnLockFailure::PowerOff,
                "exit" => OnLockFailure::Exit,
                _ => return None,
            };
        }
        "--verbose" => options.verbose = true,
        "--event-log" => options.event_log = value.into(),
        "--secrets-dir" => options.secrets_dir = value.into(),
        "--manifest-ca" => options.manifest_ca = value.into(),
        "--also-as" => options.also_as.push(text().filter(|text| !text.is_empty())?.to_owned()),
        "--root" => options.root = Some(value.into()),
        // The first process has taken it out.
        END => {}
        "--keep-files" => options.keep_files = true,
        "--key-to-tpm" => options.key_to_tpm = true,
        "--parent" => options.parent = u32::from_str_radix(text()?.strip_prefix("0x")?, 16).ok()?,
        "--cryptsetup" => options.cryptsetup = Some(value.into()),
        "--key-timeout" => options.key_timeout = Some(text()?.parse().ok().filter(|seconds| *seconds > 0)?),
        _ => return None,
    }
    Some(())
}

/// The help of a command.
#[must_use]
pub fn help(program: &str, command: Command) -> String {
    let more = if command.has_more_operands() { " [-- OPTION OF CRYPTSETUP...]" } else { "" };
    let operands = command.operands().join(" ") + more;
    let mut text =
        format!("{}\n\nUsage: {program} {} [OPTIONS] {operands}\n\nOptions:\n", command.about(), command.name());
    for spec in SPECS.iter().filter(|spec| spec.commands.contains(&command)) {
        let _ = writeln!(text, "  {} {}\n        {}", spec.name, spec.value, spec.help);
    }
    text.push_str("  --help\n        show this\n");
    text
}
