//! The lists of real kernels' IMA, before and after a kexec, as `trust eventlog show` tells them. What it says of
//! `boot_aggregate` is compared with the PCRs, and each list with PCR 10.

use harness::{Digest, extend, hex, sha256, unhex, vm::Report};
use serde_json::Value;

/// As the kernel found PCRs where the firmware has started it, and where a kexec has, whose record follows.
const OF_FIRMWARE: &str = "PCRs 0 to 9 as the kernel has found them: as the firmware has left them";
const OF_KEXEC: &str = "PCRs 0 to 9 as the kernel has found them after the kexec of record u";
const UNKNOWN: &str = "PCRs 0 to 9 as the kernel has found them: not what the logs lead to";
/// What is said where a list does not go on from that of the kernel before.
const ANEW: &str = "what IMA has measured before it is in the PCR, and not in this list";

/// The list in its binary form, and what is said of it in the system of this number.
struct Ima {
    /// Of each record the data, of which the digest is.
    records: Vec<Vec<u8>>,
    words: Value,
    pcr10: Digest,
}

impl Ima {
    fn of(report: &Report, number: u8) -> Self {
        let list = report.bytes(&format!("ima-{number}"));
        let mut rest = list.as_slice();
        let mut records = Vec::new();
        while !rest.is_empty() {
            // The PCR, and the digest in SHA-1.
            assert_eq!(take(&mut rest, 24)[..4], 10_u32.to_le_bytes());
            sized(&mut rest);
            records.push(sized(&mut rest).to_vec());
        }
        let words = serde_json::from_str(report.value(&format!("ima-words-{number}"))).unwrap();
        let pcr10 = unhex(report.value(&format!("pcr10-{number}"))).try_into().unwrap();
        Self { records, words, pcr10 }
    }

    fn extended(&self, pcr: Digest) -> Digest {
        self.records.iter().fold(pcr, |pcr, data| extend(&pcr, &sha256(&[data])))
    }

    /// What is said of the records of this name.
    fn meanings(&self, name: &str) -> Vec<&str> {
        let entries = self.words["ima"].as_array().unwrap().iter().filter(|entry| entry["name"] == name);
        entries.map(|entry| entry["meaning"].as_str().unwrap()).collect()
    }

    /// What holds of any list: nothing is left out, and it begins with a hash of the PCRs that the kernel has found.
    #[track_caller]
    fn is_whole(&self, report: &Report, number: u8, release: &str) {
        let names: Vec<_> = report.value(&format!("ima-names-{number}")).split(' ').collect();
        let entries = self.words["ima"].as_array().unwrap();
        assert_eq!(names.len(), self.records.len());
        assert_eq!(names.len(), entries.len() + usize::try_from(self.words["ima_files"].as_u64().unwrap()).unwrap());
        for entry in entries {
            let at = usize::try_from(entry["number"].as_u64().unwrap()).unwrap() - 1;
            assert_eq!(entry["name"], names[at], "{entry}");
        }
        let found: Value = serde_json::from_str(report.value(&format!("found-{number}"))).unwrap();
        let pcr = |pcr: usize| unhex(found["pcrs"]["sha256"][pcr.to_string()].as_str().unwrap());
        let digest = sha256(&[&(0..10).flat_map(pcr).collect::<Vec<_>>()]);
        let mut first = self.records[0].as_slice();
        assert_eq!(sized(&mut first), [b"sha256:\0", &digest[..]].concat(), "system {number}: {}", hex(&digest));
        assert_eq!(sized(&mut first), b"boot_aggregate\0");
        assert_eq!(self.meanings("kernel_version"), [format!("version of the kernel: \"{release}\"")]);
        // The firmware's db is among what the kernel trusts.
        let owner = "put into the kernel's keyring .platform: the certificate of \"";
        let keys = self.meanings(".platform");
        assert!(!keys.is_empty() && keys.iter().all(|key| key.starts_with(owner)), "{keys:?}");
        assert!(keys.iter().any(|key| key.contains("UKI Production")), "{keys:?}");
    }
}

/// In the first system: the firmware has left what its kernel found, and a successor is loaded.
#[track_caller]
pub fn is_of_boot(report: &Report, release: &str, loaded: &str) {
    let ima = Ima::of(report, 0);
    ima.is_whole(report, 0, release);
    assert_eq!(ima.meanings("boot_aggregate"), [OF_FIRMWARE]);
    let cmdline = format!("command line of a kernel that was loaded for kexec: \"{loaded}\"");
    assert_eq!(ima.meanings("kexec-cmdline"), [cmdline]);
    assert_eq!(ima.extended([0; 32]), ima.pcr10);
}

/// In a successor: what its kernel found is explained by the system's log, and by nothing else. Its list begins anew.
#[track_caller]
pub fn is_of_successor(report: &Report, number: u8, release: &str) {
    let ima = Ima::of(report, number);
    ima.is_whole(report, number, release);
    let record = report.value(&format!("record-{number}"));
    let [meaning] = ima.meanings("boot_aggregate")[..] else { panic!("{}", ima.words) };
    assert!(meaning.starts_with(&format!("{OF_KEXEC}{record}: ")) && meaning.ends_with(ANEW), "{meaning}");
    let alone: Value = serde_json::from_str(report.value(&format!("ima-alone-{number}"))).unwrap();
    assert_eq!(alone["ima"][0]["meaning"], UNKNOWN);
    assert_ne!(ima.extended([0; 32]), ima.pcr10);
    // In the first successor nothing else was measured in between.
    if number == 1 {
        assert_eq!(ima.extended(Ima::of(report, 0).pcr10), ima.pcr10);
    }
}

fn sized<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let size = u32::from_le_bytes(take(rest, 4).try_into().unwrap());
    take(rest, size.try_into().unwrap())
}

fn take<'a>(rest: &mut &'a [u8], size: usize) -> &'a [u8] {
    let (head, tail) = rest.split_at(size);
    *rest = tail;
    head
}
