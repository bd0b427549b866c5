//! `trust project …`, `trust sudi …`.

use super::output;
use crate::{
    error::Result,
    host::{keyset::Keyset, project},
};
use clap::Subcommand;
use uuid::Uuid;

/// `trust project …`
#[derive(Subcommand)]
pub enum Projects {
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
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

/// `trust sudi …`
#[derive(Subcommand)]
pub enum Sudis {
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
        /// As a JSON array
        #[arg(long)]
        json: bool,
    },
}

impl Projects {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Add { keyset, project } => output::line(project::add(&Keyset::open(&keyset)?, &project)?.display()),
            Self::List { keyset, json } => list(&project::list(&Keyset::open(&keyset)?)?, json),
        }
    }
}

impl Sudis {
    pub(super) fn run(self) -> Result<()> {
        match self {
            Self::Add { keyset, project, serial } => {
                let serial = serial.unwrap_or_else(|| Uuid::new_v4().to_string());
                output::line(project::add_machine(&Keyset::open(&keyset)?, &project, &serial)?.display())
            }
            Self::List { keyset, project, json } => list(&project::machines(&Keyset::open(&keyset)?, &project)?, json),
        }
    }
}

fn list(names: &[String], json: bool) -> Result<()> {
    if json { output::json(&names) } else { output::lines(names) }
}
