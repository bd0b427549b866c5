//! Machines by the thousand: as fast as their keys can be made; an interrupted run can be continued.

use super::{profile, project};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::{self, Batch},
            interrupt,
        },
        keyset::{Keyset, Place, Role},
        pki::{
            credentials::{self, Credentials},
            facts::serial_number,
            key::{KeyType, PrivateKey},
            key_maker,
        },
        say::progress::ProgressLine,
    },
};
use std::{
    collections::HashMap,
    io::Read,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use uuid::Uuid;

/// Upper bound for a list of serial numbers, in bytes.
const MAX_LIST: u64 = 64 * 1024 * 1024;
/// Upper bound for the complaints about a list that are printed.
const MAX_COMPLAINTS: usize = 5;
/// Machines become visible together: after so much time, or so many.
const AT_ONCE: (Duration, usize) = (Duration::from_secs(1), 256);

/// The outcome of a command, also of one that failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Machines that were made.
    pub made: usize,
    /// Machines that existed already.
    pub kept: usize,
}

/// Reads a list of serial numbers, one a line; lines may end in CR LF, empty ones are skipped.
///
/// # Errors
/// [`Kind::Usage`]: names what is wrong in which lines; [`Kind::System`].
pub fn read_list(name: &str, list: impl Read) -> Result<Vec<String>> {
    let mut bytes = Vec::new();
    list.take(MAX_LIST + 1).read_to_end(&mut bytes).map_err(|e| atomic::cannot("read", Path::new(name), &e))?;
    if bytes.len() as u64 > MAX_LIST {
        return Err(Error::new(Kind::Usage, format!("use {name}"), "it is larger than 64 MiB").remedy("split it"));
    }
    parse_list(&bytes).map_err(|complaints| {
        let more = complaints.len().saturating_sub(MAX_COMPLAINTS);
        let mut why = complaints.into_iter().take(MAX_COMPLAINTS).collect::<Vec<_>>().join("; ");
        if more > 0 {
            why.push_str(&format!("; and {more} more"));
        }
        Error::new(Kind::Usage, format!("use the serial numbers in {name}"), why)
            .remedy("nothing was made: correct the list and run it again")
    })
}

/// The serial numbers in a list, or what is wrong with which lines.
fn parse_list(list: &[u8]) -> std::result::Result<Vec<String>, Vec<String>> {
    const BYTE_ORDER_MARK: &[u8] = "\u{feff}".as_bytes();
    let list = list.strip_prefix(BYTE_ORDER_MARK).unwrap_or(list);
    let mut first: HashMap<&str, usize> = HashMap::new();
    let mut serials = Vec::new();
    let mut complaints = Vec::new();
    for (line, number) in list.split(|byte| *byte == b'\n').zip(1usize..) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut complain = |why: String| complaints.push(format!("line {number}: {why}"));
        match str::from_utf8(line) {
            Err(_) => complain("it is not UTF-8".into()),
            Ok(serial) => match (project::check_serial(serial), first.insert(serial, number)) {
                (Err(e), _) => complain(e.cause()),
                (Ok(()), Some(other)) => complain(format!("{serial:?} is in line {other} already")),
                (Ok(()), None) => serials.push(serial.to_owned()),
            },
        }
    }
    if complaints.is_empty() { Ok(serials) } else { Err(complaints) }
}

/// Random serial numbers.
#[must_use]
pub fn random(count: usize) -> Vec<String> {
    (0..count).map(|_| Uuid::new_v4().to_string()).collect()
}

/// Adds machines to a project, and reports the path of each, in order, once it is visible and on the disk.
///
/// Those that exist are kept as they are. Whenever it ends, each machine is
/// whole or absent; a power cut loses only those that have not been reported.
///
/// # Errors
/// [`Kind::Usage`]: no such project, an invalid serial number, or an incomplete existing machine, before anything is made;
/// otherwise those of reading the keyset, writing and `tell`. `tally` counts what was done.
pub fn add_machines(
    keyset: &Keyset,
    project: &str,
    serials: &[String],
    kind: Option<KeyType>,
    tally: &mut Tally,
    mut tell: impl FnMut(&Path) -> Result<()>,
) -> Result<()> {
    let dir = project::open(keyset, project)?;
    let maker = Maker { product: project::product(&dir)?, sudi_ca: keyset.credentials(Role::SudiCa)? };
    let mut missing = 0;
    for serial in serials {
        project::check_serial(serial)?;
        missing += usize::from(!exists(keyset, project, serial, &maker.product)?);
    }
    let kind = kind.unwrap_or_else(|| KeyType::like(maker.sudi_ca.key.public()));
    // First: threads started later then do not receive signals.
    let mut batch = Batch::begin(dir.join(project::MACHINES))?;
    let mut keys = key_maker::stream(kind, missing);
    let mut progress = ProgressLine::new("machines", serials.len());
    let mut published = Instant::now();
    let done = serials.iter().try_for_each(|serial| {
        let path = dir.join(project::MACHINES).join(serial);
        if path.symlink_metadata().is_ok() {
            batch.keep(serial);
        } else {
            let gone =
                || Error::new(Kind::System, format!("make {}", path.display()), "another one has gone meanwhile");
            let key = keys.next().unwrap_or_else(|| Err(gone().remedy("run it again")))?;
            batch.make(serial, |dir| maker.fill(dir, serial, key))?;
        }
        progress.step();
        if published.elapsed() >= AT_ONCE.0 || batch.ready() >= AT_ONCE.1 {
            publish(&mut batch, tally, &mut tell)?;
            published = Instant::now();
        }
        interrupt::check()
    });
    // Also after Ctrl-C, or when the disk is full: complete machines are kept.
    let rest = publish(&mut batch, tally, &mut tell);
    match interrupt::pending() {
        Some(signal) if done.is_err() => Err(Error::new(Kind::System, "go on", format!("{signal} came"))
            .remedy("every machine is whole or not there: run it again for the others")),
        _ => done.and(rest),
    }
}

/// Makes complete machines visible.
fn publish(batch: &mut Batch, tally: &mut Tally, tell: &mut impl FnMut(&Path) -> Result<()>) -> Result<()> {
    batch.publish(|path, ours| {
        if ours {
            tally.made += 1
        } else {
            tally.kept += 1
        }
        tell(path)
    })
}

/// What all machines of a project have in common.
struct Maker {
    product: Uuid,
    sudi_ca: Credentials,
}

impl Maker {
    fn fill(&self, dir: &Path, serial: &str, key: PrivateKey) -> Result<()> {
        let template = profile::sudi(&self.product, serial, key.public().family())?;
        Credentials::issued(key, &template, &self.sudi_ca)?.save(dir)
    }
}

/// Whether a machine exists and is complete.
fn exists(keyset: &Keyset, project: &str, serial: &str, product: &Uuid) -> Result<bool> {
    let dir: PathBuf = Place::Machine(project.to_owned(), serial.to_owned()).path(keyset);
    if dir.symlink_metadata().is_err() {
        return Ok(false);
    }
    let broken = |why: String| {
        Error::new(Kind::Usage, format!("keep {}", dir.display()), why)
            .remedy("nothing was made: remove it to have it made again, or take it off the list")
    };
    let certificate = credentials::load_certificate(&dir).map_err(|e| broken(e.cause()))?;
    if serial_number(certificate.tbs_certificate().subject()) != format!("PID:{product} SN:{serial}") {
        return Err(broken("its certificate is for another machine or product".into()));
    }
    if !dir.join("privkey.pem").is_file() {
        return Err(broken("it has no private key".into()));
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_with_bom_and_cr_lf_are_read() {
        let list = "\u{feff}SN1\r\n\r\n  \nSN 2\nß3".as_bytes();
        assert_eq!(parse_list(list).unwrap(), ["SN1", "SN 2", "ß3"]);
        assert_eq!(parse_list(b"").unwrap(), Vec::<String>::new());
    }

    #[test]
    fn errors_are_named_with_their_line() {
        let long = "x".repeat(65);
        let list = ["a", "a/b", "a", "..", " b", "b ", "\u{7}", &long, "-rf"].join("\n");
        let complaints = parse_list(list.as_bytes()).unwrap_err();
        let lines: Vec<_> = complaints.iter().map(|text| text.split(':').next().unwrap()).collect();
        assert_eq!(lines, ["line 2", "line 3", "line 4", "line 5", "line 6", "line 7", "line 8", "line 9"]);
        assert!(complaints[1].contains("is in line 1 already"), "{complaints:?}");
        assert_eq!(parse_list(b"a\n\xff\n").unwrap_err(), ["line 2: it is not UTF-8"]);
    }
}
