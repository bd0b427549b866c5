//! What happens when PCR 7 cannot be locked: the machine is switched off.

use crate::{console, error::Error, error::Kind};
use std::sync::atomic::{AtomicU8, Ordering};

/// What to do when PCR 7 cannot be proven locked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u8)]
pub enum OnLockFailure {
    /// Switch the machine off: nothing may get at a TPM that may still answer.
    #[default]
    PowerOff = 1,
    /// End with [`Kind::LockNotProven`]; the caller takes care of the rest.
    Exit = 2,
}

impl OnLockFailure {
    /// Says what happened and switches the machine off, or returns.
    pub fn act(self, error: &Error) {
        if self == Self::PowerOff {
            console::report(error);
            console::say("switching the machine off");
            power_off();
        }
    }
}

/// Nothing is open.
const DISARMED: u8 = 0;
static ARMED: AtomicU8 = AtomicU8::new(DISARMED);

/// From here on a panic does what `on_failure` says.
pub fn arm(on_failure: OnLockFailure) {
    ARMED.store(on_failure as u8, Ordering::SeqCst);
}

/// Whether a panic would do more than end the program.
#[cfg(feature = "host")]
pub fn is_armed() -> bool {
    ARMED.load(Ordering::SeqCst) != DISARMED
}

/// The store is locked: a panic is only a panic again.
pub fn disarm() {
    ARMED.store(DISARMED, Ordering::SeqCst);
}

/// Makes a panic, which is a defect, end as securely as a failure.
pub fn install_panic_hook() {
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map(ToString::to_string).unwrap_or_default();
        console::say(&format!("internal error at {place}"));
        let armed = ARMED.load(Ordering::SeqCst);
        if armed == OnLockFailure::PowerOff as u8 {
            console::say("PCR 7 may be unlocked: switching the machine off");
            power_off();
        }
        let kind = if armed == DISARMED { Kind::System } else { Kind::LockNotProven };
        std::process::exit(i32::from(kind.exit_status()));
    }));
}

/// Switches the machine off; returns only where the kernel does not allow it.
fn power_off() {
    if let Err(errno) = rustix::system::reboot(rustix::system::RebootCommand::PowerOff) {
        console::say(&format!("cannot switch the machine off: {errno}"));
    }
}
