//! PCRs: what each is about, its values, and who has moved it.

use super::{
    events::ToldBoot,
    log_page::fact,
    mark::{Mark, marked},
};
use crate::{
    digest::hex,
    host::eventlog::replay,
    policy::pcr_values::{PcrName, PcrValues},
    tpm2::bank,
};
use maud::{Markup, html};
use std::collections::{BTreeMap, BTreeSet};

/// What each PCR is about (TCG PC Client Platform Firmware Profile 1.06, section 3.3.4; the Linux TPM PCR Registry of the UAPI
/// Group).
const ABOUT: [&str; 17] = [
    "code of the firmware",
    "configuration of the firmware and the platform",
    "drivers and option ROMs",
    "configuration of drivers and option ROMs",
    "programs that the firmware and its successors have started",
    "partition table, configuration of boot managers",
    "the manufacturer's own",
    "Secure Boot: whether it is on, its keys, and who vouched for what was started",
    "commands of GRUB",
    "kernel command line, and initrds or files that boot loaders have read",
    "files, by IMA",
    "the unified kernel image, and the phases of the boot; of Windows, what BitLocker asks for",
    "command lines and credentials from outside of the image; of Windows, its settings",
    "extensions of the system; of Windows, its modules",
    "shim: its owner's keys; of Windows, who signed its modules",
    "the machine, and its volumes",
    "for debugging",
];

/// A PCR, and what is thought of it.
pub struct PcrView {
    number: u8,
    values: Vec<(String, String)>,
    /// What is thought of it, in words.
    opinion: Option<(Mark, String)>,
}

impl PcrView {
    /// All that were extended, or have a value that says so; with an opinion of each.
    pub fn all(boot: &ToldBoot<'_>, values: &PcrValues, opinion: impl Fn(u8) -> Option<(Mark, String)>) -> Vec<Self> {
        let moved: BTreeSet<u8> = boot.chain().into_iter().flat_map(|stage| stage.pcrs).collect();
        let is_blank = |value: &[u8]| [0, 0xff].iter().any(|blank| value.iter().all(|byte| byte == blank));
        let mut by_number: BTreeMap<u8, Vec<(PcrName, &[u8])>> = moved.iter().map(|pcr| (*pcr, Vec::new())).collect();
        for (name, value) in values.iter().filter(|(name, value)| moved.contains(&name.number) || !is_blank(value)) {
            by_number.entry(name.number).or_default().push((name, value));
        }
        let view = |(number, values): (u8, Vec<(PcrName, &[u8])>)| Self {
            number,
            values: values.into_iter().map(|(name, value)| (bank::name(name.bank), hex(value))).collect(),
            opinion: opinion(number),
        };
        by_number.into_iter().filter(|(number, _)| u32::from(*number) < replay::PCRS).map(view).collect()
    }

    /// For the picture.
    pub fn cell(&self) -> (u8, Mark) {
        (self.number, self.mark())
    }

    /// What is thought of it.
    pub fn mark(&self) -> Mark {
        self.opinion.as_ref().map_or(Mark::None, |(mark, _)| *mark)
    }

    /// It with all that is known of it.
    pub fn told(&self, boot: &ToldBoot<'_>) -> Markup {
        let about = ABOUT.get(usize::from(self.number)).copied().unwrap_or("of the system's applications");
        html! {
            details.card.pcr id={ "pcr-" (self.number) } {
                summary {
                    span.number { "PCR " (self.number) }
                    span.about { (about) }
                    @if let Some((mark, _)) = &self.opinion { (marked(*mark, short(*mark))) }
                }
                @if let Some((mark, words)) = &self.opinion { p { (marked(*mark, words)) } }
                dl.facts {
                    @for (bank, value) in &self.values { (fact(bank, &html! { span.hex { (value) } })) }
                    (fact("Moved by", &self.moved_by(boot)))
                }
            }
        }
    }

    fn moved_by(&self, boot: &ToldBoot<'_>) -> Markup {
        let of_stage = |stage: &crate::host::eventlog::stages::BootStage<'_>| {
            let events = stage.events.iter();
            let moves =
                events.filter(|logged| replay::extends(&logged.event) && logged.event.pcr == u32::from(self.number));
            ranges(&moves.map(|logged| logged.number).collect::<Vec<_>>())
        };
        let stages = boot.stages.iter().enumerate().map(|(at, stage)| (at, stage.role(), of_stage(stage)));
        let stages: Vec<_> = stages.filter(|(.., events)| !events.is_empty()).collect();
        let records = (1..).zip(boot.records).filter(|(_, record)| record.pcr == self.number);
        let records = ranges(&records.map(|(number, _)| number).collect::<Vec<_>>());
        html! {
            @if stages.is_empty() && records.is_empty() { "nothing that the log tells of" }
            @for (number, (at, role, events)) in stages.iter().enumerate() {
                @if number > 0 { br; }
                a href={ "#stage-" (at) } { (role) } ": "
                (links("event", events))
            }
            @if !records.is_empty() {
                @if !stages.is_empty() { br; }
                a href="#stage-system" { "System" } ": "
                (links("record", &records))
            }
        }
    }
}

fn links(what: &str, ranges: &[(usize, usize)]) -> Markup {
    html! {
        (what) "s "
        @for (at, (first, last)) in ranges.iter().enumerate() {
            @if at > 0 { ", " }
            a href={ "#" (what) "-" (first) } { (first) @if first != last { "–" (last) } }
        }
    }
}

const fn short(mark: Mark) -> &'static str {
    match mark {
        Mark::Good => "explained",
        Mark::Bad => "not explained",
        Mark::Doubtful => "not known",
        Mark::None => "",
    }
}

/// Numbers that follow each other, as first and last.
fn ranges(numbers: &[usize]) -> Vec<(usize, usize)> {
    let mut ranges: Vec<(usize, usize)> = Vec::new();
    for number in numbers {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == *number => *last = *number,
            _ => ranges.push((*number, *number)),
        }
    }
    ranges
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_that_follow_each_other_are_one_range() {
        assert_eq!(ranges(&[1, 2, 3, 5, 8, 9]), [(1, 3), (5, 5), (8, 9)]);
        assert_eq!(ranges(&[]), []);
    }
}
