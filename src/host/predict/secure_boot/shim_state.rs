//! What shim measures of its own settings.

use super::{Change, PCR, as_logged};
use crate::{
    host::{
        eventlog::read::LoggedEvent,
        predict::{
            logged_boot::{self, SECURE_BOOT_STATE},
            next_boot::PredictedEvent,
            plan::Choice,
            profile, sbat,
        },
        uefi::variable::{SHIM_LOCK, Variable},
    },
    measure::{event::EventType, variable::VariableData},
};

impl Change<'_, '_> {
    /// What shim says of itself: another one, or the same without Secure Boot.
    pub(super) fn shim(&mut self) -> Result<(), String> {
        let log = self.before.log;
        let states = log.events.iter().filter(|logged| logged_boot::is_state_of_shim(&logged.event));
        let of_name = |name| states.clone().find(|logged| logged.event.name() == name);
        let level = of_name(sbat::LEVEL.name);
        let mut choices = Vec::new();
        if let Some(level) = level.filter(|_| self.boot.secure_boot && !self.secure_boot) {
            let change = "shim goes back to its first SBAT level".to_owned();
            let reset = self.changed(level, sbat::LEVEL.data(profile::ORIGINAL_SBAT_LEVEL), change)?;
            choices
                .push(Choice::of(reset).when("if shim resets its SBAT level while Secure Boot is off, as 16.1 does"));
        }
        let contents =
            |logged: &LoggedEvent<'_>| VariableData::parse(logged.event.data).map(|data| data.contents.to_vec());
        let current = level.and_then(contents);
        let Some((shim, _)) = self.shim else {
            self.sbat_levels.extend(current.map(|level| (level, None)));
            if let Some(level) = level.filter(|_| !choices.is_empty()) {
                choices
                    .push(Choice::of(as_logged(level)).when("if shim keeps its SBAT level while Secure Boot is off"));
                self.plan.replace(level.number, choices);
            }
            return Ok(());
        };
        if self.boot.shim.is_none() {
            return Err("the log is of a boot without shim".into());
        }
        let level = level.ok_or("the shim of the log measures no SBAT level")?;
        let current = current.unwrap_or_default();
        self.sbat_levels = sbat::levels(&current, shim, self.before.variables);
        for (contents, condition) in self.sbat_levels.clone() {
            let choice = if contents == current {
                Choice::of(as_logged(level))
            } else {
                let change = "the new shim raises the SBAT level".to_owned();
                Choice::of(self.changed(level, sbat::LEVEL.data(&contents), change)?)
            };
            choices.push(match condition {
                Some(condition) => choice.when(condition),
                None => choice,
            });
        }
        self.plan.replace(level.number, choices);
        let trusted = Variable { name: "MokListTrusted", vendor: SHIM_LOCK };
        match (of_name(trusted.name), shim.measures_mok_list_trusted) {
            (Some(logged), false) => self.plan.remove(logged.number),
            (None, true) => {
                let kind = EventType::EFI_VARIABLE_AUTHORITY;
                let event = self.plan.measured(SECURE_BOOT_STATE, kind, trusted.data(&[1]));
                let change = Some("the new shim measures MokListTrusted".to_owned());
                let choice = Choice::of(PredictedEvent { number: None, event, change });
                self.plan.insert_behind(level.number, PCR, vec![choice]);
            }
            _ => {}
        }
        Ok(())
    }
}
