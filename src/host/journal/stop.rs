//! Why a walk through a file ends early.

use super::report::Misfit;
use crate::error::Error;

/// The file contradicts itself or its seals, or it cannot be read.
pub(super) enum Stop {
    /// It contradicts itself, or a seal.
    Misfit(Misfit),
    /// Not even the first seal fits.
    OtherKey(Misfit),
    /// It cannot be read.
    Failed(Error),
}

impl From<Error> for Stop {
    fn from(error: Error) -> Self {
        Self::Failed(error)
    }
}

/// An object that does not fit.
pub(super) fn misfit(offset: u64, object: &'static str, why: impl Into<String>) -> Stop {
    Stop::Misfit(Misfit { offset, object, why: why.into() })
}
