//! What a file with a private key holds (RFC 7468), and what it should not.

use crate::error::{Error, Kind, Result};
use der::{
    AnyRef, Decode, SliceReader,
    oid::{
        ObjectIdentifier,
        db::rfc5912::{ID_EC_PUBLIC_KEY, RSA_ENCRYPTION, SECP_256_R_1},
    },
};
use pem_rfc7468::LineEnding;
use zeroize::Zeroizing;

/// The label of PKCS#8 (RFC 7468, section 10).
pub const PKCS8: &str = "PRIVATE KEY";
/// The label of PKCS#1, as older OpenSSL writes it.
const PKCS1: &str = "RSA PRIVATE KEY";
/// The label of `ECPrivateKey` (RFC 5915, section 4).
const SEC1: &str = "EC PRIVATE KEY";
/// The label of a key that lies in a token, as OpenSSL's pkcs11-provider writes it.
pub const PROVIDER_URI: &str = "PKCS#11 PROVIDER URI";
/// The label of encrypted PKCS#8 (RFC 7468, section 11).
const ENCRYPTED: &str = "ENCRYPTED PRIVATE KEY";

const BEGIN: &[u8] = b"-----BEGIN ";
const END: &[u8] = b"-----END ";
const DASHES: &[u8] = b"-----";

/// What a file says of its private key.
pub enum Block {
    /// The key.
    Key(Encoded),
    /// Where it is, as pkcs11-provider says it.
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

impl Block {
    /// Finds the private key among other blocks: certificates, parameters of curves.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: none, or broken; [`Kind::Usage`]: encrypted, or of a format that is not for us.
    pub fn find(file: &[u8]) -> Result<Self> {
        let mut rest = file;
        let mut seen = None;
        while let Some((label, block, after)) = next_block(rest) {
            rest = after;
            match label {
                ENCRYPTED => return Err(encrypted()),
                PKCS8 | PKCS1 | SEC1 | PROVIDER_URI => return Self::decode(label, block),
                _ => seen = seen.or(Some(label)),
            }
        }
        match seen {
            Some(label) if label.ends_with(PKCS8) => {
                Err(Error::new(Kind::Usage, "read a private key", format!("its format is {label:?}"))
                    .remedy("write it as PKCS#8: openssl pkcs8 -topk8 -nocrypt -in FILE -out NEW"))
            }
            Some(label) => Err(corrupt(format!("it holds {label:?} and no private key"))),
            None => Err(corrupt("it holds no PEM".into())),
        }
    }

    fn decode(label: &str, block: &[u8]) -> Result<Self> {
        // RFC 1421's way to encrypt, with which OpenSSL wrote the old formats.
        if find(block, b"\nProc-Type:")
            .is_some_and(|at| find(block.get(at..).unwrap_or_default(), b"ENCRYPTED").is_some())
        {
            return Err(encrypted());
        }
        let (_, der) = pem_rfc7468::decode_vec(block).map_err(|e| corrupt(e.to_string()))?;
        let der = Zeroizing::new(der);
        let format = match label {
            PROVIDER_URI => return Ok(Self::Elsewhere(der)),
            PKCS1 => Format::Pkcs1,
            SEC1 => Format::Sec1,
            _ => Format::Pkcs8,
        };
        Ok(Self::Key(Encoded { format, der }))
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

    /// Why a library has refused this key, `why` being what it says.
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
            _ if self.is_ec() => corrupt(format!("it is no key on P-256 ({why})")),
            _ => corrupt(format!("it is no RSA key ({why})")),
        }
    }
}

/// A block of this label.
///
/// # Errors
/// [`Kind::System`] when it is too long.
pub fn encode(label: &'static str, der: &[u8]) -> Result<Zeroizing<String>> {
    pem_rfc7468::encode_string(label, LineEnding::LF, der)
        .map(Zeroizing::new)
        .map_err(|e| Error::new(Kind::System, "encode a private key", e.to_string()))
}

/// The label of the next block, the block, and what comes after it.
fn next_block(file: &[u8]) -> Option<(&str, &[u8], &[u8])> {
    let start = find(file, BEGIN)?;
    let block = file.get(start..)?;
    let label = block.get(BEGIN.len()..)?;
    let label = str::from_utf8(label.get(..find(label, DASHES)?)?).ok()?;
    // Without an end, the rest is the block: whoever decodes it says what is missing.
    let end = find(block, END).and_then(|at| Some(at + block.get(at..)?.iter().position(|byte| *byte == b'\n')? + 1));
    let (block, after) = block.split_at_checked(end.unwrap_or(block.len()))?;
    Some((label, block, after))
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
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

fn encrypted() -> Error {
    Error::new(Kind::Usage, "read a private key", "it is encrypted")
        .remedy("decrypt it into a private directory: openssl pkey -in FILE -out NEW")
}

fn unsupported(why: String) -> Error {
    Error::new(Kind::Usage, "read a private key", why).remedy("give an RSA key with 2048 bits or more, or EC P-256")
}

fn corrupt(why: String) -> Error {
    Error::new(Kind::Corrupt, "read a private key", why).remedy("give an RSA or EC P-256 key in PKCS#8")
}
