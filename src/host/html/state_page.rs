//! The page of a machine's state.

use super::{
    document::{self, PageSection},
    events::ToldBoot,
    log_page::{self, fact},
    mark::{Mark, marked},
    pcrs::PcrView,
    policies,
    updates::{self, PlannedUpdates},
};
use crate::{
    digest::Digest,
    host::{
        eventlog::{
            check::{self, PcrComparison, PcrOutcome},
            read::FirmwareLog,
            replay::BootLogs,
            stages, values,
        },
        fleet::judge,
        state::record::{MachineModel, StateRecord, TpmMaker},
    },
    measure::pcr,
    policy::{entry_kind::EntryKind, pcr_values::PcrValues},
    tpm2::constants::alg,
};
use maud::{Markup, html};

/// How often a PCR may have moved on since the boot, by the lock and by systemd.
const MOST_MOVES: u8 = 8;
/// What the system extends: its records are no part of a state.
const OF_THE_SYSTEM: std::ops::RangeInclusive<u8> = 8..=15;

/// The whole page, of a state whose texts may be shown, and of what these updates would do to the machine.
#[must_use]
pub fn page(state: &StateRecord<'_>, planned: &PlannedUpdates) -> String {
    let log = judge::log_of(state).unwrap_or_default();
    let log = FirmwareLog::read(&log);
    let logs = BootLogs { firmware: &log, ima: &[], user_space: &[] };
    let stages = stages::of(&log);
    let is_whole = state.event_log.as_ref().is_some_and(|log| log.whole);
    let boot = ToldBoot { stages: &stages, records: &[], is_whole };
    let known = state.pcrs.as_ref().and_then(|pcrs| values::parse(&pcrs.to_string()).ok());
    let compared = known.as_ref().map(|known| check::compare(logs, known)).unwrap_or_default();
    let has_log = !log.events.is_empty();
    let opinion = |number| opinion(state, &compared, number).filter(|_| has_log);
    let pcrs = PcrView::all(&boot, &known.unwrap_or_else(|| PcrValues::new(Vec::new())), opinion);
    let host = state.host.as_deref().unwrap_or("a machine without a name");
    let cells: Vec<_> = pcrs.iter().map(PcrView::cell).collect();
    let mut sections = vec![PageSection {
        id: "chain",
        title: "Chain of trust",
        body: html! {
            div.beside {
                @if !cells.is_empty() { (log_page::figure(&boot, &cells)) }
                div.card { (facts(state, logs, &boot, &pcrs)) }
            }
        },
    }];
    if state.policy_keys.is_some() || state.policies.is_some() {
        sections.push(PageSection { id: "secrets", title: "What opens its secrets", body: policies::trees(state) });
    }
    if has_log {
        let body = updates::table(state, planned);
        sections.push(PageSection { id: "updates", title: "What updates would do", body });
    }
    if !pcrs.is_empty() {
        let body = html! { @for pcr in &pcrs { (pcr.told(&boot)) } };
        sections.push(PageSection { id: "pcrs", title: "PCRs", body });
    }
    if has_log {
        sections.push(PageSection { id: "events", title: "What was measured", body: boot.told() });
    }
    if let Some(boots) = state.boots.as_ref().filter(|boots| !boots.is_empty()) {
        sections.push(PageSection { id: "boots", title: "Last boots", body: last_boots(boots) });
    }
    if !state.unknown.is_empty() {
        sections.push(PageSection { id: "unknown", title: "What is not known", body: unknown(state) });
    }
    let lead = html! { p.soft { "As it was on " (state.taken) ", by Trust " (state.trust) } };
    let remark = "A machine has said this of itself, and nobody vouches for it. It holds no secret.";
    document::page(&format!("State of {host}"), &lead, &sections, remark)
}

/// What is thought of a PCR, by the bank of SHA-256, or else by any.
fn opinion(state: &StateRecord<'_>, compared: &[PcrComparison], number: u8) -> Option<(Mark, String)> {
    let of_pcr = || compared.iter().filter(|comparison| comparison.pcr.number == number);
    let comparison = of_pcr().find(|comparison| comparison.pcr.bank == alg::SHA256).or_else(|| of_pcr().next())?;
    Some(match &comparison.outcome {
        PcrOutcome::ComesOut => (Mark::Good, "the events of the log lead to it".to_owned()),
        PcrOutcome::NotCompared(why) => (Mark::Doubtful, why.clone()),
        PcrOutcome::Differs(_) if has_moved_on(comparison) => {
            (Mark::Good, "the events of the log lead to it, and then what Trust and systemd extend it with".to_owned())
        }
        PcrOutcome::Differs(_) if OF_THE_SYSTEM.contains(&number) && state.measure_log.is_some() => {
            (Mark::Doubtful, "the system extends it as well, whose records are no part of a state".to_owned())
        }
        // The reason may be data that are not there.
        PcrOutcome::Differs(_) if state.event_log.as_ref().is_some_and(|log| !log.whole) => {
            (Mark::Bad, "the events of the log do not lead to it".to_owned())
        }
        PcrOutcome::Differs(why) => (Mark::Bad, why.clone()),
    })
}

fn has_moved_on(comparison: &PcrComparison) -> bool {
    let replayed = comparison.replayed.as_deref().and_then(|value| Digest::try_from(value).ok());
    let now = Digest::try_from(comparison.value.as_slice()).ok();
    let both = replayed.zip(now).filter(|_| comparison.pcr.bank == alg::SHA256);
    both.is_some_and(|(replayed, now)| pcr::moved_on(&replayed, &now, MOST_MOVES).is_some())
}

fn facts(state: &StateRecord<'_>, logs: BootLogs<'_>, boot: &ToldBoot<'_>, pcrs: &[PcrView]) -> Markup {
    let judged = |wanted| pcrs.iter().filter(|pcr| pcr.mark() == wanted).count();
    let (good, bad) = (judged(Mark::Good), judged(Mark::Bad));
    let all = pcrs.iter().filter(|pcr| pcr.mark() != Mark::None).count();
    html! {
        dl.facts {
            @if !logs.firmware.events.is_empty() { (fact("Secure Boot", &log_page::secure_boot(logs.firmware))) }
            @if state.policies.is_some() { (fact("Opens now", &opens_now(state))) }
            (fact("Next boot, if nothing changes", &updates::judged(state, &[], None)))
            @if all > 0 {
                @let mark = if bad > 0 { Mark::Bad } else { Mark::Good };
                (fact("PCRs that the log explains", &marked(mark, &format!("{good} of {all}"))))
            }
            (log_page::faults(logs.firmware, boot))
            @if let Some(word) = &state.provisioning {
                (fact("Provisioned", &html! {
                    (word)
                    @if let Some(version) = &state.layout_version { ", layout " (version) }
                    @if let Some(version) = &state.policy_version { ", policy version " (version) }
                }))
            }
            (log_page::databases(logs.firmware))
            @if let Some(tpm) = &state.tpm { (fact("TPM", &maker(tpm))) }
            @if let Some(name) = &state.storage_root_key {
                (fact("Storage root key", &html! { span.hex { (name) } }))
            }
            @if let Some(MachineModel { vendor, product, firmware_vendor, firmware_version, firmware_date }) = &state.hardware {
                (fact("Machine", &html! { (joined(&[vendor, product])) }))
                (fact("Firmware", &html! { (joined(&[firmware_vendor, firmware_version, firmware_date])) }))
            }
            @if let Some(name) = state.os.as_ref().and_then(|os| os.get("pretty_name")) {
                (fact("System", &html! { (name) }))
            }
        }
    }
}

fn maker(TpmMaker { manufacturer, model, firmware, revision }: &TpmMaker) -> Markup {
    html! {
        (joined(&[manufacturer, model]))
        @if let Some(firmware) = firmware { ", firmware " (firmware) }
        @if let Some(revision) = revision { ", revision " (revision) }
    }
}

fn joined(parts: &[&Option<String>]) -> String {
    parts.iter().filter_map(|part| part.as_deref()).collect::<Vec<_>>().join(" ")
}

/// Which policies hold at the moment.
fn opens_now(state: &StateRecord<'_>) -> Markup {
    let all = state.policies.iter().flatten();
    let open = all.filter(|signed| signed.holds == Some(true) && signed.signature_fits != Some(false));
    let mut words: Vec<String> = open
        .map(|signed| match EntryKind::named(&signed.kind) {
            Some(EntryKind::System) => format!("what is sealed for the running system of {}", signed.keyset),
            Some(EntryKind::Boot(kind)) if kind.reads_secrets() => {
                format!("what {} boots of {} read", kind.as_str(), signed.keyset)
            }
            _ => format!("nothing: a {} boot of {}", signed.kind, signed.keyset),
        })
        .collect();
    words.dedup();
    if words.is_empty() {
        return marked(Mark::None, "nothing: no signed policy holds");
    }
    marked(Mark::Good, &words.join(", "))
}

fn last_boots(boots: &[crate::host::state::boots::BootOutcome]) -> Markup {
    html! {
        div.card {
            table {
                thead { tr { th scope="col" { "Began" } th scope="col" { "Outcome" } } }
                tbody {
                    @for boot in boots.iter().rev() {
                        tr {
                            th scope="row" { (boot.began) }
                            td {
                                (boot.in_words())
                                div.small {
                                    @for (at, unit) in boot.units.iter().enumerate() {
                                        @if at > 0 { ", " }
                                        (unit.unit) ": " (unit.result)
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

fn unknown(state: &StateRecord<'_>) -> Markup {
    html! {
        div.card {
            table {
                thead { tr { th scope="col" { "What" } th scope="col" { "Why" } } }
                tbody { @for (name, why) in &state.unknown { tr { th scope="row" { code { (name) } } td { (why) } } } }
            }
        }
    }
}
