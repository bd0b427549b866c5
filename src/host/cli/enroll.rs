//! `trust enroll …`.

use super::{
    HostCommand,
    arguments::{self, OutputDir},
    machine,
};
use crate::{
    error::Result,
    host::{
        fs::atomic::{self, Staging},
        keyset::Keyset,
        machine::enroll::{signed, variables},
        predict::databases::Databases,
        say::output,
        uefi::authentication::Time,
    },
};
use clap::{Parser, ValueHint};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

const VARS_HELP: &str = "Example:\n  trust enroll vars acme --vars-in OVMF_VARS_4M.fd -o acme.fd\n\n\
    Blank flash, as Debian's AAVMF_VARS.fd is for ARM, becomes a variable store.\n\
    PCR 7 will be what `trust compute-pcr7` says with the same --chain, --db and --dbx.";

const AUTH_HELP: &str = "Examples:\n  trust enroll auth acme -o keys\n  \
    trust enroll auth acme -o update --append-dbx dbxupdate.esl\n\n\
    With the firmware in setup mode, enroll db, dbx and KEK first and PK last: that ends setup mode.\n\
    PCR 7 will be what `trust compute-pcr7` says with the same --chain, --db and --dbx.\n\
    noPK.auth takes the PK away again. With --chain shim, vendor_db.esl is what shim is built with (VENDOR_DB_FILE).";

/// Put a keyset's keys into a firmware
#[derive(Parser)]
#[command(name = "enroll")]
pub enum Enroll {
    /// Put the keys into the variable store of a virtual machine and turn Secure Boot on
    #[command(after_help = VARS_HELP)]
    Vars {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        /// OVMF's variable store: a raw flash image, like OVMF_VARS_4M.fd
        #[arg(long, value_name = "FILE")]
        vars_in: PathBuf,
        /// Where the new one goes; may be the same
        #[arg(long, short, value_name = "FILE", alias = "vars-out", value_hint = ValueHint::FilePath)]
        output: PathBuf,
        #[command(flatten)]
        databases: machine::DatabaseOptions,
    },
    /// Write the keys as signed files (.auth) for real firmware, and as signature lists (.esl)
    #[command(after_help = AUTH_HELP, override_usage = "trust enroll auth [OPTIONS] --output <DIR> <KEYSET>")]
    Auth {
        /// Name of the keyset, or its directory if that holds a slash
        keyset: String,
        #[command(flatten)]
        output: OutputDir,
        #[command(flatten)]
        databases: machine::DatabaseOptions,
        /// Write an update that appends to db and nothing else: a certificate, or signature lists; may be repeated
        #[arg(long, value_name = "FILE", conflicts_with_all = ["chain", "db", "dbx"])]
        append_db: Vec<PathBuf>,
        /// Write an update that appends to dbx and nothing else, likewise
        #[arg(long, value_name = "FILE", conflicts_with_all = ["chain", "db", "dbx"])]
        append_dbx: Vec<PathBuf>,
    },
}

impl HostCommand for Enroll {
    fn run(self) -> Result<()> {
        match self {
            Self::Vars { keyset, vars_in, output, databases } => {
                let keyset = Keyset::open(&keyset)?;
                let databases = Databases::of(&keyset, databases.chain(), &databases.foreign(&keyset)?)?;
                // The time is the same each time: so is the file.
                let time = variables::signed_at(&keyset)?;
                let image = arguments::parsed(&vars_in, |image| variables::enroll(image, &databases, time))?;
                atomic::replace(&output, mode_of(&vars_in)?, &image)
            }
            Self::Auth { keyset, output, databases, append_db, append_dbx } => {
                let keyset = Keyset::open(&keyset)?;
                // Later than what `enroll vars` writes for this keyset, though it is a second old.
                let time = Time::now()?.max(variables::signed_at(&keyset)?.next()?);
                let files = if append_db.is_empty() && append_dbx.is_empty() {
                    let chain = databases.chain();
                    let databases = Databases::of(&keyset, chain, &databases.foreign(&keyset)?)?;
                    signed::take_over(&keyset, chain, &databases, time)?
                } else {
                    let [db, dbx] = [append_db, append_dbx].map(|paths| machine::entries(&paths, &keyset));
                    signed::append(&keyset, &db?, &dbx?, time)?
                };
                let staging = Staging::begin(output.path())?;
                for (name, contents) in files {
                    atomic::create(&staging.path().join(name), atomic::PUBLIC, &contents)?;
                }
                output::line(staging.finish()?.display())
            }
        }
    }
}

/// The mode of a file, so that its successor can be read by the same users.
fn mode_of(path: &Path) -> Result<u32> {
    fs::metadata(path)
        .map(|metadata| metadata.permissions().mode() & 0o666)
        .map_err(|e| atomic::cannot("read", path, &e))
}
