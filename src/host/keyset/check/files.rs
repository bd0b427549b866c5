//! Files: their modes and owners, and unexpected ones.

use super::Findings;
use crate::{
    error::Result,
    host::{
        fs::atomic::{self, PRIVATE, PUBLIC, UNFINISHED},
        keyset::{Keyset, KeysetItem, Role, show::Whereabouts},
    },
    policy::pcr7data::{AUTHORITIES, EVENTS},
};
use std::{
    fs::{self, Metadata},
    io::Read,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

/// What a path in a keyset should be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Expected {
    Directory,
    /// Mode 0600.
    Private,
    /// Mode 0640.
    Public,
    /// Left by a command that was killed.
    Unfinished,
    Nothing,
}

/// Looks at every file and directory.
pub fn check(keyset: &Keyset, findings: &mut Findings) -> Result<()> {
    let root = keyset.path();
    let metadata = root.metadata().map_err(|e| atomic::cannot("look at", root, &e))?;
    let mut walk = Walk { owner: metadata.uid(), open: Vec::new(), private: false, findings };
    walk.directory_mode(root, &metadata);
    walk.below(root, &mut Vec::new());
    walk.close(root);
    Ok(())
}

/// The state of the walk through a keyset.
struct Walk<'a> {
    owner: u32,
    /// What is accessible to more users than necessary.
    open: Vec<PathBuf>,
    /// Whether there was a private key.
    private: bool,
    findings: &'a mut Findings,
}

impl Walk<'_> {
    fn below(&mut self, dir: &Path, names: &mut Vec<String>) {
        let entries = match fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(e) => return self.findings.error(dir, format!("cannot be listed: {e}"), "run it as the owner"),
        };
        for entry in entries.flatten() {
            let path = entry.path();
            names.push(entry.file_name().to_string_lossy().into_owned());
            match path.symlink_metadata() {
                Ok(metadata) => self.look_at(&path, &metadata, names),
                Err(e) => self.findings.error(&path, format!("cannot be read: {e}"), "check the file system"),
            }
            names.pop();
        }
    }

    fn look_at(&mut self, path: &Path, metadata: &Metadata, names: &mut Vec<String>) {
        let expected = expected(&names.iter().map(String::as_str).collect::<Vec<_>>());
        let kind = metadata.file_type();
        match expected {
            Expected::Unfinished => {
                return self.findings.warning(path, "was not finished by a command that was killed", "remove it");
            }
            Expected::Nothing => return self.foreign(path, metadata),
            _ if kind.is_symlink() => {
                let remedy = "put what it points to in its place";
                return self.findings.warning(
                    path,
                    "is a symbolic link, and is only as safe as where it leads",
                    remedy,
                );
            }
            Expected::Directory if !kind.is_dir() => {
                return self.findings.error(path, "is not a directory", "remove it, or restore it from a backup");
            }
            Expected::Private | Expected::Public if !kind.is_file() => {
                return self.findings.error(path, "is not a regular file", "remove it, or restore it from a backup");
            }
            _ => {}
        }
        if metadata.uid() != self.owner {
            let what = format!("belongs to uid {} and not to the keyset's owner, uid {}", metadata.uid(), self.owner);
            self.findings.error(path, what, format!("chown {} {}", self.owner, quoted(path)));
        }
        match expected {
            Expected::Directory => {
                self.directory_mode(path, metadata);
                self.below(path, names);
            }
            Expected::Private => self.private_mode(path, metadata),
            _ => self.public_mode(path, metadata),
        }
    }

    fn directory_mode(&mut self, path: &Path, metadata: &Metadata) {
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let what = format!("is writable by others (mode {mode:04o}): they can replace what is in it");
            self.findings.error(path, what, format!("chmod 700 {}", quoted(path)));
        } else if mode & 0o077 != 0 {
            self.open.push(path.to_owned());
        }
    }

    fn private_mode(&mut self, path: &Path, metadata: &Metadata) {
        // The name of a token's key is not secret, but the file may also hold the PIN.
        self.private |= Whereabouts::of(path) != Whereabouts::Token;
        let mode = metadata.mode() & 0o7777;
        if mode & !PRIVATE != 0 {
            let what = format!("a private key that is not for its owner alone (mode {mode:04o})");
            self.findings.error(
                path,
                what,
                format!("chmod 600 {}; if others could read it, make a new one", quoted(path)),
            );
        }
    }

    fn public_mode(&mut self, path: &Path, metadata: &Metadata) {
        if holds_key(path) {
            let what = "a private key in a file that others are given";
            self.findings.error(path, what, "take it out; if others have the file, make a new key");
        }
        let mode = metadata.mode() & 0o7777;
        if mode & 0o022 != 0 {
            let what = format!("is writable by others (mode {mode:04o})");
            self.findings.error(path, what, format!("chmod 640 {}, and check that it is unchanged", quoted(path)));
        } else if mode & !PUBLIC != 0 {
            self.open.push(path.to_owned());
        }
    }

    /// A file that is not part of a keyset: nothing reads it, but it may be a copy of a key.
    fn foreign(&mut self, path: &Path, metadata: &Metadata) {
        if metadata.is_file() && holds_key(path) {
            let what = "a private key where none belongs";
            return self.findings.error(path, what, "remove it, or move it to where it is kept safe");
        }
        let kind = metadata.file_type();
        let what = match () {
            () if metadata.is_dir() => "a directory that is not part of a keyset",
            () if kind.is_socket() || kind.is_fifo() || kind.is_block_device() || kind.is_char_device() => {
                "not a file, and not part of a keyset"
            }
            () => "not part of a keyset",
        };
        self.findings.warning(path, what, "move it elsewhere if you know it, or find out where it is from");
    }

    /// One finding for everything accessible to others, if there are keys to protect.
    fn close(self, root: &Path) {
        if let Some(first) = self.open.iter().min().filter(|_| self.private) {
            let more = match self.open.len() - 1 {
                0 => String::new(),
                n => format!(", and {n} more"),
            };
            let what = format!("others can read it{more}: directories should have mode 0700 and files 0640");
            self.findings.warning(first, what, format!("chmod -R go-rwx {}", quoted(root)));
        }
    }
}

/// What a path in a keyset should be, from the names that lead to it.
fn expected(names: &[&str]) -> Expected {
    use Expected::{Directory, Nothing, Private, Public, Unfinished};
    let credentials = |file: &str| match file {
        "privkey.pem" => Private,
        "cert.pem" => Public,
        _ => Nothing,
    };
    match names {
        [.., name] if name.starts_with(UNFINISHED) => Unfinished,
        ["manifest" | "pcr7data"] | ["manifest", _] | ["manifest", _, "sudi"] | ["manifest", _, "sudi", _] => {
            if names.iter().any(|name| name.starts_with('.')) { Nothing } else { Directory }
        }
        ["manifest", _, "uuid"] => Public,
        ["manifest", _, file] | ["manifest", _, "sudi", _, file] => credentials(file),
        ["pcr7data", rest @ ..] => policy(rest),
        [dir] if role(dir).is_some() => Directory,
        [dir, file] => match role(dir) {
            Some(role) if *file == KeysetItem::Guid.file() && role.has_guid() => Public,
            Some(_) => credentials(file),
            None => Nothing,
        },
        _ => Nothing,
    }
}

/// The same, below pcr7data.
fn policy(names: &[&str]) -> Expected {
    use Expected::{Directory, Nothing, Public};
    let is_version = |name: &str| name.strip_prefix("policy-").is_some_and(|n| n.parse::<u32>().is_ok());
    let is_hex = |name: &str, len| name.len() == len && name.bytes().all(|digit| digit.is_ascii_hexdigit());
    match names {
        [version, rest @ ..] if is_version(version) => match rest {
            [] | ["pubkeys" | AUTHORITIES] => Directory,
            ["pubkeys" | AUTHORITIES, file] if file.ends_with(".pem") => Public,
            [xx] if is_hex(xx, 2) => Directory,
            [xx, rest] if is_hex(xx, 2) && is_hex(rest, 62) => Directory,
            [xx, rest, file] if is_hex(xx, 2) && is_hex(rest, 62) && is_policy_file(file) => Public,
            _ => Nothing,
        },
        _ => Nothing,
    }
}

/// Whether a file of this name belongs to a PCR 7 value.
pub fn is_policy_file(name: &str) -> bool {
    const FILES: [&str; 8] = [
        "info.json",
        EVENTS,
        "tpm_luks.policy.signed",
        "tpm_passwd.policy.signed",
        "tpm_system.policy.signed",
        "pcr_limited.bin",
        "pcr_tpm.bin",
        "pcr_prod.bin",
    ];
    FILES.contains(&name)
}

fn role(dir: &str) -> Option<Role> {
    Role::ALL.into_iter().find(|role| role.dir() == dir)
}

/// Whether there is a private key in PEM in the first part of a file.
fn holds_key(path: &Path) -> bool {
    let mut start = zeroize::Zeroizing::new(Vec::new());
    let read = fs::File::open(path).and_then(|file| file.take(64 * 1024).read_to_end(&mut start));
    read.is_ok() && is_private(&start)
}

/// Whether a file holds a private key in PEM: `PRIVATE KEY`, `RSA PRIVATE KEY`, `ENCRYPTED PRIVATE KEY`, …
pub fn is_private(file: &[u8]) -> bool {
    const LABEL: &[u8] = b"PRIVATE KEY-----";
    file.windows(LABEL.len()).any(|window| window == LABEL)
}

/// A path as a shell takes it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '/' | '.' | '-' | '_' | '+' | ':' | ',');
    if text.chars().all(plain) { text } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_a_keyset_are_known() {
        let value = "0".repeat(62);
        for (path, what) in [
            ("uefi-db", Expected::Directory),
            ("uefi-db/guid", Expected::Public),
            ("sudi-ca/guid", Expected::Nothing),
            ("uefi-db/privkey.pem", Expected::Private),
            ("uefi-db/privkey.pem~", Expected::Nothing),
            ("manifest/p/privkey.pem", Expected::Private),
            ("manifest/p/uuid", Expected::Public),
            ("manifest/p/sudi/s/privkey.pem", Expected::Private),
            ("manifest/p/sudi/.new-1", Expected::Unfinished),
            ("manifest/.git", Expected::Nothing),
            (".git", Expected::Nothing),
            ("pcr7data/policy-2/pubkeys/luks-k.pem", Expected::Public),
            (&format!("pcr7data/policy-2/00/{value}/info.json"), Expected::Public),
            (&format!("pcr7data/policy-2/00/{value}0"), Expected::Nothing),
            ("pcr7data/policy", Expected::Nothing),
        ] {
            assert_eq!(expected(&path.split('/').collect::<Vec<_>>()), what, "{path}");
        }
    }

    #[test]
    fn paths_are_quoted_for_a_shell() {
        assert_eq!(quoted(Path::new("/a/b-c")), "/a/b-c");
        assert_eq!(quoted(Path::new("/a b/it's")), r"'/a b/it'\''s'");
    }
}
