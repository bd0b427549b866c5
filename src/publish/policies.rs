//! The running system's signed policies, left where it finds them. They are no secret, and it verifies them.

use crate::{
    error::{Error, Result},
    policy::pcr7data::Pcr7Data,
};
use rustix::{
    fs::{Mode, OFlags},
    process::umask,
};
use std::{
    fs::{OpenOptions, create_dir_all},
    io::{self, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

/// Where they are left: `policy-N` in it.
pub const PLACE: &str = "/run/trust/pcr7data";

/// Leaves those of `pcr7data` there, for every user to read.
///
/// # Errors
/// [`crate::error::Kind::Corrupt`] when they cannot be read, [`crate::error::Kind::System`] when they cannot be written.
pub fn keep(pcr7data: &Path) -> Result<()> {
    let files = Pcr7Data::open(pcr7data)?.of_running_system()?;
    umask(Mode::WGRP | Mode::WOTH);
    for (path, content) in &files {
        let path = Path::new(PLACE).join(path);
        write(&path, content).map_err(|why| Error::system(format!("write {}", path.display()), why))?;
    }
    Ok(())
}

fn write(path: &Path, content: &[u8]) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        create_dir_all(directory)?;
    }
    let flags = i32::try_from(OFlags::NOFOLLOW.bits()).unwrap_or(0);
    OpenOptions::new().write(true).create(true).truncate(true).custom_flags(flags).open(path)?.write_all(content)
}
