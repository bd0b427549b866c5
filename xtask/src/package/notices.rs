//! The licences and copyright notices of what is compiled into a program: those who pass programs on must pass them on, too.

use crate::{dist, fetch, metadata, sh};
use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

/// How the names of files with such texts begin, in lower case.
const NAMES: [&str; 6] = ["authors", "copying", "copyright", "licen", "notice", "unlicense"];
/// Where distributions keep musl's: it comes with the compiler, which does not bring its text.
const MUSL: [&str; 3] = [
    "/usr/share/doc/musl-dev/copyright",
    "/usr/share/licenses/musl-libc/COPYRIGHT",
    "/usr/share/licenses/musl/COPYRIGHT",
];

/// All components of a bill of materials with their licences, then the texts that their sources have, each once.
pub fn of(bill: &str) -> Result<String> {
    let bill: Value = serde_json::from_str(bill)?;
    let components = bill["components"].as_array().context("a bill of materials has components")?;
    let packages = metadata::packages(sh::workspace())?;
    let mut list = String::new();
    let mut texts: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for component in components {
        let text = |field: &str| component[field].as_str().unwrap_or_default();
        let (name, version) = (text("name"), text("version"));
        let licence = component["licenses"][0]["expression"].as_str().unwrap_or_default();
        let title = format!("{name} {version}").trim_end().to_owned();
        writeln!(list, "  {title}: {licence}")?;
        let is_crate = text("purl").starts_with("pkg:cargo/");
        let found = packages.iter().find(|package| package.name == name && package.version == version);
        let said = match found.filter(|_| is_crate) {
            Some(package) => read(package.manifest_path.parent().context("it is in a directory")?)?,
            None if name == "tpm2-tss" => read(&fetch::prepare()?)?,
            None if name == "musl" => vec![musl()?],
            // Passed on as it is: see `of_rust`.
            None if name == "rust-std" => continue,
            None => bail!("it is unknown where the sources of {title} are"),
        };
        for (file, text) in said {
            texts.entry(text).or_default().push(format!("{title} ({file})"));
        }
    }
    let mut texts: Vec<_> = texts.into_iter().map(|(text, of)| (of.join(", "), text)).collect();
    texts.sort();
    let texts: String =
        texts.iter().map(|(of, text)| format!("\n---- {of}\n\n{}\n", text.trim_matches('\n'))).collect();
    Ok(format!("Compiled in, beside Trust's own code:\n\n{list}\nWhat their sources say of that:\n{texts}"))
}

/// Those of Rust's library: a page that comes with the compiler.
pub fn of_rust() -> Result<PathBuf> {
    let page = dist::sysroot(sh::workspace())?.join("share/doc/rust/COPYRIGHT-library.html");
    ensure!(page.is_file(), "this compiler came without {}, which packages pass on: rustup's has it", page.display());
    Ok(page)
}

/// Those of musl.
fn musl() -> Result<(String, String)> {
    let path = MUSL.iter().map(Path::new).find(|path| path.is_file());
    let path = path.with_context(|| format!("packages pass musl's licence on, and none of {MUSL:?} is there"))?;
    Ok((path.file_name().unwrap_or_default().to_string_lossy().into_owned(), fs::read_to_string(path)?))
}

/// The texts in the topmost directory of a source, with the names of their files.
fn read(source: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(source).with_context(|| format!("cannot read {}", source.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_meant = NAMES.iter().any(|beginning| name.to_lowercase().starts_with(beginning));
        if is_meant && path.is_file() {
            found.push((name, String::from_utf8_lossy(&fs::read(&path)?).replace('\r', "")));
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_several_have_is_there_once_beside_the_names_of_all() {
        let lock = fs::read_to_string(sh::workspace().join("Cargo.lock")).unwrap();
        let component = |name: &str, licence: &str| {
            let (_, version) = lock.split_once(&format!("name = \"{name}\"\nversion = \"")).unwrap();
            let version = version.split('"').next().unwrap();
            format!(
                r#"{{"name":"{name}","version":"{version}","purl":"pkg:cargo/{name}@{version}","licenses":[{{"expression":"{licence}"}}]}}"#
            )
        };
        let [first, second] = [component("serde", "MIT OR Apache-2.0"), component("serde_json", "MIT OR Apache-2.0")];
        let text = of(&format!(r#"{{"components":[{first},{second}]}}"#)).unwrap();
        assert_eq!(text.matches("Permission is hereby granted").count(), 1, "{text}");
        let heading = text.lines().find(|line| line.contains("(LICENSE-MIT)")).unwrap();
        assert!(heading.contains("serde ") && heading.contains("serde_json "), "{heading}");
        assert!(text.contains(": MIT OR Apache-2.0"), "{text}");
    }
}
