//! What every `Truststore` must do, run on the TPM and on a store made of memory.
//!
//! `read_then_lock` is the bracket of both; nothing is published here.

use harness::{Boot, Machine};
use std::{cell::Cell, rc::Rc, time::Duration};
use trust::{
    error::{Error, Kind, Result},
    guard::OnLockFailure,
    secret::Secret,
    store::{Lock, SecretItem, Truststore, read_then_lock},
    tpm::{Tpm, TpmStore},
};

/// A store without hardware: provisioned or not, allowed to this boot or not, willing to be locked or not.
struct Memory {
    contents: Option<usize>,
    allowed: bool,
    locked: Rc<Cell<bool>>,
    lock_fails: bool,
}

impl Memory {
    fn check(&self) -> Result<usize> {
        if !self.allowed || self.locked.get() {
            return Err(Error::new(Kind::Refused, "read the store", "this boot is not allowed it"));
        }
        self.contents.ok_or_else(|| Error::new(Kind::Unprovisioned, "read the store", "it is empty"))
    }
}

impl Truststore for Memory {
    fn read(&mut self, _: SecretItem) -> Result<Secret> {
        Secret::filled(self.check()?, |_| Ok(()))
    }

    fn renew_os_passphrase(&mut self) -> Result<Secret> {
        Secret::filled(self.check()?, |_| Ok(()))
    }
}

impl Lock for Memory {
    fn lock(&mut self) -> Result<()> {
        if self.lock_fails {
            return Err(Error::new(Kind::Corrupt, "lock the store", "it will not be locked"));
        }
        self.locked.set(true);
        Ok(())
    }
}

/// How a store can be found at the start of a boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Provisioned,
    Foreign,
    Unprovisioned,
}

/// Something that gives a fresh boot's store in a state.
trait Fixture {
    type Store: Truststore;
    fn boot(&self, state: State) -> Self::Store;
    /// Another program of the same boot.
    fn again(&self) -> Self::Store;
}

#[derive(Default)]
struct MemoryFixture {
    locked: Rc<Cell<bool>>,
}

impl MemoryFixture {
    fn store(&self, state: State) -> Memory {
        Memory {
            contents: (state != State::Unprovisioned).then_some(40),
            allowed: state != State::Foreign,
            locked: Rc::clone(&self.locked),
            lock_fails: false,
        }
    }
}

impl Fixture for MemoryFixture {
    type Store = Memory;

    fn boot(&self, state: State) -> Memory {
        self.locked.set(false);
        self.store(state)
    }

    fn again(&self) -> Memory {
        self.store(State::Provisioned)
    }
}

struct TpmFixture {
    provisioned: Machine,
    empty: Machine,
}

impl TpmFixture {
    fn open(machine: &Machine) -> TpmStore {
        let address = machine.wire.tcti().parse().expect("an address");
        let tpm = Tpm::connect(&address, Duration::from_secs(5), false).expect("a TPM");
        TpmStore::new(tpm, machine.keyset.pcr7data(), "/none".into())
    }
}

impl Fixture for TpmFixture {
    type Store = TpmStore;

    fn boot(&self, state: State) -> TpmStore {
        let (machine, boot) = match state {
            State::Provisioned => (&self.provisioned, Boot::Production),
            State::Foreign => (&self.provisioned, Boot::Limited),
            State::Unprovisioned => (&self.empty, Boot::Production),
        };
        machine.tpm.reboot();
        machine.tpm.extend_pcr7(&boot.event());
        Self::open(machine)
    }

    fn again(&self) -> TpmStore {
        Self::open(&self.provisioned)
    }
}

fn kind<T>(result: Result<T>) -> Kind {
    result.err().expect("a refusal").kind()
}

fn read_all<S: Truststore>(store: &mut S) -> Result<[Secret; 3]> {
    Ok([
        store.read(SecretItem::OsPassphrase)?,
        store.read(SecretItem::Certificate)?,
        store.read(SecretItem::PrivateKey)?,
    ])
}

fn conforms<B: Fixture>(fixture: &B) {
    let exit = OnLockFailure::Exit;

    let mut store = fixture.boot(State::Provisioned);
    let (secrets, _locked) = read_then_lock(&mut store, exit, read_all).expect("a production boot reads");
    assert!(secrets.iter().all(|secret| !secret.is_empty()));
    // The same program, and the next one: the door is shut for both.
    assert_eq!(kind(store.read(SecretItem::OsPassphrase)), Kind::Refused);
    assert_eq!(kind(store.renew_os_passphrase()), Kind::Refused);
    drop(store);
    assert_eq!(kind(fixture.again().read(SecretItem::Certificate)), Kind::Refused);

    let mut store = fixture.boot(State::Provisioned);
    let renewed = read_then_lock(&mut store, exit, Truststore::renew_os_passphrase).expect("a production boot writes");
    assert_eq!(renewed.0.len(), 40);
    drop(store);

    // A boot that is not allowed the secrets locks all the same, and so does one whose reading went wrong.
    let mut store = fixture.boot(State::Foreign);
    assert_eq!(kind(read_then_lock(&mut store, exit, read_all)), Kind::Refused);
    drop(store);
    let mut store = fixture.boot(State::Unprovisioned);
    assert_eq!(kind(read_then_lock(&mut store, exit, read_all)), Kind::Unprovisioned);
    drop(store);
    let mut store = fixture.boot(State::Provisioned);
    let failed = read_then_lock(&mut store, exit, |_| -> Result<()> { Err(Error::new(Kind::System, "x", "y")) });
    assert_eq!(kind(failed), Kind::System);
    drop(store);
    assert_eq!(kind(fixture.again().read(SecretItem::OsPassphrase)), Kind::Refused);

    // Locking what is locked is no failure.
    assert!(read_then_lock(&mut fixture.again(), exit, |_| Ok(())).is_ok());
}

#[test]
fn the_store_in_memory_conforms() {
    conforms(&MemoryFixture::default());
}

#[test]
fn the_tpm_conforms() {
    conforms(&TpmFixture { provisioned: Machine::provisioned(), empty: Machine::new() });
}

/// Whatever was read: a lock that fails yields no value and its own status.
#[test]
fn a_failed_lock_yields_no_value_and_its_own_status() {
    for allowed in [true, false] {
        let mut store = Memory { contents: Some(40), allowed, locked: Rc::default(), lock_fails: true };
        let error = read_then_lock(&mut store, OnLockFailure::Exit, read_all).err().expect("no success");
        assert_eq!(error.kind(), Kind::LockNotProven);
        assert_eq!(error.to_string().contains("before that"), !allowed, "{error}");
    }
}
