//! What an image hands over to its kernel, as systemd-stub would. Pure.

use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::data::Data,
        image::{
            cpio::{self, Archive},
            pe::{Image, Section},
        },
        uki::{measured, stub},
    },
    measure_log,
};

/// What systemd-stub leaves in the initrd, for the services that ask for it: section, path.
const EXTRA: [(&str, &str); 4] = [
    (".pcrsig", ".extra/tpm2-pcr-signature.json"),
    (".pcrpkey", ".extra/tpm2-pcr-public-key.pem"),
    (".osrel", ".extra/os-release"),
    (".profile", ".extra/profile"),
];
/// All may read what is not secret.
const PUBLIC: u32 = 0o444;
const PRIVATE: u32 = 0o400;
/// Upper bound in bytes of what goes into the extra archive, each.
const MAX_EXTRA: usize = 16 << 20;
/// What the kernel has room for, the NUL at the end included: `COMMAND_LINE_SIZE`.
const MAX_CMDLINE: usize = 2048;

/// What is loaded.
#[derive(Debug)]
pub struct Successor<'a> {
    /// The version of its systemd-stub.
    pub stub: u16,
    /// Which of its profiles.
    pub profile: usize,
    /// The kernel, itself an EFI program.
    pub kernel: Data<'a>,
    /// Archives, one behind the other.
    initrds: Vec<Data<'a>>,
    /// A further archive.
    extra: Archive,
    /// The command line, without a NUL.
    pub cmdline: String,
}

impl<'a> Successor<'a> {
    /// Takes an image apart.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is no unified kernel image, has no such profile, or needs what a kernel cannot hand over to the
    /// next one; [`Kind::Corrupt`]: its command line is none; those of reading.
    pub fn of(image: &Image<'a>, profile: usize) -> Result<Self> {
        let Some((_, version)) = stub::version(image)? else {
            return Err(unusable("it is not made of systemd-stub").remedy("build it with `trust uki build`"));
        };
        if profile >= measured::profiles(image, version) {
            let why = format!("there is no profile {profile}");
            return Err(unusable(why).remedy("`trust uki inspect` lists them"));
        }
        let section = |name: &str| measured::section(image, version, profile, name);
        let contents = |name: &str| section(name).map(Section::contents);
        if section(".dtb").is_some() {
            return Err(unusable("it brings a device tree, which kexec cannot hand over").remedy("restart the machine"));
        }
        let Some(kernel) = contents(".linux") else {
            return Err(unusable("it holds no kernel").remedy("give a unified kernel image"));
        };
        let cmdline = contents(".cmdline").map(|data| data.first(MAX_CMDLINE).read()).transpose()?.unwrap_or_default();
        let cmdline = String::from_utf8_lossy(&cmdline);
        let cmdline = cmdline.trim_end_matches(['\0', '\n', ' ']).to_owned();
        if cmdline.contains(char::is_control) || cmdline.len() >= MAX_CMDLINE {
            return Err(Error::new(Kind::Corrupt, WHAT, "its command line is none").remedy("build it again"));
        }
        let mut extra = Archive::new();
        for (name, path) in EXTRA {
            if let Some(data) = contents(name).filter(|data| data.len() <= MAX_EXTRA) {
                extra.file(path, PUBLIC, data.read()?.into_owned())?;
            }
        }
        // Microcode has to be first.
        let initrds = [".ucode", ".initrd"].into_iter().filter_map(contents).collect();
        Ok(Self { stub: version, profile, kernel, initrds, extra, cmdline })
    }

    /// Adds the log of what has been measured so far.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is one already.
    pub fn add_log(&mut self, log: Vec<u8>) -> Result<()> {
        self.hand_over(measure_log::OF_PREDECESSOR, log)
    }

    /// Adds a file for root alone, of this absolute path.
    ///
    /// # Errors
    /// [`Kind::Usage`]: there is one already.
    pub fn hand_over(&mut self, path: &str, contents: Vec<u8>) -> Result<()> {
        self.extra.file(path.trim_start_matches('/'), PRIVATE, contents)
    }

    /// Size in bytes of what lies at the end of the initrd, and is no part of the image.
    ///
    /// # Errors
    /// As [`Self::initrd`].
    pub fn extra_size(&self) -> Result<usize> {
        self.extra.to_bytes().map(|extra| extra.len())
    }

    /// Passes all bytes of the initrd to `write`, in their order.
    ///
    /// # Errors
    /// Those of reading, and of `write`.
    pub fn initrd(&self, mut write: impl FnMut(&[u8]) -> Result<()>) -> Result<()> {
        let extra = self.extra.to_bytes()?;
        let mut length = 0;
        for archive in self.initrds.iter().copied().chain([Data::from(&extra)]) {
            let separator = cpio::separator(length);
            write(separator)?;
            archive.pieces(|_, bytes| write(bytes))?;
            length += separator.len() + archive.len();
        }
        Ok(())
    }
}

/// What fails, in messages.
pub(super) const WHAT: &str = "start the image by kexec";

pub(super) fn unusable(why: impl Into<std::borrow::Cow<'static, str>>) -> Error {
    Error::new(Kind::Usage, WHAT, why)
}
