//! What the TPM Library lays down, as bytes: pure, bounded by the specification's maxima, and without a TPM.
//!
//! - [`constants`]: algorithms, curves, handles, commands;
//! - [`name`], [`nv`], [`public`], [`selection`]: Names, public areas of indices and of objects, PCR selections;
//! - `attest`: what a TPM certifies of its indices;
//! - `bank`: the banks of PCRs; `nv_registry`: whose an index is, by its number;
//! - [`command`]: commands for which ESYS has no use; `query`: questions that need no session;
//! - [`capability`]: what a TPM tells of itself; [`vendor`]: who makes TPMs; [`object`]: what any object is, by its public area;
//! - [`storage_key`]: the key that sessions are salted to;
//! - [`duplication`], [`kdf`], [`ecdh`], [`cfb`]: an object wrapped for another TPM's storage key;
//! - [`key_file`]: a wrapped key, or sealed data, as a file; `derivation`: the key that others are derived from.
//!
//! "Part n" is that of the Trusted Platform Module Library Specification, Family 2.0, Level 00, Revision 01.59.

#[cfg(feature = "host")]
pub mod attest;
#[cfg(feature = "host")]
pub mod bank;
#[cfg(feature = "host")]
pub mod capability;
pub mod cfb;
pub mod command;
pub mod constants;
#[cfg(feature = "host")]
pub mod derivation;
pub mod duplication;
pub mod ecdh;
mod kdf;
pub mod key_file;
pub mod name;
pub mod nv;
#[cfg(feature = "host")]
pub mod nv_registry;
#[cfg(feature = "host")]
pub mod object;
pub mod public;
pub mod query;
#[cfg(feature = "host")]
pub mod sealed;
pub mod selection;
pub mod storage_key;
#[cfg(feature = "host")]
pub mod vendor;

pub use name::Name;
pub use nv::NvPublic;
pub use public::Public;
pub use selection::Selection;
pub use storage_key::StorageKey;
