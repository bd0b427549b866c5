//! Signed policies for what a machine measures today and behind updates.
//!
//! A log is of a boot of one kind. The other two kinds of a keyset's images differ from it in what lets the image through:
//! another entry of the same database, of the same form. Nobody vouches for a log: what is signed from one is limited to boots
//! with Secure Boot on, whose events are of the data that they show, in the end of which is an image of the keyset, and in which
//! nothing else was let through but by the keyset's own certificates and those that the owner accepts: a boot loader of an attacker's
//! could measure whatever comes behind it.

use super::{
    Prediction, WHAT_LOG,
    accepted::{self, Accepted, OWNER},
    databases,
    firmware::{self, Slot},
    next_boot::PredictedValue,
    profile::Machine,
};
use crate::{
    error::{Error, Kind, Result},
    host::{
        keyset::{
            Keyset, Role,
            signed_policy::{self, Note, Policies},
        },
        uefi::{
            signature_list::{self, SignatureData},
            variable::{DB, SECURE_BOOT, Variable},
        },
    },
    measure::{
        event::{Event, EventType},
        expected,
        variable::VariableData,
    },
    policy::{boot_kind::BootKind, version::Version},
};

/// The events of the boots of a keyset's three kinds of images, on a machine that measures these in one of them.
///
/// # Errors
/// [`Kind::Refused`]: nothing should be signed for such a boot; [`Kind::Usage`]: it is not of an image of the keyset, or what
/// the others are let through by is not in it; those of reading the keyset.
pub fn kinds(value: &PredictedValue, keyset: &Keyset, accepted: &Accepted) -> Result<Prediction> {
    let events: Vec<&Event> = value.events.iter().map(|predicted| &predicted.event).collect();
    sound(&events, accepted)?;
    let is_authority = |event: &&&Event| event.kind == EventType::EFI_VARIABLE_AUTHORITY;
    let last = events.iter().rfind(is_authority).ok_or_else(foreign)?;
    let data = VariableData::parse(&last.data).ok_or_else(foreign)?;
    let certificates = BootKind::ALL.map(|kind| keyset.certificate_der(Role::of_images(kind)));
    let [production, limited, tpm] = certificates;
    let certificates = [production?, limited?, tpm?];
    let mut own = vec![keyset.certificate_der(Role::UefiDb)?];
    own.extend(certificates.iter().cloned());
    events.iter().try_for_each(|event| accepted.only_by(&own, event))?;
    let (owner, certificate) = data.contents.split_at_checked(OWNER).ok_or_else(foreign)?;
    if !certificates.iter().any(|known| known == certificate) {
        return Err(foreign());
    }
    let vendor = uuid::Uuid::from_bytes_le(*data.vendor);
    let entry = |certificate: &[u8]| -> Result<Vec<u8>> {
        match data.name.as_str() {
            "db" => {
                let lists = of_config(&events, DB).and_then(|contents| signature_list::parse(contents).ok());
                let entry = lists
                    .as_deref()
                    .and_then(|lists| databases::entry_of(lists, certificate).map(SignatureData::to_bytes));
                entry.ok_or_else(|| elsewhere("db does not hold the certificates of all three kinds of images"))
            }
            // The keyset's vendor database has all three, with one owner.
            "vendor_db" => Ok([owner, certificate].concat()),
            _ => Err(elsewhere("what shim holds beside the certificate of this image is not in the log")),
        }
    };
    let of_kind = |certificate: &[u8]| -> Result<Vec<Event>> {
        let variable = Variable { name: &data.name, vendor };
        let other = Event::measured(7, EventType::EFI_VARIABLE_AUTHORITY, variable.data(&entry(certificate)?));
        let swap = |event: &&Event| if event.data == last.data { other.clone() } else { Event::clone(event) };
        Ok(events.iter().map(swap).collect())
    };
    let [production, limited, tpm] = &certificates;
    Ok(Prediction { production: of_kind(production)?, limited: of_kind(limited)?, tpm: of_kind(tpm)? })
}

/// That policies may be signed for what the firmware of such a machine measures by itself, where a log shows that.
///
/// # Errors
/// [`Kind::Refused`]: something in the log is not as it should be, and not accepted; those of reading the keyset.
pub fn firmware_alone(keyset: &Keyset, machine: &Machine, accepted: &Accepted) -> Result<()> {
    let db = machine.firmware.databases(keyset, machine.chain, &machine.foreign)?.db;
    let mut own = vec![keyset.certificate_der(Role::UefiDb)?];
    for kind in BootKind::ALL {
        own.push(keyset.certificate_der(Role::of_images(kind))?);
    }
    for place in &machine.firmware.slots {
        if let Slot::Own(event) = place
            && firmware::stays(event, &db)
        {
            accepted.sound(event)?;
            accepted.only_by(&own, event)?;
        }
    }
    Ok(())
}

/// Signs policies of this version for the three kinds of boots, and adds them to the keyset's.
///
/// # Errors
/// Those of [`kinds`] and [`signed_policy::add`].
pub fn sign(
    keyset: &Keyset,
    value: &PredictedValue,
    accepted: &Accepted,
    version: Version,
    comment: &str,
) -> Result<Prediction> {
    let prediction = kinds(value, keyset, accepted)?;
    let (values, events) = (prediction.values(), expected::write(&prediction.production));
    let note = Note { comment, events: Some(&events) };
    signed_policy::add(keyset, &values, &Policies::of(&values, version)?, note)?;
    Ok(prediction)
}

/// Whether these events are of a boot that may have rights at all.
fn sound(events: &[&Event], accepted: &Accepted) -> Result<()> {
    events.iter().try_for_each(|event| accepted.sound(event))?;
    match of_config(events, SECURE_BOOT) {
        Some([1]) => Ok(()),
        _ => Err(accepted::refused("Secure Boot is not on".to_owned())),
    }
}

/// The contents of one of the firmware's variables.
fn of_config<'e>(events: &[&'e Event], variable: Variable<'_>) -> Option<&'e [u8]> {
    let configs = events.iter().filter(|event| event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG);
    let mut variables = configs.filter_map(|event| VariableData::parse(&event.data));
    variables.find(|data| data.name == variable.name).map(|data| data.contents)
}

fn foreign() -> Error {
    Error::new(Kind::Usage, WHAT_LOG, "it is not of a boot of an image of this keyset")
        .remedy("boot an image that the keyset has signed, with Secure Boot on, and give the log of that boot")
}

fn elsewhere(why: &'static str) -> Error {
    Error::new(Kind::Usage, WHAT_LOG, why)
        .remedy("sign with `trust keyset pcr7data`, which reads db and shim from files: --log, --db, --dbx, --shim")
}
