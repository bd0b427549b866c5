//! Erased flash, as Debian ships it for ARM (AAVMF_VARS.fd), and the empty variable store that the firmware makes of it
//! (EDK II, `ArmVirtPkg/VarStore.fdf.inc`).

use super::variable_store::{AUTHENTICATED, FORMATTED_AND_HEALTHY, NV_DATA, STORE_HEADER, VOLUME_SIGNATURE};
use uuid::Uuid;

/// The flash of QEMU's machine `virt`, in bytes. No other is known to be blank.
const FLASH: usize = 64 << 20;
/// `FvLength`: the variables, the room for rewriting them, and as much again, a block each.
const VOLUME: usize = BLOCKS * BLOCK;
const BLOCKS: usize = 3;
const BLOCK: usize = 0x4_0000;
/// `EFI_FIRMWARE_VOLUME_HEADER` with a block map of two entries, the last of zeros.
const VOLUME_HEADER: usize = 72;
/// `EFI_FVB_ATTRIBUTES_2` of what can be read and written and keeps what it holds, erased to ones.
const ATTRIBUTES: u32 = 0x0000_0e36;
const REVISION: u8 = 2;
/// `gEdkiiWorkingBlockSignatureGuid`: where it is noted what is being rewritten.
const WORKING_BLOCK: Uuid = super::variable::guid("9e58292b-7c68-497d-a0ce-6500fd9f1b95");
/// Its CRC-32, with the size of [`WRITE_QUEUE`] and nothing in it.
const WORKING_CRC: u32 = 0x86c6_e75b;
/// `WorkingBlockValid`.
const VALID: u32 = 0xffff_fffe;
/// What is left of the block.
const WRITE_QUEUE: u64 = BLOCK as u64 - 32;
const ERASED: u8 = 0xff;

/// The flash image with an empty variable store, if it is blank: of nothing but zeros, or erased.
#[must_use]
pub fn formatted(image: &[u8]) -> Option<Vec<u8>> {
    let is_blank = |of: u8| image.as_chunks().0.iter().all(|page: &[u8; 4096]| *page == [of; 4096]);
    if image.len() != FLASH || !(is_blank(0) || is_blank(ERASED)) {
        return None;
    }
    let mut flash = volume_header();
    let size = u32::try_from(BLOCK - VOLUME_HEADER).unwrap_or_default();
    flash.extend(AUTHENTICATED.to_bytes_le().into_iter().chain(size.to_le_bytes()));
    flash.extend(FORMATTED_AND_HEALTHY);
    flash.resize(VOLUME_HEADER + STORE_HEADER, 0);
    flash.resize(BLOCK, ERASED);
    flash.extend(WORKING_BLOCK.to_bytes_le());
    flash.extend([WORKING_CRC, VALID].iter().flat_map(|field| field.to_le_bytes()));
    flash.extend(WRITE_QUEUE.to_le_bytes());
    flash.resize(VOLUME, ERASED);
    flash.extend_from_slice(image.get(VOLUME..)?);
    Some(flash)
}

/// `EFI_FIRMWARE_VOLUME_HEADER` (Platform Initialization Specification 1.8, volume 3, section 3.2.1).
fn volume_header() -> Vec<u8> {
    let mut header = vec![0; 16];
    header.extend(NV_DATA.to_bytes_le());
    header.extend((VOLUME as u64).to_le_bytes());
    header.extend(VOLUME_SIGNATURE);
    header.extend(ATTRIBUTES.to_le_bytes());
    header.extend([VOLUME_HEADER as u8, 0, 0, 0, 0, 0, 0, REVISION]);
    header.extend([BLOCKS as u32, BLOCK as u32].iter().flat_map(|field| field.to_le_bytes()));
    header.resize(VOLUME_HEADER, 0);
    let sum = header.as_chunks().0.iter().fold(0_u16, |sum, pair| sum.wrapping_add(u16::from_le_bytes(*pair)));
    let (_, checksum) = header.split_at_mut(50);
    for (byte, of_sum) in checksum.iter_mut().zip(sum.wrapping_neg().to_le_bytes()) {
        *byte = of_sum;
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::uefi::variable_store::VariableStore;

    #[test]
    fn blank_flash_becomes_a_store() {
        let flash = formatted(&vec![ERASED; FLASH]).unwrap();
        assert_eq!(flash.len(), FLASH);
        assert!(VariableStore::parse(&flash).unwrap().variables().is_empty());
        assert!(flash[VOLUME..] == vec![ERASED; FLASH - VOLUME]);
        assert_eq!(formatted(&flash), None);
        for other in [&[][..], &[0; 0x8_4000], &[7; 64]] {
            assert_eq!(formatted(other), None);
        }
    }
}
