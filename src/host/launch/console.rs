//! What a machine says: firmware, boot loader, kernel, programs.

use crate::{error::Result, host::atomic};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file that QEMU writes it to.
pub(super) const FILE: &str = "console.log";
/// A firmware says less. What a guest says later, it may say in the firmware's words.
const FIRMWARE: usize = 16 << 10;
/// So much is kept for a message.
const KEPT: usize = 4 << 10;
/// So many lines go into a message.
const LINES: usize = 6;

/// How a firmware and a shim say that they start nothing, and what that means.
const REFUSALS: [(&[u8], &str); 3] = [
    (b"Access Denied", "the firmware does not start the image: nobody it trusts has signed it (Access Denied)"),
    (b"Security Violation", "shim does not start the image: nobody it trusts has signed it (Security Violation)"),
    (b"No bootable option or device was found", "the firmware finds nothing to start"),
];

/// Begins a new file.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let path = dir.join(FILE);
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(atomic::PRIVATE).open(&path);
    made.map(|_| ()).map_err(|e| atomic::cannot("write", &path, &e))
}

/// The console of a machine that is on.
pub(super) struct Console {
    file: File,
    /// What came first, since it was switched on or has started over.
    first: Vec<u8>,
    /// What came last.
    last: Vec<u8>,
    /// What is waited for.
    wanted: Vec<u8>,
    seen: bool,
}

impl Console {
    /// That of a machine that is about to be switched on. `wanted` is a text to look out for.
    pub(super) fn open(dir: &Path, wanted: &str) -> Result<Self> {
        let path = dir.join(FILE);
        let open = || {
            let mut file = File::open(&path)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        let file = open().map_err(|e: io::Error| atomic::cannot("read", &path, &e))?;
        Ok(Self { file, first: Vec::new(), last: Vec::new(), wanted: wanted.into(), seen: false })
    }

    /// Takes in what is new.
    pub(super) fn read(&mut self) {
        let mut new = Vec::new();
        // Where nothing can be read, nothing has been said.
        let _ = self.file.read_to_end(&mut new);
        self.first.extend(new.iter().take(FIRMWARE.saturating_sub(self.first.len())));
        self.last.append(&mut new);
        self.seen |= !self.wanted.is_empty() && contains(&self.last, &self.wanted);
        self.last.drain(..self.last.len().saturating_sub(KEPT.max(self.wanted.len())));
    }

    /// The machine has started over.
    pub(super) fn restart(&mut self) {
        self.read();
        self.first.clear();
    }

    /// Whether what is waited for has been said.
    pub(super) const fn has_said_it(&self) -> bool {
        self.seen
    }

    /// Why nothing was started, if firmware or shim have said so.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        REFUSALS.iter().find(|(words, _)| contains(&self.first, words)).map(|(_, meaning)| *meaning)
    }

    /// The last lines, for a message.
    pub(super) fn last_words(&self) -> String {
        let text = plain(&String::from_utf8_lossy(&self.last));
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        match lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default() {
            [] => "it has said nothing".to_owned(),
            lines => format!("it said last: {}", lines.join(" | ")),
        }
    }
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

/// Without what moves the cursor of a terminal (ECMA-48: ESC [, parameters, a letter) and without other controls.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\x1b' && rest.next_if_eq(&'[').is_some() {
            while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == '\n' || !c.is_control() {
            plain.push(c);
        }
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::Write};
    use tempfile::TempDir;

    #[test]
    fn what_is_said_is_understood_once_and_only_of_the_firmware() {
        let dir = TempDir::new().unwrap();
        clear(dir.path()).unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"login: Access Denied\n").unwrap();
        let mut console = Console::open(dir.path(), "login:").unwrap();
        console.read();
        assert!(!console.has_said_it() && console.refusal().is_none());
        assert_eq!(console.last_words(), "it has said nothing");
        file.write_all(b"\x1b[2J\x1b[01;01HBdsDxe: starting\r\n\r\n\x1b[1mgreen\x1b[0m log").unwrap();
        console.read();
        assert!(!console.has_said_it());
        file.write_all(b"in: ").unwrap();
        console.read();
        assert!(console.has_said_it() && console.refusal().is_none());
        assert_eq!(console.last_words(), "it said last: BdsDxe: starting | green login:");
        file.write_all(&vec![b'x'; FIRMWARE]).unwrap();
        console.read();
        file.write_all(b"Access Denied").unwrap();
        console.read();
        assert!(console.refusal().is_none() && console.last_words().len() < KEPT + 100);
        console.restart();
        file.write_all(b"BdsDxe: failed to load Boot0001: Access Denied\r\n").unwrap();
        console.read();
        assert!(console.refusal().unwrap().contains("firmware does not start"));
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() > FIRMWARE as u64);
    }
}
