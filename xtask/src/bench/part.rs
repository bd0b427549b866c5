//! The parts of the benchmark: each can be measured alone.

use super::{
    boot, candidates, derive, eventlog, fleet, images, journal, kexec, keyset, latency::Models, secrets,
    section::Section,
};
use anyhow::Result;

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Setup,
    Keyset,
    Images,
    Secrets,
    Derive,
    Journal,
    EventLog,
    Fleet,
    Boot,
    Kexec,
}

impl Part {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Setup,
        Self::Keyset,
        Self::Images,
        Self::Secrets,
        Self::Derive,
        Self::Journal,
        Self::EventLog,
        Self::Fleet,
        Self::Boot,
        Self::Kexec,
    ];

    /// What the command line and files call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Setup => "setup",
            Self::Keyset => "keyset",
            Self::Images => "images",
            Self::Secrets => "secrets",
            Self::Derive => "derive",
            Self::Journal => "journal",
            Self::EventLog => "eventlog",
            Self::Fleet => "fleet",
            Self::Boot => "boot",
            Self::Kexec => "kexec",
        }
    }

    /// What the page calls it.
    pub const fn title(self) -> &'static str {
        match self {
            Self::Setup => "The secrets of a boot",
            Self::Keyset => "Keysets and identities",
            Self::Images => "Images",
            Self::Secrets => "Sealed secrets",
            Self::Derive => "Derived keys",
            Self::Journal => "Sealed journals",
            Self::EventLog => "Event logs",
            Self::Fleet => "Fleets",
            Self::Boot => "Whole boots",
            Self::Kexec => "kexec",
        }
    }

    /// The one of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|part| part.name() == name)
    }

    /// Measures it.
    pub fn run(self, models: &Models) -> Result<Vec<Section>> {
        match self {
            Self::Setup => candidates::run(models),
            Self::Keyset => keyset::run(),
            Self::Images => images::run(),
            Self::Secrets => secrets::run(models),
            Self::Derive => derive::run(models),
            Self::Journal => journal::run(),
            Self::EventLog => eventlog::run(),
            Self::Fleet => fleet::run(),
            Self::Boot => boot::run(models),
            Self::Kexec => kexec::run(),
        }
    }
}
