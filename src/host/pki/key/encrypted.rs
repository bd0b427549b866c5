//! Encrypted PKCS#8 (RFC 5958, section 3) as OpenSSL writes it: PBES2 of PBKDF2 and AES in CBC mode (RFC 8018).

use crate::error::{Error, Kind, Result};
use aws_lc_rs::{
    cipher::{AES_128, AES_192, AES_256, Algorithm, DecryptionContext, PaddedBlockDecryptingKey, UnboundCipherKey},
    iv::FixedLength,
    pbkdf2::{self, PBKDF2_HMAC_SHA1, PBKDF2_HMAC_SHA256, PBKDF2_HMAC_SHA384, PBKDF2_HMAC_SHA512},
};
use der::{
    Decode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, ObjectIdentifier, OctetStringRef},
};
use spki::AlgorithmIdentifierRef;
use std::num::NonZeroU32;
use zeroize::Zeroizing;

/// RFC 8018, appendix A.4.
const PBES2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.13");
/// RFC 8018, appendix A.2.
const PBKDF2: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.5.12");
/// RFC 8018, appendix B.1: the hashes; the first is the default.
const HASHES: [(ObjectIdentifier, pbkdf2::Algorithm); 4] = [
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.7"), PBKDF2_HMAC_SHA1),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.9"), PBKDF2_HMAC_SHA256),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.10"), PBKDF2_HMAC_SHA384),
    (ObjectIdentifier::new_unwrap("1.2.840.113549.2.11"), PBKDF2_HMAC_SHA512),
];
/// NIST's algorithms, `aes` (2.16.840.1.101.3.4.1): the ciphers, and the bytes of their keys.
const CIPHERS: [(ObjectIdentifier, &Algorithm, usize); 3] = [
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.2"), &AES_128, 16),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.22"), &AES_192, 24),
    (ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.1.42"), &AES_256, 32),
];
/// Upper bound for iterations: covers OpenSSL's 2048 and a hundred times today's recommendation, and takes a few seconds.
const MAX_ITERATIONS: u32 = 20_000_000;

/// A parsed `EncryptedPrivateKeyInfo`.
pub struct Encrypted<'a> {
    hash: pbkdf2::Algorithm,
    salt: &'a [u8],
    iterations: NonZeroU32,
    cipher: &'static Algorithm,
    key_size: usize,
    iv: [u8; 16],
    contents: &'a [u8],
}

impl<'a> Encrypted<'a> {
    /// Reads it.
    ///
    /// # Errors
    /// [`Kind::Usage`]: it is malformed, or encrypted in an unsupported way.
    pub fn read(der: &'a [u8]) -> Result<Self> {
        let remedy = "write it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc -in FILE -out NEW";
        Self::parse(der).ok_or_else(|| {
            Error::new(Kind::Usage, "decrypt a private key", "it is encrypted in a way that is not known here")
                .remedy(remedy)
        })
    }

    fn parse(der: &'a [u8]) -> Option<Self> {
        let mut outer = fields(AnyRef::from_der(der).ok()?)?;
        let scheme = AlgorithmIdentifierRef::decode(&mut outer).ok()?;
        let contents = <&OctetStringRef>::decode(&mut outer).ok()?.as_bytes();
        let mut schemes = fields(scheme.parameters.filter(|_| scheme.oid == PBES2)?)?;
        let derivation = AlgorithmIdentifierRef::decode(&mut schemes).ok()?;
        let encryption = AlgorithmIdentifierRef::decode(&mut schemes).ok()?;

        let mut parameters = fields(derivation.parameters.filter(|_| derivation.oid == PBKDF2)?)?;
        let salt = <&OctetStringRef>::decode(&mut parameters).ok()?.as_bytes();
        let iterations = NonZeroU32::new(u32::decode(&mut parameters).ok()?).filter(|n| n.get() <= MAX_ITERATIONS)?;
        let (cipher, key_size) =
            CIPHERS.iter().find_map(|(oid, c, size)| (*oid == encryption.oid).then_some((c, *size)))?;
        let mut hash = HASHES.first()?.0;
        while !parameters.is_finished() {
            let field = AnyRef::decode(&mut parameters).ok()?;
            match field.tag() {
                // The length of the key, which the cipher determines.
                Tag::Integer if field.decode_as::<u32>().is_ok_and(|size| usize::try_from(size) == Ok(key_size)) => {}
                Tag::Sequence => hash = field.decode_as::<AlgorithmIdentifierRef<'_>>().ok()?.oid,
                _ => return None,
            }
        }
        let hash = HASHES.into_iter().find_map(|(oid, algorithm)| (oid == hash).then_some(algorithm))?;
        let iv = encryption.parameters?.decode_as::<&OctetStringRef>().ok()?.as_bytes().try_into().ok()?;
        Some(Self { hash, salt, iterations, cipher, key_size, iv, contents })
    }

    /// The PKCS#8 in it, if this is the passphrase: the result of another one is very unlikely to look like one.
    pub fn open(&self, passphrase: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let mut key = Zeroizing::new(vec![0; self.key_size]);
        pbkdf2::derive(self.hash, self.iterations, self.salt, passphrase, &mut key);
        let key = PaddedBlockDecryptingKey::cbc_pkcs7(UnboundCipherKey::new(self.cipher, &key).ok()?).ok()?;
        let mut contents = Zeroizing::new(self.contents.to_vec());
        let size = key.decrypt(&mut contents, DecryptionContext::Iv128(FixedLength::from(self.iv))).ok()?.len();
        contents.truncate(size);
        AnyRef::from_der(&contents).is_ok_and(|any| any.tag() == Tag::Sequence).then_some(contents)
    }
}

/// What is in a SEQUENCE.
fn fields(any: AnyRef<'_>) -> Option<SliceReader<'_>> {
    (any.tag() == Tag::Sequence).then(|| SliceReader::new(any.value()).ok()).flatten()
}
