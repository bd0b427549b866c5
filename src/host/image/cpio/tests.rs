use super::{read::entry, *};
use crate::{error::Result, host::fs::data::Stream};

fn sample() -> Archive {
    let mut archive = Archive::new();
    archive.file("usr/bin/trust", 0o755, b"program".to_vec()).unwrap();
    archive.symlink("usr/bin/link", "trust").unwrap();
    archive.directory("empty").unwrap();
    archive.file("a", 0o640, Vec::new()).unwrap();
    archive
}

/// An entry of a file as other programs write it, and a trailer.
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
    let mut see = |entry: &ArchiveEntry<'_>| found.push((entry.path.clone(), entry.mode, entry.data.to_vec()));
    while let Some(Part { compression: None, .. }) = next_part(&mut stream, &mut see)? {}
    Ok(found)
}

#[test]
fn written_archives_are_read() {
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
fn paths_out_of_the_archive_are_not_written() {
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
fn an_archive_without_trailer_ends_with_an_entry() {
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
fn archives_of_other_tools_are_read() {
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
fn false_sizes_are_refused() {
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
fn compression_is_recognised_by_the_first_bytes() {
    let next = |initrd: &[u8]| next_part(&mut Stream::of(initrd.into(), 0), &mut |_| ()).unwrap();
    let part = next(b"\0\0\0\0\x28\xb5\x2f\xfd");
    assert_eq!(part, Some(Part { start: 4, compression: Some(Compression::Zstd) }));
    assert_eq!(next(b"\0\0\0"), None);
    assert_eq!(next(b""), None);
}

#[test]
fn only_the_beginning_of_large_files_is_kept() {
    let mut archive = sample();
    archive.file("large", 0o644, (0..MAX_SHOWN * 5).map(|at| at as u8).collect()).unwrap();
    let bytes = archive.to_bytes().unwrap();
    let mut seen = Vec::new();
    let mut see = |entry: &ArchiveEntry<'_>| seen.push((entry.path.clone(), entry.size, entry.data.len()));
    next_part(&mut Stream::of((&bytes).into(), 0), &mut see).unwrap();
    assert!(seen.contains(&("large".to_owned(), MAX_SHOWN * 5, MAX_SHOWN)), "{seen:?}");
    assert_eq!(seen.last().unwrap().0, "usr/bin/trust");
}
