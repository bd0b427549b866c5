//! What a value of PCR 7 stands for: a kind of boots, or the running system after the lock. Pure.

use super::{
    assertion::Policy,
    boot_kind::{BootKind, SignedPolicy},
    version::Version,
};
use crate::{digest::Digest, error::Result};

/// What the key_type of an info.json says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EntryKind {
    /// What the firmware measures into PCR 7 in such boots.
    Boot(BootKind),
    /// What a production boot leaves in PCR 7 with its lock: the running system, which reads nothing of a boot's, and has
    /// a policy of its own.
    System,
}

/// The policyRef of what is signed for the running system: it opens nothing of a boot's, whose policyRef is empty, and
/// the other way round.
pub const SYSTEM_REF: &[u8; 6] = b"system";

impl EntryKind {
    /// As info.json and messages spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Boot(kind) => kind.as_str(),
            Self::System => "system",
        }
    }

    /// The one that info.json spells so.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        if name == Self::System.as_str() { Some(Self::System) } else { BootKind::named(name).map(Self::Boot) }
    }

    /// Where the policy is that is signed for it.
    ///
    /// # Errors
    /// As [`BootKind::signed_policy`].
    pub fn signed_policy(self) -> Result<SignedPolicy> {
        match self {
            Self::Boot(kind) => kind.signed_policy(),
            // The key is that of the machine's secrets.
            Self::System => Ok(SignedPolicy {
                signature: "tpm_system.policy.signed",
                policy_ref: SYSTEM_REF,
                ..BootKind::Production.signed_policy()?
            }),
        }
    }

    /// That policy, for this PCR 7 and this policy version.
    ///
    /// # Errors
    /// As [`BootKind::policy`].
    pub fn policy(self, pcr7: &Digest, version: Version) -> Result<Policy> {
        self.as_boot().policy(pcr7, version)
    }

    /// Whether the policy asks for the TPM's policy version.
    #[must_use]
    pub const fn asks_for_the_version(self) -> bool {
        self.as_boot().asks_for_the_version()
    }

    /// The kind of boots whose policy has the same terms.
    const fn as_boot(self) -> BootKind {
        match self {
            Self::Boot(kind) => kind,
            Self::System => BootKind::Production,
        }
    }
}

impl From<BootKind> for EntryKind {
    fn from(kind: BootKind) -> Self {
        Self::Boot(kind)
    }
}
