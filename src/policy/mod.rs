//! Policies: which boots may read what. Pure, but for the directory that holds the signed ones.
//!
//! - [`public_key`]: the RSA keys that sign policies, as the TPM sees them;
//! - [`pcr7data`]: the directory in the signed initrd, by PCR 7 value.

pub mod boot_kind;
pub mod pcr7data;
pub mod public_key;
