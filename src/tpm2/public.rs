//! Public areas of objects: `TPMT_PUBLIC` (part 2, section 12.2.4).

use super::constants::{alg, curve};
use crate::bytes::{Buffer, Reader, Writer, bounded};

/// Bytes of the largest `TPMT_PUBLIC` that is written here: an RSA key of 4096 bits, with a policy.
pub const MAX_AREA: usize = 24 + 64 + 512;

/// `TPMA_OBJECT` bits (part 2, section 8.3).
pub mod attribute {
    pub const FIXED_TPM: u32 = 1 << 1;
    pub const FIXED_PARENT: u32 = 1 << 4;
    pub const SENSITIVE_DATA_ORIGIN: u32 = 1 << 5;
    pub const USER_WITH_AUTH: u32 = 1 << 6;
    pub const NO_DA: u32 = 1 << 10;
    pub const RESTRICTED: u32 = 1 << 16;
    pub const DECRYPT: u32 = 1 << 17;
    pub const SIGN: u32 = 1 << 18;
}

/// A public area with SHA-256 as its name algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Public<'a> {
    /// `TPMA_OBJECT`.
    pub attributes: u32,
    /// The policy; empty where there is none.
    pub policy: &'a [u8],
    /// What the key encrypts its children with, if it is a storage key: AES-128-CFB.
    pub encrypts_children: bool,
    /// The key itself.
    pub key: AsymmetricKey<'a>,
}

/// A public key; its scheme is left to its user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AsymmetricKey<'a> {
    /// RSA.
    Rsa {
        /// Big endian, without leading zeros.
        modulus: &'a [u8],
        /// 0 stands for 65537.
        exponent: u32,
    },
    /// An RSA key that is yet to be made.
    #[cfg(feature = "host")]
    NewRsa {
        /// Size of the modulus in bits.
        bits: u16,
        /// Zeros in place of the modulus: a primary key depends on their number.
        zeros: usize,
    },
    /// A point of a curve; both coordinates are empty in a template.
    Ecc {
        /// `TPM_ECC_CURVE`.
        curve: u16,
        /// As the TPM gives it, perhaps without leading zeros.
        x: &'a [u8],
        /// As `x`.
        y: &'a [u8],
    },
}

impl<'a> Public<'a> {
    /// The storage root key's template (TCG TPM v2.0 Provisioning Guidance, section 7.5.1): ECC P-256.
    pub const STORAGE_ROOT_KEY: Public<'static> = Public {
        attributes: attribute::FIXED_TPM
            | attribute::FIXED_PARENT
            | attribute::SENSITIVE_DATA_ORIGIN
            | attribute::USER_WITH_AUTH
            | attribute::NO_DA
            | attribute::RESTRICTED
            | attribute::DECRYPT,
        policy: &[],
        encrypts_children: true,
        key: AsymmetricKey::Ecc { curve: curve::NIST_P256, x: &[], y: &[] },
    };

    /// As the TPM marshals it; `None` when it is larger than such areas are.
    #[must_use]
    pub fn area(&self) -> Option<Buffer<MAX_AREA>> {
        bounded(|writer| self.write(writer))
    }

    fn write<'w>(&self, writer: Writer<'w>) -> Writer<'w> {
        let algorithm = match self.key {
            AsymmetricKey::Rsa { .. } => alg::RSA,
            #[cfg(feature = "host")]
            AsymmetricKey::NewRsa { .. } => alg::RSA,
            AsymmetricKey::Ecc { .. } => alg::ECC,
        };
        let writer = writer.be16(algorithm).be16(alg::SHA256).be32(self.attributes).tpm2b(self.policy);
        let writer = if self.encrypts_children {
            writer.be16(alg::AES).be16(128).be16(alg::CFB)
        } else {
            writer.be16(alg::NULL)
        };
        // Any scheme.
        let writer = writer.be16(alg::NULL);
        match self.key {
            AsymmetricKey::Rsa { modulus, exponent } => {
                let bits = u16::try_from(modulus.len() * 8).unwrap_or_default();
                writer.be16(bits).be32(exponent).tpm2b(modulus)
            }
            #[cfg(feature = "host")]
            AsymmetricKey::NewRsa { bits, zeros } => {
                let zeros = [0; 512].get(..zeros).map(<[u8]>::to_vec);
                writer.be16(bits).be32(0).tpm2b(&zeros.unwrap_or_default())
            }
            // Any KDF.
            AsymmetricKey::Ecc { curve, x, y } => writer.be16(curve).be16(alg::NULL).tpm2b(x).tpm2b(y),
        }
    }

    /// An elliptic-curve storage key from its marshalled form; nothing else is asked for yet.
    #[must_use]
    pub fn parse_storage_key(area: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(area);
        let algorithms = [reader.be16()?, reader.be16()?];
        let (attributes, policy) = (reader.be32()?, reader.tpm2b()?);
        let symmetric = [reader.be16()?, reader.be16()?, reader.be16()?];
        let (_scheme, curve, _kdf) = (reader.be16()?, reader.be16()?, reader.be16()?);
        let key = AsymmetricKey::Ecc { curve, x: reader.tpm2b()?, y: reader.tpm2b()? };
        let fits = algorithms == [alg::ECC, alg::SHA256] && symmetric == [alg::AES, 128, alg::CFB] && reader.is_empty();
        fits.then_some(Self { attributes, policy, encrypts_children: true, key })
    }
}
