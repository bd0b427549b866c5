//! Keys in our own memory, with AWS-LC, which wipes what it frees.

use super::{
    Hash, KeyType, PublicKey,
    file::{Encoded, Format, PKCS8},
};
use crate::{
    error::{Error, Kind, Result},
    pem,
};
use aws_lc_rs::{
    encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der},
    rand::SystemRandom,
    rsa::{KeyPair, KeySize},
    signature::{
        ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RsaEncoding,
    },
};
use zeroize::Zeroizing;

/// A key of one of the two families.
pub enum Software {
    Rsa(KeyPair),
    Ec(EcdsaKeyPair),
}

impl Software {
    pub fn generate(kind: KeyType) -> Result<Self> {
        let made = match kind {
            KeyType::Rsa2048 => KeyPair::generate(KeySize::Rsa2048).map(Self::Rsa),
            KeyType::Rsa3072 => KeyPair::generate(KeySize::Rsa3072).map(Self::Rsa),
            KeyType::Rsa4096 => KeyPair::generate(KeySize::Rsa4096).map(Self::Rsa),
            KeyType::EcP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).map(Self::Ec),
        };
        made.map_err(|_| failed("make a private key"))
    }

    pub fn decode(key: &Encoded) -> Result<Self> {
        let (ec, der) = (&ECDSA_P256_SHA256_ASN1_SIGNING, &key.der);
        let read = match key.format {
            Format::Pkcs8 if key.is_ec() => EcdsaKeyPair::from_pkcs8(ec, der).map(Self::Ec),
            Format::Pkcs8 => KeyPair::from_pkcs8(der).map(Self::Rsa),
            Format::Pkcs1 => KeyPair::from_der(der).map(Self::Rsa),
            Format::Sec1 => EcdsaKeyPair::from_private_key_der(ec, der).map(Self::Ec),
        };
        read.map_err(|why| key.refused(&why.to_string()))
    }

    /// PKCS#8 (RFC 5958) in PEM.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        match self {
            Self::Rsa(pair) => {
                let der: Pkcs8V1Der<'_> = pair.as_der().map_err(|_| failed("encode a private key"))?;
                Ok(pem::encode(PKCS8, der.as_ref()).into())
            }
            Self::Ec(pair) => {
                let der = pair.to_pkcs8v1().map_err(|_| failed("encode a private key"))?;
                Ok(pem::encode(PKCS8, der.as_ref()).into())
            }
        }
    }

    pub fn public(&self) -> Result<PublicKey> {
        let der = match self {
            Self::Rsa(pair) => pair.public_key().as_der(),
            Self::Ec(pair) => pair.public_key().as_der(),
        };
        let der: PublicKeyX509Der<'_> = der.map_err(|_| failed("encode a public key"))?;
        PublicKey::from_der(der.as_ref())
    }

    pub fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>> {
        match (self, hash) {
            (Self::Rsa(pair), Hash::Sha256) => rsa(pair, &RSA_PKCS1_SHA256, message),
            (Self::Rsa(pair), Hash::Sha384) => rsa(pair, &RSA_PKCS1_SHA384, message),
            (Self::Ec(pair), Hash::Sha256) => {
                let signature = pair.sign(&SystemRandom::new(), message).map_err(|_| failed("sign"))?;
                Ok(signature.as_ref().to_vec())
            }
            // The caller has reported the reason.
            (Self::Ec(_), Hash::Sha384) => Err(failed("sign")),
        }
    }
}

fn rsa(pair: &KeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Result<Vec<u8>> {
    let mut signature = vec![0; pair.public_modulus_len()];
    pair.sign(encoding, &SystemRandom::new(), message, &mut signature).map_err(|_| failed("sign"))?;
    Ok(signature)
}

fn failed(what: &'static str) -> Error {
    Error::new(Kind::System, what, "the cryptographic library refused").remedy("try again")
}
