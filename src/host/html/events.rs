//! What each stage of a boot has measured, in words.

use super::{
    chain::{self, ChainStage},
    mark::{Mark, marked},
};
use crate::{
    digest::hex,
    host::eventlog::{
        measured::{self, DigestOf},
        read::LoggedEvent,
        stages::{BootStage, StageKind},
        words,
    },
    measure::{event::Event, user_space::Record},
    tpm2::{bank, constants::alg},
};
use maud::{Markup, html};

/// Events of a stage that are shown.
const MOST_EVENTS: usize = 2000;
/// Stages with more events are folded up.
const MOST_UNFOLDED: usize = 16;
/// Hexadecimal digits of a digest that are shown.
const SHOWN_DIGITS: usize = 16;

/// A boot, as far as logs tell of it.
pub struct ToldBoot<'a> {
    /// By the firmware's log.
    pub stages: &'a [BootStage<'a>],
    /// What the system has measured since.
    pub records: &'a [Record],
    /// Whether the log is whole: else data that are not there have stayed on the machine.
    pub is_whole: bool,
}

impl ToldBoot<'_> {
    /// For the picture.
    pub fn chain(&self) -> Vec<ChainStage> {
        let of = |(at, stage): (usize, &BootStage<'_>)| ChainStage {
            fragment: format!("stage-{at}"),
            role: stage.role().to_owned(),
            name: name(stage, self.is_whole),
            pcrs: stage.pcrs(),
        };
        let system = (!self.records.is_empty()).then(|| ChainStage {
            fragment: "stage-system".to_owned(),
            role: "System".to_owned(),
            name: counted(self.records.len(), "record", "records"),
            pcrs: self.records.iter().map(|record| record.pcr).collect(),
        });
        self.stages.iter().enumerate().map(of).chain(system).collect()
    }

    /// How many events are not what they say, as far as their data are there.
    pub fn doubtful(&self) -> usize {
        let events = self.stages.iter().flat_map(|stage| &stage.events).map(|logged| &logged.event);
        events.filter(|event| !self.has_stayed(event) && measured::of(event) == Some(DigestOf::Doubtful)).count()
    }

    /// Whether the data of an event have stayed on the machine.
    fn has_stayed(&self, event: &Event<&[u8]>) -> bool {
        !self.is_whole && event.data.is_empty() && event.extends()
    }

    /// All of it, stage by stage.
    pub fn told(&self) -> Markup {
        html! {
            @for (at, stage) in self.stages.iter().enumerate() { (self.stage(at, stage)) }
            @if !self.records.is_empty() { (self.system()) }
        }
    }

    fn stage(&self, at: usize, stage: &BootStage<'_>) -> Markup {
        let count = stage.events.len();
        html! {
            article class={ "card stage " (chain::colour(at)) } id={ "stage-" (at) } {
                h3 { (stage.role()) @if let Some(name) = &stage.name { " " span.soft { (name) } } }
                @if let Some(verified) = &stage.verified { p { (marked(Mark::Good, verified)) } }
                details open[count <= MOST_UNFOLDED] {
                    summary { (counted(count, "event", "events")) }
                    table {
                        (head("Event"))
                        tbody { @for logged in stage.events.iter().take(MOST_EVENTS) { (self.event(logged)) } }
                    }
                    @if count > MOST_EVENTS { p { "And " (count - MOST_EVENTS) " more, which `trust eventlog show` shows." } }
                }
            }
        }
    }

    fn event(&self, LoggedEvent { number, event, .. }: &LoggedEvent<'_>) -> Markup {
        let stayed = self.has_stayed(event);
        let (mark, of) = match measured::of(event).filter(|_| !stayed) {
            Some(DigestOf::Data) => (Mark::Good, "measured as shown"),
            Some(DigestOf::Part(_)) => (Mark::Good, "a part of it was measured"),
            Some(DigestOf::Doubtful) => (Mark::Bad, "something else was measured: it may be forged"),
            Some(DigestOf::Other) | None => (Mark::None, ""),
        };
        html! {
            tr id={ "event-" (number) } {
                th.narrow scope="row" { (number) }
                td.narrow { (pcr(event.pcr)) }
                td {
                    @if stayed { span.soft { "its data have stayed on the machine" } } @else { (words::meaning(event)) }
                    div.small {
                        (event.kind.to_string())
                        @if event.extends() { (digest(&event.digests)) }
                        @if mark != Mark::None { " · " (marked(mark, of)) }
                    }
                }
            }
        }
    }

    fn system(&self) -> Markup {
        html! {
            article class={ "card stage " (chain::colour(self.stages.len())) } id="stage-system" {
                h3 { "System" }
                details open[self.records.len() <= MOST_UNFOLDED] {
                    summary { (counted(self.records.len(), "record", "records")) }
                    table {
                        (head("Record"))
                        tbody {
                            @for (number, record) in (1..).zip(self.records).take(MOST_EVENTS) {
                                tr id={ "record-" (number) } {
                                    th.narrow scope="row" { (number) }
                                    td.narrow { (pcr(record.pcr.into())) }
                                    td {
                                        (words::bounded(&record.text))
                                        div.small { (words::bounded(&record.kind)) (digest(&record.digests)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Which program a stage is, in the picture.
fn name(stage: &BootStage<'_>, is_whole: bool) -> String {
    match (&stage.name, stage.kind) {
        (Some(name), _) => name.clone(),
        (None, StageKind::Program) if !is_whole => "its name is not in the state".to_owned(),
        (None, _) => counted(stage.events.len(), "event", "events"),
    }
}

fn head(what: &str) -> Markup {
    html! {
        thead { tr { th.narrow scope="col" { (what) } th.narrow scope="col" { "PCR" } th scope="col" { "What was measured" } } }
    }
}

fn pcr(number: u32) -> Markup {
    // What has another index extends no PCR.
    html! { @if number < 24 { a href={ "#pcr-" (number) } { (number) } } @else { "–" } }
}

/// The beginning of the digest in the bank of SHA-256, or in the first.
fn digest(digests: &[(u16, Vec<u8>)]) -> Markup {
    let found = digests.iter().find(|(id, _)| *id == alg::SHA256).or_else(|| digests.first());
    html! {
        @if let Some((id, digest)) = found {
            " · " (bank::name(*id)) " " span.hex { (hex(digest).chars().take(SHOWN_DIGITS).collect::<String>()) "…" }
        }
    }
}

pub fn counted(number: usize, one: &str, more: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { more })
}
