//! Device paths as text (UEFI Specification 2.10, section 10): those that boot entries and started programs have.

use super::text;
use crate::bytes::Reader;

/// Nodes that are shown.
const MAX_NODES: usize = 48;
/// Programs of the firmware's own, by the GUID of their file (EDK II).
const FIRMWARE_FILES: [(&str, &str); 2] = [
    ("462caa21-7614-4503-836e-8ab6f4662331", "firmware setup"),
    ("7c04a583-9e3e-4f1c-ad65-e05268d0b4d1", "UEFI shell"),
];

/// The path as text: nodes with slashes between them, as far as it can be read.
pub fn to_text(path: &[u8]) -> String {
    let mut rest = Reader::new(path);
    let mut nodes = Vec::new();
    while let Some(node) = next(&mut rest).filter(|node| node.0 != 0x7f || node.1 != 0xff) {
        if nodes.len() == MAX_NODES {
            nodes.push("…".to_owned());
            break;
        }
        nodes.push(shown(&node));
    }
    // Parts of a path to a file stand in nodes of their own, and begin with a backslash of theirs.
    nodes.join("/").replace("/\\", "\\").replace("\\\\", "\\")
}

struct Node<'a>(u8, u8, &'a [u8]);

fn next<'a>(rest: &mut Reader<'a>) -> Option<Node<'a>> {
    let (kind, sub, size) = (rest.u8()?, rest.u8()?, rest.le16()?);
    Some(Node(kind, sub, rest.take(usize::from(size).checked_sub(4)?)?))
}

fn shown(node: &Node<'_>) -> String {
    let Node(kind, sub, data) = node;
    known(node).unwrap_or_else(|| format!("Path({kind},{sub},{})", text::size(data.len() as u64)))
}

fn known(Node(kind, sub, data): &Node<'_>) -> Option<String> {
    let mut fields = Reader::new(data);
    let f = &mut fields;
    Some(match (kind, sub) {
        (1, 1) => {
            let (function, device) = (f.u8()?, f.u8()?);
            format!("Pci({device:#x},{function:#x})")
        }
        (1, 3) => {
            let (_kind, start, end) = (f.le32()?, f.le64()?, f.le64()?);
            format!("Memory({start:#x}-{end:#x})")
        }
        (1, 4) => format!("VenHw({})", f.guid()?),
        (1, 5) => format!("Ctrl({:#x})", f.le32()?),
        (2, 1 | 2) => acpi(f.le32()?, f.le32()?),
        (2, 3) => format!("AcpiAdr({:#x})", f.le32()?),
        (3, 1) => {
            let (channel, drive, lun) = (f.u8()?, f.u8()?, f.le16()?);
            format!("Ata({channel},{drive},{lun})")
        }
        (3, 2) => format!("Scsi({},{})", f.le16()?, f.le16()?),
        (3, 5) => format!("USB({},{})", f.u8()?, f.u8()?),
        (3, 10) => format!("VenMsg({})", f.guid()?),
        (3, 11) => format!("MAC({})", crate::digest::hex(f.take(6)?)),
        (3, 12) => "IPv4".into(),
        (3, 13) => "IPv6".into(),
        (3, 15) => "UsbClass".into(),
        (3, 16) => "UsbWwid".into(),
        (3, 17) => format!("Unit({})", f.u8()?),
        (3, 18) => format!("Sata({:#x})", f.le16()?),
        (3, 19) => "iSCSI".into(),
        (3, 23) => format!("NVMe({:#x})", f.le32()?),
        (3, 24) => format!("Uri({})", text::any(data).unwrap_or_default()),
        (3, 25) => "UFS".into(),
        (3, 26) => format!("SD({})", f.u8()?),
        (3, 29) => format!("eMMC({})", f.u8()?),
        (3, 31) => "Dns".into(),
        (4, 1) => {
            let (number, _start, _size) = (f.le32()?, f.le64()?, f.le64()?);
            let (signature, _format, kind) = (f.guid()?, f.u8()?, f.u8()?);
            match kind {
                2 => format!("HD({number},GPT,{signature})"),
                1 => format!("HD({number},MBR)"),
                _ => format!("HD({number})"),
            }
        }
        (4, 2) => format!("CDROM({})", f.le32()?),
        (4, 3) => format!("VenMedia({})", f.guid()?),
        (4, 4) => text::utf16_until_nul(data),
        (4, 6) => {
            let file = f.guid()?.to_string();
            let name = FIRMWARE_FILES.iter().find(|(guid, _)| *guid == file);
            format!("FvFile({})", name.map_or(file.as_str(), |(_, name)| name))
        }
        (4, 7) => format!("Fv({})", f.guid()?),
        (4, 8) => {
            let (_reserved, start, end) = (f.le32()?, f.le64()?, f.le64()?);
            format!("Offset({start:#x}-{end:#x})")
        }
        (4, 9) => "RamDisk".into(),
        (5, 1) => {
            let (_kind, _status) = (f.le16()?, f.le16()?);
            format!("BIOS({})", text::any(f.rest()).unwrap_or_default())
        }
        (0x7f, 1) => ",".into(),
        _ => return None,
    })
}

/// An EISA identifier: the compressed name `PNP`, then a number.
fn acpi(hid: u32, uid: u32) -> String {
    match (hid & 0xffff, hid >> 16) {
        (0x41d0, 0x0a03) => format!("PciRoot({uid:#x})"),
        (0x41d0, 0x0a08) => format!("PcieRoot({uid:#x})"),
        (0x41d0, 0x0604) => format!("Floppy({uid:#x})"),
        (0x41d0, number) => format!("Acpi(PNP{number:04X},{uid:#x})"),
        _ => format!("Acpi({hid:#010x},{uid:#x})"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node(kind: u8, sub: u8, data: &[u8]) -> Vec<u8> {
        let size = u16::try_from(data.len() + 4).unwrap().to_le_bytes();
        [&[kind, sub][..], &size, data].concat()
    }

    #[test]
    fn paths_are_shown_as_the_specification_writes_them() {
        let name: Vec<u8> = "\\EFI\\BOOT\\BOOTX64.EFI\0".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let disk = [&[1, 0, 0, 0][..], &[0; 16], &[0x11; 16], &[2, 2]].concat();
        let path = [
            node(2, 1, &[0xd0, 0x41, 3, 10, 0, 0, 0, 0]),
            node(1, 1, &[2, 0x1f]),
            node(3, 18, &[1, 0, 0xff, 0xff, 0, 0]),
            node(4, 1, &disk),
            node(4, 4, &name),
            node(0x7f, 0xff, &[]),
            node(1, 1, &[0, 0]),
        ]
        .concat();
        let text = "PciRoot(0x0)/Pci(0x1f,0x2)/Sata(0x1)/HD(1,GPT,11111111-1111-1111-1111-111111111111)\\EFI\\BOOT\\BOOTX64.EFI";
        assert_eq!(to_text(&path), text);
        for len in 0..path.len() {
            to_text(&path[..len]);
        }
        assert_eq!(to_text(&node(9, 9, &[1, 2])), "Path(9,9,2 bytes)");
        assert_eq!(to_text(&[1, 1, 3, 0, 0]), "");
        assert!(to_text(&node(1, 5, &[0; 4]).repeat(1000)).ends_with("/…"));
    }
}
