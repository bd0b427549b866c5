//! What can go wrong, sorted by what the person in front of the machine can do.

use std::{
    borrow::Cow,
    fmt,
    io::{self, ErrorKind},
};

/// The kinds of failure, one for each remedy. The number is the exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The command line, or a file that it names, is wrong.
    Usage = 2,
    /// There is no TPM 2.0 that answers.
    NoTpm = 10,
    /// The TPM holds no complete layout.
    Unprovisioned = 11,
    /// This boot is not allowed the secrets: PCR 7, policy or policy version.
    Refused = 12,
    /// The TPM's dictionary attack protection is in lockout.
    LockedOut = 13,
    /// The TPM, or the policy data beside it, says something impossible.
    Corrupt = 14,
    /// A system call failed.
    System = 15,
    /// PCR 7 may still be what it was: the secrets may still be readable.
    LockNotProven = 16,
    /// The guest in a virtual machine has not done what it was to do.
    #[cfg(feature = "host")]
    Guest = 20,
}

impl Kind {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::Usage,
        Self::NoTpm,
        Self::Unprovisioned,
        Self::Refused,
        Self::LockedOut,
        Self::Corrupt,
        Self::System,
        Self::LockNotProven,
        #[cfg(feature = "host")]
        Self::Guest,
    ];

    /// What the exit status means, for help and manual.
    #[must_use]
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Usage => "usage",
            Self::NoTpm => "no TPM",
            Self::Unprovisioned => "not provisioned",
            Self::Refused => "this boot is not allowed the secrets",
            Self::LockedOut => "TPM locked out",
            Self::Corrupt => "TPM or policy data corrupt",
            Self::System => "system call failed",
            Self::LockNotProven => "lock not proven",
            #[cfg(feature = "host")]
            Self::Guest => "a guest failed (launch)",
        }
    }

    /// The exit status of a program that ends with this kind.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        self as u8
    }

    /// What to do where the place of the failure knows nothing better.
    const fn remedy(self) -> &'static str {
        match self {
            Self::Usage => "see --help",
            Self::NoTpm => "enable the TPM 2.0 in the firmware setup and see that the kernel has its driver",
            Self::Unprovisioned => "boot the provisioning image and run `trust provision CERT KEY`",
            Self::Refused => "boot the image that the owner signed for production, with Secure Boot on",
            Self::LockedOut => "leave the machine switched on until the TPM's lockout has passed, then restart it",
            Self::Corrupt => {
                "boot an image built with its keyset's pcr7data; if that does not help, clear the TPM, and provision and install anew"
            }
            Self::System => "this is a defect of the image: report it",
            Self::LockNotProven => "switch the machine off; if this happens again, suspect the TPM or its bus",
            #[cfg(feature = "host")]
            Self::Guest => "look at what its console says",
        }
    }
}

/// A failure: what was being done, why it failed, what to do now.
///
/// Reads as `cannot WHAT: WHY; REMEDY`. It never holds a secret.
#[derive(Debug)]
pub struct Error(Box<Message>);

/// Behind a pointer: a failure is rare, and every function that can fail would move all of it.
#[derive(Debug)]
struct Message {
    kind: Kind,
    what: Cow<'static, str>,
    why: Cow<'static, str>,
    remedy: Cow<'static, str>,
}

/// The result of everything here that can fail.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// `what` continues "cannot …"; `why` is a clause without a full stop.
    pub fn new(kind: Kind, what: impl Into<Cow<'static, str>>, why: impl Into<Cow<'static, str>>) -> Self {
        Self::of(kind, what.into(), why.into())
    }

    /// Out of line, as the like below: there are hundreds of callers.
    #[inline(never)]
    fn of(kind: Kind, what: Cow<'static, str>, why: Cow<'static, str>) -> Self {
        Self(Box::new(Message { kind, what, why, remedy: Cow::Borrowed(kind.remedy()) }))
    }

    /// A system call that failed while doing `what`.
    pub fn system(what: impl Into<Cow<'static, str>>, why: impl Into<io::Error>) -> Self {
        Self::of_system(what.into(), &why.into())
    }

    #[inline(never)]
    fn of_system(what: Cow<'static, str>, why: &io::Error) -> Self {
        let error = Self::new(Kind::System, what, why.to_string());
        match why.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory => error.remedy("check the name, and that it is there"),
            ErrorKind::PermissionDenied => error.remedy("run it as root"),
            ErrorKind::StorageFull => error.remedy("free some space and run it again"),
            _ => error,
        }
    }

    /// Replaces the remedy of the kind by one that knows the circumstances.
    #[must_use]
    pub fn remedy(self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.with(remedy.into())
    }

    #[inline(never)]
    fn with(mut self, remedy: Cow<'static, str>) -> Self {
        self.0.remedy = remedy;
        self
    }

    /// The same failure seen from further out: `what` failed because of it. Kind and remedy stay.
    #[must_use]
    pub fn within(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.why = Cow::Owned(self.cause());
        self.0.what = what.into();
        self
    }

    /// Adds what has been found out about the reason.
    #[must_use]
    pub fn because(mut self, more: &str) -> Self {
        if !more.is_empty() {
            self.0.why = format!("{}: {more}", self.0.why).into();
        }
        self
    }

    /// What and why without the remedy, for an error that has its own.
    #[must_use]
    pub fn cause(&self) -> String {
        format!("cannot {}: {}", self.0.what, self.0.why)
    }

    /// Why alone, for a report that says what itself.
    #[must_use]
    pub fn why(&self) -> &str {
        &self.0.why
    }

    /// What to do now alone, for a report that has it apart.
    #[cfg(feature = "host")]
    #[must_use]
    pub fn advice(&self) -> &str {
        &self.0.remedy
    }

    /// Which remedy it calls for; decides the exit status.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.0.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}; {}", self.0.what, self.0.why, self.0.remedy)
    }
}

impl std::error::Error for Error {}
