//! What the tests, the demo and the benchmark run the programs on.
//!
//! - [`Swtpm`]: a software TPM with a power switch;
//! - [`Interposer`]: whoever sits on the wire between a program and its TPM;
//! - [`Cell`]: a machine made of namespaces, with its own keyring, mounts and
//!   power switch, in which a shell script runs, or with [`Live`] one after the other;
//! - [`Keyset`] and [`Identity`]: policies, certificates and keys, made with the
//!   openssl command and own arithmetic, apart from the programs under test;
//! - [`provision_with_tools`]: a TPM in layout 3, made with tpm2-tools alone;
//! - [`Machine`]: all of these together, and the program under test;
//! - [`Home`]: an administrator's home directory, and the host program at work in it;
//! - [`Token`]: a PKCS#11 token of software;
//! - [`Needles`]: what to look for where no secret may be;
//! - [`Witness`]: a look into the memory of a process that is about to exit;
//! - [`Captive`]: a process that somebody has taken over;
//! - [`book`]: the commands in what people read;
//! - [`assets`]: firmware, kernel, boot loaders and their makers' tools;
//! - [`with_null_cipher`], [`with_json`]: what somebody can do who has the disk;
//! - [`physical_volume`]: a disk that claims names by way of LVM;
//! - [`mkosi()`]: images of a whole system;
//! - [`vm`]: machines with a firmware that checks signatures.
//!
//! Everything that needs a namespace, a TPM or a tool fails with a message when
//! it is not there. Nothing here is part of a shipped program.

pub mod assets;
pub mod book;
#[cfg(target_arch = "x86_64")]
mod captive;
mod cell;
mod emulator;
mod firmware_log;
mod front;
mod home;
mod identity;
mod interposer;
mod key_swap;
mod keyset;
mod live;
mod luks;
mod lvm;
mod machine;
mod mkosi;
mod mounts;
mod needles;
mod old;
pub mod session;
mod swtpm;
mod terminal;
mod token;
mod tools;
pub mod vm;
mod wire;
mod witness;

#[cfg(target_arch = "x86_64")]
pub use captive::{Captive, Outcome};
pub use cell::{Cell, End, Run};
pub use firmware_log::{Measured, firmware_log, firmware_log_with_sha1};
pub use home::{Home, ROLES, tree};
pub use identity::{Identity, as_others_write, openssl};
pub use interposer::{Action, Exchange, Front, Interposer};
pub use key_swap::KeySwap;
pub use keyset::{Boot, Digest, Keyset, extend, hex, luks_policy, pcr_policy, sha256, unhex};
pub use live::Live;
pub use luks::{with_json, with_null_cipher};
pub use lvm::physical_volume;
pub use machine::{FUNCTIONS, Machine};
pub use mkosi::mkosi;
pub use mounts::keep_mounts_in;
pub use needles::Needles;
pub use old::{AUTHORIZE, Layout, approach_policy, provision_with_tools, read_with_tools, satisfy_policy};
pub use swtpm::{Banks, PowerSwitch, Raw, State, Swtpm};
pub use terminal::at_terminal;
pub use token::Token;
pub use tools::{Tools, run};
pub use wire::{Command, Response, cc, rc};
pub use witness::{Remains, Witness, find};

use std::path::{Path, PathBuf};

/// The top directory of the workspace.
#[must_use]
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("tests/harness is two levels down").to_path_buf()
}

/// The program of the initrd under test: `$TRUST_INITRD`, or what `cargo xtask dist` made.
#[must_use]
pub fn trust_initrd() -> PathBuf {
    program("TRUST_INITRD", "trust-initrd")
}

/// The host program under test: `$TRUST_HOST`, or what `cargo xtask dist` made.
#[must_use]
pub fn trust_host() -> PathBuf {
    program("TRUST_HOST", "trust")
}

fn program(variable: &str, name: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join("target/dist").join(name), PathBuf::from);
    assert!(path.is_file(), "there is no {}: run `cargo xtask dist`, or set {variable}", path.display());
    path.canonicalize().expect("the program has a path")
}
