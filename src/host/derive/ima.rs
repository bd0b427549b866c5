//! What the kernel has measured of the files that were executed: the list of IMA (Integrity Measurement Architecture).
//!
//! It is read in its binary form: in the other one, a file whose name has a line break could forge lines. A record, whose
//! numbers have four bytes in the processor's order (ima_measurements_show() in security/integrity/ima/ima_fs.c):
//!
//! ```text
//! PCR, template digest (20 bytes), length and name of the template,
//! length of the template data, which has fields, each behind its length:
//!     the digest: "sha256:" NUL digest; in ima-ngv2 and ima-sigv2 "ima:sha256:" NUL digest, or "verity:sha256:" NUL digest
//!     the name of the file, with a NUL; and what else the template has
//! ```
//!
//! The template `ima` has no length of the data, and a SHA-1 digest without its length. Pure, but for [`open`].

use crate::{
    error::{Error, Kind, Result},
    foreign,
    measure::bank::Bank,
};
use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader, ErrorKind, Read, Take},
    path::Path,
};

/// Where securityfs is mounted.
const SECURITYFS: &str = "/sys/kernel/security";
/// The list.
const LIST: &str = "/sys/kernel/security/ima/binary_runtime_measurements";
const WHAT: &str = "prove the content of the executable by IMA";

/// Bytes of a template's name at most: that of all fields there are is shorter.
const MAX_NAME: usize = 256;
/// Bytes of a digest with its algorithm at most.
const MAX_DIGEST: usize = 128;
/// Bytes of a record's data at most: buffers that are measured may be large.
const MAX_DATA: u32 = 64 << 20;
/// Bytes of a SHA-1 digest.
const SHA1: usize = 20;
/// The name of the first record, of the PCRs and not of a file.
const BOOT: &[u8] = b"boot_aggregate";

/// Opens the list.
///
/// # Errors
/// [`Kind::System`]: the kernel has none, or only root may read it.
pub fn open() -> Result<File> {
    File::open(LIST).map_err(|why| match why.kind() {
        ErrorKind::NotFound if is_empty(Path::new(SECURITYFS)) => {
            Error::new(Kind::System, WHAT, format!("nothing is mounted at {SECURITYFS}"))
                .remedy("mount it: mount -t securityfs securityfs /sys/kernel/security")
        }
        ErrorKind::NotFound => off("the kernel has no measurement list"),
        _ => Error::system(WHAT, why),
    })
}

fn is_empty(directory: &Path) -> bool {
    fs::read_dir(directory).map_or(true, |mut entries| entries.next().is_none())
}

fn off(why: &str) -> Error {
    Error::new(Kind::System, WHAT, format!("IMA is off: {why}"))
        .remedy("start a kernel with CONFIG_IMA, and with `ima` in `lsm=` where its command line has that")
}

/// Demands that a list holds the digest of a content: that with SHA-256, or one with the algorithm that the list has.
///
/// `list` is called once or twice, and so is `digest`, once for an algorithm.
///
/// # Errors
/// [`Kind::System`]: it is not there, with what is missing; [`Kind::Corrupt`]: the list cannot be read.
pub fn vouch<R: Read>(list: impl Fn() -> Result<R>, mut digest: impl FnMut(Bank) -> Result<Vec<u8>>) -> Result<()> {
    let mut wanted = vec![(Bank::Sha256, digest(Bank::Sha256)?)];
    let mut found = ImaFindings::of(list()?, &wanted)?;
    if !found.is_listed && !found.others.is_empty() {
        wanted = found.others.iter().map(|bank| Ok((*bank, digest(*bank)?))).collect::<Result<_>>()?;
        found = ImaFindings::of(list()?, &wanted)?;
    }
    found.verdict()
}

/// What was found in a list.
#[derive(Debug, Default, PartialEq, Eq)]
struct ImaFindings {
    /// Whether it holds one of the digests.
    is_listed: bool,
    /// Whether it has any record.
    has_records: bool,
    /// Whether it has a file's.
    has_files: bool,
    /// With what files were measured, other than SHA-256.
    others: Vec<Bank>,
    /// With what else.
    unknown: Option<String>,
}

/// What a record of a file says.
#[derive(Debug, PartialEq, Eq)]
enum ImaRecord {
    /// The digest of its content.
    Content(Bank, Vec<u8>),
    /// Something of it that is not known here.
    Unknown(String),
}

impl ImaFindings {
    /// Reads a list to its end.
    fn of(list: impl Read, wanted: &[(Bank, Vec<u8>)]) -> Result<Self> {
        let failed = |why: io::Error| match why.kind() {
            ErrorKind::UnexpectedEof | ErrorKind::InvalidData => Error::new(
                Kind::Corrupt,
                WHAT,
                "IMA's list is not in the form that is known here",
            )
            .remedy(
                "start the kernel without ima_canonical_fmt, and with ima_template=ima-ng, or report it as a defect",
            ),
            _ => Error::system(WHAT, why),
        };
        let mut list = BufReader::with_capacity(64 << 10, list);
        let mut found = Self::default();
        while !list.fill_buf().map_err(failed)?.is_empty() {
            found.has_records = true;
            match record(&mut list).map_err(failed)? {
                None => {}
                Some(ImaRecord::Unknown(what)) => {
                    found.has_files = true;
                    found.unknown.get_or_insert(what);
                }
                Some(ImaRecord::Content(bank, digest)) => {
                    found.has_files = true;
                    if bank != Bank::Sha256 && !found.others.contains(&bank) {
                        found.others.push(bank);
                    }
                    found.is_listed |= wanted.iter().any(|wanted| (wanted.0, &wanted.1) == (bank, &digest));
                }
            }
        }
        Ok(found)
    }

    fn verdict(self) -> Result<()> {
        let missing = |why: String| Error::new(Kind::System, WHAT, why);
        match self.unknown {
            _ if self.is_listed => Ok(()),
            _ if !self.has_records => Err(off("its list is empty")),
            _ if !self.has_files => Err(missing(
                "IMA has measured no file: its policy has no `measure` rule for programs, and an `audit` rule does not \
                 fill the list"
                    .into(),
            )
            .remedy(
                "write `measure func=BPRM_CHECK` to /etc/ima/ima-policy, which systemd loads at boot, or start the \
                 kernel with ima_policy=tcb",
            )),
            Some(unknown) => Err(missing(format!("it is not in IMA's list, which has {unknown}, not known here"))
                .remedy("start the kernel with ima_hash=sha256 and ima_template=ima-ng")),
            None => Err(missing("IMA's list does not have it".into()).remedy(
                "see that a rule of IMA's policy, `measure func=BPRM_CHECK`, applies to it, then start the program again",
            )),
        }
    }
}

/// Reads a record; `None`: it is not of a file, or proves nothing.
fn record(list: &mut impl Read) -> io::Result<Option<ImaRecord>> {
    let _pcr = number(list)?;
    let mut template_digest = [0; SHA1];
    list.read_exact(&mut template_digest)?;
    let name = text(&sized(list, MAX_NAME)?);
    if name == "ima" {
        let mut digest = [0; SHA1];
        list.read_exact(&mut digest)?;
        let mut file = data(list)?;
        let is_boot = is_boot(&mut file)?;
        finish(file)?;
        return Ok((!is_boot && digest != [0; SHA1]).then(|| ImaRecord::Content(Bank::Sha1, digest.into())));
    }
    let mut data = data(list)?;
    let measured = match kind(&name) {
        ImaTemplate::Buffer => None,
        ImaTemplate::Unknown => {
            Some(ImaRecord::Unknown(format!("records of the template {}", foreign::printable(&name))))
        }
        ImaTemplate::File => {
            let digest = sized(&mut data, MAX_DIGEST)?;
            let mut file = self::data(&mut data)?;
            if is_boot(&mut file)? { None } else { content(&digest)? }
        }
    };
    finish(data)?;
    Ok(measured)
}

/// What a template is for.
enum ImaTemplate {
    /// A file: its first field is the digest, its second the name.
    File,
    /// Bytes of the kernel's, as a command line of kexec.
    Buffer,
    /// Something else.
    Unknown,
}

/// By its name, or its fields where it has no name of its own (`ima_template_fmt=`).
fn kind(template: &str) -> ImaTemplate {
    match template {
        "ima-ng" | "ima-sig" | "ima-ngv2" | "ima-sigv2" | "ima-modsig" | "evm-sig" => ImaTemplate::File,
        "ima-buf" => ImaTemplate::Buffer,
        fields => match fields.split('|').collect::<Vec<_>>()[..] {
            [.., "buf"] => ImaTemplate::Buffer,
            ["d-ng" | "d-ngv2", "n-ng", ..] => ImaTemplate::File,
            _ => ImaTemplate::Unknown,
        },
    }
}

/// What the first field says, with its algorithm; a digest of zeros says that the file was written meanwhile.
fn content(field: &[u8]) -> io::Result<Option<ImaRecord>> {
    let end = field.iter().position(|byte| *byte == 0).ok_or(ErrorKind::InvalidData)?;
    let (algorithm, digest) = field.split_at(end);
    let algorithm = text(algorithm.strip_suffix(b":").ok_or(ErrorKind::InvalidData)?);
    let digest = digest.get(1..).unwrap_or_default();
    let algorithm = match algorithm.split_once(':') {
        None => &*algorithm,
        Some(("ima", algorithm)) => algorithm,
        // The digest of a file's fs-verity descriptor, and not of its content.
        Some(_) => return Ok(None),
    };
    if digest.iter().all(|byte| *byte == 0) {
        return Ok(None);
    }
    Ok(Some(match Bank::ALL.into_iter().find(|bank| bank.name() == algorithm) {
        Some(bank) => ImaRecord::Content(bank, digest.into()),
        None => ImaRecord::Unknown(format!("digests with {}", foreign::printable(algorithm))),
    }))
}

/// Whether a name is that of the first record. Reads no more than that has.
fn is_boot(name: &mut Take<impl Read>) -> io::Result<bool> {
    if !(BOOT.len() as u64..=BOOT.len() as u64 + 1).contains(&name.limit()) {
        return Ok(false);
    }
    let mut bytes = Vec::new();
    name.read_to_end(&mut bytes)?;
    Ok(bytes.strip_suffix(&[0]).unwrap_or(&bytes) == BOOT)
}

fn number(list: &mut impl Read) -> io::Result<u32> {
    let mut bytes = [0; 4];
    list.read_exact(&mut bytes)?;
    Ok(u32::from_ne_bytes(bytes))
}

/// Bytes behind their length, at most so many.
fn sized(list: &mut impl Read, most: usize) -> io::Result<Vec<u8>> {
    let length = number(list)? as usize;
    if length > most {
        return Err(ErrorKind::InvalidData.into());
    }
    let mut bytes = vec![0; length];
    list.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// A part behind its length, which need not be in memory.
fn data<R: Read>(list: &mut R) -> io::Result<Take<&mut R>> {
    let length = number(list)?;
    if length > MAX_DATA {
        return Err(ErrorKind::InvalidData.into());
    }
    Ok(list.take(length.into()))
}

/// Passes over the rest of a part, all of which must be there.
fn finish(mut data: Take<impl Read>) -> io::Result<()> {
    io::copy(&mut data, &mut io::sink())?;
    if data.limit() == 0 { Ok(()) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
