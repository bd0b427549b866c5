//! `trust keyset check`.

use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        keyset::{
            Keyset,
            check::{self, Finding, Report, Severity},
        },
        say::output,
    },
};
use clap::Args;
use std::{env, io::IsTerminal};

/// `trust keyset check`
#[derive(Args)]
#[command(after_help = "Examples:\n  trust keyset check acme\n  trust keyset check acme --json | jq .findings\n\n\
    Exit status: 0 without errors, though there may be warnings; 14 with errors.")]
pub struct Check {
    /// Name of the keyset, or its directory if that holds a slash
    name: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let report = check::check(&Keyset::open(&self.name)?)?;
        if self.json {
            output::json(&report)?;
        } else {
            output::lines(report.findings.iter().map(line))?;
        }
        if report.errors > 0 {
            return Err(Error::new(Kind::Corrupt, format!("vouch for keyset {:?}", report.name), counts(&report))
                .remedy("see what to do about each"));
        }
        if self.json { Ok(()) } else { output::line(format!("{}: {}", report.name, counts(&report))) }
    }
}

fn line(finding: &Finding) -> String {
    let path = finding.path.display().to_string();
    let place = if path.is_empty() { String::new() } else { format!("{}: ", printable(&path)) };
    let remedy = if finding.remedy.is_empty() { String::new() } else { format!("; {}", printable(&finding.remedy)) };
    let more = match finding.also.len() {
        0 => String::new(),
        count => format!(" (and so {count} more)"),
    };
    format!("{}: {place}{}{more}{remedy}", severity(finding.severity), printable(&finding.what))
}

/// In colour where somebody looks at it, who has not said that he does not want it (no-color.org).
fn severity(severity: Severity) -> String {
    let coloured = std::io::stdout().is_terminal() && env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let colour = match severity {
        Severity::Error => "31",
        Severity::Warning => "33",
        Severity::Note => "36",
    };
    if coloured { format!("\x1b[{colour}m{}\x1b[0m", severity.as_str()) } else { severity.as_str().to_owned() }
}

fn counts(report: &Report) -> String {
    let some = |count, what| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    format!("{}, {}", some(report.errors, "error"), some(report.warnings, "warning"))
}
