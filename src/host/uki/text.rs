//! The ingredients of an image that are text, as people have them: the command line and os-release(5).

use crate::{
    error::{Error, Kind, Result},
    host::fs::atomic,
};
use std::path::Path;

/// What the kernel has room for, the NUL at the end included: `COMMAND_LINE_SIZE`.
const MAX_CMDLINE: usize = 2048;
/// What some editors put before text in UTF-8.
const BYTE_ORDER_MARK: char = '\u{feff}';
/// What os-release(5) takes for granted, and boot menus do not.
const DEFAULT: (&str, &str) = ("ID", "linux");

/// A command line as it was given, or, behind `@`, that of a file: its lines in one, as kernel-install(8) takes them,
/// without those that begin with `#`; tabs are blanks.
///
/// # Errors
/// Those of reading; [`Kind::Usage`] for what no kernel could use, and for a `#` that begins no line: the kernel knows
/// no comments, and would take what follows for options.
pub fn command_line(given: &str) -> Result<String> {
    let text = match given.strip_prefix('@') {
        Some(path) => String::from_utf8(atomic::read(Path::new(path))?)
            .map_err(|_| unusable("it is not UTF-8", "write it in ASCII"))?,
        None => given.to_owned(),
    };
    let lines = text.trim_start_matches(BYTE_ORDER_MARK).lines().map(str::trim);
    let lines: Vec<_> = lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let line = lines.join(" ").replace('\t', " ");
    if line.contains(char::is_control) {
        return Err(unusable("it holds control characters", "write it as a line of text"));
    }
    if line.split(' ').any(|word| word.starts_with('#')) {
        let why = "the kernel knows no comments, and takes what follows # for options";
        return Err(unusable(why, "put the comment on a line of its own, in a file: --cmdline @FILE"));
    }
    if line.len() >= MAX_CMDLINE {
        let why = "it is longer than 2047 bytes, and the kernel would cut it off";
        return Err(unusable(why, "leave out what the initrd can have in files of its own"));
    }
    Ok(line)
}

fn unusable(why: &'static str, remedy: &'static str) -> Error {
    Error::new(Kind::Usage, "use the command line", why).remedy(remedy)
}

/// An os-release(5) as boot menus need it: in UTF-8, with the default of the manual page where it does not say whose it is.
///
/// # Errors
/// Those of reading; [`Kind::Usage`] when the file assigns nothing.
pub fn os_release(path: &Path) -> Result<Vec<u8>> {
    let bytes = atomic::read(path)?;
    let text = String::from_utf8_lossy(&bytes);
    let text = text.trim_start_matches(BYTE_ORDER_MARK);
    let assigned: Vec<_> =
        text.lines().filter_map(|line| line.trim_start().split_once('=')).map(|(name, _)| name).collect();
    let is_name = |name: &&str| {
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_' || byte.is_ascii_digit())
    };
    if text.contains('\0') || !assigned.iter().any(is_name) {
        let what = format!("use {}", path.display());
        return Err(Error::new(Kind::Usage, what, "it has no line such as ID=debian")
            .remedy("give the os-release of the system that boots, see os-release(5)"));
    }
    let (name, value) = DEFAULT;
    let is_said = assigned.contains(&name);
    let mut text = text.to_owned();
    if !is_said {
        if !text.ends_with('\n') {
            text.push('\n');
        }
        text.extend([name, "=", value, "\n"]);
    }
    Ok(text.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_joined_into_one_line() {
        assert_eq!(command_line(" quiet\nro  rw \n\n").unwrap(), "quiet ro  rw");
        assert_eq!(command_line("").unwrap(), "");
        assert!(command_line("a\0b").is_err());
        assert!(command_line("a\u{1b}[0m").is_err());
        assert!(command_line(&"x".repeat(2047)).is_ok());
        assert!(command_line(&"x".repeat(2048)).is_err());
        assert!(command_line("@/does/not/exist").is_err());
    }

    #[test]
    fn comments_are_removed() {
        let dir = tempfile::TempDir::new().unwrap();
        let of = |bytes: &[u8]| {
            let file = dir.path().join("cmdline");
            std::fs::write(&file, bytes).unwrap();
            command_line(&format!("@{}", file.display()))
        };
        let usual = b"\xef\xbb\xbf# rd.break\r\nroot=/dev/mapper/root\tro\r\n\t# rd.shell\r\n\r\nquiet\t\r\n#\n";
        assert_eq!(of(usual).unwrap(), "root=/dev/mapper/root ro quiet");
        assert_eq!(command_line("# rd.break\nquiet").unwrap(), "quiet");
        for line in ["quiet # rd.break", "quiet\t#rd.break"] {
            let why = command_line(line).unwrap_err().to_string();
            assert!(why.contains("knows no comments"), "{why}");
        }
        assert_eq!(command_line("netdev=a#b").unwrap(), "netdev=a#b");
        assert!(of(b"quiet\xff").unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn an_os_release_without_id_gets_the_default() {
        let dir = tempfile::TempDir::new().unwrap();
        let of = |bytes: &[u8]| {
            let file = dir.path().join("os-release");
            std::fs::write(&file, bytes).unwrap();
            os_release(&file).map(|bytes| String::from_utf8(bytes).unwrap())
        };
        for whole in ["ID=\"acme\"\nNAME='Acme OS'\n", "PRETTY_NAME=x\nID=y", "ID=y\nPRETTY_NAME=\"Gerät\"\n# NAME=z\n"]
        {
            assert_eq!(of(whole.as_bytes()).unwrap(), whole);
        }
        assert_eq!(of(b"VERSION_ID=1").unwrap(), "VERSION_ID=1\nID=linux\n");
        assert_eq!(of(b"\xef\xbb\xbfID=x\nNAME=Ger\xe4t\n").unwrap(), "ID=x\nNAME=Ger\u{fffd}t\n");
        for none in [&b""[..], b"#!/bin/sh\nexit\n", b"# ID=x\n", b"\x7fELF\0ID=x\n", b"=\n"] {
            assert!(of(none).unwrap_err().to_string().contains("os-release(5)"), "{none:?}");
        }
    }
}
