//! What an image is made of: files, read and put together, not signed.

use super::{
    assemble::{self, NewSection},
    cmdline, initrd, kernel, stub, text,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::{
            atomic::{self, Output},
            data::{Data, Input},
        },
        image::{
            cpio::{self, ArchiveEntry},
            pe::Image,
        },
    },
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
    /// The kernel, with an EFI stub.
    pub kernel: PathBuf,
    /// Archives, compressed or not, in the order in which they are unpacked.
    pub initrds: Vec<PathBuf>,
    /// The command line; see [`text::command_line`].
    pub cmdline: Option<String>,
    /// os-release(5).
    pub os_release: Option<PathBuf>,
    /// What `uname -r` will print, if the kernel does not say it.
    pub uname: Option<String>,
    /// The stub, if not systemd's for the kernel's architecture.
    pub stub: Option<PathBuf>,
    /// A picture in BMP format.
    pub splash: Option<PathBuf>,
}

impl Ingredients {
    /// The kernel's file, for [`kernel::parse`].
    ///
    /// # Errors
    /// Those of reading.
    pub fn open_kernel(&self) -> Result<Input> {
        Input::open(&self.kernel, MAX_KERNEL)
    }

    /// Writes the image, with `additions` as a further archive: the same ingredients give the same bytes. Returns what an
    /// owner would hardly want in a production image: see [`cmdline::doubts`].
    ///
    /// # Errors
    /// Those of reading, and of [`assemble::assemble`]; [`Kind::Usage`] for what no boot could use.
    pub fn assemble(&self, kernel: &Image<'_>, additions: &[u8], output: &mut Output) -> Result<Vec<String>> {
        let (stub_path, stub, is_deaf) = self.read_stub(kernel.headers().machine)?;
        let os_release = self.os_release.as_deref().map(text::os_release).transpose()?;
        let uname = match &self.uname {
            None => kernel::release(kernel.data())?,
            given => given.clone(),
        };
        let splash = self.splash.as_deref().map(read_splash).transpose()?;
        let initrds = self.initrds.iter().map(|path| Input::open(path, MAX_INITRD));
        let initrds = initrds.collect::<Result<Vec<_>>>()?;
        let systemd = look_through(&self.initrds, &initrds)?;
        let sections = [
            (".osrel", os_release.as_ref().map(|bytes| vec![bytes.into()])),
            (".cmdline", self.cmdline.as_ref().map(|line| vec![line.as_bytes().into()])),
            (".uname", uname.as_ref().map(|release| vec![release.as_bytes().into()])),
            (".splash", splash.as_ref().map(|picture| vec![picture.into()])),
            (".initrd", Some(joined(initrds.iter().map(Input::data).chain([additions.into()])))),
        ];
        let sections = sections.into_iter().filter_map(|(name, data)| Some(NewSection { name, data: data? }));
        // What is empty says nothing.
        let sections: Vec<_> = sections.filter(|section| section.data.iter().any(|data| !data.is_empty())).collect();
        assemble::assemble(&stub, kernel, &sections, output)
            .map_err(|e| e.within(format!("build on {}", stub_path.display())))?;

        let mut doubts = cmdline::doubts(self.cmdline.as_deref().unwrap_or_default(), systemd);
        if !is_deaf {
            doubts.push(format!(
                "{} appends unsigned strings of the firmware (SMBIOS) to the command line: use a stub of systemd 253 or \
                 earlier, or make sure that no attacker can set them",
                stub_path.display()
            ));
        }
        Ok(doubts)
    }

    /// Where the stub for this architecture is, the stub, kept from the firmware's strings, and whether that was possible.
    fn read_stub(&self, machine: u16) -> Result<(PathBuf, Vec<u8>, bool)> {
        let path = self.stub.clone().unwrap_or_else(|| default_stub(machine));
        let mut stub = atomic::read_up_to(&path, MAX_STUB).map_err(|e| {
            if self.stub.is_some() { e } else { e.remedy("install systemd-boot-efi, or name a stub: --stub FILE") }
        })?;
        let is_deaf = stub::deafen(&mut stub);
        Ok((path, stub, is_deaf))
    }
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
    Err(Error::new(Kind::Usage, in_file(path), "it is not a BMP picture")
        .remedy("convert it: the stub shows only those"))
}

/// Finds each of them to be an initrd, and says whether systemd is in any.
fn look_through(paths: &[PathBuf], initrds: &[Input]) -> Result<bool> {
    let mut systemd = false;
    for (path, initrd) in paths.iter().zip(initrds) {
        let mut see = |entry: &ArchiveEntry<'_>| systemd |= SYSTEMD.contains(&entry.path.as_str());
        let parts = initrd::walk(initrd, MAX_INITRD as usize, &mut see).map_err(|e| e.within(in_file(path)))?;
        if parts.is_empty() {
            return Err(Error::new(Kind::Usage, in_file(path), "it is empty")
                .remedy("give an initrd as mkinitramfs, dracut or mkosi makes it"));
        }
    }
    Ok(systemd)
}

/// Archives one behind the other: what the last one holds counts.
fn joined<'a>(archives: impl Iterator<Item = Data<'a>>) -> Vec<Data<'a>> {
    let (mut joined, mut length) = (Vec::new(), 0);
    for archive in archives {
        let separator = cpio::separator(length);
        length += separator.len() + archive.len();
        joined.extend([separator.into(), archive]);
    }
    joined
}

pub(super) fn in_file(path: &Path) -> String {
    format!("use {}", path.display())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stubs_are_found_by_systemds_names() {
        assert_eq!(default_stub(0x8664), Path::new("/usr/lib/systemd/boot/efi/linuxx64.efi.stub"));
        assert_eq!(default_stub(0xaa64), Path::new("/usr/lib/systemd/boot/efi/linuxaa64.efi.stub"));
    }
}
