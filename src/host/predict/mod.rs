//! PCR 7 of the boots of a keyset: what a firmware, and a shim, measure before they start its images.
//!
//! - [`databases`]: the signature databases of a keyset's machines, here and when they are enrolled;
//! - [`firmware`]: what a firmware measures, and in which order, by default or as a log shows it;
//! - [`profile`]: what of a machine is not in its keyset, and what it is by default;
//! - [`shim`]: what a shim measures, as read from its file.

pub mod databases;
pub mod firmware;
pub mod profile;
pub mod shim;

use super::keyset::{Keyset, Role};
use crate::{
    digest::{self, Digest},
    error::{Error, Kind, Result},
    event_log::{self, AUTHORITY, DRIVER_CONFIG, SEPARATOR},
    explain,
    host::{
        keyset::signed_policy::Values,
        uefi::{
            signature_list,
            variable::{DB, Variable},
        },
    },
    measure::pcr,
    policy::boot_kind::BootKind,
};
use firmware::Place;
use profile::Machine;

/// The name of a type of event (TCG PC Client Platform Firmware Profile, section 10.4.1).
#[must_use]
pub fn type_name(kind: u32) -> String {
    match kind {
        DRIVER_CONFIG => "EV_EFI_VARIABLE_DRIVER_CONFIG".to_owned(),
        SEPARATOR => "EV_SEPARATOR".to_owned(),
        AUTHORITY => "EV_EFI_VARIABLE_AUTHORITY".to_owned(),
        event_log::ACTION => "EV_EFI_ACTION".to_owned(),
        other => format!("{other:#010x}"),
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its type, `EV_…`.
    pub kind: u32,
    /// The variable that it names, or `separator`, or what has been done.
    pub name: String,
    /// The bytes that are hashed: `UEFI_VARIABLE_DATA`, the separator, a text.
    pub data: Vec<u8>,
    /// Their SHA-256.
    pub digest: Digest,
    /// PCR 7 after it.
    pub pcr7: Digest,
}

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
        let last = |kind| self.of(kind).last().map_or([0; 32], |event| event.pcr7);
        Values { production: last(BootKind::Production), limited: last(BootKind::Limited), tpm: last(BootKind::Admin) }
    }

    /// How many events the boots of all three have in common, from the first on.
    #[must_use]
    pub fn common(&self) -> usize {
        let rest = self.limited.iter().zip(&self.tpm);
        self.production.iter().zip(rest).take_while(|(one, (two, three))| one == two && two == three).count()
    }

    /// The events of a production boot as [`crate::explain`] reads them: a line `NAME DIGEST [SIGNER]` for each.
    #[must_use]
    pub fn production_events(&self) -> String {
        let line = |event: &Event| {
            let signer = explain::signer_of(&event.data).filter(|_| event.kind == AUTHORITY);
            let (name, digest) = (event.name.replace(' ', "_"), digest::hex(&event.digest));
            format!("{name} {digest} {}", signer.unwrap_or_default()).trim_end().to_owned() + "\n"
        };
        self.production.iter().map(line).collect()
    }
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
        let mut log = Log::default();
        for place in &machine.firmware.places {
            match place {
                Place::Variable(known) => {
                    // What is not a database is SecureBoot.
                    let lists = databases.of_variable(*known).map(signature_list::to_bytes).transpose()?;
                    log.variable(DRIVER_CONFIG, *known, &lists.unwrap_or_else(|| vec![1]));
                }
                Place::Image => log.variable(AUTHORITY, variable, &entry),
                Place::Own(own) if own.stays(&databases.db) => {
                    log.event(own.kind, own.name.clone(), own.data.clone(), own.digest);
                }
                Place::Own(_) => {}
            }
        }
        if let Some(shim) = &shim {
            for (variable, contents) in shim.state() {
                log.variable(AUTHORITY, variable, contents);
            }
            let (variable, entry) = shim.authority(&certificate).ok_or_else(|| {
                let what = format!("predict PCR 7 of images signed by {}", role.dir());
                Error::new(Kind::Usage, what, "this shim does not hold its certificate and would not start them")
                    .remedy("build it with the keyset's vendor_db.esl, see `trust enroll auth --help`")
            })?;
            log.variable(AUTHORITY, variable, &entry);
        }
        Ok(log.0)
    };
    Ok(Prediction {
        production: events(BootKind::Production)?,
        limited: events(BootKind::Limited)?,
        tpm: events(BootKind::Admin)?,
    })
}

/// The events so far, from a PCR of zeros on.
#[derive(Default)]
struct Log(Vec<Event>);

impl Log {
    fn event(&mut self, kind: u32, name: String, data: Vec<u8>, digest: Digest) {
        let before = self.0.last().map_or([0; 32], |event| event.pcr7);
        self.0.push(Event { kind, name, data, digest, pcr7: pcr::extend(&before, &digest) });
    }

    fn variable(&mut self, kind: u32, variable: Variable<'_>, contents: &[u8]) {
        let data = variable.data(contents);
        let digest = digest::hash(&[&data]);
        self.event(kind, variable.name.to_owned(), data, digest);
    }
}
