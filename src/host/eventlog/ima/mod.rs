//! What IMA, the kernel's Integrity Measurement Architecture, has measured beside files: the state of the boot and bytes of the
//! kernel's, as command lines of kexec. Pure.
//!
//! Its list is read in its binary form (`binary_runtime_measurements`) of a little-endian machine, since a file's name can forge
//! lines of the other.

pub mod extensions;

use super::{
    replay::{self, BankHash, BootLogs},
    words::{MAX_WORDS, records, text},
};
use crate::{
    bytes::Reader,
    measure::user_space::Record,
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::{bank, constants::alg},
    x509,
};
use std::collections::BTreeSet;

/// Bytes of the digest of a record, and of a file's in the template `ima`.
const SHA1: usize = 20;
/// Characters of a record's name that are shown.
const MAX_NAME: usize = 64;
/// The first record of a kernel.
const BOOT: &str = "boot_aggregate";
/// Bytes that the kernel names: what they are.
const BUFFERS: [(&str, &str); 6] = [
    ("kexec-cmdline", "command line of a kernel that was loaded for kexec"),
    ("kernel_version", "version of the kernel"),
    ("dm_table_load", "table loaded for a device of device-mapper"),
    ("dm_device_resume", "device of device-mapper in use with its table"),
    ("dm_device_remove", "device of device-mapper removed"),
    ("dm_table_clear", "table of a device of device-mapper dropped"),
];

/// Kexecs that are looked at, the last ones.
const MAX_SUCCESSORS: usize = 16;

/// What a list says beside files.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ImaList {
    /// Those records, in their order.
    pub entries: Vec<ImaEntry>,
    /// How many are of files.
    pub files: usize,
    /// From where on it cannot be understood, in bytes.
    pub fault: Option<usize>,
}

/// One record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImaEntry {
    /// Its number, from 1 on.
    pub number: usize,
    /// The PCR that was extended: 10, unless the kernel is configured otherwise.
    pub pcr: u32,
    /// What it is called, printable.
    pub name: String,
    /// The digest: `TPM_ALG_ID`, bytes.
    digest: Option<(u16, Vec<u8>)>,
    /// The bytes that were measured, if they are not of the boot.
    buffer: Vec<u8>,
}

impl ImaList {
    /// Reads a list as far as it can be understood.
    #[must_use]
    pub fn read(list: &[u8]) -> Self {
        let (mut found, mut reader) = (Self::default(), Reader::new(list));
        for number in 1.. {
            let rest = reader.rest().len();
            if rest == 0 {
                break;
            }
            let Some(record) = Raw::read(&mut reader) else {
                found.fault = Some(list.len() - rest);
                break;
            };
            match record.entry(number) {
                Some(entry) => found.entries.push(entry),
                None => found.files += 1,
            }
        }
        found
    }
}

/// A record as it is.
struct Raw<'a> {
    pcr: u32,
    /// The SHA-1 digest of the data; zeros where a file was open for writing while it was measured.
    sha1: &'a [u8],
    template: &'a [u8],
    data: RawData<'a>,
}

/// What the digest is of.
enum RawData<'a> {
    /// Of the template `ima`: digest and name of a file.
    File(&'a [u8], &'a [u8]),
    /// Fields, each behind its length: the digest, the name, what else the template has.
    Fields(&'a [u8]),
}

/// What the data say.
struct RawFields<'a> {
    /// `TPM_ALG_ID`, and the digest of what was measured.
    digest: Option<(u16, Vec<u8>)>,
    name: &'a [u8],
    /// What was measured, if it is not a file.
    buffer: Option<&'a [u8]>,
}

impl<'a> Raw<'a> {
    fn read(list: &mut Reader<'a>) -> Option<Self> {
        let (pcr, sha1, template) = (list.le32()?, list.take(SHA1)?, sized(list)?);
        let data = match template {
            b"ima" => RawData::File(list.take(SHA1)?, sized(list)?),
            _ => RawData::Fields(sized(list)?),
        };
        Some(Self { pcr, sha1, template, data })
    }

    fn fields(&self) -> RawFields<'a> {
        match self.data {
            RawData::File(digest, name) => RawFields { digest: Some((alg::SHA1, digest.to_vec())), name, buffer: None },
            RawData::Fields(data) => {
                let mut data = Reader::new(data);
                let fields: Vec<&[u8]> = std::iter::from_fn(|| sized(&mut data)).take(3).collect();
                let is_buffer = self.template == b"ima-buf" || self.template.ends_with(b"|buf");
                let field = |number: usize| fields.get(number).copied();
                RawFields {
                    digest: field(0).and_then(digest),
                    name: field(1).unwrap_or_default(),
                    buffer: field(2).filter(|_| is_buffer),
                }
            }
        }
    }

    /// Itself, if it is not of a file.
    fn entry(&self, number: usize) -> Option<ImaEntry> {
        let RawFields { digest, name, buffer } = self.fields();
        (is_boot(name) || buffer.is_some()).then(|| ImaEntry {
            number,
            pcr: self.pcr,
            name: printable(name),
            digest,
            buffer: buffer.unwrap_or_default().to_vec(),
        })
    }
}

/// Whether this is the name of a kernel's first record.
fn is_boot(name: &[u8]) -> bool {
    name.strip_suffix(b"\0").unwrap_or(name) == BOOT.as_bytes()
}

/// The name of a record.
fn printable(name: &[u8]) -> String {
    text::bounded(&String::from_utf8_lossy(name.strip_suffix(b"\0").unwrap_or(name)), MAX_NAME)
}

fn sized<'a>(list: &mut Reader<'a>) -> Option<&'a [u8]> {
    let length = list.le32()?;
    list.take(usize::try_from(length).ok()?)
}

/// `sha256:`, a NUL, the digest.
fn digest(field: &[u8]) -> Option<(u16, Vec<u8>)> {
    let end = field.iter().position(|byte| *byte == 0)?;
    let (algorithm, digest) = (field.get(..end)?.strip_suffix(b":")?, field.get(end + 1..)?);
    let algorithm = algorithm.strip_prefix(b"ima:").unwrap_or(algorithm);
    Some((bank::by_name(str::from_utf8(algorithm).ok()?)?.id, digest.to_vec()))
}

impl ImaList {
    /// What its entries mean, in words, beside the logs of the boot.
    #[must_use]
    pub fn meanings(&self, logs: BootLogs<'_>) -> Vec<String> {
        let banks: BTreeSet<u16> = self.entries.iter().filter_map(|entry| Some(entry.digest.as_ref()?.0)).collect();
        let starts = KernelStarts::of(logs, &banks);
        self.entries.iter().map(|entry| text::bounded(&entry.meaning(&starts), MAX_WORDS)).collect()
    }
}

impl ImaEntry {
    fn meaning(&self, starts: &KernelStarts) -> String {
        match self.name.as_str() {
            BOOT => starts.meaning(self.digest.as_ref(), self.number == 1),
            name => match BUFFERS.iter().find(|(buffer, _)| *buffer == name) {
                Some((_, what)) => format!("{what}: {}", text::of_any(&self.buffer)),
                None => self.key().unwrap_or_else(|| text::of_any(&self.buffer)),
            },
        }
    }

    /// Of a keyring, whose name is that of the record: the certificate that was put there.
    fn key(&self) -> Option<String> {
        let owner = x509::common_name(&self.buffer).filter(|_| self.name.starts_with('.'))?;
        Some(format!("put into the kernel's keyring {}: the certificate of {owner}", self.name))
    }
}

/// Whether the list begins with a kernel that a kexec has started: what IMA measured before it is in the PCR alone.
#[must_use]
pub fn begins_after_kexec(logs: BootLogs<'_>) -> bool {
    let Some((bank, digest)) = logs.ima.first().and_then(|first| first.found.as_ref()) else { return false };
    let starts = KernelStarts::of(logs, &BTreeSet::from([*bank]));
    matches!(starts.find(*bank, digest), Some((Some(_), ..)))
}

/// What PCRs come to where a kernel may have found them, by the logs: once the firmware has started it, or a kexec. After that they
/// hold what was measured before, too: lock and kexec.
struct KernelStarts {
    /// The record of the kexec, bank, the hash of the PCRs.
    aggregates: Vec<(Option<usize>, u16, Vec<u8>)>,
}

impl KernelStarts {
    fn of(logs: BootLogs<'_>, banks: &BTreeSet<u16>) -> Self {
        let kexecs = successors(logs.user_space).into_iter().rev().take(MAX_SUCCESSORS);
        let starts = [(None, 0)].into_iter().chain(kexecs.map(|(number, end)| (Some(number), end)));
        let aggregates = starts.flat_map(|(number, end)| {
            let user_space = logs.user_space.get(..end).unwrap_or_default();
            let (values, locality) = (BootLogs { user_space, ima: &[], ..logs }.replay(), logs.locality());
            let of_bank = move |bank: &u16| Some((number, *bank, aggregate(&values, *bank, locality)?));
            banks.iter().filter_map(of_bank).collect::<Vec<_>>()
        });
        Self { aggregates: aggregates.collect() }
    }

    /// The start at which they come to this.
    fn find(&self, bank: u16, digest: &[u8]) -> Option<&(Option<usize>, u16, Vec<u8>)> {
        self.aggregates.iter().find(|(_, of, aggregate)| *of == bank && aggregate == digest)
    }

    /// `is_first`: the list begins with it.
    fn meaning(&self, digest: Option<&(u16, Vec<u8>)>, is_first: bool) -> String {
        let Some((bank, digest)) = digest else {
            return "PCRs as the kernel has found them, hashed in an unknown way".into();
        };
        let what = format!("PCRs 0 to {} as the kernel has found them", last(*bank));
        match self.find(*bank, digest) {
            Some((None, ..)) => format!("{what}: as the firmware has left them"),
            Some((Some(number), ..)) => {
                let what = format!("{what} after the kexec of record u{number}: with that, and the lock before it");
                // Kernels without CONFIG_IMA_KEXEC do not hand the list on, and nothing takes a PCR back.
                let missing = "; what IMA has measured before it is in the PCR, and not in this list";
                what + if is_first { missing } else { "" }
            }
            None => format!("{what}: not what the logs lead to"),
        }
    }
}

/// Linux leaves 8 and 9 out of SHA-1 alone (`ima_calc_boot_aggregate_tfm()`).
const fn last(bank: u16) -> u8 {
    if bank == alg::SHA1 { 7 } else { 9 }
}

/// Of each kexec its record, from 1 on, and how many records there are up to its last.
fn successors(records: &[Record]) -> Vec<(usize, usize)> {
    let kexecs = (0..).zip(records).filter(|(_, record)| records::signer(record).is_some());
    let end = |(at, _): (usize, &Record)| {
        let rest = records.iter().skip(at).position(|record| record.pcr == records::COMMAND_LINE);
        (at + 1, rest.map_or(records.len(), |rest| at + rest + 1))
    };
    kexecs.map(end).collect()
}

/// The hash of the first PCRs of a bank, by its own hash.
fn aggregate(values: &PcrValues, bank: u16, locality: u8) -> Option<Vec<u8>> {
    let value = |number| values.get(PcrName { bank, number }).or_else(|| replay::start(bank, number, locality));
    let values: Option<Vec<Vec<u8>>> = (0..=last(bank)).map(value).collect();
    Some(BankHash::of(bank)?.digest(&values?.concat()))
}
