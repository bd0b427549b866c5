//! `trust project …`, `trust sudi …`, `trust new-uuid`.

use super::HostCommand;
use crate::{
    console,
    error::Result,
    host::{
        keyset::{
            Keyset,
            bulk::{self, Tally},
            project, show, srk,
        },
        pki::key::KeyType,
        say::output,
    },
};
use clap::{Args, Parser};
use serde_json::json;
use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
};
use uuid::Uuid;

/// Projects: the products of a keyset
#[derive(Parser)]
#[command(name = "project")]
pub enum Projects {
    /// Add a project: a product with its UUID, and the key that signs its manifests
    #[command(after_help = "Example:\n  trust project add acme router")]
    Add {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        /// Name of the new project
        project: String,
        #[command(flatten)]
        key: MachineKey,
    },
    /// List the projects
    #[command(after_help = "Examples:\n  trust project list acme\n  trust project list acme --long")]
    List {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        /// With UUID, end of the certificate and number of machines
        #[arg(long, short)]
        long: bool,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// SUDIs: the identities of a project's machines
#[derive(Parser)]
#[command(name = "sudi")]
pub enum Sudis {
    /// Add machines and print where their certificates and private keys are
    Add(AddSudis),
    /// Vouch for a machine's TPM: have sudi-ca sign the Name of its storage root key
    CertifyTpm(CertifyTpm),
    /// Have the keyset's boots, from the next image on, require the signature of `sudi certify-tpm` before anything else
    #[command(after_help = "Example:\n  trust sudi pin-tpm acme\n\n\
        Machines whose TPM has not been vouched for get no secrets from such an image. What this is good for, and what it\n\
        is not: trust-sudi-certify-tpm(1), SECURITY.md.")]
    PinTpm {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        /// Do not require it any more
        #[arg(long)]
        off: bool,
    },
    /// List the machines
    #[command(after_help = "Examples:\n  trust sudi list acme router\n  trust sudi list acme router --json")]
    List {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        /// Name of the project
        project: String,
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// What a new key is like.
#[derive(Args)]
pub struct MachineKey {
    /// Kind of the new private key [default: that of the authority]
    #[arg(long, value_name = "KIND", value_enum)]
    key_type: Option<KeyType>,
}

/// `trust sudi add`
#[derive(Args)]
#[command(
    after_help = "Examples:\n  trust sudi add acme default SN0042\n  trust sudi add acme default --count 1000\n  \
    trust sudi add acme default --from serials.txt\n\n\
    If it is ended early, each machine is whole or not there. Run again with the same list, it keeps those that\n\
    exist and makes the others; with --count, it makes that many more."
)]
pub struct AddSudis {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// Name of the project
    project: String,
    /// Serial number of the machine [default: a random UUID]
    #[arg(conflicts_with_all = ["count", "from"])]
    serial: Option<String>,
    /// Add this many new machines, with random UUIDs as serial numbers
    #[arg(long, value_name = "N", conflicts_with = "from", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: Option<u32>,
    /// Add the machines of this list, one serial number a line; - is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// The paths as a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: MachineKey,
}

/// `trust sudi certify-tpm`
#[derive(Args)]
#[command(after_help = "Example:\n  trust sudi certify-tpm acme srk.pub -o trust.srk.cred\n\n\
    On the machine, `trust provision` prints the key's Name; with `--srk-public srk.pub` it writes the public area, as this does\n\
    at any time:\n  \
    tpm2_readpublic -c 0x81000001 -o srk.pub\n\n\
    The signature is not secret. It belongs in loader/credentials/trust.srk.cred on the machine's EFI system partition, or\n\
    wherever `trust setup --srk-signature` finds it. It is of SHA-256 over one line of text, so that others can check it:\n  \
    printf 'storage root key %s\\n' \"$NAME\" | \\\n    openssl dgst -sha256 -verify sudi-ca.pub -signature trust.srk.cred\n\n\
    Make sure that this is the key of that TPM and no other: nothing else checks whose key it is.")]
pub struct CertifyTpm {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// The public area of the storage root key (TPM2B_PUBLIC), or its Name as `trust provision` prints it
    public: PathBuf,
    /// Where the signature goes
    #[arg(long, short, value_name = "FILE")]
    output: PathBuf,
    /// The Name of the key and the path as JSON
    #[arg(long)]
    json: bool,
}

/// Make a product: its UUID, and a key and certificate to sign its manifests with
#[derive(Parser)]
#[command(name = "new-uuid", after_help = "Example:\n  trust new-uuid acme")]
pub struct NewUuid {
    /// Name of the keyset whose manifest-ca signs, or its directory if that holds a slash
    keyset: String,
    /// The UUID and the path as JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    key: MachineKey,
}

impl HostCommand for Projects {
    fn run(self) -> Result<()> {
        match self {
            Self::Add { keyset, project, key } => {
                output::line(project::add(&Keyset::open(&keyset)?, &project, key.key_type)?.display())
            }
            Self::List { keyset, long: true, json } => {
                let projects = show::projects(&Keyset::open(&keyset)?)?;
                if json { output::json(&projects) } else { output::lines(super::show::table(&projects)) }
            }
            Self::List { keyset, long: false, json } => list(&project::list(&Keyset::open(&keyset)?)?, json),
        }
    }
}

impl HostCommand for Sudis {
    fn run(self) -> Result<()> {
        match self {
            Self::Add(command) => command.run(),
            Self::CertifyTpm(command) => command.run(),
            Self::PinTpm { keyset, off } => output::line(srk::pin(&Keyset::open(&keyset)?, !off)?.display()),
            Self::List { keyset, project, json } => list(&project::machines(&Keyset::open(&keyset)?, &project)?, json),
        }
    }
}

impl AddSudis {
    fn run(self) -> Result<()> {
        let keyset = Keyset::open(&self.keyset)?;
        let serials = match (&self.from, self.count) {
            (Some(from), _) => read_list(from)?,
            (None, Some(count)) => bulk::random(usize::try_from(count).unwrap_or(usize::MAX)),
            (None, None) => return self.one(&keyset),
        };
        let mut paths = Vec::new();
        let mut tally = Tally::default();
        let done = bulk::add_machines(&keyset, &self.project, &serials, self.key.key_type, &mut tally, |path| {
            if !self.json {
                return output::line(path.display());
            }
            paths.push(path.to_owned());
            Ok(())
        });
        // What was made is made, however it ended.
        let listed = if self.json { output::json(&paths) } else { Ok(()) };
        if done.is_ok() || tally != Tally::default() {
            console::note(&self.summary(&tally, serials.len()));
        }
        done.and(listed)
    }

    fn one(self, keyset: &Keyset) -> Result<()> {
        let serial = self.serial.unwrap_or_else(|| Uuid::new_v4().to_string());
        let path = project::add_machine(keyset, &self.project, &serial, self.key.key_type)?;
        if self.json { output::json(&[path]) } else { output::line(path.display()) }
    }

    /// The closing line.
    fn summary(&self, tally: &Tally, wanted: usize) -> String {
        let Tally { made, kept } = tally;
        let rest = wanted.saturating_sub(made + kept);
        let kept = if *kept > 0 { format!(", {kept} were there") } else { String::new() };
        match (rest, &self.from) {
            (0, _) => format!("made {made} of {wanted} machines{kept}"),
            (_, Some(_)) => format!("made {made} of {wanted} machines{kept}; run it again for the other {rest}"),
            (_, None) => {
                format!("made {made} of {wanted} machines; for the other {rest}, run it again with --count {rest}")
            }
        }
    }
}

/// A list of serial numbers in a file, or from standard input.
fn read_list(from: &PathBuf) -> Result<Vec<String>> {
    let list: Box<dyn Read> = if from.as_os_str() == "-" {
        Box::new(io::stdin())
    } else {
        Box::new(File::open(from).map_err(|e| crate::host::fs::atomic::cannot("read", from, &e))?)
    };
    bulk::read_list(&from.display().to_string(), list)
}

impl CertifyTpm {
    fn run(self) -> Result<()> {
        let name = srk::certify(&Keyset::open(&self.keyset)?, &self.public, &self.output)?;
        if self.json { output::json(&json!({"name": name, "path": self.output})) } else { output::line(name) }
    }
}

impl HostCommand for NewUuid {
    fn run(self) -> Result<()> {
        let (uuid, path) = project::new_product(&Keyset::open(&self.keyset)?, self.key.key_type)?;
        if self.json {
            output::json(&json!({"uuid": uuid.to_string(), "path": path}))
        } else {
            output::line(path.display())
        }
    }
}

fn list(names: &[String], json: bool) -> Result<()> {
    if json { output::json(&names) } else { output::lines(names) }
}
