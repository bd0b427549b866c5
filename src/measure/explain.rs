//! Why a boot is not the one that production policies expect, told from the firmware's event log.

use super::{
    event::{Event, EventType},
    expected::{self, ExpectedEvent},
    log,
    variable::VariableData,
};
/// The firmware's variables that say what it may start.
const DATABASES: [&str; 4] = ["PK", "KEK", "db", "dbx"];
/// What firmware says of itself in `EV_EFI_ACTION`, what that means, and what to do.
const ACTIONS: [(&str, &str); 2] = [
    (
        "DMA Protection Disabled",
        "its protection against DMA is switched off, so that any device may change memory; switch it on in the firmware \
         setup (DMA protection, IOMMU, VT-d)",
    ),
    ("UEFI Debug Mode", "its debugger is switched on; switch it off in the firmware setup"),
];
/// What to do where a firmware is not to blame.
const AS_LOGGED: &str = "have policies signed for what it measures (`trust keyset pcr7data KEYSET --log FILE`, FILE being \
    its event log)";

/// What is unusual about this boot; empty when nothing is.
///
/// `log` is the binary event log, `lists` are the `pcr7.events` of the production policies, if they have any.
#[must_use]
pub fn explain(log: &[u8], lists: &[String]) -> String {
    let events = log::events_of(log, 7);
    if events.is_empty() {
        return String::new();
    }
    let lists = lists.iter().map(|list| expected::parse(list)).filter(|list| !list.is_empty());
    // The policy that comes closest is the one that was meant.
    let closest = lists.map(|list| (alike(&events, &list), list)).max_by_key(|(alike, _)| *alike);
    match closest {
        Some((at, list)) => difference(&events, &list, at),
        None => without_list(&events),
    }
}

/// How many events are as expected.
fn alike(events: &[Event<&[u8]>], list: &[ExpectedEvent<'_>]) -> usize {
    let same = |(event, expected): &(&Event<&[u8]>, &ExpectedEvent<'_>)| expected.is(event);
    events.iter().zip(list).take_while(same).count()
}

/// What the first difference means, which is at `at`.
fn difference(events: &[Event<&[u8]>], list: &[ExpectedEvent<'_>], at: usize) -> String {
    let expected = list.get(at);
    let Some(event) = events.get(at) else {
        let missing = |expected: &ExpectedEvent<'_>| {
            format!(
                "the firmware has measured no {}; start the image with the boot loader that it was made for",
                expected.name
            )
        };
        return expected.map_or_else(String::new, missing);
    };
    if let Some(fault) = fault(event) {
        return fault;
    }
    let (name, signer) = (event.name(), event.signer());
    let comes_later = |expected: &ExpectedEvent<'_>| events.iter().skip(at).any(|event| expected.is(event));
    let before = at.checked_sub(1).and_then(|before| events.get(before));
    let twice = before.is_some_and(|before| before.digest == event.digest);
    let Some(expected) = expected.filter(|_| !twice) else {
        let what = signer.unwrap_or(name);
        let how = if twice { "twice" } else { "also" };
        return format!("the firmware has {how} measured {what}; {AS_LOGGED}");
    };
    if list.get(at + 1).is_some_and(|next| next.is(event)) && !comes_later(expected) {
        return match expected.name {
            "dbx" => {
                "the firmware has no dbx; give it one, or have policies signed for machines without one (`trust keyset \
                pcr7data KEYSET --dbx /dev/null`)"
                    .to_owned()
            }
            other => {
                let second = if before.is_some_and(|before| expected.is(before)) { "second " } else { "" };
                format!("the firmware has measured no {second}{other}; {AS_LOGGED}")
            }
        };
    }
    if name == expected.name && (expected.signer.is_empty() || signer.is_none()) {
        let again = if DATABASES.contains(&name.as_str()) { "enrol the owner's keys again, or " } else { "" };
        return format!(
            "the firmware's {name} is not the one that the policies were signed for; {again}have policies signed for this \
             {name} (`trust keyset pcr7data`)"
        );
    }
    match (signer, expected.signer) {
        // A driver, or whatever else a device brings: what is expected is still to come.
        (Some(signer), wanted) if wanted.is_empty() || comes_later(expected) => format!(
            "the firmware has verified something signed by {signer} where it should measure {}; remove what brings it, \
             or {AS_LOGGED}",
            expected.name
        ),
        (Some(signer), wanted) => format!("what booted was signed by {signer}, and not by {wanted}"),
        (None, _) => format!("the firmware also measures {name}; {AS_LOGGED}"),
    }
}

/// What is wrong by itself with an event, whatever is expected.
#[must_use]
pub fn fault(event: &Event<&[u8]>) -> Option<String> {
    let name = event.name();
    let driver_config = event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG;
    let variable = VariableData::parse(event.data).filter(|_| driver_config).map(|variable| variable.contents);
    match (event.kind, variable) {
        (EventType::EFI_ACTION, _) => {
            let (_, meaning) =
                ACTIONS.iter().find(|(action, _)| name.trim_end_matches(char::REPLACEMENT_CHARACTER) == *action)?;
            Some(format!("the firmware says that {meaning}"))
        }
        (EventType::SEPARATOR, _) if event.data.iter().any(|byte| *byte != 0) => {
            Some("the firmware reports that measuring has failed; update it, or reset its settings".to_owned())
        }
        // Without a value it does not exist, as in the setup mode of some.
        (_, Some([] | [0])) if name == "SecureBoot" => {
            Some("Secure Boot is switched off; switch it on in the firmware setup".to_owned())
        }
        (_, Some([1])) if name == "AuditMode" => Some(
            "the firmware is in audit mode, and starts any program; switch that off in the firmware setup".to_owned(),
        ),
        _ => None,
    }
}

/// What can be told without knowing what is expected.
fn without_list(events: &[Event<&[u8]>]) -> String {
    if let Some(fault) = events.iter().find_map(fault) {
        return fault;
    }
    let last = events.iter().rev().find_map(|event| event.signer());
    last.map_or_else(String::new, |signer| format!("what booted was signed by {signer}"))
}
