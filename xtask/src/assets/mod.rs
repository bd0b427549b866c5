//! `cargo xtask assets`: firmware, kernel, boot loaders and tools of other projects that tests need, as Debian packages
//! them, in one directory.
//!
//! They are unpacked there and not installed: the system's own packages stay as they are.

mod arm64;
pub mod chroots;
mod grub;
mod shim;
mod trees;

use crate::{
    apt::{self, Apt},
    packages, sh,
};
use anyhow::{Context, Result, bail};
use harness::assets::{self, STAMP};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Packages of one suite of Debian, and the directory they are unpacked in.
struct Suite {
    name: &'static str,
    packages: &'static [&'static str],
}

/// Which kernel: it depends on the package that has it.
const KERNEL: &str = "linux-image-cloud-amd64";

const SUITES: [Suite; 2] = [
    Suite {
        name: "trixie",
        packages: &[
            // What machines boot with.
            "ovmf",
            KERNEL,
            "systemd-boot-efi",
            "shim-unsigned",
            // Signed binaries.
            "shim-signed",
            "grub-efi-amd64-signed",
            "fwupd-amd64-signed",
            "systemd-boot-efi-amd64-signed",
            // ukify and virt-fw-vars, and what Python needs for them beside python3-cryptography.
            "systemd-ukify",
            "python3-virt-firmware",
            "python3-pefile",
            "python3-importlib-resources",
            "mkosi",
            // systemd-measure and its libraries.
            "systemd",
            "libsystemd-shared",
            "libacl1",
            "libaudit1",
            "libblkid1",
            "libc6",
            "libcap-ng0",
            "libcap2",
            "libcrypt1",
            "libmount1",
            "libpam0g",
            "libpcre2-8-0",
            "libseccomp2",
            "libselinux1",
            "libssl3t64",
        ],
    },
    // The stub of version 252, Linux 6.1.
    Suite { name: "bookworm", packages: &["systemd-boot-efi", KERNEL] },
];

/// The suite whose shim is compiled.
const SHIM: &str = "trixie";

/// Programs that need help to run where they were unpacked.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "ukify",
        r#"PYTHONPATH="$root/usr/lib/python3/dist-packages" exec /usr/bin/python3 -B "$root/usr/bin/ukify" "$@""#,
    ),
    ("mkosi", r#"PYTHONPATH="$root/usr/lib/python3/dist-packages" exec /usr/bin/python3 -B -m mkosi "$@""#),
    (
        "virt-fw-vars",
        r#"PYTHONPATH="$root/usr/lib/python3/dist-packages" exec /usr/bin/python3 -B -c 'import sys; from virt.firmware.vars import main; sys.exit(main())' "$@""#,
    ),
    (
        "systemd-measure",
        r#"lib="$root/usr/lib/x86_64-linux-gnu"; exec "$lib/ld-linux-x86-64.so.2" --library-path "$lib:$lib/systemd" "$root/usr/lib/systemd/systemd-measure" "$@""#,
    ),
];

/// Ensures that everything is there, and returns the directory.
pub fn prepare() -> Result<PathBuf> {
    let root = prepare_packages()?;
    let stamp = root.join(grub::DIRECTORY).join(STAMP);
    let is_there = || fs::read_to_string(&stamp).is_ok_and(|found| found == grub::wanted());
    if is_there() {
        return Ok(root);
    }
    packages::ensure(&[packages::ASSETS])?;
    let _alone = alone(&root)?;
    if !is_there() {
        let grub = grub::build(&root).context("cannot compile GRUB")?;
        println!("{grub} is compiled");
        fs::write(stamp, grub::wanted())?;
    }
    Ok(root)
}

/// Ensures that what machines of arm64 boot with is there, too.
pub fn prepare_arm64() -> Result<()> {
    let root = assets::directory();
    let stamp = root.join(arm64::DIRECTORY).join(STAMP);
    let is_there = || fs::read_to_string(&stamp).is_ok_and(|found| found == arm64::wanted());
    if is_there() {
        return Ok(());
    }
    packages::ensure(&[packages::ASSETS])?;
    let _alone = alone(&root)?;
    if is_there() { Ok(()) } else { arm64::unpack(&root).with_context(|| missing(arm64::SUITE, &root)) }
}

/// Ensures that all is there but what is compiled apart, and returns the directory.
fn prepare_packages() -> Result<PathBuf> {
    let root = assets::directory();
    if is_complete(&root) {
        return Ok(root);
    }
    packages::ensure(&[packages::ASSETS])?;
    let _alone = alone(&root)?;
    if is_complete(&root) {
        return Ok(root);
    }
    // Only a directory of ours is replaced.
    if !root.join(STAMP).exists() && fs::read_dir(&root).is_ok_and(|mut entries| entries.next().is_some()) {
        bail!("{} has other things in it: name a place in TRUST_ASSETS that is empty or not there yet", root.display());
    }
    println!("getting firmware, kernels, boot loaders and small systems, about 270 MB, once, to {}", root.display());
    let work = sibling(&root, "part");
    empty(&work)?;
    for suite in &SUITES {
        unpack(suite, &work).with_context(|| missing(suite.name, &root))?;
    }
    for tree in &trees::TREES {
        trees::unpack(tree, &work).with_context(|| missing(tree.suite, &root))?;
    }
    let shim = shim::build(SHIM, &work).with_context(|| format!("cannot compile shim of Debian {SHIM}"))?;
    println!("{shim} is compiled");
    wrappers(&work.join("bin"))?;
    fs::write(work.join(STAMP), wanted())?;
    // The directory is complete or it is not there.
    if root.exists() {
        fs::remove_dir_all(&root)?;
    }
    fs::rename(&work, &root)?;
    Ok(root)
}

/// Ensures that what the benchmark of boots needs is there, too. Tests do not need it.
pub fn prepare_bench() -> Result<()> {
    let root = prepare()?;
    let tree = root.join(trees::BENCH.place());
    let is_there = || fs::read_to_string(tree.join(STAMP)).is_ok_and(|found| found == trees::BENCH.wanted());
    if is_there() {
        return Ok(());
    }
    let _alone = alone(&root)?;
    if is_there() {
        return Ok(());
    }
    eprintln!(
        "getting systemd-cryptsetup, clevis and a small system around them, about 50 MB, once, to {}",
        root.display()
    );
    let work = root.join("bench.part");
    empty(&work)?;
    trees::unpack(&trees::BENCH, &work).with_context(|| missing(trees::BENCH.suite, &root))?;
    let unpacked = work.join(trees::BENCH.place());
    fs::write(unpacked.join(STAMP), trees::BENCH.wanted())?;
    // As above: complete, or not there.
    empty(&tree)?;
    fs::rename(&unpacked, &tree)?;
    Ok(fs::remove_dir_all(&work)?)
}

/// A lock against a second run. Released when closed.
fn alone(root: &Path) -> Result<fs::File> {
    let parent = root.parent().context("the directory for assets has no parent")?;
    fs::create_dir_all(parent)?;
    let file = fs::File::create(sibling(root, "lock"))?;
    file.lock()?;
    Ok(file)
}

/// A name beside `root`, in the same file system.
fn sibling(root: &Path, extension: &str) -> PathBuf {
    let mut name = root.as_os_str().to_owned();
    name.push(".");
    name.push(extension);
    name.into()
}

fn missing(suite: &str, root: &Path) -> String {
    format!(
        "cannot get packages of Debian {} (they need apt and a mirror: Debian 12 or 13 has both; elsewhere copy {} \
         from such a machine, or name its place in TRUST_ASSETS)",
        suite,
        root.display()
    )
}

/// Whether everything that this version needs is there; more does no harm.
fn is_complete(root: &Path) -> bool {
    let found = fs::read_to_string(root.join(STAMP)).unwrap_or_default();
    wanted().lines().all(|line| found.lines().any(|other| other == line))
}

/// What is asked for, a line each: the stamp.
fn wanted() -> String {
    let packages = SUITES.iter().flat_map(|suite| suite.packages.iter().map(|name| format!("{}/{name}\n", suite.name)));
    let programs = PROGRAMS.iter().map(|(name, _)| format!("bin/{name}\n"));
    let sources = SUITES.iter().map(|suite| format!("{}.sources\n", suite.name));
    packages.chain(programs).chain(sources).chain([format!("{}\n", shim::PROGRAM), trees::wanted()]).collect()
}

fn unpack(suite: &Suite, work: &Path) -> Result<()> {
    let lists = work.join("apt");
    empty(&lists)?;
    let get = || apt::with_suite(suite.name, &lists, |apt| download(suite, apt));
    get().or_else(|e| {
        println!("{e:#}\nonce more");
        get()
    })?;
    let root = work.join(suite.name);
    fs::create_dir_all(&root)?;
    let mut packages: Vec<PathBuf> = fs::read_dir(&lists)?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    packages.retain(|path| path.extension().is_some_and(|x| x == "deb"));
    packages.sort();
    let mut versions = String::new();
    for package in packages {
        sh::run_quietly(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(&root))?;
        let mut show = Command::new("dpkg-deb");
        show.args(["--showformat", "${Package} ${Version}\n", "--show"]).arg(&package);
        versions.push_str(&String::from_utf8(sh::output(&mut show)?)?);
    }
    fs::write(work.join(format!("{}.versions", suite.name)), versions)?;
    // Where they came from: builders of images get more from there.
    fs::rename(lists.join(apt::SOURCES), work.join(format!("{}.sources", suite.name)))?;
    Ok(fs::remove_dir_all(&lists)?)
}

fn download(suite: &Suite, apt: &Apt) -> Result<()> {
    let mut packages = Vec::new();
    for name in suite.packages {
        packages.push(if *name == KERNEL { kernel(KERNEL, apt)? } else { (*name).to_owned() });
    }
    // It says what it gets.
    sh::run(apt.get().args(["-q", "download"]).args(packages))
}

/// The package of the kernel that this one depends on; its name has its version.
fn kernel(package: &str, apt: &Apt) -> Result<String> {
    let text = String::from_utf8(sh::output(apt.cache().args(["depends", package]))?)?;
    let name = text.lines().find_map(|line| line.trim().strip_prefix("Depends: ")).map(str::to_owned);
    match name {
        Some(name) if name.starts_with("linux-image-") => Ok(name),
        _ => bail!("{package} depends on no kernel:\n{text}"),
    }
}

fn wrappers(bin: &Path) -> Result<()> {
    fs::create_dir_all(bin)?;
    for (name, line) in PROGRAMS {
        let script = format!("#!/bin/sh\nroot=$(dirname \"$(dirname \"$(realpath \"$0\")\")\")/trixie\n{line}\n");
        let path = bin.join(name);
        fs::write(&path, script)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}

/// Makes `dir` an empty directory.
fn empty(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir)?;
    }
    Ok(fs::create_dir_all(dir)?)
}
