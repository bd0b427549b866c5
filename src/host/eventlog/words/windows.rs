//! What Windows measures (`wbcl.h`): tagged events, some of which hold others.

use super::text;
use crate::{bytes::Reader, digest::hex};

/// What holds other events.
const AGGREGATION: u32 = 0x4000_0000;
/// What an attestation key has signed: it has extended nothing.
const TRUST_POINT: u32 = 0xc001_0004;
/// Events that are shown, and how deep they may lie in each other.
const MAX_EVENTS: usize = 24;
const MAX_DEPTH: usize = 4;

/// How the value of an event is shown.
#[derive(Clone, Copy, PartialEq)]
enum Form {
    /// It holds others.
    Others,
    /// One byte or a number: off, on, or itself.
    Switch,
    /// A little-endian number.
    Number,
    /// UTF-16.
    Text,
    /// Bytes, of which only their size is of use.
    Bytes,
}

use Form::{Bytes, Number, Others, Switch, Text};

/// Events by their number.
const EVENTS: &[(u32, &str, Form)] = &[
    (0x4001_0001, "trust boundary", Others),
    (0x4001_0002, "early antimalware", Others),
    (0x4001_0003, "module", Others),
    (TRUST_POINT, "trust point", Others),
    (0x4001_0005, "key set", Others),
    (0x4001_0006, "signed key set", Others),
    (0x0002_0001, "information", Number),
    (0x0002_0002, "boot counter", Number),
    (0x0002_0003, "control handed over", Number),
    (0x0002_0004, "program returned", Bytes),
    (0x0002_0005, "BitLocker unlocked", Number),
    (0x0002_0006, "event counter", Number),
    (0x0002_0007, "counter", Number),
    (0x0002_0008, "memory overwrite cannot be cancelled", Switch),
    (0x0002_0009, "version", Number),
    (0x0002_000a, "chain of versions", Number),
    (0x0002_000b, "memory overwrite status", Number),
    (0x0002_000c, "identity key status", Number),
    (0x0004_0001, "boot debugging", Switch),
    (0x0004_0002, "boot revocation list", Bytes),
    (0x0005_0001, "kernel debugging", Switch),
    (0x0005_0002, "code integrity", Switch),
    (0x0005_0003, "test signing", Switch),
    (0x0005_0004, "data execution prevention", Number),
    (0x0005_0005, "safe mode", Switch),
    (0x0005_0006, "Windows PE", Switch),
    (0x0005_0007, "physical address extension", Number),
    (0x0005_0008, "system device", Number),
    (0x0005_0009, "system root", Text),
    (0x0005_000a, "hypervisor launch", Number),
    (0x0005_000b, "hypervisor", Text),
    (0x0005_000c, "hypervisor IOMMU policy", Number),
    (0x0005_000d, "hypervisor debugging", Switch),
    (0x0005_000e, "driver load policy", Number),
    (0x0005_000f, "code integrity policy", Bytes),
    (0x0005_0010, "hypervisor MMIO policy", Number),
    (0x0005_0011, "hypervisor MSR filter", Number),
    (0x0005_0012, "virtual secure mode", Number),
    (0x0005_0013, "revocation list", Bytes),
    (0x0005_0014, "simultaneous multithreading", Number),
    (0x0005_0020, "identity key of virtual secure mode", Bytes),
    (0x0005_0021, "flight signing", Switch),
    (0x0005_0022, "encrypted page file", Switch),
    (0x0005_0023, "identity keys of virtual secure mode", Bytes),
    (0x0005_0024, "hibernation disabled", Switch),
    (0x0005_0025, "dumps disabled", Switch),
    (0x0005_0026, "encrypted dumps", Switch),
    (0x0005_0027, "key of encrypted dumps", Bytes),
    (0x0005_0028, "credential guard", Number),
    (0x0005_0029, "Secure Boot custom policy", Bytes),
    (0x0005_0030, "protection of the hypervisor's boot against DMA", Switch),
    (0x0005_0031, "signer of the code integrity policy", Bytes),
    (0x0005_0032, "signer of the updated code integrity policy", Bytes),
    (0x0006_0001, "signed by nobody", Switch),
    (0x0006_0002, "public key of the authority", Bytes),
    (0x0007_0001, "path", Text),
    (0x0007_0002, "size", Number),
    (0x0007_0003, "hash algorithm", Number),
    (0x0007_0004, "hash", Bytes),
    (0x0007_0005, "issuer", Text),
    (0x0007_0006, "serial number", Bytes),
    (0x0007_0007, "address", Number),
    (0x0007_0008, "publisher", Text),
    (0x0007_0009, "thumbprint", Bytes),
    (0x0007_000a, "verified", Switch),
    (0x0007_000b, "module version", Number),
    (0x8008_0001, "quote", Bytes),
    (0x8008_0002, "signature of the quote", Bytes),
    (0x8008_0003, "attestation key", Text),
    (0x8008_0004, "public attestation key", Bytes),
    (0x0009_0001, "antimalware driver", Text),
    (0x0009_0002, "antimalware configuration", Bytes),
    (0x0009_0003, "antimalware policy", Bytes),
    (0x0009_0004, "antimalware measured", Bytes),
    (0x000a_0001, "virtual secure mode required", Switch),
    (0x000a_0002, "Secure Boot required", Switch),
    (0x000a_0003, "IOMMU required", Switch),
    (0x000a_0004, "MMIO protection required", Switch),
    (0x000a_0005, "MSR filter required", Switch),
    (0x000a_0006, "enforcement required", Switch),
    (0x000a_0007, "code integrity policy of the hypervisor", Bytes),
    (0x000a_0008, "boot chain of Microsoft required", Switch),
    (0x000b_0001, "signature of the key set", Bytes),
    (0x000c_0001, "state after a dynamic launch", Bytes),
    (0x000c_0002, "level of system management mode", Number),
];

/// What Windows says; `None` where it is not Windows that says it.
pub fn meaning(data: &[u8]) -> Option<String> {
    let first = Reader::new(data).le32()?;
    if !EVENTS.iter().any(|(known, ..)| *known == first) {
        return None;
    }
    let mut shown = Vec::new();
    if first == TRUST_POINT {
        shown.push("for attestation".into());
    }
    walk(data, 0, &mut shown);
    if shown.len() > MAX_EVENTS {
        shown.truncate(MAX_EVENTS);
        shown.push("…".into());
    }
    Some(format!("Windows: {}", shown.join(", ")))
}

/// Adds what events in a row say.
fn walk(data: &[u8], depth: usize, shown: &mut Vec<String>) {
    let mut fields = Reader::new(data);
    while !fields.is_empty() && shown.len() <= MAX_EVENTS {
        let (Some(number), Some(size)) = (fields.le32(), fields.le32()) else {
            return shown.push("an event cut off".into());
        };
        let left = fields.rest();
        let value = usize::try_from(size).ok().and_then(|size| fields.take(size));
        let is_cut = value.is_none();
        let value = value.unwrap_or(left);
        let known = EVENTS.iter().find(|(known, ..)| *known == number);
        match known {
            Some((_, _, Others)) if depth < MAX_DEPTH => {
                // Its size has eight bytes.
                let value = value.strip_prefix(&[0; 4]).filter(|_| number == TRUST_POINT).unwrap_or(value);
                walk(value, depth + 1, shown);
            }
            // Of a module its path and who has published it is enough.
            Some((0x0007_0002..=0x0007_0007 | 0x0007_0009, ..)) => {}
            Some((_, what, form)) => shown.push(one(what, *form, value)),
            None if number & AGGREGATION != 0 && depth < MAX_DEPTH => walk(value, depth + 1, shown),
            None => shown.push(format!("event {number:#x} of {size} bytes")),
        }
        if is_cut {
            return;
        }
    }
}

fn one(what: &str, form: Form, value: &[u8]) -> String {
    let number = || {
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(value).for_each(|(to, from)| *to = *from);
        u64::from_le_bytes(bytes)
    };
    match form {
        Switch => match number() {
            0 => format!("{what} off"),
            1 => format!("{what} on"),
            other => format!("{what} {other}"),
        },
        Number if value.len() <= 8 => format!("{what} {}", number()),
        Text => format!("{what} {:?}", text::utf16_until_nul(value)),
        Bytes if value.len() <= 8 => format!("{what} {}", hex(value)),
        Others | Number | Bytes => what.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(number: u32, value: &[u8]) -> Vec<u8> {
        [&number.to_le_bytes()[..], &u32::try_from(value.len()).unwrap().to_le_bytes(), value].concat()
    }

    #[test]
    fn nested_events_are_told() {
        let path: Vec<u8> = "\\Windows\\x.sys\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let module = event(0x4001_0003, &[event(0x7_0001, &path), event(0x7_0004, &[9; 32])].concat());
        let data =
            event(0x4001_0001, &[event(0x5_0001, &[0]), event(0x5_0002, &[1]), module, event(0xf_7777, &[1])].concat());
        let text = meaning(&data).unwrap();
        let expected =
            "Windows: kernel debugging off, code integrity on, path \"\\\\Windows\\\\x.sys\", event 0xf7777 of 1 bytes";
        assert_eq!(text, expected);
        assert_eq!(meaning(b"something else"), None);
        assert_eq!(meaning(&[]), None);
        let deep = (0..2000).fold(Vec::new(), |inner, _| event(0x4001_0001, &inner));
        assert!(meaning(&deep).is_none_or(|text| text.len() < 1000));
    }
}
