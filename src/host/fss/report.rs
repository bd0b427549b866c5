//! What a verification has come to, said to the journal in a form that programs look for: `MESSAGE_ID=`.
//!
//! By journald's native protocol, a datagram: a field is `NAME=VALUE` and the end of the line; a value of several lines is
//! preceded by its length in eight bytes, little-endian.

use crate::error::{Error, Result};
use std::{os::unix::net::UnixDatagram, path::Path};

/// Where journald takes messages.
pub const JOURNAL: &str = "/run/systemd/journal/socket";
/// `MESSAGE_ID` of a verification that found everything as it should be.
pub const SOUND: &str = "72c1a64a386afa8beffe5735ddfd2434";
/// `MESSAGE_ID` of one that did not, or could not be made.
pub const UNSOUND: &str = "c9a5d10f1131038ceeb8e3aaa54e0758";
/// Bytes of a value at most: a datagram is bounded, and a list of what is wrong may not be.
const MOST: usize = 16 * 1024;

/// Says to the journal what a verification has come to: `summary` in a line, and `details`, a line each, of what was found.
///
/// # Errors
/// Those of a socket that takes nothing: whoever relies on the message must be told.
pub fn to_journal(socket: &Path, is_sound: bool, summary: &str, details: &[String]) -> Result<()> {
    // syslog's "notice" and "critical".
    let (id, priority) = if is_sound { (SOUND, "5") } else { (UNSOUND, "2") };
    let mut message = Vec::new();
    for (name, value) in [
        ("MESSAGE_ID", id),
        ("PRIORITY", priority),
        ("SYSLOG_IDENTIFIER", "trust"),
        ("MESSAGE", summary),
        ("TRUST_FSS_DETAILS", &details.join("\n")),
    ] {
        field(&mut message, name, value);
    }
    let said = UnixDatagram::unbound().and_then(|from| from.send_to(&message, socket));
    said.map(|_| ()).map_err(|e| Error::system("say to the journal what was found", e))
}

fn field(message: &mut Vec<u8>, name: &str, value: &str) {
    let value = value.as_bytes().get(..MOST).unwrap_or(value.as_bytes());
    message.extend(name.as_bytes());
    if value.contains(&b'\n') {
        message.push(b'\n');
        message.extend(u64::try_from(value.len()).unwrap_or(0).to_le_bytes());
    } else {
        message.push(b'=');
    }
    message.extend(value);
    message.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;
    use tempfile::TempDir;

    #[test]
    fn the_journal_gets_fields_that_no_value_can_forge() {
        let dir = TempDir::new().unwrap();
        let socket = dir.path().join("socket");
        let journal = UnixDatagram::bind(&socket).unwrap();
        let details = ["system.journal: altered\nMESSAGE_ID=forged".to_owned(), "x".repeat(2 * MOST)];
        to_journal(&socket, false, "one file is not what was sealed\nPRIORITY=7", &details).unwrap();
        let mut buffer = vec![0; 64 * 1024];
        let size = journal.recv(&mut buffer).unwrap();
        let message = &buffer[..size];
        let first = format!("MESSAGE_ID={UNSOUND}\nPRIORITY=2\nSYSLOG_IDENTIFIER=trust\nMESSAGE\n");
        assert!(message.starts_with(first.as_bytes()));
        let text = b"one file is not what was sealed\nPRIORITY=7";
        let rest = &message[first.len()..];
        assert_eq!(rest[..8], (text.len() as u64).to_le_bytes());
        assert_eq!(rest[8..8 + text.len()], *text);
        assert!(rest[8 + text.len()..].starts_with(b"\nTRUST_FSS_DETAILS\n"));
        assert_eq!(rest.len(), 8 + text.len() + "\nTRUST_FSS_DETAILS\n".len() + 8 + MOST + 1);
        drop(journal);
        assert!(to_journal(&socket, true, "", &[]).is_err(), "it is not passed over");
    }
}
