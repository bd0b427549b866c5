//! The firmware's boot entries (UEFI Specification 2.10, section 3.1.3).

use super::{device_path, text};
use crate::{bytes::Reader, measure::variable::VariableData};

/// `LOAD_OPTION_ACTIVE`.
const ACTIVE: u32 = 1;
/// Entries of an order that are shown.
const MAX_ENTRIES: usize = 32;

/// `BootOrder`, `Boot0001` and so on.
pub fn variable(data: &[u8]) -> Option<String> {
    let VariableData { name, contents, .. } = VariableData::parse(data)?;
    if let Some(number) = number_of(&name) {
        return Some(load_option(number, contents).unwrap_or_else(|| format!("{name}: {}", text::of_any(contents))));
    }
    if name.ends_with("Order") && contents.len() % 2 == 0 {
        let numbers = contents.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
        let numbers: Vec<_> = numbers.take(MAX_ENTRIES).map(|number| format!("{number:04x}")).collect();
        let what = if name == "BootOrder" { "boot order" } else { &name };
        return Some(format!("{what}: {}", if numbers.is_empty() { "empty".into() } else { numbers.join(", ") }));
    }
    Some(format!("{name}: {}", text::of_any(contents)))
}

/// The four hexadecimal digits of `Boot0001`.
fn number_of(name: &str) -> Option<&str> {
    name.strip_prefix("Boot")
        .filter(|number| number.len() == 4 && number.bytes().all(|digit| digit.is_ascii_hexdigit()))
}

/// `EFI_LOAD_OPTION`.
fn load_option(number: &str, contents: &[u8]) -> Option<String> {
    let mut fields = Reader::new(contents);
    let (attributes, size) = (fields.le32()?, fields.le16()?);
    let rest = fields.rest();
    let end = rest.chunks_exact(2).position(|unit| unit == [0, 0])?;
    let description = text::utf16_until_nul(rest);
    let mut fields = Reader::new(rest.get(end * 2 + 2..)?);
    let path = device_path::to_text(fields.take(usize::from(size))?);
    let off = if attributes & ACTIVE == 0 { ", not active" } else { "" };
    Some(format!("boot entry {number} {description:?}{off}: {path}"))
}
