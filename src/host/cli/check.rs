//! `trust keyset check`.

use crate::{
    error::{Error, Kind, Result},
    foreign::printable,
    host::{
        keyset::{
            Keyset,
            check::{self, CheckReport, Finding, Severity},
        },
        say::output::{self, Tone},
    },
};
use clap::Args;

/// `trust keyset check`
#[derive(Args)]
#[command(after_help = "Examples:\n  trust keyset check acme\n  trust keyset check acme --json | jq .findings\n\n\
    Exit status: 0 without errors, though there may be warnings; 14 with errors.")]
pub struct Check {
    /// Name of the keyset, or its directory if that holds a slash
    keyset: String,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl Check {
    pub(super) fn run(self) -> Result<()> {
        let report = check::check(&Keyset::open(&self.keyset)?)?;
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

fn severity(severity: Severity) -> String {
    let tone = match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Doubtful,
        Severity::Note => Tone::Note,
    };
    output::coloured(tone, severity.as_str())
}

fn counts(report: &CheckReport) -> String {
    let some = |count, what| match count {
        0 => format!("no {what}s"),
        1 => format!("1 {what}"),
        n => format!("{n} {what}s"),
    };
    format!("{}, {}", some(report.errors, "error"), some(report.warnings, "warning"))
}
