//! `admin delegate`: a TPM administration boot, after which the running system may make keys and indices in the TPM.

use super::{
    Command, Heading, Run,
    arguments::Arguments,
    options::{SRK_SIGNATURE, Store},
    phases,
};
use crate::{console, error::Result, store::read_then_lock};
use std::path::PathBuf;

pub const COMMAND: Command = Command {
    name: "admin delegate",
    alias: None,
    about: "Let the running system make primary keys and NV indices, as provision does: for machines provisioned before.",
    heading: Heading::Tpm,
    calls: Some(&[phases::TPM, phases::LOCK, phases::CHECK_SIGNATURE]),
    new: || Box::new(Delegate::default()),
};

#[derive(Default)]
struct Delegate {
    store: Store,
    srk_signature: PathBuf,
}

impl Run for Delegate {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.store.declare(arguments);
        arguments.add(&SRK_SIGNATURE, &mut self.srk_signature);
    }

    fn run(&self) -> Result<()> {
        let hardened = COMMAND.harden(&self.store.tpm);
        let mut store = self.store.open(self.srk_signature.clone())?;
        let ((), _locked) = read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            hardened?;
            store.delegate()
        })?;
        console::note("the owner's policy is set: the running system can make primary keys and NV indices");
        Ok(())
    }
}
