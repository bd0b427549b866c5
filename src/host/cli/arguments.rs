//! What arguments mean, where several commands take the same.

use crate::{
    error::{Error, Kind, Result},
    host::atomic,
    policy::{digest::Digest, pcr7data},
};
use std::{fs::File, io::Read, path::Path};

/// Four ASCII digits.
pub fn policy_version(text: &str) -> std::result::Result<[u8; 4], &'static str> {
    pcr7data::parse_version(text).ok_or("give four digits, like 0001")
}

/// The 32 bytes of a file, which may be a pipe.
pub fn digest(path: &Path) -> Result<Digest> {
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(33).read_to_end(&mut bytes));
    read.map_err(|e| atomic::cannot("read", path, &e))?;
    Digest::try_from(bytes).map_err(|bytes| {
        let size = if bytes.len() > 32 { "more".to_owned() } else { bytes.len().to_string() };
        Error::new(Kind::Usage, format!("use {}", path.display()), format!("it holds {size} and not 32 bytes"))
            .remedy("give a SHA-256 value in binary, not in hex")
    })
}
