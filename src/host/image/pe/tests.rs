//! A small image, and many ways in which it can lie.

use super::*;

/// Where the PE header of [`sample`] begins.
const PE: usize = 64;
const OPTIONAL: usize = PE + 24;
const SECURITY: usize = OPTIONAL + 112 + 4 * 8;
const SECTIONS: usize = OPTIONAL + 112 + 16 * 8;

/// A small PE32+ image with two sections of 16 bytes, the second one first in the file, and `rest` behind them.
pub fn sample(rest: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 0x200];
    let mut put = |offset: usize, value: &[u8]| bytes[offset..offset + value.len()].copy_from_slice(value);
    put(0, b"MZ");
    put(0x3c, &(PE as u32).to_le_bytes());
    put(PE, b"PE\0\0\x64\x86\x02\0");
    put(PE + 20, &240_u16.to_le_bytes());
    put(OPTIONAL, &0x20b_u16.to_le_bytes());
    for (offset, value) in [(32, 0x1000), (36, 16), (56, 0x3000), (60, 0x200), (108, 16)] {
        put(OPTIONAL + offset, &u32::to_le_bytes(value));
    }
    put(OPTIONAL + 68, &[10]);
    for (index, (name, address, raw)) in [(b".text", 0x1000, 0x210), (b".data", 0x2000, 0x200)].iter().enumerate() {
        let header = SECTIONS + 40 * index;
        put(header, *name);
        for (offset, value) in [(8, 16), (12, *address), (16, 16), (20, *raw)] {
            put(header + offset, &u32::to_le_bytes(value));
        }
    }
    bytes.extend_from_slice(&[b'd'; 16]);
    bytes.extend_from_slice(&[b't'; 16]);
    bytes.extend_from_slice(rest);
    bytes
}

/// As [`sample`], with a certificate table.
pub fn with_table(table: &[u8]) -> Vec<u8> {
    let mut bytes = sample(table);
    bytes[SECURITY..SECURITY + 4].copy_from_slice(&0x220_u32.to_le_bytes());
    bytes[SECURITY + 4..SECURITY + 8].copy_from_slice(&(table.len() as u32).to_le_bytes());
    bytes
}

fn why(bytes: &[u8]) -> String {
    let error = Image::parse(bytes).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    error.to_string()
}

#[test]
fn a_whole_image_is_parsed() {
    let bytes = sample(b"rest");
    let image = Image::parse(&bytes).unwrap();
    let headers = image.headers();
    assert!(headers.pe32_plus);
    assert_eq!((headers.machine, headers.subsystem, headers.size_of_headers), (0x8664, 10, 0x200));
    assert_eq!(headers.certificate_entry, Some(SECURITY..SECURITY + 8));
    assert_eq!(headers.section_table, SECTIONS);
    let text = image.section(".text").unwrap();
    assert_eq!((text.virtual_range(), text.raw.clone()), (0x1000..0x1010, 0x210..0x220));
    assert_eq!(*text.data.read().unwrap(), [b't'; 16]);
    assert_eq!(image.head(), &bytes[..0x200]);
    assert_eq!(image.sections()[1].name(), ".data");
    assert_eq!((image.end(), image.certificate_table()), (bytes.len(), None));
}

#[test]
fn several_certificates_are_found() {
    let table = b"\x0b\0\0\0\0\x02\x02\0one\0\0\0\0\0\x10\0\0\0\0\x01\xf1\x0etwotwotw";
    let bytes = with_table(table);
    let image = Image::parse(&bytes).unwrap();
    let [one, two] = image.certificates() else { panic!("{:?}", image.certificates()) };
    assert_eq!((one.revision, one.kind, &*one.content, &*one.padding), (0x200, 2, &b"one"[..], &[0; 5][..]));
    assert_eq!((two.revision, two.kind, &*two.content, &*two.padding), (0x100, 0xef1, &b"twotwotw"[..], &[][..]));
    assert_eq!(image.table_flaw(), None);
    assert_eq!(image.certificate_table(), Some(0x220..0x240));
    assert_eq!(image.end(), 0x220);
}

#[test]
fn more_than_16_certificates_are_reported() {
    let table = b"\x10\0\0\0\0\x02\x02\0abcdefgh";
    let flaw = |times| {
        let bytes = with_table(&table.repeat(times));
        let image = Image::parse(&bytes).unwrap();
        assert_eq!(image.certificates().len(), 16);
        image.table_flaw()
    };
    assert_eq!(flaw(16), None);
    assert!(flaw(17).unwrap().contains("more than 16 entries"));
}

/// Whatever is in the table, where the image ends is known: it can be signed anew.
#[test]
fn inconsistent_certificate_tables_are_refused() {
    let good = b"\x10\0\0\0\0\x02\x02\0abcdefgh";
    for (stray, word) in [
        (&b"\0\0\0\0\0\x02\x02\0"[..], "empty"),
        (b"\x08\0\0\0\0\x02\x02\0", "empty"),
        (b"\x07\0\0\0\0\x02\x02\0", "empty"),
        (b"\xff\xff\xff\xff\0\x02\x02\0abcdefgh", "too long"),
        (b"\x11\0\0\0\0\x02\x02\0abcdefgh", "too long"),
        (b"\x0f\0\0\0\0\x02\x02\0abcdefg", "too long"),
        (b"\x10\0\0\0\0\x02\x02\0abcdefghabcdefg", "too long"),
        (&[0; 8], "ends in zeros"),
        (&[0; 3], "ends in zeros"),
    ] {
        for before in [&[][..], good] {
            let bytes = with_table(&[before, stray].concat());
            let image = Image::parse(&bytes).unwrap();
            assert!(image.table_flaw().unwrap().contains(word), "{stray:x?}");
            assert_eq!(image.end(), 0x220);
        }
    }
    let longer = |more: &[u8]| [&with_table(good)[..], more].concat();
    let bytes = longer(&[0; 9]);
    let image = Image::parse(&bytes).unwrap();
    assert!(image.table_flaw().unwrap().contains("zeros follow"));
    assert_eq!((image.end(), image.certificates().len()), (0x220, 1));
    // No length, no table: wherever that would be.
    let mut nothing = with_table(b"");
    assert_eq!(Image::parse(&nothing).unwrap().certificate_table(), None);
    nothing[SECURITY] = 1;
    assert_eq!(Image::parse(&nothing).unwrap().end(), 0x220);
    assert!(why(&longer(&[0, 1])).contains("does not end where the file ends"));
    for start in [0_u32, 8, 0x1f8, 0x210, 0x221, 0x228, 0xffff_fff8] {
        let mut bytes = with_table(good);
        bytes[SECURITY..SECURITY + 4].copy_from_slice(&start.to_le_bytes());
        assert!(why(&bytes).contains("certificate table"), "{start:#x}");
    }
}

#[test]
fn inconsistent_headers_are_refused() {
    let second = SECTIONS + 40;
    for (offset, value, word) in [
        (0, &b"ZM"[..], "MZ"),
        (0x3c, &[0x3f, 0, 0, 0], "within the DOS header"),
        (0x3c, &[0xff; 4], "ends before the PE header"),
        (PE, b"NE", "no PE signature"),
        (PE + 6, &[0xff; 2], "within the section table"),
        (PE + 20, &[0xff; 2], "data directory"),
        (OPTIONAL, &[0x07, 0x01], "neither PE32 nor PE32+"),
        (OPTIONAL, &[0x0b, 0x01], "data directory"),
        (OPTIONAL + 32, &[0; 4], "power of two"),
        (OPTIONAL + 36, &[3, 0, 0, 0], "power of two"),
        (OPTIONAL + 56, &[0, 0x20, 0, 0], "beyond SizeOfImage"),
        (OPTIONAL + 60, &[0; 4], "SizeOfHeaders"),
        (OPTIONAL + 60, &[0xff; 4], "SizeOfHeaders"),
        (OPTIONAL + 60, &[0, 4, 0, 0], "SizeOfHeaders"),
        (OPTIONAL + 60, &[0x10, 2, 0, 0], "overlaps the headers"),
        (OPTIONAL + 108, &[0xff; 4], "data directory"),
        (second + 12, &[0x08, 0x10], "overlap in memory"),
        (second + 16, &[17], "overlap in the file"),
        (second + 16, &[0xff; 4], "beyond the end"),
        (second + 20, &[0xff; 4], "beyond the end"),
        (second + 20, &[0, 1], "overlaps the headers"),
    ] {
        let mut bytes = sample(b"");
        bytes[offset..offset + value.len()].copy_from_slice(value);
        assert!(why(&bytes).contains(word), "{offset:#x} {value:x?}: {}", why(&bytes));
    }
}

#[test]
fn truncated_images_are_refused() {
    let whole = with_table(b"\x10\0\0\0\0\x02\x02\0abcdefgh");
    for length in 0..whole.len() {
        why(&whole[..length]);
    }
    why(b"MZ\n");
}

#[test]
fn check_sums_equal_the_reference() {
    let mut bytes = sample(b"odd");
    let sum = |bytes: &[u8]| {
        let mut sum = CheckSum::new(Image::parse(bytes).unwrap().headers());
        // In pieces, which may cut the field and the words.
        bytes.chunks(5).zip((0..).step_by(5)).for_each(|(piece, at)| sum.see(at, piece));
        sum.of_length(bytes.len())
    };
    // The words of the file, by hand: an independent count is that of the signed images in the tests.
    let words: u32 = bytes.chunks(2).map(|w| u32::from(w[0]) + (u32::from(*w.get(1).unwrap_or(&0)) << 8)).sum();
    let expected = (words & 0xffff) + (words >> 16) + bytes.len() as u32;
    assert_eq!(sum(&bytes), expected);
    let field = Image::parse(&bytes).unwrap().headers().check_sum_field();
    bytes[field].copy_from_slice(&[0xff; 4]);
    assert_eq!(sum(&bytes), expected);
}
