//! The events that a policy was signed for: `pcr7.events`, which lies beside it. A line for each, in their order:
//! `NAME DIGEST [SIGNER]`, NAME without spaces, DIGEST in hexadecimal, SIGNER a common name in quotation marks.

use super::event::Event;
use crate::digest::hex;

/// One event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExpectedEvent<'a> {
    /// What it is about, as [`super::event::Event::name`] says it, with `_` for spaces.
    pub name: &'a str,
    /// The digest in the sha256 bank, in hexadecimal.
    pub digest: &'a str,
    /// Who signed what was started; empty where it was not signed.
    pub signer: &'a str,
}

impl ExpectedEvent<'_> {
    /// Whether this event has the digest.
    #[must_use]
    pub fn is<D>(&self, event: &Event<D>) -> bool {
        self.digest == hex(&event.digest)
    }
}

/// Reads the list. Other lines are left out.
#[must_use]
pub fn parse(list: &str) -> Vec<ExpectedEvent<'_>> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            Some(ExpectedEvent { name: words.next()?, digest: words.next()?, signer: words.next().unwrap_or_default() })
        })
        .collect()
}

/// Writes the list of these events.
#[cfg(feature = "host")]
#[must_use]
pub fn write(events: &[Event]) -> String {
    let line = |event: &Event| {
        let (name, digest) = (event.name().replace(' ', "_"), hex(&event.digest));
        format!("{name} {digest} {}", event.signer().unwrap_or_default()).trim_end().to_owned() + "\n"
    };
    events.iter().map(line).collect()
}

#[cfg(all(test, feature = "host"))]
mod tests {
    use super::*;
    use crate::measure::event::EventType;

    #[test]
    fn written_lists_are_read() {
        let event = |kind, data: &[u8]| Event::measured(7, kind, data.to_vec());
        let events = [event(EventType::SEPARATOR, &[0; 4]), event(EventType::EFI_ACTION, b"UEFI Debug Mode")];
        let text = write(&events);
        let list = parse(&text);
        assert_eq!(list.iter().map(|line| line.name).collect::<Vec<_>>(), ["separator", "UEFI_Debug_Mode"]);
        assert!(list.iter().zip(&events).all(|(line, event)| line.is(event)));
        assert_eq!(parse("db 22 \"The owner\"")[0].signer, "\"The owner\"");
        assert_eq!(parse("\ndb\n"), []);
    }
}
