//! The directories of a user's files (XDG Base Directory Specification 0.8).

use crate::error::{Error, Kind, Result};
use std::{env, path::PathBuf};

/// The directory of user data: `$XDG_DATA_HOME`, or `~/.local/share`.
///
/// # Errors
/// [`Kind::Usage`]: neither variable is set.
pub fn data() -> Result<PathBuf> {
    base("XDG_DATA_HOME", ".local/share")
}

/// The directory of user configuration: `$XDG_CONFIG_HOME`, or `~/.config`.
///
/// # Errors
/// [`Kind::Usage`]: neither variable is set.
pub fn config() -> Result<PathBuf> {
    base("XDG_CONFIG_HOME", ".config")
}

/// The system's directory of what can be had again.
const SYSTEM_CACHE: &str = "/var/cache/trust";

/// The directories of what can be had again, the first of which is ours to write to: a unit's of its own (`CacheDirectory=`),
/// or the user's (`$XDG_CACHE_HOME`, `~/.cache`), and in any case the system's.
#[must_use]
pub fn caches() -> Vec<PathBuf> {
    let of_unit = env::var_os("CACHE_DIRECTORY").and_then(|all| env::split_paths(&all).next());
    let own = of_unit.filter(|path| path.is_absolute());
    let own = own.or_else(|| base("XDG_CACHE_HOME", ".cache").ok().map(|cache| cache.join("trust")));
    own.into_iter().chain([SYSTEM_CACHE.into()]).collect()
}

fn base(variable: &'static str, in_home: &str) -> Result<PathBuf> {
    // A relative path must be ignored.
    let absolute = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute(variable).or_else(|| absolute("HOME").map(|home| home.join(in_home))).ok_or_else(|| {
        let why = format!("neither {variable} nor HOME is an absolute path");
        Error::new(Kind::Usage, "find your directories", why).remedy("set one of them")
    })
}
