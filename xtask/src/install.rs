//! `cargo xtask install`: installs what `dist` makes, and removes it again. Where everything goes: layout.rs.

use crate::{
    dist,
    layout::{Layout, Part, Placed},
};
use anyhow::{Context, Result, bail, ensure};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
};

/// What is asked for on the command line.
pub struct Options {
    /// Below which directory.
    pub prefix: PathBuf,
    /// Where the root of that system is: packages are made so.
    pub destdir: PathBuf,
    /// Take it away instead.
    pub uninstall: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { prefix: "/usr/local".into(), destdir: "/".into(), uninstall: false }
    }
}

/// Prefixes of a system, and not of a user.
const SYSTEM: [&str; 2] = ["/usr", "/usr/local"];
/// The list of what was installed, below the prefix: nothing else is overwritten or taken away.
const LIST: &str = "share/trust/installed";

/// Installs, or takes away what was installed.
pub fn install(options: &Options) -> Result<()> {
    if options.uninstall {
        ensure!(options.clear()?, "there is no {}: nothing is installed there", options.below(LIST).display());
        return Ok(());
    }
    let dist = dist::dist(&dist::Options::default())?;
    options.fill(dist.host.parent().context("it is in a directory")?)?;
    let bin = options.prefix.join("bin");
    println!("trust is in {}", bin.display());
    let path = std::env::var_os("PATH").unwrap_or_default();
    if options.destdir == Path::new("/") && !std::env::split_paths(&path).any(|dir| dir == bin) {
        println!("which is not on the PATH: export PATH=\"{}:$PATH\"", bin.display());
    }
    Ok(())
}

impl Options {
    fn below(&self, name: &str) -> PathBuf {
        self.in_destdir(&self.prefix.join(name))
    }

    fn in_destdir(&self, path: &Path) -> PathBuf {
        self.destdir.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// Each file of `dist`, and where it goes in the system.
    fn plan(&self, dist: &Path) -> Result<Vec<Placed>> {
        let is_system = SYSTEM.iter().any(|prefix| self.prefix == Path::new(prefix));
        Layout { program: &self.prefix, prefix: &self.prefix, is_system }.plan(dist, &[Part::Host, Part::Initrd])
    }

    /// Puts it in the place of an older version.
    fn fill(&self, dist: &Path) -> Result<()> {
        let plan = self.plan(dist)?;
        self.clear()?;
        for Placed { to, .. } in &plan {
            let to = self.in_destdir(to);
            // p11-kit, for one, has a program called trust.
            ensure!(
                to.symlink_metadata().is_err(),
                "{} is there, and was not installed by this command: choose another --prefix",
                to.display()
            );
        }
        let list: String = plan.iter().map(|Placed { to, .. }| format!("{}\n", to.display())).collect();
        make_dirs(self.below(LIST).parent().context("it is in a directory")?)?;
        fs::write(self.below(LIST), list)?;
        fs::set_permissions(self.below(LIST), fs::Permissions::from_mode(0o644))?;
        plan.iter().try_for_each(|Placed { from, to, .. }| copy(from, &self.in_destdir(to)))
    }

    /// Takes away what was installed, and directories that are empty then. Whether anything was.
    fn clear(&self) -> Result<bool> {
        let Ok(list) = fs::read_to_string(self.below(LIST)) else { return Ok(false) };
        let files = list.lines().map(|line| self.in_destdir(Path::new(line))).chain([self.below(LIST)]);
        for file in files {
            match fs::remove_file(&file) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                    return Err(e).with_context(|| format!("cannot remove {}", file.display()));
                }
                _ => {}
            }
            for dir in file.ancestors().skip(1).take_while(|dir| *dir != self.destdir) {
                if fs::remove_dir(dir).is_err() {
                    break;
                }
            }
        }
        Ok(true)
    }
}

/// Copies a file for all to read, and to run if it is a program.
fn copy(from: &Path, to: &Path) -> Result<()> {
    let mode = fs::metadata(from).with_context(|| format!("there is no {}", from.display()))?.permissions().mode();
    make_dirs(to.parent().context("it is in a directory")?)?;
    // Processes that run an older one keep it.
    let new = to.with_file_name(".trust.new");
    let copied = fs::copy(from, &new)
        .and_then(|_| {
            fs::set_permissions(&new, fs::Permissions::from_mode(if mode & 0o100 == 0 { 0o644 } else { 0o755 }))
        })
        .and_then(|()| fs::rename(&new, to));
    copied.with_context(|| {
        format!("cannot write {} (as root, or with a --prefix of your own, such as ~/.local)", to.display())
    })
}

/// Makes a directory and those above it, whatever the umask, for all to read.
fn make_dirs(dir: &Path) -> Result<()> {
    if dir.is_dir() {
        return Ok(());
    }
    if let Some(parent) = dir.parent() {
        make_dirs(parent)?;
    }
    let made = fs::create_dir(dir).and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)));
    made.with_context(|| {
        format!("cannot make {} (as root, or with a --prefix of your own, such as ~/.local)", dir.display())
    })
}

/// `--prefix` and `--destdir` as given, relative to the caller's directory.
pub fn absolute(path: &str) -> Result<PathBuf> {
    if path.is_empty() {
        bail!("a directory has no empty name");
    }
    Ok(std::path::absolute(path)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `dist` makes, in small.
    fn dist(dir: &Path) -> PathBuf {
        let dist = dir.join("dist");
        let names = [
            "trust",
            "trust-initrd",
            "completions/bash/trust",
            "completions/zsh/_trust",
            "completions/fish/trust.fish",
            "man/man1/trust.1",
            "man/man1/trust-launch.1",
            "share/mask.sh",
            "share/pcrlock.d/740-trust-lock.pcrlock",
            "share/dracut/90trust/module-setup.sh",
            "system-units/trust-credentials.socket",
            "request-key.d/trust.conf",
        ];
        for name in names {
            let path = dist.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, name).unwrap();
            let is_program = name.starts_with("trust") || name.ends_with(".sh");
            fs::set_permissions(&path, fs::Permissions::from_mode(if is_program { 0o700 } else { 0o600 })).unwrap();
        }
        dist
    }

    #[test]
    fn installed_files_are_readable_by_all_and_all_are_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (dist, destdir) = (dist(dir.path()), dir.path().join("system"));
        // What others have there stays.
        for name in ["usr/local/bin/other", "usr/local/share/man/man1/trust-other.1", "usr/local/lib/x", "usr/lib/x"] {
            let path = destdir.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let before = harness::tree(&destdir);

        let options = Options { destdir: destdir.clone(), ..Options::default() };
        for _ in 0..2 {
            options.fill(&dist).unwrap();
        }
        let after = harness::tree(&destdir);
        for line in [
            "usr/local/bin/trust 755",
            "usr/local/lib/trust/trust-initrd 755",
            "usr/local/share/man/man1/trust-launch.1 644",
            "usr/local/share/bash-completion/completions/trust 644",
            "usr/local/share/zsh/site-functions 755",
            "usr/local/share/trust/mask.sh 755",
            "usr/lib/dracut/modules.d/90trust/module-setup.sh 755",
            "usr/local/lib/systemd/system/trust-credentials.socket 644",
            "etc/request-key.d/trust.conf 644",
        ] {
            assert!(after.contains(line), "{line}: {after:#?}");
        }
        assert!(options.clear().unwrap());
        assert_eq!(harness::tree(&destdir), before);
        assert!(!options.clear().unwrap());
    }

    #[test]
    fn files_of_others_are_not_removed() {
        let dir = tempfile::tempdir().unwrap();
        let (dist, destdir) = (dist(dir.path()), dir.path().join("system"));
        fs::create_dir_all(destdir.join("usr/bin")).unwrap();
        fs::write(destdir.join("usr/bin/trust"), "p11-kit's").unwrap();
        let before = harness::tree(&destdir);
        let options = Options { prefix: "/usr".into(), destdir: destdir.clone(), uninstall: false };
        let error = options.fill(&dist).unwrap_err().to_string();
        assert!(error.contains("usr/bin/trust is there") && error.contains("another --prefix"), "{error}");
        assert_eq!(fs::read(destdir.join("usr/bin/trust")).unwrap(), b"p11-kit's");
        assert_eq!(harness::tree(&destdir), before);

        // A user's prefix has nothing of dracut's.
        let options = Options { prefix: "/home/me/.local".into(), ..options };
        options.fill(&dist).unwrap();
        assert!(!destdir.join("usr/lib").exists() && destdir.join("home/me/.local/share/trust/mask.sh").exists());
    }
}
