//! `preinit`: an installer's boot, before it formats the disk.

use super::{harden, open_store, options::Options};
use crate::{
    error::Result,
    publish::keyring,
    seccomp::calls,
    store::{Truststore, read_then_lock},
};

pub fn run(options: &Options) -> Result<()> {
    let hardened = harden(options, &[calls::CHECK_SIGNATURE, calls::ADD_KEYS]);
    let mut store = open_store(options)?;
    let (passphrase, locked) = read_then_lock(&mut store, options.on_lock_failure, |store| {
        hardened?;
        store.renew_os_passphrase()
    })?;
    drop(store);
    let key = keyring::Options { also_as: &options.also_as, timeout: options.key_timeout };
    keyring::add(&locked, &passphrase, &key).map(|_| ())
}
