//! One page about a TPM: what it tells of itself and of what it holds, by commands that ask and change nothing.
//!
//! Nothing here is authenticated, and no decision hangs on it. What a TPM does not tell, or tells in a way that cannot be,
//! is `None`: the page is read when something is wrong.

use super::{
    connection::Tpm,
    layout::{Index, SRK_HANDLE},
    needs::{COMMANDS, For},
    response_code,
};
use crate::{
    bytes::Reader,
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    foreign::printable,
    measure::{bank::Bank, pcr::locked},
    tpm2::{
        NvPublic, bank,
        capability::{self, Page},
        command,
        constants::{
            alg, cap, curve, first_handle, permanent, pt,
            pt_description::{
                DAY_OF_YEAR, FAMILY_INDICATOR, FIRMWARE_VERSION_1, FIRMWARE_VERSION_2, HR_ACTIVE, HR_ACTIVE_AVAIL,
                HR_LOADED, HR_LOADED_AVAIL, HR_TRANSIENT_AVAIL, LOCKOUT_RECOVERY, MANUFACTURER, REVISION,
                VENDOR_STRING_1, YEAR,
            },
            rh, startup_clear,
        },
        nv::attribute,
        object::{Hierarchy, ObjectSummary},
        query, vendor,
    },
};
use serde::Serialize;
use std::{collections::BTreeMap, time::Instant};

/// Answers of one list at most: a TPM gives dozens of items at once.
const MAX_PAGES: usize = 64;
/// Handles of a kind that are looked at; no TPM has room for as many.
const MAX_HANDLES: usize = 256;
/// How long the whole may take, in times that a response is waited for.
const PATIENCE: u32 = 6;
/// Commands per `TPM_CC` index: the rest of a `TPMA_CC` are attributes.
const COMMAND_INDEX: u32 = 0x2000_ffff;

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

/// An index that the TPM has, with its public area if that can be read.
struct FoundIndex {
    handle: u32,
    public: Option<NvPublic>,
}

/// What a TPM lacks.
struct Lacking {
    altogether: Vec<String>,
    for_sealing: Vec<String>,
}

/// Asks until there is an answer, nothing else to ask, or no time left.
struct Questions<'a> {
    tpm: &'a mut Tpm,
    begun: Instant,
}

impl Tpm {
    /// Asks it for all that a page shows. Sends nothing that changes it, but for a `TPM2_Shutdown` where reading the policy
    /// version would otherwise have the next power cut count as a failed try.
    ///
    /// # Errors
    /// That there is no TPM 2.0 that answers, or that it stays busy.
    pub fn describe(mut self) -> Result<Description> {
        let mut ask = Questions { tpm: &mut self, begun: Instant::now() };
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

impl Questions<'_> {
    /// The answer to one command; `None` where the TPM refuses it.
    fn ask(&mut self, what: &'static str, command: &[u8]) -> Result<Option<Vec<u8>>> {
        if self.begun.elapsed() > self.tpm.patience() * PATIENCE {
            return Err(Error::new(Kind::System, what, "the TPM takes too long for its answers")
                .remedy("switch the machine off and on; if it stays so, update the TPM's firmware or replace it"));
        }
        match self.tpm.run_raw(what, command) {
            Ok(answer) => Ok(Some(answer)),
            // What it said is of no use for one line of the page, and the link is sound.
            Err(_) if self.tpm.has_answered() && !response_code::is_final(self.tpm.last_code()) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A whole list, whose items come in ascending order of `key`; `None` where the TPM has no such list, or lies about it.
    fn list<T>(
        &mut self,
        what: &'static str,
        (capability, first): (u32, u32),
        parse: impl Fn(&[u8]) -> Option<Page<T>>,
        key: impl Fn(&T) -> u32,
    ) -> Result<Option<Vec<T>>> {
        let (mut found, mut next) = (Vec::new(), first);
        for _ in 0..MAX_PAGES {
            let Some(answer) = self.ask(what, &capability::get(capability, next, capability::AT_ONCE))? else {
                return Ok(None);
            };
            let Some(page) = parse(&answer) else { return Ok(None) };
            let last = page.items.last().map(&key);
            found.extend(page.items);
            if !page.more {
                return Ok(Some(found));
            }
            match last.and_then(|last| last.checked_add(1)) {
                Some(after) if after > next => next = after,
                _ => return Ok(None),
            }
        }
        Ok(None)
    }

    /// Those that do not change, and those that do.
    fn properties(&mut self) -> Result<BTreeMap<u32, u32>> {
        const WHAT: &str = "ask for the TPM's properties";
        let mut all = BTreeMap::new();
        // A TPM gives one group at a time.
        for group in [FAMILY_INDICATOR, pt::PERMANENT] {
            let found =
                self.list(WHAT, (cap::TPM_PROPERTIES, group), capability::properties, |(property, _)| *property)?;
            all.extend(found.unwrap_or_default());
        }
        Ok(all)
    }

    fn handles(&mut self, what: &'static str, first: u32) -> Result<Option<Vec<u32>>> {
        let parse = |answer: &[u8]| capability::numbers(answer, cap::HANDLES);
        let handles = self.list(what, (cap::HANDLES, first), parse, |handle| *handle)?;
        // Where there is none of a kind, some TPMs go on with the next.
        let of_the_kind = |handles: Vec<u32>| handles.into_iter().filter(|handle| handle >> 24 == first >> 24);
        Ok(handles.map(|handles| of_the_kind(handles).take(MAX_HANDLES).collect()))
    }

    fn algorithms(&mut self) -> Result<Option<Vec<u32>>> {
        self.list("ask for the TPM's algorithms", (cap::ALGS, 0), capability::algorithms, |algorithm| *algorithm)
    }

    fn banks(&mut self, algorithms: Option<&[u32]>) -> Result<Option<Banks>> {
        let what = "ask for the TPM's banks of PCRs";
        let Some(answer) = self.ask(what, &capability::get(cap::PCRS, 0, capability::AT_ONCE))? else {
            return Ok(None);
        };
        let Some(page) = capability::banks(&answer) else { return Ok(None) };
        let names = |is_active: bool| {
            let banks = page.items.iter().filter(move |bank| (bank.pcrs != 0) == is_active);
            banks.map(|bank| bank::name(bank.bank)).collect::<Vec<_>>()
        };
        let (active, mut inactive) = (names(true), names(false));
        let has = |id: u16| algorithms.is_some_and(|algorithms| algorithms.contains(&u32::from(id)));
        let others = bank::ALL.into_iter().filter(|bank| has(bank.id)).map(|bank| bank.name.to_owned());
        let others: Vec<_> = others.filter(|name| !active.contains(name) && !inactive.contains(name)).collect();
        inactive.extend(others);
        Ok(Some(Banks { active, inactive }))
    }

    fn pcr7(&mut self) -> Result<Option<Pcr7>> {
        const ZEROS: Digest = [0; 32];
        let value = match self.tpm.read_pcr7() {
            Ok(value) => value,
            Err(_) if self.tpm.has_answered() => None,
            Err(error) => return Err(error),
        };
        Ok(value.map(|value| Pcr7 {
            value: hex(&value),
            state: match () {
                () if value == ZEROS => Pcr7State::Untouched,
                () if value == locked(&ZEROS) => Pcr7State::OnlyLocked,
                () => Pcr7State::Extended,
            },
        }))
    }

    /// The NV indices.
    fn indices(&mut self) -> Result<Option<Vec<FoundIndex>>> {
        const WHAT: &str = "look at the TPM's NV indices";
        let Some(handles) = self.handles(WHAT, first_handle::NV_INDEX)? else { return Ok(None) };
        let with_public = handles.into_iter().map(|handle| {
            let answer = self.ask(WHAT, &query::nv_public(handle))?;
            let public = answer.and_then(|answer| query::parse_nv_public(&answer));
            Ok(FoundIndex { handle, public: public.filter(|public| public.index == handle) })
        });
        with_public.collect::<Result<Vec<_>>>().map(Some)
    }

    fn persistent(&mut self) -> Result<Option<Vec<PersistentObject>>> {
        const WHAT: &str = "look at the TPM's persistent objects";
        let Some(handles) = self.handles(WHAT, first_handle::PERSISTENT)? else { return Ok(None) };
        let looked_at = handles.into_iter().map(|handle| {
            let answer = self.ask(WHAT, &command::read_public(handle))?;
            Ok(persistent_object(handle, answer.as_deref()))
        });
        looked_at.collect::<Result<Vec<_>>>().map(Some)
    }

    fn provisioning(&mut self, permanent: Option<u32>, indices: Option<&[FoundIndex]>) -> Result<Fitness> {
        let mut trust = Fitness {
            lacks: None,
            lacks_for_sealing: None,
            provisioning: Provisioning::Unknown,
            layout_version: None,
            policy_version: None,
        };
        let (Some(permanent), Some(indices)) = (permanent, indices) else { return Ok(trust) };
        let public = |index: Index| {
            indices.iter().find(|found| found.handle == index.handle()).and_then(|found| found.public.as_ref())
        };
        let Some(layout) = public(Index::LayoutVersion) else {
            trust.provisioning = Provisioning::None;
            return Ok(trust);
        };
        // What is laid out otherwise may have a password, and a wrong one counts.
        trust.layout_version = self.digits(Index::LayoutVersion, layout)?;
        trust.provisioning = match trust.layout_version.as_deref() {
            Some(layout) if layout.as_bytes() == super::layout::LAYOUT_VERSION => {
                let is_owned = permanent & permanent::OWNER_AUTH_SET != 0;
                if is_owned { Provisioning::Complete } else { Provisioning::Begun }
            }
            _ => Provisioning::Other,
        };
        if trust.provisioning == Provisioning::Complete
            && let Some(policy_version) = public(Index::PolicyVersion)
            && permanent & permanent::IN_LOCKOUT == 0
        {
            trust.policy_version = self.digits(Index::PolicyVersion, policy_version)?;
            self.tpm.expect_power_cut();
        }
        Ok(trust)
    }

    /// The content of an index of the layout that anyone may read, if it is laid out as it should be.
    fn digits(&mut self, index: Index, public: &NvPublic) -> Result<Option<String>> {
        let may_differ = attribute::WRITTEN | if index == Index::LayoutVersion { attribute::NO_DA } else { 0 };
        let is_laid_out = (public.attributes ^ index.attributes()) & !may_differ == 0
            && public.policy.is_empty()
            && index.sizes().contains(&public.size);
        if !is_laid_out || public.attributes & attribute::WRITTEN == 0 {
            return Ok(None);
        }
        let what = if index == Index::LayoutVersion { "read the layout version" } else { "read the policy version" };
        let answer = self.ask(what, &capability::nv_read(index.handle(), public.size, 0))?;
        let data = answer.as_deref().and_then(capability::nv_data);
        Ok(data.and_then(|data| str::from_utf8(data).ok()).map(printable))
    }

    /// What it lacks: for all of Trust, and for some ways of sealing.
    fn lacking(&mut self, algorithms: Option<&[u32]>, has_sha256: bool) -> Result<Option<Lacking>> {
        let mut lacks = Vec::new();
        let mut need = |is_there: bool, what: &str| {
            if !is_there {
                lacks.push(what.to_owned());
            }
        };
        let curves = self.list("ask for the TPM's curves", (cap::ECC_CURVES, 0), capability::curves, |curve| *curve)?;
        let has = |id: u16| algorithms.is_none_or(|algorithms| algorithms.contains(&u32::from(id)));
        need(has(alg::SHA256), "SHA-256");
        need(has_sha256, "PCRs in the sha256 bank");
        let p256 = u32::from(curve::NIST_P256);
        need(has(alg::ECC) && curves.is_none_or(|curves| curves.contains(&p256)), "ECC P-256");
        need(self.takes(&capability::test_aes_128_cfb())?, "AES-128-CFB");
        need(self.takes(&capability::test_rsa_2048())?, "RSA 2048");
        let parse = |answer: &[u8]| capability::numbers(answer, cap::COMMANDS);
        let first = COMMANDS.iter().map(|command| command.code).min().unwrap_or_default();
        let key = |attributes: &u32| attributes & COMMAND_INDEX;
        let Some(commands) = self.list("ask for the TPM's commands", (cap::COMMANDS, first), parse, key)? else {
            return Ok(None);
        };
        let missing = |what_for: For| {
            let missing = COMMANDS.iter().filter(|command| {
                command.what_for == what_for && !commands.iter().any(|have| have & COMMAND_INDEX == command.code)
            });
            missing.map(|command| format!("TPM2_{}", command.name)).collect::<Vec<_>>()
        };
        lacks.extend(missing(For::Boot));
        Ok(Some(Lacking { altogether: lacks, for_sealing: missing(For::Sealing) }))
    }

    /// Whether it takes these parameters; one that does not know the question may.
    fn takes(&mut self, test: &[u8]) -> Result<bool> {
        let answer = self.ask("ask what the TPM is capable of", test)?;
        Ok(answer.is_some()
            || !response_code::is_unknown_algorithm(self.tpm.last_code()) && {
                !matches!(self.tpm.last_code(), response_code::VALUE)
            })
    }
}

fn manufacturer(properties: &BTreeMap<u32, u32>) -> Option<Manufacturer> {
    let id = text(&[*properties.get(&MANUFACTURER)?]);
    let words: Vec<_> = (VENDOR_STRING_1..VENDOR_STRING_1 + 4).filter_map(|at| properties.get(&at).copied()).collect();
    let model = text(&words);
    Some(Manufacturer { name: vendor::name(&id), remark: vendor::remark(&id, &model), id, model })
}

/// Characters, four in a property, without what they are padded with.
fn text(words: &[u32]) -> String {
    let bytes: Vec<u8> = words.iter().flat_map(|word| word.to_be_bytes()).filter(|byte| *byte != 0).collect();
    let words = String::from_utf8_lossy(&bytes);
    printable(&words.split(' ').filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" "))
}

/// Four numbers, as vendors and fwupd write a firmware version.
fn firmware(first: Option<u32>, second: Option<u32>) -> Option<String> {
    let halves = |word: u32| format!("{}.{}", word >> 16, word & 0xffff);
    Some(match second {
        Some(second) => format!("{}.{}", halves(first?), halves(second)),
        None => halves(first?),
    })
}

/// A day of a year as a date, if there is such a day.
fn date(year: u32, day: u32) -> Option<String> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let months = [31, if is_leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut left = day.checked_sub(1).filter(|_| (2000..2200).contains(&year))?;
    for (month, days) in (1..).zip(months) {
        if left < days {
            return Some(format!("{year}-{month:02}-{:02}", left + 1));
        }
        left -= days;
    }
    None
}

fn hierarchies(permanent: u32, startup: Option<u32>) -> Hierarchies {
    let enabled = |bit: u32| startup.map(|startup| startup & bit != 0);
    let state = |enabled, bit| HierarchyState { enabled, password_set: permanent & bit != 0 };
    Hierarchies {
        owner: state(enabled(startup_clear::STORAGE_ENABLED), permanent::OWNER_AUTH_SET),
        endorsement: state(enabled(startup_clear::ENDORSEMENT_ENABLED), permanent::ENDORSEMENT_AUTH_SET),
        lockout: state(None, permanent::LOCKOUT_AUTH_SET),
        platform_enabled: enabled(startup_clear::PLATFORM_ENABLED),
    }
}

fn persistent_object(handle: u32, answer: Option<&[u8]>) -> PersistentObject {
    let summary = answer.and_then(command::public_area).and_then(ObjectSummary::parse);
    let primary_of = answer.and_then(command::names).and_then(|(name, qualified)| primary_of(name, qualified));
    let hierarchy = match primary_of {
        Some(Hierarchy::Owner) => "owner",
        Some(Hierarchy::Endorsement) => "endorsement",
        Some(Hierarchy::Platform) => "platform",
        None if handle >= first_handle::PLATFORM_PERSISTENT => "platform",
        None => "unknown",
    };
    let role = summary.as_ref().map_or("unknown", |summary| match summary.role(primary_of) {
        // The TCG has one place for it; there may be others.
        "storage root key (SRK)" if handle != SRK_HANDLE => "primary storage key",
        role => role,
    });
    PersistentObject {
        handle: format!("{handle:#010x}"),
        algorithm: summary.map(|summary| summary.algorithm()),
        role,
        hierarchy,
    }
}

/// Which hierarchy has this key as a primary one: its handle is then in the place of a parent's Name (part 1, section 16).
fn primary_of(name: &[u8], qualified: &[u8]) -> Option<Hierarchy> {
    let bank = Bank::by_id(Reader::new(name).be16()?)?;
    let is_below = |parent: u32| {
        let mut digest = bank.begin();
        digest.update(&parent.to_be_bytes());
        digest.update(name);
        qualified.get(2..) == Some(digest.finish().as_ref())
    };
    let hierarchies =
        [(rh::OWNER, Hierarchy::Owner), (rh::ENDORSEMENT, Hierarchy::Endorsement), (rh::PLATFORM, Hierarchy::Platform)];
    hierarchies.into_iter().find(|(handle, _)| is_below(*handle)).map(|(_, hierarchy)| hierarchy)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_of_a_year_become_dates() {
        assert_eq!(date(2019, 312).as_deref(), Some("2019-11-08"));
        assert_eq!(date(2020, 60).as_deref(), Some("2020-02-29"));
        assert_eq!(date(2020, 366).as_deref(), Some("2020-12-31"));
        assert_eq!(date(2019, 1).as_deref(), Some("2019-01-01"));
        for (year, day) in [(2019, 366), (2019, 0), (0, 1), (u32::MAX, u32::MAX), (2019, u32::MAX)] {
            assert_eq!(date(year, day), None, "{year} {day}");
        }
    }

    #[test]
    fn text_is_padded_with_zeros_or_blanks_and_may_be_anything() {
        assert_eq!(text(&[u32::from_be_bytes(*b"IFX\0")]), "IFX");
        assert_eq!(text(&[u32::from_be_bytes(*b"SW  "), u32::from_be_bytes(*b" TPM")]), "SW TPM");
        assert_eq!(text(&[0x1b5b_324a]), "\u{fffd}[2J");
        assert_eq!(firmware(Some(0x0007_0055), Some(0x11cb_0000)).as_deref(), Some("7.85.4555.0"));
    }
}
