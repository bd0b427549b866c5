//! What systemd's stub takes from outside of the image, and that it takes nothing from the firmware's strings.
//!
//! Since version 254 it appends to the command line, signed or not, what an OEM string of the firmware's SMBIOS table
//! says, Secure Boot or not; that is measured into PCR 12, and PCR 7 stays what it was. Such strings are for whoever has
//! the machine and its vendor's tools, or the settings of its virtual machine: `rdinit=/bin/sh`, and a shell has a boot
//! that the TPM gives the secrets to. No name of a string is one that nobody could write; so the stub gets another GUID to
//! look for than that of the SMBIOS table, and finds none.

/// The name of the string.
const STRING: &[u8] = b"io.systemd.stub.kernel-cmdline-extra";
/// The GUIDs of the SMBIOS tables, of version 3 and of older ones, as they lie in memory (UEFI, section 4.6).
const TABLES: [[u8; 16]; 2] = [
    [0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a, 0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94],
    [0x31, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d],
];
/// Their first halves are operands of instructions on x86_64. No firmware has a table whose GUID begins like this.
const NO_TABLE: &[u8; 8] = b"not SMBI";

/// Keeps the stub from the firmware's strings. Returns whether it takes no command line from them.
pub fn deafen(stub: &mut [u8]) -> bool {
    if find(stub, STRING).is_none() {
        return true;
    }
    let places = TABLES.map(|guid| {
        let half = guid.get(..NO_TABLE.len()).unwrap_or_default();
        let at = find(stub, half)?;
        // Once: what is something else must stay.
        let again = stub.get(at + 1..).and_then(|rest| find(rest, half));
        again.is_none().then_some(at)
    });
    let [Some(new), Some(old)] = places else { return false };
    for at in [new, old] {
        if let Some(half) = stub.get_mut(at..at + NO_TABLE.len()) {
            half.copy_from_slice(NO_TABLE);
        }
    }
    true
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stub_that_asks_the_firmware_finds_nothing_there() {
        let halves = [&TABLES[0][..8], &TABLES[1][..8]].map(|half| [b"code ", half, b" code"].concat());
        let with = |parts: &[&[u8]]| parts.concat();
        // Of before version 254.
        let mut old = with(&[&halves[0], &halves[1]]);
        let before = old.clone();
        assert!(deafen(&mut old) && old == before);
        let mut new = with(&[&halves[0], STRING, &halves[1]]);
        assert!(deafen(&mut new) && !halves.iter().any(|half| find(&new, half).is_some()));
        assert_eq!(new.len(), before.len() + STRING.len());
        for unknown in [&[STRING][..], &[STRING, &halves[0]], &[STRING, &halves[0], &halves[1], &halves[0]]] {
            let mut stub = with(unknown);
            assert!(!deafen(&mut stub) && stub == with(unknown));
        }
    }
}
