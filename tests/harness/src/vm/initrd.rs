//! A small initrd: busybox, a script, and what else a test puts in.

use super::Architecture;
use crate::{
    assets::{self, Kernel},
    tools::run,
};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};
use tempfile::TempDir;

/// The first line that a guest says.
pub(super) const BEGINNING: &str = "\nhere is the guest\n";
/// The last thing that a guest says when all went well.
pub(super) const ANNOUNCEMENT: &str = "announced";
/// Mounts what it must, runs `/script` under `sh -eu`, announces its success, and switches off.
const INIT: &str = include_str!("init.sh");

/// A function for scripts: `attempt NAME COMMAND…` says how it ended, and what it has printed. `$host` is the administrator's
/// program.
pub const ATTEMPT: &str = r#"
host=/usr/sbin/trust
attempt() {
    name=$1 status=0
    shift
    "$@" >/tmp/output || status=$?
    say "$name" "$status" $(cat /tmp/output)
}
"#;

/// A root file system in the making, packed into a cpio archive at last.
///
/// Its init mounts /dev, /proc, /sys, securityfs and efivarfs, and loads modules in the order in which they were added. Then it
/// runs the script, with busybox for a shell, in which `say NAME VALUE` makes [`super::Report::value`].
#[derive(Debug)]
pub struct Initrd {
    dir: TempDir,
    kernel: Kernel,
    /// The names of its modules, in the order in which they are loaded.
    modules: Vec<String>,
    architecture: Architecture,
}

impl Initrd {
    /// With this script, and the modules that every guest needs.
    #[must_use]
    pub fn new(script: &str) -> Self {
        Self::of(Kernel::new(), script)
    }

    /// As [`Self::new`], for this kernel.
    #[must_use]
    pub fn of(kernel: Kernel, script: &str) -> Self {
        Self::with(Architecture::X86_64, kernel, script)
    }

    /// As [`Self::new`], for arm64.
    #[must_use]
    pub fn arm64(script: &str) -> Self {
        Self::with(Architecture::Arm64, Architecture::Arm64.kernel(), script)
    }

    fn with(architecture: Architecture, kernel: Kernel, script: &str) -> Self {
        let dir = TempDir::with_prefix("initrd-").expect("a temporary directory");
        let mut initrd = Self { dir, architecture, kernel, modules: Vec::new() };
        for directory in ["dev", "proc", "sys", "run", "tmp", "root", "modules"] {
            fs::create_dir_all(initrd.root().join(directory)).expect("a writable directory");
        }
        initrd
            .add("bin/busybox", &architecture.busybox(), 0o755)
            .write("init", INIT, 0o755)
            .write("script", script, 0o644);
        for module in architecture.modules() {
            initrd.module(module);
        }
        initrd
    }

    pub(super) const fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The kernel whose modules it has.
    #[must_use]
    pub const fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// Where it lies until it is packed.
    #[must_use]
    pub fn root(&self) -> PathBuf {
        self.dir.path().join("root")
    }

    /// Adds a copy of a file.
    pub fn add(&mut self, name: &str, file: &Path, mode: u32) -> &mut Self {
        let content = fs::read(file).unwrap_or_else(|e| panic!("cannot read {}: {e}", file.display()));
        self.write(name, content, mode)
    }

    /// Adds a copy of a directory and all that is below.
    pub fn add_tree(&mut self, name: &str, dir: &Path) -> &mut Self {
        for entry in fs::read_dir(dir).unwrap_or_else(|e| panic!("cannot read {}: {e}", dir.display())) {
            let path = entry.expect("an entry").path();
            let name = format!("{name}/{}", path.file_name().expect("a name").to_string_lossy());
            if path.is_dir() {
                self.add_tree(&name, &path);
            } else {
                self.add(&name, &path, 0o644);
            }
        }
        self
    }

    /// Adds a file.
    pub fn write(&mut self, name: &str, content: impl AsRef<[u8]>, mode: u32) -> &mut Self {
        let path = self.root().join(name);
        fs::create_dir_all(path.parent().expect("it is below the root")).expect("a writable directory");
        fs::write(&path, content).expect("a writable directory");
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("our own file");
        self
    }

    /// Adds a program of this system, or one of arm64's assets, where it is there, with the libraries that it is linked with.
    pub fn program(&mut self, path: &Path) -> &mut Self {
        let name = path.to_str().expect("a path in text").trim_start_matches('/').to_owned();
        match self.architecture {
            Architecture::X86_64 => self.program_as(&name, path),
            Architecture::Arm64 => self.program_as(&name, &assets::arm64(&name)),
        }
    }

    /// Adds the administrator's program with its libraries, as `/usr/sbin/trust`: `/usr/bin/trust` is the initrd's.
    pub fn host_program(&mut self) -> &mut Self {
        self.program_as("usr/sbin/trust", &self.architecture.trust_host())
    }

    fn program_as(&mut self, name: &str, path: &Path) -> &mut Self {
        self.add(name, path, 0o755);
        if self.architecture == Architecture::Arm64 {
            return self.arm64_libraries(path);
        }
        let linked = run("ldd", &[path.to_str().expect("a path in text")]);
        // `NAME => /PATH (ADDRESS)`, or `/PATH (ADDRESS)` for the loader; what the kernel brings has no path.
        let libraries = linked.split_whitespace().filter(|word| word.starts_with('/'));
        for library in libraries {
            self.add(library.trim_start_matches('/'), Path::new(library), 0o755);
        }
        self
    }

    /// Adds the libraries that a program of arm64 is linked with, and the ones that these are: here nothing can load them.
    fn arm64_libraries(&mut self, file: &Path) -> &mut Self {
        const LIBRARIES: &str = "usr/lib/aarch64-linux-gnu";
        const LOADER: &str = "ld-linux-aarch64.so.1";
        let headers = run("readelf", &["--dynamic", file.to_str().expect("a path in text")]);
        // `0x0000000000000001 (NEEDED)  Shared library: [NAME]`
        let needed = headers.lines().filter(|line| line.contains("(NEEDED)"));
        let names = needed.filter_map(|line| line.split(['[', ']']).nth(1)).map(str::to_owned).collect::<Vec<_>>();
        for name in names.into_iter().chain([LOADER.to_owned()]) {
            let place = if name == LOADER { format!("lib/{name}") } else { format!("{LIBRARIES}/{name}") };
            if !self.root().join(&place).exists() {
                let library = assets::arm64(&format!("{LIBRARIES}/{name}"));
                self.add(&place, &library, 0o755);
                self.arm64_libraries(&library);
            }
        }
        self
    }

    /// Adds a module of the kernel, behind the ones that it needs. What is built in is there.
    pub fn module(&mut self, name: &str) -> &mut Self {
        if self.modules.iter().any(|there| *there == name.replace('-', "_")) {
            return self;
        }
        let Some(module) = self.kernel.module(name) else { return self };
        for needed in &module.needs {
            self.module(needed);
        }
        self.modules.push(name.replace('-', "_"));
        // Loaded in the order of the names.
        self.write(&format!("modules/{:02}-{name}.ko", self.modules.len()), module.bytes, 0o644)
    }

    /// The archive, compressed.
    #[must_use]
    pub fn pack(&self) -> PathBuf {
        let archive = self.dir.path().join("initrd");
        let script =
            "find . | LC_ALL=C sort | cpio --quiet --create --format newc --owner 0:0 | zstd --quiet --force -o \"$0\"";
        let status = Command::new("sh")
            .args(["-c", script])
            .arg(&archive)
            .current_dir(self.root())
            .stdin(Stdio::null())
            .status();
        assert!(status.expect("there is a shell").success(), "cpio or zstd failed (Debian: cpio, zstd)");
        archive
    }
}
