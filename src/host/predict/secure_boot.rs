//! PCR 7 of a machine's next boot: the variables that decide, and what they let through. Pure.
//!
//! - `variables`: what the firmware measures of them; `shim_state`: what shim says of itself; `programs`: what lets drivers and
//!   programs through.

mod programs;
mod shim_state;
mod variables;

use super::{
    databases::Databases,
    logged_boot::{LoggedBoot, SECURE_BOOT_STATE},
    next_boot::{MachineState, PredictedEvent},
    plan::{Choice, Plan},
    shim::Shim,
    update::{StartedImage, Update},
};
use crate::{
    host::{
        eventlog::read::LoggedEvent,
        uefi::{
            signature_list::{self, SignatureList},
            variable::{DB, DBX, KEK, PK, Variable},
        },
    },
    measure::{
        event::{Event, EventType},
        variable::VariableData,
    },
};

const PCR: u8 = 7;

/// Changes PCR 7.
pub(super) fn update(plan: &mut Plan, before: MachineState<'_>, updates: &[Update]) {
    let mut change = match Change::new(plan, before, updates) {
        Ok(Some(change)) => change,
        Ok(None) => return,
        Err(why) => return plan.is_unknown(PCR, &why),
    };
    let changed = change.variables().and_then(|()| change.shim()).and_then(|()| change.programs());
    if let Err(why) = changed {
        change.plan.is_unknown(PCR, &why);
    }
}

struct Change<'p, 'm> {
    plan: &'p mut Plan,
    before: MachineState<'m>,
    boot: LoggedBoot,
    /// Before and after the updates.
    was: Databases,
    will_be: Databases,
    /// Of the databases that are updated, what is done.
    reasons: Vec<(Variable<'static>, &'static str)>,
    secure_boot: bool,
    image: Option<&'m StartedImage>,
    shim: Option<(&'m Shim, &'m StartedImage)>,
    mok_list: Option<&'m [SignatureList]>,
    /// The SBAT levels that shim may apply, each with what it depends on.
    sbat_levels: Vec<(Vec<u8>, Option<&'static str>)>,
}

impl<'p, 'm> Change<'p, 'm> {
    /// `None`: nothing extends PCR 7.
    fn new(plan: &'p mut Plan, before: MachineState<'m>, updates: &'m [Update]) -> Result<Option<Self>, String> {
        if !plan.extends(PCR) {
            return Ok(None);
        }
        let boot = LoggedBoot::read(before.log);
        let contents = |variable: Variable<'static>| {
            let logged = || Some(config(before, variable)?.1.contents);
            let bytes = match before.variables {
                Some(live) => live.get(variable),
                None => logged(),
            };
            signature_list::parse(bytes.unwrap_or_default())
                .map_err(|_| format!("{} does not hold what can be understood", variable.name))
        };
        let was = Databases { pk: contents(PK)?, kek: contents(KEK)?, db: contents(DB)?, dbx: contents(DBX)? };
        let mut change = Self {
            plan,
            before,
            secure_boot: boot.secure_boot,
            boot,
            will_be: was.clone(),
            was,
            reasons: Vec::new(),
            image: None,
            shim: None,
            mok_list: None,
            sbat_levels: Vec::new(),
        };
        updates.iter().for_each(|update| change.note(update));
        if change.will_be.pk.is_empty() && !change.was.pk.is_empty() {
            change.secure_boot = false;
        }
        Ok(Some(change))
    }

    fn note(&mut self, update: &'m Update) {
        match update {
            Update::Append { variable, lists } => {
                if let Some(known) = self.will_be.of_variable_mut(*variable) {
                    *known = signature_list::append(known, lists);
                    self.reasons.push((*variable, "is appended to"));
                }
            }
            Update::Replace { variable, lists } => {
                if let Some(known) = self.will_be.of_variable_mut(*variable) {
                    known.clone_from(lists);
                    self.reasons.push((*variable, "is replaced"));
                }
            }
            Update::Image(image) => self.image = Some(image),
            Update::Shim { shim, image } => self.shim = Some((shim, image)),
            Update::MokList(lists) => self.mok_list = Some(lists),
            Update::SecureBoot(on) => self.secure_boot = *on,
            Update::OsSeparator | Update::Published { .. } => {}
        }
    }

    fn replace(&mut self, logged: &LoggedEvent<'_>, data: Vec<u8>, change: String) -> Result<(), String> {
        let event = self.changed(logged, data, change)?;
        self.plan.replace(logged.number, vec![Choice::of(event)]);
        Ok(())
    }

    /// An event with other data, measured as the logged one was.
    fn changed(&self, logged: &LoggedEvent<'_>, data: Vec<u8>, change: String) -> Result<PredictedEvent, String> {
        let event = self.plan.measured_like(&logged.event, data);
        let why = || format!("event {} has measured something else than its data", logged.number);
        Ok(PredictedEvent { number: Some(logged.number), event: event.ok_or_else(why)?, change: Some(change) })
    }
}

fn as_logged(logged: &LoggedEvent<'_>) -> PredictedEvent {
    PredictedEvent { number: Some(logged.number), event: Event::clone(&logged.event).into_owned(), change: None }
}

/// The event of one of the firmware's variables, and what that held.
fn config<'m>(before: MachineState<'m>, variable: Variable<'_>) -> Option<(&'m LoggedEvent<'m>, VariableData<'m>)> {
    let configs = before.log.events.iter().filter(|logged| {
        logged.event.pcr == SECURE_BOOT_STATE && logged.event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG
    });
    let mut variables = configs.filter_map(|logged| Some((logged, VariableData::parse(logged.event.data)?)));
    variables.find(|(_, data)| data.name == variable.name && *data.vendor == variable.vendor.to_bytes_le())
}

/// A database that the programs of the log have passed.
fn logged_lists(before: MachineState<'_>, variable: Variable<'_>) -> Vec<SignatureList> {
    let contents = config(before, variable).map(|(_, data)| data.contents).unwrap_or_default();
    signature_list::parse(contents).unwrap_or_default()
}
