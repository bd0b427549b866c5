//! What would have to be in an initrd.

use crate::sh;
use anyhow::{Context, Result};
use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// The bytes of `programs`, of their interpreters, of the libraries that they
/// are linked to, and of `libraries`, which they have loaded besides.
pub fn bytes(programs: &BTreeSet<String>, libraries: &BTreeSet<String>) -> Result<u64> {
    let mut files = BTreeSet::new();
    let mut add = |path: &str| -> Result<()> {
        files.insert(fs::canonicalize(path).with_context(|| format!("cannot find {path}"))?);
        Ok(())
    };
    for program in programs {
        add(program)?;
        let interpreter = interpreter(Path::new(program))?;
        let executable = interpreter.as_deref().unwrap_or(program);
        add(executable)?;
        for library in linked(executable)? {
            add(&library)?;
        }
    }
    for library in libraries {
        add(library)?;
    }
    files.iter().map(|file: &PathBuf| Ok(fs::metadata(file)?.len())).sum()
}

/// What a script names after `#!`.
fn interpreter(program: &Path) -> Result<Option<String>> {
    let bytes = fs::read(program).with_context(|| format!("cannot read {}", program.display()))?;
    let line = bytes.split(|byte| *byte == b'\n').next().unwrap_or_default();
    let Some(line) = line.strip_prefix(b"#!") else { return Ok(None) };
    Ok(String::from_utf8_lossy(line).split_whitespace().next().map(str::to_owned))
}

/// The libraries of an executable, by ldd; none of a static one.
fn linked(executable: &str) -> Result<Vec<String>> {
    let mut ldd = Command::new("ldd");
    let output = ldd.arg(executable).stdin(Stdio::null()).output().with_context(|| sh::name(&ldd))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(text
        .split_whitespace()
        .filter(|word| word.starts_with('/') && !word.ends_with(':'))
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_count_towards_a_programs_footprint() {
        let shell = BTreeSet::from(["/bin/sh".to_owned()]);
        let alone = fs::metadata("/bin/sh").unwrap().len();
        // Its C library is larger than a megabyte.
        assert!(bytes(&shell, &BTreeSet::new()).unwrap() > alone + 1_000_000);
    }
}
