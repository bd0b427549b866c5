//! Policies: which boots may read what. Pure, but for the directory that holds the signed ones.
//!
//! - [`assertion`]: policies as values, and their digests; [`tree`]: as people read them;
//! - `pcr_values`: PCRs and the values that a policy asks for, as people write them; `statements`: a policy in a key file;
//!   `verdict`: whether it holds;
//! - [`boot_kind`]: the kinds of boots, and the policy that is signed for each; [`entry_kind`]: with the running system;
//! - `pcr_set`: sets of values that PCRs may have, as one policy;
//! - [`approved`]: a policy with its signature; [`delegation`]: the owner's policy;
//!   `signed_file`: one over other PCRs; `known`: all that are at hand, by their digests;
//! - [`version`]: the policy version that production policies ask for;
//! - [`public_key`]: the RSA keys that sign policies, as the TPM sees them;
//! - [`pcr7data`]: the directory in the signed initrd, by PCR 7 value.

pub mod approved;
pub mod assertion;
pub mod boot_kind;
pub mod delegation;
pub mod entry_kind;
#[cfg(feature = "host")]
pub mod known;
pub mod pcr7data;
#[cfg(feature = "host")]
pub mod pcr_set;
#[cfg(feature = "host")]
pub mod pcr_values;
pub mod public_key;
#[cfg(feature = "host")]
pub mod signed_file;
#[cfg(feature = "host")]
pub mod statements;
#[cfg(feature = "host")]
pub mod tree;
#[cfg(feature = "host")]
pub mod verdict;
pub mod version;

pub use assertion::{Assertion, Policy};
