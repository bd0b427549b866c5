//! A look into initrds: archives one behind the other, each compressed or not.

use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::data::{Data, Forward, PIECE, Stream},
        image::cpio::{self, ArchiveEntry, Compression, Part},
    },
};
use flate2::bufread::GzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::io::{self, Read};

/// Archives that are tried behind one that cannot be decompressed here.
const MAX_TRIES: usize = 64;
/// What an archive begins with, behind at least this many zeros.
const BEGINNING: &[u8] = b"\0\0\0\x00070701";
const ZEROS: usize = 4;
/// Archives begin at multiples of this.
const ALIGNMENT: usize = 4;

/// A part of an initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WalkedPart {
    /// Where it begins.
    pub start: usize,
    /// How it is compressed.
    pub compression: Option<Compression>,
    /// Whether what is in it was seen.
    pub seen: bool,
}

/// Shows every entry of every archive to `see`, in the order in which the
/// kernel unpacks them, and returns the parts.
///
/// gzip and zstd are decompressed, up to `limit` bytes each, none of which is kept. Behind something
/// compressed in another way the archives that follow are looked for.
///
/// # Errors
/// [`Kind::Corrupt`]: something that the kernel would not unpack, or more than `limit`; those of reading.
pub fn walk<'a>(
    initrd: impl Into<Data<'a>>,
    limit: usize,
    see: &mut dyn FnMut(&ArchiveEntry<'_>),
) -> Result<Vec<WalkedPart>> {
    let initrd = initrd.into();
    let mut sections = Vec::new();
    let mut stream = Stream::of(initrd, 0);
    while let Some(Part { start, compression }) = cpio::next_part(&mut stream, see)? {
        let seen = match compression {
            None => true,
            Some(compression) => {
                decompress(compression, &mut stream, limit, see).map_err(|e| bad(start, compression, e))?
            }
        };
        if !seen {
            stream = Stream::of(initrd, find_archive(initrd, start)?.unwrap_or(initrd.len()));
        }
        sections.push(WalkedPart { start, compression, seen });
    }
    Ok(sections)
}

/// Goes through what is compressed where the stream is, to its end, unless nothing here can decompress it.
fn decompress(
    compression: Compression,
    stream: &mut Stream<impl Forward>,
    limit: usize,
    see: &mut dyn FnMut(&ArchiveEntry<'_>),
) -> Result<bool> {
    match compression {
        Compression::Gzip => walk_contents(GzDecoder::new(stream), limit, see)?,
        Compression::Zstd => {
            let decoder = StreamingDecoder::new(stream);
            let decoder = decoder.map_err(|why| Error::new(Kind::Corrupt, "unpack it", why.to_string()))?;
            walk_contents(decoder, limit, see)?;
        }
        _ => return Ok(false),
    }
    Ok(true)
}

/// Walks through what was compressed: it can only be archives.
fn walk_contents(contents: impl Read, limit: usize, see: &mut dyn FnMut(&ArchiveEntry<'_>)) -> Result<()> {
    let mut stream = Stream::new(Limited { contents, left: limit, limit });
    while let Some(Part { start, compression }) = cpio::next_part(&mut stream, see)? {
        if compression.is_some() {
            return Err(Error::new(Kind::Corrupt, format!("unpack byte {start}"), "it is compressed twice"));
        }
    }
    Ok(())
}

/// A reader that fails beyond a limit.
struct Limited<R> {
    contents: R,
    left: usize,
    limit: usize,
}

impl<R: Read> Read for Limited<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.contents.read(buffer)?;
        let too_long = || io::Error::other(format!("it would be larger than {} bytes", self.limit));
        self.left = self.left.checked_sub(read).ok_or_else(too_long)?;
        Ok(read)
    }
}

impl<R: Read> Forward for Limited<R> {}

/// Where the next archive begins, behind which nothing follows but further parts.
fn find_archive(initrd: Data<'_>, from: usize) -> Result<Option<usize>> {
    let mut tries = MAX_TRIES;
    // Each piece with the beginning of the next one, so that nothing is cut.
    for start in (from.next_multiple_of(ALIGNMENT)..initrd.len()).step_by(PIECE) {
        let end = (start + PIECE + BEGINNING.len() - ALIGNMENT).min(initrd.len());
        let Some(piece) = initrd.get(start..end) else { break };
        let piece = piece.read()?;
        for at in (0..piece.len()).step_by(ALIGNMENT) {
            if piece.get(at..).is_some_and(|rest| rest.starts_with(BEGINNING)) {
                let candidate = start + at + ZEROS;
                if only_parts_follow(Stream::of(initrd, candidate)) {
                    return Ok(Some(candidate));
                }
                tries -= 1;
                if tries == 0 {
                    return Ok(None);
                }
            }
        }
    }
    Ok(None)
}

fn only_parts_follow(mut stream: Stream<impl Forward>) -> bool {
    loop {
        match cpio::next_part(&mut stream, &mut |_| ()) {
            Ok(Some(Part { compression: None, .. })) => {}
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

fn bad(start: usize, compression: Compression, error: Error) -> Error {
    if error.kind() != Kind::Corrupt {
        return error;
    }
    let what = format!("decompress the initrd at byte {start} ({})", compression.name());
    error.within(what).remedy("give an initrd as mkinitramfs, dracut or mkosi makes it")
}

#[cfg(test)]
mod tests {
    use super::*;
    use flate2::{Compression as Level, write::GzEncoder};
    use std::io::Write;

    const LIMIT: usize = 100_000;

    fn archive(name: &str) -> Vec<u8> {
        let mut archive = cpio::Archive::new();
        archive.file(name, 0o644, vec![b'x'; 1000]).unwrap();
        archive.to_bytes().unwrap()
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Level::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    fn see(initrd: &[u8]) -> Result<(Vec<String>, Vec<bool>)> {
        let mut names = Vec::new();
        let sections = walk(initrd, LIMIT, &mut |entry| names.push(entry.path.clone()))?;
        Ok((names, sections.iter().map(|section| section.seen).collect()))
    }

    #[test]
    fn concatenated_archives_are_read() {
        let mut initrd = archive("microcode");
        for part in [gzip(&archive("gzip")), zstd(&archive("zstd")), archive("plain"), gzip(&archive("last"))] {
            cpio::append(&mut initrd, &part);
        }
        let (names, seen) = see(&initrd).unwrap();
        assert_eq!(names, ["microcode", "gzip", "zstd", "plain", "last"]);
        assert_eq!(seen, [true; 5]);
        assert_eq!(see(b"").unwrap(), (vec![], vec![]));
    }

    #[test]
    fn undecodable_archives_do_not_hide_later_ones() {
        let mut initrd = b"\xfd7zXZ\0 and \0\0\0\x00070701 inside".to_vec();
        cpio::append(&mut initrd, &archive("after"));
        assert_eq!(see(&initrd).unwrap(), (vec!["after".to_owned()], vec![false, true]));
        assert_eq!(see(b"BZh9").unwrap(), (vec![], vec![false]));
    }

    #[test]
    fn truncated_and_excessive_initrds_are_refused() {
        for pack in [gzip, zstd] {
            let bomb = pack(&vec![0; LIMIT + 1]);
            assert!(see(&bomb).unwrap_err().to_string().contains("larger than"));
            assert!(see(&pack(&vec![0; LIMIT])).is_ok());
            let whole = pack(&archive("a"));
            for len in 4..whole.len() {
                assert!(see(&whole[..len]).is_err(), "{len} bytes");
            }
            assert!(see(&pack(&pack(&archive("a")))).unwrap_err().to_string().contains("twice"));
        }
    }
}
