//! `EV_IPL`: what boot loaders measure, each in a way of its own: GRUB, shim, systemd-boot and systemd-stub.

use super::text;
use crate::measure::event::Event;
use aws_lc_rs::digest;

/// PCRs by what boot loaders measure into them: those of GRUB, of systemd, and of shim.
const FILES: u32 = 9;
const SECTIONS: u32 = 11;
const CONFIGURATION: u32 = 12;
const EXTENSIONS: u32 = 13;
const SHIM: u32 = 14;

pub fn meaning(event: &Event<&[u8]>) -> String {
    let Some(text) = text::any(event.data) else { return text::of_any(event.data) };
    let text = text.trim_end();
    if let Some((prefix, what)) = text::GRUB.iter().find(|(prefix, _)| text.starts_with(prefix)) {
        return format!("{what}: {}", text.get(prefix.len()..).unwrap_or_default());
    }
    let is_wide = text::utf16(event.data).is_some();
    match event.pcr {
        SHIM => format!("{text} of shim"),
        SECTIONS if is_wide || text.starts_with('.') => {
            let part = if is_name(event, text) { "name" } else { "contents" };
            format!("unified kernel image: {part} of section {text}")
        }
        FILES if is_wide => format!("systemd-stub: {text}"),
        FILES => format!("file read by GRUB: {text}"),
        // Up to systemd 250 it was PCR 8.
        CONFIGURATION | 8 if is_wide && is_extension(text) => text.to_owned(),
        CONFIGURATION | 8 if is_wide => format!("kernel command line: {text}"),
        EXTENSIONS if is_wide => format!("systemd-stub: {text}"),
        _ => format!("{text:?}"),
    }
}

/// What systemd-stub says of archives that it has made.
fn is_extension(text: &str) -> bool {
    text.ends_with("initrd") && !text.contains('=')
}

/// Whether the name of a section was measured, and not what it holds.
fn is_name(event: &Event<&[u8]>, text: &str) -> bool {
    let name = [text.as_bytes(), b"\0"].concat();
    event.digest == digest::digest(&digest::SHA256, &name).as_ref()
}
