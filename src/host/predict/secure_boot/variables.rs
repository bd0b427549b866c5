//! What the firmware measures of the variables that decide.

use super::{Change, PCR, config};
use crate::{
    host::{
        eventlog::read::LoggedEvent,
        predict::{logged_boot::SECURE_BOOT_STATE, next_boot::PredictedEvent, plan::Choice},
        uefi::{
            signature_list,
            variable::{DB, DBX, KEK, PK, SECURE_BOOT, Variable},
        },
    },
    measure::event::EventType,
};

/// The databases in the order in which firmware measures them.
const DATABASES: [Variable<'_>; 4] = [PK, KEK, DB, DBX];
/// Modes of a firmware that follow from its having a PK.
const MODES: [&str; 3] = ["SetupMode", "AuditMode", "DeployedMode"];

impl Change<'_, '_> {
    /// The events of the variables.
    pub(super) fn variables(&mut self) -> Result<(), String> {
        let mut place = None;
        for variable in DATABASES {
            let lists = self.will_be.of_variable(variable).unwrap_or_default();
            let contents = signature_list::to_bytes(lists).map_err(|error| error.why().to_owned())?;
            let how = self.reasons.iter().find(|(other, _)| *other == variable).map(|(_, how)| *how);
            let change = format!("{} {}", variable.name, how.unwrap_or("has been changed since that boot"));
            match config(self.before, variable) {
                Some((logged, data)) => {
                    place = Some(logged.number);
                    if data.contents != contents {
                        self.replace(logged, variable.data(&contents), change)?;
                    }
                }
                // What is not there is not measured by some.
                None if !contents.is_empty() => {
                    let kind = EventType::EFI_VARIABLE_DRIVER_CONFIG;
                    let event = self.plan.measured(SECURE_BOOT_STATE, kind, variable.data(&contents));
                    let event = Choice::of(PredictedEvent { number: None, event, change: Some(change) });
                    let condition = format!("if the firmware measures {} once there is one", variable.name);
                    let none = format!("if the firmware does not measure {} at all", variable.name);
                    let choices = vec![event.when(&condition), Choice::default().when(&none)];
                    match place {
                        Some(number) => self.plan.insert_behind(number, PCR, choices),
                        None => self.plan.insert_first(PCR, choices),
                    }
                }
                None => {}
            }
        }
        if self.secure_boot != self.boot.secure_boot {
            let (logged, _) =
                config(self.before, SECURE_BOOT).ok_or("the log does not say whether Secure Boot is on")?;
            let change = if self.secure_boot {
                "Secure Boot is switched on"
            } else {
                "Secure Boot is switched off, and nothing is verified any more"
            };
            self.replace(logged, SECURE_BOOT.data(&[self.secure_boot.into()]), change.into())?;
        }
        let has_mode = |logged: &LoggedEvent<'_>| {
            logged.event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG && MODES.contains(&logged.event.name().as_str())
        };
        if self.will_be.pk.is_empty() != self.was.pk.is_empty() && self.before.log.events.iter().any(has_mode) {
            return Err("the firmware measures its mode, which changes with the PK".into());
        }
        Ok(())
    }
}
