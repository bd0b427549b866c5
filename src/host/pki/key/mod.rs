//! Private and public keys: RSA, and ECDSA on P-256; in files, and in tokens (PKCS#11).
//!
//! All copies of a private key are wiped: by AWS-LC in its memory, by the
//! allocator ([`crate::memory`]) in ours.

pub mod ask;
mod encrypted;
mod file;
mod kind;
pub mod passphrase;
mod public;
mod software;
mod token;

pub use kind::{Family, Hash, KeyType};
pub use public::PublicKey;

use crate::{
    error::{Error, Kind, Result},
    host::{
        fs::atomic,
        pki::{
            pkcs11_uri::{self, Uri},
            provider_uri,
        },
    },
    pem,
};
use encrypted::Encrypted;
use file::{ENCRYPTED, Encoded, Format, Found, PROVIDER_URI};
use software::Software;
use spki::{AlgorithmIdentifierOwned, DynSignatureAlgorithmIdentifier, SignatureBitStringEncoding};
use std::path::Path;
use token::TokenKey;
use zeroize::Zeroizing;

/// The remedy for a file that names a library.
const SAY_AGAIN: &str = "name the key again: trust keyset use-key KEYSET ROLE 'pkcs11:…?module-name=NAME'";

/// A private key that can sign.
///
/// It cannot be cloned, compared or printed.
pub struct PrivateKey {
    source: Source,
    public: PublicKey,
    /// The encrypted file that it was read from, if it was: it is written in the same form.
    encrypted: Option<Zeroizing<Vec<u8>>>,
}

/// Its place.
enum Source {
    Memory(Software),
    Token(Box<TokenKey>),
}

impl PrivateKey {
    /// Makes a new key; of RSA with exponent 65537.
    ///
    /// # Errors
    /// [`Kind::System`]: no random numbers are available.
    pub fn generate(kind: KeyType) -> Result<Self> {
        Self::new(Software::generate(kind)?)
    }

    /// Opens what `--key` names: a file, or a key in a token (`pkcs11:…`).
    ///
    /// # Errors
    /// Those of [`Self::from_file`] and of [`Self::in_token`].
    pub fn open(place: &str) -> Result<Self> {
        if pkcs11_uri::is_uri(place) {
            return Self::in_token(Uri::parse(place)?, None);
        }
        let path = Path::new(place);
        Self::from_file(path, None).map_err(|e| e.within(format!("use {}", path.display())))
    }

    /// Reads PKCS#8, PKCS#1 or SEC 1 in PEM or DER, and asks for the passphrase if needed, or opens the key in a token
    /// that the file names. `public` is for a token without public keys.
    ///
    /// # Errors
    /// Those of reading, of [`Self::from_bytes`], of [`passphrase::open`] and of [`Self::in_token`].
    pub fn from_file(path: &Path, public: Option<&PublicKey>) -> Result<Self> {
        let file = Zeroizing::new(atomic::read(path)?);
        match Found::in_file(&file)? {
            Found::Key(key) => Self::new(Software::decode(&key)?),
            Found::Encrypted(encrypted) => {
                let key = Encoded { format: Format::Pkcs8, der: passphrase::open(&encrypted, path)? };
                Ok(Self { encrypted: Some(encrypted), ..Self::new(Software::decode(&key)?)? })
            }
            Found::Elsewhere(der) => {
                let uri = Uri::parse(provider_uri::decode(&der)?)?;
                let uri = token::by_name(&uri).map_err(|e| {
                    e.remedy(format!(
                        "find out who wrote the file, whose library would run with your rights; if it is yours, {SAY_AGAIN}"
                    ))
                })?;
                Self::in_token(uri, public)
            }
        }
    }

    /// Reads PKCS#8, PKCS#1 or SEC 1 in PEM or DER, without any prompt.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: no key; [`Kind::Usage`]: one that is encrypted, in a token, or of an unsupported kind.
    pub fn from_bytes(file: &[u8]) -> Result<Self> {
        match Found::in_file(file)? {
            Found::Key(key) => Self::new(Software::decode(&key)?),
            Found::Encrypted(der) => {
                Encrypted::read(&der)?;
                Err(Error::new(Kind::Usage, "read a private key", "it is encrypted").remedy("name its file"))
            }
            Found::Elsewhere(_) => {
                Err(Error::new(Kind::Usage, "read a private key", "it is in a token").remedy("name its file"))
            }
        }
    }

    /// Opens a key in a token: loads the module, logs in, finds the key. `public` is for a token without public keys.
    ///
    /// # Errors
    /// [`Kind::Usage`]: no such module, token or key, or several, or the PIN is wrong; [`Kind::System`]: the token fails.
    pub fn in_token(uri: Uri, public: Option<&PublicKey>) -> Result<Self> {
        let (key, public) = TokenKey::open(uri, public)?;
        Ok(Self { source: Source::Token(Box::new(key)), public, encrypted: None })
    }

    fn new(software: Software) -> Result<Self> {
        let public = software.public()?;
        Ok(Self { source: Source::Memory(software), public, encrypted: None })
    }

    /// The URI of the key, if it is in a token.
    #[must_use]
    pub fn uri(&self) -> Option<&Uri> {
        match &self.source {
            Source::Memory(_) => None,
            Source::Token(key) => Some(key.uri()),
        }
    }

    /// The key as PKCS#8 in PEM, encrypted if it was; for one in a token, its name in the form of OpenSSL's pkcs11-provider,
    /// with the module by name.
    ///
    /// # Errors
    /// [`Kind::Usage`]: the module is not one of the system's; [`Kind::System`]: out of memory.
    pub fn to_pem(&self) -> Result<Zeroizing<String>> {
        if let Some(encrypted) = &self.encrypted {
            return Ok(pem::encode(ENCRYPTED, encrypted).into());
        }
        match &self.source {
            Source::Memory(key) => key.to_pem(),
            Source::Token(key) => {
                let uri = token::by_name(key.uri()).map_err(|e| {
                    e.because("a file may not say which library is to run").remedy(
                        "install the module, or a link to it, as /usr/local/lib/pkcs11/NAME.so and write module-name=NAME; \
                         or make it known to p11-kit (pkcs11.conf(5)) and name none",
                    )
                })?;
                Ok(pem::encode(PROVIDER_URI, &provider_uri::encode(uri.as_str())?).into())
            }
        }
    }

    /// The public half.
    #[must_use]
    pub const fn public(&self) -> &PublicKey {
        &self.public
    }

    /// Signs `message`: RSASSA-PKCS1-v1_5 (RFC 8017, section 8.2), as long as the modulus, or
    /// ECDSA, r and s in DER (RFC 3279, section 2.2.3).
    ///
    /// # Errors
    /// [`Kind::Usage`]: a hash that does not match the key; [`Kind::System`]: AWS-LC or the token refuses it;
    /// [`Kind::Corrupt`]: the token has signed with another key.
    pub fn sign(&self, hash: Hash, message: &[u8]) -> Result<Vec<u8>> {
        // RFC 5480, section 4: the hash that matches the curve; AWS-LC signs with no other.
        if (self.public.family(), hash) == (Family::Ec, Hash::Sha384) {
            return Err(Error::new(Kind::Usage, "sign", "a key on P-256 signs with SHA-256")
                .remedy("choose SHA-256, or an RSA key"));
        }
        match &self.source {
            Source::Memory(key) => key.sign(hash, message),
            Source::Token(key) => key.sign(&self.public, hash, message),
        }
    }
}

/// A signature with SHA-256.
pub struct Signature(Vec<u8>);

// The traits that x509-cert and cms need of a signer.

impl signature::Keypair for PrivateKey {
    type VerifyingKey = PublicKey;

    fn verifying_key(&self) -> PublicKey {
        self.public.clone()
    }
}

impl signature::Signer<Signature> for PrivateKey {
    fn try_sign(&self, message: &[u8]) -> signature::Result<Signature> {
        self.sign(Hash::Sha256, message).map(Signature).map_err(signature::Error::from_source)
    }
}

impl SignatureBitStringEncoding for Signature {
    fn to_bitstring(&self) -> der::Result<der::asn1::BitString> {
        der::asn1::BitString::from_bytes(&self.0)
    }
}

impl DynSignatureAlgorithmIdentifier for PrivateKey {
    fn signature_algorithm_identifier(&self) -> spki::Result<AlgorithmIdentifierOwned> {
        Ok(self.public.family().signature_algorithm(Hash::Sha256))
    }
}

/// The URI of the key that a file names, if it is in a token; the token is not opened.
///
/// # Errors
/// [`Kind::Corrupt`]: no key; [`Kind::Usage`]: a malformed URI.
pub fn uri_in(file: &[u8]) -> Result<Option<Uri>> {
    match Found::in_file(file)? {
        Found::Key(_) | Found::Encrypted(_) => Ok(None),
        Found::Elsewhere(der) => Uri::parse(provider_uri::decode(&der)?).map(Some),
    }
}

/// The library that a file names for a token, which only the command line may do.
#[derive(Debug, PartialEq, Eq)]
pub enum Library {
    /// None, or a name.
    Named,
    /// A path, to a module that has this URI when it is named.
    Found(String),
    /// A path to something else.
    Foreign,
}

/// Checks the URI in a file; nothing is loaded.
#[must_use]
pub fn library_of(uri: &Uri) -> Library {
    match token::by_name(uri) {
        Ok(named) if uri.module_path.is_some() => Library::Found(named.to_string()),
        Ok(_) => Library::Named,
        Err(_) => Library::Foreign,
    }
}
