//! `lock`: nothing but the lock, for boots that need nothing from the TPM.

use super::{
    Command, Heading, Run,
    arguments::Arguments,
    options::{SRK_SIGNATURE, Store},
    phases,
};
use crate::{error::Result, store::read_then_lock};

pub const COMMAND: Command = Command {
    name: "lock",
    alias: Some("extend-pcr7"),
    about: "Lock PCR 7: the TPM gives out no secret until the machine is restarted.",
    heading: Heading::Boot,
    calls: Some(&[phases::TPM, phases::LOCK]),
    new: || Box::new(LockAlone::default()),
};

#[derive(Default)]
struct LockAlone {
    store: Store,
}

impl Run for LockAlone {
    fn declare<'a>(&'a mut self, arguments: &mut Arguments<'a>) {
        self.store.declare(arguments);
    }

    fn run(&self) -> Result<()> {
        let hardened = COMMAND.harden(&self.store.tpm);
        let mut store = self.store.open(SRK_SIGNATURE.default.into())?;
        read_then_lock(&mut store, self.store.on_lock_failure, |store| {
            hardened?;
            store.probe()
        })
        .map(|_| ())
    }
}
