//! systemd's stub: which version an image is made of, and that it takes nothing from the firmware's strings.
//!
//! Since version 254 the stub appends to the command line, signed or not, what an OEM string of the firmware's SMBIOS table
//! says, Secure Boot or not; that is measured into PCR 12, and PCR 7 stays what it was. Such strings can be set by anyone who has
//! the machine and its vendor's tools, or the settings of its virtual machine: `rdinit=/bin/sh`, and a shell has a boot
//! that the TPM gives the secrets to. No name of a string is one that nobody could write; so the stub gets another GUID to
//! look for than that of the SMBIOS table, and finds none.

use crate::{error::Result, host::image::pe::Image};

/// Names the stub that an image is made of.
const MAGIC_SECTION: &str = ".sdmagic";
const MAGIC: &str = "#### LoaderInfo: systemd-stub ";
/// No version is longer.
const MAX_MAGIC: usize = 4096;
/// The name of the string.
const STRING: &[u8] = b"io.systemd.stub.kernel-cmdline-extra";
/// The GUIDs of the SMBIOS tables, of version 3 and of older ones, as they lie in memory (UEFI, section 4.6).
const TABLES: [[u8; 16]; 2] = [
    [0x44, 0x15, 0xfd, 0xf2, 0x94, 0x97, 0x2c, 0x4a, 0x99, 0x2e, 0xe5, 0xbb, 0xcf, 0x20, 0xe3, 0x94],
    [0x31, 0x2d, 0x9d, 0xeb, 0x88, 0x2d, 0xd3, 0x11, 0x9a, 0x16, 0x00, 0x90, 0x27, 0x3f, 0xc1, 0x4d],
];
/// Their first halves are operands of instructions on x86_64; on arm64, four instructions move a quarter of that each. No
/// firmware has a table whose GUID begins like this.
const NO_TABLE: &[u8; 8] = b"not SMBI";

/// The stub that an image is made of, as it says itself: `257.13-1`, and the number it begins with.
///
/// # Errors
/// Those of reading.
pub fn version(image: &Image<'_>) -> Result<Option<(String, u16)>> {
    let Some(section) = image.section(MAGIC_SECTION) else { return Ok(None) };
    let text = section.data.first(MAX_MAGIC).read()?;
    Ok(version_in(&String::from_utf8_lossy(&text)))
}

fn version_in(text: &str) -> Option<(String, u16)> {
    let (version, _) = text.strip_prefix(MAGIC)?.split_once(" ####")?;
    let digits: String = version.trim_start_matches('v').chars().take_while(char::is_ascii_digit).collect();
    Some((version.to_owned(), digits.parse().ok()?))
}

/// Keeps the stub from the firmware's strings. Returns whether it takes no command line from them.
pub fn deafen(stub: &mut [u8]) -> bool {
    if find(stub, STRING).is_none() {
        return true;
    }
    let places = TABLES.map(|guid| {
        let half = guid.first_chunk().unwrap_or(NO_TABLE);
        operand(stub, half).or_else(|| moves(stub, half))
    });
    let [Some(new), Some(old)] = places else { return false };
    for (at, bytes) in [new, old].into_iter().flatten() {
        if let Some(place) = stub.get_mut(at..at + bytes.len()) {
            place.copy_from_slice(&bytes);
        }
    }
    true
}

/// Where something in a stub is, and what takes its place.
type Replacements = Vec<(usize, Vec<u8>)>;

/// The half of a GUID as it is. Once: what is something else must stay.
fn operand(stub: &[u8], half: &[u8; 8]) -> Option<Replacements> {
    let at = find(stub, half)?;
    let again = stub.get(at + 1..).and_then(|rest| find(rest, half));
    again.is_none().then(|| vec![(at, NO_TABLE.to_vec())])
}

/// The half of a GUID as arm64's MOVZ and MOVK put it into one register, two bytes at a time; each of them once, too.
fn moves(stub: &[u8], half: &[u8; 8]) -> Option<Replacements> {
    const REGISTER: u32 = 0x1f;
    let instructions = || stub.chunks_exact(4).filter_map(|bytes| Some(u32::from_le_bytes(*bytes.first_chunk()?)));
    let (mut replacements, mut register) = (Vec::new(), None);
    for (place, (word, other)) in (0..).zip(half.chunks_exact(2).zip(NO_TABLE.chunks_exact(2))) {
        // The first one clears the rest of the register, the others keep it.
        let operation: u32 = if place == 0 { 0xd280_0000 } else { 0xf280_0000 | place << 21 };
        let moving = |word: &[u8]| Some(operation | u32::from(u16::from_le_bytes(*word.first_chunk()?)) << 5);
        let (wanted, other) = (moving(word)?, moving(other)?);
        let mut found = instructions().enumerate().filter(|(_, instruction)| instruction & !REGISTER == wanted);
        let ((at, instruction), None) = (found.next()?, found.next()) else { return None };
        let into = instruction & REGISTER;
        if *register.get_or_insert(into) != into {
            return None;
        }
        replacements.push((4 * at, (other | into).to_le_bytes().to_vec()));
    }
    Some(replacements)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::uki::assemble::tests::program;

    #[test]
    fn a_patched_stub_finds_no_firmware_strings() {
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

    /// MOVZ and MOVK of the half of a GUID to a register, with something in between.
    fn arm64(half: &[u8], register: u32) -> Vec<u8> {
        let instruction = |(place, word): (u32, &[u8])| {
            let operation = if place == 0 { 0xd280_0000 } else { 0xf280_0000 | place << 21 };
            let word = u32::from(u16::from_le_bytes([word[0], word[1]]));
            [(operation | word << 5 | register).to_le_bytes(), [0x1f, 0x20, 0x03, 0xd5]].concat()
        };
        (0..).zip(half.chunks(2)).flat_map(instruction).collect()
    }

    #[test]
    fn a_patched_stub_of_arm64_finds_no_firmware_strings() {
        let [new, old] = [&TABLES[0][..8], &TABLES[1][..8]];
        let good = [&arm64(new, 6), &arm64(old, 3), STRING].concat();
        let mut stub = good.clone();
        assert!(deafen(&mut stub));
        assert_eq!(stub, [&arm64(NO_TABLE, 6), &arm64(NO_TABLE, 3), STRING].concat());
        let mut two_registers = good.clone();
        two_registers[8] ^= 1;
        let twice = [&arm64(new, 6), &arm64(old, 3), &arm64(old, 4), STRING].concat();
        for unknown in [two_registers, twice, [&arm64(new, 6), STRING].concat()] {
            let mut stub = unknown.clone();
            assert!(!deafen(&mut stub) && stub == unknown);
        }
    }

    #[test]
    fn the_version_of_a_stub_is_read() {
        let found = |text: &str| {
            let image = program(&[(".sdmagic", text.as_bytes())]);
            version(&Image::parse(&image).unwrap()).unwrap()
        };
        let first = found("#### LoaderInfo: systemd-stub 257.13-1~deb13u1 ####");
        assert_eq!(first, Some(("257.13-1~deb13u1".into(), 257)));
        assert_eq!(found("#### LoaderInfo: systemd-stub v258~rc1 ####").unwrap().1, 258);
        assert_eq!(found("#### LoaderInfo: systemd-boot 257 ####"), None);
        assert_eq!(found("#### LoaderInfo: systemd-stub next ####"), None);
        assert_eq!(found("#### LoaderInfo: systemd-stub 99999999 ####"), None);
    }
}
