//! What must be true of the program of the initrd, compared with committed data.

use crate::{dist::Options, fetch::hex, sh};
use anyhow::{Context, Result, bail};
use object::{
    Endianness,
    elf::{DT_NEEDED, ET_DYN, FileHeader64, PF_W, PF_X, PT_DYNAMIC, PT_GNU_RELRO, PT_GNU_STACK, PT_INTERP, PT_LOAD},
    read::elf::{Dyn, FileHeader, ProgramHeader},
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, fs, path::Path};

/// One number: the most bytes that the program may have.
const CEILING: &str = "tests/data/initrd-size-ceiling";
/// The crates that are compiled for it, one a line: name and version.
const DEPENDENCIES: &str = "tests/data/initrd-dependencies.txt";
/// What must not occur in it, one a line.
const FORBIDDEN: &str = "tests/data/initrd-forbidden.txt";

/// Checks everything; says what it is when it is good.
pub fn initrd(program: &Path, options: &Options) -> Result<()> {
    let bytes = fs::read(program)?;
    let mut findings = Vec::new();
    findings.extend(shape(&bytes, &options.target).context("trust-initrd is no ELF program of 64 bits")?);
    findings.extend(size(bytes.len())?);
    findings.extend(contents(&bytes)?);
    findings.extend(dependencies(options)?);
    if !findings.is_empty() {
        bail!("trust-initrd is not what it should be:\n  {}", findings.join("\n  "));
    }
    eprintln!("trust-initrd: {} bytes, static, SHA-256 {}", bytes.len(), sha256(&bytes));
    Ok(())
}

/// Checks what is written of a program: every crate has a licence and a hash; trust-initrd has the crates that are
/// committed, tpm2-tss and what the compiler brings, and nothing else.
pub fn bill_of_materials(bill: &str, of_initrd: bool) -> Result<()> {
    let bill: Value = serde_json::from_str(bill)?;
    let (mut crates, mut others) = (BTreeSet::new(), BTreeSet::new());
    for component in bill["components"].as_array().context("it has components")? {
        let text = |field: &str| component[field].as_str().unwrap_or_default();
        let (name, version, purl) = (text("name"), text("version"), text("purl"));
        let is_crate = purl == format!("pkg:cargo/{name}@{version}");
        let hash = component["hashes"][0]["content"].as_str().unwrap_or_default();
        if (is_crate || name == "tpm2-tss") && hash.len() != 64
            || component["licenses"][0]["expression"].as_str().is_none()
        {
            bail!("the bill of materials has no hash or no licence of {name}");
        }
        if is_crate {
            crates.insert(format!("{name} v{version}"))
        } else {
            others.insert(name.to_owned())
        };
    }
    let listed: BTreeSet<String> = data(DEPENDENCIES)?.lines().map(str::to_owned).collect();
    let brought = ["musl", "rust-std", "tpm2-tss"].map(str::to_owned);
    let differs = crates != listed || others != BTreeSet::from(brought);
    if of_initrd && differs {
        bail!("the bill of materials of trust-initrd is not {DEPENDENCIES}, tpm2-tss and what Rust brings");
    }
    let lacks = !crates.is_superset(&listed) || !others.contains("tpm2-tss");
    if lacks {
        bail!("the bill of materials lacks what is in trust-initrd");
    }
    Ok(())
}

/// The SHA-256 of a program, in hex.
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// A program without dependencies, without a fixed address, and without memory that is both writable and executable.
fn shape(bytes: &[u8], target: &str) -> Result<Vec<String>> {
    let header = FileHeader64::<Endianness>::parse(bytes)?;
    let endian = header.endian()?;
    let mut findings = Vec::new();
    let mut want = |good: bool, finding: &str| {
        if !good {
            findings.push(finding.to_owned());
        }
    };
    let segments = header.program_headers(endian, bytes)?;
    let has = |kind| segments.iter().any(|segment| segment.p_type(endian) == kind);
    want(!has(PT_INTERP), "it asks for a dynamic loader (PT_INTERP)");
    want(has(PT_GNU_RELRO), "its relocations stay writable (no PT_GNU_RELRO)");
    // Of Rust's musl targets only this one makes static programs position-independent.
    if target.starts_with("x86_64") {
        want(header.e_type(endian) == ET_DYN && has(PT_DYNAMIC), "it is not position-independent");
    }
    for segment in segments {
        let flags = segment.p_flags(endian);
        let kind = segment.p_type(endian);
        want(
            !([PT_LOAD, PT_GNU_STACK].contains(&kind) && flags & (PF_W | PF_X) == PF_W | PF_X),
            "a segment is writable and executable",
        );
        for entry in segment.dynamic(endian, bytes)?.unwrap_or_default() {
            want(entry.tag(endian) != DT_NEEDED, "it asks for a library (DT_NEEDED)");
        }
    }
    let sections = header.sections(endian, bytes)?;
    want(sections.symbols(endian, bytes, object::elf::SHT_SYMTAB)?.is_empty(), "it is not stripped");
    Ok(findings)
}

fn size(size: usize) -> Result<Option<String>> {
    let ceiling: usize = data(CEILING)?.trim().parse().with_context(|| format!("{CEILING} is not one number"))?;
    Ok((size > ceiling).then(|| format!("it has {size} bytes; {CEILING} allows {ceiling}")))
}

/// Names that would give away a path of this machine, or a way of working that has no place in an initrd.
fn contents(bytes: &[u8]) -> Result<Vec<String>> {
    let list = data(FORBIDDEN)?;
    let listed = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).map(str::to_owned);
    let home =
        std::env::home_dir().filter(|home| home.components().count() > 1).map(|home| format!("{}/", home.display()));
    // One name alone, such as /src, is part of paths that are no machine's own.
    let workspace = Some(sh::workspace()).filter(|path| path.components().count() > 2);
    let here = workspace.map(|path| path.display().to_string()).into_iter().chain(home);
    let occurs = |text: &String| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    Ok(listed.chain(here).filter(occurs).map(|text| format!("it contains {text:?}")).collect())
}

fn dependencies(options: &Options) -> Result<Option<String>> {
    let mut tree = sh::cargo();
    tree.args(["tree", "--locked", "--package", "trust", "--edges", "normal", "--prefix", "none"]);
    tree.args(["--format", "{p}", "--target", &options.target]);
    let tree = String::from_utf8(sh::output(&mut tree)?)?;
    let name = |line: &str| line.split_whitespace().take(2).collect::<Vec<_>>().join(" ");
    let found: BTreeSet<String> = tree.lines().map(name).filter(|name| !name.starts_with("trust ")).collect();
    if options.bless {
        let text: String = found.iter().map(|name| format!("{name}\n")).collect();
        fs::write(sh::workspace().join(DEPENDENCIES), text)?;
        return Ok(None);
    }
    let list = data(DEPENDENCIES)?;
    let listed: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let more: Vec<_> = found.difference(&listed).map(|name| format!("+{name}")).collect();
    let less: Vec<_> = listed.difference(&found).map(|name| format!("-{name}")).collect();
    let changes = [more, less].concat();
    Ok((!changes.is_empty()).then(|| {
        format!(
            "{DEPENDENCIES} is not what it is built from: {} (`cargo xtask dist --bless` rewrites it)",
            changes.join(", ")
        )
    }))
}

fn data(path: &str) -> Result<String> {
    fs::read_to_string(sh::workspace().join(path)).with_context(|| format!("cannot read {path}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// What is said of a bill of trust-initrd after `change`.
    fn said(change: impl FnOnce(&mut Vec<Value>)) -> Option<String> {
        let component = |name: &str, version: &str, purl: String| {
            json!({
                "name": name, "version": version, "purl": purl,
                "hashes": [{ "alg": "SHA-256", "content": "0".repeat(64) }],
                "licenses": [{ "expression": "MIT" }],
            })
        };
        let mut components: Vec<Value> = data(DEPENDENCIES)
            .unwrap()
            .lines()
            .map(|line| line.split_once(" v").unwrap())
            .map(|(name, version)| component(name, version, format!("pkg:cargo/{name}@{version}")))
            .collect();
        components.extend(["musl", "rust-std", "tpm2-tss"].map(|name| component(name, "1", String::new())));
        change(&mut components);
        bill_of_materials(&json!({ "components": components }).to_string(), true).err().map(|e| e.to_string())
    }

    #[test]
    fn a_bill_of_materials_that_does_not_match_is_an_error() {
        assert_eq!(said(|_| ()), None);
        let differs = "the bill of materials of trust-initrd is not tests/data/initrd-dependencies.txt, tpm2-tss and \
                       what Rust brings";
        for wrong in [
            said(|all| drop(all.remove(0))),
            said(|all| drop(all.pop())),
            said(|all| all[0]["version"] = json!("0.0.0")),
            said(|all| all[0]["purl"] = json!("")),
            said(|all| {
                let mut more = all[0].clone();
                more["name"] = json!("leftpad");
                more["purl"] = json!(format!("pkg:cargo/leftpad@{}", more["version"].as_str().unwrap()));
                all.push(more);
            }),
        ] {
            assert_eq!(wrong.as_deref(), Some(differs));
        }
        for wrong in [said(|all| all[0]["hashes"] = json!([])), said(|all| all[0]["licenses"] = json!([]))] {
            assert!(wrong.is_some_and(|text| text.contains("no hash or no licence of ")));
        }
    }
}
