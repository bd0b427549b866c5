//! What is predicted, as people and programs read it.

use crate::{
    digest::hex,
    host::{
        eventlog::words,
        predict::next_boot::{NextBoot, PredictedEvent, PredictedPcr, PredictedValue},
        say::output::{Tone, coloured},
    },
    measure::event::Event,
    tpm2::bank,
};
use serde_json::{Value, json};

/// Changed events of a value that are shown of any PCR but 7.
const MOST_EVENTS: usize = 1;
/// PCR of which all changes are shown.
const SECURE_BOOT: u8 = 7;

/// The predictions for these PCRs, as bits.
fn wanted(next: &NextBoot, pcrs: u32) -> impl Iterator<Item = &PredictedPcr> {
    next.pcrs.iter().filter(move |predicted| pcrs >> predicted.pcr.number & 1 == 1)
}

/// A table: of each PCR what it is now and what it will be, and below that why.
pub fn lines(next: &NextBoot, pcrs: u32) -> Vec<String> {
    let width = wanted(next, pcrs).map(|predicted| predicted.pcr.to_string().len()).max().unwrap_or(0);
    let mut lines = Vec::new();
    for predicted in wanted(next, pcrs) {
        let name = coloured(Tone::Note, &format!("{:width$}", predicted.pcr.to_string()));
        let now = predicted.now.as_deref().map_or_else(|| "nothing that is known".to_owned(), hex);
        if predicted.is_unchanged() && predicted.values.iter().all(|value| value.why.is_empty()) {
            lines.push(format!("{name}  {}  {now}", coloured(Tone::Good, "stays")));
            continue;
        }
        lines.push(format!("{name}  now    {now}"));
        for (number, value) in predicted.values.iter().enumerate() {
            let word = if number == 0 { "then " } else { "or   " };
            let is_same = predicted.now.as_ref() == Some(&value.value);
            let tone = if is_same { Tone::Good } else { Tone::Doubtful };
            lines.push(format!("{:width$}  {}  {}", "", coloured(tone, word), hex(&value.value)));
            lines.extend(reasons(predicted, value).into_iter().map(|why| format!("{:width$}         {why}", "")));
        }
        if let Some(why) = &predicted.unknown {
            lines.push(format!("{:width$}  {}  not known: {why}", "", coloured(Tone::Bad, "then ")));
        }
    }
    lines
}

/// What a value depends on, and the events that move the PCR.
fn reasons(predicted: &PredictedPcr, value: &PredictedValue) -> Vec<String> {
    let changes: Vec<_> = value.events.iter().filter(|event| event.change.is_some()).collect();
    let is_change = |why: &&String| changes.iter().any(|event| event.change.as_ref() == Some(*why));
    let mut lines: Vec<String> = value.why.iter().filter(|why| !is_change(why)).cloned().collect();
    let most = if predicted.pcr.number == SECURE_BOOT { usize::MAX } else { MOST_EVENTS };
    for event in changes.iter().take(most) {
        let place = event.number.map_or_else(|| "a new event".to_owned(), |number| format!("event {number}"));
        let change = event.change.as_deref().unwrap_or_default();
        lines.push(format!("{place}: {change}: {}", meaning(event)));
    }
    let more = changes.len().saturating_sub(most);
    if more > 0 {
        lines.push(format!("and {more} more events"));
    }
    lines
}

fn meaning(predicted: &PredictedEvent) -> String {
    let Event { pcr, kind, digest, digests, data } = &predicted.event;
    let (digests, data) = (digests.clone(), data.as_slice());
    words::meaning(&Event { pcr: *pcr, kind: *kind, digest: *digest, digests, data })
}

/// All of it, of these PCRs.
pub fn to_json(next: &NextBoot, pcrs: u32) -> Value {
    let event = |event: &PredictedEvent| {
        let digests = event.event.digests.iter().map(|(id, digest)| (bank::name(*id), Value::from(hex(digest))));
        json!({
            "number": event.number,
            "type": event.event.kind.to_string(),
            "change": event.change,
            "meaning": meaning(event),
            "digests": digests.collect::<serde_json::Map<_, _>>(),
            "data": hex(&event.event.data),
        })
    };
    let value = |value: &PredictedValue| {
        json!({
            "value": hex(&value.value),
            "why": value.why,
            "published": value.events.is_empty(),
            "events": value.events.iter().map(event).collect::<Vec<_>>(),
        })
    };
    let pcr = |predicted: &PredictedPcr| {
        json!({
            "pcr": predicted.pcr.number,
            "bank": bank::name(predicted.pcr.bank),
            "now": predicted.now.as_deref().map(hex),
            "values": predicted.values.iter().map(value).collect::<Vec<_>>(),
            "unknown": predicted.unknown,
        })
    };
    json!({
        "format": 1,
        "pcrs": wanted(next, pcrs).map(pcr).collect::<Vec<_>>(),
        "obstacles": next.obstacles,
    })
}
