//! Initrds, read archive by archive and entry by entry.

use super::{ALIGNMENT, Compression, KIND, MAGIC, MAX_NAME, REGULAR, SYMLINK, TRAILER};
use crate::{
    error::{Error, Kind, Result},
    host::fs::data::{Forward, Stream, failure},
};
use std::{borrow::Cow, io};

/// The same as [`MAGIC`] with a sum of the data's bytes, which the kernel accepts too.
const MAGIC_WITH_SUM: &[u8] = b"070702";
/// What both begin with, and nothing compressed does.
const FIRST: u8 = b'0';
/// Six digits of magic and thirteen fields of eight hexadecimal digits.
const HEADER: usize = 110;
/// Upper bound in bytes of what is shown of a file: its beginning.
pub const MAX_SHOWN: usize = 64 * 1024;

/// An entry of an archive that was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ArchiveEntry<'a> {
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

/// A part of an initrd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Where it begins.
    pub start: usize,
    /// How it is compressed. Only decompressing it shows where it ends.
    pub compression: Option<Compression>,
}

/// Goes to the next part of an initrd; `None` when only zeros follow. Of an archive every entry is shown, but for the
/// trailer, and the next part comes behind it; something compressed is where the stream then is.
///
/// # Errors
/// [`Kind::Corrupt`]: the kernel would not unpack it, or cut off; those of reading.
pub fn next_part(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&ArchiveEntry<'_>)) -> Result<Option<Part>> {
    if !behind_zeros(initrd)? {
        return Ok(None);
    }
    let start = initrd.position();
    let beginning = initrd.peek(MAGIC.len()).map_err(|e| unreadable(start, e))?;
    if beginning.first() == Some(&FIRST) {
        archive(initrd, see)?;
        return Ok(Some(Part { start, compression: None }));
    }
    match Compression::of(beginning) {
        Some(compression) => Ok(Some(Part { start, compression: Some(compression) })),
        None => Err(bad(start, "this is not a cpio archive, nor compressed in a way that is known")),
    }
}

/// The entries of an archive. It ends behind its trailer, or, as the kernel does not demand one, where no further entry begins.
/// Zeros may stand between any two entries.
fn archive(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&ArchiveEntry<'_>)) -> Result<()> {
    while entry(initrd, see)? {
        let at = initrd.position();
        if !behind_zeros(initrd)? || initrd.peek(1).map_err(|e| unreadable(at, e))? != [FIRST] {
            break;
        }
    }
    Ok(())
}

/// Shows the next entry, if it is not the trailer, and says whether it is not the trailer.
pub(super) fn entry(initrd: &mut Stream<impl Forward>, see: &mut dyn FnMut(&ArchiveEntry<'_>)) -> Result<bool> {
    let at = initrd.position();
    let unreadable = |e| unreadable(at, e);
    if !at.is_multiple_of(ALIGNMENT) {
        return Err(bad(at, "an archive must begin at a multiple of four bytes"));
    }
    let header = initrd.peek(HEADER).map_err(unreadable)?;
    let EntryHeader { mode, uid, gid, size, name_size } = EntryHeader::read(header, at)?;
    let name = initrd.peek(HEADER + name_size).map_err(unreadable)?;
    let name = name.get(HEADER..HEADER + name_size).ok_or_else(|| cut_off(at))?;
    let name = unpadded(name).map(|name| (name == TRAILER.as_bytes(), path(name)));
    let is_whole = initrd.skip((HEADER + name_size).next_multiple_of(ALIGNMENT)).map_err(unreadable)?;
    let data = initrd.peek(size.min(MAX_SHOWN)).map_err(unreadable)?;
    if let Some((false, Some(path))) = &name {
        see(&ArchiveEntry { path: path.clone(), mode, uid, gid, size, data });
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
struct EntryHeader {
    mode: u32,
    uid: u32,
    gid: u32,
    size: usize,
    /// With the NUL.
    name_size: usize,
}

impl EntryHeader {
    fn read(header: &[u8], at: usize) -> Result<Self> {
        let header = header.first_chunk::<HEADER>().ok_or_else(|| cut_off(at))?;
        let fields = header.strip_prefix(MAGIC).or_else(|| header.strip_prefix(MAGIC_WITH_SUM));
        let fields = fields.ok_or_else(|| bad(at, "this is not the header of an entry"))?;
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
