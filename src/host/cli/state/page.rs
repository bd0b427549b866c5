//! A state for people.

use crate::host::{
    say::{
        output::{Tone, coloured},
        wrap,
    },
    state::{
        boots::BootOutcome,
        record::{LogCopy, MachineModel, PolicyKeyUse, SignedValue, StateRecord, TpmMaker},
    },
};

/// Columns of the names.
const NAME: usize = 14;

/// The lines.
pub fn page(state: &StateRecord<'_>) -> Vec<String> {
    let mut lines = Vec::new();
    let mut add = |name: &str, values: Vec<String>| {
        for (at, value) in values.into_iter().enumerate() {
            let name = format!("{:<NAME$}", if at == 0 { name } else { "" });
            lines.push(wrap::hanging(&format!("{}  {value}", coloured(Tone::Note, &name)), NAME + 2));
        }
    };
    add("machine", state.host.iter().cloned().chain(state.hardware.as_ref().map(hardware)).collect());
    let system = state.os.as_ref().and_then(|os| os.get("pretty_name")).cloned();
    add("system", system.into_iter().chain([format!("trust {}", state.trust)]).collect());
    add("TPM", state.tpm.as_ref().map(tpm).into_iter().collect());
    let version = |name: &str, version: &Option<String>| version.as_ref().map(|version| format!(", {name} {version}"));
    add(
        "provisioned",
        state
            .provisioning
            .iter()
            .map(|word| {
                let versions =
                    [version("layout", &state.layout_version), version("policy version", &state.policy_version)];
                word.clone() + &versions.into_iter().flatten().collect::<String>()
            })
            .collect(),
    );
    add("SRK", state.storage_root_key.iter().cloned().collect());
    add("opened by", state.policy_keys.iter().flatten().map(key).collect());
    let pcr7 = state.pcrs.as_ref().and_then(|pcrs| pcrs.get("sha256")?.get("7")?.as_str());
    add("PCR 7", pcr7.map(str::to_owned).into_iter().collect());
    add("event log", state.event_log.as_ref().map(log).into_iter().collect());
    let measured = state.measure_log.as_ref();
    add(
        "measure log",
        measured.map(|log| format!("{} records, {} bytes", log.records, log.size)).into_iter().collect(),
    );
    add("signed for", state.policies.iter().flatten().map(signed).collect());
    add("boots", state.boots.iter().flatten().map(boot).collect());
    let unknown = state.unknown.iter().map(|(name, why)| format!("{}: {why}", coloured(Tone::Doubtful, name)));
    add("unknown", unknown.collect());
    lines
}

fn joined(parts: &[&Option<String>]) -> String {
    parts.iter().filter_map(|part| part.as_deref()).collect::<Vec<_>>().join(" ")
}

fn hardware(hardware: &MachineModel) -> String {
    let MachineModel { vendor, product, firmware_vendor, firmware_version, firmware_date } = hardware;
    let firmware = joined(&[firmware_vendor, firmware_version, firmware_date]);
    format!("{}, firmware {firmware}", joined(&[vendor, product]))
}

fn tpm(tpm: &TpmMaker) -> String {
    let TpmMaker { manufacturer, model, firmware, revision } = tpm;
    let of = |name: &str, value: &Option<String>| value.as_ref().map(|value| format!(", {name} {value}"));
    let rest: String = [of("firmware", firmware), of("revision", revision)].into_iter().flatten().collect();
    joined(&[manufacturer, model]) + &rest
}

fn key(key: &PolicyKeyUse) -> String {
    let whose = match (&key.key, &key.keyset) {
        (Some(key), Some(keyset)) => format!("{key} of {keyset}"),
        _ => format!("a key that is not known here, policy {}", key.policy),
    };
    format!("{whose}: {}", key.opens.join(", "))
}

fn log(log: &LogCopy<'_>) -> String {
    let fault = log.fault.as_ref().map_or_else(String::new, |fault| format!("; {fault}"));
    format!("{} events, {} bytes, SHA-256 {}{fault}", log.events, log.size, log.sha256)
}

fn boot(boot: &BootOutcome) -> String {
    let words = boot.in_words();
    let (outcome, why) = words.split_at(words.find([',', ':']).unwrap_or(words.len()));
    let tone = match outcome {
        "opened" => Tone::Good,
        "refused" => Tone::Bad,
        _ => Tone::Doubtful,
    };
    format!("{}  {}{why}", boot.began, coloured(tone, outcome))
}

fn signed(value: &SignedValue) -> String {
    let holds = match (value.signature_fits, value.holds) {
        (Some(false), _) => format!("  {}", coloured(Tone::Bad, "its signature does not fit")),
        (_, Some(true)) => format!("  {}", coloured(Tone::Good, "now")),
        _ => String::new(),
    };
    format!("{}  {:<10}  {}  version {}{holds}", value.pcr7, value.kind, value.keyset, value.policy_version)
}
