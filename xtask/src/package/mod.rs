//! `cargo xtask dist --deb --rpm`: packages of what was built, made by cargo-deb and cargo-generate-rpm.
//!
//! Each package is laid out in a directory of its own, with a manifest that lists its files. The same programs give the
//! same packages: every date in them is that of the last commit.

mod glibc;
mod notices;

use crate::{
    inspect,
    layout::{self, Layout, Part},
    release::Release,
    sh, tools,
};
use anyhow::{Context, Result};
use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Of which distributions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Debian, Ubuntu.
    Deb,
    /// Fedora, openSUSE.
    Rpm,
}

/// Where a Debian's zsh looks for completions of packages.
const DEBIAN_ZSH: &str = "share/zsh/vendor-completions";
/// How files of the running system find the program that `cargo xtask install` has put somewhere; and what they say of it.
const SEARCHED: [&str; 2] = ["ExecStart=trust ", "/usr/bin/env PATH=/usr/local/bin:/usr/bin:/bin trust "];
const ON_SEARCHING: [&str; 3] = ["# systemd finds it in", "# env(1) finds the program in", "# PATH: "];

/// The checksums of what is shipped.
const SUMS: &str = "SHA256SUMS";

/// One of the two packages.
struct Package<'a> {
    name: &'static str,
    part: Part,
    format: Format,
    dist: &'a Path,
    /// Where it is put.
    output: &'a Path,
    /// Where it is laid out.
    stage: PathBuf,
    release: &'a Release,
}

/// Makes both packages of what is in `dist`, a directory of `cargo xtask dist`. They are put into `output`. Returns where they
/// are.
pub fn pack(dist: &Path, output: &Path, format: Format, target: &str) -> Result<Vec<PathBuf>> {
    let release = Release::here()?;
    // No other version's stay beside them.
    let extension = if format == Format::Deb { "deb" } else { "rpm" };
    for entry in fs::read_dir(output)? {
        let path = entry?.path();
        if path.extension().is_some_and(|found| found == extension) {
            fs::remove_file(path)?;
        }
    }
    let mut made = Vec::new();
    for (name, part) in [("trust", Part::Host), ("trust-initrd", Part::Initrd)] {
        let stage = output.join(format!(".package/{name}"));
        let _ = fs::remove_dir_all(&stage);
        fs::create_dir_all(&stage)?;
        let package = Package { name, part, format, dist, output, stage, release: &release };
        package.lay_out().with_context(|| format!("cannot lay out the package {name}"))?;
        let file = package.build(target)?;
        println!("{}", file.display());
        made.push(file);
    }
    fs::remove_dir_all(output.join(".package"))?;
    Ok(made)
}

/// Writes `SHA256SUMS` of all files of a directory that are shipped by themselves, as sha256sum(1) reads it.
pub fn checksums(dir: &Path) -> Result<()> {
    let mut lines = Vec::new();
    for entry in fs::read_dir(dir)? {
        let path = entry?.path();
        let name = path.file_name().context("a file has a name")?.to_string_lossy().into_owned();
        if path.is_file() && name != SUMS {
            lines.push((name, inspect::sha256(&fs::read(&path)?)));
        }
    }
    lines.sort();
    let text: String = lines.iter().map(|(name, sum)| format!("{sum}  {name}\n")).collect();
    Ok(fs::write(dir.join(SUMS), text)?)
}

/// The files of a directory that `SHA256SUMS` lists, and whether each of them is what it says.
pub fn verify(dir: &Path) -> Vec<(String, bool)> {
    let list = fs::read_to_string(dir.join(SUMS)).unwrap_or_default();
    let lines = list.lines().filter_map(|line| line.split_once("  "));
    let files = lines.map(|(sum, name)| {
        (name.to_owned(), fs::read(dir.join(name)).is_ok_and(|bytes| inspect::sha256(&bytes) == sum))
    });
    files.collect()
}

impl Package<'_> {
    /// Where what it has goes: Fedora and openSUSE need p11-kit's program of the same name.
    fn layout(&self) -> Layout<'static> {
        let program = Path::new(if self.format == Format::Deb { "/usr" } else { "/opt/trust" });
        Layout { program, prefix: Path::new("/usr"), is_system: true }
    }

    /// Copies its files, and writes the manifest.
    fn lay_out(&self) -> Result<()> {
        let source = sh::workspace().join("packaging").join(self.name);
        let mut files = Vec::new();
        for placed in self.layout().plan(self.dist, &[self.part])? {
            files.push((placed.from, self.place(placed.to)));
        }
        let doc = Path::new("/usr/share/doc").join(self.name);
        let bill = self.dist.join(self.name).with_extension("cdx.json");
        let notices = self.stage.join("notices");
        fs::write(&notices, notices::of(&fs::read_to_string(&bill)?)?)?;
        files.push((bill, doc.join(format!("{}.cdx.json", self.name))));
        files.push((notices, doc.join("third-party.txt")));
        files.push((notices::of_rust()?, doc.join("rust-std.html")));
        if self.format == Format::Deb {
            files.push((sh::workspace().join("CHANGELOG.md"), doc.join("changelog")));
            files.push((source.join("lintian-overrides"), Path::new("/usr/share/lintian/overrides").join(self.name)));
        } else {
            files.push((
                sh::workspace().join("LICENSE"),
                Path::new("/usr/share/licenses").join(self.name).join("LICENSE"),
            ));
        }
        files.retain(|(from, _)| {
            !from.ends_with("lintian-overrides") || fs::metadata(from).is_ok_and(|file| file.len() > 0)
        });
        let assets = files.iter().map(|(from, to)| self.asset(from, to)).collect::<Result<String>>()?;
        self.scripts(&source)?;
        fs::write(self.stage.join("changelog"), self.changelog()?)?;
        // cargo wants something to compile, and it is no member of the workspace around it.
        fs::write(self.stage.join("none.rs"), "")?;
        let glibc = match self.part {
            Part::Host => glibc::needed(&fs::read(self.dist.join(self.name))?)?,
            Part::Initrd => String::new(),
        };
        let mut manifest = fs::read_to_string(source.join("manifest.toml"))?;
        let year = self.release.mail_date()?.split(' ').nth(3).unwrap_or_default().to_owned();
        let copyright = format!("{year}, the authors of Trust, and of what its bill of materials lists");
        for (word, value) in [
            ("@VERSION@", self.release.version.as_str()),
            ("@MAINTAINER@", &self.release.maintainer),
            ("@COPYRIGHT@", &copyright),
            ("@GLIBC@", &glibc),
            ("@ASSETS@", &assets),
        ] {
            manifest = manifest.replace(word, value);
        }
        Ok(fs::write(self.stage.join("Cargo.toml"), manifest + "\n[lib]\npath = \"none.rs\"\n\n[workspace]\n")?)
    }

    /// As Debian has it.
    fn place(&self, to: PathBuf) -> PathBuf {
        match to.strip_prefix(Path::new("/usr").join(layout::ZSH)) {
            Ok(name) if self.format == Format::Deb => Path::new("/usr").join(DEBIAN_ZSH).join(name),
            _ => to,
        }
    }

    /// Copies a file, and returns its line of the manifest. Units name the program of the package, and no other.
    fn asset(&self, from: &Path, to: &Path) -> Result<String> {
        let name = Path::new("files").join(to.strip_prefix("/")?);
        let copy = self.stage.join(&name);
        fs::create_dir_all(copy.parent().context("it is in a directory")?)?;
        fs::copy(from, &copy).with_context(|| format!("there is no {}", from.display()))?;
        let is_told = to.starts_with("/usr/lib/systemd/system") || to.starts_with("/etc/request-key.d");
        if is_told {
            fs::write(&copy, name_program(&fs::read_to_string(from)?, &self.layout().program.join("bin/trust")))?;
        }
        let mode = if fs::metadata(from)?.permissions().mode() & 0o100 == 0 { "644" } else { "755" };
        let config = if self.format == Format::Rpm && to.starts_with("/etc") { ", config = \"noreplace\"" } else { "" };
        Ok(format!("\n  {{ source = {name:?}, dest = {to:?}, mode = \"{mode}\"{config} }},"))
    }

    /// Copies what is run when it is installed and removed.
    fn scripts(&self, source: &Path) -> Result<()> {
        for name in ["deb", "rpm"] {
            if source.join(name).is_dir() {
                sh::run_quietly(Command::new("cp").arg("-r").arg(source.join(name)).arg(&self.stage))?;
            }
        }
        Ok(())
    }

    /// What Debian has instead of a changelog by the authors.
    fn changelog(&self) -> Result<String> {
        let Release { version, maintainer, .. } = self.release;
        let (name, date) = (self.name, self.release.mail_date()?);
        let what = "  * By the authors themselves: changelog.gz says what is new.";
        Ok(format!("{name} ({version}-1) unstable; urgency=medium\n\n{what}\n\n -- {maintainer}  {date}\n"))
    }

    /// Has the package made.
    fn build(&self, target: &str) -> Result<PathBuf> {
        let arch = target.split('-').next().unwrap_or_default();
        let version = &self.release.version;
        let (file, mut command) = match self.format {
            Format::Deb => {
                let arch = if arch == "aarch64" { "arm64" } else { "amd64" };
                let file = self.output.join(format!("{}_{version}-1_{arch}.deb", self.name));
                let mut command = Command::new(tools::cargo_deb()?);
                command.args(["--no-build", "--no-strip", "--quiet", "--target", target, "--output"]).arg(&file);
                (file, command)
            }
            Format::Rpm => {
                let file = self.output.join(format!("{}-{version}-1.{arch}.rpm", self.name));
                let mut command = Command::new(tools::cargo_generate_rpm()?);
                command.args(["--arch", arch, "--auto-req", "no", "--output"]).arg(&file);
                (file, command)
            }
        };
        command.current_dir(&self.stage).env("SOURCE_DATE_EPOCH", self.release.date.to_string());
        // It is nobody's but the user's who has built it, until it is there as a whole.
        sh::run_quietly(command.env_remove("CARGO_TARGET_DIR").env_remove("CARGO_BUILD_TARGET"))?;
        Ok(file)
    }
}

/// Puts the path of the program in the place of a search for it.
fn name_program(text: &str, program: &Path) -> String {
    let program = program.display();
    let lines = text.lines().filter(|line| !ON_SEARCHING.iter().any(|comment| line.starts_with(comment)));
    let text: String = lines.flat_map(|line| [line, "\n"]).collect();
    let [unit, other] = SEARCHED;
    text.replace(unit, &format!("ExecStart={program} ")).replace(other, &format!("{program} "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_of_packages_name_the_program_by_its_path() {
        for dir in ["systemd", "request-key.d"] {
            for entry in fs::read_dir(sh::workspace().join(dir)).unwrap() {
                let path = entry.unwrap().path();
                let text = name_program(&fs::read_to_string(&path).unwrap(), Path::new("/opt/trust/bin/trust"));
                let runs = text.lines().filter(|line| line.starts_with("ExecStart=") || line.starts_with("create"));
                for line in runs {
                    assert!(line.contains("/opt/trust/bin/trust ") && !line.contains("/usr/bin"), "{line}");
                }
                assert!(!text.contains("/usr/local"), "{}: {text}", path.display());
            }
        }
    }
}
