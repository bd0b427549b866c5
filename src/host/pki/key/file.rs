//! Files with private keys, in PEM or DER.

use crate::{
    error::{Error, Kind, Result},
    pem,
};
use der::{
    AnyRef, Decode, SliceReader, Tag, Tagged,
    oid::{
        ObjectIdentifier,
        db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1},
    },
};
use zeroize::Zeroizing;

/// The label of PKCS#8 (RFC 7468, section 10).
pub const PKCS8: &str = "PRIVATE KEY";
/// The label of PKCS#1, as older OpenSSL writes it.
const PKCS1: &str = "RSA PRIVATE KEY";
/// The label of `ECPrivateKey` (RFC 5915, section 4).
const SEC1: &str = "EC PRIVATE KEY";
/// The label of a key in a token, as OpenSSL's pkcs11-provider writes it.
pub const PROVIDER_URI: &str = "PKCS#11 PROVIDER URI";
/// The label of encrypted PKCS#8 (RFC 7468, section 11).
pub const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

/// The private key of a file.
pub enum Found {
    /// The key.
    Key(Encoded),
    /// PKCS#8 encrypted with a passphrase (RFC 5958, section 3).
    Encrypted(Zeroizing<Vec<u8>>),
    /// Its URI in the form of pkcs11-provider.
    Elsewhere(Zeroizing<Vec<u8>>),
}

/// A private key in DER.
pub struct Encoded {
    pub format: Format,
    pub der: Zeroizing<Vec<u8>>,
}

/// How it is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `PrivateKeyInfo` (RFC 5958).
    Pkcs8,
    /// `RSAPrivateKey` (RFC 8017, appendix A.1.2).
    Pkcs1,
    /// `ECPrivateKey` (RFC 5915).
    Sec1,
}

impl Found {
    /// Finds the private key among other blocks: certificates, parameters of curves.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: none, or malformed; [`Kind::Usage`]: encrypted as in RFC 1421, or in an unsupported format.
    pub fn in_file(file: &[u8]) -> Result<Self> {
        let mut seen = None;
        for block in pem::blocks(file) {
            let format = match block.label {
                PKCS8 => Some(Format::Pkcs8),
                PKCS1 => Some(Format::Pkcs1),
                SEC1 => Some(Format::Sec1),
                ENCRYPTED | PROVIDER_URI => None,
                other => {
                    seen = seen.or(Some(other));
                    continue;
                }
            };
            // Old formats of OpenSSL.
            if block.encrypted {
                return Err(Error::new(Kind::Usage, "read a private key", "it is encrypted in an obsolete way")
                    .remedy(
                        "write it as PKCS#8, which may have a passphrase, too: openssl pkcs8 -topk8 -in FILE -out NEW",
                    ));
            }
            let der = block.der.ok_or_else(|| corrupt(format!("its {:?} is not base64", block.label)))?;
            return Ok(match format {
                Some(format) => Self::Key(Encoded { format, der }),
                None if block.label == ENCRYPTED => Self::Encrypted(der),
                None => Self::Elsewhere(der),
            });
        }
        match seen {
            Some(label) if label.ends_with(PKCS8) => {
                Err(Error::new(Kind::Usage, "read a private key", format!("its format is {label:?}"))
                    .remedy("write a copy of it as PKCS#8: ssh-keygen -p -m PKCS8 -f COPY"))
            }
            Some(label) => Err(corrupt(format!("it holds {label:?} and no private key"))),
            None => Self::of_der(file).ok_or_else(|| corrupt("it holds neither PEM nor a key in DER".into())),
        }
    }

    /// Tells the formats apart by their first two fields.
    fn of_der(der: &[u8]) -> Option<Self> {
        let outer = AnyRef::from_der(der).ok().filter(|any| any.tag() == Tag::Sequence)?;
        let mut fields = SliceReader::new(outer.value()).ok()?;
        let (first, second) = (AnyRef::decode(&mut fields).ok()?, AnyRef::decode(&mut fields).ok()?);
        let der = Zeroizing::new(der.to_vec());
        let format = match (first.tag(), second.tag()) {
            (Tag::Integer, Tag::Sequence) => Format::Pkcs8,
            (Tag::Integer, Tag::Integer) => Format::Pkcs1,
            (Tag::Integer, Tag::OctetString) => Format::Sec1,
            (Tag::Sequence, Tag::OctetString) => return Some(Self::Encrypted(der)),
            _ => return None,
        };
        Some(Self::Key(Encoded { format, der }))
    }
}

impl Encoded {
    /// Whether it claims to be a key on an elliptic curve.
    pub fn is_ec(&self) -> bool {
        match self.format {
            Format::Pkcs8 => algorithm(&self.der).is_some_and(|(oid, _)| oid == ID_EC_PUBLIC_KEY),
            Format::Pkcs1 => false,
            Format::Sec1 => true,
        }
    }

    /// The error that a library has refused this key; `why` is its message.
    pub fn refused(&self, why: &str) -> Error {
        let algorithm = if self.format == Format::Pkcs8 { algorithm(&self.der) } else { None };
        match algorithm {
            Some((oid, _)) if oid != RSA_ENCRYPTION && oid != ID_EC_PUBLIC_KEY => {
                unsupported(format!("its algorithm is {oid} and neither RSA nor EC"))
            }
            Some((_, Some(curve))) if curve != SECP_256_R_1 => {
                unsupported(format!("its curve is {curve} and not P-256"))
            }
            _ if why == "TooSmall" => unsupported("it is RSA with less than 2048 bits".into()),
            _ if self.is_ec() => corrupt(format!("it is not a key on P-256 ({why})")),
            _ => corrupt(format!("it is not an RSA key ({why})")),
        }
    }
}

/// The algorithm of PKCS#8 and, where it has one, the curve.
fn algorithm(pkcs8: &[u8]) -> Option<(ObjectIdentifier, Option<ObjectIdentifier>)> {
    let mut reader = SliceReader::new(pkcs8).ok()?;
    let fields = AnyRef::decode(&mut reader).ok()?;
    let mut fields = SliceReader::new(fields.value()).ok()?;
    let _version = u8::decode(&mut fields).ok()?;
    let algorithm = spki::AlgorithmIdentifierRef::decode(&mut fields).ok()?;
    let curve = algorithm.parameters.and_then(|any| any.decode_as().ok());
    Some((algorithm.oid, curve))
}

fn unsupported(why: String) -> Error {
    Error::new(Kind::Usage, "read a private key", why).remedy("give an RSA key with 2048 bits or more, or EC P-256")
}

fn corrupt(why: String) -> Error {
    Error::new(Kind::Corrupt, "read a private key", why).remedy("give an RSA or EC P-256 key in PKCS#8")
}
