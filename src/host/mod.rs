//! The administrator's side: keysets, certificates and signed policies. No TPM, no root, no network.
//!
//! - [`cli`]: the command line, and which function does what;
//! - [`keyset`]: what a keyset holds, and how one is made;
//! - [`project`], [`bulk`]: products of a keyset and their machines, one by one and by the thousand;
//! - [`srk`]: storage root keys that the keyset vouches for;
//! - [`signed_policy`]: pcr7data, as [`crate::policy::pcr7data`] reads it;
//! - [`key`], [`certificate`], [`profile`], [`credentials`]: private keys, certificates, what ours say, and the two as files;
//! - [`facts`], [`purpose`]: what any certificate says, and whether that is what it is for;
//! - [`key_maker`]: many keys at once;
//! - [`mod@format`]: what others have laid down: PE, CMS, cpio, signature lists, variables;
//! - [`authenticode`], [`uki`]: images signed, verified, built, measured;
//! - [`pcr7`], [`enroll`]: what a firmware measures, and how it gets its keys;
//! - [`luks`]: headers sealed;
//! - [`launch`]: virtual machines that live a machine's life;
//! - [`data`]: bytes that need not be in memory;
//! - [`atomic`], [`xdg`], [`interrupt`], [`progress`]: all or nothing on disk, where that is, Ctrl-C, and what to look at meanwhile.

pub mod atomic;
pub mod authenticode;
pub mod bulk;
pub mod certificate;
pub mod cli;
pub mod credentials;
pub mod data;
pub mod enroll;
pub mod facts;
pub mod format;
pub mod interrupt;
pub mod key;
pub mod key_maker;
pub mod keyset;
pub mod launch;
pub mod luks;
pub mod pcr7;
pub mod profile;
pub mod progress;
pub mod project;
pub mod purpose;
pub mod signed_policy;
pub mod srk;
pub mod uki;
pub mod xdg;
