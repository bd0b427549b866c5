//! Why a boot is not the one that production policies expect, told from the firmware's event log.

use crate::{
    event_log::{self, Event},
    policy::digest::hex,
};
use der::{
    Decode, Reader, SliceReader, Tag, Tagged,
    asn1::{AnyRef, ObjectIdentifier},
};

/// `id-at-commonName`.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
/// Characters of a name that are shown.
const MAX_NAME: usize = 64;
/// The firmware's variables that say what it may start.
const DATABASES: [&str; 4] = ["PK", "KEK", "db", "dbx"];

/// One event of the boots that a policy was signed for, as a line of `pcr7.events` has it: `NAME DIGEST [SIGNER]`.
#[derive(Clone, Copy, Debug)]
struct Expected<'a> {
    name: &'a str,
    digest: &'a str,
    signer: &'a str,
}

/// What is unusual of this boot; empty when nothing is.
///
/// `log` is the binary event log, `lists` are the `pcr7.events` of the production policies, if they have any.
#[must_use]
pub fn explain(log: &[u8], lists: &[String]) -> String {
    let events: Vec<_> = event_log::parse(log).into_iter().filter(|event| event.pcr == 7).collect();
    if events.is_empty() {
        return String::new();
    }
    let lists = lists.iter().map(|list| parse(list)).filter(|list| !list.is_empty());
    // The policy that comes closest is the one that was meant.
    let closest = lists.map(|list| (alike(&events, &list), list)).max_by_key(|(alike, _)| *alike);
    match closest {
        Some((alike, list)) => difference(events.get(alike), list.get(alike)),
        None => without_list(&events),
    }
}

fn parse(list: &str) -> Vec<Expected<'_>> {
    list.lines()
        .filter_map(|line| {
            let mut words = line.splitn(3, ' ');
            Some(Expected { name: words.next()?, digest: words.next()?, signer: words.next().unwrap_or_default() })
        })
        .collect()
}

/// How many events are as expected.
fn alike(events: &[Event<'_>], list: &[Expected<'_>]) -> usize {
    let same = |(event, expected): &(&Event<'_>, &Expected<'_>)| hex(&event.digest) == expected.digest;
    events.iter().zip(list).take_while(same).count()
}

/// What the first difference means.
fn difference(event: Option<&Event<'_>>, expected: Option<&Expected<'_>>) -> String {
    let wanted = expected.map_or("", |expected| expected.name);
    let Some(event) = event else {
        return if wanted.is_empty() {
            String::new()
        } else {
            format!("the firmware has measured no {wanted}; start the image with the boot loader that it was made for")
        };
    };
    let (name, contents) = event_log::variable(event.data).unwrap_or_default();
    if name == "SecureBoot" && contents == [0] {
        return switched_off();
    }
    if DATABASES.contains(&wanted) && name == wanted && expected.is_some_and(|expected| expected.signer.is_empty()) {
        return format!(
            "the firmware's {name} is not the one that the policies were signed for; enrol the owner's keys again, or have \
             policies signed for this {name} (`trust keyset pcr7data`)"
        );
    }
    match (signer(contents), expected.map_or("", |expected| expected.signer)) {
        (Some(signer), "") => {
            format!("the firmware has verified something signed by {signer} where it should measure {wanted}")
        }
        (Some(signer), wanted) => format!("what booted was signed by {signer}, and not by {wanted}"),
        (None, _) => format!("the firmware has measured {name} where it should measure {wanted}"),
    }
}

/// What can be told without knowing what is expected.
fn without_list(events: &[Event<'_>]) -> String {
    let variables: Vec<_> = events.iter().filter_map(|event| event_log::variable(event.data)).collect();
    if variables.iter().any(|(name, contents)| name == "SecureBoot" && *contents == [0]) {
        return switched_off();
    }
    let last = variables.iter().rev().find_map(|(_, contents)| signer(contents));
    last.map_or_else(String::new, |signer| format!("what booted was signed by {signer}"))
}

fn switched_off() -> String {
    "Secure Boot is switched off; switch it on in the firmware setup".to_owned()
}

/// Who signed what an `EV_EFI_VARIABLE_AUTHORITY` event has let through, if it was a certificate that did.
#[must_use]
pub fn signer_of(event: &[u8]) -> Option<String> {
    signer(event_log::variable(event)?.1)
}

/// The common name of the certificate in an `EFI_SIGNATURE_DATA` (UEFI Specification 2.10, section 32.4.1).
fn signer(entry: &[u8]) -> Option<String> {
    common_name(entry.get(16..)?)
}

/// The common name of the subject of a certificate (RFC 5280, section 4.1).
fn common_name(certificate: &[u8]) -> Option<String> {
    let certificate = sequence(certificate)?;
    let tbs = certificate.first()?;
    // serialNumber, signature, issuer, validity, subject; [0] version may stand before them.
    let fields: Vec<_> = sequence_of(*tbs)?.into_iter().filter(|field| field.tag().is_universal()).collect();
    for relative in sequence_of(*fields.get(4)?)? {
        for attribute in elements(relative.value())? {
            let [kind, value] = <[AnyRef<'_>; 2]>::try_from(sequence_of(attribute)?).ok()?;
            if kind.decode_as::<ObjectIdentifier>().is_ok_and(|oid| oid == COMMON_NAME) {
                let text = String::from_utf8_lossy(value.value());
                let shown = text.chars().map(|c| if c.is_control() { '?' } else { c });
                return Some(format!("\"{}\"", shown.take(MAX_NAME).collect::<String>()));
            }
        }
    }
    None
}

fn sequence(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    sequence_of(AnyRef::from_der(der).ok()?)
}

fn sequence_of(any: AnyRef<'_>) -> Option<Vec<AnyRef<'_>>> {
    (any.tag() == Tag::Sequence).then(|| elements(any.value())).flatten()
}

/// What stands one after the other.
fn elements(der: &[u8]) -> Option<Vec<AnyRef<'_>>> {
    let mut reader = SliceReader::new(der).ok()?;
    let mut elements = Vec::new();
    while !reader.is_finished() {
        elements.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(elements)
}
