//! Secrets that come from and go to where the user says: files and pipes, and no copy elsewhere.

use crate::{
    error::{Error, Kind, Result},
    host::{fs::atomic, say::output},
    secret::{MAX_SECRET, Secret},
};
use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

/// All of a file; of standard input for `-`.
///
/// # Errors
/// [`Kind::Usage`]: it is not there, or larger than a [`Secret`]; [`Kind::System`]: it cannot be read.
pub fn read(path: &Path) -> Result<Secret> {
    let read = if path == Path::new("-") {
        Secret::read_from(&mut io::stdin().lock())
    } else {
        File::open(path).and_then(|mut file| Secret::read_from(&mut file))
    };
    read.map_err(|e| atomic::cannot("read", path, &e))?.ok_or_else(|| {
        let why = format!("it is larger than {MAX_SECRET} bytes");
        Error::new(Kind::Usage, format!("read {}", path.display()), why)
            .remedy("seal it, which takes any size: `trust seal`")
    })
}

/// Into a file that appears when it is complete, for its owner alone; to standard output for `None` and `-`.
///
/// # Errors
/// Those of writing.
#[allow(clippy::disallowed_methods, reason = "to hand it over is what is asked for")]
pub fn write(path: Option<&PathBuf>, secret: &Secret) -> Result<()> {
    match path.filter(|path| *path != Path::new("-")) {
        Some(path) => atomic::replace(path, atomic::PRIVATE, secret.expose()),
        None => output::bytes(secret.expose()),
    }
}
