//! What goes where in a system: the one list, for `cargo xtask install` and for packages.
//!
//! ```text
//! bin/trust                                  lib/trust/trust-initrd
//! share/man/man1/                            share/trust/     the parts for initrds
//! share/bash-completion/completions/trust    share/zsh/site-functions/_trust
//! share/fish/vendor_completions.d/trust.fish
//! lib/systemd/system/trust-*                 where the prefix is the system's: systemd looks nowhere else
//! /etc/request-key.d/trust.conf              where the prefix is the system's: request-key(8) looks nowhere else
//! /usr/lib/dracut/modules.d/90trust/         where the prefix is the system's: dracut looks nowhere else
//! ```

use Below::{Prefix, Program, Root};
use Part::{Host, Initrd};
use anyhow::{Context, Result};
use std::{
    fs,
    path::{Path, PathBuf},
};

/// Which of the two packages a file belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// `trust`: the program of administrators and of the running system.
    Host,
    /// `trust-initrd`: what initrds are made with.
    Initrd,
}

/// What a place is relative to.
#[derive(Clone, Copy)]
enum Below {
    /// The prefix of the host program.
    Program,
    /// The prefix of everything else.
    Prefix,
    /// The root directory; and only in a system.
    Root,
    /// The prefix; and only in a system.
    System,
}

/// A file or directory of `dist`, and where it goes. Of several that match a file the first counts.
struct Item {
    part: Part,
    from: &'static str,
    below: Below,
    to: &'static str,
}

const fn item(part: Part, from: &'static str, below: Below, to: &'static str) -> Item {
    Item { part, from, below, to }
}

/// Where zsh looks for completions; a Debian, elsewhere.
pub const ZSH: &str = "share/zsh/site-functions";
const ITEMS: [Item; 11] = [
    item(Host, "trust", Program, "bin/trust"),
    item(Host, "man/man1", Program, "share/man/man1"),
    item(Host, "completions/bash", Program, "share/bash-completion/completions"),
    item(Host, "completions/zsh", Program, ZSH),
    item(Host, "completions/fish", Program, "share/fish/vendor_completions.d"),
    // Of the running system.
    item(Host, "system-units", Below::System, "lib/systemd/system"),
    item(Host, "request-key.d", Root, "etc/request-key.d"),
    item(Initrd, "trust-initrd", Prefix, "lib/trust/trust-initrd"),
    // For whoever uses systemd-pcrlock on machines that boot with Trust: it must not be where that looks by itself.
    item(Host, "share/pcrlock.d", Prefix, "share/trust/pcrlock.d"),
    item(Initrd, "share", Prefix, "share/trust"),
    // Once more, where dracut looks for it.
    item(Initrd, "share/dracut/90trust", Root, "usr/lib/dracut/modules.d/90trust"),
];

/// Where the parts of a system are.
pub struct Layout<'a> {
    /// The prefix of the host program, its manual pages and completions.
    pub program: &'a Path,
    /// The prefix of the rest.
    pub prefix: &'a Path,
    /// Whether it is a system's, and not a user's.
    pub is_system: bool,
}

/// A file of `dist`, and where it goes.
pub struct Placed {
    pub from: PathBuf,
    /// Absolute.
    pub to: PathBuf,
}

impl Layout<'_> {
    /// Each file of these parts in `dist`, and where it goes.
    pub fn plan(&self, dist: &Path, parts: &[Part]) -> Result<Vec<Placed>> {
        let mut plan: Vec<Placed> = Vec::new();
        for Item { part, from, below, to } in ITEMS.into_iter().filter(|item| parts.contains(&item.part)) {
            let below = match below {
                Program => self.program,
                Prefix => self.prefix,
                Below::System if self.is_system => self.prefix,
                Root if self.is_system => Path::new("/"),
                _ => continue,
            };
            let from = dist.join(from);
            for file in files(&from)? {
                let name = file.strip_prefix(&from)?.to_owned();
                let to = if name.as_os_str().is_empty() { below.join(to) } else { below.join(to).join(name) };
                if plan.iter().all(|placed| placed.to != to) && part_of(&file, dist) == Some(part) {
                    plan.push(Placed { from: file, to });
                }
            }
        }
        Ok(plan)
    }
}

/// The part that the first item gives a file to.
fn part_of(file: &Path, dist: &Path) -> Option<Part> {
    ITEMS.iter().find(|item| file.starts_with(dist.join(item.from))).map(|item| item.part)
}

/// A file itself, or the files below a directory.
fn files(path: &Path) -> Result<Vec<PathBuf>> {
    if !fs::metadata(path).with_context(|| format!("there is no {}", path.display()))?.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path).with_context(|| format!("cannot list {}", path.display()))? {
        found.extend(files(&entry?.path())?);
    }
    // Whatever the order of the directory: packages of the same files are the same.
    found.sort();
    Ok(found)
}
