//! The TPM of a service: one thread has it, and keeps its key loaded while there is work.

use crate::{
    error::{Error, Kind, Result},
    secret::Secret,
    tpm::derive::DerivationKey,
    tpm2::Name,
};
use std::{
    sync::mpsc::{self, Receiver, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// How long the key stays loaded without work.
const IDLE: Duration = Duration::from_secs(2);
const WHAT: &str = "derive a key";

/// What a TPM gives for a message.
pub struct Prf {
    /// Its value, of 32 bytes.
    pub value: Secret,
    /// Name of the TPM's key.
    pub of: Name,
}

/// What the thread is told.
enum Order {
    /// A message, and where its value goes.
    Derive { message: Vec<u8>, bound: bool, answer: Sender<Result<Prf>> },
    /// To release what it holds, and end.
    Stop,
}

/// The way to that thread.
#[derive(Clone)]
pub struct Keeper(Sender<Order>);

impl Keeper {
    /// Starts it. `make` opens the TPM and makes the key, the bound one if it is told so.
    ///
    /// # Errors
    /// [`Kind::System`]: there can be no thread.
    pub fn start(make: impl Fn(bool) -> Result<DerivationKey> + Send + 'static) -> Result<(Self, JoinHandle<()>)> {
        let (sender, orders) = mpsc::channel();
        let keeping = thread::Builder::new().name("tpm".into()).spawn(move || keep(&orders, &make));
        keeping.map(|thread| (Self(sender), thread)).map_err(|e| Error::system("start a thread", e))
    }

    /// Has the thread release what it holds in the TPM, and end.
    pub fn stop(&self) {
        // It may have ended.
        let _ = self.0.send(Order::Stop);
    }

    /// What the TPM gives for `message`; waits for its turn.
    ///
    /// # Errors
    /// Those of the TPM.
    pub fn derive(&self, message: Vec<u8>, bound: bool) -> Result<Prf> {
        let gone = || Error::new(Kind::System, WHAT, "the service ends").remedy("try again");
        let (answer, value) = mpsc::channel();
        self.0.send(Order::Derive { message, bound, answer }).map_err(|_| gone())?;
        value.recv().map_err(|_| gone())?
    }
}

/// A key, and which of the two it is.
struct Loaded {
    key: DerivationKey,
    bound: bool,
}

fn keep(orders: &Receiver<Order>, make: &dyn Fn(bool) -> Result<DerivationKey>) {
    let mut loaded: Option<Loaded> = None;
    loop {
        let order = match orders.recv_timeout(IDLE) {
            Err(RecvTimeoutError::Timeout) => {
                release(loaded.take());
                orders.recv().ok()
            }
            order => order.ok(),
        };
        let Some(Order::Derive { message, bound, answer }) = order else { return release(loaded.take()) };
        let was_loaded = loaded.is_some();
        let mut value = derive(&mut loaded, &message, bound, make);
        // The TPM may have been restarted since, and know neither key nor session.
        if was_loaded && value.is_err() {
            release(loaded.take());
            value = derive(&mut loaded, &message, bound, make);
        }
        if value.is_err() {
            release(loaded.take());
        }
        // Whoever asked may have gone.
        let _ = answer.send(value);
    }
}

fn derive(
    loaded: &mut Option<Loaded>,
    message: &[u8],
    bound: bool,
    make: &dyn Fn(bool) -> Result<DerivationKey>,
) -> Result<Prf> {
    if loaded.as_ref().is_some_and(|loaded| loaded.bound != bound) {
        release(loaded.take());
    }
    let key = match loaded {
        Some(loaded) => &mut loaded.key,
        None => &mut loaded.insert(Loaded { key: make(bound)?, bound }).key,
    };
    Ok(Prf { value: key.derive(message)?, of: *key.name() })
}

fn release(loaded: Option<Loaded>) {
    // A TPM that does not answer has nothing to be released.
    let _ = loaded.map(|loaded| loaded.key.release());
}
