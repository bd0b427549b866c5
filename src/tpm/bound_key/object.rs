//! An identity's key in the TPM's own terms: `TPMT_PUBLIC` and `TPMT_SENSITIVE` (part 2, sections 12.2 and 12.3). Pure.

use crate::{
    bytes::Writer,
    error::{Error, Kind, Result},
    identity::{self, Identity},
    private_key::{self, KeyNumbers},
    tpm2::{
        Name, Public,
        constants::{alg, curve},
        name,
        public::{AsymmetricKey, attribute},
    },
};
use der::{Decode, asn1::ObjectIdentifier};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

/// userWithAuth, noDA, sign. The TPM takes no fixedTPM or fixedParent for what was made elsewhere; duplication is
/// ruled out all the same, since only a policy can allow it, and the object has none. No decrypt: TLS with an
/// ephemeral key exchange, and all of TLS 1.3, only signs, and a raw private operation would be good for more.
const ATTRIBUTES: u32 = attribute::USER_WITH_AUTH | attribute::NO_DA | attribute::SIGN;

/// A curve: its identifier, as the TPM has it, bytes of a coordinate, what people call it.
type Curve = (ObjectIdentifier, u16, usize, &'static str);
const CURVES: [Curve; 3] = [
    (ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7"), curve::NIST_P256, 32, "P-256"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.34"), curve::NIST_P384, 48, "P-384"),
    (ObjectIdentifier::new_unwrap("1.3.132.0.35"), curve::NIST_P521, 66, "P-521"),
];

/// A key pair that signs, with any scheme and hash.
pub struct Object {
    /// `TPMT_PUBLIC`.
    pub public: Vec<u8>,
    /// `TPMT_SENSITIVE`.
    pub sensitive: Zeroizing<Vec<u8>>,
    /// What it is, for people.
    pub kind: String,
}

impl Object {
    /// The key of `identity`, with the public half that is certified.
    pub fn of(identity: &Identity) -> Result<Self> {
        let unfit = |why: &'static str| {
            Error::new(Kind::Usage, super::WHAT, why)
                .remedy("clear the TPM, and provision and install the machine anew with a key that TPMs take: RSA 2048 or P-256")
        };
        let block = private_key::only(identity.key().expose()).map_err(unfit)?;
        let key = KeyNumbers::of_block(&block).ok_or_else(|| unfit("it is malformed"))?;
        match (&key, identity.public()) {
            (KeyNumbers::Rsa(key), identity::CertifiedKey::Rsa { modulus, exponent }) => {
                if *exponent != [1, 0, 1] {
                    return Err(unfit("its public exponent is not 65537"));
                }
                let prime = key.prime1.as_bytes();
                Self::rsa(modulus, prime).ok_or_else(|| unfit("its two primes are not of the same size"))
            }
            (KeyNumbers::Ec { scalar, .. }, identity::CertifiedKey::Other(algorithm, Some(point))) => {
                let curve = curve(algorithm).ok_or_else(|| unfit("TPMs do not know its curve"))?;
                Self::ecc(curve, scalar, point).ok_or_else(|| unfit("its public point is compressed, or malformed"))
            }
            _ => Err(unfit("it is neither RSA nor of an elliptic curve that TPMs know")),
        }
    }

    fn rsa(modulus: &[u8], prime: &[u8]) -> Option<Self> {
        let full = modulus.first()? & prime.first()? & 0x80 != 0;
        (full && prime.len() * 2 == modulus.len()).then_some(())?;
        let bits = u16::try_from(modulus.len() * 8).ok()?;
        // The usual exponent.
        let public = area(AsymmetricKey::Rsa { modulus, exponent: 0 })?;
        Some(Self { public, sensitive: sensitive(alg::RSA, &[], prime)?, kind: format!("RSA {bits}") })
    }

    fn ecc((_, curve, size, name): Curve, scalar: &[u8], point: &[u8]) -> Option<Self> {
        let (4, coordinates) = point.split_first()? else { return None };
        let (x, y) = coordinates.split_at_checked(size)?;
        (y.len() == size).then_some(())?;
        let public = area(AsymmetricKey::Ecc { curve, x, y })?;
        // Some programs write the scalar without its leading zeros.
        let zeros = vec![0; size.checked_sub(scalar.len())?];
        Some(Self { public, sensitive: sensitive(alg::ECC, &zeros, scalar)?, kind: name.into() })
    }

    /// The Name that the TPM gives it (part 1, section 16).
    pub fn name(&self) -> Name {
        name::of(&self.public)
    }
}

fn curve(algorithm: &[u8]) -> Option<Curve> {
    let parameters = AlgorithmIdentifierRef::from_der(algorithm).ok()?.parameters_oid().ok()?;
    CURVES.into_iter().find(|(curve, ..)| *curve == parameters)
}

/// `TPMT_PUBLIC` of such a key: no policy, any scheme.
fn area(key: AsymmetricKey<'_>) -> Option<Vec<u8>> {
    let public = Public { attributes: ATTRIBUTES, policy: &[], encrypts_children: false, key };
    public.area().map(|area| area.to_vec())
}

/// `TPMT_SENSITIVE`: no password, no seed, then the number.
fn sensitive(algorithm: u16, zeros: &[u8], number: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let size = u16::try_from(zeros.len() + number.len()).ok()?;
    let mut area = Zeroizing::new(vec![0; 8 + usize::from(size)]);
    let writer = Writer::new(&mut area).be16(algorithm).tpm2b(&[]).tpm2b(&[]);
    writer.be16(size).bytes(zeros).bytes(number).finish()?;
    Some(area)
}
