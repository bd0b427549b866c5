//! The volume key of an open volume, as dm-crypt has it (linux/dm-ioctl.h, `DM_TABLE_STATUS`).

#![allow(unsafe_code, reason = "ioctl(2) for a table of device-mapper, which no library here wraps")]

use crate::error::{Error, Kind, Result};
use rustix::ioctl::{Updater, ioctl, opcode};
use std::fs::File;
use zeroize::Zeroizing;

/// Where device-mapper is asked.
const CONTROL: &str = "/dev/mapper/control";
/// The table, and not how its targets fare.
const STATUS_TABLE: u32 = 1 << 4;
/// The kernel wipes its copies.
const SECURE_DATA: u32 = 1 << 15;
/// There was no room for all of it.
const BUFFER_FULL: u32 = 1 << 8;
/// Room for the targets, in bytes: of an encrypted volume there is one, a line of a few hundred bytes.
const ROOM: usize = 4096;
/// `struct dm_target_spec` without the type, in bytes.
const SPEC: usize = 24;
/// Bytes of the type behind it.
const TYPE: usize = 16;

/// `struct dm_ioctl`.
#[repr(C)]
struct DmIoctl {
    version: [u32; 3],
    /// Bytes of all of the request.
    data_size: u32,
    data_start: u32,
    target_count: u32,
    open_count: i32,
    flags: u32,
    event: u32,
    padding: u32,
    device: u64,
    name: [u8; 128],
    uuid: [u8; 129],
    data: [u8; 7],
}

/// The same with room for the answer.
#[repr(C)]
struct TableStatus {
    head: DmIoctl,
    targets: [u8; ROOM],
}

/// `DM_TABLE_STATUS`.
const TABLE_STATUS: u32 = opcode::read_write::<DmIoctl>(0xfd, 12);

/// The volume key of the open volume of this name, whose device-mapper UUID has to be this one.
///
/// # Errors
/// [`Kind::Refused`]: it is another device, or its key is in the kernel's keyring; [`Kind::System`]: the kernel does not say.
pub fn read(name: &str, uuid: &str) -> Result<Zeroizing<Vec<u8>>> {
    let asked = |why| Error::system(format!("ask the kernel about /dev/mapper/{name}"), why);
    let mut status = Box::new(TableStatus {
        head: DmIoctl {
            version: [4, 0, 0],
            data_size: size_of::<TableStatus>() as u32,
            data_start: size_of::<DmIoctl>() as u32,
            target_count: 0,
            open_count: 0,
            flags: STATUS_TABLE | SECURE_DATA,
            event: 0,
            padding: 0,
            device: 0,
            name: [0; 128],
            uuid: [0; 129],
            data: [0; 7],
        },
        targets: [0; ROOM],
    });
    // The NUL at the end stays.
    match status.head.name.get_mut(..name.len()) {
        Some(field) if name.len() < 128 => field.copy_from_slice(name.as_bytes()),
        _ => return Err(refused(name, "no device has so long a name")),
    }
    let control = File::open(CONTROL).map_err(asked)?;
    // SAFETY: the call reads and writes this structure, whose `data_size` says how large it is.
    unsafe { ioctl(control, Updater::<TABLE_STATUS, _>::new(&mut *status)) }.map_err(|why| asked(why.into()))?;
    let TableStatus { head, targets } = &*status;
    if head.flags & BUFFER_FULL != 0 || head.target_count != 1 || text(&head.uuid) != uuid.as_bytes() {
        return Err(refused(name, "it is not the volume that `trust luks open` has opened"));
    }
    key_of(targets).ok_or_else(|| refused(name, "its volume key is in the kernel's keyring, or there is none"))
}

fn refused(name: &str, why: &'static str) -> Error {
    Error::new(Kind::Refused, format!("hand /dev/mapper/{name} over"), why)
        .remedy("restart the machine, with an image whose initrd opens it by `trust luks open --for-kexec`")
}

/// Up to the NUL that ends it.
fn text(field: &[u8]) -> &[u8] {
    field.split(|byte| *byte == 0).next().unwrap_or_default()
}

/// The key in the table of a single target (dm-crypt.rst of the kernel): cipher, then the key in hexadecimal digits, or where
/// it is, behind a colon.
fn key_of(targets: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let (kind, line) = targets.get(SPEC..)?.split_at_checked(TYPE)?;
    if text(kind) != b"crypt" {
        return None;
    }
    let digits = text(line).split(|byte| *byte == b' ').nth(1)?;
    let byte = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let key = digits.chunks(2).map(byte).collect::<Option<Vec<_>>>().map(Zeroizing::new)?;
    // An empty one is shown as a dash.
    (key.len() >= 16).then_some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(kind: &str, line: &str) -> Vec<u8> {
        let mut bytes = vec![0; SPEC];
        bytes.extend_from_slice(kind.as_bytes());
        bytes.resize(SPEC + TYPE, 0);
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(0);
        bytes
    }

    #[test]
    fn the_call_has_the_number_of_the_kernel() {
        assert_eq!(TABLE_STATUS, 0xc138_fd0c);
    }

    #[test]
    fn a_table_of_dm_crypt_has_its_key() {
        let digits = "0123456789abcdef".repeat(4);
        let line = format!("aes-xts-plain64 {digits} 0 8:1 32768");
        assert_eq!(key_of(&table("crypt", &line)).map(|key| key.len()), Some(32));
        for line in [":64:logon:cryptsetup:0a-d0", "-", "", "012", "xx"] {
            let line = format!("aes-xts-plain64 {line} 0 8:1 32768");
            assert_eq!(key_of(&table("crypt", &line)), None, "{line}");
        }
        assert_eq!(key_of(&table("linear", &line)), None);
        assert_eq!(key_of(&[]), None);
    }
}
