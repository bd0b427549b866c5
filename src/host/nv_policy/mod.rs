//! Policies that the TPM keeps: which values PCRs may have, exchanged in an index while what is sealed with it stays as it is.
//!
//! The index holds the digest of a policy. What it is the digest of, and what it takes to write another one, is in a file
//! beside it: neither is secret, and the TPM believes neither.

mod file;
mod update;

pub use file::NvPolicyFile;
pub use update::{NvPolicyUpdate, StoredSet};
