//! Text in data: ASCII or UTF-16, made printable and kept short.

use crate::{digest::hex, foreign};

/// How GRUB begins the description of what it measures, and what that is.
pub const GRUB: [(&str, &str); 3] = [
    ("grub_cmd: ", "GRUB command"),
    ("kernel_cmdline: ", "kernel command line, by GRUB"),
    ("module_cmdline: ", "command line of a module, by GRUB"),
];

/// Characters that are read of a text.
const MAX_TEXT: usize = 1024;
/// Bytes that are shown in hexadecimal.
const MAX_HEX: usize = 16;

/// At most so many characters, printable, on one line.
pub fn bounded(text: &str, most: usize) -> String {
    let one_line = |c| if matches!(c, '\n' | '\t') { ' ' } else { foreign::shown(c) };
    let mut shown: String = text.chars().take(most).map(one_line).collect();
    if text.chars().nth(most).is_some() {
        shown.push('…');
    }
    shown
}

/// Text in UTF-16, which may end with a NUL; `None` where it is anything else.
pub fn utf16(data: &[u8]) -> Option<String> {
    let units = data.chunks(2).map(|unit| Some(u16::from_le_bytes(unit.try_into().ok()?)));
    let units: Vec<u16> = units.take(MAX_TEXT).collect::<Option<_>>()?;
    let end = units.iter().rposition(|unit| *unit != 0)? + 1;
    let text = String::from_utf16(units.get(..end)?).ok()?;
    // Chinese can be anything: what is text here begins with Latin letters.
    let is_text = !text.chars().any(foreign::deceives) && text.chars().take(3).all(|c| c.is_ascii());
    is_text.then_some(text)
}

/// The characters of UTF-16 up to its first NUL, whatever they are.
pub fn utf16_until_nul(data: &[u8]) -> String {
    let units = data.chunks_exact(2).filter_map(|unit| unit.try_into().ok().map(u16::from_le_bytes));
    let units = units.take_while(|unit| *unit != 0).take(MAX_TEXT);
    char::decode_utf16(units).map(|c| c.map_or(char::REPLACEMENT_CHARACTER, foreign::shown)).collect()
}

/// Text in ASCII or UTF-8, which may end with NULs; `None` where it is anything else.
pub fn utf8(data: &[u8]) -> Option<String> {
    let end = data.iter().rposition(|byte| *byte != 0)? + 1;
    let text = std::str::from_utf8(data.get(..end)?).ok()?;
    let is_text = !text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t'));
    is_text.then(|| text.chars().take(MAX_TEXT).collect())
}

/// Text in any of them.
pub fn any(data: &[u8]) -> Option<String> {
    utf8(data).or_else(|| utf16(data)).filter(|text| !text.trim().is_empty())
}

/// What can be said of data that nobody knows.
pub fn of_any(data: &[u8]) -> String {
    match (any(data), data.len()) {
        (_, 0) => "no data".into(),
        (Some(text), _) => format!("{:?}", text.trim_end()),
        (None, 1) => format!("one byte: {}", hex(data)),
        (None, size) if size <= MAX_HEX => format!("{size} bytes: {}", hex(data)),
        (None, size) => format!("{size} bytes"),
    }
}

/// A size as people say it.
pub fn size(bytes: u64) -> String {
    match bytes {
        0..=1023 => format!("{bytes} bytes"),
        1024..=1_048_575 => format!("{} KiB", bytes / 1024),
        _ => format!("{} MiB", bytes / 1_048_576),
    }
}

/// `one thing`, `3 things`.
pub fn count(number: usize, one: &str, more: &str) -> String {
    if number == 1 { one.to_owned() } else { format!("{number} {more}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wide(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    #[test]
    fn text_is_found_in_both_encodings() {
        assert_eq!(any(b"quiet splash\0").as_deref(), Some("quiet splash"));
        assert_eq!(any(&wide("quiet splash\0")).as_deref(), Some("quiet splash"));
        for data in [&b""[..], b"\0\0", b"\x01\x02\x03", &[0xff; 9], &wide("\u{202e}abc")] {
            assert_eq!(any(data), None, "{data:?}");
        }
        assert_eq!(of_any(b"two\nlines\n"), "\"two\\nlines\"");
        assert_eq!(of_any(&[1, 2]), "2 bytes: 0102");
        assert_eq!(of_any(&[1; 99]), "99 bytes");
        assert_eq!(bounded("ab\u{1b}cd", 3), "ab\u{fffd}…");
    }
}
