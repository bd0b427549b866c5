//! The page of a boot's logs.

use super::{
    chain,
    document::{self, PageSection},
    events::{ToldBoot, counted},
    mark::{Mark, marked},
    pcrs::PcrView,
};
use crate::{
    host::eventlog::{read::FirmwareLog, replay::BootLogs, stages, words},
    measure::{event::EventType, user_space::Record},
    tpm2::bank,
};
use maud::{Markup, html};

/// What the firmware decides by.
const DATABASES: [&str; 4] = ["PK", "KEK", "db", "dbx"];

/// The whole page, of logs in a file of this name.
#[must_use]
pub fn page(name: &str, log: &FirmwareLog<'_>, records: &[Record]) -> String {
    let stages = stages::of(log);
    let boot = ToldBoot { stages: &stages, records, is_whole: true };
    let logs = BootLogs { firmware: log, ima: &[], user_space: records };
    let pcrs = PcrView::all(&boot, &logs.replay(), |_| None);
    let lead = html! { p.soft { (words::bounded(name)) } };
    let cells: Vec<_> = pcrs.iter().map(PcrView::cell).collect();
    let sections = [
        PageSection {
            id: "chain",
            title: "The boot",
            body: html! {
                div.beside {
                    (figure(&boot, &cells))
                    div.card { (facts(logs, &boot)) }
                }
            },
        },
        PageSection {
            id: "pcrs",
            title: "PCRs that it leads to",
            body: html! { @for pcr in &pcrs { (pcr.told(&boot)) } },
        },
        PageSection { id: "events", title: "What was measured", body: boot.told() },
    ];
    let remark = "Nobody vouches for a log by itself: `trust eventlog check` compares it with a TPM.";
    document::page("What a boot has measured", &lead, &sections, remark)
}

/// The picture, with what it shows.
pub fn figure(boot: &ToldBoot<'_>, pcrs: &[(u8, Mark)]) -> Markup {
    html! {
        figure.card {
            (chain::picture(&boot.chain(), pcrs))
            figcaption {
                "Each stage was measured before it was started; the lines lead to the PCRs that its measurements have moved."
                @if pcrs.iter().any(|(_, mark)| *mark != Mark::None) {
                    " A PCR has ✓ where the log explains its value, ✗ where it does not, and ? where that is not known."
                }
            }
        }
    }
}

/// Whether Secure Boot was on, in words.
pub fn secure_boot(log: &FirmwareLog<'_>) -> Markup {
    match stages::secure_boot(log) {
        Some(true) => marked(Mark::Good, "on"),
        Some(false) => marked(Mark::Bad, "off: whatever is on the disk is started"),
        None => marked(Mark::Doubtful, "the log does not say"),
    }
}

/// The databases of keys by which the firmware decides, in words; what a log says of them.
pub fn databases(log: &FirmwareLog<'_>) -> Markup {
    let events = log.events.iter().map(|logged| &logged.event);
    let words = events.filter(|event| event.kind == EventType::EFI_VARIABLE_DRIVER_CONFIG).map(words::meaning);
    let databases: Vec<_> = words
        .filter_map(|words| {
            let (name, contents) = words.split_once(": ")?;
            DATABASES.contains(&name).then(|| (name.to_owned(), contents.to_owned()))
        })
        .take(DATABASES.len())
        .collect();
    html! { @for (name, contents) in &databases { div { dt { (name) } dd { (contents) } } } }
}

/// What is wrong with a log, if anything.
pub fn faults(log: &FirmwareLog<'_>, boot: &ToldBoot<'_>) -> Markup {
    let doubtful = boot.doubtful();
    html! {
        @if let Some(fault) = &log.fault {
            (fact("Not understood", &marked(Mark::Bad, &format!("from byte {} on: {}", fault.offset, fault.why))))
        }
        @if doubtful > 0 {
            (fact("Doubtful", &html! {
                (marked(Mark::Bad, &counted(doubtful, "event", "events")))
                ", whose digests are not of what they say"
            }))
        }
    }
}

fn facts(logs: BootLogs<'_>, boot: &ToldBoot<'_>) -> Markup {
    let log = logs.firmware;
    let banks: Vec<_> = logs.banks().into_iter().map(bank::name).collect();
    html! {
        dl.facts {
            (fact("Secure Boot", &secure_boot(log)))
            (databases(log))
            (fact("Measured", &html! {
                (counted(log.events.len(), "event", "events"))
                @if !logs.user_space.is_empty() { ", and " (counted(logs.user_space.len(), "record", "records")) " of the system" }
            }))
            @if !banks.is_empty() { (fact("Banks", &html! { (banks.join(", ")) })) }
            (faults(log, boot))
        }
    }
}

/// Something with its name, in a list of such.
pub fn fact(name: &str, what: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (what) } } }
}
