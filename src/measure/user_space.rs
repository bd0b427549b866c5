//! The log of what the system has extended PCRs with since it was started, as systemd keeps it (`/run/log/systemd/tpm2-measure.log`):
//! JSON texts, each behind a record separator (RFC 7464). Pure.

use crate::{digest::unhex, foreign::printable, tpm2::bank};
use serde::Deserialize;

/// What begins each record.
const SEPARATOR: u8 = 0x1e;
/// Characters of a record that are shown.
const MAX_SHOWN: usize = 64;

/// One extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Where it begins in the log, in bytes.
    pub offset: usize,
    /// The PCR that was extended.
    pub pcr: u8,
    /// What each bank was extended with: `TPM_ALG_ID`, digest. Banks without a known name are left out.
    pub digests: Vec<(u16, Vec<u8>)>,
    /// What was measured, where it is a text: printable, without the line break that may end it.
    pub text: String,
    /// What systemd calls this kind of event; printable, and perhaps empty.
    pub kind: String,
}

impl Record {
    /// What was measured, in quotation marks, and by whom.
    #[must_use]
    pub fn name(&self) -> String {
        let text: String = self.text.chars().take(MAX_SHOWN).collect();
        format!("{text:?} of user space")
    }

    /// What it extended a bank with.
    #[must_use]
    pub fn digest(&self, bank: u16) -> Option<Vec<u8>> {
        self.digests.iter().find(|(id, _)| *id == bank).map(|(_, digest)| digest.clone())
    }
}

/// The extensions of a log, in their order, and where texts begin that are none: what is cut off, or not understood.
/// Records of NV indices that imitate PCRs are neither.
#[must_use]
pub fn read(log: &[u8]) -> (Vec<Record>, Vec<usize>) {
    let (mut records, mut faults, mut offset) = (Vec::new(), Vec::new(), 0);
    for text in log.split(|byte| *byte == SEPARATOR) {
        if !text.iter().all(u8::is_ascii_whitespace) {
            match serde_json::from_slice::<Text>(text) {
                Ok(Text { pcr: Some(pcr), digests, content }) => records.push(record(offset, pcr, digests, content)),
                Ok(_) => {}
                Err(_) => faults.push(offset),
            }
        }
        offset += text.len() + 1;
    }
    (records, faults)
}

fn record(offset: usize, pcr: u8, digests: Vec<HexDigest>, content: Content) -> Record {
    let digest = |digest: HexDigest| {
        let bank = bank::by_name(&digest.hash_alg)?;
        Some((bank.id, unhex(&digest.digest).filter(|digest| digest.len() == bank.size)?))
    };
    let shown = |text: Option<String>| printable(text.unwrap_or_default().trim_end());
    Record {
        offset,
        pcr,
        digests: digests.into_iter().filter_map(digest).collect(),
        text: shown(content.string),
        kind: shown(content.event_type),
    }
}

/// A JSON text, as far as it is needed.
#[derive(Deserialize)]
struct Text {
    #[serde(default)]
    pcr: Option<u8>,
    #[serde(default)]
    digests: Vec<HexDigest>,
    #[serde(default)]
    content: Content,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct HexDigest {
    hash_alg: String,
    digest: String,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    #[serde(default)]
    string: Option<String>,
    #[serde(default)]
    event_type: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_as_systemd_writes_them() {
        let record = |pcr: &str, digest: &str| {
            format!(
                "\x1e{{{pcr}\"digests\":[{{\"hashAlg\":\"sha256\",\"digest\":\"{digest}\"}},{{\"hashAlg\":\"md5\",\"digest\":\"00\"}}],\
                 \"content_type\":\"systemd\",\"content\":{{\"string\":\"enter-initrd\",\"bootId\":\"0\",\"timestamp\":7,\
                 \"eventType\":\"phase\"}}}}\n"
            )
        };
        let (good, short) = (record("\"pcr\":11,", &"5a".repeat(32)), record("\"pcr\":11,", "5a"));
        let log = format!("{good}{}\x1e{{\"pcr\":7\n{short}", record("\"nv_index\":7,", &"5a".repeat(32)));
        let (records, faults) = read(log.as_bytes());
        assert_eq!(records.len(), 2);
        assert_eq!((records[0].offset, records[0].pcr, records[0].kind.as_str()), (1, 11, "phase"));
        assert_eq!(records[0].digests, [(0x000b, vec![0x5a; 32])]);
        assert_eq!(records[0].name(), "\"enter-initrd\" of user space");
        assert_eq!(records[1].digests, []);
        assert_eq!(faults, [log.find("{\"pcr\":7\n").unwrap()]);
        assert_eq!(read(b""), (vec![], vec![]));
        assert_eq!(read(b"no log"), (vec![], vec![0]));
    }
}
