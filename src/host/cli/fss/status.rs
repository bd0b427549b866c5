//! `trust fss status`.

use super::FssOptions;
use crate::{
    digest::hex,
    error::{Error, Kind, Result},
    host::{
        fss::{
            FssFinding, Generation, GenerationState, Generations, KeyPolicy, KeyRecord, SealingKey, findings, key,
            no_keys, owner, sealing_findings,
        },
        journal::{JournalTime, files},
        say::output,
    },
    tpm::NvSpace,
};
use clap::Args;
use serde_json::{Value, json};

pub(super) const HELP: &str = "\
Says what is wrong, and ends with status 14 then: a key that can be replaced or was, a generation that the counter does
not account for, a sealing key on disk whose verification key is not in the TPM.

Examples:
  trust fss status
  trust fss status --json | jq .findings";

/// `trust fss status`
#[derive(Args)]
pub struct FssStatus {
    /// As a JSON object
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    options: FssOptions,
}

/// A generation, and why its policy does not open its key now.
struct Judged<'a> {
    generation: &'a Generation,
    closed: Option<String>,
}

impl FssStatus {
    pub(super) fn run(self) -> Result<()> {
        let machine = files::machine_id()?;
        let (mut space, policies) = self.options.open()?;
        let found = Generations::read(&mut space)?;
        if found.all.is_empty() && found.counter_index.is_none() {
            return Err(no_keys());
        }
        let sealing = SealingKey::read(&machine)?;
        let mut wrong = findings(&found);
        wrong.extend(sealing_findings(&found, sealing.as_ref(), &machine));
        let judged = judge(&mut space, &found, &policies, &mut wrong)?;
        if self.json {
            output::json(&to_json(&found, &judged, sealing.as_ref(), &wrong))?;
        } else {
            output::lines(lines(&found, &judged, sealing.as_ref(), &wrong))?;
        }
        complain("vouch for the keys of sealed journals", &wrong)
    }
}

/// Fails if anything is wrong.
pub(super) fn complain(what: &'static str, wrong: &[FssFinding]) -> Result<()> {
    let [first, rest @ ..] = wrong else { return Ok(()) };
    let more = if rest.is_empty() { String::new() } else { format!(", and {} more", rest.len()) };
    Err(Error::new(Kind::Corrupt, what, format!("{}{more}", first.text))
        .remedy("find out who has done that; after a run that was cut off, run it again"))
}

/// Whether the policies hold; what they open is compared with its record, and forgotten.
fn judge<'a>(
    space: &mut NvSpace<'_>,
    found: &'a Generations,
    policies: &[KeyPolicy],
    wrong: &mut Vec<FssFinding>,
) -> Result<Vec<Judged<'a>>> {
    let mut judged = Vec::new();
    for generation in &found.all {
        let policy = generation.key.as_ref().and_then(|public| KeyPolicy::of(policies, public));
        let mut closed = match (policy, &generation.key) {
            (Some(policy), Some(public)) if public.policy == policy.recipe.policy.digest() => {
                space.why_closed(&policy.recipe, &policy.evidence)?
            }
            _ => Some("its policy is another one than is given, or PCRs have changed since".into()),
        };
        if closed.is_none() && generation.state() == GenerationState::Locked && generation.record.is_some() {
            match key(space, generation, policies) {
                Ok(_) => {}
                Err(error) if error.kind() == Kind::Refused => closed = Some(error.why().to_owned()),
                Err(error) if error.kind() == Kind::Corrupt => {
                    let text = format!("the key of generation {}: {}", generation.number, error.why());
                    let is_known = wrong.iter().any(|one| one.name == "key_replaced");
                    wrong.extend((!is_known).then_some(FssFinding { name: "key_replaced", text }));
                }
                Err(error) => return Err(error),
            }
        }
        judged.push(Judged { generation, closed });
    }
    Ok(judged)
}

fn word(generation: &Generation) -> &'static str {
    match generation.state() {
        GenerationState::Begun => "begun",
        GenerationState::KeyLocked => "not locked",
        GenerationState::Locked => "locked",
    }
}

fn lines(
    found: &Generations,
    judged: &[Judged<'_>],
    sealing: Option<&SealingKey>,
    wrong: &[FssFinding],
) -> Vec<String> {
    let counter = found.counter.map_or_else(|| "none".to_owned(), |counter| counter.to_string());
    let mut lines = vec![format!("counter       {counter}")];
    for Judged { generation, closed } in judged {
        lines.extend(record_lines(generation));
        lines.push(format!("  policy      {}", closed.as_ref().map_or("holds", String::as_str)));
    }
    let of = sealing.map(|sealing| owner(found, sealing));
    lines.push(match of {
        None => "sealing key   none".to_owned(),
        Some(None) => "sealing key   of no generation".to_owned(),
        Some(Some(record)) => format!("sealing key   of generation {}", record.number),
    });
    lines.extend(wrong.iter().map(|finding| format!("WRONG         {}", finding.text)));
    lines
}

/// What is said of a generation.
pub(super) fn record_lines(generation: &Generation) -> Vec<String> {
    let (number, state) = (generation.number, word(generation));
    let Some(record) = &generation.record else { return vec![format!("generation    {number}, {state}")] };
    vec![
        format!("generation    {number}, {state}, counted as {}", record.counter),
        format!("  since       {}, a key every {}", JournalTime(record.start), span(record.interval)),
        format!("  fingerprint {}", hex(&record.fingerprint)),
    ]
}

/// The same for programs.
pub(super) fn record_json(generation: &Generation) -> Value {
    let mut value = json!({ "generation": generation.number, "state": word(generation) });
    if let (Some(record), Some(object)) = (&generation.record, value.as_object_mut()) {
        let KeyRecord { counter, machine, start, interval, fingerprint, .. } = record;
        object.insert("counter".into(), (*counter).into());
        object.insert("machine_id".into(), hex(machine).into());
        object.insert("start_usec".into(), (*start).into());
        object.insert("interval_usec".into(), (*interval).into());
        object.insert("fingerprint".into(), hex(fingerprint).into());
    }
    value
}

fn to_json(found: &Generations, judged: &[Judged<'_>], sealing: Option<&SealingKey>, wrong: &[FssFinding]) -> Value {
    let generation = |Judged { generation, closed }: &Judged<'_>| {
        let mut value = record_json(generation);
        if let Some(object) = value.as_object_mut() {
            object.insert("policy_holds".into(), closed.is_none().into());
            object.insert("policy_why".into(), closed.clone().into());
        }
        value
    };
    let sealing = sealing.map(|sealing| {
        json!({
            "fingerprint": hex(&sealing.fingerprint),
            "start_usec": sealing.start,
            "interval_usec": sealing.interval,
            "generation": owner(found, sealing).map(|record| record.number),
        })
    });
    let wrong: Vec<_> = wrong.iter().map(|one| json!({ "name": one.name, "text": one.text })).collect();
    json!({
        "format": 1,
        "counter": found.counter,
        "generations": judged.iter().map(generation).collect::<Vec<_>>(),
        "sealing_key": sealing,
        "findings": wrong,
    })
}

/// Microseconds in the largest unit that they are a multiple of.
fn span(microseconds: u64) -> String {
    for (size, unit) in [(3_600_000_000, "h"), (60_000_000, "min"), (1_000_000, "s"), (1_000, "ms")] {
        if microseconds.is_multiple_of(size) {
            return format!("{} {unit}", microseconds / size);
        }
    }
    format!("{microseconds} us")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_have_the_largest_unit_that_fits() {
        assert_eq!((span(900_000_000), span(1_500_000), span(7)), ("15 min".into(), "1500 ms".into(), "7 us".into()));
    }
}
