//! cpio archives, "newc", as the kernel unpacks them (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! An initrd is a sequence of them, each begun at a multiple of four bytes,
//! with zeros between, and each may be compressed.

use crate::error::{Error, Kind, Result};
use std::collections::BTreeMap;

/// What a header begins with.
const MAGIC: &[u8] = b"070701";
/// The same with a sum of the data's bytes, which the kernel accepts too.
const MAGIC_WITH_SUM: &[u8] = b"070702";
/// What both begin with, and nothing compressed does.
const FIRST: u8 = b'0';
/// Six digits of magic and thirteen fields of eight hexadecimal digits.
const HEADER: usize = 110;
const ALIGNMENT: usize = 4;
/// The name of the entry that ends an archive.
const TRAILER: &str = "TRAILER!!!";
/// The kernel's `PATH_MAX`, the NUL at the end included.
const MAX_NAME: usize = 4096;
/// Zeros after an archive: LZ4 has no other mark of its end.
const SEPARATOR: usize = 4;

/// The bits of a mode that tell kinds of files apart.
pub const KIND: u32 = 0o170_000;
/// The kind of a directory.
pub const DIRECTORY: u32 = 0o040_000;
/// The kind of a regular file.
pub const REGULAR: u32 = 0o100_000;
/// The kind of a symbolic link.
pub const SYMLINK: u32 = 0o120_000;

/// An archive to be written: the same entries give the same bytes, in whatever order they came.
#[derive(Debug, Default)]
pub struct Archive {
    /// Mode and data. In the order of the names every directory comes before what is in it.
    entries: BTreeMap<String, (u32, Vec<u8>)>,
}

impl Archive {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a directory; it may be there.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn directory(&mut self, path: &str) -> Result<()> {
        for (slash, _) in path.match_indices('/').chain([(path.len(), "")]) {
            let parent = path.get(..slash).unwrap_or_default();
            match self.entries.get(parent) {
                None => self.insert(parent, DIRECTORY | 0o755, Vec::new())?,
                Some((mode, _)) if mode & KIND == DIRECTORY => {}
                Some(_) => return Err(unwritable(parent, "it is no directory")),
            }
        }
        Ok(())
    }

    /// Adds a file with these permissions, and the directories above it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the path leads out of the archive, is too long or taken.
    pub fn file(&mut self, path: &str, permissions: u32, data: Vec<u8>) -> Result<()> {
        self.add(path, REGULAR | permissions & 0o7777, data)
    }

    /// Adds a symbolic link, and the directories above it.
    ///
    /// # Errors
    /// As [`Self::file`].
    pub fn symlink(&mut self, path: &str, target: &str) -> Result<()> {
        self.add(path, SYMLINK | 0o777, target.as_bytes().to_vec())
    }

    /// The archive, its length a multiple of four: owned by root, without times.
    ///
    /// # Errors
    /// [`Kind::Usage`] when a file is larger than 4 GiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        for (inode, (path, (mode, data))) in (1_u32..).zip(&self.entries) {
            write(&mut bytes, inode, path, *mode, data)?;
        }
        write(&mut bytes, 0, TRAILER, 0, &[])?;
        Ok(bytes)
    }

    fn add(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        if let Some((parent, _)) = path.rsplit_once('/') {
            self.directory(parent)?;
        }
        self.insert(path, mode, data)
    }

    fn insert(&mut self, path: &str, mode: u32, data: Vec<u8>) -> Result<()> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        if path.len() >= MAX_NAME || path == TRAILER || !path.split('/').all(plain) {
            return Err(unwritable(path, "it is no path of an initrd"));
        }
        if self.entries.contains_key(path) {
            return Err(unwritable(path, "it is there already"));
        }
        self.entries.insert(path.to_owned(), (mode, data));
        Ok(())
    }
}

/// Puts an archive, compressed or not, behind what an initrd holds already.
pub fn append(initrd: &mut Vec<u8>, archive: &[u8]) {
    if !initrd.is_empty() {
        initrd.resize((initrd.len() + SEPARATOR).next_multiple_of(ALIGNMENT), 0);
    }
    initrd.extend_from_slice(archive);
}

fn write(bytes: &mut Vec<u8>, inode: u32, path: &str, mode: u32, data: &[u8]) -> Result<()> {
    let size = |len: usize| u32::try_from(len).map_err(|_| unwritable(path, "it is larger than 4 GiB"));
    let links = if mode & KIND == DIRECTORY { 2 } else { 1 };
    // Inode, mode, uid, gid, links, mtime, size, device, device of a special file, size of the name, sum.
    let fields = [inode, mode, 0, 0, links, 0, size(data.len())?, 0, 0, 0, 0, size(path.len() + 1)?, 0];
    bytes.extend_from_slice(MAGIC);
    for field in fields {
        bytes.extend_from_slice(format!("{field:08x}").as_bytes());
    }
    bytes.extend_from_slice(path.as_bytes());
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend_from_slice(data);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    Ok(())
}

fn unwritable(path: &str, why: &'static str) -> Error {
    Error::new(Kind::Usage, format!("put {path:?} into an archive"), why)
}

/// An entry of an archive that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// Relative to the root, like `usr/bin/trust`; empty for the root itself.
    pub path: String,
    /// Kind and permissions, as in `stat`.
    pub mode: u32,
    /// The user who will own it.
    pub uid: u32,
    /// The group that will.
    pub gid: u32,
    /// What a file holds, or a link points to.
    pub data: &'a [u8],
}

/// How an archive is compressed, by its first bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// RFC 1952.
    Gzip,
    /// RFC 8878.
    Zstd,
    /// The .xz format.
    Xz,
    /// The .lzma format, without a magic of its own.
    Lzma,
    /// LZ4's legacy frames.
    Lz4,
    /// bzip2.
    Bzip2,
    /// lzop.
    Lzo,
}

impl Compression {
    const MAGIC: [(&'static [u8], Self); 8] = [
        (b"\x1f\x8b", Self::Gzip),
        (b"\x1f\x9e", Self::Gzip),
        (b"\x28\xb5\x2f\xfd", Self::Zstd),
        (b"\xfd7zXZ\0", Self::Xz),
        (b"\x5d\0\0", Self::Lzma),
        (b"\x02\x21\x4c\x18", Self::Lz4),
        (b"BZh", Self::Bzip2),
        (b"\x89LZO", Self::Lzo),
    ];

    /// As everybody calls it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Lzma => "lzma",
            Self::Lz4 => "lz4",
            Self::Bzip2 => "bzip2",
            Self::Lzo => "lzo",
        }
    }
}

/// A part of an initrd.
#[derive(Debug)]
pub struct Part<'a> {
    /// Where it begins.
    pub start: usize,
    /// What it is.
    pub what: What<'a>,
}

/// What a part of an initrd is.
#[derive(Debug)]
pub enum What<'a> {
    /// An archive, without the entry that may end it.
    Archive {
        /// What is in it, in its order.
        entries: Vec<Entry<'a>>,
        /// Where it ends.
        end: usize,
    },
    /// Something compressed. Only who decompresses it knows where it ends.
    Compressed(Compression),
}

/// Reads the next part of an initrd: `from` is where the last one ended; `None` when only zeros follow.
///
/// # Errors
/// [`Kind::Corrupt`]: it is nothing that the kernel would unpack, or cut off.
pub fn next_part(initrd: &[u8], from: usize) -> Result<Option<Part<'_>>> {
    let Some(start) = behind_zeros(initrd, from) else { return Ok(None) };
    let rest = initrd.get(start..).unwrap_or_default();
    if rest.first() == Some(&FIRST) {
        let (entries, end) = archive(initrd, start)?;
        return Ok(Some(Part { start, what: What::Archive { entries, end } }));
    }
    match Compression::MAGIC.iter().find(|(magic, _)| rest.starts_with(magic)) {
        Some((_, compression)) => Ok(Some(Part { start, what: What::Compressed(*compression) })),
        None => Err(bad(start, "this is not a cpio archive, nor compressed in a way that is known")),
    }
}

/// The entries of the archive that begins at `start`, and where it ends: behind its trailer, or, as the kernel asks for
/// none, where no further entry begins. Zeros may stand between any two entries.
fn archive(initrd: &[u8], start: usize) -> Result<(Vec<Entry<'_>>, usize)> {
    let mut entries = Vec::new();
    let mut at = start;
    loop {
        let (entry, end) = entry(initrd, at)?;
        let Some(entry) = entry else { return Ok((entries, end)) };
        entries.push(entry);
        match behind_zeros(initrd, end).filter(|next| initrd.get(*next) == Some(&FIRST)) {
            Some(next) => at = next,
            None => return Ok((entries, end)),
        }
    }
}

/// The entry that begins at `at`, if it is not the trailer, and where it ends.
fn entry(initrd: &[u8], at: usize) -> Result<(Option<Entry<'_>>, usize)> {
    if !at.is_multiple_of(ALIGNMENT) {
        return Err(bad(at, "an archive must begin at a multiple of four bytes"));
    }
    let Header { mode, uid, gid, size, name_size } = Header::read(initrd, at)?;
    let name = slice(initrd, at + HEADER, name_size).ok_or_else(|| cut_off(at))?;
    let data_start = (at + HEADER + name_size).next_multiple_of(ALIGNMENT);
    let data = slice(initrd, data_start, size).ok_or_else(|| cut_off(at))?;
    let name = unpadded(name).ok_or_else(|| bad(at, "the name of an entry does not end in zeros"))?;
    match mode & KIND {
        REGULAR => {}
        SYMLINK if size <= MAX_NAME => {}
        _ if size == 0 => {}
        _ => return Err(bad(at, "an entry that is not a file has contents, and the kernel would pass over it")),
    }
    // The zeros after the last data may be missing.
    let end = (data_start + size).next_multiple_of(ALIGNMENT).min(initrd.len());
    if name == TRAILER.as_bytes() {
        return Ok((None, end));
    }
    let path = path(name).ok_or_else(|| bad(at, "the name of an entry is not a path in an initrd"))?;
    Ok((Some(Entry { path, mode, uid, gid, data }), end))
}

/// Where something other than zeros begins.
fn behind_zeros(initrd: &[u8], from: usize) -> Option<usize> {
    Some(from + initrd.get(from..)?.iter().position(|byte| *byte != 0)?)
}

/// The fields of a header that matter here.
struct Header {
    mode: u32,
    uid: u32,
    gid: u32,
    size: usize,
    /// With the NUL.
    name_size: usize,
}

impl Header {
    fn read(initrd: &[u8], at: usize) -> Result<Self> {
        let header = slice(initrd, at, HEADER).ok_or_else(|| cut_off(at))?;
        let fields = header.strip_prefix(MAGIC).or_else(|| header.strip_prefix(MAGIC_WITH_SUM));
        let fields = fields.ok_or_else(|| bad(at, "this is no header of an entry"))?;
        let mut numbers = [0; 13];
        for (number, digits) in numbers.iter_mut().zip(fields.chunks_exact(8)) {
            *number = hex(digits).ok_or_else(|| bad(at, "a number in the header is not hexadecimal"))?;
        }
        let [_, mode, uid, gid, _, _, size, _, _, _, _, name_size, _] = numbers;
        let (size, name_size) = (size as usize, name_size as usize);
        if !(1..=MAX_NAME).contains(&name_size) {
            return Err(bad(at, "the length of a name is impossible"));
        }
        Ok(Self { mode, uid, gid, size, name_size })
    }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |number, digit| Some(number << 4 | char::from(*digit).to_digit(16)?))
}

/// A name without the NUL that ends it, behind which dracut-cpio puts more of them, to have the data begin where a block
/// of the file system does.
fn unpadded(name: &[u8]) -> Option<&[u8]> {
    let (name, zeros) = name.split_at_checked(name.iter().position(|byte| *byte == 0)?)?;
    zeros.iter().all(|byte| *byte == 0).then_some(name)
}

/// A name as a path without `.`, if it does not lead upwards.
fn path(name: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(name);
    let parts: Vec<_> = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect();
    (!name.is_empty() && !parts.contains(&"..")).then(|| parts.join("/"))
}

fn slice(bytes: &[u8], at: usize, len: usize) -> Option<&[u8]> {
    bytes.get(at..at.checked_add(len)?)
}

fn cut_off(at: usize) -> Error {
    bad(at, "the archive ends in the middle of an entry")
}

fn bad(at: usize, why: &'static str) -> Error {
    Error::new(Kind::Corrupt, format!("read the initrd at byte {at}"), why)
        .remedy("give an initrd as mkinitramfs, dracut or mkosi makes it")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Archive {
        let mut archive = Archive::new();
        archive.file("usr/bin/trust", 0o755, b"program".to_vec()).unwrap();
        archive.symlink("usr/bin/link", "trust").unwrap();
        archive.directory("empty").unwrap();
        archive.file("a", 0o640, Vec::new()).unwrap();
        archive
    }

    /// An entry of a file as somebody else writes it, and a trailer.
    fn raw(name: &str, name_size: u32, size: u32) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        let fields = [1, 0o100_644, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0];
        fields.iter().for_each(|field| bytes.extend_from_slice(format!("{field:08X}").as_bytes()));
        bytes.extend_from_slice(name.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes.extend_from_slice(&Archive::new().to_bytes().unwrap());
        bytes
    }

    /// Every entry of every archive.
    fn read(initrd: &[u8]) -> Result<Vec<(String, u32, Vec<u8>)>> {
        let (mut at, mut found) = (0, Vec::new());
        while let Some(Part { what: What::Archive { entries, end }, .. }) = next_part(initrd, at)? {
            found.extend(entries.into_iter().map(|entry| (entry.path, entry.mode, entry.data.to_vec())));
            at = end;
        }
        Ok(found)
    }

    #[test]
    fn what_is_written_is_read() {
        let bytes = sample().to_bytes().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        let expected = [
            ("a", 0o100_640, ""),
            ("empty", 0o040_755, ""),
            ("usr", 0o040_755, ""),
            ("usr/bin", 0o040_755, ""),
            ("usr/bin/link", 0o120_777, "trust"),
            ("usr/bin/trust", 0o100_755, "program"),
        ];
        let expected = expected.map(|(path, mode, data)| (path.to_owned(), mode, data.as_bytes().to_vec()));
        assert_eq!(read(&bytes).unwrap(), expected);

        let mut twice = b"\0\0\0\0".to_vec();
        twice.extend_from_slice(&bytes);
        append(&mut twice, &bytes);
        append(&mut twice, &[]);
        assert_eq!(read(&twice).unwrap(), [expected.clone(), expected].concat());
    }

    #[test]
    fn paths_that_lead_elsewhere_are_not_written() {
        for path in ["", "/etc", "a//b", "a/", "../a", "a/../b", ".", "a\0b", TRAILER, &"x".repeat(5000)] {
            assert!(Archive::new().file(path, 0o644, Vec::new()).is_err(), "{path:?}");
            assert!(Archive::new().directory(path).is_err(), "{path:?}");
        }
        let mut archive = sample();
        assert!(archive.file("a", 0o644, Vec::new()).is_err());
        assert!(archive.file("a/b", 0o644, Vec::new()).is_err());
        assert!(archive.directory("usr").is_ok());
    }

    /// The kernel asks for no trailer, so that an archive may end with any of its entries, and nowhere else.
    #[test]
    fn an_archive_ends_where_an_entry_does() {
        let bytes = sample().to_bytes().unwrap();
        // Where the zeros behind an entry begin, and where the next one does.
        let mut ends = vec![];
        let mut at = 0;
        while let (Some(entry), end) = entry(&bytes, at).unwrap() {
            ends.push(end - entry.data.len().next_multiple_of(ALIGNMENT) + entry.data.len()..=end);
            at = end;
        }
        assert_eq!(ends.len(), 6);
        for len in 1..bytes.len() {
            let entries = ends.iter().take_while(|end| *end.start() <= len).count();
            match read(&bytes[..len]) {
                Ok(found) => assert_eq!(found.len(), entries, "{len} bytes"),
                Err(_) => assert!(!ends.iter().any(|end| end.contains(&len)), "{len} bytes"),
            }
        }
    }

    #[test]
    fn what_others_write_is_read() {
        let sample = sample().to_bytes().unwrap();
        let all = read(&sample).unwrap();
        let trailer = Archive::new().to_bytes().unwrap();
        let entries = sample.strip_suffix(trailer.as_slice()).unwrap();
        // Zeros between entries; the next archive right behind the last entry.
        let mut initrd = entries.to_vec();
        initrd.extend_from_slice(&[0; 512]);
        initrd.extend_from_slice(entries);
        initrd.extend_from_slice(&sample);
        assert_eq!(read(&initrd).unwrap(), [all.clone(), all.clone(), all.clone()].concat());
        // Something compressed right behind it.
        let initrd = [entries, b"\x28\xb5\x2f\xfd"].concat();
        let first = next_part(&initrd, 0).unwrap().unwrap();
        assert!(matches!(first.what, What::Archive { end, .. } if end == entries.len()));
        let second = next_part(&initrd, entries.len()).unwrap().unwrap();
        assert!(matches!(second.what, What::Compressed(Compression::Zstd)));
        // A file that is merely called like a trailer.
        let mut other = raw("./TRAILER!!!\0", 13, 0);
        other.extend_from_slice(&sample);
        assert_eq!(read(&other).unwrap()[0].0, TRAILER);
    }

    #[test]
    fn lies_are_refused() {
        assert_eq!(read(&raw("./a\0", 4, 0)).unwrap()[0].0, "a");
        assert_eq!(read(&raw(".\0", 2, 0)).unwrap()[0].0, "");
        assert_eq!(read(&raw("a\0\0\0\0\0", 6, 0)).unwrap()[0].0, "a");
        for (name, name_size, size) in [
            ("a\0", 2, u32::MAX),
            ("a\0", u32::MAX, 0),
            ("a\0", 0, 0),
            ("a\0", 1, 0),
            ("a\0b\0", 4, 0),
            ("\0", 1, 0),
            ("../a\0", 5, 0),
            ("usr/../../a\0", 12, 0),
            ("a\0", 2, 0x1_0000),
        ] {
            assert!(read(&raw(name, name_size, size)).is_err(), "{name:?} {name_size} {size}");
        }
        let mut directory = raw("a\0", 2, 124);
        assert!(read(&directory).is_ok());
        directory[14..22].copy_from_slice(b"000041ED");
        assert!(read(&directory).is_err());
        let mut bytes = raw("a\0", 2, 0);
        bytes[7] = b'+';
        assert!(read(&bytes).is_err());
        let mut shifted = b"\0\0".to_vec();
        shifted.extend_from_slice(&sample().to_bytes().unwrap());
        assert!(read(&shifted).is_err());
        assert!(next_part(b"#!/bin/sh", 0).is_err());
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let part = next_part(b"\0\0\0\0\x28\xb5\x2f\xfd", 0).unwrap().unwrap();
        assert_eq!(part.start, 4);
        assert!(matches!(part.what, What::Compressed(Compression::Zstd)));
        assert!(next_part(b"\0\0\0", 0).unwrap().is_none());
        assert!(next_part(b"", 7).unwrap().is_none());
    }
}
