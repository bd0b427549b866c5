//! `finish`: after the file systems are mounted, and before anybody is asked anything.

use super::options::Options;
use crate::{
    console,
    error::Result,
    publish::{self, keyring},
};

pub fn run(options: &Options) -> Result<()> {
    let directory = (!options.keep_files).then_some(options.secrets_dir.as_path());
    let key = keyring::Options { also_as: &options.also_as, timeout: None };
    let withdrawn = publish::withdraw(&key, directory)?;
    if options.verbose {
        console::note(&format!("{} keys revoked, {} mounts removed", withdrawn.keys, withdrawn.mounts));
    }
    Ok(())
}
