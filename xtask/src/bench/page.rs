//! What `target/bench` holds: each part as JSON, each section as SVG, and one page that shows all that was measured so far.

use super::{
    part::Part,
    plot, render,
    section::{Requirement, Section},
};
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use std::{fmt::Write as _, fs, path::PathBuf, process::Command, thread};

/// A part, as it was measured.
#[derive(Deserialize, Serialize)]
pub struct Measured {
    /// The commit of the sources.
    pub commit: String,
    /// The processor, and how many of its cores there were.
    pub machine: String,
    pub sections: Vec<Section>,
}

impl Measured {
    /// What was just measured, here.
    pub fn now(sections: Vec<Section>) -> Self {
        let git =
            Command::new("git").args(["describe", "--always", "--dirty"]).current_dir(harness::workspace()).output();
        let commit = git.map_or_else(|_| String::new(), |git| String::from_utf8_lossy(&git.stdout).trim().to_owned());
        let processor = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = processor.lines().find_map(|line| line.strip_prefix("model name")?.split(": ").nth(1));
        let cores = thread::available_parallelism().map_or(1, usize::from);
        Self { commit, machine: format!("{} ({cores} cores)", model.unwrap_or("unknown processor")), sections }
    }
}

fn dir() -> PathBuf {
    harness::workspace().join("target/bench")
}

/// Puts a part there.
pub fn keep(part: Part, measured: &Measured) -> Result<()> {
    let dir = dir();
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    for section in &measured.sections {
        fs::write(dir.join(format!("{}.svg", section.name)), plot::svg(section))?;
    }
    Ok(fs::write(dir.join(format!("{}.json", part.name())), format!("{:#}\n", serde_json::to_value(measured)?))?)
}

/// All parts that are there, in their order.
pub fn kept() -> Result<Vec<(Part, Measured)>> {
    let mut parts = Vec::new();
    for part in Part::ALL {
        let path = dir().join(format!("{}.json", part.name()));
        let Ok(json) = fs::read(&path) else { continue };
        let wrong = || format!("{} is of another version; remove it", path.display());
        parts.push((part, serde_json::from_slice(&json).with_context(wrong)?));
    }
    Ok(parts)
}

/// Writes the page; returns where it is.
pub fn write(parts: &[(Part, Measured)], claims: &[Requirement]) -> Result<PathBuf> {
    let mut page =
        "# What it costs\n\nMeasured by `cargo xtask bench`. Less is better everywhere; (×2) is twice what the first \
                    program takes, the median of paired rounds. Bars are on logarithmic scales.\n"
            .to_owned();
    for (part, measured) in parts {
        let _ = write!(page, "\n## {}\n\n{}, {}\n", part.title(), measured.commit, measured.machine);
        for section in &measured.sections {
            let Section { name, title, .. } = section;
            let _ = write!(page, "\n### {title}\n\n![{title}]({name}.svg)\n\n{}", render::markdown(section));
        }
    }
    let requirements =
        parts.iter().flat_map(|(_, measured)| &measured.sections).flat_map(|section| &section.requirements);
    let _ = write!(page, "\n## Requirements\n\n```\n{}```\n", render::budget(requirements));
    let _ = write!(page, "\n## What README.md says\n\n```\n{}```\n", render::budget(claims));
    let path = dir().join("README.md");
    fs::write(&path, page)?;
    Ok(path)
}
