//! `EV_EVENT_TAG`: tagged events (`TCG_PCClientTaggedEvent`) of systemd, of the kernel and of Windows.

use super::{text, windows};
use crate::{bytes::Reader, measure::event::Event};

/// Tags of systemd-boot, systemd-stub and the kernel's EFI stub, and what they are of.
const TAGS: [(u32, &str); 11] = [
    (0xf5bc_582a, "configuration of systemd-boot"),
    (0x6c46_f751, "device tree of an addon"),
    (0x49df_fe0f, "initrd of an addon"),
    (0xdac0_8e1a, "microcode of an addon"),
    (0x13ae_d6db, "profile of the unified kernel image"),
    (0xd5cb_7cbc, "SMBIOS type 1"),
    (0xe0d4_7bc8, "SMBIOS type 2"),
    (0xc0b3_bd23, "SMBIOS type 11"),
    (0x8f3b_22ec, "initrd, by the kernel's EFI stub"),
    (0x8f3b_22ed, "kernel command line, by the kernel's EFI stub"),
    (0x8f3b_22ee, "device tree, by the kernel's EFI stub"),
];

pub fn meaning(event: &Event<&[u8]>) -> Option<String> {
    let mut fields = Reader::new(event.data);
    let (tag, size) = (fields.le32()?, fields.le32()?);
    if let Some((_, what)) = TAGS.iter().find(|(known, _)| *known == tag) {
        let data = fields.take(usize::try_from(size).ok()?).unwrap_or_default();
        let of = text::any(data).map_or_else(String::new, |text| format!(": {}", text.trim_end()));
        return Some(format!("{what}{of}"));
    }
    windows::meaning(event.data)
}
