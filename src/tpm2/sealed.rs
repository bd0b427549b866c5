//! Sealed data: the public area of a `KEYEDHASH` object without a scheme (part 2, section 12.2; part 1, section 25.6). Pure.

use super::{constants::alg, public::attribute};
use crate::bytes::{Reader, Writer};

/// What a TPM seals at most, in bytes (`MAX_SYM_DATA`).
pub const MAX_DATA: usize = 128;
/// Bytes of the largest digest.
const MAX_DIGEST: usize = 64;

/// The public area of sealed data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedPublic {
    /// `TPM_ALG_ID` of its Name, and of the sessions that its policy is asserted in.
    pub name_algorithm: u16,
    /// `TPMA_OBJECT`.
    pub attributes: u32,
    /// The policy; empty where there is none.
    pub policy: Vec<u8>,
    /// `TPM2B_DIGEST` of the TPM's that binds it to what is sealed; empty in a template.
    pub unique: Vec<u8>,
}

impl SealedPublic {
    /// A template: opened by the policy with this digest, or where there is none by its password alone; wrong passwords
    /// count as attacks where it has a PIN.
    #[must_use]
    pub fn template(policy: Option<&[u8; 32]>, pin: bool) -> Self {
        let by = if policy.is_some() { 0 } else { attribute::USER_WITH_AUTH };
        let attacks = if pin { 0 } else { attribute::NO_DA };
        Self {
            name_algorithm: alg::SHA256,
            attributes: attribute::FIXED_TPM | attribute::FIXED_PARENT | by | attacks,
            policy: policy.map(|policy| policy.to_vec()).unwrap_or_default(),
            unique: Vec::new(),
        }
    }

    /// From a `TPMT_PUBLIC`, if it is that of sealed data.
    #[must_use]
    pub fn parse(area: &[u8]) -> Option<Self> {
        let mut reader = Reader::new(area);
        let kind = reader.be16()?;
        let (name_algorithm, attributes) = (reader.be16()?, reader.be32()?);
        let (policy, scheme, unique) = (reader.tpm2b()?.to_vec(), reader.be16()?, reader.tpm2b()?.to_vec());
        let is_sealed = kind == alg::KEYEDHASH && scheme == alg::NULL && reader.is_empty();
        let is_bounded = policy.len() <= MAX_DIGEST && unique.len() <= MAX_DIGEST;
        (is_sealed && is_bounded).then_some(Self { name_algorithm, attributes, policy, unique })
    }

    /// As a `TPMT_PUBLIC`; `None` where a digest is larger than there are.
    #[must_use]
    pub fn area(&self) -> Option<Vec<u8>> {
        let mut area = vec![0; 14 + self.policy.len() + self.unique.len()];
        let writer = Writer::new(&mut area).be16(alg::KEYEDHASH).be16(self.name_algorithm).be32(self.attributes);
        let size = writer.tpm2b(&self.policy).be16(alg::NULL).tpm2b(&self.unique).finish()?;
        area.truncate(size);
        Some(area)
    }

    /// Whether its password alone opens it.
    #[must_use]
    pub const fn opens_by_password(&self) -> bool {
        self.attributes & attribute::USER_WITH_AUTH != 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_read_as_they_are_written() {
        for public in [SealedPublic::template(None, true), SealedPublic::template(Some(&[7; 32]), false)] {
            let area = public.area().unwrap();
            assert_eq!(SealedPublic::parse(&area), Some(public));
            assert_eq!(SealedPublic::parse(&[&area[..], &[0]].concat()), None);
            for end in 0..area.len() {
                assert_eq!(SealedPublic::parse(&area[..end]), None);
            }
        }
    }
}
