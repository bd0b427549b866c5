//! What a firmware measures into PCR 7, and in which order: that of EDK II, or what a machine's event log shows.

use super::databases::{self, Chain, Databases, Foreign};
use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::{Keyset, Role},
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, KEK, PK, SECURE_BOOT, Variable},
        },
    },
    measure::{
        event::{Event, EventType},
        explain, log,
        variable::VariableData,
    },
};

const AUTHORITY: EventType = EventType::EFI_VARIABLE_AUTHORITY;
const DRIVER_CONFIG: EventType = EventType::EFI_VARIABLE_DRIVER_CONFIG;

/// The variables whose contents a keyset decides.
const VARIABLES: [Variable<'_>; 5] = [SECURE_BOOT, PK, KEK, DB, DBX];

/// A firmware's events in PCR 7, with slots for what keyset and image decide.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// In their order.
    pub slots: Vec<Slot>,
    /// The databases as they are logged; without a log there are none.
    logged: Option<Databases>,
    /// What is odd about the log, for the owner to know.
    pub doubts: Vec<String>,
}

/// One event, or what decides it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Slot {
    /// `SecureBoot`, or one of the databases.
    Variable(Variable<'static>),
    /// What the image was verified with that the firmware starts.
    Image,
    /// An event of the firmware's own, or the separator: one that no keyset changes.
    Own(Event),
}

impl Firmware {
    /// EDK II as it is built by default.
    #[must_use]
    pub fn edk2() -> Self {
        let separator = Event::measured(7, EventType::SEPARATOR, vec![0; 4]);
        let variables = VARIABLES.into_iter().map(Slot::Variable);
        Self { slots: variables.chain([Slot::Own(separator), Slot::Image]).collect(), logged: None, doubts: Vec::new() }
    }

    /// The firmware that has written this log, as the kernel shows it (`binary_bios_measurements`): in any boot of the
    /// machine, of whatever system, with Secure Boot on or off.
    ///
    /// # Errors
    /// [`Kind::Corrupt`]: it is not an event log, or has no events in PCR 7.
    pub fn of_log(log: &[u8]) -> Result<Self> {
        let bad = |why: &'static str| {
            Error::new(Kind::Corrupt, "read the event log", why)
                .remedy("give the machine's /sys/kernel/security/tpm0/binary_bios_measurements")
        };
        let all = log::events_of(log, 7);
        let variable = |event: &Event<&[u8]>| VariableData::parse(event.data).map(|variable| variable.name);
        if !all.iter().any(|event| variable(event).is_some_and(|name| name == SECURE_BOOT.name)) {
            return Err(bad("it does not say what the firmware has measured into PCR 7"));
        }
        // What a shim has measured is told by its file; the firmware itself verifies with db alone.
        let is_firmware = |event: &&Event<&[u8]>| event.kind != AUTHORITY || event.name() == DB.name;
        let events: Vec<_> = all.iter().take_while(is_firmware).collect();
        let image = events.iter().rev().find(|event| event.kind == AUTHORITY).map(|event| event.digest);
        let mut slots: Vec<_> = events
            .iter()
            .map(|event| {
                let name = event.name();
                let variable = VARIABLES.into_iter().find(|variable| variable.name == name);
                match variable.filter(|_| event.kind == DRIVER_CONFIG) {
                    Some(variable) => Slot::Variable(variable),
                    None if event.kind == AUTHORITY && Some(event.digest) == image => Slot::Image,
                    None => Slot::Own(Event::clone(event).into_owned()),
                }
            })
            .collect();
        if image.is_none() {
            slots.push(Slot::Image);
        }
        let contents = |variable: Variable<'_>| {
            let config = events.iter().filter(|event| event.kind == DRIVER_CONFIG);
            let mut variables = config.filter_map(|event| VariableData::parse(event.data));
            let contents = variables.find(|data| data.name == variable.name).map_or(&[][..], |data| data.contents);
            signature_list::parse(contents)
                .map_err(|e| e.within(format!("understand {} in the event log", variable.name)))
        };
        let logged = Databases { pk: contents(PK)?, kek: contents(KEK)?, db: contents(DB)?, dbx: contents(DBX)? };
        let doubts = events.iter().filter_map(|event| explain::fault(event)).collect();
        Ok(Self { slots, logged: Some(logged), doubts })
    }

    /// Whether it is known from an event log.
    #[must_use]
    pub const fn is_logged(&self) -> bool {
        self.logged.is_some()
    }

    /// What is in the databases of a keyset's machines: what the log shows, if the keyset's keys are enrolled there and
    /// nothing else is given; else what enrolling makes of them.
    ///
    /// # Errors
    /// Those of reading the keyset.
    pub fn databases(&self, keyset: &Keyset, chain: Chain, foreign: &Foreign) -> Result<Databases> {
        let made = Databases::of(keyset, chain, foreign)?;
        let Some(logged) = self.logged.as_ref().filter(|_| foreign.db.is_empty() && foreign.dbx.is_none()) else {
            return Ok(made);
        };
        let own = keyset.certificate_der(Role::UefiDb)?;
        let known = made.db.iter().flat_map(|list| &list.signatures);
        let mut certificates = known.map(|signature| &signature.data);
        let is_enrolled = databases::entry_of(&logged.db, &own).is_some()
            && certificates.all(|certificate| databases::entry_of(&logged.db, certificate).is_some());
        Ok(if is_enrolled { logged.clone() } else { made })
    }
}

/// Whether the firmware measures this event of its own on machines with this db: not what it had verified with keys that
/// are gone.
pub(super) fn stays(event: &Event, db: &[SignatureList]) -> bool {
    let entry = VariableData::parse(&event.data).map(|variable| variable.contents);
    let mut entries = db.iter().flat_map(|list| &list.signatures);
    event.kind != AUTHORITY || entries.any(|signature| Some(signature.to_bytes().as_slice()) == entry)
}
