//! cpio archives, "newc", as the kernel unpacks them (Documentation/driver-api/early-userspace/buffer-format.rst).
//!
//! An initrd is a sequence of them, each begun at a multiple of four bytes,
//! with zeros between, and each may be compressed.

use crate::{
    error::{Error, Kind, Result},
    host::fs::data::{Forward, Stream, failure},
};
use std::{borrow::Cow, collections::BTreeMap, io};

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
/// Of larger files only the beginning is shown.
pub const MAX_SHOWN: usize = 64 * 1024;

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
    initrd.extend_from_slice(separator(initrd.len()));
    initrd.extend_from_slice(archive);
}

/// The zeros that go between an archive and what an initrd of this length holds already.
#[must_use]
pub fn separator(length: usize) -> &'static [u8] {
    const ZEROS: [u8; SEPARATOR + ALIGNMENT] = [0; SEPARATOR + ALIGNMENT];
    let zeros = if length == 0 { 0 } else { (length + SEPARATOR).next_multiple_of(ALIGNMENT) - length };
    ZEROS.get(..zeros).unwrap_or_default()
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
    /// How long what a file holds, or a link points to, is.
    pub size: usize,
    /// The beginning of that; all of it, if it is not longer than [`MAX_SHOWN`].
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub start: usize,
    /// How it is compressed. Only who decompresses it knows where it ends.
    pub compression: Option<Compression>,
}

/// Goes to the next part of an initrd; `None` when only zeros follow. Of an archive every entry is shown, but for the
/// trailer, and the next part comes behind it; something compressed is where the stream then is.
///
/// # Errors
/// [`Kind::Corrupt`]: it is nothing that the kernel would unpack, or cut off; those of reading.
pub fn next_part(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&Entry<'_>)) -> Result<Option<Part>> {
    if !behind_zeros(initrd)? {
        return Ok(None);
    }
    let start = initrd.position();
    let beginning = initrd.peek(MAGIC.len()).map_err(|e| unreadable(start, e))?;
    if beginning.first() == Some(&FIRST) {
        archive(initrd, see)?;
        return Ok(Some(Part { start, compression: None }));
    }
    match Compression::MAGIC.iter().find(|(magic, _)| beginning.starts_with(magic)) {
        Some((_, compression)) => Ok(Some(Part { start, compression: Some(*compression) })),
        None => Err(bad(start, "this is not a cpio archive, nor compressed in a way that is known")),
    }
}

/// The entries of an archive. It ends behind its trailer, or, as the kernel asks for none, where no further entry begins.
/// Zeros may stand between any two entries.
fn archive(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&Entry<'_>)) -> Result<()> {
    while entry(initrd, see)? {
        let at = initrd.position();
        if !behind_zeros(initrd)? || initrd.peek(1).map_err(|e| unreadable(at, e))? != [FIRST] {
            break;
        }
    }
    Ok(())
}

/// Shows the next entry, if it is not the trailer, and says whether it is none.
fn entry(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&Entry<'_>)) -> Result<bool> {
    let at = initrd.position();
    let unreadable = |e| unreadable(at, e);
    if !at.is_multiple_of(ALIGNMENT) {
        return Err(bad(at, "an archive must begin at a multiple of four bytes"));
    }
    let header = initrd.peek(HEADER).map_err(unreadable)?;
    let Header { mode, uid, gid, size, name_size } = Header::read(header, at)?;
    let name = initrd.peek(HEADER + name_size).map_err(unreadable)?;
    let name = name.get(HEADER..HEADER + name_size).ok_or_else(|| cut_off(at))?;
    let name = unpadded(name).map(|name| (name == TRAILER.as_bytes(), path(name)));
    let is_whole = initrd.skip((HEADER + name_size).next_multiple_of(ALIGNMENT)).map_err(unreadable)?;
    let data = initrd.peek(size.min(MAX_SHOWN)).map_err(unreadable)?;
    if let Some((false, Some(path))) = &name {
        see(&Entry { path: path.clone(), mode, uid, gid, size, data });
    }
    if !is_whole || !initrd.skip(size).map_err(unreadable)? {
        return Err(cut_off(at));
    }
    let (is_trailer, path) = name.ok_or_else(|| bad(at, "the name of an entry does not end in zeros"))?;
    match mode & KIND {
        REGULAR => {}
        SYMLINK if size <= MAX_NAME => {}
        _ if size == 0 => {}
        _ => return Err(bad(at, "an entry that is not a file has contents, and the kernel would pass over it")),
    }
    if !is_trailer && path.is_none() {
        return Err(bad(at, "the name of an entry is not a path in an initrd"));
    }
    // The zeros after the last data may be missing.
    initrd.skip(size.next_multiple_of(ALIGNMENT) - size).map_err(unreadable)?;
    Ok(!is_trailer)
}

/// Goes where something other than zeros begins, if it does.
fn behind_zeros(initrd: &mut Stream<impl Forward>) -> Result<bool> {
    let at = initrd.position();
    initrd.skip_zeros().map_err(|e| unreadable(at, e))
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
    fn read(header: &[u8], at: usize) -> Result<Self> {
        let header = header.first_chunk::<HEADER>().ok_or_else(|| cut_off(at))?;
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

fn cut_off(at: usize) -> Error {
    bad(at, "the archive ends in the middle of an entry")
}

fn unreadable(at: usize, error: io::Error) -> Error {
    failure(error, |why| bad(at, why))
}

fn bad(at: usize, why: impl Into<Cow<'static, str>>) -> Error {
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
        let (mut stream, mut found) = (Stream::of(initrd.into(), 0), Vec::new());
        let mut see = |entry: &Entry<'_>| found.push((entry.path.clone(), entry.mode, entry.data.to_vec()));
        while let Some(Part { compression: None, .. }) = next_part(&mut stream, &mut see)? {}
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
        let (mut ends, mut stream, mut size) = (vec![], Stream::of((&bytes).into(), 0), 0);
        while entry(&mut stream, &mut |entry| size = entry.size).unwrap() {
            let end = stream.position();
            ends.push(end - size.next_multiple_of(ALIGNMENT) + size..=end);
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
        let mut stream = Stream::of((&initrd).into(), 0);
        let mut next = || next_part(&mut stream, &mut |_| ()).unwrap();
        assert_eq!(next(), Some(Part { start: 0, compression: None }));
        assert_eq!(next(), Some(Part { start: entries.len(), compression: Some(Compression::Zstd) }));
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
        assert!(read(b"#!/bin/sh").is_err());
    }

    #[test]
    fn compression_is_told_by_the_first_bytes() {
        let next = |initrd: &[u8]| next_part(&mut Stream::of(initrd.into(), 0), &mut |_| ()).unwrap();
        let part = next(b"\0\0\0\0\x28\xb5\x2f\xfd");
        assert_eq!(part, Some(Part { start: 4, compression: Some(Compression::Zstd) }));
        assert_eq!(next(b"\0\0\0"), None);
        assert_eq!(next(b""), None);
    }

    #[test]
    fn of_large_files_the_beginning_is_shown() {
        let mut archive = sample();
        archive.file("large", 0o644, (0..MAX_SHOWN * 5).map(|at| at as u8).collect()).unwrap();
        let bytes = archive.to_bytes().unwrap();
        let mut seen = Vec::new();
        let mut see = |entry: &Entry<'_>| seen.push((entry.path.clone(), entry.size, entry.data.len()));
        next_part(&mut Stream::of((&bytes).into(), 0), &mut see).unwrap();
        assert!(seen.contains(&("large".to_owned(), MAX_SHOWN * 5, MAX_SHOWN)), "{seen:?}");
        assert_eq!(seen.last().unwrap().0, "usr/bin/trust");
    }
}
