//! cpio archives as the kernel's grammar permits them, and damaged: what our reader accepts of them the kernel must
//! unpack, and to the same files.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};
use trust::host::{
    image::cpio::{self, DIRECTORY, KIND, REGULAR, SYMLINK},
    uki::initrd,
};

/// How many archives go to the kernel.
const ARCHIVES: usize = 400;
/// These bytes of a header stay as they are: inode and links, by which files are tied together.
const TIES: [std::ops::Range<usize>; 2] = [6..14, 38..46];

/// An initrd of many archives, and what our reader says that they become: a line for each file, sorted.
pub fn archives() -> (Vec<u8>, BTreeSet<String>) {
    let (mut initrd, mut lines) = (Vec::new(), BTreeSet::new());
    let (mut dice, mut accepted, mut damaged) = (Random(0x9e37_79b9_7f4a_7c15), 0, 0);
    let mut tries = 0;
    while accepted < ARCHIVES {
        tries += 1;
        assert!(tries < 100 * ARCHIVES, "{accepted} of {tries} archives were accepted");
        let name = format!("f/{accepted:03}");
        let mut archive = made(&mut dice, &name);
        if accepted == 0 {
            archive.splice(0..0, entry("f", DIRECTORY | 0o755, b"", 0));
        }
        let damage = dice.below(2) == 0;
        if damage {
            spoil(&mut dice, &mut archive);
        }
        let Some(found) = becomes(&archive, &name) else { continue };
        accepted += 1;
        damaged += usize::from(damage);
        lines.extend(found);
        // The zeros between archives, or none.
        initrd.resize(initrd.len().next_multiple_of(4) + 4 * dice.below(3) * dice.below(40), 0);
        initrd.extend(archive);
    }
    assert!(damaged > ARCHIVES / 10 && damaged < ARCHIVES, "{damaged} were damaged");
    (initrd, lines)
}

/// What an archive becomes, if it is accepted and keeps to itself: nothing outside of its directory, nothing twice,
/// everything in a directory that is there.
fn becomes(archive: &[u8], directory: &str) -> Option<Vec<String>> {
    let mut files = BTreeMap::new();
    let mut alone = true;
    let mut see = |entry: &cpio::ArchiveEntry<'_>| {
        let kind = entry.mode & KIND;
        let inside = entry.path == directory || entry.path.starts_with(&format!("{directory}/"));
        let parent = entry.path.rsplit_once('/').map_or("", |(parent, _)| parent);
        let has_parent = entry.path == directory || matches!(files.get(parent), Some((DIRECTORY, _, _)));
        alone &= entry.path == "f" || inside && has_parent && !files.contains_key(&entry.path);
        alone &= [DIRECTORY, REGULAR, SYMLINK].contains(&kind) && entry.path.bytes().all(|b| b.is_ascii_graphic());
        files.insert(entry.path.clone(), (kind, entry.mode & 0o7777, entry.data.to_vec()));
    };
    initrd::walk(archive, 1 << 20, &mut see).ok()?;
    let lines = files.into_iter().filter(|(path, _)| path != "f");
    let line = |(path, (kind, permissions, data)): (String, (u32, u32, Vec<u8>))| match kind {
        DIRECTORY => format!("d {path} {permissions:o}"),
        SYMLINK => format!("l {path} {}", String::from_utf8_lossy(&data)),
        _ => format!("f {path} {permissions:o} {}", harness::hex(&harness::sha256(&[&data]))),
    };
    alone.then(|| lines.map(line).collect())
}

/// An archive below `directory`, with names padded, zeros between its entries, and a trailer or none.
fn made(dice: &mut Random, directory: &str) -> Vec<u8> {
    let mut archive = entry(directory, DIRECTORY | 0o755, b"", dice.below(5));
    for number in 0..1 + dice.below(4) {
        let prefix = ["", "/", "./", ".//"][dice.below(4)];
        let path = format!("{prefix}{directory}/{number}");
        let contents: Vec<u8> = (0..dice.below(40)).map(|_| b"0701ab\n"[dice.below(7)]).collect();
        let padding = dice.below(2) * dice.below(512);
        archive.extend(match dice.below(4) {
            0 => entry(&path, SYMLINK | 0o777, format!("to/{number}").as_bytes(), padding),
            1 => entry(&path, DIRECTORY | 0o711, b"", padding),
            _ => entry(&path, REGULAR | 0o640, &contents, padding),
        });
        archive.resize(archive.len() + 4 * dice.below(2) * dice.below(9), 0);
    }
    if dice.below(2) == 0 {
        archive.extend(entry("TRAILER!!!", 0, b"", dice.below(2) * 7));
    }
    archive
}

/// An entry whose name has so many more zeros behind it.
fn entry(path: &str, mode: u32, data: &[u8], padding: usize) -> Vec<u8> {
    let number = |len: usize| u32::try_from(len).unwrap();
    let mut header = "070701".to_owned();
    for field in [1, mode, 0, 0, 1, 0, number(data.len()), 0, 0, 0, 0, number(path.len() + 1 + padding), 0] {
        write!(header, "{field:08x}").unwrap();
    }
    let mut bytes = header.into_bytes();
    bytes.extend(path.bytes().chain(std::iter::repeat_n(0, 1 + padding)));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes.extend(data);
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Changes a byte or two, or cuts the end off.
fn spoil(dice: &mut Random, archive: &mut Vec<u8>) {
    if dice.below(4) == 0 {
        archive.truncate(archive.len() - dice.below(8).min(archive.len()));
    }
    for _ in 0..1 + dice.below(2) {
        let at = dice.below(archive.len());
        let header = archive[..=at].windows(6).rposition(|window| window == b"070701").unwrap_or_default();
        if !TIES.iter().any(|tie| tie.contains(&(at - header))) {
            archive[at] = b"0123456789abcdefABCDEF\0/. x"[dice.below(27)];
        }
    }
}

/// The same every time.
struct Random(u64);

impl Random {
    /// A number below this one.
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 33) % end as u64).unwrap()
    }
}
