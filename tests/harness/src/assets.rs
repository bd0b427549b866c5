//! What other projects made: firmware, kernel, boot loaders, and their makers' tools. `cargo xtask assets` gets them.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Written last: says that [`directory`] is complete, and of what.
pub const STAMP: &str = ".complete";

/// Where they are: `$TRUST_ASSETS`, or a directory among this user's caches.
#[must_use]
pub fn directory() -> PathBuf {
    if let Some(dir) = env::var_os("TRUST_ASSETS").filter(|dir| !dir.is_empty()) {
        return dir.into();
    }
    let caches = env::var_os("XDG_CACHE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let caches = caches.unwrap_or_else(|| env::home_dir().expect("there is a home directory").join(".cache"));
    caches.join("trust-xtask/assets-1")
}

/// A file of Debian 13's packages, such as `usr/lib/shim/shimx64.efi.signed`.
#[must_use]
pub fn path(name: &str) -> PathBuf {
    file(&format!("trixie/{name}"))
}

/// A file of Debian 12's packages: `usr/lib/systemd/boot/efi/linuxx64.efi.stub` is version 252.
#[must_use]
pub fn bookworm(name: &str) -> PathBuf {
    file(&format!("bookworm/{name}"))
}

/// A small system of Debian with dracut: `bookworm` has version 059, `trixie` has 106, `forky` 112.
#[must_use]
pub fn tree(suite: &str) -> PathBuf {
    file(&format!("tree/{suite}"))
}

/// A file of Debian 13's packages for arm64, such as `usr/lib/systemd/boot/efi/linuxaa64.efi.stub`.
#[must_use]
pub fn arm64(name: &str) -> PathBuf {
    let path = directory().join("arm64").join(name);
    let there = directory().join("arm64").join(STAMP).exists() && path.exists();
    assert!(there, "there is no {}: run `cargo xtask assets`, or set TRUST_ASSETS", path.display());
    path
}

/// Where Debian 13's packages came from, as sources.list(5) has it.
#[must_use]
pub fn sources() -> PathBuf {
    file("trixie.sources")
}

/// One of `mkosi`, `ukify`, `virt-fw-vars` and `systemd-measure`, ready to run.
#[must_use]
pub fn program(name: &str) -> Command {
    Command::new(file(&format!("bin/{name}")))
}

/// shim, compiled with room for a vendor database: [`crate::vm::shim_with`] fills it.
#[must_use]
pub fn shim() -> PathBuf {
    file("shim/shimx64.efi")
}

/// One of GRUB's programs `grub-protect` and `grub-emu`, compiled from its source.
#[must_use]
pub fn grub(program: &str) -> PathBuf {
    file(&format!("grub/{program}"))
}

/// A kernel of Debian 13 for virtual machines.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// The bootable image.
    pub image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// The one of x86_64.
    #[must_use]
    pub fn new() -> Self {
        Self::below(&path(""))
    }

    /// The one of arm64.
    #[must_use]
    pub fn arm64() -> Self {
        Self::below(&arm64(""))
    }

    fn below(root: &Path) -> Self {
        let boot = root.join("boot");
        let mut names = fs::read_dir(&boot).expect("a readable directory").map(|entry| entry.expect("an entry"));
        let name = names.find_map(|entry| Some(entry.file_name().to_str()?.strip_prefix("vmlinuz-")?.to_owned()));
        let release = name.unwrap_or_else(|| panic!("there is no kernel in {}", boot.display()));
        let modules = root.join("usr/lib/modules").join(&release).join("kernel");
        Self { image: boot.join(format!("vmlinuz-{release}")), release, modules }
    }

    /// The image with revocation levels, such as other distributions' kernels have: in the place of the section that
    /// firmware of 32 bits looks for.
    #[must_use]
    pub fn with_revocation_levels(&self, levels: &str) -> Vec<u8> {
        let mut image = fs::read(&self.image).expect("a readable kernel");
        let name = image.windows(8).position(|name| name == b".compat\0").expect("it has such a section");
        let number = |at: usize| u32::from_le_bytes(image[at..at + 4].try_into().expect("four bytes")) as usize;
        let (size, start) = (number(name + 16), number(name + 20));
        assert!(levels.len() < size, "the section has {size} bytes");
        image[name..name + 12].copy_from_slice(&[b".sbat\0\0\0", &(levels.len() as u32).to_le_bytes()[..]].concat());
        image[start..start + size].fill(0);
        image[start..start + levels.len()].copy_from_slice(levels.as_bytes());
        image
    }

    /// A module by its name, as the kernel takes it: uncompressed.
    #[must_use]
    pub fn module(&self, name: &str) -> Vec<u8> {
        let file = format!("{name}.ko.xz");
        let found = find(&self.modules, &file).unwrap_or_else(|| panic!("{} has no module {name}", self.release));
        let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(found).output();
        let output = output.expect("xz is installed (Debian: xz-utils)");
        assert!(output.status.success(), "xz: {}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

fn file(name: &str) -> PathBuf {
    let root = directory();
    let path = root.join(name);
    let there = root.join(STAMP).exists() && path.exists();
    assert!(there, "there is no {}: run `cargo xtask assets`, or set TRUST_ASSETS", path.display());
    path
}

/// The file of this name somewhere below `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.map(|entry| entry.expect("an entry").path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().find(|path| path.ends_with(name)).or_else(|| dirs.iter().find_map(|dir| find(dir, name)))
}
