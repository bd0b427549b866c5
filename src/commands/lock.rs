//! `lock`: the door alone, for boots that want nothing from the TPM.

use super::{harden, open_store, options::Options};
use crate::{error::Result, store::read_then_lock};

pub fn run(options: &Options) -> Result<()> {
    let hardened = harden(options, &[]);
    let mut store = open_store(options)?;
    read_then_lock(&mut store, options.on_lock_failure, |store| {
        hardened?;
        store.probe()
    })
    .map(|_| ())
}
