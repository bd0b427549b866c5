//! What an event's digests are of: its data, a part of them, or something that is not in the log.

use super::{
    replay::{self, BankHash},
    words::text,
};
use crate::measure::{
    event::{Event, EventType},
    variable::VariableData,
};

/// What the digests of an event are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DigestOf {
    /// All of its data.
    Data,
    /// This part of them.
    Part(&'static str),
    /// Something else, as it must be where a program was measured, and its path is what is logged.
    Other,
    /// Something else, although such events are logged with what was measured: the data may be forged.
    Doubtful,
}

impl DigestOf {
    /// In one word, for programs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Data => "data",
            Self::Part(part) => part,
            Self::Other => "other",
            Self::Doubtful => "doubtful",
        }
    }
}

/// Finds out what an event's digests are of: `None` where it has extended nothing, or has no digest whose hash is known.
#[must_use]
pub fn of(event: &Event<&[u8]>) -> Option<DigestOf> {
    let known = || event.digests.iter().filter_map(|(bank, value)| Some((BankHash::of(*bank)?, value)));
    if !replay::extends(event) || known().next().is_none() {
        return None;
    }
    let are_of = |bytes: &[u8]| known().all(|(hash, value)| hash.digest(bytes) == *value);
    if are_of(event.data) {
        return Some(DigestOf::Data);
    }
    let part = parts(event).into_iter().find(|(_, bytes)| are_of(bytes));
    Some(match part {
        Some((name, _)) => DigestOf::Part(name),
        None if must_be_data(event) => DigestOf::Doubtful,
        None => DigestOf::Other,
    })
}

/// What else may have been measured, that the data tell.
fn parts(event: &Event<&[u8]>) -> Vec<(&'static str, Vec<u8>)> {
    let data = event.data;
    let mut parts = Vec::new();
    match event.kind {
        EventType::SEPARATOR => {
            // An error is measured as such, and described.
            parts.push(("error", 1_u32.to_le_bytes().to_vec()));
        }
        EventType::IPL => {
            let bare = data.strip_suffix(b"\0").unwrap_or(data);
            let command = text::GRUB.iter().find_map(|(prefix, _)| bare.strip_prefix(prefix.as_bytes()));
            parts.extend(command.map(|command| ("text", command.to_vec())));
            if let Some(name) = text::utf16(data) {
                parts.push(("name", [name.as_bytes(), b"\0"].concat()));
            }
            parts.push(("text", bare.to_vec()));
        }
        EventType::EVENT_TAG => {
            let tagged = data.get(8..).unwrap_or_default();
            parts.push(("tagged", tagged.to_vec()));
        }
        EventType::EFI_ACTION | EventType::ACTION | EventType::S_CRTM_VERSION => {
            parts.push(("text", data.strip_suffix(b"\0").unwrap_or(data).to_vec()));
            parts.push(("text", [data, b"\0"].concat()));
        }
        _ => {
            if let Some(variable) = VariableData::parse(data) {
                parts.push(("contents", variable.contents.to_vec()));
                // shim measures the certificate without its owner.
                parts.extend(variable.contents.get(16..).map(|rest| ("certificate", rest.to_vec())));
            }
        }
    }
    parts
}

/// Whether the profile has what was measured in the data (TCG PC Client Platform Firmware Profile 1.06, table 27).
fn must_be_data(event: &Event<&[u8]>) -> bool {
    let kinds = [
        EventType::SEPARATOR,
        EventType::EFI_ACTION,
        EventType::ACTION,
        EventType::EFI_VARIABLE_DRIVER_CONFIG,
        EventType::EFI_VARIABLE_BOOT2,
        EventType::EFI_GPT_EVENT2,
    ];
    // Not EV_EFI_VARIABLE_AUTHORITY: shims have logged the certificate, and measured something else.
    kinds.contains(&event.kind)
}
