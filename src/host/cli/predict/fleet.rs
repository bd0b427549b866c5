//! `trust predict --fleet`: which of many machines would stay dark.

use super::updates::Updates;
use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        cli::system_policies::SystemPolicyOptions,
        fleet::{
            judge::{self, MachineVerdict, SignedValues},
            read::{FleetReader, RawState},
            run,
        },
        keyset::Keyset,
        predict::update::Update,
        say::output::{self, Tone, coloured},
        state::record::StateRecord,
    },
    policy::pcr7data::Pcr7Data,
};
use serde_json::json;
use std::path::Path;

/// What has come out for one machine.
struct JudgedMachine {
    source: String,
    /// As it calls itself.
    host: Option<String>,
    verdict: MachineVerdict,
    why: String,
}

/// Judges all machines whose states are there, and prints those that would not open.
///
/// # Errors
/// [`Kind::Refused`]: one would not open, or not surely; [`Kind::Corrupt`]: of one that cannot be said; those of reading the
/// directory and the policies.
pub fn run(
    fleet: &Path,
    keyset: Option<&Keyset>,
    system: &SystemPolicyOptions,
    updates: &Updates,
    as_json: bool,
) -> Result<()> {
    let signed = signed(keyset, system, updates)?;
    let mut counts = [0_u64; 4];
    let judge = |state| judged(state, &updates.made, signed.as_ref());
    run::judge_all(FleetReader::open(fleet)?, judge, |machine: JudgedMachine| {
        for (verdict, count) in MachineVerdict::ALL.iter().zip(&mut counts) {
            *count += u64::from(*verdict == machine.verdict);
        }
        tell(&machine, as_json)
    })?;
    let all: u64 = counts.iter().sum();
    let parts = |skipped: usize| {
        let counted = MachineVerdict::ALL.iter().zip(counts).skip(skipped).filter(|(_, count)| *count > 0);
        counted.map(|(verdict, count)| format!("{count} {}", verdict.of_many())).collect::<Vec<_>>().join(", ")
    };
    if as_json {
        let summary: serde_json::Map<_, _> = MachineVerdict::ALL
            .iter()
            .zip(counts)
            .map(|(verdict, count)| (verdict.name().into(), count.into()))
            .collect();
        output::line(json!({ "format": 1, "machines": all, "summary": summary }))?;
    } else {
        let parts = if all == 0 { "no state is there".to_owned() } else { parts(0) };
        output::line(format_args!("{all} machines: {parts}"))?;
    }
    let [_, dark, may, not_judged] = counts;
    let kind = match (dark + may, not_judged) {
        (0, 0) => return Ok(()),
        (0, _) => Kind::Corrupt,
        _ => Kind::Refused,
    };
    Err(Error::new(kind, "expect all machines to open after this", format!("of {all}, {}", parts(1))).remedy(
        "leave the update for now: sign for the logs in their states (`trust predict KEYSET --log FILE … --sign`), and \
         give them an image built then first",
    ))
}

/// What counts as signed, if not what each machine says.
fn signed(keyset: Option<&Keyset>, system: &SystemPolicyOptions, updates: &Updates) -> Result<Option<SignedValues>> {
    Ok(match keyset {
        _ if system.is_given() => Some(SignedValues::of_policies(&system.data()?)),
        Some(keyset) => Some(SignedValues::of_policies(&Pcr7Data::open(&keyset.pcr7data())?)),
        None => updates.signed(),
    })
}

fn judged(RawState { source, json }: RawState, updates: &[Update], signed: Option<&SignedValues>) -> JudgedMachine {
    let of = |host: Option<String>, (verdict, why)| JudgedMachine { source: source.clone(), host, verdict, why };
    let not_judged = |why| (MachineVerdict::NotJudged, why);
    let json = match json {
        Ok(json) => json,
        Err(why) => return of(None, not_judged(why)),
    };
    let state = match StateRecord::parse(&json) {
        Ok(state) => state,
        Err(why) => return of(None, not_judged(why)),
    };
    of(state.host.as_deref().map(printable), judge::behind(&state, updates, signed))
}

/// A line for each machine; for people, of those alone that may not open.
fn tell(machine: &JudgedMachine, as_json: bool) -> Result<()> {
    let JudgedMachine { source, host, verdict, why } = machine;
    if as_json {
        return output::line(json!({
            "format": 1, "state": source, "host": host, "verdict": verdict.name(), "why": why,
        }));
    }
    let tone = match verdict {
        MachineVerdict::Opens => return Ok(()),
        MachineVerdict::StaysDark => Tone::Bad,
        MachineVerdict::MayStayDark | MachineVerdict::NotJudged => Tone::Doubtful,
    };
    let name = match host {
        Some(host) if !source.starts_with(host.as_str()) => format!("{source} ({host})"),
        _ => source.clone(),
    };
    output::line(format_args!("{name:<24}  {}  {why}", coloured(tone, &format!("{:<13}", verdict.words()))))
}
