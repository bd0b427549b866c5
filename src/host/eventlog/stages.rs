//! The boot that a log tells of, stage by stage: the firmware, its decision about Secure Boot, and each program that was
//! started, with who vouched for it and what was measured until the next.

use super::{
    read::{FirmwareLog, LoggedEvent},
    replay, words,
};
use crate::measure::{
    event::{Event, EventType},
    variable::VariableData,
};
use std::collections::BTreeSet;

/// Stages that are told apart; what is started beyond them belongs to the last.
const MOST_STAGES: usize = 24;
/// The PCR of Secure Boot, and that of the programs that are started.
const SECURE_BOOT: u32 = 7;
const PROGRAMS: u32 = 4;

/// What a stage is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StageKind {
    /// What ran before anything else was started.
    Firmware,
    /// What the firmware decides by: whether Secure Boot is on, its keys.
    SecureBoot,
    /// A program that was started.
    Program,
}

/// A stage of a boot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BootStage<'a> {
    /// What it is.
    pub kind: StageKind,
    /// The name of the program's file, printable; of Secure Boot, whether it is on. `None` where the log does not say it.
    pub name: Option<String>,
    /// Who vouched for it, in words.
    pub verified: Option<String>,
    /// What was measured when it was started, and until the next was.
    pub events: Vec<&'a LoggedEvent<'a>>,
}

impl BootStage<'_> {
    const fn new(kind: StageKind) -> Self {
        Self { kind, name: None, verified: None, events: Vec::new() }
    }

    /// The PCRs that it has extended.
    #[must_use]
    pub fn pcrs(&self) -> BTreeSet<u8> {
        let extensions = self.events.iter().filter(|logged| replay::extends(&logged.event));
        extensions.filter_map(|logged| u8::try_from(logged.event.pcr).ok()).collect()
    }

    /// What it is, in words: a program is known by what it measures, since that of a log without data is known as well.
    #[must_use]
    pub fn role(&self) -> &'static str {
        let measures = |pcr: u32, kind: EventType| {
            self.events.iter().any(|logged| logged.event.pcr == pcr && logged.event.kind == kind)
        };
        let is_called = |part: &str| self.name.as_ref().is_some_and(|name| name.to_lowercase().contains(part));
        match self.kind {
            StageKind::Firmware => "Firmware",
            StageKind::SecureBoot => "Secure Boot",
            StageKind::Program if measures(14, EventType::IPL) => "shim",
            StageKind::Program if measures(11, EventType::IPL) => "Unified kernel image",
            StageKind::Program if measures(8, EventType::IPL) || is_called("grub") => "GRUB",
            StageKind::Program if is_called("systemd-boot") => "systemd-boot",
            StageKind::Program if is_called("bootmgfw") => "Windows Boot Manager",
            StageKind::Program if is_called("winload") => "Windows",
            StageKind::Program if measures(9, EventType::EVENT_TAG) => "Linux",
            StageKind::Program => "Program",
        }
    }
}

/// The stages of a boot, in their order; those of which there is no event are left out.
#[must_use]
pub fn of<'a>(log: &'a FirmwareLog<'a>) -> Vec<BootStage<'a>> {
    let mut stages = vec![BootStage::new(StageKind::Firmware), BootStage::new(StageKind::SecureBoot)];
    for logged in &log.events {
        let event = &logged.event;
        let starts = event.kind == EventType::EFI_BOOT_SERVICES_APPLICATION && event.pcr == PROGRAMS;
        if starts && stages.len() < MOST_STAGES {
            let vouched = stages.last_mut().and_then(take_authority);
            let verified = vouched.map(|logged| words::meaning(&logged.event));
            let name = words::file_name(event);
            let events = vouched.into_iter().collect();
            stages.push(BootStage { kind: StageKind::Program, name, verified, events });
        }
        let is_early = stages.len() == 2;
        let stage = if is_early && event.pcr != SECURE_BOOT { stages.first_mut() } else { stages.last_mut() };
        stage.into_iter().for_each(|stage| stage.events.push(logged));
    }
    if let Some(stage) = stages.iter_mut().find(|stage| stage.kind == StageKind::SecureBoot) {
        stage.name = secure_boot(log).map(|is_on| if is_on { "on" } else { "off" }.to_owned());
    }
    stages.retain(|stage| !stage.events.is_empty());
    stages
}

/// The last event of PCR 7, if it says who has vouched for what is started next.
fn take_authority<'a>(stage: &mut BootStage<'a>) -> Option<&'a LoggedEvent<'a>> {
    let last = stage.events.iter().rposition(|logged| logged.event.pcr == SECURE_BOOT)?;
    let event = &stage.events.get(last)?.event;
    (event.kind == EventType::EFI_VARIABLE_AUTHORITY && words::names_an_authority(event))
        .then(|| stage.events.remove(last))
}

/// Whether Secure Boot was on, as far as the log says.
#[must_use]
pub fn secure_boot(log: &FirmwareLog<'_>) -> Option<bool> {
    let of_pcr_7 = log.events.iter().map(|logged| &logged.event).filter(|event| event.pcr == SECURE_BOOT);
    let is_on = |event: &Event<&[u8]>| {
        let VariableData { name, contents, .. } = VariableData::parse(event.data)?;
        (name == "SecureBoot").then_some(contents == [1])
    };
    of_pcr_7.filter(|event| event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG).find_map(is_on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(name: &str) -> Vec<String> {
        let path = format!("{}/tests/data/event-logs/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let log = std::fs::read(path).unwrap();
        let read = FirmwareLog::read(&log);
        let stages = of(&read);
        assert_eq!(stages.iter().map(|stage| stage.events.len()).sum::<usize>(), read.events.len(), "{name}");
        let one = |stage: &BootStage<'_>| {
            let words = [stage.name.as_deref(), stage.verified.as_deref()];
            let words: Vec<_> = std::iter::once(stage.role()).chain(words.into_iter().flatten()).collect();
            format!("{} {:?}", words.join(", "), stage.pcrs())
        };
        stages.iter().map(one).collect()
    }

    #[test]
    fn programs_are_told_apart_with_who_vouched_for_them() {
        assert_eq!(
            told("shim"),
            [
                "Firmware {0, 1, 2, 3, 4, 5, 6}",
                "Secure Boot, on {7}",
                "shim, BOOTX64.EFI, verified with db: \"test db\" {4, 7, 14}",
                "Unified kernel image, grubx64.efi, verified with shim's vendor database: \"test tpm\" {4, 5, 7, 9, 11}",
            ]
        );
        // Without Secure Boot nobody vouches.
        assert_eq!(told("gce-ubuntu")[2..], ["shim, shimx64.efi {4, 7, 14}", "GRUB, grubx64.efi {4, 5, 8, 9}"]);
        assert_eq!(of(&FirmwareLog::read(b"")), []);
    }
}
