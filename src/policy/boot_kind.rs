//! The kinds of boots: the one table of what each is called and what is signed for it. Pure.

use super::{
    assertion::{Assertion, Policy},
    version::{self, Version},
};
use crate::{
    digest::Digest,
    error::{Error, Kind, Result},
};

/// What a boot may do, by the key that its image was signed with: each kind measures a PCR 7 of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "host", derive(clap::ValueEnum))]
pub enum BootKind {
    /// May read the machine's secrets: what machines run, and their installers
    Production,
    /// May read nothing: provisioning, diagnostics
    Limited,
    /// May read the TPM admin password
    #[cfg_attr(feature = "host", value(name = "tpm"))]
    Admin,
}

/// A policy that is signed for a kind of boots, and where it is found in `pcr7data`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedPolicy {
    /// The file of the signature, beside info.json.
    pub signature: &'static str,
    /// What the file of the public key begins with, in `pubkeys`; the keyset's name follows.
    pub public_key: &'static str,
    /// What the signature is for, beside the policy.
    pub policy_ref: &'static [u8],
}

impl SignedPolicy {
    /// The file of a keyset's public key, in `pubkeys`.
    #[must_use]
    pub fn key_of(&self, keyset: &str) -> String {
        format!("{}-{keyset}.pem", self.public_key)
    }
}

impl BootKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Production, Self::Limited, Self::Admin];

    /// As info.json and messages spell it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Production => "production",
            Self::Limited => "limited",
            Self::Admin => "tpm",
        }
    }

    /// The one that info.json spells so; the Go tool has two spellings of the last.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        let name = if name == "password" { Self::Admin.as_str() } else { name };
        Self::ALL.into_iter().find(|kind| kind.as_str() == name)
    }

    /// Whether they read anything that is secret.
    #[must_use]
    pub const fn reads_secrets(self) -> bool {
        match self {
            Self::Production | Self::Admin => true,
            Self::Limited => false,
        }
    }

    /// Where the policy is that such boots read with.
    ///
    /// # Errors
    /// [`Kind::Refused`]: they read nothing.
    pub fn signed_policy(self) -> Result<SignedPolicy> {
        let signed = |signature, public_key| Ok(SignedPolicy { signature, public_key, policy_ref: &[] });
        match self {
            Self::Production => signed("tpm_luks.policy.signed", "luks"),
            Self::Admin => signed("tpm_passwd.policy.signed", "tpmpass"),
            Self::Limited => Err(Error::new(Kind::Refused, "find a signed policy", "limited boots read nothing")),
        }
    }

    /// That policy, for boots with this PCR 7; `version` is what the TPM's policy version must be, where it asks for that.
    ///
    /// # Errors
    /// As [`Self::signed_policy`].
    pub fn policy(self, pcr7: &Digest, version: Version) -> Result<Policy> {
        self.signed_policy()?;
        let asked = self.asks_for_the_version().then(|| Assertion::nv(version::index(), version.into()));
        Ok(Policy::of([Assertion::pcr7(pcr7)].into_iter().chain(asked)))
    }

    /// Whether the policy asks for the TPM's policy version.
    #[must_use]
    pub const fn asks_for_the_version(self) -> bool {
        matches!(self, Self::Production)
    }
}
