//! `cargo xtask bench`: one boot's work, counted, beside the other ways to do it.
//!
//! All candidates meet the same software TPM, through the same recording proxy
//! and the same protocol. Everything but the wall time is a count, and the wall
//! time is shown as a ratio of paired runs: the table says the same on a busy machine.
//! The time that a keyset takes is one more such ratio, and so is what images cost to sign, verify and build, and what secrets
//! cost to seal and unseal, keys to derive, journals to verify, event logs to replay, and
//! fleets to judge.

mod boot;
mod candidates;
mod derive;
mod eventlog;
mod fleet;
mod footprint;
mod images;
mod journal;
mod keyset;
mod latency;
mod measure;
mod requirements;
mod secrets;
mod table;

use crate::{assets, dist, packages};
use anyhow::Result;
use candidates::{Candidate, Stage};
use derive::DerivedKeys;
use eventlog::EventLogs;
use fleet::Fleets;
use images::Images;
use journal::Journals;
use keyset::KeysetTimes;
use latency::Models;
use measure::Figures;
use secrets::Secrets;

/// What is asked for on the command line.
#[derive(Default)]
pub struct Options {
    /// Print JSON in place of the table.
    pub json: bool,
    /// Measure how long a keyset takes, and nothing else.
    pub keyset: bool,
    /// Measure what images cost, and nothing else.
    pub images: bool,
    /// Measure what it costs to seal and unseal, and nothing else.
    pub secrets: bool,
    /// Measure what derived keys cost, and nothing else.
    pub derive: bool,
    /// Measure what it costs to verify a sealed journal, and nothing else.
    pub journal: bool,
    /// Measure what it costs to replay an event log and to judge a fleet, and nothing else.
    pub eventlog: bool,
    /// Measure boots of virtual machines, and nothing else.
    pub boot: bool,
}

/// One line of the table.
struct Row {
    candidate: Candidate,
    /// What was measured, or why nothing was.
    figures: Result<Figures, String>,
}

/// All that was measured.
struct Measured {
    rows: Vec<Row>,
    keyset_times: Option<KeysetTimes>,
    images: Option<Images>,
    secrets: Option<Secrets>,
    derived_keys: Option<DerivedKeys>,
    journals: Option<Journals>,
    event_logs: Option<EventLogs>,
    fleets: Option<Fleets>,
}

/// How often each candidate runs for its wall time.
const ROUNDS: usize = 5;

/// Measures, prints, and says whether the budget holds.
pub fn bench(options: &Options) -> Result<bool> {
    if options.boot {
        return boot::bench(options.json);
    }
    packages::ensure(&[packages::RUN, packages::BENCH])?;
    assets::prepare()?;
    if ["TRUST_INITRD", "TRUST_HOST"].iter().any(|variable| std::env::var_os(variable).is_none()) {
        dist::dist(&dist::Options::default())?;
    }
    let models = Models::read()?;
    let single = [options.keyset, options.images, options.secrets, options.derive, options.journal, options.eventlog];
    let everything = !single.contains(&true);
    let measured = Measured {
        rows: if everything { Stage::new().measure(ROUNDS)? } else { Vec::new() },
        keyset_times: (everything || options.keyset).then(KeysetTimes::run).transpose()?,
        images: (everything || options.images).then(Images::run).transpose()?,
        secrets: (everything || options.secrets).then(Secrets::run).transpose()?,
        derived_keys: (everything || options.derive).then(DerivedKeys::run).transpose()?,
        journals: (everything || options.journal).then(Journals::run).transpose()?,
        event_logs: (everything || options.eventlog).then(EventLogs::run).transpose()?,
        fleets: (everything || options.eventlog).then(Fleets::run).transpose()?,
    };
    let mut requirements = if everything { requirements::check(&measured.rows)? } else { Vec::new() };
    requirements.extend(measured.keyset_times.as_ref().map(KeysetTimes::check));
    requirements.extend(measured.images.iter().flat_map(Images::check));
    requirements.extend(measured.secrets.iter().flat_map(Secrets::check));
    requirements.extend(measured.derived_keys.iter().flat_map(DerivedKeys::check));
    requirements.extend(measured.journals.iter().flat_map(Journals::check));
    requirements.extend(measured.event_logs.iter().map(EventLogs::check));
    requirements.extend(measured.fleets.iter().flat_map(Fleets::check));
    if options.json {
        println!("{:#}", table::json(&measured, &requirements, &models));
    } else {
        print!("{}", table::text(&measured, &requirements, &models));
    }
    Ok(requirements.iter().all(|requirement| requirement.is_met))
}
