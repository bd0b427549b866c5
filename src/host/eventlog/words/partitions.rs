//! The partition table of the disk that was booted from (`UEFI_GPT_DATA`; UEFI Specification 2.10, section 5.3).

use super::text;
use crate::bytes::Reader;

/// Partitions that are named.
const MAX_NAMED: usize = 16;
/// From the start of the table's header to the GUID of the disk, and from there to its end.
const BEFORE_GUID: usize = 56;
const BEHIND_GUID: usize = 20;
/// An entry: type, GUID, first and last block, attributes, name.
const BEFORE_NAME: usize = 40;
const NAME: usize = 72;

pub fn meaning(data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    fields.take(BEFORE_GUID).filter(|header| header.starts_with(b"EFI PART"))?;
    let disk = fields.guid()?;
    fields.take(BEHIND_GUID)?;
    let number = fields.le64()?;
    let mut names = Vec::new();
    for _ in 0..number.min(MAX_NAMED as u64) {
        // Kind and GUID are before the name.
        let Some(name) = partition(&mut fields) else { break };
        names.push(name);
    }
    let how_many = text::count(usize::try_from(number).unwrap_or(usize::MAX), "one partition", "partitions");
    let names = if names.is_empty() { String::new() } else { format!(": {}", names.join(", ")) };
    Some(format!("partition table of disk {disk}: {how_many}{names}"))
}

fn partition(fields: &mut Reader<'_>) -> Option<String> {
    let kind = fields.guid()?;
    fields.take(BEFORE_NAME)?;
    let name = text::utf16_until_nul(fields.take(NAME)?);
    Some(match (name.as_str(), kind.to_string().as_str()) {
        ("", "c12a7328-f81f-11d2-ba4b-00a0c93ec93b") => "EFI system partition".into(),
        ("", kind) => format!("one of type {kind}"),
        (name, _) => format!("{name:?}"),
    })
}
