//! Linux kernels that a firmware can start: what they say of themselves.

use crate::{
    bytes::Reader,
    error::{Error, Kind, Result},
    host::{
        fs::data::{Data, PIECE},
        image::{cpio::Compression, pe::Image},
    },
};

/// Where x86's setup header says `HdrS` (The Linux/x86 Boot Protocol).
const HEADER_MAGIC: usize = 0x202;
/// Where it says where its version is, less 0x200.
const KERNEL_VERSION: usize = 0x20e;
const BOOT_SECTOR: usize = 0x200;
/// What other kernels say before their version, not compressed.
const BANNER: &[u8] = b"Linux version ";
/// A release is at most as long as `uname` can say: `__NEW_UTS_LEN`.
const MAX_RELEASE: usize = 64;
const REMEDY: &str = "give a kernel that was built with CONFIG_EFI_STUB, such as /boot/vmlinuz-VERSION";

/// Reads a kernel as the PE image that it has to be.
///
/// # Errors
/// [`Kind::Corrupt`]: it is not one; those of reading.
pub fn parse<'a>(kernel: impl Into<Data<'a>>) -> Result<Image<'a>> {
    let kernel = kernel.into();
    Image::parse(kernel).map_err(|e| {
        if e.kind() != Kind::Corrupt {
            return e;
        }
        let bytes = kernel.first(6).read().unwrap_or_default();
        let remedy = if Compression::of(&bytes).is_some() { "decompress it: a firmware cannot" } else { REMEDY };
        Error::new(Kind::Corrupt, "use the kernel", e.cause()).remedy(remedy)
    })
}

/// A kernel of which something is not as it should be.
pub fn unusable(why: &'static str) -> Error {
    Error::new(Kind::Corrupt, "use the kernel", why).remedy(REMEDY)
}

/// What `uname -r` will print, if the kernel says it in plain text.
///
/// # Errors
/// Those of reading.
pub fn release<'a>(kernel: impl Into<Data<'a>>) -> Result<Option<String>> {
    let kernel = kernel.into();
    let said = from_setup_header(&kernel.first(BOOT_SECTOR + usize::from(u16::MAX) + MAX_RELEASE).read()?);
    if said.is_some() { Ok(said) } else { from_banner(kernel) }
}

fn from_setup_header(kernel: &[u8]) -> Option<String> {
    let (_, header) = kernel.split_at_checked(HEADER_MAGIC)?;
    header.starts_with(b"HdrS").then_some(())?;
    let offset = Reader::new(kernel.get(KERNEL_VERSION..)?).le16()?;
    first_word(kernel.get(BOOT_SECTOR + usize::from(offset)..)?)
}

fn from_banner(kernel: Data<'_>) -> Result<Option<String>> {
    // Each part with the beginning of the next one, so that no banner is cut.
    for start in (0..kernel.len()).step_by(PIECE) {
        let end = (start + PIECE + BANNER.len() + MAX_RELEASE).min(kernel.len());
        let Some(part) = kernel.get(start..end) else { break };
        let part = part.read()?;
        let found = part.windows(BANNER.len()).enumerate().filter(|(_, window)| *window == BANNER);
        let mut releases = found.filter_map(|(at, _)| first_word(part.get(at + BANNER.len()..)?));
        let release = releases.find(|release| release.starts_with(|first: char| first.is_ascii_digit()));
        if release.is_some() {
            return Ok(release);
        }
    }
    Ok(None)
}

fn first_word(text: &[u8]) -> Option<String> {
    let end = text.iter().take(MAX_RELEASE).position(|byte| !byte.is_ascii_graphic())?;
    let word = std::str::from_utf8(text.get(..end)?).ok()?;
    (!word.is_empty()).then(|| word.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_is_read_as_the_boot_protocol_says() {
        let mut kernel = vec![0; 0x1000];
        kernel[0x202..0x206].copy_from_slice(b"HdrS");
        kernel[0x20e..0x210].copy_from_slice(&0x600_u16.to_le_bytes());
        kernel[0x800..0x810].copy_from_slice(b"6.12.1-cloud (x@");
        let release = |kernel: &[u8]| super::release(kernel).unwrap();
        assert_eq!(release(&kernel).unwrap(), "6.12.1-cloud");
        kernel[0x20e..0x210].copy_from_slice(&0xffff_u16.to_le_bytes());
        assert_eq!(release(&kernel), None);
        kernel[0x300..0x31c].copy_from_slice(b"Linux version %s\0 Linux vers");
        kernel[0x400..0x41c].copy_from_slice(b"Linux version 6.1.0-9-arm64 ");
        assert_eq!(release(&kernel).unwrap(), "6.1.0-9-arm64");
        // Wherever it lies.
        for at in PIECE - 100..PIECE + 10 {
            let banner = b"Linux version 6.1.0-9-arm64 ";
            assert_eq!(release(&[&vec![0; at], &banner[..]].concat()).unwrap(), "6.1.0-9-arm64", "{at}");
        }
        assert_eq!(release(b""), None);
        assert_eq!(release(b"Linux version 6"), None);
    }

    #[test]
    fn kernels_that_no_firmware_can_start_are_refused() {
        assert!(parse(b"MZ\0").unwrap_err().to_string().contains("CONFIG_EFI_STUB"));
        assert!(parse(b"\x1f\x8b\x08").unwrap_err().to_string().contains("decompress it"));
    }
}
