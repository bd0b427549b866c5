//! What a program is made of, as CycloneDX 1.6 has it: the crates that cargo compiles into it for its target and
//! features, tpm2-tss with our patches, Rust's standard library.
//!
//! Without a date and a serial number: the same sources give the same bytes.

use crate::{
    dist, fetch, inspect,
    metadata::{self, Package},
    sh,
};
use anyhow::{Context, Result};
use serde::Deserialize;
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// What to describe.
pub struct Program<'a> {
    /// Its name.
    pub name: &'a str,
    /// The target that it was built for.
    pub target: &'a str,
    /// The feature that it was built with, beside the default ones.
    pub feature: Option<&'a str>,
    /// The file.
    pub file: &'a Path,
}

/// A crate: name and version.
type Crate = (String, String);

/// Cargo.lock.
#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

/// The bill of materials of a program whose sources are in `workspace`.
pub fn describe(workspace: &Path, program: &Program<'_>) -> Result<String> {
    let tree = tree(workspace, program)?;
    let lock: Lock = toml::from_str(&fs::read_to_string(workspace.join("Cargo.lock"))?)?;
    let checksums = lock.package.into_iter().map(|package| ((package.name, package.version), package.checksum));
    let checksums: BTreeMap<Crate, Option<String>> = checksums.collect();
    let packages = metadata::packages(workspace)?.into_iter();
    let packages: BTreeMap<Crate, Package> =
        packages.map(|package| ((package.name.clone(), package.version.clone()), package)).collect();

    let own = tree.keys().find(|(name, _)| name == "trust").context("cargo tree does not begin with trust")?.clone();
    let mut components = Vec::new();
    for name in tree.keys().filter(|name| **name != own) {
        let package = packages.get(name).with_context(|| format!("cargo knows no {name:?}"))?;
        let checksum = checksums.get(name).and_then(Option::as_ref);
        components.push(component(package, checksum.with_context(|| format!("{name:?} has no checksum"))?)?);
    }
    let tss = tpm2_tss(workspace)?;
    let below = ["tss-esapi-sys"];
    let mut dependencies: Vec<Value> = tree
        .iter()
        .map(|(name, needs)| {
            let mut needs: Vec<String> = needs.iter().map(purl).collect();
            if *name == own || below.contains(&&*name.0) {
                needs.push(reference(&tss)?);
            }
            let name = if *name == own { program.name.to_owned() } else { purl(name) };
            Ok(json!({ "ref": name, "dependsOn": needs }))
        })
        .collect::<Result<_>>()?;
    components.push(tss);
    components.extend(toolchain(workspace, program)?);
    dependencies.sort_by_key(|dependency| dependency["ref"].to_string());

    let bytes = fs::read(program.file)?;
    let package = packages.get(&own).context("cargo knows trust")?;
    let bom = json!({
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "lifecycles": [{ "phase": "build" }],
            "component": {
                "type": "application",
                "bom-ref": program.name,
                "name": program.name,
                "version": package.version,
                "hashes": [{ "alg": "SHA-256", "content": inspect::sha256(&bytes) }],
                "licenses": [{ "expression": expression(package)? }],
            },
            "properties": [
                { "name": "trust:target", "value": program.target },
                { "name": "trust:features", "value": program.feature.unwrap_or("default") },
            ],
        },
        "components": components,
        "dependencies": dependencies,
    });
    Ok(format!("{bom:#}\n"))
}

/// The crates that are compiled into it, and what each of them needs.
fn tree(workspace: &Path, program: &Program<'_>) -> Result<BTreeMap<Crate, BTreeSet<Crate>>> {
    let mut tree = sh::cargo();
    tree.current_dir(workspace);
    tree.args(["tree", "--locked", "--package", "trust", "--edges", "normal", "--prefix", "depth"]);
    tree.args(["--format", " {p}", "--target", program.target]);
    if let Some(feature) = program.feature {
        tree.args(["--features", feature]);
    }
    let text = String::from_utf8(sh::output(&mut tree)?)?;
    let mut crates: BTreeMap<Crate, BTreeSet<Crate>> = BTreeMap::new();
    let mut above: Vec<Crate> = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name), Some(version)) = (words.next(), words.next(), words.next()) else { continue };
        let version = version.strip_prefix('v').with_context(|| format!("no version: {line}"))?;
        let name = (name.to_owned(), version.to_owned());
        above.truncate(depth.parse()?);
        if let Some(needing) = above.last() {
            crates.entry(needing.clone()).or_default().insert(name.clone());
        }
        crates.entry(name.clone()).or_default();
        above.push(name);
    }
    Ok(crates)
}

fn purl((name, version): &Crate) -> String {
    format!("pkg:cargo/{name}@{version}")
}

fn reference(component: &Value) -> Result<String> {
    Ok(component["bom-ref"].as_str().context("a component has a reference")?.to_owned())
}

/// As SPDX writes it: old manifests have slashes.
fn expression(package: &Package) -> Result<String> {
    let license = package.license.as_deref().with_context(|| format!("{} has no licence", package.name))?;
    Ok(license.split('/').map(str::trim).collect::<Vec<_>>().join(" OR "))
}

fn component(package: &Package, checksum: &str) -> Result<Value> {
    let purl = purl(&(package.name.clone(), package.version.clone()));
    let mut component = json!({
        "type": "library",
        "bom-ref": purl,
        "name": package.name,
        "version": package.version,
        "hashes": [{ "alg": "SHA-256", "content": checksum }],
        "licenses": [{ "expression": expression(package)? }],
        "purl": purl,
    });
    if let Some(repository) = &package.repository {
        component["externalReferences"] = json!([{ "type": "vcs", "url": repository }]);
    }
    Ok(component)
}

/// The C library, and what we have changed of it.
fn tpm2_tss(workspace: &Path) -> Result<Value> {
    let fetch::Described { version, license, url, tar_sha256, patches } = fetch::describe(workspace)?;
    let purl = format!("pkg:github/tpm2-software/tpm2-tss@{version}");
    let diffs: Vec<Value> =
        patches.iter().map(|(path, _)| json!({ "type": "unofficial", "diff": { "url": path } })).collect();
    let hashes: Vec<Value> = patches
        .iter()
        .map(|(path, sha256)| json!({ "name": format!("trust:sha256:{path}"), "value": sha256 }))
        .collect();
    let tar = json!([{ "alg": "SHA-256", "content": tar_sha256 }]);
    Ok(json!({
        "type": "library",
        "bom-ref": purl,
        "name": "tpm2-tss",
        "version": version,
        "description": "MU, SYS and ESYS alone; the hash is that of the uncompressed tar",
        "hashes": tar,
        "licenses": [{ "expression": license }],
        "purl": purl,
        "externalReferences": [{ "type": "source-distribution", "url": url }],
        "pedigree": { "patches": diffs },
        "properties": hashes,
    }))
}

/// What the compiler brings along.
fn toolchain(workspace: &Path, program: &Program<'_>) -> Result<Vec<Value>> {
    let (release, commit) = (dist::rustc(workspace, "release: ")?, dist::rustc(workspace, "commit-hash: ")?);
    let purl = format!("pkg:github/rust-lang/rust@{release}");
    let mut components = vec![json!({
        "type": "library",
        "bom-ref": purl,
        "name": "rust-std",
        "version": release,
        "description": format!("Rust's standard library, as rustup has it for {}", program.target),
        "licenses": [{ "expression": "MIT OR Apache-2.0" }],
        "purl": purl,
        "properties": [{ "name": "trust:commit", "value": commit }],
    })];
    if program.target.ends_with("-musl") {
        components.push(json!({
            "type": "library",
            "bom-ref": "musl",
            "name": "musl",
            "description": "The C library that rust-std has with it",
            "licenses": [{ "expression": "MIT" }],
        }));
    }
    Ok(components)
}
