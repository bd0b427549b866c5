//! The seam between the boot's steps and the hardware that keeps the secrets,
//! and the bracket that no way out of a boot avoids.

use crate::{
    error::{Error, Kind, Result},
    guard::{self, OnLockFailure},
    memory,
    secret::Secret,
};

/// The secrets that a boot may ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretItem {
    /// The machine's certificate, PEM.
    Certificate,
    /// The machine's private key, PEM.
    PrivateKey,
    /// The passphrase of the operating system's LUKS volume.
    OsPassphrase,
}

/// What can be shut, so that nothing is read any more until the machine is restarted.
pub trait Lock {
    /// Makes the store refuse everything until the machine is restarted, and proves that it does.
    ///
    /// # Errors
    /// Whatever stood in the way; [`read_then_lock`] turns it into [`Kind::LockNotProven`], but for [`Kind::NoTpm`]:
    /// there was nothing that could have been read, and nothing that could be locked.
    fn lock(&mut self) -> Result<()>;
}

/// Something that keeps secrets and releases them to the right boot alone, until it is locked. The Go tool that machines
/// were provisioned with before has the name.
///
/// `tests/store_conformance.rs` holds what every implementation must do.
pub trait Truststore: Lock {
    /// Reads a secret, if this boot is allowed it.
    ///
    /// # Errors
    /// By remedy: [`Kind::Unprovisioned`], [`Kind::Refused`], [`Kind::LockedOut`], [`Kind::Corrupt`], [`Kind::NoTpm`].
    fn read(&mut self, item: SecretItem) -> Result<Secret>;

    /// Puts a newly made passphrase in the place of the operating system's, if
    /// this boot is allowed to, and returns it. It is new.
    ///
    /// # Errors
    /// As [`Self::read`].
    fn renew_os_passphrase(&mut self) -> Result<Secret>;
}

/// Proof that the store is locked. Only [`read_then_lock`] makes it; publishing requires it.
#[derive(Debug)]
pub struct Locked(());

/// Runs `read` on the store and then locks it, whatever `read` returned.
///
/// A closure and not a destructor: with panic=abort destructors do not run.
/// A panic in between ends in [`guard`]'s hook, which does what `on_failure` says.
///
/// # Errors
/// Those of `read`, if the store could be locked after it, or if both found that
/// there never was a TPM that works; else [`Kind::LockNotProven`], which
/// `OnLockFailure::PowerOff` does not live to return.
pub fn read_then_lock<S: Lock, T>(
    store: &mut S,
    on_failure: OnLockFailure,
    read: impl FnOnce(&mut S) -> Result<T>,
) -> Result<(T, Locked)> {
    guard::arm(on_failure);
    let outcome = apart(store, read);
    memory::wipe_stack();
    if let Err(error) = store.lock() {
        // A TPM that cannot work releases nothing, now or later in this boot: that, and not the lock, is the news.
        if let (Err(first), Kind::NoTpm) = (&outcome, error.kind())
            && first.kind() == Kind::NoTpm
        {
            guard::disarm();
            return outcome.map(|value| (value, Locked(())));
        }
        let why = match &outcome {
            // The same twice says no more than once.
            Err(first) if first.cause() == error.cause() => error.cause(),
            Err(first) => format!("{}, and before that: {}", error.cause(), first.cause()),
            Ok(_) => error.cause(),
        };
        let error = Error::new(Kind::LockNotProven, "lock PCR 7", why);
        on_failure.act(&error);
        return Err(error);
    }
    guard::disarm();
    outcome.map(|value| (value, Locked(())))
}

/// In a frame of its own: what it leaves on the stack lies below the caller's.
#[inline(never)]
fn apart<S, T>(store: &mut S, read: impl FnOnce(&mut S) -> Result<T>) -> Result<T> {
    read(store)
}
