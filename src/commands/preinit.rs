//! `preinit`: an installer's boot, before it formats the disk.

use super::{
    Command, Heading, Run,
    arguments::Arguments,
    options::{ALSO_AS, EventLog, KEY_TIMEOUT, SRK_SIGNATURE, Store},
    phases,
};
use crate::{
    error::Result,
    publish::passphrase,
    store::{Truststore, read_then_lock},
};
use std::path::PathBuf;

pub const COMMAND: Command = Command {
    name: "preinit",
    alias: Some("preinstall"),
    about: "Put a new passphrase for the operating system into the TPM, lock PCR 7, then publish the passphrase.",
    heading: Heading::Boot,
    calls: Some(&[phases::TPM, phases::LOCK, phases::CHECK_SIGNATURE, phases::ADD_KEYS]),
    new: || Box::new(Preinit::default()),
};

#[derive(Default)]
struct Preinit {
    store: Store,
    srk_signature: PathBuf,
    event_log: EventLog,
    also_as: Vec<String>,
    key_timeout: Option<u32>,
}

impl Run for Preinit {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.store.declare(arguments);
        arguments.add(&SRK_SIGNATURE, &mut self.srk_signature);
        self.event_log.declare(arguments);
        arguments.add(&ALSO_AS, &mut self.also_as);
        arguments.add(&KEY_TIMEOUT, &mut self.key_timeout);
    }

    fn run(&self) -> Result<()> {
        self.event_log.explained(self.renew(), &self.store.tpm)
    }
}

impl Preinit {
    fn renew(&self) -> Result<()> {
        let hardened = COMMAND.harden(&self.store.tpm);
        let mut store = self.store.open(self.srk_signature.clone())?;
        let (passphrase, locked) = read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            hardened?;
            store.renew_os_passphrase()
        })?;
        drop(store);
        let key = passphrase::KeyOptions { also_as: &self.also_as, timeout: self.key_timeout };
        passphrase::publish(&locked, &passphrase, &key).map(|_| ())
    }
}
