//! A physical volume of LVM2 with one logical volume in it, written by hand: without root, without loop devices, and
//! with names that lvm itself would refuse, as an attacker with a disk of their own would.

use std::path::Path;

const SECTOR: usize = 512;
/// Where the metadata area begins, and where the data: the first extent.
const METADATA: usize = 4096;
const DATA: usize = 1 << 20;
/// Sectors of an extent, 1 MiB.
const EXTENT: usize = 2048;

/// The volume group `group` with the logical volume `volume`, which holds `content`, in the file `disk`.
///
/// Groups of the same name have the same UUIDs: they are taken for copies of each other.
pub fn physical_volume(group: &str, volume: &str, content: &Path, disk: &Path) {
    let content = std::fs::read(content).expect("a file system");
    let extents = content.len().div_ceil(EXTENT * SECTOR);
    let size = DATA + (extents + 1) * EXTENT * SECTOR;
    let id = |kind: char| format!("{kind}rust0-test-0000-0000-0000-0000-{group:0<6.6}");
    let [pv, vg, lv] = ['P', 'V', 'L'].map(id);
    let text = format!(
        r#"{group} {{
id = "{vg}"
seqno = 1
format = "lvm2"
status = ["RESIZEABLE", "READ", "WRITE"]
flags = []
extent_size = {EXTENT}
max_lv = 0
max_pv = 0
metadata_copies = 0
physical_volumes {{
pv0 {{
id = "{pv}"
device = "/dev/nowhere"
status = ["ALLOCATABLE"]
flags = []
dev_size = {}
pe_start = {}
pe_count = {extents}
}}
}}
logical_volumes {{
{volume} {{
id = "{lv}"
status = ["READ", "WRITE", "VISIBLE"]
flags = []
segment_count = 1
segment1 {{
start_extent = 0
extent_count = {extents}
type = "striped"
stripe_count = 1
stripes = ["pv0", 0]
}}
}}
}}
}}
contents = "Text Format Volume Group"
version = 1
description = ""
creation_host = "test"
creation_time = 1
"#,
        size / SECTOR,
        DATA / SECTOR
    );
    let text = [text.as_bytes(), b"\0"].concat();

    let mut bytes = vec![0; size];
    let mut put = |at: usize, parts: &[&[u8]]| {
        let part = parts.concat();
        bytes[at..at + part.len()].copy_from_slice(&part);
    };
    let number = |value: usize| (value as u64).to_le_bytes();
    // The label's header, which says where the volume's begins; then the areas for data and metadata, a zero behind each.
    put(SECTOR, &[b"LABELONE", &number(1), &0u32.to_le_bytes(), &32u32.to_le_bytes(), b"LVM2 001"]);
    let areas = [size, DATA, 0, 0, 0, METADATA, DATA - METADATA, 0, 0].map(number).concat();
    put(SECTOR + 32, &[pv.replace('-', "").as_bytes(), &areas]);
    let area = [METADATA, DATA - METADATA, SECTOR, text.len()].map(number).concat();
    put(METADATA + 4, &[b" LVM2 x[5A%r0N*>", &1u32.to_le_bytes(), &area, &crc(&text).to_le_bytes()]);
    put(METADATA + SECTOR, &[&text]);
    put(DATA, &[&content]);
    for (covered, at) in [(SECTOR + 20..2 * SECTOR, SECTOR + 16), (METADATA + 4..METADATA + SECTOR, METADATA)] {
        let sum = crc(&bytes[covered]).to_le_bytes();
        bytes[at..at + 4].copy_from_slice(&sum);
    }
    std::fs::write(disk, bytes).expect("a writable directory");
}

/// CRC-32 of LVM2: another first value, and no last inversion.
fn crc(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0xf597_a6cf, |crc, byte| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 })
    })
}
