//! A unified kernel image from files, not signed.

use super::{
    assemble::{self, Section},
    cmdline, initrd, kernel, stub, text,
};
use crate::{
    error::{Error, Kind, Result},
    host::{atomic, format::cpio},
};
use std::path::{Path, PathBuf};

/// Where systemd's stubs are.
const STUBS: &str = "/usr/lib/systemd/boot/efi";

/// Where initrds have it.
const SYSTEMD: [&str; 2] = ["usr/lib/systemd/systemd", "lib/systemd/systemd"];

const MAX_KERNEL: u64 = 512 << 20;
const MAX_INITRD: u64 = 2 << 30;
const MAX_STUB: u64 = 16 << 20;
const MAX_SPLASH: u64 = 64 << 20;

/// What an image is made of.
#[derive(Debug)]
pub struct Ingredients {
    /// The kernel; see [`read_kernel`].
    pub kernel: Vec<u8>,
    /// Archives, compressed or not, in the order in which they are unpacked.
    pub initrds: Vec<PathBuf>,
    /// A further archive.
    pub additions: Vec<u8>,
    /// The command line; see [`text::command_line`].
    pub cmdline: Option<String>,
    /// os-release(5).
    pub os_release: Option<PathBuf>,
    /// What `uname -r` will print, if the kernel does not say it.
    pub uname: Option<String>,
    /// The stub, if not systemd's for the kernel's architecture.
    pub stub: Option<PathBuf>,
    /// A picture, BMP.
    pub splash: Option<PathBuf>,
}

/// Reads a kernel and says for which architecture it is, as UEFI calls it by a number.
///
/// # Errors
/// Those of reading; [`Kind::Corrupt`] when no firmware can start it.
pub fn read_kernel(path: &Path) -> Result<(Vec<u8>, u16)> {
    let bytes = atomic::read_up_to(path, MAX_KERNEL)?;
    let machine = kernel::parse(&bytes).map_err(|e| e.within(in_file(path)))?.headers().machine;
    Ok((bytes, machine))
}

/// The image: the same ingredients give the same bytes.
///
/// # Errors
/// Those of reading, and of [`assemble::assemble`]; [`Kind::Usage`] for what no boot could use.
pub fn build(ingredients: &Ingredients) -> Result<Vec<u8>> {
    let kernel = &ingredients.kernel;
    let (stub_path, stub, _) = read_stub(ingredients)?;
    let os_release = ingredients.os_release.as_deref().map(text::os_release).transpose()?;
    let uname = ingredients.uname.clone().or_else(|| kernel::release(kernel));
    let splash = ingredients.splash.as_deref().map(read_splash).transpose()?;
    let initrd = read_initrds(&ingredients.initrds, &ingredients.additions)?;
    let sections = [
        (".osrel", os_release.as_deref()),
        (".cmdline", ingredients.cmdline.as_deref().map(str::as_bytes)),
        (".uname", uname.as_deref().map(str::as_bytes)),
        (".splash", splash.as_deref()),
        (".initrd", Some(initrd.as_slice())),
    ];
    // What is empty says nothing.
    let sections = sections.into_iter().filter_map(|(name, data)| data.map(|data| Section { name, data }));
    let sections: Vec<_> = sections.filter(|section| !section.data.is_empty()).collect();
    assemble::assemble(&stub, kernel, &sections).map_err(|e| e.within(format!("build on {}", stub_path.display())))
}

/// What an owner would hardly want of a production image: see [`cmdline::doubts`].
///
/// # Errors
/// Those of reading the ingredients.
pub fn doubts(ingredients: &Ingredients) -> Result<Vec<String>> {
    let mut systemd = false;
    for path in &ingredients.initrds {
        let bytes = atomic::read_up_to(path, MAX_INITRD)?;
        initrd::walk(&bytes, MAX_INITRD as usize, &mut |entry| systemd |= SYSTEMD.contains(&entry.path.as_str()))?;
    }
    let mut doubts = cmdline::doubts(ingredients.cmdline.as_deref().unwrap_or_default(), systemd);
    let (path, _, deaf) = read_stub(ingredients)?;
    if !deaf {
        doubts.push(format!(
            "{} appends to the command line what the firmware's strings say (SMBIOS), which nobody signs: take one of \
             systemd 253 or before, or see that nobody can set them",
            path.display()
        ));
    }
    Ok(doubts)
}

/// The stub, kept from the firmware's strings, where it is, and whether that was possible.
fn read_stub(ingredients: &Ingredients) -> Result<(PathBuf, Vec<u8>, bool)> {
    let path = match &ingredients.stub {
        Some(path) => path.clone(),
        None => default_stub(kernel::parse(&ingredients.kernel)?.headers().machine),
    };
    let mut stub = atomic::read_up_to(&path, MAX_STUB).map_err(|e| {
        if ingredients.stub.is_some() { e } else { e.remedy("install systemd-boot-efi, or name a stub: --stub FILE") }
    })?;
    let deaf = stub::deafen(&mut stub);
    Ok((path, stub, deaf))
}

/// systemd's stub for an architecture.
fn default_stub(machine: u16) -> PathBuf {
    Path::new(STUBS).join(format!("linux{}.efi.stub", assemble::machine_name(machine)))
}

fn read_splash(path: &Path) -> Result<Vec<u8>> {
    let bytes = atomic::read_up_to(path, MAX_SPLASH)?;
    if bytes.starts_with(b"BM") {
        return Ok(bytes);
    }
    Err(Error::new(Kind::Usage, in_file(path), "it is no BMP picture").remedy("convert it: the stub shows only those"))
}

/// All initrds one behind the other, each found to be one, and the further archive last: what it holds counts.
fn read_initrds(paths: &[PathBuf], additions: &[u8]) -> Result<Vec<u8>> {
    let mut joined = Vec::new();
    for path in paths {
        let bytes = atomic::read_up_to(path, MAX_INITRD)?;
        let parts = initrd::walk(&bytes, MAX_INITRD as usize, &mut |_| ()).map_err(|e| e.within(in_file(path)))?;
        if parts.is_empty() {
            return Err(Error::new(Kind::Usage, in_file(path), "it is empty")
                .remedy("give an initrd as mkinitramfs, dracut or mkosi makes it"));
        }
        cpio::append(&mut joined, &bytes);
    }
    cpio::append(&mut joined, additions);
    Ok(joined)
}

fn in_file(path: &Path) -> String {
    format!("use {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_have_the_names_that_systemd_gives_them() {
        assert_eq!(default_stub(0x8664), Path::new("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"));
        assert_eq!(default_stub(0xaa64), Path::new("/usr/lib/systemd/boot/efi/linuxaa64.efi.stub"));
    }
}
