//! A look into initrds: archives one behind the other, each compressed or not.

use crate::{
    error::{Error, Kind, Result},
    host::format::cpio::{self, Compression, Entry, Part, What},
};
use flate2::bufread::GzDecoder;
use ruzstd::decoding::StreamingDecoder;
use std::io::Read;

/// Archives that are tried behind one that cannot be decompressed here.
const MAX_TRIES: usize = 64;
/// What an archive begins with, behind at least this many zeros.
const BEGINNING: &[u8] = b"\0\0\0\x00070701";
const ZEROS: usize = 4;

/// A part of an initrd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
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
/// gzip and zstd are decompressed, up to `limit` bytes each. Behind something
/// compressed in another way the archives that follow are looked for.
///
/// # Errors
/// [`Kind::Corrupt`]: something that the kernel would not unpack, or more than `limit`.
pub fn walk(initrd: &[u8], limit: usize, see: &mut dyn FnMut(&Entry<'_>)) -> Result<Vec<Section>> {
    let mut sections = Vec::new();
    let mut at = 0;
    while let Some(Part { start, what }) = cpio::next_part(initrd, at)? {
        let (compression, seen, end) = match what {
            What::Archive { entries, end } => {
                entries.iter().for_each(&mut *see);
                (None, true, end)
            }
            What::Compressed(compression) => {
                let rest = initrd.get(start..).unwrap_or_default();
                let (seen, end) =
                    match decompress(compression, rest, limit).map_err(|why| bad(start, compression, &why))? {
                        Some((contents, length)) => {
                            walk_contents(&contents, see).map_err(|e| bad(start, compression, &e.cause()))?;
                            (true, start + length)
                        }
                        None => (false, find_archive(initrd, start).unwrap_or(initrd.len())),
                    };
                (Some(compression), seen, end)
            }
        };
        sections.push(Section { start, compression, seen });
        at = end;
    }
    Ok(sections)
}

/// What was compressed can only be archives.
fn walk_contents(contents: &[u8], see: &mut dyn FnMut(&Entry<'_>)) -> Result<()> {
    let mut at = 0;
    while let Some(Part { start, what }) = cpio::next_part(contents, at)? {
        let What::Archive { entries, end } = what else {
            return Err(Error::new(Kind::Corrupt, format!("unpack byte {start}"), "it is compressed twice"));
        };
        entries.iter().for_each(&mut *see);
        at = end;
    }
    Ok(())
}

/// What was compressed at the beginning of `bytes`, and how long it was; `None` where nothing here can decompress it.
fn decompress(
    compression: Compression,
    bytes: &[u8],
    limit: usize,
) -> std::result::Result<Option<(Vec<u8>, usize)>, String> {
    let mut contents = Vec::new();
    let mut rest = bytes;
    let one_more = limit as u64 + 1;
    match compression {
        Compression::Gzip => {
            let mut decoder = GzDecoder::new(rest);
            decoder.by_ref().take(one_more).read_to_end(&mut contents).map_err(|e| e.to_string())?;
            rest = decoder.into_inner();
        }
        Compression::Zstd => {
            let mut decoder = StreamingDecoder::new(&mut rest).map_err(|e| e.to_string())?;
            decoder.by_ref().take(one_more).read_to_end(&mut contents).map_err(|e| e.to_string())?;
        }
        _ => return Ok(None),
    }
    if contents.len() > limit {
        return Err(format!("it would be larger than {limit} bytes"));
    }
    Ok(Some((contents, bytes.len() - rest.len())))
}

/// Where the next archive begins, behind which nothing follows but further parts.
fn find_archive(initrd: &[u8], from: usize) -> Option<usize> {
    let rest = initrd.get(from..)?;
    let begins = |(at, window): (usize, &[u8])| (window == BEGINNING).then_some(from + at + ZEROS);
    let candidates = rest.windows(BEGINNING.len()).enumerate().filter_map(begins).filter(|at| at % 4 == 0);
    candidates.take(MAX_TRIES).find(|at| only_parts_follow(initrd, *at))
}

fn only_parts_follow(initrd: &[u8], mut at: usize) -> bool {
    loop {
        match cpio::next_part(initrd, at) {
            Ok(Some(Part { what: What::Archive { end, .. }, .. })) => at = end,
            Ok(_) => return true,
            Err(_) => return false,
        }
    }
}

fn bad(start: usize, compression: Compression, why: &str) -> Error {
    let what = format!("decompress the initrd at byte {start} ({})", compression.name());
    Error::new(Kind::Corrupt, what, why.to_owned()).remedy("give an initrd as mkinitramfs, dracut or mkosi makes it")
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
    fn one_behind_the_other() {
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
    fn what_cannot_be_decompressed_does_not_hide_what_follows() {
        let mut initrd = b"\xfd7zXZ\0 and \0\0\0\x00070701 inside".to_vec();
        cpio::append(&mut initrd, &archive("after"));
        assert_eq!(see(&initrd).unwrap(), (vec!["after".to_owned()], vec![false, true]));
        assert_eq!(see(b"BZh9").unwrap(), (vec![], vec![false]));
    }

    #[test]
    fn too_much_and_too_little_are_refused() {
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
