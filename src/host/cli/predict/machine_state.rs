//! The machine that a prediction is for: its log, and its variables as they are.

use crate::{
    error::{Error, Kind, Result},
    host::{
        cli::{
            arguments,
            event_logs::FIRMWARE,
            firmware_variables::{self, EFIVARS},
        },
        eventlog::{
            read::{FirmwareLog, MAX_LOG},
            replay::BankHash,
        },
        predict::{live::LiveVariables, next_boot::MachineState},
        uefi::variable_store::VariableStore,
    },
    tpm2::constants::alg,
};
use clap::{Args, ValueHint};
use std::path::{Path, PathBuf};

/// Those that are looked at.
const NAMES: [&str; 6] = ["PK", "KEK", "db", "dbx", "MokListRT", "SbatPolicy"];

/// Which machine.
#[derive(Args)]
pub struct MachineStateOptions {
    /// The firmware's log of a boot; - for standard input [default: this machine's binary_bios_measurements, as the kernel
    /// has it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    log: Option<PathBuf>,
    /// The variables of the machine as they are now: a directory like efivarfs, or the flash of a virtual machine
    /// (OVMF_VARS) [default: this machine's; with --log, those of the log]
    #[arg(long, value_name = "DIR|FILE", value_hint = ValueHint::AnyPath)]
    efivars: Option<PathBuf>,
}

/// What was read of it.
pub struct MachineInput {
    log: Vec<u8>,
    variables: Option<LiveVariables>,
}

impl MachineStateOptions {
    /// Reads it.
    ///
    /// # Errors
    /// Those of reading a file; [`Kind::Usage`]: there are no variables that decide about Secure Boot.
    pub fn read(&self) -> Result<MachineInput> {
        let log = arguments::input(self.log.as_deref().unwrap_or(Path::new(FIRMWARE)), MAX_LOG)?;
        let variables = match (&self.efivars, &self.log) {
            (Some(path), _) => Some(read_variables(path)?),
            (None, None) if Path::new(EFIVARS).is_dir() => {
                Some(firmware_variables::of_directory(Path::new(EFIVARS), &NAMES)?).filter(LiveVariables::has_databases)
            }
            (None, _) => None,
        };
        Ok(MachineInput { log, variables })
    }
}

impl MachineInput {
    /// The log, understood.
    pub fn log(&self) -> FirmwareLog<'_> {
        FirmwareLog::read(&self.log)
    }

    /// As a prediction wants it.
    pub fn state<'a>(&'a self, log: &'a FirmwareLog<'a>) -> MachineState<'a> {
        MachineState { log, variables: self.variables.as_ref() }
    }
}

/// The bank that is told of: sha256, or the first that can be computed.
pub fn bank(log: &FirmwareLog<'_>) -> u16 {
    let banks = || log.algorithms.iter().map(|(id, _)| *id);
    let known = banks().find(|id| *id == alg::SHA256).or_else(|| banks().find(|id| BankHash::of(*id).is_some()));
    known.unwrap_or(alg::SHA256)
}

fn read_variables(path: &Path) -> Result<LiveVariables> {
    let variables = if path.is_dir() {
        firmware_variables::of_directory(path, &NAMES)?
    } else {
        arguments::parsed(path, |image| Ok(LiveVariables::of_store(&VariableStore::parse(image)?)))?
    };
    if variables.has_databases() {
        return Ok(variables);
    }
    Err(Error::new(Kind::Usage, format!("use {}", path.display()), "neither PK nor KEK, db or dbx is in it")
        .remedy("give a copy of the machine's /sys/firmware/efi/efivars, or leave --efivars out"))
}
