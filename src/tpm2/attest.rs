//! What a TPM certifies of its NV indices: the key that signs, `TPMS_ATTEST` of `TPM2_NV_Certify` (part 2, section 10.12; part 3,
//! section 31.16) and `TPMT_SIGNATURE` of ECDSA. Pure.

use super::{
    Name,
    constants::{alg, curve},
    name,
    public::attribute::{FIXED_PARENT, FIXED_TPM, NO_DA, RESTRICTED, SENSITIVE_DATA_ORIGIN, SIGN, USER_WITH_AUTH},
};
use crate::bytes::{Buffer, Reader, bounded};

/// `TPM_GENERATED_VALUE`: what a restricted key signs nothing with that comes from outside.
const GENERATED: u32 = 0xff54_4347;
/// `TPM_ST_ATTEST_NV`.
const ATTEST_NV: u16 = 0x8014;
/// Bytes of a coordinate of P-256.
const COORDINATE: usize = 32;
/// The attributes of an attestation key.
const ATTRIBUTES: u32 = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | NO_DA | RESTRICTED | SIGN;

/// `TPMT_PUBLIC` of an attestation key's template: ECDSA with P-256 and SHA-256, restricted to what the TPM itself says. Its
/// password is empty: whoever may make primary keys has the TPM say what it holds, and nothing else.
#[must_use]
pub fn template() -> Buffer<32> {
    bounded(|writer| start(writer).tpm2b(&[]).tpm2b(&[])).unwrap_or_default()
}

/// All that comes before the point.
fn start(writer: crate::bytes::Writer<'_>) -> crate::bytes::Writer<'_> {
    let writer = writer.be16(alg::ECC).be16(alg::SHA256).be32(ATTRIBUTES).tpm2b(&[]).be16(alg::NULL);
    writer.be16(alg::ECDSA).be16(alg::SHA256).be16(curve::NIST_P256).be16(alg::NULL)
}

/// The public half of an attestation key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AttestationKey {
    /// Its Name.
    pub name: Name,
    /// The point, uncompressed: 4, then both coordinates.
    pub point: [u8; 1 + 2 * COORDINATE],
}

impl AttestationKey {
    /// From a `TPMT_PUBLIC`; `None`: it is another kind of key, which may sign whatever it is given.
    #[must_use]
    pub fn parse(area: &[u8]) -> Option<Self> {
        let expected: Buffer<32> = bounded(start)?;
        let mut reader = Reader::new(area.strip_prefix(&expected[..])?);
        let (x, y) = (reader.tpm2b()?, reader.tpm2b()?);
        reader.is_empty().then_some(())?;
        let mut point = [4; 1 + 2 * COORDINATE];
        let (_, coordinates) = point.split_first_mut()?;
        let (left, right) = coordinates.split_at_mut(COORDINATE);
        padded(x, left)?;
        padded(y, right)?;
        Some(Self { name: name::of(area), point })
    }
}

/// A number with zeros in front.
fn padded(number: &[u8], whole: &mut [u8]) -> Option<()> {
    whole.fill(0);
    let at = whole.len().checked_sub(number.len())?;
    whole.get_mut(at..)?.copy_from_slice(number);
    Some(())
}

/// A signature by ECDSA with P-256 and SHA-256, from its `TPMT_SIGNATURE`: both numbers, padded.
#[must_use]
pub fn signature(marshalled: &[u8]) -> Option<[u8; 2 * COORDINATE]> {
    let mut reader = Reader::new(marshalled);
    (reader.be16()? == alg::ECDSA && reader.be16()? == alg::SHA256).then_some(())?;
    let (r, s) = (reader.tpm2b()?, reader.tpm2b()?);
    reader.is_empty().then_some(())?;
    let mut signature = [0; 2 * COORDINATE];
    let (left, right) = signature.split_at_mut(COORDINATE);
    padded(r, left)?;
    padded(s, right)?;
    Some(signature)
}

/// What a TPM says of its clock (`TPMS_CLOCK_INFO`). To keys of the owner's it tells the two counts with a number added that
/// is always the same for one key (part 1, section 36.7): they can be compared, and mean nothing by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockInfo {
    /// Milliseconds for which it was powered.
    pub clock: u64,
    /// How often it was started since it was cleared.
    pub resets: u32,
    /// How often it was resumed since.
    pub restarts: u32,
}

impl ClockInfo {
    /// Whether it was before another moment, of which the same key says so.
    #[must_use]
    pub fn is_before(&self, other: &Self) -> bool {
        // What is added may carry a count past the largest number.
        let later = |one: u32, two: u32| two.wrapping_sub(one).cast_signed();
        let (resets, restarts) = (later(self.resets, other.resets), later(self.restarts, other.restarts));
        resets > 0 || resets == 0 && (restarts > 0 || restarts == 0 && self.clock < other.clock)
    }
}

/// What a TPM says of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NvAttest<'a> {
    /// What whoever asked gave along.
    pub qualifying: &'a [u8],
    /// When.
    pub clock: ClockInfo,
    /// The index' Name.
    pub name: &'a [u8],
    /// Its content from its beginning on.
    pub content: &'a [u8],
}

impl<'a> NvAttest<'a> {
    /// From `TPMS_ATTEST`; `None`: it speaks of something else, or not of the beginning of an index.
    #[must_use]
    pub fn parse(attest: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(attest);
        (reader.be32()? == GENERATED && reader.be16()? == ATTEST_NV).then_some(())?;
        let (_signer, qualifying) = (reader.tpm2b()?, reader.tpm2b()?);
        let clock = reader.array().map(u64::from_be_bytes)?;
        let (resets, restarts) = (reader.be32()?, reader.be32()?);
        let _safe = reader.take(1)?;
        let _firmware = reader.take(8)?;
        let name = reader.tpm2b()?;
        let offset = reader.be16()?;
        let content = reader.tpm2b()?;
        let clock = ClockInfo { clock, resets, restarts };
        (offset == 0 && reader.is_empty()).then_some(Self { qualifying, clock, name, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_tpm_itself_says_is_taken() {
        let clock = [&9_u64.to_be_bytes()[..], &2_u32.to_be_bytes(), &1_u32.to_be_bytes(), &[1], &[0; 8]].concat();
        let start = [0xff, 0x54, 0x43, 0x47, 0x80, 0x14, 0, 1, 7, 0, 2, 5, 6];
        let whole = [&start[..], &clock, &[0, 1, 8, 0, 0, 0, 3, 1, 2, 3]].concat();
        let attest = NvAttest::parse(&whole).unwrap();
        assert_eq!((attest.qualifying, attest.name, attest.content), (&[5, 6][..], &[8][..], &[1, 2, 3][..]));
        assert_eq!(attest.clock, ClockInfo { clock: 9, resets: 2, restarts: 1 });
        for end in 0..whole.len() {
            assert_eq!(NvAttest::parse(&whole[..end]), None);
        }
        for at in [0, 5, whole.len() - 6] {
            let mut other = whole.clone();
            other[at] ^= 1;
            assert_eq!(NvAttest::parse(&other), None, "{at}");
        }
    }

    #[test]
    fn moments_are_in_order_whatever_is_added_to_their_counts() {
        let at = |resets, restarts, clock| ClockInfo { clock, resets, restarts };
        let (first, last) = (at(u32::MAX, 7, 900), at(0, u32::MAX, 5));
        for (one, two) in [(first, last), (at(3, u32::MAX, 9), at(3, 0, 1)), (at(3, 3, 1), at(3, 3, 2))] {
            assert!(one.is_before(&two) && !two.is_before(&one) && !one.is_before(&one));
        }
    }

    #[test]
    fn a_key_that_signs_anything_is_not_taken() {
        let key: Buffer<128> = bounded(|writer| start(writer).tpm2b(&[7; 32]).tpm2b(&[8; 31])).unwrap();
        let parsed = AttestationKey::parse(&key).unwrap();
        assert_eq!((parsed.point[0], parsed.point[32], parsed.point[33], parsed.point[34]), (4, 7, 0, 8));
        let mut unrestricted = key.to_vec();
        unrestricted[5] ^= 1;
        assert_eq!(AttestationKey::parse(&unrestricted), None);
        assert!(AttestationKey::parse(&template()).is_some(), "of the same form, before it is made");
    }
}
