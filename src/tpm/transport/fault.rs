//! How a link ends.

use crate::error::Kind;
use rustix::io::Errno;

/// A TPM 1.2, whoever has noticed.
pub const TPM12: &str = "this is a TPM 1.2, and Trust needs TPM 2.0";
/// What to do about it.
pub const TPM12_REMEDY: &str = "look in the firmware setup for a TPM 2.0: in the processor (Intel PTT, AMD fTPM), or as another \
                                mode of this chip; else ask the vendor for a firmware that makes it one, or use another machine";

/// Why a link is of no more use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// No response within the time that `--wait` allows.
    Silent,
    /// The other side has gone.
    Closed,
    /// The response is not what TPM 2.0 Library part 1, section 18 describes.
    Malformed,
    /// The response is that of a TPM 1.2.
    Tpm12,
    /// A system call failed.
    Io(Errno),
}

impl Fault {
    /// As a message tells it.
    #[must_use]
    pub fn describe(self) -> String {
        match self {
            Self::Silent => "the TPM does not answer".into(),
            Self::Closed => "the TPM has closed the connection".into(),
            Self::Malformed => "the TPM's response is malformed".into(),
            Self::Tpm12 => TPM12.into(),
            Self::Io(errno) => errno.to_string(),
        }
    }

    /// Whether the TPM is of no use, lying, or out of reach for the moment.
    #[must_use]
    pub const fn kind(self) -> Kind {
        match self {
            Self::Tpm12 => Kind::NoTpm,
            Self::Malformed => Kind::Corrupt,
            Self::Silent | Self::Closed | Self::Io(_) => Kind::System,
        }
    }
}
