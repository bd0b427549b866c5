//! What the events of the logs make of the PCRs, in every bank whose hash is known.

use super::{
    ima::extensions::ImaExtension,
    read::{FirmwareLog, LoggedEvent},
};
use crate::{
    measure::{
        event::{Event, EventType},
        history::STARTUP_LOCALITY,
        user_space::Record,
    },
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::bank,
};
use aws_lc_rs::digest::{self, Algorithm};
use sm3::{Digest as _, Sm3};
use std::collections::BTreeMap;

/// A TPM of a PC has so many PCRs.
pub const PCRS: u32 = 24;
/// Bytes of the largest digest of a bank.
const LARGEST_DIGEST: usize = 64;
/// The locality of a start that an H-CRTM has measured (TCG PC Client Platform Firmware Profile 1.06, section 10.4.5.3).
const H_CRTM_LOCALITY: u8 = 4;

/// One extension of one PCR.
#[derive(Clone, Copy, Debug)]
pub enum PcrExtension<'a> {
    /// By the firmware and what it has started.
    Firmware(&'a LoggedEvent<'a>),
    /// By the kernel's IMA.
    Ima(&'a ImaExtension),
    /// By the system: which record, beginning with 1.
    UserSpace(usize, &'a Record),
}

impl<'a> PcrExtension<'a> {
    /// What the bank was extended with.
    #[must_use]
    pub fn digest(&self, bank: u16) -> Option<&'a [u8]> {
        let digests = match self {
            Self::Firmware(logged) => &logged.event.digests,
            Self::Ima(extension) => &extension.digests,
            Self::UserSpace(_, record) => &record.digests,
        };
        let digest = digests.iter().find(|(id, _)| *id == bank).map(|(_, digest)| digest.as_slice());
        // A header may lie about the size.
        digest.filter(|digest| bank::by_id(bank).is_none_or(|bank| bank.size == digest.len()))
    }
}

/// The logs of a boot: those of the kernel and of the system are behind the firmware's.
#[derive(Clone, Copy, Debug)]
pub struct BootLogs<'a> {
    /// The firmware's.
    pub firmware: &'a FirmwareLog<'a>,
    /// IMA's list, with digests of the banks that are asked for.
    pub ima: &'a [ImaExtension],
    /// The system's.
    pub user_space: &'a [Record],
}

impl<'a> BootLogs<'a> {
    /// What has extended each PCR, in its order.
    #[must_use]
    pub fn extensions(&self) -> BTreeMap<u8, Vec<PcrExtension<'a>>> {
        let mut extensions: BTreeMap<u8, Vec<PcrExtension<'a>>> = BTreeMap::new();
        for logged in self.firmware.events.iter().filter(|logged| extends(&logged.event)) {
            if let Ok(pcr) = u8::try_from(logged.event.pcr) {
                extensions.entry(pcr).or_default().push(PcrExtension::Firmware(logged));
            }
        }
        for extension in self.ima.iter().filter(|extension| u32::from(extension.pcr) < PCRS) {
            extensions.entry(extension.pcr).or_default().push(PcrExtension::Ima(extension));
        }
        for (number, record) in (1..).zip(self.user_space).filter(|(_, record)| u32::from(record.pcr) < PCRS) {
            extensions.entry(record.pcr).or_default().push(PcrExtension::UserSpace(number, record));
        }
        extensions
    }

    /// The banks that the logs have digests of, known or not, each once.
    #[must_use]
    pub fn banks(&self) -> Vec<u16> {
        let listed = self.firmware.algorithms.iter().map(|(id, _)| *id);
        let recorded = self.user_space.iter().flat_map(|record| record.digests.iter().map(|(id, _)| *id));
        // A log of the first format that holds nothing has no bank.
        let listed = listed.filter(|_| !self.firmware.events.is_empty() || self.firmware.header.is_some());
        let mut banks: Vec<u16> = Vec::new();
        for id in listed.chain(recorded) {
            if !banks.contains(&id) {
                banks.push(id);
            }
        }
        banks
    }

    /// From which locality the TPM was started: what the log says of it, or that an H-CRTM came before.
    #[must_use]
    pub fn locality(&self) -> u8 {
        let of_pcr_0 = || self.firmware.events.iter().map(|logged| &logged.event).filter(|event| event.pcr == 0);
        if of_pcr_0().any(|event| event.kind == EventType::EFI_HCRTM_EVENT) {
            return H_CRTM_LOCALITY;
        }
        let said = of_pcr_0().filter(|event| !event.extends());
        said.rev().find_map(|event| locality_of(event.data)).unwrap_or(0)
    }

    /// The PCRs that have been extended, in every bank that can be computed.
    #[must_use]
    pub fn replay(&self) -> PcrValues {
        let (extensions, locality, mut values) = (self.extensions(), self.locality(), Vec::new());
        for bank in self.banks() {
            for (number, extensions) in &extensions {
                let digests: Option<Vec<&[u8]>> = extensions.iter().map(|extension| extension.digest(bank)).collect();
                // What has left this bank out has left its PCR unknown.
                let Some(start) = digests.as_ref().and_then(|_| start(bank, *number, locality)) else {
                    continue;
                };
                if let Some(value) = digests.and_then(|digests| last(bank, start, &digests)) {
                    values.push((PcrName { bank, number: *number }, value));
                }
            }
        }
        PcrValues::new(values)
    }
}

/// Whether an event extends a PCR of a TPM. What has another index is for programs that read the log.
#[must_use]
pub fn extends(event: &Event<&[u8]>) -> bool {
    event.extends() && event.pcr < PCRS
}

/// The locality in the data of a `StartupLocality` event.
#[must_use]
pub fn locality_of(data: &[u8]) -> Option<u8> {
    match data.strip_prefix(STARTUP_LOCALITY) {
        Some([locality, ..]) => Some(*locality),
        _ => None,
    }
}

/// What a PCR begins with (TPM 2.0 Library part 3, section 9.3.1; PC Client Platform TPM Profile, section 4.6.2).
#[must_use]
pub fn start(bank: u16, pcr: u8, locality: u8) -> Option<Vec<u8>> {
    let size = bank::by_id(bank)?.size;
    let mut value = vec![if (17..=22).contains(&pcr) { 0xff } else { 0 }; size];
    if pcr == 0 {
        value.iter_mut().next_back().into_iter().for_each(|last| *last = locality);
    }
    Some(value)
}

/// The hash of a bank.
#[derive(Clone, Copy, Debug)]
pub enum BankHash {
    /// Of the SHA families.
    Sha(&'static Algorithm),
    /// GB/T 32905-2016.
    Sm3,
}

impl BankHash {
    /// That of a bank, if it is known.
    #[must_use]
    pub const fn of(bank: u16) -> Option<Self> {
        Some(match bank {
            0x0004 => Self::Sha(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            0x000b => Self::Sha(&digest::SHA256),
            0x000c => Self::Sha(&digest::SHA384),
            0x000d => Self::Sha(&digest::SHA512),
            0x0012 => Self::Sm3,
            0x0027 => Self::Sha(&digest::SHA3_256),
            0x0028 => Self::Sha(&digest::SHA3_384),
            0x0029 => Self::Sha(&digest::SHA3_512),
            _ => return None,
        })
    }

    /// The digest of these bytes.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        self.with_digest(bytes, <[u8]>::to_vec)
    }

    /// A PCR after one more extension.
    #[must_use]
    pub fn extended(self, value: &[u8], digest: &[u8]) -> Vec<u8> {
        let mut value = value.to_vec();
        self.extend(&mut value, digest);
        value
    }

    /// Extends a PCR. Thousands of extensions are a log: what goes into the hash is on the stack, and hashed in one go, since
    /// contexts cost more than the hash of so few bytes.
    fn extend(self, value: &mut Vec<u8>, digest: &[u8]) {
        let mut room = [0; 2 * LARGEST_DIGEST];
        let Some(both) = room.get_mut(..value.len() + digest.len()) else { return };
        let (before, after) = both.split_at_mut(value.len());
        before.copy_from_slice(value);
        after.copy_from_slice(digest);
        self.with_digest(both, |next| {
            value.clear();
            value.extend_from_slice(next);
        });
    }

    fn with_digest<T>(self, bytes: &[u8], then: impl FnOnce(&[u8]) -> T) -> T {
        match self {
            Self::Sha(algorithm) => then(digest::digest(algorithm, bytes).as_ref()),
            Self::Sm3 => then(&Sm3::digest(bytes)),
        }
    }
}

/// A PCR after all of these.
#[must_use]
pub fn last(bank: u16, start: Vec<u8>, digests: &[&[u8]]) -> Option<Vec<u8>> {
    let (hash, mut value) = (BankHash::of(bank)?, start);
    digests.iter().for_each(|digest| hash.extend(&mut value, digest));
    Some(value)
}
