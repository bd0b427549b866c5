//! shim with a vendor database of our own.

use crate::assets;
use std::fs;

/// How long `cert_table` is, the header of `.vendor_cert`: the sizes of two lists and where they begin, counted from it.
const TABLE: usize = 16;

/// shim, unsigned, that trusts the certificates of these signature lists (`VENDOR_DB_FILE` of its build).
///
/// `cargo xtask assets` compiles it once with an empty space for them, which is filled here. Panics if they do not fit.
#[must_use]
pub fn shim_with(vendor_db: &[u8]) -> Vec<u8> {
    let mut image = fs::read(assets::shim()).expect("a readable file");
    let (at, room) = space(&image);
    assert!(vendor_db.len() <= room, "a vendor database of {} bytes: shim has room for {room}", vendor_db.len());
    let size = u32::try_from(vendor_db.len()).expect("it fits");
    let table = [size, 0, 16, 16 + size];
    for (field, value) in table.iter().enumerate() {
        image[at + 4 * field..][..4].copy_from_slice(&value.to_le_bytes());
    }
    image[at + TABLE..][..vendor_db.len()].copy_from_slice(vendor_db);
    image
}

/// Where the table is, and how many bytes follow that are free.
fn space(image: &[u8]) -> (usize, usize) {
    let number = |at: usize| u32::from_le_bytes(image[at..][..4].try_into().expect("four bytes")) as usize;
    let short = |at: usize| usize::from(u16::from_le_bytes(image[at..][..2].try_into().expect("two bytes")));
    let coff = number(0x3c) + 4;
    let (sections, optional) = (short(coff + 2), short(coff + 16));
    // Its name has more than the eight characters of a section header: it is known by its table.
    let header = |section| coff + 20 + optional + 40 * section;
    let found =
        (0..sections).map(|section| (number(header(section) + 16), number(header(section) + 20))).find(|(size, at)| {
            *size > TABLE
                && number(at + 4) == 0
                && number(at + 8) == TABLE
                && number(at + 12) == TABLE + number(*at)
                && number(*at) <= size - TABLE
        });
    let (_, at) = found.expect("shim was built with a vendor database");
    (at, number(at))
}
