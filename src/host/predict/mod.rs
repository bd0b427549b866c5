//! What machines will measure: the boots of a keyset from nothing, and the next boot of a machine from its last.
//!
//! PCR 7 of the boots of a keyset, which a firmware, and a shim, extend before they start its images:
//!
//! - [`databases`]: the signature databases of a keyset's machines, here and when they are enrolled;
//! - [`firmware`]: what a firmware measures, and in which order, by default or as a log shows it;
//! - [`profile`]: what of a machine is not in its keyset, and what it is by default;
//! - [`shim`]: what a shim measures, as read from its file.
//!
//! PCRs of a machine's next boot, behind updates:
//!
//! - [`update`]: what is going to change; [`update_file`]: the files that databases are updated with; [`live`]: the variables
//!   as they are;
//! - [`next_boot`]: the set of values that follows; `plan`, `logged_boot`, `secure_boot`, `sbat`,
//!   `owners_keys`, `started`: how;
//! - [`verifier`]: which entry of which database lets an image through;
//! - [`judge`]: whether a machine then opens; [`approve`]: policies signed for it; [`accepted`]: though something is not as it
//!   should be.

pub mod accepted;
pub mod approve;
pub mod databases;
pub mod firmware;
pub mod judge;
pub mod live;
mod logged_boot;
pub mod next_boot;
mod owners_keys;
mod plan;
pub mod profile;
pub mod sbat;
mod secure_boot;
pub mod shim;
mod started;
pub mod update;
pub mod update_file;
pub mod verifier;

use super::keyset::{Keyset, Role};
use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::signed_policy::{self, Note, Policies, Values},
        uefi::{
            signature_list,
            variable::{DB, Variable},
        },
    },
    measure::{
        event::{Event, EventType},
        expected, pcr,
    },
    policy::{boot_kind::BootKind, version},
};
use firmware::Slot;
use profile::Machine;

/// What is done with a log.
const WHAT_LOG: &str = "sign policies for what the log shows";

/// What the boots of a keyset's three kinds of images measure into PCR 7.
#[derive(Clone, Debug)]
pub struct Prediction {
    /// In a boot of an image signed by uki-production.
    pub production: Vec<Event>,
    /// By uki-limited.
    pub limited: Vec<Event>,
    /// By uki-tpm.
    pub tpm: Vec<Event>,
}

impl Prediction {
    /// The events of a kind of boots.
    #[must_use]
    pub fn of(&self, kind: BootKind) -> &[Event] {
        match kind {
            BootKind::Production => &self.production,
            BootKind::Limited => &self.limited,
            BootKind::Admin => &self.tpm,
        }
    }

    /// The three values.
    #[must_use]
    pub fn values(&self) -> Values {
        let last = |kind| pcr::replay(self.of(kind)).pop().unwrap_or([0; 32]);
        Values { production: last(BootKind::Production), limited: last(BootKind::Limited), tpm: last(BootKind::Admin) }
    }

    /// How many events the boots of all three have in common, from the first on.
    #[must_use]
    pub fn common(&self) -> usize {
        let rest = self.limited.iter().zip(&self.tpm);
        self.production.iter().zip(rest).take_while(|(one, (two, three))| one == two && two == three).count()
    }
}

/// Signs policies for what such machines measure, for those whose TPM has the first policy version, and adds them to
/// the keyset's.
///
/// # Errors
/// As [`pcr7`] and [`signed_policy::add`].
pub fn sign(keyset: &Keyset, machine: &Machine) -> Result<()> {
    let prediction = pcr7(keyset, machine)?;
    let (values, events) = (prediction.values(), expected::write(&prediction.production));
    let note = Note { comment: &machine.to_string(), events: Some(&events) };
    signed_policy::add(keyset, &values, &Policies::of(&values, version::FIRST)?, note)
}

/// Computes what the machines of a keyset measure, in the order in which they do.
///
/// # Errors
/// [`Kind::Usage`] when such a machine would not start these images; else those of reading the keyset.
pub fn pcr7(keyset: &Keyset, machine: &Machine) -> Result<Prediction> {
    let databases = machine.firmware.databases(keyset, machine.chain, &machine.foreign)?;
    let shim = machine.shim_of(keyset)?;
    let events = |kind: BootKind| -> Result<Vec<Event>> {
        let role = Role::of_images(kind);
        let certificate = keyset.certificate_der(role)?;
        let entry = match &shim {
            None => databases::entry_of(&databases.db, &certificate).map(|entry| (DB, entry.to_bytes())),
            Some(shim) => Some(shim.firmware_authority(&databases.db)?),
        };
        let (variable, entry) = entry.ok_or_else(|| {
            let what = format!("predict PCR 7 of images signed by {}", role.dir());
            Error::new(Kind::Usage, what, "the db of this machine does not hold its certificate").remedy(
                "enrol the keyset's keys, see `trust enroll --help`, or name the shim that is started: --shim FILE",
            )
        })?;
        let mut events = Vec::new();
        for place in &machine.firmware.slots {
            match place {
                Slot::Variable(known) => {
                    // What is not a database is SecureBoot.
                    let lists = databases.of_variable(*known).map(signature_list::to_bytes).transpose()?;
                    events.push(driver_config(*known, &lists.unwrap_or_else(|| vec![1])));
                }
                Slot::Image => events.push(authority(variable, &entry)),
                Slot::Own(event) if firmware::stays(event, &databases.db) => events.push(event.clone()),
                Slot::Own(_) => {}
            }
        }
        if let Some(shim) = &shim {
            for (variable, contents) in shim.state() {
                events.push(authority(variable, contents));
            }
            let (variable, entry) = shim.authority(&certificate).ok_or_else(|| {
                let what = format!("predict PCR 7 of images signed by {}", role.dir());
                Error::new(Kind::Usage, what, "this shim does not hold its certificate and would not start them")
                    .remedy("build it with the keyset's vendor_db.esl, see `trust enroll auth --help`")
            })?;
            events.push(authority(variable, &entry));
        }
        Ok(events)
    };
    Ok(Prediction {
        production: events(BootKind::Production)?,
        limited: events(BootKind::Limited)?,
        tpm: events(BootKind::Admin)?,
    })
}

/// The event of a variable that configures Secure Boot.
fn driver_config(variable: Variable<'_>, contents: &[u8]) -> Event {
    Event::measured(7, EventType::EFI_VARIABLE_DRIVER_CONFIG, variable.data(contents))
}

/// The event of what an image was verified with, or of a shim's variable.
fn authority(variable: Variable<'_>, contents: &[u8]) -> Event {
    Event::measured(7, EventType::EFI_VARIABLE_AUTHORITY, variable.data(contents))
}
