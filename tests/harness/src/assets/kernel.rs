//! Debian's kernels for virtual machines, and their modules.

use super::{arm64, bookworm, path};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// A kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// As `uname -r` prints it.
    pub release: String,
    /// The bootable image.
    pub image: PathBuf,
    /// Its modules.
    modules: PathBuf,
}

/// A module of a kernel.
#[derive(Clone, Debug)]
pub struct Module {
    /// As the kernel takes it: uncompressed.
    pub bytes: Vec<u8>,
    /// The names of the modules that it needs.
    pub needs: Vec<String>,
}

impl Kernel {
    /// Debian 13's, Linux 6.12.
    #[must_use]
    pub fn new() -> Self {
        Self::in_root(&path(""))
    }

    /// Debian 12's, Linux 6.1.
    #[must_use]
    pub fn of_bookworm() -> Self {
        Self::in_root(&bookworm(""))
    }

    /// Debian 13's for arm64.
    #[must_use]
    pub fn arm64() -> Self {
        Self::in_root(&arm64(""))
    }

    /// The one there is.
    fn in_root(root: &Path) -> Self {
        let boot = root.join("boot");
        let mut names = fs::read_dir(&boot).into_iter().flatten().map(|entry| entry.expect("an entry").file_name());
        let release = names.find_map(|name| Some(name.to_str()?.strip_prefix("vmlinuz-")?.to_owned()));
        let release = release.unwrap_or_else(|| panic!("no kernel in {}: run `cargo xtask assets`", boot.display()));
        // The directories of Debian 12's package are not merged with those in /usr.
        let places = ["usr/lib/modules", "lib/modules"].map(|place| root.join(place).join(&release));
        let modules = places.into_iter().find(|place| place.is_dir()).expect("it has modules");
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

    /// A module by its name; `None` where it is built in.
    #[must_use]
    pub fn module(&self, name: &str) -> Option<Module> {
        let Some(path) = find(&self.modules, name) else {
            let built_in =
                fs::read_to_string(self.modules.join("modules.builtin")).expect("a list of what is built in");
            assert!(built_in.lines().any(|line| is_of(Path::new(line), name)), "{} has no module {name}", self.release);
            return None;
        };
        let bytes = match path.extension() {
            Some(extension) if extension == "xz" => {
                let output = Command::new("xz").args(["--decompress", "--stdout"]).arg(path).output();
                let output = output.expect("xz is installed (Debian: xz-utils)");
                assert!(output.status.success(), "xz: {}", String::from_utf8_lossy(&output.stderr));
                output.stdout
            }
            _ => fs::read(path).expect("a readable module"),
        };
        let needs = needs(&bytes);
        Some(Module { bytes, needs })
    }
}

impl Default for Kernel {
    fn default() -> Self {
        Self::new()
    }
}

/// The module of this name somewhere below `dir`.
fn find(dir: &Path, name: &str) -> Option<PathBuf> {
    let entries = fs::read_dir(dir).ok()?.map(|entry| entry.expect("an entry").path());
    let (dirs, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    files.into_iter().find(|path| is_of(path, name)).or_else(|| dirs.iter().find_map(|dir| find(dir, name)))
}

/// Whether this is the file of a module, whose name the kernel spells with underscores.
fn is_of(path: &Path, name: &str) -> bool {
    let file = path.file_name().and_then(|file| file.to_str()).unwrap_or_default();
    let stem = file.strip_suffix(".xz").unwrap_or(file).strip_suffix(".ko");
    stem.is_some_and(|stem| stem.replace('-', "_") == name.replace('-', "_"))
}

/// What the section `.modinfo` says: entries `NAME=VALUE` that end with NULs.
fn needs(module: &[u8]) -> Vec<String> {
    let entry = module.split(|byte| *byte == 0).find_map(|entry| entry.strip_prefix(b"depends="));
    let names = String::from_utf8_lossy(entry.expect("every module says it"));
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
