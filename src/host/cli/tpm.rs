//! `trust tpm …`: what there is to know about the TPM itself.

use super::{HostCommand, tpm_options::TpmArguments};
use crate::{
    error::Result,
    host::say::output::{self, Tone, coloured},
    tpm::describe::{
        Banks, Description, Hierarchies, HierarchyState, Lockout, Memory, NvUse, Pcr7, Pcr7State, PersistentObject,
        Provisioning,
    },
};
use clap::Parser;

/// The TPM itself
#[derive(Parser)]
#[command(name = "tpm")]
pub enum TpmCommand {
    /// Show one page about the TPM: maker, banks, owner, lockout, memory, what it holds, what Trust needs of it
    #[command(after_help = "\
No root is needed: the group tss, which may open /dev/tpmrm0, is enough. Nothing in the TPM is changed, and nothing
secret is read. If there is no TPM, the message says what this machine knows about the reason.

Examples:
  trust tpm show
  trust tpm show --json | jq .lockout")]
    Show(TpmShow),
}

/// `trust tpm show`
#[derive(clap::Args)]
pub struct TpmShow {
    #[command(flatten)]
    tpm: TpmArguments,
    /// As JSON
    #[arg(long)]
    json: bool,
}

impl HostCommand for TpmCommand {
    fn run(self) -> Result<()> {
        let Self::Show(show) = self;
        let description = show.tpm.connect()?.describe()?;
        if show.json {
            return output::json(&description);
        }
        output::lines(page(&description))
    }
}

/// What the TPM does not tell.
const UNKNOWN: &str = "unknown";

/// The sections, each with its lines.
fn page(tpm: &Description) -> Vec<String> {
    let mut lines = Vec::new();
    section(&mut lines, "TPM", &identity(tpm));
    section(&mut lines, "PCRs", &pcrs(tpm.banks.as_ref(), tpm.pcr7.as_ref()));
    section(&mut lines, "Owner", &tpm.hierarchies.as_ref().map_or_else(|| unknown("owner"), owner));
    section(&mut lines, "Lockout", &tpm.lockout.as_ref().map_or_else(|| unknown("state"), lockout));
    section(&mut lines, "NV memory", &tpm.nv.as_ref().map_or_else(|| unknown("used"), nv));
    section(&mut lines, "Persistent objects", &persistent(tpm.persistent.as_deref()));
    section(&mut lines, "Trust", &trust(tpm));
    lines
}

type Line = (String, String);

fn line(name: &str, value: impl Into<String>) -> Line {
    (name.to_owned(), value.into())
}

fn unknown(name: &str) -> Vec<Line> {
    vec![line(name, UNKNOWN)]
}

fn section(lines: &mut Vec<String>, title: &str, content: &[Line]) {
    lines.push(title.to_owned());
    lines.extend(content.iter().map(|(name, value)| format!("  {name:<14} {value}")));
}

fn identity(tpm: &Description) -> Vec<Line> {
    let manufacturer = tpm.manufacturer.as_ref().map_or_else(
        || UNKNOWN.to_owned(),
        |maker| {
            let name = match maker.name {
                Some(name) if name != maker.id => format!("{name} ({})", maker.id),
                _ => maker.id.clone(),
            };
            let model = if maker.model.is_empty() { String::new() } else { format!(", {}", maker.model) };
            let remark = maker.remark.map_or_else(String::new, |remark| format!(": {remark}"));
            format!("{name}{model}{remark}")
        },
    );
    let specification = &tpm.specification;
    let revision =
        specification.revision.as_ref().map_or_else(String::new, |revision| format!(", revision {revision}"));
    let date = specification.date.as_ref().map_or_else(String::new, |date| format!(" ({date})"));
    vec![
        line("manufacturer", manufacturer),
        line("firmware", tpm.firmware.as_deref().unwrap_or(UNKNOWN)),
        line("specification", format!("TPM {}{revision}{date}", specification.family.as_deref().unwrap_or(UNKNOWN))),
        line("sessions", sessions(&tpm.memory)),
    ]
}

fn sessions(memory: &Memory) -> String {
    let number = |number: Option<u32>| number.map_or_else(|| UNKNOWN.to_owned(), |number| number.to_string());
    format!(
        "{} loaded, room for {} more; {} active, room for {} more",
        number(memory.loaded_sessions),
        number(memory.room_for_loaded_sessions),
        number(memory.active_sessions),
        number(memory.room_for_active_sessions)
    )
}

fn pcrs(banks: Option<&Banks>, pcr7: Option<&Pcr7>) -> Vec<Line> {
    let banks = banks.map_or_else(
        || UNKNOWN.to_owned(),
        |banks| {
            let list = |names: &[String]| if names.is_empty() { "none".to_owned() } else { names.join(", ") };
            let inactive = if banks.inactive.is_empty() {
                String::new()
            } else {
                format!("; not active: {}", list(&banks.inactive))
            };
            format!("{}{inactive}", list(&banks.active))
        },
    );
    let mut lines = vec![line("banks", banks)];
    match pcr7 {
        None => lines.push(line("PCR 7", UNKNOWN)),
        Some(pcr7) => {
            lines.push(line(
                "PCR 7",
                match pcr7.state {
                    Pcr7State::Untouched => doubtful("zeros: the firmware has measured nothing into it"),
                    Pcr7State::OnlyLocked => doubtful("locked, and the firmware had measured nothing into it"),
                    Pcr7State::Extended => "measured into".to_owned(),
                },
            ));
            if pcr7.state == Pcr7State::Extended {
                lines.push(line("", pcr7.value.as_str()));
            }
        }
    }
    lines
}

fn owner(hierarchies: &Hierarchies) -> Vec<Line> {
    let state = |state: &HierarchyState| {
        let enabled = match state.enabled {
            Some(true) => "enabled, ".to_owned(),
            Some(false) => format!("{}, ", bad("disabled by the firmware")),
            None => String::new(),
        };
        format!("{enabled}{}", if state.password_set { "password set" } else { "no password" })
    };
    let platform = match hierarchies.platform_enabled {
        Some(true) => "enabled",
        Some(false) => "disabled",
        None => UNKNOWN,
    };
    vec![
        line("owner", state(&hierarchies.owner)),
        line("endorsement", state(&hierarchies.endorsement)),
        line("lockout", state(&hierarchies.lockout)),
        line("platform", format!("{platform}, the firmware's")),
    ]
}

fn lockout(lockout: &Lockout) -> Vec<Line> {
    let tries = match (lockout.failed_tries, lockout.max_tries) {
        (Some(failed), Some(max)) => format!("{failed} of {max} failed tries"),
        _ => format!("failed tries {UNKNOWN}"),
    };
    let state = if lockout.is_locked { bad("in lockout") } else { "not in lockout".to_owned() };
    let healing = match (lockout.seconds_per_try, lockout.failed_tries.unwrap_or(0)) {
        (None, _) => UNKNOWN.to_owned(),
        (Some(0), _) => "no try is counted: the protection is off".to_owned(),
        (Some(each), 0) => format!("a failed try is forgotten after {}", duration(each.into())),
        (Some(each), failed) => {
            let all = duration(u64::from(each) * u64::from(failed));
            let ends = if lockout.is_locked { "the lockout ends, then " } else { "" };
            format!("every {}: {ends}one failed try is forgotten; all within {all}, switched on", duration(each.into()))
        }
    };
    let recovery = match lockout.lockout_recovery_seconds {
        None => UNKNOWN.to_owned(),
        Some(0) => "after a wrong lockout password: refused until a restart".to_owned(),
        Some(seconds) => format!("after a wrong lockout password: refused for {}", duration(seconds.into())),
    };
    vec![line("state", format!("{state}, {tries}")), line("healing", healing), line("recovery", recovery)]
}

/// Seconds in the two largest units that there are.
fn duration(seconds: u64) -> String {
    let units = [(86400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let mut left = seconds;
    let parts: Vec<_> = units
        .into_iter()
        .filter_map(|(size, unit)| {
            let count = left / size;
            left %= size;
            (count > 0).then(|| format!("{count} {unit}"))
        })
        .take(2)
        .collect();
    if parts.is_empty() { "0 s".to_owned() } else { parts.join(" ") }
}

fn nv(nv: &NvUse) -> Vec<Line> {
    let largest = match (nv.largest_index, nv.largest_transfer) {
        (Some(index), Some(transfer)) => format!("{index} bytes an index, {transfer} in one command"),
        (Some(index), None) => format!("{index} bytes an index"),
        _ => UNKNOWN.to_owned(),
    };
    let free = nv.room_for_objects.map_or_else(
        || UNKNOWN.to_owned(),
        |count| format!("room for about {count} more persistent objects; TPMs do not tell bytes"),
    );
    let indices = if nv.indices == 1 { "1 index".to_owned() } else { format!("{} indices", nv.indices) };
    vec![line("used", format!("{indices}, {} bytes of data", nv.bytes)), line("largest", largest), line("free", free)]
}

fn persistent(objects: Option<&[PersistentObject]>) -> Vec<Line> {
    const SHOWN: usize = 8;
    match objects {
        None => unknown("handles"),
        Some([]) => vec![line("none", "")],
        Some(objects) => {
            let mut lines: Vec<_> = objects.iter().take(SHOWN).map(object).collect();
            if let Some(more) = objects.len().checked_sub(SHOWN).filter(|more| *more > 0) {
                lines.push(line("…", format!("and {more} more: --json lists them")));
            }
            lines
        }
    }
}

fn object(object: &PersistentObject) -> Line {
    let algorithm = object.algorithm.as_deref().map_or_else(String::new, |algorithm| format!(", {algorithm}"));
    line(&object.handle, format!("{}{algorithm}, hierarchy: {}", object.role, object.hierarchy))
}

fn trust(tpm: &Description) -> Vec<Line> {
    let trust = &tpm.trust;
    let needs = match (trust.lacks.as_deref(), trust.lacks_for_sealing.as_deref()) {
        (None, _) => UNKNOWN.to_owned(),
        (Some([]), None | Some([])) => good("all met"),
        (Some([]), Some(lacking)) => {
            doubtful(&format!("met, but some ways of keeping secrets lack {}", lacking.join(", ")))
        }
        (Some(lacking), _) => bad(&format!("lacking: {}", lacking.join(", "))),
    };
    let version = |version: &Option<String>| version.as_deref().unwrap_or(UNKNOWN).to_owned();
    let provisioned = match trust.provisioning {
        Provisioning::None => "no".to_owned(),
        Provisioning::Begun => doubtful("begun and not completed: run `trust provision` again"),
        Provisioning::Complete => {
            format!("yes: layout {}, policy version {}", version(&trust.layout_version), version(&trust.policy_version))
        }
        Provisioning::Other => doubtful(&format!("another layout: {}", version(&trust.layout_version))),
        Provisioning::Unknown => UNKNOWN.to_owned(),
    };
    vec![line("requirements", needs), line("provisioned", provisioned)]
}

fn good(text: &str) -> String {
    coloured(Tone::Good, text)
}

fn bad(text: &str) -> String {
    coloured(Tone::Bad, text)
}

fn doubtful(text: &str) -> String {
    coloured(Tone::Doubtful, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_given_in_two_units() {
        for (seconds, words) in [(0, "0 s"), (30, "30 s"), (1000, "16 min 40 s"), (86400, "1 d"), (90061, "1 d 1 h")] {
            assert_eq!(duration(seconds), words);
        }
        assert_eq!(duration(u64::from(u32::MAX) * u64::from(u32::MAX)).split(' ').count(), 4);
    }
}
