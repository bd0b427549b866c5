//! What an object is, whoever made it: as much of its public area as people want to know (part 2, section 12.2.4). Pure.

use super::{
    constants::{alg, curve},
    public::attribute,
};
use crate::bytes::Reader;

/// The policy of endorsement keys (TCG EK Credential Profile, annex B): PolicySecret of the endorsement hierarchy, SHA-256.
const EK_POLICY: [u8; 32] = [
    0x83, 0x71, 0x97, 0x67, 0x44, 0x84, 0xb3, 0xf8, 0x1a, 0x90, 0xcc, 0x8d, 0x46, 0xa5, 0xd7, 0x24, 0xfd, 0x52, 0xd7,
    0x6e, 0x06, 0x52, 0x0b, 0x64, 0xf2, 0xa1, 0xda, 0x1b, 0x33, 0x14, 0x69, 0xaa,
];

/// An object's public area, in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectSummary<'a> {
    /// `TPM_ALG_ID` of its kind.
    kind: u16,
    /// Bits of an RSA key, `TPM_ECC_CURVE` of a point, 0 of others.
    size: u16,
    /// `TPMA_OBJECT`.
    attributes: u32,
    policy: &'a [u8],
}

impl<'a> ObjectSummary<'a> {
    /// That of a `TPMT_PUBLIC`.
    #[must_use]
    pub fn parse(area: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(area);
        let (kind, _name_algorithm) = (reader.be16()?, reader.be16()?);
        let (attributes, policy) = (reader.be32()?, reader.tpm2b()?);
        let size = match kind {
            alg::RSA | alg::ECC => {
                skip_symmetric(&mut reader)?;
                skip_scheme(&mut reader)?;
                reader.be16()?
            }
            _ => 0,
        };
        Some(Self { kind, size, attributes, policy })
    }

    /// Its algorithm: `ECC P-256`, `RSA 2048`.
    #[must_use]
    pub fn algorithm(&self) -> String {
        match (self.kind, self.size) {
            (alg::RSA, bits) => format!("RSA {bits}"),
            (alg::ECC, curve::NIST_P256) => "ECC P-256".into(),
            (alg::ECC, curve::NIST_P384) => "ECC P-384".into(),
            (alg::ECC, curve::NIST_P521) => "ECC P-521".into(),
            (alg::ECC, other) => format!("ECC curve {other:#06x}"),
            (alg::KEYEDHASH, _) => "keyed hash".into(),
            (alg::SYMCIPHER, _) => "symmetric".into(),
            (other, _) => format!("algorithm {other:#06x}"),
        }
    }

    /// What it is for, by its attributes; a storage key of the endorsement hierarchy with the TCG's policy is an endorsement
    /// key, one of the owner's without any policy a storage root key, if it is a primary key of theirs.
    #[must_use]
    pub fn role(&self, primary_of: Option<Hierarchy>) -> &'static str {
        let has = |bits| self.attributes & bits == bits;
        let is_key = matches!(self.kind, alg::RSA | alg::ECC);
        match () {
            () if has(attribute::RESTRICTED | attribute::DECRYPT) => match primary_of {
                Some(Hierarchy::Endorsement) if self.policy == EK_POLICY || !has(attribute::USER_WITH_AUTH) => {
                    "endorsement key (EK)"
                }
                Some(Hierarchy::Owner) if is_key && self.policy.is_empty() => "storage root key (SRK)",
                Some(_) => "primary storage key",
                None => "storage key",
            },
            () if has(attribute::RESTRICTED | attribute::SIGN) => "attestation key",
            () if has(attribute::SIGN | attribute::DECRYPT) => "key that signs and decrypts",
            () if has(attribute::SIGN) => "signing key",
            () if has(attribute::DECRYPT) => "decryption key",
            () if self.kind == alg::KEYEDHASH => "sealed data",
            () => "object",
        }
    }
}

/// Which hierarchy's primary key an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hierarchy {
    /// The owner's, of storage.
    Owner,
    /// The endorsement hierarchy.
    Endorsement,
    /// The firmware's.
    Platform,
}

/// `TPMT_SYM_DEF_OBJECT`.
fn skip_symmetric(reader: &mut Reader<'_>) -> Option<()> {
    if reader.be16()? != alg::NULL {
        let _bits_and_mode = (reader.be16()?, reader.be16()?);
    }
    Some(())
}

/// `TPMT_ASYM_SCHEME`: RSAES has no hash, ECDAA a count besides.
fn skip_scheme(reader: &mut Reader<'_>) -> Option<()> {
    const RSAES: u16 = 0x0015;
    const ECDAA: u16 = 0x001a;
    match reader.be16()? {
        alg::NULL | RSAES => {}
        ECDAA => drop((reader.be16()?, reader.be16()?)),
        _ => drop(reader.be16()?),
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tpm2::Public;

    #[test]
    fn the_storage_root_key_is_known_by_its_template() {
        let area = Public::STORAGE_ROOT_KEY.area().unwrap();
        let summary = ObjectSummary::parse(&area).unwrap();
        assert_eq!(summary.algorithm(), "ECC P-256");
        assert_eq!(summary.role(Some(Hierarchy::Owner)), "storage root key (SRK)");
        assert_eq!(summary.role(Some(Hierarchy::Platform)), "primary storage key");
        assert_eq!(summary.role(None), "storage key");
    }

    #[test]
    fn endorsement_and_attestation_keys_are_told_apart() {
        // An RSA endorsement key of the TCG's default template.
        let mut ek = vec![0, 1, 0, 11, 0, 3, 0, 0xb2, 0, 32];
        ek.extend(EK_POLICY);
        ek.extend([0, 6, 0, 128, 0, 0x43, 0, 0x10, 8, 0, 0, 0, 0, 0, 0, 0]);
        let summary = ObjectSummary::parse(&ek).unwrap();
        assert_eq!(
            (summary.algorithm().as_str(), summary.role(Some(Hierarchy::Endorsement))),
            ("RSA 2048", "endorsement key (EK)")
        );
        // An ECC attestation key with ECDSA and SHA-256.
        let ak = [0, 0x23, 0, 11, 0, 5, 0, 0x72, 0, 0, 0, 0x10, 0, 0x18, 0, 11, 0, 4];
        let summary = ObjectSummary::parse(&ak).unwrap();
        assert_eq!((summary.algorithm().as_str(), summary.role(None)), ("ECC P-384", "attestation key"));
        for end in 0..ak.len() {
            assert_eq!(ObjectSummary::parse(&ak[..end]), None, "{end}");
        }
    }
}
