//! What the tests, the demo and the benchmark run the programs on.
//!
//! - [`Swtpm`]: a software TPM with a power switch;
//! - [`Interposer`]: an attacker on the wire between a program and its TPM;
//! - [`Sandbox`]: a machine made of namespaces, with its own keyring, mounts and
//!   power switch, in which a shell script runs, or in a [`Shell`] one after the other;
//! - [`Keyset`] and [`Identity`]: policies, certificates and keys, made with the
//!   openssl command and own arithmetic, independent of the programs under test;
//! - [`provision_with_tools`]: a TPM in layout 3, made with tpm2-tools alone;
//! - [`Machine`]: all of these together, and the program under test;
//! - [`Home`]: an administrator's home directory, and the host program at work in it;
//! - [`HostTpm`]: a TPM, the wire to it, and the host program at work with it;
//! - [`systemd()`]: the real one, in namespaces, with units of ours;
//! - [`Journald`]: the real systemd-journald, and the files that it seals;
//! - [`Browser`]: a real one without a window, and without a network;
//! - [`Token`]: a software PKCS#11 token;
//! - [`SecretSearch`]: a search for secrets, in every encoding, where none may be;
//! - [`MemoryProbe`]: snapshots of a process' memory, at system calls and at its exit;
//! - [`Tracee`]: a process taken over by an attacker;
//! - [`documentation`]: the commands in README and docs/;
//! - [`assets`]: firmware, kernel, boot loaders and tools of other projects;
//! - [`debian`]: whole systems in which packages are installed;
//! - [`with_null_cipher`], [`with_json`]: LUKS2 headers changed by an attacker with the disk;
//! - [`physical_volume`]: a disk that claims names through LVM;
//! - [`mkosi()`]: images of a whole system, made by mkosi;
//! - [`vm`]: virtual machines with Secure Boot.
//!
//! Everything that needs a namespace, a TPM or a tool fails with a message when
//! it is missing. Nothing here is part of a shipped program. The vocabulary is in tests/README.md.

pub mod assets;
mod browser;
pub mod debian;
pub mod documentation;
mod emulator;
mod firmware_log;
mod home;
mod host_tpm;
mod identity;
mod interposer;
mod journald;
mod key_swap;
mod keyset;
mod luks;
mod lvm;
mod machine;
mod memory_probe;
mod mkosi;
mod mounts;
mod pcrlock;
mod pe;
mod peer;
mod power_cut;

mod provision_with_tools;
mod sandbox;
mod secret_search;
pub mod session;
mod shell;
mod skip;
mod swtpm;
mod systemd;
mod terminal;
mod token;
mod tools;
#[cfg(target_arch = "x86_64")]
mod tracee;
mod transport;
pub mod vm;
mod wire;

pub use browser::Browser;
pub use firmware_log::{Measured, firmware_log, firmware_log_with_sha1};
pub use home::{Home, ROLES, tree};
pub use host_tpm::HostTpm;
pub use identity::{Identity, as_others_write, openssl};
pub use interposer::{Action, Exchange, Interposer, Transport};
pub use journald::Journald;
pub use key_swap::KeySwap;
pub use keyset::{Boot, Digest, Keyset, extend, hex, luks_policy, pcr_policy, running_system, sha256, unhex};
pub use luks::{with_json, with_null_cipher};
pub use lvm::physical_volume;
pub use machine::{FUNCTIONS, Machine};
pub use memory_probe::{MemoryProbe, Snapshot, find};
pub use mkosi::mkosi;
pub use mounts::keep_mounts_in;
pub use pcrlock::{Pcrlock, digests, firmware_log_of};
pub use pe::pe_image;
pub use peer::connected;
pub use power_cut::Cut;
pub use provision_with_tools::{
    AUTHORIZE, Layout, approach_policy, provision_for, provision_with_tools, read_with_tools, satisfy_policy,
};
pub use sandbox::{End, Run, Sandbox};
pub use secret_search::SecretSearch;
pub use shell::Shell;
pub use skip::{is_root_or_skip, skip};
pub use swtpm::{Banks, PowerSwitch, Raw, State, Swtpm};
pub use systemd::systemd;
pub use terminal::at_terminal;
pub use token::Token;
pub use tools::{Tools, run};
#[cfg(target_arch = "x86_64")]
pub use tracee::{Outcome, Tracee};
pub use wire::{Command, Response, cc, rc};

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

/// The same for arm64: `$TRUST_INITRD_ARM64`, or what `cargo xtask dist --target` made.
#[must_use]
pub fn trust_initrd_arm64() -> PathBuf {
    program("TRUST_INITRD_ARM64", "aarch64-unknown-linux-musl/trust-initrd")
}

/// The host program for arm64: `$TRUST_HOST_ARM64`, or what `cargo xtask dist --target` made.
#[must_use]
pub fn trust_host_arm64() -> PathBuf {
    program("TRUST_HOST_ARM64", "aarch64-unknown-linux-musl/trust")
}

fn program(variable: &str, name: &str) -> PathBuf {
    let path = std::env::var_os(variable).map_or_else(|| workspace().join("target/dist").join(name), PathBuf::from);
    assert!(path.is_file(), "there is no {}: run `cargo xtask dist`, or set {variable}", path.display());
    path.canonicalize().expect("the program has a path")
}
