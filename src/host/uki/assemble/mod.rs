//! Sections put on a stub (UAPI.5; PE Format, Microsoft, section 4): the same input gives the same bytes.

mod layout;

use super::kernel;
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{atomic::Output, data::Data},
        image::pe::Image,
    },
};
use layout::ImageLayout;

/// The section that holds the kernel.
pub const LINUX: &str = ".linux";
/// Revocation levels, of the stub and of the kernel.
const SBAT: &str = ".sbat";
/// Upper bound in bytes of a list of them.
const MAX_SBAT: usize = 1 << 20;

/// A section to be added.
#[derive(Clone, Debug)]
pub struct NewSection<'a> {
    /// At most eight bytes, like `.cmdline`.
    pub name: &'a str,
    /// What it holds, one behind the other. Not empty.
    pub data: Vec<Data<'a>>,
}

impl NewSection<'_> {
    fn len(&self) -> usize {
        self.data.iter().map(|data| data.len()).sum()
    }
}

/// Puts the sections on the stub, in this order, and the kernel last: what it
/// needs of memory when it decompresses itself in place lies behind the image.
/// Nothing is written before all of it is known to fit.
///
/// The kernel's SBAT entries join those of the stub, so that either can be revoked.
///
/// # Errors
/// [`Kind::Corrupt`]: the stub is not a PE image; [`Kind::Usage`]: they do not fit each other, the stub is signed or has
/// no room, a section is there already, 4 GiB are not enough; those of reading and writing.
pub fn assemble(stub: &[u8], kernel: &Image<'_>, sections: &[NewSection<'_>], output: &mut Output) -> Result<()> {
    let image = Image::parse(stub).map_err(|e| {
        Error::new(Kind::Corrupt, "use the stub", e.cause()).remedy("give systemd's, like linuxx64.efi.stub")
    })?;
    let (wanted, given) = (kernel.headers().machine, image.headers().machine);
    if wanted != given {
        let why = format!("it is for {}, and the kernel for {}", machine_name(given), machine_name(wanted));
        return Err(unfit(why).remedy("give the stub of the kernel's architecture"));
    }
    if image.certificate_table().is_some() {
        return Err(unfit("it is signed, and adding to it would break the signature")
            .remedy("give the unsigned one, which ends in .efi.stub"));
    }
    let revocation_levels = match kernel.section(SBAT) {
        Some(sbat) if sbat.data.len() > MAX_SBAT => return Err(kernel::unusable("its section .sbat is not a list")),
        Some(sbat) => merge(&image, &sbat.data.read()?)?,
        None => None,
    };
    let mut layout = ImageLayout::begin(&image)?;
    if let Some(merged) = &revocation_levels {
        layout.put_revocation_levels(&image, merged)?;
    }
    for section in sections {
        layout.add(section, layout::DATA)?;
    }
    layout.add(&NewSection { name: LINUX, data: vec![kernel.data()] }, layout::CODE)?;
    if !layout::promises_nx(kernel) {
        layout.withdraw_nx()?;
    }
    layout.write(output)?;
    // What cannot be read again must not be signed.
    let again = Image::parse(output.data());
    again.map(drop).map_err(|e| e.within("assemble the image").remedy("this is a defect of trust: report it"))
}

/// The stub's revocation levels with the kernel's behind them, without another first line, if the stub has any.
fn merge(stub: &Image<'_>, kernels: &[u8]) -> Result<Option<Vec<u8>>> {
    let lines = |bytes: &[u8]| {
        let text = bytes.split(|byte| *byte == 0).next().unwrap_or_default();
        String::from_utf8_lossy(text).lines().map(str::to_owned).collect::<Vec<_>>()
    };
    let Some(section) = stub.section(SBAT) else { return Ok(None) };
    let mut merged = lines(&section.data.read()?);
    merged.extend(lines(kernels).into_iter().filter(|line| !line.starts_with("sbat,")));
    let mut merged = merged.join("\n").into_bytes();
    merged.push(b'\n');
    Ok(Some(merged))
}

/// An architecture as UEFI calls it, by `Machine`.
#[must_use]
pub fn machine_name(machine: u16) -> String {
    match machine {
        0x014c => "ia32".into(),
        0x8664 => "x64".into(),
        0x01c2 => "arm".into(),
        0xaa64 => "aa64".into(),
        0x5064 => "riscv64".into(),
        0x6264 => "loongarch64".into(),
        other => format!("machine {other:#06x}"),
    }
}

fn too_large() -> Error {
    Error::new(Kind::Usage, "assemble the image", "it would be larger than 4 GiB").remedy("give a smaller initrd")
}

fn cut_off() -> Error {
    unfit("its headers do not describe it").remedy("give systemd's stub")
}

fn unfit(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Usage, "use the stub", why)
}

#[cfg(test)]
pub mod tests;
