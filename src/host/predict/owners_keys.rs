//! PCR 14: the keys of shim's owner. Pure.
//!
//! shim (15.6 to 16.1) puts what it was built with before what its owner has given it, and measures all of that as `MokList`;
//! likewise what both forbid, as `MokListX`. Where there is nothing, it measures a placeholder, a hash of zeros. One that was
//! built with a certificate for its own programs has that in between, and it is not told by its file.

use super::{
    live::LiveVariables,
    next_boot::{MachineState, PredictedEvent},
    plan::{Choice, Plan},
    shim::{Shim, Vendor},
    update::Update,
};
use crate::{
    host::{
        eventlog::read::LoggedEvent,
        uefi::{
            signature_list::{self, SignatureList},
            variable::{SHIM_LOCK, Variable},
        },
    },
    measure::event::Event,
};

const PCR: u8 = 14;
const MOK_LIST_RT: Variable<'_> = Variable { name: "MokListRT", vendor: SHIM_LOCK };
/// Lists in `MokListRT`, any of which may be the last one that is shim's own, of which more than one is told.
const MAX_LISTS: usize = 8;

/// Changes PCR 14 where shim, or what its owner has given it, is another one.
pub(super) fn update(plan: &mut Plan, before: MachineState<'_>, updates: &[Update]) {
    let shim = updates.iter().rev().find_map(|update| match update {
        Update::Shim { shim, .. } => Some(shim),
        _ => None,
    });
    let owners = updates.iter().rev().find_map(|update| match update {
        Update::MokList(lists) => Some(lists.as_slice()),
        _ => None,
    });
    let keys = OwnersKeys { before };
    let changed = match (shim, owners) {
        (Some(shim), owners) => keys.behind_shim(plan, shim, owners),
        (None, Some(owners)) => keys.given(plan, owners),
        (None, None) => return,
    };
    if let Err(why) = changed {
        plan.is_unknown(PCR, &why);
    }
}

struct OwnersKeys<'m> {
    before: MachineState<'m>,
}

impl<'m> OwnersKeys<'m> {
    /// Another shim: `owners` are the owner's keys, if they are others too.
    fn behind_shim(&self, plan: &mut Plan, shim: &Shim, owners: Option<&[SignatureList]>) -> Result<(), String> {
        if shim.has_own_certificate {
            return Err("the new shim was built with a certificate for its own programs".into());
        }
        let (list, denied) = (self.logged("MokList")?, self.logged("MokListX")?);
        // It measures whether it trusts these keys, which an older one did not.
        self.logged("MokListTrusted")?;
        let nothing = placeholder();
        let brought = match &shim.vendor {
            Vendor::Empty => Vec::new(),
            Vendor::Db(lists) => bytes(lists)?,
            Vendor::Certificate(certificate) | Vendor::CertificateInMokList(certificate) => {
                bytes(&[SignatureList::x509(SHIM_LOCK, certificate.clone())])?
            }
        };
        let owners = match owners {
            Some(lists) => bytes(lists)?,
            None if measures(plan, list, &nothing) || measures(plan, list, &brought) => Vec::new(),
            None => {
                return Err("the log does not tell what shim's owner has given it: give that (--mok-list)".into());
            }
        };
        // What the owner forbids is known where that is nothing.
        if !measures(plan, denied, &nothing) && !measures(plan, denied, &shim.denied) {
            return Err("the log does not tell what shim's owner forbids".into());
        }
        replace(plan, list, vec![([brought, owners].concat(), None)]);
        replace(plan, denied, vec![(shim.denied.clone(), None)]);
        Ok(())
    }

    /// Other keys of the owner's.
    fn given(&self, plan: &mut Plan, owners: &[SignatureList]) -> Result<(), String> {
        let (list, owners) = (self.logged("MokList")?, bytes(owners)?);
        if measures(plan, list, &placeholder()) {
            replace(plan, list, vec![(owners, None)]);
            return Ok(());
        }
        let now = self.before.variables.and_then(|live: &LiveVariables| live.get(MOK_LIST_RT));
        let now = now.filter(|contents| measures(plan, list, contents));
        let lists = now.and_then(|contents| signature_list::parse(contents).ok());
        let lists = lists.filter(|lists| lists.len() <= MAX_LISTS).ok_or(
            "the log does not tell shim's own keys from its owner's: give the variables of now (--efivars) or the shim (--shim)",
        )?;
        let split = |own: usize| {
            let brought = bytes(lists.get(..own).unwrap_or_default())?;
            let condition = format!("if {own} of the {} lists that shim has now are its own", lists.len());
            Ok(([brought, owners.clone()].concat(), Some(condition)))
        };
        let choices = (0..=lists.len()).map(split).collect::<Result<Vec<_>, String>>()?;
        replace(plan, list, choices);
        Ok(())
    }

    /// The event of one of shim's variables.
    fn logged(&self, name: &str) -> Result<&'m LoggedEvent<'m>, String> {
        let is = |event: &Event<&[u8]>| {
            event.pcr == u32::from(PCR) && event.data.strip_suffix(b"\0") == Some(name.as_bytes())
        };
        let found = self.before.log.events.iter().find(|logged| is(&logged.event));
        found.ok_or_else(|| format!("the log is of a boot in which no shim has measured {name}"))
    }
}

/// Whether this is what an event has measured, in every bank.
fn measures(plan: &Plan, logged: &LoggedEvent<'_>, contents: &[u8]) -> bool {
    let measured = event(plan, logged, contents).digests;
    !measured.is_empty() && measured.iter().all(|digest| logged.event.digests.contains(digest))
}

fn event(plan: &Plan, logged: &LoggedEvent<'_>, contents: &[u8]) -> Event {
    plan.with_digests_of(PCR.into(), logged.event.kind, contents, logged.event.data.to_vec())
}

/// Puts these contents in the place of what was measured, each with what it depends on.
fn replace(plan: &mut Plan, logged: &LoggedEvent<'_>, contents: Vec<(Vec<u8>, Option<String>)>) {
    let choice = |(contents, condition): (Vec<u8>, Option<String>)| {
        let contents = if contents.is_empty() { placeholder() } else { contents };
        let change = (!measures(plan, logged, &contents)).then(|| "shim has other keys".to_owned());
        let event = event(plan, logged, &contents);
        Choice { events: vec![PredictedEvent { number: Some(logged.number), event, change }], condition }
    };
    let choices = contents.into_iter().map(choice).collect();
    plan.replace(logged.number, choices);
}

fn placeholder() -> Vec<u8> {
    bytes(&[SignatureList::sha256(SHIM_LOCK, &[[0; 32]])]).unwrap_or_default()
}

fn bytes(lists: &[SignatureList]) -> Result<Vec<u8>, String> {
    signature_list::to_bytes(lists).map_err(|error| error.why().to_owned())
}
