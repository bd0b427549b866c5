//! Programs of the system that the subcommands need, and how they get there.

use crate::sh;
use anyhow::{Context, Result, bail};
use std::{
    collections::BTreeSet,
    path::Path,
    process::{Command, Stdio},
};

/// A program, and the package of Debian and Ubuntu that brings it.
#[derive(Clone, Copy)]
pub struct Program {
    name: &'static str,
    package: &'static str,
}

const fn program(name: &'static str, package: &'static str) -> Program {
    Program { name, package }
}

/// For building the programs.
pub const BUILD: &[Program] = &[
    program("cc", "gcc"),
    program("musl-gcc", "musl-tools"),
    program("gzip", "gzip"),
    program("patch", "patch"),
    program("tar", "tar"),
];

/// For building them for arm64 on another machine, and running there what comes of it.
pub const CROSS: &[Program] = &[
    program("aarch64-linux-gnu-gcc", "gcc-aarch64-linux-gnu"),
    // Headers and libraries.
    program("/usr/aarch64-linux-gnu/include/stdio.h", "libc6-dev-arm64-cross"),
    program("qemu-aarch64", "qemu-user"),
];

/// For running them on a software TPM, with real volumes, in their own namespaces.
pub const RUN: &[Program] = &[
    program("cryptsetup", "cryptsetup-bin"),
    program("keyctl", "keyutils"),
    program("openssl", "openssl"),
    program("setpriv", "util-linux"),
    program("swtpm", "swtpm"),
    program("swtpm_setup", "swtpm-tools"),
    program("tpm2_pcrextend", "tpm2-tools"),
    program("mount", "mount"),
    program("unshare", "util-linux"),
];

/// For compiling the C part so that a fuzzer watches it.
pub const FUZZ: &[Program] = &[program("clang", "clang")];

/// For getting what other projects made, and running it.
pub const ASSETS: &[Program] = &[
    program("bison", "bison"),
    program("bzip2", "bzip2"),
    program("dpkg-deb", "dpkg"),
    program("flex", "flex"),
    // A header: found by its absolute path.
    program("/usr/include/libtasn1.h", "libtasn1-6-dev"),
    program("make", "make"),
    program("objcopy", "binutils"),
    program("/usr/bin/python3", "python3"),
    // A module, in the same way.
    program("/usr/lib/python3/dist-packages/cryptography/__init__.py", "python3-cryptography"),
];

/// For installing small systems to try packages in.
pub const CHROOTS: &[Program] = &[program("mmdebstrap", "mmdebstrap")];

/// For watching them in the tests, booting them, and checking what they make.
pub const TEST: &[Program] = &[
    program("mkfs.ext4", "e2fsprogs"),
    program("bsdtar", "libarchive-tools"),
    program("busybox", "busybox-static"),
    program("cert-to-efi-sig-list", "efitools"),
    program("cpio", "cpio"),
    program("depmod", "kmod"),
    program("fish", "fish"),
    program("groff", "groff-base"),
    program("lintian", "lintian"),
    program("lz4", "lz4"),
    program("mcopy", "mtools"),
    program("mkfs.fat", "dosfstools"),
    program("mmdebstrap", "mmdebstrap"),
    program("objcopy", "binutils"),
    program("osslsigncode", "osslsigncode"),
    program("pesign", "pesign"),
    program("pkcs11-tool", "opensc"),
    program("qemu-system-aarch64", "qemu-system-arm"),
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("readelf", "binutils"),
    program("sbsign", "sbsigntool"),
    program("shellcheck", "shellcheck"),
    program("softhsm2-util", "softhsm2"),
    program("strace", "strace"),
    // A module of OpenSSL, in a directory of the architecture's.
    program("/usr/share/doc/tpm2-openssl/copyright", "tpm2-openssl"),
    program("systemctl", "systemd"),
    program("xz", "xz-utils"),
    program("zsh", "zsh"),
    program("zstd", "zstd"),
];

/// For looking at the pages that they make. Ubuntu has no such package: the tests do without, and it is said.
pub const BROWSER: &[Program] = &[program("chromium-headless-shell", "chromium-headless-shell")];

/// For booting them in virtual machines.
pub const BOOT: &[Program] = &[
    program("busybox", "busybox-static"),
    program("cert-to-efi-sig-list", "efitools"),
    program("cpio", "cpio"),
    program("ldd", "libc-bin"),
    program("mcopy", "mtools"),
    program("mkfs.fat", "dosfstools"),
    program("qemu-system-x86_64", "qemu-system-x86"),
    program("xz", "xz-utils"),
    program("zstd", "zstd"),
];

/// For counting what a run costs, and what it is compared with.
pub const BENCH: &[Program] = &[
    program("clevis", "clevis"),
    program("clevis-decrypt-tpm2", "clevis-tpm2"),
    program("journalctl", "systemd"),
    program("ldd", "libc-bin"),
    program("sbsign", "sbsigntool"),
    program("strace", "strace"),
    program("time", "time"),
    program("valgrind", "valgrind"),
];

/// Ensures that all of `programs` are there: installs what is missing, as
/// root where there is apt, or names it.
pub fn ensure(programs: &[&[Program]]) -> Result<()> {
    let missing = missing(programs);
    if missing.is_empty() {
        return Ok(());
    }
    let packages: BTreeSet<_> = missing.iter().map(|program| program.package).collect();
    let packages: Vec<_> = packages.into_iter().collect();
    if !is_root()? || !Path::new("/usr/bin/apt-get").exists() {
        let names: Vec<_> = missing.iter().map(|program| program.name).collect();
        bail!(
            "these programs are missing: {}; install them (on Debian and Ubuntu, as root: apt-get install {})",
            names.join(", "),
            packages.join(" ")
        );
    }
    eprintln!("installing {}", packages.join(" "));
    // The lists that are there may be old, or none.
    if install(&packages).is_err() {
        sh::run_quietly(apt_get().arg("update"))?;
        install(&packages)?;
    }
    match self::missing(programs).first() {
        Some(program) => bail!("{} is missing, and {} does not bring it", program.name, program.package),
        None => Ok(()),
    }
}

/// Ensures that namespaces can be made, before anything is built for them.
pub fn ensure_namespaces() -> Result<()> {
    let is_root = is_root()?;
    let mut unshare = Command::new("unshare");
    unshare.args(["--pid", "--fork", "--ipc", "--mount"]);
    if !is_root {
        unshare.args(["--user", "--map-root-user"]);
    }
    unshare.args(["mount", "-t", "tmpfs", "tmpfs", "/mnt"]);
    sh::run_quietly(&mut unshare).map_err(|e| {
        let remedy = if is_root {
            "this root may not make namespaces, as in a container without privileges: give it CAP_SYS_ADMIN, or run this as an ordinary user"
                .to_owned()
        } else {
            forbidden_by(Path::new("/proc/sys"))
        };
        anyhow::anyhow!("nothing is built, since the namespaces in which the programs run cannot be made: {remedy}\n{e:#}")
    })
}

/// Which setting keeps ordinary users from making namespaces, and what to do.
fn forbidden_by(sysctl: &Path) -> String {
    const SETTINGS: [(&str, &str, &str); 3] = [
        ("user.max_user_namespaces", "0", "10000"),
        ("kernel.unprivileged_userns_clone", "0", "1"),
        ("kernel.apparmor_restrict_unprivileged_userns", "1", "0"),
    ];
    let value = |name: &str| std::fs::read_to_string(sysctl.join(name.replace('.', "/"))).unwrap_or_default();
    let found = SETTINGS.iter().find(|(name, forbids, _)| value(name).trim() == *forbids);
    match found {
        Some((name, forbids, allows)) => format!("{name} is {forbids}; as root: sysctl {name}={allows}"),
        None => "the system forbids it to ordinary users; run this as root, or on a machine of your own".to_owned(),
    }
}

fn missing(programs: &[&[Program]]) -> Vec<Program> {
    programs.iter().copied().flatten().filter(|program| sh::find(program.name).is_none()).copied().collect()
}

fn install(packages: &[&str]) -> Result<()> {
    sh::run_quietly(apt_get().args(["install", "-y", "--no-install-recommends"]).args(packages))
}

fn apt_get() -> Command {
    let mut command = Command::new("apt-get");
    command.args(["-qq", "-o", "Dpkg::Use-Pty=0"]).env("DEBIAN_FRONTEND", "noninteractive").stdin(Stdio::null());
    command
}

/// Whether this is root, by the owner of our own directory in /proc.
pub fn is_root() -> Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let metadata = std::fs::metadata("/proc/self").context("cannot read /proc: it must be mounted")?;
    Ok(metadata.uid() == 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_setting_that_forbids_namespaces_is_named_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["user", "kernel"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let set = |name: &str, value: &str| fs::write(dir.path().join(name), format!("{value}\n")).unwrap();
        assert!(forbidden_by(dir.path()).contains("run this as root"));
        for (name, forbids, allows) in [
            ("kernel/apparmor_restrict_unprivileged_userns", "1", "0"),
            ("kernel/unprivileged_userns_clone", "0", "1"),
            ("user/max_user_namespaces", "0", "10000"),
        ] {
            assert!(forbidden_by(dir.path()).contains("run this as root"), "{name}");
            set(name, forbids);
            let dotted = name.replace('/', ".");
            let said = format!("{dotted} is {forbids}; as root: sysctl {dotted}={allows}");
            assert_eq!(forbidden_by(dir.path()), said);
            set(name, allows);
        }
    }
}
