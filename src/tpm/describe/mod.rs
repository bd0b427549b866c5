//! One page about a TPM: what it tells of itself and of what it holds, by commands that ask and change nothing.
//!
//! Nothing here is authenticated, and no decision hangs on it. What a TPM does not tell, or tells in a way that cannot be,
//! is `None`: the page is read when something is wrong.

mod questions;
mod words;

use super::connection::Tpm;
use crate::{
    error::Result,
    tpm2::constants::{
        permanent, pt,
        pt_description::{
            DAY_OF_YEAR, FAMILY_INDICATOR, FIRMWARE_VERSION_1, FIRMWARE_VERSION_2, HR_ACTIVE, HR_ACTIVE_AVAIL,
            HR_LOADED, HR_LOADED_AVAIL, HR_TRANSIENT_AVAIL, LOCKOUT_RECOVERY, REVISION, YEAR,
        },
    },
};
use questions::Questions;
use serde::Serialize;
use std::time::Instant;
use words::{date, firmware, hierarchies, manufacturer, text};

/// All that is shown.
#[derive(Debug, Serialize)]
pub struct Description {
    /// The version of its form as JSON.
    pub format: u32,
    pub manufacturer: Option<Manufacturer>,
    pub firmware: Option<String>,
    pub specification: Specification,
    pub banks: Option<Banks>,
    pub pcr7: Option<Pcr7>,
    pub hierarchies: Option<Hierarchies>,
    pub lockout: Option<Lockout>,
    pub nv: Option<NvUse>,
    pub persistent: Option<Vec<PersistentObject>>,
    pub memory: Memory,
    pub trust: Fitness,
}

/// Who has made it.
#[derive(Debug, Serialize)]
pub struct Manufacturer {
    /// As the TPM has it, for example `IFX`.
    pub id: String,
    /// The company, where it is known.
    pub name: Option<&'static str>,
    /// The TPM's own words.
    pub model: String,
    /// What kind of TPM that is, where it is no chip.
    pub remark: Option<&'static str>,
}

/// Which specification it says it is built after.
#[derive(Debug, Serialize)]
pub struct Specification {
    /// `2.0`.
    pub family: Option<String>,
    /// `1.59`.
    pub revision: Option<String>,
    /// `2019-11-08`.
    pub date: Option<String>,
}

/// Banks of PCRs, by name.
#[derive(Debug, Serialize)]
pub struct Banks {
    pub active: Vec<String>,
    /// Hash algorithms without PCRs.
    pub inactive: Vec<String>,
}

/// What PCR 7 of the sha256 bank says.
#[derive(Debug, Serialize)]
pub struct Pcr7 {
    pub value: String,
    pub state: Pcr7State,
}

/// As far as its value alone tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Pcr7State {
    /// Zeros: neither firmware nor anyone else has extended it.
    Untouched,
    /// Nothing but the lock: the firmware has measured nothing into it.
    OnlyLocked,
    /// Extended.
    Extended,
}

/// The hierarchies, and who owns them.
#[derive(Debug, Serialize)]
pub struct Hierarchies {
    pub owner: HierarchyState,
    pub endorsement: HierarchyState,
    pub lockout: HierarchyState,
    /// Whether the firmware has left its own enabled.
    pub platform_enabled: Option<bool>,
}

/// One of them.
#[derive(Debug, Serialize)]
pub struct HierarchyState {
    /// Lockout cannot be disabled.
    pub enabled: Option<bool>,
    pub password_set: bool,
}

/// Dictionary attack protection.
#[derive(Debug, Serialize)]
pub struct Lockout {
    pub is_locked: bool,
    pub failed_tries: Option<u32>,
    pub max_tries: Option<u32>,
    /// Until one failed try is forgotten, while the TPM has power; 0: the protection is off.
    pub seconds_per_try: Option<u32>,
    /// Until the lockout password may be tried again after it was wrong; 0: a restart.
    pub lockout_recovery_seconds: Option<u32>,
}

/// What is known of NV memory: a TPM does not tell how much of it is free.
#[derive(Debug, Serialize)]
pub struct NvUse {
    pub indices: usize,
    /// Bytes of data in those whose public area can be read.
    pub bytes: u64,
    /// Bytes of the largest index that the TPM takes.
    pub largest_index: Option<u32>,
    /// Bytes that one command moves.
    pub largest_transfer: Option<u32>,
    /// The TPM's estimate of how many more persistent objects fit.
    pub room_for_objects: Option<u32>,
}

/// A persistent object.
#[derive(Debug, Serialize)]
pub struct PersistentObject {
    pub handle: String,
    pub algorithm: Option<String>,
    pub role: &'static str,
    /// Whose primary key it is, or whose handle it has.
    pub hierarchy: &'static str,
}

/// Places for sessions and objects.
#[derive(Debug, Serialize)]
pub struct Memory {
    /// Sessions in the TPM's memory.
    pub loaded_sessions: Option<u32>,
    pub room_for_loaded_sessions: Option<u32>,
    /// Sessions in the TPM's memory or saved by a resource manager.
    pub active_sessions: Option<u32>,
    pub room_for_active_sessions: Option<u32>,
    pub room_for_objects: Option<u32>,
}

/// What Trust needs, and what it has made of this TPM.
#[derive(Debug, Serialize)]
pub struct Fitness {
    /// What it lacks, without which Trust does not work; `None` where it does not tell.
    pub lacks: Option<Vec<String>>,
    /// Commands that it lacks for some ways of keeping secrets.
    pub lacks_for_sealing: Option<Vec<String>>,
    pub provisioning: Provisioning,
    /// `00000003`.
    pub layout_version: Option<String>,
    /// `0001`.
    pub policy_version: Option<String>,
}

/// Whether `trust provision` has been through with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Provisioning {
    /// Nothing of Trust's is in it.
    None,
    /// A layout is, but the owner has no password yet: it was interrupted.
    Begun,
    /// A layout of Trust's and an owner.
    Complete,
    /// Another layout, or none that can be read.
    Other,
    /// The TPM does not tell.
    Unknown,
}

impl Tpm {
    /// Asks it for all that a page shows. Sends nothing that changes it, but for a `TPM2_Shutdown` where reading the policy
    /// version would otherwise have the next power cut count as a failed try.
    ///
    /// # Errors
    /// That there is no TPM 2.0 that answers, or that it stays busy.
    pub fn describe(&mut self) -> Result<Description> {
        let mut ask = Questions { tpm: self, begun: Instant::now() };
        let properties = ask.properties()?;
        let get = |property: u32| properties.get(&property).copied();
        let permanent = get(pt::PERMANENT);
        let algorithms = ask.algorithms()?;
        let banks = ask.banks(algorithms.as_deref())?;
        let indices = ask.indices()?;
        let has_sha256 = banks.as_ref().is_none_or(|banks| banks.active.iter().any(|name| name == "sha256"));
        let pcr7 = if has_sha256 { ask.pcr7()? } else { None };
        let persistent = ask.persistent()?;
        let mut trust = ask.provisioning(permanent, indices.as_deref())?;
        if let Some(lacking) = ask.lacking(algorithms.as_deref(), has_sha256)? {
            (trust.lacks, trust.lacks_for_sealing) = (Some(lacking.altogether), Some(lacking.for_sealing));
        }
        Ok(Description {
            format: 1,
            manufacturer: manufacturer(&properties),
            firmware: firmware(get(FIRMWARE_VERSION_1), get(FIRMWARE_VERSION_2)),
            specification: Specification {
                family: get(FAMILY_INDICATOR).map(|family| text(&[family])),
                revision: get(REVISION).map(|revision| format!("{}.{:02}", revision / 100, revision % 100)),
                date: get(YEAR).zip(get(DAY_OF_YEAR)).and_then(|(year, day)| date(year, day)),
            },
            banks,
            pcr7,
            hierarchies: permanent.map(|permanent| hierarchies(permanent, get(pt::STARTUP_CLEAR))),
            lockout: permanent.map(|permanent| Lockout {
                is_locked: permanent & permanent::IN_LOCKOUT != 0,
                failed_tries: get(pt::LOCKOUT_COUNTER),
                max_tries: get(pt::MAX_AUTH_FAIL),
                seconds_per_try: get(pt::LOCKOUT_INTERVAL),
                lockout_recovery_seconds: get(LOCKOUT_RECOVERY),
            }),
            nv: indices.map(|indices| NvUse {
                indices: indices.len(),
                bytes: indices.iter().flat_map(|index| &index.public).map(|public| u64::from(public.size)).sum(),
                largest_index: get(pt::NV_INDEX_MAX),
                largest_transfer: get(pt::NV_BUFFER_MAX),
                room_for_objects: get(pt::HR_PERSISTENT_AVAIL),
            }),
            persistent,
            memory: Memory {
                loaded_sessions: get(HR_LOADED),
                room_for_loaded_sessions: get(HR_LOADED_AVAIL),
                active_sessions: get(HR_ACTIVE),
                room_for_active_sessions: get(HR_ACTIVE_AVAIL),
                room_for_objects: get(HR_TRANSIENT_AVAIL),
            },
            trust,
        })
    }
}
