//! The TPM room: the only place that names `tss_esapi`, and the only one that
//! turns what a TPM says into plaintext.
//!
//! - [`transport`]: from `--tcti` to bytes on a wire, every response checked;
//! - `crypto`: the crypto backend of ESYS;
//! - `connection`: one command at a time, retried within bounds, errors by remedy;
//! - `session`, `pcr`, `nv`: what the commands need;
//! - [`layout`]: what is kept in NV memory, and where;
//! - `assert`: policies asserted, and the signed one that opens the indices;
//! - `nv_space`, `nv_indices`, `nv_content`: any index, which there are, and the form of what we keep in one, for the host
//!   program;
//! - `pcr_values`: PCRs of any bank read and extended, for the host program;
//! - `store`, `lock`: [`Truststore`](crate::store::Truststore) on top of all that;
//! - `hierarchy`: whether the firmware has left the TPM's hierarchies switched on; the owner's policy;
//! - `dictionary_attack`: that power cuts do not lock a machine out;
//! - [`describe`]: one page about a TPM, for the host program; `needs`: what Trust needs of one;
//! - `inspect`: what needs no policy and no password, for the host program;
//! - [`seal`], [`unseal`], [`parent`]: data sealed, what opens it, under which key, for the host program;
//!   `judge`: whether a policy holds; `stored_policy`: of the one that an index holds; `policy_signer`: a key that signs for
//!   policies;
//! - [`primary`]: primary keys, and what they are made with; [`mod@derive`]: what keys of applications are derived with;
//!   [`delegation`]: by what the owner delegates; [`tickets`]: what the TPM has verified once;
//! - `provision`: layout 3 written, in steps that can be cut off;
//! - `proof`, `root_key`: that it was not written by an attacker;
//! - `raise`: the policy version raised;
//! - [`bound_key`]: a private key that only this TPM can use.

mod assert;
pub mod bound_key;
mod connection;
mod crypto;
#[cfg(feature = "host")]
pub mod delegation;
#[cfg(feature = "host")]
pub mod derive;
#[cfg(feature = "host")]
pub mod describe;
mod dictionary_attack;
mod esys_resource;
mod hierarchy;
#[cfg(feature = "host")]
mod inspect;
#[cfg(feature = "host")]
mod judge;
pub mod layout;
mod lock;
#[cfg(feature = "host")]
mod needs;
mod nv;
#[cfg(feature = "host")]
pub mod nv_content;
#[cfg(feature = "host")]
mod nv_indices;
#[cfg(feature = "host")]
mod nv_space;
#[cfg(feature = "host")]
pub mod parent;
mod passphrase;
mod pcr;
#[cfg(feature = "host")]
mod pcr_values;
#[cfg(feature = "host")]
mod policy_signer;
#[cfg(feature = "host")]
pub mod primary;
mod proof;
mod provision;
mod raise;
mod response_code;
mod root_key;
#[cfg(feature = "host")]
pub mod seal;
mod session;
mod store;
#[cfg(feature = "host")]
mod stored_policy;
#[cfg(feature = "host")]
pub mod tickets;
mod transport;
#[cfg(feature = "host")]
pub mod unseal;

pub use connection::Tpm;
#[cfg(feature = "host")]
pub use nv_space::{NvCertificate, NvDefinition, NvForm, NvKey, NvRead, NvRoom, NvSpace};
#[cfg(feature = "host")]
pub use pcr_values::PcrReading;
#[cfg(feature = "host")]
pub use policy_signer::PolicySigner;
pub use provision::Outcome;
pub use store::TpmStore;
pub use transport::Address;
