//! The console of a machine: what firmware, boot loader, kernel and programs print.

use crate::{error::Result, foreign, host::fs::atomic};
use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// The file that QEMU writes it to.
pub(super) const FILE: &str = "console.log";
/// Upper bound for the firmware's output, in bytes. Later output may imitate the firmware, and is not searched for its
/// messages.
const FIRMWARE: usize = 16 << 10;
/// The firmware's message that it has accepted an image.
const STARTING: &[u8] = b"BdsDxe: starting ";
/// Output kept for a message, in bytes.
const KEPT: usize = 256 << 10;
/// Upper bound for the lines quoted in a message.
const LINES: usize = 6;
/// Messages of a failed boot, after which the machine restarts: of Trust, its units and its scripts, and of the kernel.
const FAILURES: [&str; 5] = [
    "trust: cannot ",
    "trust: this boot ends here",
    "trust: restarting in ",
    "A boot without its secrets ends here",
    "Kernel panic",
];

/// The messages by which a firmware and a shim refuse to boot, and what they mean.
const REFUSALS: [(&[u8], &str); 3] = [
    (b"Access Denied", "the firmware does not start the image: no key that it trusts has signed it (Access Denied)"),
    (b"Security Violation", "shim does not start the image: no key that it trusts has signed it (Security Violation)"),
    (b"No bootable option or device was found", "the firmware has found nothing to boot"),
];

/// Begins a new log.
pub(super) fn clear(dir: &Path) -> Result<()> {
    let path = dir.join(FILE);
    let made = OpenOptions::new().write(true).create(true).truncate(true).mode(atomic::PRIVATE).open(&path);
    made.map(|_| ()).map_err(|e| atomic::cannot("write", &path, &e))
}

/// The console of a running machine.
pub(super) struct Console {
    file: File,
    /// The first output since power-on or restart, [`FIRMWARE`] bytes of it.
    first: Vec<u8>,
    /// The last output since then, [`KEPT`] bytes of it.
    last: Vec<u8>,
    /// The text waited for.
    wanted: Vec<u8>,
    seen: bool,
}

impl Console {
    /// The console of a machine about to be powered on. `wanted` is the text to wait for; none where it is empty.
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

    /// Reads new output.
    pub(super) fn read(&mut self) {
        let mut new = Vec::new();
        // An unreadable log counts as no output.
        let _ = self.file.read_to_end(&mut new);
        self.first.extend(new.iter().take(FIRMWARE.saturating_sub(self.first.len())));
        let unseen = self.last.len().saturating_sub(self.wanted.len());
        self.last.append(&mut new);
        self.seen |= !self.wanted.is_empty() && contains(self.last.get(unseen..).unwrap_or_default(), &self.wanted);
        self.last.drain(..self.last.len().saturating_sub(KEPT.max(self.wanted.len())));
    }

    /// Forgets the output before a restart.
    pub(super) fn restart(&mut self) {
        self.read();
        self.first.clear();
        self.last.clear();
    }

    /// Whether the text waited for has been printed.
    pub(super) const fn has_matched(&self) -> bool {
        self.seen
    }

    /// Whether the firmware has started an image.
    pub(super) fn has_started(&self) -> bool {
        contains(&self.first, STARTING)
    }

    /// Why no image was started, if firmware or shim have refused it.
    pub(super) fn refusal(&self) -> Option<&'static str> {
        REFUSALS.iter().find(|(words, _)| contains(&self.first, words)).map(|(_, meaning)| *meaning)
    }

    /// Whether a message of [`FAILURES`] was printed.
    pub(super) fn has_failed(&self) -> bool {
        self.text().lines().any(|line| FAILURES.iter().any(|failure| line.contains(failure)))
    }

    /// The lines to quote in a message about a failure: those of Trust and of failed units; otherwise the last ones.
    pub(super) fn last_output(&self) -> String {
        let text = self.text();
        let mut lines: Vec<&str> = Vec::new();
        let mut telling: Vec<&str> = Vec::new();
        for line in text.lines().map(bare).filter(|line| !line.is_empty()) {
            if tells(line) && !telling.contains(&line) {
                telling.push(line);
            }
            // How a machine ends does not say why.
            if !line.starts_with("reboot: ") {
                lines.push(line);
            }
        }
        let silent = lines.iter().all(|line| line.starts_with("BdsDxe: "));
        let (how, lines) = if telling.is_empty() { ("its last output", lines) } else { ("it said", telling) };
        match lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default() {
            _ if silent => "it printed nothing: the image's command line may lack console=ttyS0".to_owned(),
            lines => format!("{how}: {}", lines.join(" | ")),
        }
    }

    fn text(&self) -> String {
        plain(&String::from_utf8_lossy(&self.last))
    }
}

/// Whether a line says what has failed.
fn tells(line: &str) -> bool {
    let unit = line.contains("Failed to start ") || line.contains(": Failed with result ");
    // The kernel's: the initrd does not fit into memory, or cannot be used.
    let kernel = ["Initramfs unpacking failed", "Kernel panic"].iter().any(|beginning| line.starts_with(beginning));
    line.starts_with("trust: ") || unit || kernel
}

/// A line without the kernel's timestamp and the program's name: `[    1.234567] trust[123]: `.
fn bare(line: &str) -> &str {
    let line = line.trim();
    let time = line.strip_prefix('[').and_then(|line| line.split_once("] "));
    let is_time = |time: &str| !time.is_empty() && time.chars().all(|c| c.is_ascii_digit() || " .".contains(c));
    let line = time.filter(|(time, _)| is_time(time)).map_or(line, |(_, line)| line.trim());
    let speaker = line.split_once("]: ").filter(|(speaker, _)| {
        let number = speaker.split_once('[').filter(|(name, _)| !name.contains(' ')).map(|(_, number)| number);
        number.is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
    });
    speaker.map_or(line, |(_, line)| line)
}

fn contains(text: &[u8], words: &[u8]) -> bool {
    text.windows(words.len()).any(|window| window == words)
}

/// The text without control sequences (ECMA-48: ESC [, parameters, a letter) and other control characters.
fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        if c == '\x1b' && rest.next_if_eq(&'[').is_some() {
            while rest.next().is_some_and(|c| !('@'..='~').contains(&c)) {}
        } else if c == '\n' || !foreign::deceives(c) {
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
    fn messages_are_recognised_once_and_only_from_the_firmware() {
        let dir = TempDir::new().unwrap();
        clear(dir.path()).unwrap();
        let mut file = OpenOptions::new().append(true).open(dir.path().join(FILE)).unwrap();
        file.write_all(b"login: Access Denied\n").unwrap();
        let mut console = Console::open(dir.path(), "login:").unwrap();
        console.read();
        assert!(!console.has_matched() && console.refusal().is_none());
        assert!(console.last_output().contains("console=ttyS0") && !console.has_started());
        file.write_all(b"\x1b[2J\x1b[01;01HBdsDxe: starting\r\n\r\n\x1b[1mgreen\x1b[0m log").unwrap();
        console.read();
        assert!(!console.has_matched());
        file.write_all(b"in: ").unwrap();
        console.read();
        assert!(console.has_matched() && console.refusal().is_none());
        assert_eq!(console.last_output(), "its last output: BdsDxe: starting | green login:");
        file.write_all(&vec![b'x'; FIRMWARE]).unwrap();
        console.read();
        file.write_all(b"Access Denied").unwrap();
        console.read();
        assert!(console.refusal().is_none() && console.last_output().len() < KEPT + 100);
        assert!(!console.has_failed());
        console.restart();
        file.write_all(b"BdsDxe: failed to load Boot0001: Access Denied\r\n").unwrap();
        console.read();
        assert!(console.refusal().unwrap().contains("firmware does not start") && !console.has_started());
        assert!(fs::metadata(dir.path().join(FILE)).unwrap().len() > FIRMWARE as u64);
    }
    #[test]
    fn a_failure_is_quoted_without_surrounding_output() {
        let dir = TempDir::new().unwrap();
        let said = |text: &str| {
            clear(dir.path()).unwrap();
            let mut console = Console::open(dir.path(), "").unwrap();
            fs::write(dir.path().join(FILE), text).unwrap();
            console.read();
            (console.last_output(), console.has_failed(), console.has_started())
        };
        let firmware = "BdsDxe: loading Boot0001 \"disk\"\r\nBdsDxe: starting Boot0001 \"disk\"\r\n";
        let (words, failed, started) = said(&format!(
            "{firmware}[    4.1] systemd[1]: trust-setup.service: Failed with result 'exit-code'.\r\n\
             [    4.2] trust: cannot read the TPM: it is not provisioned; provision it\r\n\
             trust: cannot read the TPM: it is not provisioned; provision it\r\n\
             [    4.3] trust[123]: trust: cannot read the TPM: it is not provisioned; provision it\r\n\
             [\x1b[0;1;31mFAILED\x1b[0m] Failed to start \x1b[0;1;39mtrust-setup.service\x1b[0m - Secrets from the TPM.\r\n\
             [  OK  ] Reached target something.\r\n\
             [   34.5] reboot: Restarting system\r\n[   34.6] reboot: machine restart\r\n"
        ));
        assert_eq!(
            words,
            "it said: trust-setup.service: Failed with result 'exit-code'. \
             | trust: cannot read the TPM: it is not provisioned; provision it \
             | [FAILED] Failed to start trust-setup.service - Secrets from the TPM."
        );
        assert!(failed && started);
        let (words, failed, _) = said(&format!("{firmware}login: \r\n[   34.6] reboot: machine restart\r\n"));
        assert!(words.ends_with("\"disk\" | login:") && !failed, "{words}");
        let (words, ..) = said(&format!("{firmware}[    1.0] Kernel panic - not syncing: no init found\r\n"));
        assert_eq!(words, "it said: Kernel panic - not syncing: no init found");
        let (words, _, started) = said(firmware);
        assert!(words.contains("may lack console=ttyS0") && started, "{words}");
    }
}
