//! The banks of a TPM's PCRs, and PCRs in any of them.

use crate::tpm2::bank;
use aws_lc_rs::digest::{self, Algorithm, Context};

/// One of a TPM's banks of PCRs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Bank {
    /// SHA-1, on TPMs that still have it.
    Sha1,
    /// SHA-256, the usual one.
    Sha256,
    /// SHA-384.
    Sha384,
    /// SHA-512.
    Sha512,
}

impl Bank {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// Its `TPM_ALG_ID`.
    #[must_use]
    pub const fn id(self) -> u16 {
        match self {
            Self::Sha1 => 0x0004,
            Self::Sha256 => 0x000b,
            Self::Sha384 => 0x000c,
            Self::Sha512 => 0x000d,
        }
    }

    /// That of this `TPM_ALG_ID`.
    #[must_use]
    pub fn by_id(id: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|bank| bank.id() == id)
    }

    /// As TPM software spells it.
    #[must_use]
    pub fn name(self) -> &'static str {
        bank::by_id(self.id()).map_or("", |bank| bank.name)
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn hash(self, bytes: &[u8]) -> Vec<u8> {
        digest::digest(self.algorithm(), bytes).as_ref().to_vec()
    }

    /// Begins a digest of its algorithm.
    #[must_use]
    pub fn begin(self) -> Context {
        Context::new(self.algorithm())
    }

    fn algorithm(self) -> &'static Algorithm {
        match self {
            Self::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            Self::Sha256 => &digest::SHA256,
            Self::Sha384 => &digest::SHA384,
            Self::Sha512 => &digest::SHA512,
        }
    }
}

/// A PCR of a bank, from its reset on. The program for the initrd knows the sha256 bank alone: see [`super::pcr`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pcr {
    bank: Bank,
    value: Vec<u8>,
}

impl Pcr {
    /// A PCR of zeros.
    #[must_use]
    pub fn new(bank: Bank) -> Self {
        Self { bank, value: vec![0; bank.algorithm().output_len()] }
    }

    /// PCR 0 as it is once the TPM has been started from this locality (TPM 2.0 Library part 3, section 9.3.1).
    #[must_use]
    pub fn started_from(bank: Bank, locality: u8) -> Self {
        let mut pcr = Self::new(bank);
        pcr.value.iter_mut().next_back().into_iter().for_each(|last| *last = locality);
        pcr
    }

    /// A PCR that has this value.
    #[must_use]
    pub fn at(bank: Bank, value: &[u8]) -> Self {
        Self { bank, value: value.to_vec() }
    }

    /// Its value, as long as the bank's digest.
    #[must_use]
    pub fn value(&self) -> &[u8] {
        &self.value
    }

    /// Extends it with the digest of `bytes`.
    pub fn measure(&mut self, bytes: &[u8]) {
        self.extend(digest::digest(self.bank.algorithm(), bytes).as_ref());
    }

    /// Extends it with a digest.
    pub fn extend(&mut self, digest: &[u8]) {
        let mut context = self.bank.begin();
        context.update(&self.value);
        context.update(digest);
        self.value = context.finish().as_ref().to_vec();
    }
}
