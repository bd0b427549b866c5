//! PCR 7 of the boots of a keyset: what a firmware, and a shim, measure before they start its images.
//!
//! - [`databases`]: the signature databases of a keyset's machines, here and when they are enrolled;
//! - [`profile`]: what of a machine is not in its keyset, and what it is by default;
//! - [`shim`]: what a shim measures, as read from its file.

pub mod databases;
pub mod profile;
pub mod shim;

use super::{
    format::{
        signature_list,
        variable::{DB, DBX, KEK, PK, SECURE_BOOT, Variable},
    },
    keyset::{Keyset, Role},
    signed_policy::Values,
};
use crate::{
    error::{Error, Kind, Result},
    explain,
    policy::digest::{self, Digest},
};
use databases::Databases;
use profile::Machine;

/// What kind of event the firmware logs (TCG PC Client Platform Firmware Profile, section 10.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventType {
    /// `EV_EFI_VARIABLE_DRIVER_CONFIG`: Secure Boot's configuration.
    DriverConfig,
    /// `EV_SEPARATOR`: from here on it is no longer configuration.
    Separator,
    /// `EV_EFI_VARIABLE_AUTHORITY`: what an image was verified with.
    Authority,
}

impl EventType {
    /// Its name in the specification.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::DriverConfig => "EV_EFI_VARIABLE_DRIVER_CONFIG",
            Self::Separator => "EV_SEPARATOR",
            Self::Authority => "EV_EFI_VARIABLE_AUTHORITY",
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type.
    pub kind: EventType,
    /// The variable that it names, or `separator`.
    pub name: String,
    /// The bytes that are hashed: `UEFI_VARIABLE_DATA`, or the separator.
    pub data: Vec<u8>,
    /// Their SHA-256.
    pub digest: Digest,
    /// PCR 7 after it.
    pub pcr7: Digest,
}

/// What the boots of a keyset's three kinds of images measure into PCR 7.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// In every boot.
    pub common: Vec<Event>,
    /// The last event of a boot of an image signed by uki-production.
    pub production: Event,
    /// By uki-limited.
    pub limited: Event,
    /// By uki-tpm.
    pub tpm: Event,
}

impl Prediction {
    /// The three values.
    #[must_use]
    pub const fn values(&self) -> Values {
        Values { production: self.production.pcr7, limited: self.limited.pcr7, tpm: self.tpm.pcr7 }
    }

    /// The events of a production boot as [`crate::explain`] reads them: a line `NAME DIGEST [SIGNER]` for each.
    #[must_use]
    pub fn production_events(&self) -> String {
        let line = |event: &Event| {
            let signer = explain::signer_of(&event.data).filter(|_| event.kind == EventType::Authority);
            let digest = digest::hex(&event.digest);
            format!("{} {digest} {}", event.name, signer.unwrap_or_default()).trim_end().to_owned() + "\n"
        };
        self.common.iter().chain([&self.production]).map(line).collect()
    }
}

/// Computes what the machines of a keyset measure, in the order in which they do.
///
/// # Errors
/// [`Kind::Usage`] when such a machine would not start these images; else those of reading the keyset.
pub fn predict(keyset: &Keyset, machine: &Machine) -> Result<Prediction> {
    let databases = Databases::of(keyset, machine.chain, &machine.foreign)?;
    let mut log = Log::default();
    log.variable(EventType::DriverConfig, SECURE_BOOT, &[1]);
    for (variable, lists) in [(PK, &databases.pk), (KEK, &databases.kek), (DB, &databases.db), (DBX, &databases.dbx)] {
        log.variable(EventType::DriverConfig, variable, &signature_list::to_bytes(lists)?);
    }
    log.separator();
    let shim = machine.shim_of(keyset)?;
    if let Some(shim) = &shim {
        let (variable, entry) = shim.firmware_authority(&databases.db)?;
        log.variable(EventType::Authority, variable, &entry);
        for (variable, contents) in shim.state() {
            log.variable(EventType::Authority, variable, contents);
        }
    }
    let last = |role: Role| -> Result<Event> {
        let certificate = keyset.certificate_der(role)?;
        let authority = match &shim {
            None => databases::entry_of(&databases.db, &certificate).map(|entry| (DB, entry.to_bytes())),
            Some(shim) => shim.authority(&certificate),
        };
        let (variable, entry) = authority.ok_or_else(|| {
            let what = format!("predict PCR 7 of images signed by {}", role.dir());
            Error::new(Kind::Usage, what, "this shim does not hold its certificate and would not start them")
                .remedy("build it with the keyset's vendor_db.esl, see `trust enroll auth --help`")
        })?;
        Ok(log.next(EventType::Authority, variable.name, variable.data(&entry)))
    };
    let (production, limited, tpm) = (last(Role::UkiProduction)?, last(Role::UkiLimited)?, last(Role::UkiTpm)?);
    Ok(Prediction { common: log.events, production, limited, tpm })
}

/// The events so far, from a PCR of zeros on.
#[derive(Default)]
struct Log {
    events: Vec<Event>,
}

impl Log {
    /// The event that would follow.
    fn next(&self, kind: EventType, name: &str, data: Vec<u8>) -> Event {
        let digest = digest::hash(&[&data]);
        let before = self.events.last().map_or([0; 32], |event| event.pcr7);
        Event { kind, name: name.to_owned(), data, digest, pcr7: digest::extend(&before, &digest) }
    }

    fn variable(&mut self, kind: EventType, variable: Variable<'_>, contents: &[u8]) {
        let event = self.next(kind, variable.name, variable.data(contents));
        self.events.push(event);
    }

    fn separator(&mut self) {
        let event = self.next(EventType::Separator, "separator", vec![0; 4]);
        self.events.push(event);
    }
}
