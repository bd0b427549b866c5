//! The crates that Cargo.lock names, as their manifests describe them.

use crate::sh;
use anyhow::Result;
use serde::Deserialize;
use std::path::{Path, PathBuf};

/// What `cargo metadata` says of one.
#[derive(Deserialize)]
pub struct Package {
    pub name: String,
    pub version: String,
    pub license: Option<String>,
    pub repository: Option<String>,
    /// Its manifest, in the directory with its sources.
    pub manifest_path: PathBuf,
}

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<Package>,
}

/// All of them, whatever the features, of the workspace in this directory.
pub fn packages(workspace: &Path) -> Result<Vec<Package>> {
    let mut cargo = sh::cargo();
    cargo.current_dir(workspace).args(["metadata", "--locked", "--all-features", "--format-version", "1"]);
    let Metadata { packages } = serde_json::from_slice(&sh::output(&mut cargo)?)?;
    Ok(packages)
}
