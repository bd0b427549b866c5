//! Which version of the C library a program needs at least.

use anyhow::{Context, Result};
use object::{
    Endianness,
    elf::FileHeader64,
    read::elf::{FileHeader, SectionHeader},
};

/// Prefix of the versions of its symbols.
const GLIBC: &str = "GLIBC_";

/// The highest of the versions in a program's table of needed ones (`SHT_GNU_verneed`), such as 2.34.
pub fn needed(program: &[u8]) -> Result<String> {
    let header = FileHeader64::<Endianness>::parse(program)?;
    let endian = header.endian()?;
    let sections = header.sections(endian, program)?;
    let mut highest: Option<Vec<u32>> = None;
    for section in sections.iter() {
        let Some((mut files, strings)) = section.gnu_verneed(endian, program)? else { continue };
        let strings = sections.strings(endian, program, strings)?;
        while let Some((_, mut versions)) = files.next()? {
            while let Some(version) = versions.next()? {
                let name = version.name(endian, strings)?;
                let numbers = std::str::from_utf8(name)?.strip_prefix(GLIBC);
                let numbers = numbers.and_then(|text| text.split('.').map(|part| part.parse().ok()).collect());
                highest = highest.max(numbers);
            }
        }
    }
    let highest = highest.context("it is not linked to the GNU C library")?;
    Ok(highest.iter().map(u32::to_string).collect::<Vec<_>>().join("."))
}
