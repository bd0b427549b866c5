//! `luks check PATH`: what a device or a mounted root stands on.

use super::options::Options;
use crate::{
    error::{Error, Kind, Result},
    luks::backing,
    seccomp::{self, calls},
};
use std::path::Path;

pub fn run(options: &Options) -> Result<()> {
    seccomp::confine(&[calls::PROCESS, calls::SEARCH_KEYS])?;
    let [path] = options.operands.as_slice() else {
        return Err(Error::new(Kind::Usage, "run luks check", "it needs PATH"));
    };
    backing::check(Path::new(path))
}
