//! Text from outside, made fit to be shown: it moves no cursor, and reverses no line. Pure.

/// A text with a replacement for each character that could deceive.
#[cfg(feature = "host")]
#[must_use]
pub fn printable(text: &str) -> String {
    text.chars().map(shown).collect()
}

/// What is shown of a character.
#[must_use]
pub fn shown(c: char) -> char {
    if deceives(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Whether a character controls a terminal, or the direction in which others are written (Unicode Standard Annex 9,
/// section 2), or is not seen at all.
#[must_use]
pub fn deceives(c: char) -> bool {
    c.is_control()
        || matches!(c,
            '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}')
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;

    #[test]
    fn control_and_bidirectional_characters_are_not_printed() {
        assert_eq!(printable("CN=Zoé \"& Söhne\\,O=日本"), "CN=Zoé \"& Söhne\\,O=日本");
        let deceptive = "a\u{1b}[2Jb\n\u{202e}c\u{0}\u{2066}\u{feff}d\u{200b}";
        assert_eq!(printable(deceptive), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}\u{fffd}\u{fffd}d\u{fffd}");
    }
}
