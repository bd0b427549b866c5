//! What is found out about a journal file.

use der::DateTime;
use serde::{Serialize, Serializer};
use std::{fmt, time::Duration};

/// A moment, in microseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JournalTime(pub u64);

impl fmt::Display for JournalTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(Duration::from_secs(self.0 / 1_000_000)) {
            Ok(time) => time.fmt(f),
            Err(_) => write!(f, "{} s after 1970", self.0 / 1_000_000),
        }
    }
}

impl Serialize for JournalTime {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The result for a file, in a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum JournalVerdict {
    /// All that should be sealed is, and every seal fits.
    Sealed,
    /// Every seal fits; the file is closed, and entries after the last one will never be sealed. systemd before 255 leaves
    /// every file so that it rotates.
    UnsealedEnd,
    /// Every seal fits; entries after the last one should have been sealed by now.
    Overdue,
    /// Every seal fits; but entries claim to be of another time than that of their seal.
    Clock,
    /// The file is not sealed at all.
    NeverSealed,
    /// Not even the first seal fits: another key made it, or the beginning of the file was altered.
    OtherKey,
    /// A seal does not fit, or the file contradicts itself.
    Altered,
    /// It is not a journal file, or one of a kind that is not known.
    Unreadable,
}

impl JournalVerdict {
    /// Whether a report that says so names an object.
    #[must_use]
    pub const fn has_misfit(self) -> bool {
        matches!(self, Self::Clock | Self::OtherKey | Self::Altered)
    }

    /// It in words.
    #[must_use]
    pub const fn words(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::UnsealedEnd => "with an unsealed end",
            Self::Overdue => "with an end not sealed in time",
            Self::Clock => "with times that contradict seals",
            Self::NeverSealed => "never sealed",
            Self::OtherKey => "another key's, or altered",
            Self::Altered => "altered",
            Self::Unreadable => "not readable",
        }
    }
}

/// The first object that does not fit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Misfit {
    /// Where it begins.
    pub offset: u64,
    /// What it is.
    pub object: &'static str,
    /// What is wrong with it.
    pub why: String,
}

/// What seals cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct SealedPart {
    /// When its first entry was written; without one, when the interval of its first seal begins.
    pub from: JournalTime,
    /// When the interval of its last seal ends.
    pub until: JournalTime,
    /// Entries in it.
    pub entries: u64,
    /// Seals.
    pub tags: u64,
    /// Where it ends in the file.
    pub end: u64,
    /// Intervals within it that have no seal of their own: nothing was written, or systemd before 255 was idle. It cannot
    /// be told from what an attacker has removed, who also was there at the next seal.
    pub intervals_without_tag: u64,
}

/// What lies after the last seal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct UnsealedPart {
    /// Where it begins.
    pub offset: u64,
    /// Bytes of objects.
    pub bytes: u64,
    /// Entries in it.
    pub entries: u64,
    /// When the first of them claims to have been written.
    pub from: JournalTime,
    /// And the last.
    pub until: JournalTime,
}

/// Where the clock was set back within a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ClockSteps {
    /// How often.
    pub count: u64,
    /// The first entry that is earlier than the one before it.
    pub offset: u64,
    /// What the clock said before.
    pub before: JournalTime,
    /// And after.
    pub after: JournalTime,
}

/// What a header says, which is compared with the file's contents unless these are [`JournalVerdict::Altered`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalFacts {
    /// online, offline or archived.
    pub state: &'static str,
    /// Of the file alone.
    pub file_id: String,
    /// Of the machine that wrote it.
    pub machine_id: String,
    /// Common to the files whose entries are numbered together.
    pub seqnum_id: String,
    /// The first entry's number.
    pub head_seqnum: u64,
    /// The last entry's.
    pub tail_seqnum: u64,
    /// How many there are.
    pub entries: u64,
    /// When the first was written.
    pub from: JournalTime,
    /// When the last was.
    pub until: JournalTime,
}

/// All about one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct JournalReport {
    /// Its name.
    pub file: String,
    /// In a word.
    pub verdict: JournalVerdict,
    /// What its header says, if it has one.
    pub header: Option<JournalFacts>,
    /// Which of the keys its seals fit, counted from 0; of keys in a TPM, the generation.
    pub key: Option<usize>,
    /// What the seals cover that fit.
    pub sealed: Option<SealedPart>,
    /// What lies after the last seal.
    pub unsealed: Option<UnsealedPart>,
    /// The first object that does not fit.
    pub misfit: Option<Misfit>,
    /// Where the clock was set back.
    pub clock_steps: Option<ClockSteps>,
    /// Why nothing could be found out.
    pub why: Option<String>,
    /// What journalctl objects to, if it was asked.
    pub journalctl: Option<String>,
}

impl JournalReport {
    /// Of a file that cannot be understood.
    #[must_use]
    pub fn unreadable(why: impl Into<String>) -> Self {
        Self {
            file: String::new(),
            verdict: JournalVerdict::Unreadable,
            header: None,
            key: None,
            sealed: None,
            unsealed: None,
            misfit: None,
            clock_steps: None,
            why: Some(why.into()),
            journalctl: None,
        }
    }
}
