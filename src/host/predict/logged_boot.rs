//! A boot as its log has it: which programs were started one after the other, by whom, and what had let them through. Pure.

use crate::{
    host::{
        eventlog::read::{FirmwareLog, LoggedEvent},
        uefi::variable::{DB, SECURE_BOOT, SHIM_LOCK},
    },
    measure::{
        event::{Event, EventType},
        variable::VariableData,
    },
};

/// What shim measures of programs, and not of itself.
const SHIM_AUTHORITIES: [&str; 4] = ["Shim", "MokList", "MokListRT", "vendor_db"];
/// PCR of the programs that were started, of what decides about that, of a unified kernel image, and of shim's variables.
pub(super) const PROGRAMS: u32 = 4;
pub(super) const SECURE_BOOT_STATE: u32 = 7;
pub(super) const SECTIONS: u32 = 11;
const SHIM_STATE: u32 = 14;

/// Who starts a program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Starter {
    Firmware,
    Shim,
}

/// A program that was started.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct StartedProgram {
    /// The number of the event that has measured it; not every log has PCR 4.
    pub event: Option<usize>,
    /// The numbers of what had let it through; empty where Secure Boot is off, or something before it had come through by the same.
    pub authorities: Vec<usize>,
    pub starter: Starter,
}

/// The course of a boot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct LoggedBoot {
    /// In their order.
    pub programs: Vec<StartedProgram>,
    /// Which of them is shim.
    pub shim: Option<usize>,
    /// Which of them is the one that is started in the end: the unified kernel image, if there is one.
    pub image: Option<usize>,
    /// Whether the kernel within the image was measured as a program of its own.
    pub kernel_apart: bool,
    /// The number of the last event of the firmware itself: what it verifies up to there are drivers.
    pub ready: usize,
    /// Whether Secure Boot was on.
    pub secure_boot: bool,
}

impl LoggedBoot {
    pub fn read(log: &FirmwareLog<'_>) -> Self {
        let ready = ready(log);
        let mut boot = Self { ready, secure_boot: is_secure(log), ..Self::default() };
        let mut pending = Vec::new();
        for LoggedEvent { number, event, .. } in log.events.iter().filter(|logged| logged.number > ready) {
            match (event.pcr, event.kind) {
                (SECURE_BOOT_STATE, EventType::EFI_VARIABLE_AUTHORITY) => {
                    if is_shims(event) && boot.shim.is_none() {
                        boot.start(None, &mut pending);
                        boot.shim = boot.programs.len().checked_sub(1);
                    }
                    if !is_state_of_shim(event) {
                        pending.push(*number);
                    }
                }
                (SHIM_STATE, EventType::IPL) if boot.shim.is_none() && event.data.starts_with(b"MokList") => {
                    boot.start(None, &mut pending);
                    boot.shim = boot.programs.len().checked_sub(1);
                }
                (PROGRAMS, EventType::EFI_BOOT_SERVICES_APPLICATION) => {
                    boot.programs.push(StartedProgram {
                        event: Some(*number),
                        authorities: std::mem::take(&mut pending),
                        starter: boot.starter(),
                    });
                    boot.kernel_apart |= boot.image.is_some();
                }
                (SECTIONS, EventType::IPL) => boot.image = boot.image.or(boot.programs.len().checked_sub(1)),
                _ => {}
            }
        }
        boot.start(None, &mut pending);
        boot.image = boot.image.or(boot.programs.len().checked_sub(1));
        boot
    }

    /// A program whose start was not measured.
    fn start(&mut self, event: Option<usize>, pending: &mut Vec<usize>) {
        if !pending.is_empty() {
            let authorities = std::mem::take(pending);
            self.programs.push(StartedProgram { event, authorities, starter: self.starter() });
        }
    }

    fn starter(&self) -> Starter {
        if self.shim.is_some() { Starter::Shim } else { Starter::Firmware }
    }
}

/// Whether this authority is of shim, or of what it has started.
fn is_shims(event: &Event<&[u8]>) -> bool {
    event.name() != DB.name
}

/// Whether this event is of a variable that shim decides by, and not of what has let something through.
pub(super) fn is_state_of_shim<D: AsRef<[u8]>>(event: &Event<D>) -> bool {
    let variable = VariableData::parse(event.data.as_ref()).filter(|_| event.kind == EventType::EFI_VARIABLE_AUTHORITY);
    variable.is_some_and(|variable| {
        *variable.vendor == SHIM_LOCK.to_bytes_le() && !SHIM_AUTHORITIES.contains(&variable.name.as_str())
    })
}

/// The last separator before the first program.
fn ready(log: &FirmwareLog<'_>) -> usize {
    let is_program = |event: &Event<&[u8]>| event.kind == EventType::EFI_BOOT_SERVICES_APPLICATION;
    let before = log.events.iter().take_while(|logged| !is_program(&logged.event));
    let separators = before.filter(|logged| logged.event.kind == EventType::SEPARATOR && logged.event.pcr <= 7);
    separators.last().map_or(0, |logged| logged.number)
}

fn is_secure(log: &FirmwareLog<'_>) -> bool {
    let config = log.events.iter().filter(|logged| logged.event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG);
    let mut variables = config.filter_map(|logged| VariableData::parse(logged.event.data));
    variables.find(|variable| variable.name == SECURE_BOOT.name).is_some_and(|variable| variable.contents == [1])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(name: &str) -> LoggedBoot {
        let path = format!("{}/tests/data/event-logs/{name}.bin", env!("CARGO_MANIFEST_DIR"));
        let log = std::fs::read(path).unwrap();
        LoggedBoot::read(&FirmwareLog::read(&log))
    }

    fn program(event: usize, authorities: &[usize], starter: Starter) -> StartedProgram {
        StartedProgram { event: Some(event), authorities: authorities.to_vec(), starter }
    }

    #[test]
    fn programs_are_told_with_what_let_them_through() {
        use Starter::{Firmware, Shim};
        let boot = read("direct");
        assert_eq!(boot.programs, [program(26, &[25], Firmware)]);
        assert_eq!((boot.shim, boot.image, boot.secure_boot, boot.ready), (None, Some(0), true, 24));
        let boot = read("shim");
        assert_eq!(boot.programs, [program(26, &[25], Firmware), program(32, &[31], Shim)]);
        assert_eq!((boot.shim, boot.image, boot.kernel_apart), (Some(0), Some(1), false));
        let boot = read("hp-windows");
        assert_eq!(boot.programs[0], program(44, &[42], Firmware));
        assert_eq!((boot.shim, boot.ready), (None, 41));
        let boot = read("gce-coreos");
        assert_eq!(boot.programs, [program(22, &[], Firmware), program(28, &[], Shim)]);
        assert_eq!((boot.shim, boot.secure_boot), (Some(0), false));
    }
}
