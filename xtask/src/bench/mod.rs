//! `cargo xtask bench`: what Trust costs, beside other ways to do the same.
//!
//! All candidates meet the same software TPM, through the same recording proxy and the same protocol. What is no count is
//! compared in paired rounds, and shown as a ratio: the tables say the same on a busy machine.
//!
//! Every part gives [`section::Section`]s; tables, plots, the page and the check of README.md are made of these alone.

mod boot;
mod candidates;
mod cost;
mod derive;
mod ear;
mod eventlog;
mod fleet;
mod footprint;
mod images;
mod journal;
mod kexec;
mod keyset;
mod latency;
mod measure;
mod page;
mod part;
mod plot;
mod readme;
mod render;
mod requirements;
mod secrets;
mod section;

use crate::{assets, dist, packages};
use anyhow::Result;
use latency::Models;
use page::Measured;
pub use part::Part;
use section::Requirement;

/// What is asked for on the command line.
#[derive(Default)]
pub struct Options {
    /// Print JSON in place of the tables.
    pub json: bool,
    /// Measure whole boots, too.
    pub all: bool,
    /// Measure these, and nothing else.
    pub parts: Vec<Part>,
}

/// Measures, prints, puts everything into `target/bench`, and says whether all requirements are met.
pub fn bench(options: &Options) -> Result<bool> {
    let is_wanted = |part: &Part| match &options.parts[..] {
        [] => options.all || !matches!(part, Part::Boot | Part::Kexec),
        parts => options.all || parts.contains(part),
    };
    let parts: Vec<_> = Part::ALL.into_iter().filter(is_wanted).collect();
    packages::ensure(&[packages::RUN, packages::BENCH])?;
    assets::prepare()?;
    if ["TRUST_INITRD", "TRUST_HOST"].iter().any(|variable| std::env::var_os(variable).is_none()) {
        dist::dist(&dist::Options::default())?;
    }
    let models = Models::read()?;
    let mut sections = Vec::new();
    for part in parts {
        eprintln!("measuring: {}", part.name());
        let measured = Measured::now(part.run(&models)?);
        page::keep(part, &measured)?;
        if !options.json {
            measured.sections.iter().for_each(|section| print!("{}", render::text(section)));
        }
        sections.extend(measured.sections);
    }
    let claims = readme::check(&sections);
    let all: Vec<&Requirement> = sections.iter().flat_map(|section| &section.requirements).chain(&claims).collect();
    if options.json {
        println!("{:#}", serde_json::json!({ "sections": sections, "readme": claims }));
    } else {
        print!("\nBudget\n{}", render::budget(all.iter().copied()));
    }
    let kept = page::kept()?;
    let shown = readme::check(kept.iter().flat_map(|(_, measured)| &measured.sections));
    eprintln!("tables and plots: {}", page::write(&kept, &shown)?.display());
    Ok(all.iter().all(|requirement| requirement.is_met))
}
