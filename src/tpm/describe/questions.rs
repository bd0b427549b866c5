//! What the TPM is asked, and what its answers are for.

use super::{Banks, Fitness, Pcr7, Pcr7State, PersistentObject, Provisioning, words::persistent_object};
use crate::{
    digest::{Digest, hex},
    error::{Error, Kind, Result},
    foreign::printable,
    measure::pcr::locked,
    tpm::{
        connection::Tpm,
        layout::{self, Index},
        needs::{COMMANDS, For},
        response_code,
    },
    tpm2::{
        NvPublic, bank,
        capability::{self, Page},
        command,
        constants::{alg, cap, curve, first_handle, permanent, pt, pt_description::FAMILY_INDICATOR},
        nv::attribute,
        query,
    },
};
use std::{collections::BTreeMap, time::Instant};

/// Answers of one list at most: a TPM gives dozens of items at once.
const MAX_PAGES: usize = 64;
/// Handles of a kind that are looked at; no TPM has room for as many.
const MAX_HANDLES: usize = 256;
/// How long the whole may take, in times that a response is waited for.
const PATIENCE: u32 = 6;
/// Commands per `TPM_CC` index: the rest of a `TPMA_CC` are attributes.
const COMMAND_INDEX: u32 = 0x2000_ffff;

/// An index that the TPM has, with its public area if that can be read.
pub(super) struct FoundIndex {
    handle: u32,
    pub(super) public: Option<NvPublic>,
}

/// What a TPM lacks.
pub(super) struct Lacking {
    pub(super) altogether: Vec<String>,
    pub(super) for_sealing: Vec<String>,
}

/// Asks until there is an answer, nothing else to ask, or no time left.
pub(super) struct Questions<'a> {
    pub(super) tpm: &'a mut Tpm,
    pub(super) begun: Instant,
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
    pub(super) fn properties(&mut self) -> Result<BTreeMap<u32, u32>> {
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

    pub(super) fn algorithms(&mut self) -> Result<Option<Vec<u32>>> {
        self.list("ask for the TPM's algorithms", (cap::ALGS, 0), capability::algorithms, |algorithm| *algorithm)
    }

    pub(super) fn banks(&mut self, algorithms: Option<&[u32]>) -> Result<Option<Banks>> {
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

    pub(super) fn pcr7(&mut self) -> Result<Option<Pcr7>> {
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
    pub(super) fn indices(&mut self) -> Result<Option<Vec<FoundIndex>>> {
        const WHAT: &str = "look at the TPM's NV indices";
        let Some(handles) = self.handles(WHAT, first_handle::NV_INDEX)? else { return Ok(None) };
        let with_public = handles.into_iter().map(|handle| {
            let answer = self.ask(WHAT, &query::nv_public(handle))?;
            let public = answer.and_then(|answer| query::parse_nv_public(&answer));
            Ok(FoundIndex { handle, public: public.filter(|public| public.index == handle) })
        });
        with_public.collect::<Result<Vec<_>>>().map(Some)
    }

    pub(super) fn persistent(&mut self) -> Result<Option<Vec<PersistentObject>>> {
        const WHAT: &str = "look at the TPM's persistent objects";
        let Some(handles) = self.handles(WHAT, first_handle::PERSISTENT)? else { return Ok(None) };
        let looked_at = handles.into_iter().map(|handle| {
            let answer = self.ask(WHAT, &command::read_public(handle))?;
            Ok(persistent_object(handle, answer.as_deref()))
        });
        looked_at.collect::<Result<Vec<_>>>().map(Some)
    }

    pub(super) fn provisioning(&mut self, permanent: Option<u32>, indices: Option<&[FoundIndex]>) -> Result<Fitness> {
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
            Some(layout) if layout.as_bytes() == layout::LAYOUT_VERSION => {
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
    pub(super) fn lacking(&mut self, algorithms: Option<&[u32]>, has_sha256: bool) -> Result<Option<Lacking>> {
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
