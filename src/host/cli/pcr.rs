//! `trust pcr …`.

use super::{HostCommand, tpm_options::TpmArguments};
use crate::{
    console,
    digest::{hex, unhex},
    error::{Error, Kind, Result},
    host::{
        fs::{atomic, data},
        say::output,
    },
    measure::bank::Bank,
    measure_log::{self, MeasureLog},
    tpm::PcrReading,
    tpm2::{Selection, bank, selection},
};
use clap::{ArgGroup, Args, Parser, ValueHint};
use serde_json::{Map, Value, json};
use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

/// What the log says of an extension that nothing else is said of.
const EVENT: &str = "trust pcr extend";

/// PCRs of this machine's TPM: what has been measured since it was started
#[derive(Parser)]
#[command(name = "pcr")]
pub enum PcrCommand {
    /// Show values of PCRs, all of one moment
    #[command(after_help = "Examples:\n  trust pcr read\n  trust pcr read sha256:0,2,3,7\n  \
        trust pcr read sha256:all+sha1:7 --json")]
    Read(PcrRead),
    /// Extend a PCR in every bank: what its value allows is closed until the machine is restarted
    #[command(after_help = EXTEND_HELP)]
    Extend(PcrExtend),
}

const EXTEND_HELP: &str = "\
Each active bank's PCR becomes the hash of its value and of a digest: that bank's hash of FILE, or what --digest gives
for it. There is no way back but a restart, except for PCR 16 and 23, which whoever may use the TPM can reset: do not
rely on those. PCR 17 to 22 belong to measured launches and are not extended from here. What was extended is recorded
in systemd's log of measurements, where there is one.

A secret that is unavailable from a certain step of the boot on until the next restart is sealed to a PCR as it is
before that step, which then extends it. PCR 8 to 15 are the operating system's:
  trust seal --pcr sha256:15 -o token.sealed token.txt
  trust unseal token.sealed           # as often as it is needed
  printf started | trust pcr extend 15 --data - --event started
  trust unseal token.sealed           # refused, until the machine is restarted

Example with digests, for a TPM with the banks sha1 and sha256:
  trust pcr extend 12 --digest sha1=$(sha1sum <f | cut -d' ' -f1) \\
    --digest sha256=$(sha256sum <f | cut -d' ' -f1)";

/// `trust pcr read`
#[derive(Args)]
pub struct PcrRead {
    /// Banks and PCRs as tpm2-tools spell them: sha256:0,2,3,7+sha1:all; by default all of the active banks
    #[arg(value_name = "SELECTION", value_parser = Selections::parse)]
    selections: Option<Selections>,
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    tpm: TpmArguments,
}

/// `trust pcr extend`
#[derive(Args)]
#[command(group = ArgGroup::new("what").required(true).args(["data", "digests"]))]
pub struct PcrExtend {
    /// Number of the PCR, 0 to 23
    #[arg(value_parser = selection::pcr_number)]
    pcr: u8,
    /// Extend it with each bank's hash of this file; - for standard input
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    data: Option<PathBuf>,
    /// Extend a bank with this digest; to be repeated for each active bank
    #[arg(long = "digest", value_name = "ALG=HEX", value_parser = parse_digest)]
    digests: Vec<(u16, Vec<u8>)>,
    /// What the log is to say of it
    #[arg(long, value_name = "TEXT", default_value = EVENT, hide_default_value = true)]
    event: String,
    /// The log of measurements
    #[arg(long, value_name = "FILE", default_value = measure_log::PLACE, value_hint = ValueHint::FilePath)]
    log: PathBuf,
    #[command(flatten)]
    tpm: TpmArguments,
}

/// What is selected, for clap.
#[derive(Clone)]
struct Selections(Vec<Selection>);

impl Selections {
    fn parse(text: &str) -> std::result::Result<Self, String> {
        Selection::parse_list(text).map(Self)
    }
}

impl HostCommand for PcrCommand {
    fn run(self) -> Result<()> {
        match self {
            Self::Read(command) => command.run(),
            Self::Extend(command) => command.run(),
        }
    }
}

impl PcrRead {
    fn run(self) -> Result<()> {
        let mut tpm = self.tpm.connect()?;
        let selections = match self.selections {
            Some(Selections(selections)) => selections,
            None => tpm.active_banks()?,
        };
        let reading = tpm.read_pcrs(&selections)?;
        if self.json { output::json(&to_json(&reading)) } else { output::lines(table(&reading)) }
    }
}

/// A line for each PCR: it, as it is selected, and its value.
fn table(reading: &PcrReading) -> Vec<String> {
    let values = || reading.values.iter().map(|(name, value)| (name.to_string(), value));
    let width = values().map(|(name, _)| name.len()).max().unwrap_or(0);
    values().map(|(name, value)| format!("{name:width$}  {}", hex(value))).collect()
}

fn to_json(reading: &PcrReading) -> Value {
    let mut banks = Map::new();
    for (pcr, value) in reading.values.iter() {
        let bank = banks.entry(bank::name(pcr.bank)).or_insert_with(|| json!({}));
        if let Value::Object(bank) = bank {
            bank.insert(pcr.number.to_string(), hex(value).into());
        }
    }
    json!({ "format": 1, "update_counter": reading.update_counter, "pcrs": banks })
}

/// `sha256=HEX`.
fn parse_digest(text: &str) -> std::result::Result<(u16, Vec<u8>), String> {
    let (name, digits) = text.split_once('=').ok_or("give the bank and the digest in hex, like sha256=4a…")?;
    let bank = bank::by_name(name).ok_or_else(|| format!("there is no bank {name:?}"))?;
    let digest = unhex(digits).filter(|digest| digest.len() == bank.size);
    let digest = digest.ok_or_else(|| format!("a digest of {name} has {} hex digits", bank.size * 2))?;
    Ok((bank.id, digest))
}

impl PcrExtend {
    fn run(self) -> Result<()> {
        let mut tpm = self.tpm.connect()?;
        let of_this = |bank: &Selection| bank.pcrs >> self.pcr & 1 == 1;
        let active: Vec<u16> = tpm.active_banks()?.iter().filter(|bank| of_this(bank)).map(|bank| bank.bank).collect();
        let digests = match &self.data {
            Some(path) => hashes(&active, path)?,
            None => given(&active, &self.digests)?,
        };
        let mut log = MeasureLog::at(self.log);
        if let Some(why) = log.hold_or_say() {
            console::warn(&format!("PCR {} is extended without a record in {why}", self.pcr));
        }
        tpm.extend_pcr(self.pcr, &digests)?;
        let names: Vec<_> = digests.iter().map(|(id, digest)| (bank::name(*id), digest)).collect();
        log.append_event(self.pcr, names.iter().map(|(name, digest)| (&**name, &***digest)), &self.event);
        Ok(())
    }
}

/// Digests that were given for exactly these banks, in their order.
fn given(active: &[u16], digests: &[(u16, Vec<u8>)]) -> Result<Vec<(u16, Vec<u8>)>> {
    let refused = |why: String| Error::new(Kind::Usage, "extend a PCR", why);
    let names = |banks: Vec<u16>| banks.into_iter().map(bank::name).collect::<Vec<_>>().join(", ");
    let is_given = |bank: &u16| digests.iter().any(|(id, _)| id == bank);
    let missing: Vec<u16> = active.iter().copied().filter(|bank| !is_given(bank)).collect();
    if !missing.is_empty() {
        let why = format!("there is no digest for {}: what is open in one bank is open", names(missing));
        return Err(refused(why).remedy("give --digest for every active bank, or --data"));
    }
    let inactive: Vec<u16> = digests.iter().map(|(id, _)| *id).filter(|id| !active.contains(id)).collect();
    if !inactive.is_empty() {
        return Err(refused(format!("the TPM has no active bank {}", names(inactive))).remedy("leave its digest out"));
    }
    if digests.len() != active.len() {
        return Err(refused("there are two digests for one bank".into()).remedy("give one --digest for each"));
    }
    Ok(digests.to_vec())
}

/// The hashes of a file for these banks.
fn hashes(active: &[u16], path: &Path) -> Result<Vec<(u16, Vec<u8>)>> {
    let known = |id: &u16| {
        Bank::by_id(*id).map(|bank| (*id, bank.begin())).ok_or_else(|| {
            let why = format!("the TPM has a bank {}, whose hash is not known here", bank::name(*id));
            Error::new(Kind::Usage, "extend a PCR", why).remedy("give --digest for every active bank")
        })
    };
    let mut contexts = active.iter().map(known).collect::<Result<Vec<_>>>()?;
    let failed = |e: io::Error| atomic::cannot("read", path, &e);
    let mut input: Box<dyn Read> =
        if path == Path::new("-") { Box::new(io::stdin()) } else { Box::new(File::open(path).map_err(failed)?) };
    let mut buffer = vec![0; data::PIECE];
    loop {
        let size = match input.read(&mut buffer) {
            Ok(0) => break,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            size => size.map_err(failed)?,
        };
        for (_, context) in &mut contexts {
            context.update(buffer.get(..size).unwrap_or_default());
        }
    }
    Ok(contexts.into_iter().map(|(id, context)| (id, context.finish().as_ref().to_vec())).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_active_bank_needs_a_digest() {
        let (sha1, sha256) = ((4, vec![1; 20]), (11, vec![2; 32]));
        let why = |active: &[u16], digests: &[(u16, Vec<u8>)]| given(active, digests).unwrap_err().to_string();
        assert!(why(&[4, 11, 12], std::slice::from_ref(&sha256)).contains("no digest for sha1, sha384"));
        assert!(why(&[11], &[sha1.clone(), sha256.clone()]).contains("no active bank sha1"));
        assert!(why(&[11], &[sha256.clone(), sha256.clone()]).contains("two digests for one bank"));
        assert_eq!(given(&[11, 4], &[sha1, sha256]).unwrap().len(), 2);
    }

    #[test]
    fn digests_are_hex_of_the_right_length() {
        assert_eq!(parse_digest(&format!("sha1={}", "0a".repeat(20))), Ok((4, vec![10; 20])));
        for text in ["sha256", "md5=00", "sha256=00", "sha1=zz", "=", "sha256=é"] {
            assert!(parse_digest(text).is_err(), "{text}");
        }
    }
}
