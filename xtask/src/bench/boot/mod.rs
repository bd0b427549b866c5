//! `cargo xtask bench --boot`: whole boots of virtual machines, phase by phase.
//!
//! One machine with Secure Boot and a TPM, four ways to get a disk's passphrase out of it. All boots go through the same
//! recording proxy between the machine and its TPM, round by round, so that what disturbs one disturbs all.

mod figures;
mod images;
mod machine;
mod requirements;
mod timeline;

use super::{latency::Models, section::Section};
use crate::{assets, packages};
use anyhow::Result;
use machine::Machines;
use timeline::Boot;

/// How often each candidate boots.
const ROUNDS: usize = 5;

/// What opens the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Candidate {
    /// Trust's module for dracut.
    Dracut,
    /// `trust setup`, in an initrd without systemd and udev.
    Minimal,
    /// systemd-cryptsetup, by a passphrase that systemd-cryptenroll has sealed.
    Systemd,
    /// Clevis' module for dracut.
    Clevis,
}

impl Candidate {
    /// All of them, ours first; the others are compared with the first, whose initrd is of their kind.
    const ALL: [Self; 4] = [Self::Dracut, Self::Minimal, Self::Systemd, Self::Clevis];

    /// What the table calls it.
    const fn name(self) -> &'static str {
        match self {
            Self::Minimal => "Trust, minimal",
            Self::Dracut => "Trust, dracut",
            Self::Systemd => "systemd-cryptsetup",
            Self::Clevis => "clevis",
        }
    }

    /// What it does.
    const fn job(self) -> &'static str {
        match self {
            Self::Minimal => "no systemd, no udev: the same, but for the disk",
            Self::Dracut => {
                "dracut and systemd: certificate, key and passphrase read, PCR 7 locked and proven, all published; the disk's \
                 header verified, the disk opened"
            }
            Self::Systemd => "dracut and systemd: one passphrase, bound to PCR 7; the disk opened; no lock",
            Self::Clevis => "dracut, systemd and clevis: one passphrase, bound to PCR 7; the disk opened; no lock",
        }
    }

    /// The units that open the disk, in their order.
    const fn units(self) -> &'static [&'static str] {
        match self {
            Self::Minimal => &[],
            Self::Dracut => &["trust-setup.service", "trust-luks@root.service"],
            Self::Systemd | Self::Clevis => &["systemd-cryptsetup@root.service"],
        }
    }

    /// The unit that helps them, if there is one.
    const fn helpers(self) -> &'static str {
        if matches!(self, Self::Clevis) { "clevis-luks-askpass.service" } else { "" }
    }
}

/// All boots of a candidate.
struct Row {
    candidate: Candidate,
    /// Size of its image: kernel, stub, initrd.
    image: u64,
    boots: Vec<Boot>,
}

/// Boots all of them, round by round.
pub fn run(models: &Models) -> Result<Vec<Section>> {
    packages::ensure(&[packages::RUN, packages::ASSETS, packages::BOOT])?;
    assets::prepare_bench()?;
    let machines = Machines::new();
    let mut rows: Vec<Row> = Candidate::ALL
        .map(|candidate| Row { candidate, image: machines.image_size(candidate), boots: Vec::new() })
        .into();
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        for row in &mut rows {
            row.boots.push(machines.boot(row.candidate)?);
        }
    }
    Ok(vec![figures::section(&rows, models).require(requirements::check(&rows))])
}
