//! Layout 3: what is kept in the TPM's NV memory, and where.
//!
//! Compatible with machines provisioned by project-machine's Go tool. The
//! attribute bits are those of TPM 2.0 Library part 2, section 13.4 (`TPMA_NV`).

use crate::{
    policy::{boot_kind::BootKind, version},
    secret::MAX_SECRET,
    tpm2::nv::attribute,
};
use std::ops::RangeInclusive;

/// The layout that this program knows, as index [`Index::LayoutVersion`] holds it.
pub const LAYOUT_VERSION: [u8; 8] = *b"00000003";
/// Where the storage root key lives that sessions are salted to (TCG provisioning guidance, section 7.5.1).
pub const SRK_HANDLE: u32 = 0x8100_0001;
/// Length of the TPM admin password in characters.
pub const ADMIN_PASSWORD_LEN: usize = 32;
/// Length of a LUKS passphrase in characters: `trust-` and 34 hex digits (136 bits).
pub const PASSPHRASE_LEN: usize = 40;
/// What every passphrase begins with.
pub const PASSPHRASE_PREFIX: &[u8; 6] = b"trust-";

/// The NV indices of the layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Index {
    /// Password of owner, endorsement and lockout hierarchy.
    AdminPassword = 0x0150_0001,
    /// [`LAYOUT_VERSION`].
    LayoutVersion = 0x0150_0002,
    /// What [`version`] says.
    PolicyVersion = version::INDEX,
    /// The machine's certificate, PEM as given.
    Certificate = 0x0150_0021,
    /// The machine's private key, PEM as given.
    PrivateKey = 0x0150_0022,
    /// SHA-256 of the certificate, then what only the holder of the private key can have written: `provision` can be
    /// repeated in a boot that may read neither. Not known to the Go tool, which does not mind.
    Proof = 0x0150_0023,
    /// LUKS passphrase of the SBS partition.
    SbsPassphrase = 0x0150_0030,
    /// LUKS passphrase of the operating system.
    OsPassphrase = 0x0150_0040,
}

/// All of them.
#[cfg(feature = "host")]
pub const ALL: [Index; 8] = [
    Index::AdminPassword,
    Index::LayoutVersion,
    Index::PolicyVersion,
    Index::Certificate,
    Index::PrivateKey,
    Index::Proof,
    Index::SbsPassphrase,
    Index::OsPassphrase,
];

impl Index {
    /// The NV handle.
    #[must_use]
    pub const fn handle(self) -> u32 {
        self as u32
    }

    /// What it holds, as a message names it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::AdminPassword => "the TPM admin password",
            Self::LayoutVersion => "the layout version",
            Self::PolicyVersion => "the policy version",
            Self::Certificate => "the certificate",
            Self::PrivateKey => "the private key",
            Self::Proof => "the proof of its provisioning",
            Self::SbsPassphrase => "the passphrase of the SBS partition",
            Self::OsPassphrase => "the passphrase of the operating system",
        }
    }

    /// Which boots' signed policies open it, if a policy does.
    #[must_use]
    pub const fn read_by(self) -> Option<BootKind> {
        match self {
            Self::AdminPassword => Some(BootKind::Admin),
            Self::LayoutVersion | Self::PolicyVersion | Self::Proof => None,
            Self::Certificate | Self::PrivateKey | Self::SbsPassphrase | Self::OsPassphrase => {
                Some(BootKind::Production)
            }
        }
    }

    /// The attributes to define it with. Those of [`Self::PolicyVersion`] are
    /// exact, since its Name enters every policy; others may carry `NO_DA`.
    #[must_use]
    pub const fn attributes(self) -> u32 {
        use attribute::{AUTHREAD, NO_DA, OWNERREAD, OWNERWRITE, POLICYREAD, POLICYWRITE};
        const OWNER: u32 = OWNERWRITE | OWNERREAD;
        match self {
            Self::PolicyVersion => version::ATTRIBUTES,
            Self::LayoutVersion | Self::Proof => OWNER | AUTHREAD | NO_DA,
            Self::AdminPassword | Self::Certificate | Self::PrivateKey | Self::SbsPassphrase => {
                OWNER | POLICYREAD | NO_DA
            }
            Self::OsPassphrase => OWNER | POLICYREAD | POLICYWRITE | NO_DA,
        }
    }

    /// How many bytes it may hold.
    #[must_use]
    pub const fn sizes(self) -> RangeInclusive<u16> {
        match self {
            Self::PolicyVersion => 4..=4,
            // Of another layout, it may be longer.
            Self::LayoutVersion => 1..=64,
            // What a TPM takes for a password; what `provision` left before there were proofs.
            Self::AdminPassword => 1..=64,
            Self::Proof => 32..=64,
            Self::Certificate | Self::PrivateKey => 1..=MAX_SECRET as u16,
            Self::SbsPassphrase | Self::OsPassphrase => 1..=512,
        }
    }
}
