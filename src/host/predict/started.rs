//! PCRs of the programs that are started and of what they are made of: 4, 9, 11. Pure.

use super::{
    logged_boot::{LoggedBoot, PROGRAMS, SECTIONS},
    next_boot::PredictedEvent,
    plan::{Choice, Plan},
    update::{MeasuredSection, StartedImage, Update},
};
use crate::{host::eventlog::read::FirmwareLog, measure::event::EventType};

/// What the kernel's EFI stub and GRUB have read.
const FILES: u8 = 9;

/// Why events of an image change.
const ANOTHER_IMAGE: &str = "another image is started";

/// Changes what follows from other programs, and from another state of Secure Boot.
pub(super) fn update(plan: &mut Plan, log: &FirmwareLog<'_>, updates: &[Update]) {
    let boot = LoggedBoot::read(log);
    let event_of = |program: Option<usize>| program.and_then(|at| boot.programs.get(at)).and_then(|one| one.event);
    for update in updates {
        match update {
            Update::Image(image) => {
                program(plan, log, event_of(boot.image), image, ANOTHER_IMAGE);
                if boot.kernel_apart {
                    plan.is_unknown(
                        4,
                        "the kernel within the image was measured too, and what is in the new one is not known",
                    );
                }
                if !image.profiles.is_empty() {
                    sections(plan, image);
                } else if plan.extends(11) {
                    plan.is_unknown(11, "the sections of the new image are not known");
                }
                if plan.extends(FILES) {
                    plan.is_unknown(FILES, "what the kernel of the new image reads is not known before it is started");
                }
            }
            Update::Shim { image, .. } => {
                program(plan, log, event_of(boot.shim), image, "another shim is started");
            }
            Update::SecureBoot(on) if *on != boot.secure_boot && plan.extends(11) => {
                plan.is_unknown(
                    4,
                    "depending on its version, systemd-stub has the kernel within the image measured while Secure Boot is off",
                );
            }
            _ => {}
        }
    }
}

/// Another program in the place of one that was started.
fn program(plan: &mut Plan, log: &FirmwareLog<'_>, number: Option<usize>, image: &StartedImage, why: &str) {
    let logged = number.and_then(|number| log.events.iter().find(|logged| logged.number == number));
    let Some(logged) = logged else {
        plan.is_unknown(4, "the log does not say which event is of the program that another one takes the place of");
        return;
    };
    // Where it is, and how large, is described and not measured.
    let banks = logged.event.digests.iter().map(|(bank, _)| *bank);
    let of_bank = |bank| image.digests.iter().find(|(known, _)| *known == bank).cloned();
    let digests: Vec<_> = banks.filter_map(of_bank).collect();
    let event = Plan::of_program(PROGRAMS, logged.event.kind, &digests, logged.event.data.to_vec());
    let change = (event.digests != logged.event.digests).then(|| why.to_owned());
    plan.replace(logged.number, vec![Choice::of(PredictedEvent { number, event, change })]);
}

/// What systemd-stub measures of an image: of each section the name, then what it holds.
fn sections(plan: &mut Plan, image: &StartedImage) {
    let mut choices = Vec::new();
    for (number, profile) in image.profiles.iter().enumerate() {
        let events = profile.iter().flat_map(|section| of_section(plan, section)).collect();
        let condition = (image.profiles.len() > 1).then(|| format!("if profile {number} of the image is started"));
        choices.push(Choice { events, condition });
    }
    plan.replace_all(11, choices);
}

fn of_section(plan: &Plan, section: &MeasuredSection) -> [PredictedEvent; 2] {
    let wide: Vec<u8> = section.name.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    let name = plan.with_digests_of(SECTIONS, EventType::IPL, &[section.name.as_bytes(), b"\0"].concat(), wide.clone());
    let contents = Plan::of_program(SECTIONS, EventType::IPL, &section.digests, wide);
    let change = Some(ANOTHER_IMAGE.to_owned());
    [name, contents].map(|event| PredictedEvent { number: None, event, change: change.clone() })
}
