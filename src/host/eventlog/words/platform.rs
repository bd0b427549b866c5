//! What the firmware measures of itself, of the platform and of what it starts (TCG PC Client Platform Firmware Profile
//! 1.06, section 10.4.1).

use super::{device_path, text};
use crate::{
    bytes::Reader,
    measure::event::{Event, EventType},
};

/// Tables that are known by their GUID.
const TABLES: [(&str, &str); 6] = [
    ("eb9d2d31-2d88-11d3-9a16-0090273fc14d", "SMBIOS"),
    ("f2fd1544-9794-4a2c-992e-e5bbcf20e394", "SMBIOS 3"),
    ("8868e871-e4f1-11d3-bc22-0080c73c8881", "ACPI 2.0"),
    ("eb9d2d30-2d88-11d3-9a16-0090273fc14d", "ACPI 1.0"),
    ("ee4e5898-3914-4259-9d6e-dc7bd79403cf", "LZMA"),
    ("7739f24c-93d7-11d4-9a3a-0090273fc14d", "HOB list"),
];
/// Tables that are named.
const MAX_TABLES: u64 = 8;
/// What firmware says in a word of its code.
const POST_CODES: [(&str, &str); 6] = [
    ("POST CODE", "code of the firmware"),
    ("SMM CODE", "code of the system management mode"),
    ("ACPI DATA", "ACPI tables"),
    ("BIS CODE", "boot integrity services"),
    ("Embedded UEFI Driver", "driver in the firmware"),
    ("Embedded Option ROM", "option ROM in the firmware"),
];

/// The end of a phase.
pub fn separator(data: &[u8]) -> String {
    match data {
        [0, 0, 0, 0] | [0xff, 0xff, 0xff, 0xff] => "separator: the firmware's own measurements end here".into(),
        [1, 0, 0, 0] => "the firmware reports that measuring has failed".into(),
        b"WBCL" => "separator of Windows: its measurements end here".into(),
        _ => format!("separator: {}", text::of_any(data)),
    }
}

/// `UEFI_IMAGE_LOAD_EVENT`.
pub fn image(what: &str, data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    let (address, size) = (fields.le64()?, fields.le64()?);
    let path = image_path(data)?;
    let size = if size == 0 { "an image".to_owned() } else { text::size(size) };
    // shim and systemd-stub start what they have in memory.
    let path = Some(path).filter(|path| !path.is_empty());
    Some(
        path.map_or_else(
            || format!("{what}: {size} in memory, at {address:#x}"),
            |path| format!("{what}: {path}, {size}"),
        ),
    )
}

/// Its device path.
pub fn image_path(data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    let (_address, _size, _link_time, length) = (fields.le64()?, fields.le64()?, fields.le64()?, fields.le64()?);
    Some(device_path::to_text(fields.take(usize::try_from(length).ok()?)?))
}

/// All other types.
pub fn meaning(event: &Event<&[u8]>) -> Option<String> {
    use EventType as T;
    let data = event.data;
    let known = text::any(data).map(|text| text.trim_end().to_owned());
    let words = |what: &str| known.as_ref().map(|text| format!("{what}: {text}"));
    match event.kind {
        T::EFI_ACTION | T::ACTION => known,
        T::S_CRTM_VERSION => Some(version(data)),
        T::S_CRTM_CONTENTS => blob("root of trust", data).or_else(|| words("root of trust")),
        T::EFI_HCRTM_EVENT => Some("H-CRTM: what has measured the firmware".into()),
        T::POST_CODE => post_code(data),
        T::POST_CODE2 => described_blob("code of the firmware", data).or_else(|| post_code(data)),
        T::EFI_PLATFORM_FIRMWARE_BLOB => blob("code of the firmware", data),
        T::EFI_PLATFORM_FIRMWARE_BLOB2 => described_blob("code of the firmware", data),
        T::EFI_HANDOFF_TABLES => tables(&mut Reader::new(data)),
        T::EFI_HANDOFF_TABLES2 => described_tables(data),
        T::CPU_MICROCODE => words("microcode").or_else(|| blob("microcode", data)),
        T::PLATFORM_CONFIG_FLAGS => words("platform configuration"),
        T::TABLE_OF_DEVICES => words("table of devices"),
        T::COMPACT_HASH => Some(compact_hash(event)),
        T::NONHOST_CODE => words("code outside the processor"),
        T::NONHOST_CONFIG => words("configuration outside the processor"),
        T::NONHOST_INFO => Some(nonhost_info(data)),
        T::OMIT_BOOT_DEVICE_EVENTS => Some("the firmware measures no attempts to boot".into()),
        T::IPL_PARTITION_DATA => Some(format!("boot sector's partition table, {}", text::size(data.len() as u64))),
        T::EFI_SPDM_FIRMWARE_BLOB => Some(format!("firmware of a device (SPDM), {}", text::size(data.len() as u64))),
        T::EFI_SPDM_FIRMWARE_CONFIG => {
            Some(format!("configuration of a device (SPDM), {}", text::size(data.len() as u64)))
        }
        T::PREBOOT_CERT if data.is_empty() => Some("certificate, without data".into()),
        _ => None,
    }
}

/// A text, a GUID, or a number.
fn version(data: &[u8]) -> String {
    let what = match (text::any(data), data) {
        (_, [] | [0] | [0, 0]) => "without a name".into(),
        (Some(text), _) => format!("{:?}", text.trim_end()),
        (None, data) if data.len() == 16 => match Reader::new(data).guid() {
            Some(guid) => guid.to_string(),
            None => String::new(),
        },
        (None, data) => text::of_any(data),
    };
    format!("version of the root of trust: {what}")
}

fn post_code(data: &[u8]) -> Option<String> {
    let Some(text) = text::utf8(data) else { return blob("code of the firmware", data) };
    let known = POST_CODES.iter().find(|(code, _)| *code == text);
    Some(known.map_or_else(|| format!("code of the firmware: {}", text.trim_end()), |(_, what)| (*what).into()))
}

/// `UEFI_PLATFORM_FIRMWARE_BLOB`: address and size.
fn blob(what: &str, data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    let (base, size) = (fields.le64()?, fields.le64()?);
    fields.is_empty().then(|| format!("{what}: {} at {base:#x}", text::size(size)))
}

/// `UEFI_PLATFORM_FIRMWARE_BLOB2`: with a description.
fn described_blob(what: &str, data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    let size = fields.u8()?;
    let description = text::any(fields.take(usize::from(size))?)?;
    let blob = blob(what, fields.rest())?;
    Some(format!("{blob}, {description:?}"))
}

/// `UEFI_HANDOFF_TABLE_POINTERS`.
fn tables(fields: &mut Reader<'_>) -> Option<String> {
    let count = fields.le64()?;
    let mut names = Vec::new();
    for _ in 0..count.min(MAX_TABLES) {
        let (guid, _address) = (fields.guid()?.to_string(), fields.le64()?);
        let known = TABLES.iter().find(|(known, _)| *known == guid);
        names.push(known.map_or(guid, |(_, name)| (*name).to_owned()));
    }
    if count > MAX_TABLES {
        names.push("…".into());
    }
    Some(format!("tables for the system: {}", names.join(", ")))
}

/// `UEFI_HANDOFF_TABLE_POINTERS2`.
fn described_tables(data: &[u8]) -> Option<String> {
    let mut fields = Reader::new(data);
    let size = fields.u8()?;
    let description = text::any(fields.take(usize::from(size))?)?;
    let tables = tables(&mut fields)?;
    Some(format!("{tables}, {description:?}"))
}

/// What Windows says of BitLocker in four bytes; a word elsewhere.
fn compact_hash(event: &Event<&[u8]>) -> String {
    match (event.pcr, event.data) {
        (11, [0x10, 0, 0, 0]) => "Windows: the boot manager has begun (BitLocker)".into(),
        (11, [0xff, 0xff, 0, 0]) => "Windows: no key may be read any more (BitLocker)".into(),
        (_, data) => text::of_any(data),
    }
}

fn nonhost_info(data: &[u8]) -> String {
    match data.strip_prefix(b"GCE NonHostInfo\0") {
        Some([technology, ..]) => {
            let names = ["none", "AMD SEV", "AMD SEV-ES", "Intel TDX", "AMD SEV-SNP"];
            let name =
                names.get(usize::from(*technology)).map_or_else(|| technology.to_string(), |name| (*name).into());
            format!("hypervisor: memory encryption: {name}")
        }
        _ => format!("outside the processor: {}", text::of_any(data)),
    }
}
