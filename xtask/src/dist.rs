//! `cargo xtask dist`: the two programs as they are shipped, in target/dist/.
//!
//! Built so that the same sources give the same bytes wherever they lie.

use crate::{
    cross, fetch, inspect,
    package::{self, Format},
    packages,
    progress::Progress,
    sbom::{self, Program},
    sh, source, tools,
};
use anyhow::{Context, Result};
use std::{
    env,
    ffi::{OsStr, OsString},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc::channel,
    thread,
};

/// What the compiler may see of the environment: anything else could get into the programs.
const VARIABLES: [&str; 6] = ["HOME", "PATH", "CARGO_HOME", "RUSTUP_HOME", "RUSTUP_TOOLCHAIN", "SSL_CERT_FILE"];
/// The same, by their beginnings: how cargo gets at the dependencies.
const PREFIXES: [&str; 6] = ["CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTR", "HTTP", "http", "SSL_CERT_"];

/// Where what is shipped lies, in the workspace.
const DIST: &str = "target/dist";

/// For size: nothing unwinds, since a panic aborts, and the relocations of a static-pie take little room when packed. What
/// Rust's own library and C bring of tables for unwinding is left out when linking.
const INITRD_FLAGS: [&str; 4] = [
    "-Cforce-unwind-tables=no",
    "-Clink-arg=--pack-dyn-relocs=relr",
    "-Clink-arg=--no-eh-frame-hdr",
    "-Clink-arg=-Tinitrd/unwind.ld",
];

/// What is asked for on the command line.
pub struct Options {
    /// The target of trust-initrd; musl. The host program's is that of the GNU C library for the same architecture.
    pub target: String,
    /// Rewrite the committed dependency list instead of comparing it.
    pub bless: bool,
    /// Make packages, too.
    pub packages: Vec<Format>,
    /// Make them of what is there.
    pub no_build: bool,
    /// Put them there, and not beside the programs.
    pub output: Option<PathBuf>,
}

impl Default for Options {
    fn default() -> Self {
        let target = format!("{}-unknown-linux-musl", env::consts::ARCH);
        Self { target, bless: false, packages: Vec::new(), no_build: false, output: None }
    }
}

impl Options {
    /// Where it is put. What other machines run does not take the place of what this one runs.
    pub fn place(&self) -> PathBuf {
        let dir = sh::workspace().join(DIST);
        if self.is_foreign() { dir.join(&self.target) } else { dir }
    }

    /// Whether it is for other machines than this one.
    fn is_foreign(&self) -> bool {
        self.target != Self::default().target
    }

    /// The target of the host program: the compiler's own, but for other machines.
    fn host_target(&self) -> Option<&'static str> {
        self.is_foreign().then_some(cross::HOST)
    }
}

/// The programs that were built.
pub struct Dist {
    /// The program of the initrd.
    pub initrd: PathBuf,
    /// The host program.
    pub host: PathBuf,
}

/// Builds both programs and checks the first; then makes the packages that are asked for, and their checksums.
pub fn dist(options: &Options) -> Result<Dist> {
    let dir = options.place();
    let dist = if options.no_build {
        Dist { initrd: dir.join("trust-initrd"), host: dir.join("trust") }
    } else {
        programs(options)?
    };
    let output = options.output.as_deref().unwrap_or(&dir);
    fs::create_dir_all(output)?;
    for format in &options.packages {
        package::pack(&dir, output, *format, &options.target)?;
    }
    if !options.packages.is_empty() {
        package::checksums(output)?;
    }
    Ok(dist)
}

fn programs(options: &Options) -> Result<Dist> {
    if options.is_foreign() {
        cross::ensure(&options.target)?;
    } else {
        packages::ensure(&[packages::BUILD])?;
        tools::standard_library(&options.target)?;
    }
    fetch::prepare()?;
    let build = Build { workspace: sh::workspace(), target_dir: &sh::workspace().join("target"), alone: false };
    let progress = &Progress::default();
    let (end, ended) = channel::<()>();
    // Each ends on one core, in the linker's optimizer.
    let (initrd, host) = thread::scope(|scope| {
        scope.spawn(move || progress.show(&ended));
        let host = scope.spawn(|| build.host(options.host_target(), progress));
        let built = (build.initrd(&options.target, progress), host.join().expect("it does not panic"));
        drop(end);
        built
    });
    let (initrd, host) = (initrd?, host?);

    inspect::initrd(&initrd, options)?;

    let dir = options.place();
    let dist = Dist { initrd: install(&initrd, &dir)?, host: install(&host, &dir)? };
    let host_target = match options.host_target() {
        Some(target) => target.to_owned(),
        None => rustc(sh::workspace(), "host: ")?,
    };
    for (program, target, of_initrd) in [(&dist.initrd, &options.target, true), (&dist.host, &host_target, false)] {
        let bill = bill_of_materials(sh::workspace(), program, target, of_initrd)?;
        inspect::bill_of_materials(&bill, of_initrd)?;
        fs::write(program.with_extension("cdx.json"), bill)?;
    }
    manual(|| if options.is_foreign() { cross::run(&dist.host) } else { Command::new(&dist.host) }, &dir)?;
    share(sh::workspace(), &dist.initrd)?;
    system_files(sh::workspace(), &dir)?;
    for_all(&dir)?;
    Ok(dist)
}

/// What a program is made of that was built from these sources for a target: trust-initrd, or the host program.
pub fn bill_of_materials(workspace: &Path, file: &Path, target: &str, of_initrd: bool) -> Result<String> {
    let (name, feature) = if of_initrd { ("trust-initrd", None) } else { ("trust", Some("host")) };
    let program = Program { name, target, feature, file };
    sbom::describe(workspace, &program)
}

/// What the compiler of these sources says of itself.
pub fn rustc(workspace: &Path, field: &str) -> Result<String> {
    let version = String::from_utf8(sh::output(Command::new("rustc").arg("-vV").current_dir(workspace))?)?;
    let found = version.lines().find_map(|line| line.strip_prefix(field));
    Ok(found.with_context(|| format!("rustc does not say {field:?}"))?.to_owned())
}

/// Where the compiler that builds the sources in a directory is.
pub fn sysroot(workspace: &Path) -> Result<PathBuf> {
    let path = sh::output(Command::new("rustc").args(["--print", "sysroot"]).current_dir(workspace))?;
    Ok(String::from_utf8(path)?.trim_end().into())
}

/// What initrds are made with, as systems have it below /usr/share: units, scripts, the module of dracut, drop-ins of
/// mkosi, and the program, which these take from beside them; and what systemd-pcrlock is told of their boots. They are put into `share` beside that program.
pub fn share(sources: &Path, initrd: &Path) -> Result<()> {
    let dir = &initrd.with_file_name("share");
    let _ = fs::remove_dir_all(dir);
    fs::create_dir_all(dir)?;
    for (from, to) in [
        ("dracut-module", "dracut"),
        ("mkosi.conf.d", "mkosi.conf.d"),
        ("pcrlock.d", "pcrlock.d"),
        ("initrd/systemd", "systemd"),
        ("initrd/busybox", "busybox"),
        ("initrd/mask.sh", "mask.sh"),
        ("initrd/cmdline.sh", "cmdline.sh"),
        ("initrd/provision.sh", "provision.sh"),
    ] {
        // The module refers to the units by a link.
        let mut copy = Command::new("cp");
        sh::run_quietly(copy.args(["-rL", "--"]).arg(sources.join(from)).arg(dir.join(to)))?;
    }
    fs::copy(initrd, dir.join("trust-initrd"))?;
    Ok(())
}

/// What the running system is told: units, into `system-units` in `dir`, and what request-key(8) starts.
fn system_files(sources: &Path, dir: &Path) -> Result<()> {
    for (from, to) in [("systemd", "system-units"), ("request-key.d", "request-key.d")] {
        let to = dir.join(to);
        let _ = fs::remove_dir_all(&to);
        sh::run_quietly(Command::new("cp").args(["-r", "--"]).arg(sources.join(from)).arg(to))?;
    }
    Ok(())
}

/// What belongs to the host program, which `host` runs: manual pages, and completions where packages of a distribution have
/// them.
fn manual(host: impl Fn() -> Command, dir: &Path) -> Result<()> {
    let pages = dir.join("man/man1");
    // Of commands that are no more, too.
    let _ = fs::remove_dir_all(&pages);
    sh::run_quietly(host().args(["man", "--output"]).arg(&pages))?;
    for (shell, file) in [("bash", "bash/trust"), ("zsh", "zsh/_trust"), ("fish", "fish/trust.fish")] {
        let file = dir.join("completions").join(file);
        fs::create_dir_all(file.parent().context("it is in a directory")?)?;
        fs::write(&file, sh::output(host().args(["completions", shell]))?)?;
    }
    Ok(())
}

/// Makes the files of a directory readable by all, whatever the umask was, and programs executable.
fn for_all(path: &Path) -> Result<()> {
    let permissions = fs::metadata(path)?.permissions();
    let mode = if permissions.mode() & 0o100 == 0 { 0o644 } else { 0o755 };
    if permissions.mode() & 0o7777 != mode {
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
    }
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            for_all(&entry?.path())?;
        }
    }
    Ok(())
}

/// One way to build: where the sources are, and where what is built goes.
pub struct Build<'a> {
    pub workspace: &'a Path,
    pub target_dir: &'a Path,
    /// Without a network and without what cargo has fetched before: of the crates that are with the sources.
    pub alone: bool,
}

impl Build<'_> {
    /// Builds trust-initrd for `target`.
    pub fn initrd(&self, target: &str, progress: &Progress) -> Result<PathBuf> {
        let mut cargo = self.cargo()?;
        cargo.args(["--bin", "trust-initrd", "--target", target]);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags([self.remap()?, INITRD_FLAGS.map(OsString::from).into()].concat()));
        progress.build("trust-initrd", &mut cargo)?;
        Ok(self.target_dir.join(target).join("release/trust-initrd"))
    }

    /// Builds trust for this machine, or for another target.
    pub fn host(&self, target: Option<&str>, progress: &Progress) -> Result<PathBuf> {
        let mut cargo = self.cargo()?;
        cargo.args(["--bin", "trust", "--features", "host"]);
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags(self.remap()?));
        if let Some(target) = target {
            cargo.args(["--target", target]);
            cross::set_linker(&mut cargo);
        }
        progress.build("trust", &mut cargo)?;
        Ok(self.target_dir.join(target.unwrap_or_default()).join("release/trust"))
    }

    fn cargo(&self) -> Result<Command> {
        let mut cargo = if self.alone { sh::without_network(sh::cargo().get_program()) } else { sh::cargo() };
        cargo.env_clear().envs(env::vars_os().filter(|(name, _)| passes(name)));
        if self.alone {
            cargo.env("CARGO_HOME", self.target_dir.join("cargo")).env("CARGO_NET_OFFLINE", "true");
        }
        cargo.current_dir(self.workspace);
        cargo.args(["build", "--quiet", "--release", "--locked", "--package", "trust", "--target-dir"]);
        cargo.arg(self.target_dir);
        Ok(cargo)
    }

    /// Replaces the paths of this machine in messages of the programs; of several that match the last counts.
    fn remap(&self) -> Result<Vec<OsString>> {
        let commit = rustc(self.workspace, "commit-hash: ")?;
        let sysroot = sysroot(self.workspace)?;
        let cargo_home = match env::var_os("CARGO_HOME") {
            Some(dir) => PathBuf::from(dir),
            None => env::home_dir().context("there is no home directory")?.join(".cargo"),
        };
        let std_source = sysroot.join("lib/rustlib/src/rust");
        // Of a registry, or beside the sources.
        let registries = fs::read_dir(cargo_home.join("registry/src")).into_iter().flatten().flatten();
        let crates: Vec<_> =
            registries.map(|entry| entry.path()).chain([self.workspace.join(source::CRATES)]).collect();
        let prefixes = [(self.workspace, "/trust".to_owned()), (cargo_home.as_path(), "/cargo".to_owned())];
        let crates = crates.iter().map(|dir| (dir.as_path(), "/crates".to_owned()));
        let of_rust = [
            (sysroot.as_path(), "/rust".to_owned()),
            // What the standard library says without its sources at hand.
            (std_source.as_path(), format!("/rustc/{commit}")),
        ];
        let flag = |(from, to): (&Path, String)| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from);
            flag.push("=");
            flag.push(to);
            flag
        };
        Ok(prefixes.into_iter().chain(crates).chain(of_rust).map(flag).collect())
    }
}

/// As cargo takes them from the environment.
fn flags(flags: Vec<OsString>) -> OsString {
    flags.join(OsStr::new("\x1f"))
}

fn passes(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    VARIABLES.contains(&&*name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Copies a program to `dir`; processes that run an older one keep it.
fn install(program: &Path, dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir)?;
    let name = program.file_name().context("a program has a name")?;
    let to = dir.join(name);
    let new = to.with_extension("new");
    fs::copy(program, &new).with_context(|| format!("cannot copy {}", program.display()))?;
    fs::rename(&new, &to)?;
    println!("{}", to.display());
    Ok(to)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_readable_by_all_whatever_the_umask() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name);
        fs::create_dir(path("man")).unwrap();
        for (name, mode) in [("trust", 0o700), ("man/trust.1", 0o600), ("man", 0o700), (".", 0o700)] {
            if !path(name).exists() {
                fs::write(path(name), name).unwrap();
            }
            fs::set_permissions(path(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        for_all(dir.path()).unwrap();
        for (name, mode) in [("trust", 0o755), ("man/trust.1", 0o644), ("man", 0o755), (".", 0o755)] {
            assert_eq!(fs::metadata(path(name)).unwrap().permissions().mode() & 0o7777, mode, "{name}");
        }
    }
}
