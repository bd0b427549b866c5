//! Messages: to standard error, and in an initrd also to the console and the
//! kernel log, because there nothing else shows what a failed unit has said.

use crate::{error::Error, process};
use std::{fs::OpenOptions, io::Write, path::Path};

/// Says how a program ended.
pub fn report(error: &Error) {
    say(&error.to_string());
}

/// Says one line.
pub fn say(line: &str) {
    // Where a message cannot be shown, this cannot be shown either.
    let _ = writeln!(std::io::stderr(), "trust: {line}");
    if in_initrd() {
        // <3>: an error (syslog), so that `quiet` does not hide it.
        write_to("/dev/kmsg", &format!("<3>trust: {line}\n"));
        write_to("/dev/console", &format!("trust: {line}\r\n"));
    }
}

/// Whether this is an initrd: systemd's and dracut's marker file, or the first process of all.
fn in_initrd() -> bool {
    process::is_first() || Path::new("/etc/initrd-release").exists()
}

/// One write, so that the kernel log gets one record.
fn write_to(path: &str, line: &str) {
    if let Ok(mut file) = OpenOptions::new().write(true).open(path) {
        let _ = file.write_all(line.as_bytes());
    }
}

/// Says what may turn out to be wrong: to standard error alone.
pub fn warn(line: &str) {
    note(&format!("warning: {line}"));
}

/// Says what is good to know and no cause for alarm: to standard error alone.
pub fn note(line: &str) {
    let _ = writeln!(std::io::stderr(), "trust: {line}");
}
