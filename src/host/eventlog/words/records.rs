//! What the records of the system's log mean, as far as they are of a successor by kexec, of Trust, or systemd's separator.
//!
//! A record's text says nothing by itself: it is believed where the digests, which the TPM vouches for, are of it.

use super::{MAX_WORDS, text};
use crate::{
    digest::{hash, hex},
    host::{
        eventlog::{read::FirmwareLog, replay::BankHash},
        uefi::signature_list::{self, X509},
    },
    measure::{
        event::EventType,
        kexec,
        pcr::{LOCK_EVENT, OS_SEPARATOR},
        user_space::Record,
        variable::VariableData,
    },
    x509,
};

/// PCR of what Secure Boot decides by.
const SECURE_BOOT: u8 = 7;
/// Of what a successor is made of.
const SECTIONS: u8 = 11;
/// Of what it is told, which is measured last.
pub const COMMAND_LINE: u8 = 12;
/// What comes before the name of a section that was measured whole.
const CONTENTS: &str = "contents of ";

/// The meanings of the records, in their order; `None`: not known here. `log` is the firmware's, which may know who has signed.
#[must_use]
pub fn meanings(records: &[Record], log: &FirmwareLog<'_>) -> Vec<Option<String>> {
    // From a kexec on to the command line, which comes last, it is about the successor.
    let mut of_successor = false;
    let meaning = |record: &Record| {
        let words = match (record.pcr, signer(record)) {
            (_, Some(signer)) => {
                of_successor = true;
                format!("a successor is started by kexec: an image signed by {}", named(signer, log))
            }
            (SECURE_BOOT, None) if is_of(record, LOCK_EVENT) => "Trust locks what the boot may read".to_owned(),
            (SECTIONS, None) if of_successor => section(record)?,
            (COMMAND_LINE, None) if of_successor => {
                of_successor = false;
                format!("command line of the successor: {:?}", record.text)
            }
            _ if is_of(record, OS_SEPARATOR) => "separator: the system's own measurements begin here".to_owned(),
            _ => return None,
        };
        Some(text::bounded(&words, MAX_WORDS))
    };
    records.iter().map(meaning).collect()
}

/// Who has signed the successor that the record is of.
#[must_use]
pub fn signer(record: &Record) -> Option<&str> {
    kexec::signer(&record.text).filter(|_| record.pcr == SECURE_BOOT && is_of(record, record.text.as_bytes()))
}

fn section(record: &Record) -> Option<String> {
    match record.text.strip_prefix(CONTENTS) {
        Some(name) => Some(format!("section {name} of the successor: what it holds")),
        None if is_of(record, &[record.text.as_bytes(), b"\0"].concat()) => {
            Some(format!("section {} of the successor: its name", record.text))
        }
        None => None,
    }
}

/// Whether the digests are of these bytes, all that are known.
fn is_of(record: &Record, bytes: &[u8]) -> bool {
    let mut known = record.digests.iter().filter_map(|(bank, digest)| Some((BankHash::of(*bank)?, digest))).peekable();
    known.peek().is_some() && known.all(|(hash, digest)| hash.digest(bytes) == *digest)
}

/// The name of a certificate that the firmware has in db, or has let something through by.
fn named(fingerprint: &str, log: &FirmwareLog<'_>) -> String {
    let variables = log.events.iter().filter(|logged| {
        [EventType::EFI_VARIABLE_DRIVER_CONFIG, EventType::EFI_VARIABLE_AUTHORITY].contains(&logged.event.kind)
    });
    let name = variables.filter_map(|logged| VariableData::parse(logged.event.data)).find_map(|variable| {
        let lists = signature_list::parse(variable.contents).unwrap_or_default();
        let listed = lists.iter().filter(|list| list.kind == X509).flat_map(|list| &list.signatures);
        // One that has let something through, with its owner and without.
        let bare = [variable.contents.get(16..).unwrap_or_default(), variable.contents];
        let mut certificates = listed.map(|entry| entry.data.as_slice()).chain(bare);
        certificates.find(|der| hex(&hash(&[*der])) == fingerprint.to_ascii_lowercase()).and_then(x509::common_name)
    });
    name.map_or_else(|| format!("a certificate that the log does not have, {fingerprint}"), |name| format!("{name:?}"))
}
