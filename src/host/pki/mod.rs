//! Keys and certificates.
//!
//! - [`key`]: private keys in files and tokens, signing in one place; [`key_maker`]: many at once;
//! - [`certificate`], [`facts`]: issuing certificates, and reading any; [`credentials`]: key and certificate as two files;
//! - [`cms`]: the signatures of Authenticode and UEFI;
//! - [`pkcs11_uri`], [`provider_uri`]: names of keys in tokens.

pub mod certificate;
pub mod cms;
pub mod credentials;
pub mod facts;
pub mod key;
pub mod key_maker;
pub mod pkcs11_uri;
pub mod provider_uri;
