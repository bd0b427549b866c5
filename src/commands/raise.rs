//! `raise VERSION`: a TPM administration boot, after which policies that were signed for an older version open nothing.

use super::{
    Command, Heading, Run,
    arguments::{Arguments, Spec, VersionArgument},
    options::{SRK_SIGNATURE, Store},
    phases,
};
use crate::{console, error::Result, store::read_then_lock};
use std::path::PathBuf;

pub const COMMAND: Command = Command {
    name: "raise",
    alias: None,
    about: "Raise the TPM's policy version: policies that were signed for an older one open nothing any more.",
    heading: Heading::Tpm,
    calls: Some(&[phases::TPM, phases::LOCK, phases::CHECK_SIGNATURE]),
    new: || Box::new(Raise::default()),
};

#[derive(Default)]
struct Raise {
    store: Store,
    srk_signature: PathBuf,
    version: VersionArgument,
}

impl Run for Raise {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        arguments
            .add(&Spec { name: "VERSION", value: "", default: "", help: "four digits, like 0002" }, &mut self.version);
        self.store.declare(arguments);
        arguments.add(&SRK_SIGNATURE, &mut self.srk_signature);
    }

    fn run(&self) -> Result<()> {
        let hardened = COMMAND.harden(&self.store.tpm);
        let mut store = self.store.open(self.srk_signature.clone())?;
        let (raised, _locked) = read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            hardened?;
            store.raise_policy_version(self.version.0)
        })?;
        let version = String::from_utf8_lossy(&self.version.0);
        console::note(&if raised {
            format!("the policy version is {version}; policies for an older one open nothing any more")
        } else {
            format!("the policy version has been {version} before; nothing was changed")
        });
        Ok(())
    }
}
