//! Policies: which boots may read what. Pure, but for the directory that holds the signed ones.
//!
//! - [`assertion`]: policies as values, and their digests; [`tree`]: as people read them;
//! - [`boot_kind`]: the kinds of boots, and the policy that is signed for each;
//! - [`version`]: the policy version that production policies ask for;
//! - [`public_key`]: the RSA keys that sign policies, as the TPM sees them;
//! - [`pcr7data`]: the directory in the signed initrd, by PCR 7 value.

pub mod assertion;
pub mod boot_kind;
pub mod pcr7data;
pub mod public_key;
#[cfg(feature = "host")]
pub mod tree;
pub mod version;

pub use assertion::{Assertion, Policy};
