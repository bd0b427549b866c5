//! The administrator's side: keysets, images, predictions, virtual machines. No TPM, no root, no network.
//!
//! - [`cli`]: the command line, and which function does what; [`say`]: results, tables, progress;
//! - [`keyset`]: what a keyset holds, its products and machines, the policies that it signs;
//! - [`pki`]: private keys in files and tokens, certificates, CMS;
//! - [`image`]: PE images and archives: signed, verified; [`uki`]: unified kernel images: built, measured, looked into;
//! - [`uefi`]: variables, signature lists, variable stores;
//! - [`predict`]: what a firmware and a shim measure into PCR 7;
//! - [`seal`]: secrets that a TPM seals, as files;
//! - [`nv_policy`]: policies that the TPM keeps, exchanged in an index;
//! - [`mod@derive`]: keys of applications, derived from the TPM: from what, for whom;
//! - [`mod@kexec`]: a signed successor of the running kernel, measured and loaded;
//! - [`fss`]: keys of sealed journals, in the TPM;
//! - [`journal`]: sealed journals of systemd: a reader of their files, the verification of their seals;
//! - [`eventlog`]: event logs in words, replayed, and compared with a TPM;
//! - [`state`]: what a machine says of itself, as a file;
//! - [`html`]: logs and states as pages for browsers;
//! - [`fleet`]: many machines by their states: which stay dark behind an update;
//! - [`machine`]: virtual machines and what belongs to one: its firmware's keys, its disk's header;
//! - [`fs`]: all or nothing on disk, bytes that need not be in memory, where a user's files are.

pub mod cli;
pub mod derive;
pub mod eventlog;
pub mod fleet;
pub mod fs;
pub mod fss;
pub mod html;
pub mod image;
pub mod journal;
pub mod kexec;
pub mod keyset;
pub mod machine;
pub mod nv_policy;
pub mod pki;
pub mod predict;
pub mod say;
pub mod seal;
pub mod state;
pub mod uefi;
pub mod uki;
