//! The command line of the administrator's side.

use super::{
    atomic, interrupt,
    keyset::{self, Keyset},
    profile::Owner,
    project,
    signed_policy::{self, Policies, Values},
};
use crate::{
    commands, console,
    error::{Error, Kind, Result},
    policy::{
        digest::{self, Digest},
        pcr7data,
    },
};
use clap::{Args, Parser, Subcommand};
use std::{
    ffi::OsString,
    fs::File,
    io::{ErrorKind, Read, Write},
    path::{Path, PathBuf},
    process::ExitCode,
};
use uuid::Uuid;

/// Unattended, secure boot: keysets, certificates and signed policies.
#[derive(Parser)]
#[command(name = "trust", version, max_term_width = 100, arg_required_else_help = true, after_help = on_the_target())]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a keyset: authorities, Secure Boot keys, image and policy keys, a first project
    #[command(name = "initkeyset", after_help = "Example:\n  trust initkeyset --keysetname acme --org 'Acme Ltd'")]
    InitKeyset {
        /// Name of the new keyset
        #[arg(long, value_name = "NAME", alias = "keyset-name")]
        keysetname: String,
        #[command(flatten)]
        org: Org,
    },
    /// Keysets: make, list, add signed policies
    #[command(subcommand)]
    Keyset(KeysetCommand),
    /// Projects: the products of a keyset
    #[command(subcommand)]
    Project(ProjectCommand),
    /// SUDIs: the identities of a project's machines
    #[command(subcommand)]
    Sudi(SudiCommand),
    /// Compute the policies for two PCR 7 values, unsigned
    #[command(name = "tpm-policy-gen")]
    TpmPolicyGen {
        /// PCR 7 of TPM administration boots, 32 bytes
        #[arg(long, value_name = "FILE")]
        pcr7_tpm: PathBuf,
        /// PCR 7 of production boots, 32 bytes
        #[arg(long, value_name = "FILE", alias = "pcr7-prod")]
        pcr7_production: PathBuf,
        /// Where the policy for the TPM admin password goes
        #[arg(long, value_name = "FILE", alias = "pf", default_value = "passwd_policy.out")]
        passwd_policy_file: PathBuf,
        /// Where the policy for the machine's secrets goes
        #[arg(long, value_name = "FILE", alias = "lf", default_value = "luks_policy.out")]
        luks_policy_file: PathBuf,
        /// What the TPM's policy version must be: four digits
        #[arg(long, value_name = "DIGITS", alias = "pv", default_value = "0001", value_parser = policy_version)]
        policy_version: [u8; 4],
    },
}

#[derive(Args)]
struct Org {
    /// Organization in the certificates' names; may be repeated
    #[arg(long, value_name = "ORG", aliases = ["Org", "organization"])]
    org: Vec<String>,
}

#[derive(Subcommand)]
enum KeysetCommand {
    /// Make a keyset, as `trust initkeyset` does
    Add {
        /// Name of the new keyset
        name: String,
        #[command(flatten)]
        org: Org,
    },
    /// List the keysets
    List,
    /// Sign the policies for three PCR 7 values and add them to those that the keyset has
    #[command(name = "pcr7data")]
    Pcr7Data {
        /// Name of the keyset
        name: String,
        /// PCR 7 of TPM administration boots, 32 bytes
        #[arg(long, value_name = "FILE")]
        pcr7_tpm: PathBuf,
        /// PCR 7 of production boots, 32 bytes
        #[arg(long, value_name = "FILE", alias = "pcr7-production")]
        pcr7_prod: PathBuf,
        /// PCR 7 of limited boots, 32 bytes
        #[arg(long, value_name = "FILE")]
        pcr7_limited: PathBuf,
        /// Sign this policy for the TPM admin password [default: the one for --pcr7-tpm]
        #[arg(long = "passwdPolicy", value_name = "FILE", alias = "passwd-policy")]
        passwd_policy: Option<PathBuf>,
        /// Sign this policy for the machine's secrets [default: the one for --pcr7-prod]
        #[arg(long = "luksPolicy", value_name = "FILE", alias = "luks-policy")]
        luks_policy: Option<PathBuf>,
        /// What the policy version of a TPM must be for the production policy to hold: four digits
        #[arg(long, value_name = "DIGITS", default_value = "0001", value_parser = policy_version)]
        policy_version: [u8; 4],
        /// What info.json says about the values
        #[arg(long, value_name = "TEXT", default_value = "")]
        comment: String,
    },
}

#[derive(Subcommand)]
enum ProjectCommand {
    /// Add a project
    Add {
        /// Name of the keyset
        keyset: String,
        /// Name of the new project
        project: String,
    },
    /// List the projects
    List {
        /// Name of the keyset
        keyset: String,
    },
}

#[derive(Subcommand)]
enum SudiCommand {
    /// Add a machine and print where its certificate and private key are
    #[command(after_help = "Example:\n  trust sudi add acme default SN0042")]
    Add {
        /// Name of the keyset
        keyset: String,
        /// Name of the project
        project: String,
        /// Serial number of the machine [default: a random UUID]
        serial: Option<String>,
    },
    /// List the machines
    List {
        /// Name of the keyset
        keyset: String,
        /// Name of the project
        project: String,
    },
}

/// The commands that `main` does not hand to this module.
fn on_the_target() -> String {
    let names = commands::Command::ALL.map(commands::Command::name);
    format!("On the target, each with its own --help: {}", names.join(", "))
}

/// Does what the command line says.
pub fn main(args: impl IntoIterator<Item = OsString>) -> ExitCode {
    let done = run(Cli::parse_from(args).command);
    if let Err(error) = &done {
        console::report(error);
    }
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            if let Some(signal) = interrupt::pending() {
                interrupt::end_by(signal);
            }
            ExitCode::from(error.kind().exit_status())
        }
    }
}

fn run(command: Command) -> Result<()> {
    match command {
        Command::InitKeyset { keysetname, org } | Command::Keyset(KeysetCommand::Add { name: keysetname, org }) => {
            let dir = keyset::create(&Owner { keyset: keysetname, organizations: org.org })?;
            print_line(&dir.display().to_string())
        }
        Command::Keyset(KeysetCommand::List) => print_all(&keyset::list()?),
        Command::Keyset(KeysetCommand::Pcr7Data {
            name,
            pcr7_tpm,
            pcr7_prod,
            pcr7_limited,
            passwd_policy,
            luks_policy,
            policy_version,
            comment,
        }) => {
            let keyset = Keyset::open(&name)?;
            let values = Values {
                production: read_digest(&pcr7_prod)?,
                limited: read_digest(&pcr7_limited)?,
                tpm: read_digest(&pcr7_tpm)?,
            };
            let computed = Policies::of(&values, policy_version);
            let policies = Policies {
                luks: luks_policy.as_deref().map_or(Ok(computed.luks), read_digest)?,
                passwd: passwd_policy.as_deref().map_or(Ok(computed.passwd), read_digest)?,
                version: policy_version,
            };
            signed_policy::add(&keyset, &values, &policies, &comment)
        }
        Command::Project(ProjectCommand::Add { keyset, project }) => {
            print_line(&project::add(&Keyset::open(&keyset)?, &project)?.display().to_string())
        }
        Command::Project(ProjectCommand::List { keyset }) => print_all(&project::list(&Keyset::open(&keyset)?)?),
        Command::Sudi(SudiCommand::Add { keyset, project, serial }) => {
            let serial = serial.unwrap_or_else(|| Uuid::new_v4().to_string());
            print_line(&project::add_machine(&Keyset::open(&keyset)?, &project, &serial)?.display().to_string())
        }
        Command::Sudi(SudiCommand::List { keyset, project }) => {
            print_all(&project::machines(&Keyset::open(&keyset)?, &project)?)
        }
        Command::TpmPolicyGen { pcr7_tpm, pcr7_production, passwd_policy_file, luks_policy_file, policy_version } => {
            let passwd = digest::passwd(&read_digest(&pcr7_tpm)?);
            let luks = digest::luks(&read_digest(&pcr7_production)?, &policy_version);
            atomic::replace(&passwd_policy_file, atomic::PUBLIC, &passwd)?;
            atomic::replace(&luks_policy_file, atomic::PUBLIC, &luks)
        }
    }
}

/// Four ASCII digits.
fn policy_version(text: &str) -> std::result::Result<[u8; 4], &'static str> {
    pcr7data::parse_version(text).ok_or("give four digits, like 0001")
}

/// The 32 bytes of a file, which may be a pipe.
fn read_digest(path: &Path) -> Result<Digest> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(33).read_to_end(&mut bytes));
    read.map_err(|e| atomic::cannot("read", path, &e))?;
    Digest::try_from(bytes).map_err(|bytes| {
        let size = if bytes.len() > 32 { "more".to_owned() } else { bytes.len().to_string() };
        Error::new(Kind::Usage, format!("use {}", path.display()), format!("it holds {size} and not 32 bytes"))
            .remedy("give a SHA-256 value in binary, not in hex")
    })
}

fn print_all(lines: &[String]) -> Result<()> {
    lines.iter().try_for_each(|line| print_line(line))
}

/// One line for standard output; whoever has stopped reading is not told.
fn print_line(line: &str) -> Result<()> {
    match writeln!(std::io::stdout(), "{line}") {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => {
            Err(Error::system("write to standard output", e).remedy("check where it goes"))
        }
        _ => Ok(()),
    }
}
