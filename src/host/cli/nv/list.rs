//! `trust nv list`: all indices at a glance.

use super::of_layout;
use crate::{
    digest::hex,
    error::Result,
    host::{cli::tpm_options::TpmArguments, say::output},
    policy::{Assertion, Policy, tree},
    tpm::{NvRoom, NvSpace},
    tpm2::{
        NvPublic, bank,
        constants::rh,
        nv::{attribute, kind},
        nv_registry::{self, Authority},
    },
};
use serde_json::{Value, json};

/// The columns of the table.
const COLUMNS: usize = 6;
type Row = [String; COLUMNS];

/// Prints them.
pub(super) fn run(tpm: &TpmArguments, as_json: bool) -> Result<()> {
    let nobody = || Err(crate::error::Error::new(crate::error::Kind::Usage, "list indices", "no password is needed"));
    let mut space = NvSpace::new(tpm.connect()?, Box::new(nobody));
    let (indices, room) = (space.indices()?, space.room()?);
    if as_json {
        return output::json(&to_json(&indices, room));
    }
    output::lines(table(&indices))?;
    output::line(summary(&indices, room))
}

fn table(indices: &[NvPublic]) -> Vec<String> {
    let heads = ["INDEX", "SIZE", "READ BY", "WRITTEN BY", "STATE", "WHOSE"].map(str::to_owned);
    let rows: Vec<Row> = std::iter::once(heads).chain(indices.iter().map(row)).collect();
    let widths: [usize; COLUMNS] = std::array::from_fn(|n| {
        rows.iter().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    });
    let line = |row: &Row| {
        let cells = row.iter().zip(widths).enumerate();
        // Numbers to the right.
        let cells =
            cells.map(|(n, (cell, width))| if n == 1 { format!("{cell:>width$}") } else { format!("{cell:width$}") });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

fn row(public: &NvPublic) -> Row {
    [
        format!("{:#010x}", public.index),
        public.size.to_string(),
        allowed(public, [attribute::OWNERREAD, attribute::AUTHREAD, attribute::POLICYREAD, 1 << 16]),
        allowed(public, [attribute::OWNERWRITE, attribute::AUTHWRITE, attribute::POLICYWRITE, 1]),
        state(public),
        whose(public.index).1,
    ]
}

/// Who may, of the owner, those with the index' password, its policy and the platform.
fn allowed(public: &NvPublic, bits: [u32; 4]) -> String {
    let policy = known_policy(public).unwrap_or_else(|| "policy".into());
    let names = ["owner", "password", &policy, "platform"];
    let allowed: Vec<_> =
        bits.iter().zip(names).filter(|(bit, _)| public.attributes & **bit != 0).map(|(_, name)| name).collect();
    if allowed.is_empty() { "nobody".into() } else { allowed.join(", ") }
}

fn state(public: &NvPublic) -> String {
    let is = |bit: u32| public.attributes & bit != 0;
    let kind = Some(kind(public.attributes)).filter(|kind| *kind != "ordinary");
    let words = [
        kind,
        Some(if is(attribute::WRITTEN) { "written" } else { "empty" }),
        is(attribute::READLOCKED).then_some("not readable until the restart"),
        is(attribute::WRITELOCKED).then_some("write-locked"),
    ];
    words.into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// A word for programs, and one for people.
fn whose(index: u32) -> (&'static str, String) {
    if let Some(known) = of_layout(index) {
        return ("trust", format!("Trust: {}", known.title()));
    }
    match nv_registry::of(index) {
        Some((Authority::Tcg, purpose)) => ("tcg", format!("TCG: {purpose}")),
        Some((Authority::Maker, purpose)) => ("maker", purpose.to_owned()),
        Some((Authority::Owner, purpose)) => ("owner", purpose.to_owned()),
        None => ("unknown", String::new()),
    }
}

/// Its policy in words, where it is one of those that many have.
fn known_policy(public: &NvPublic) -> Option<String> {
    let secret = |hierarchy| Policy::of([Assertion::Secret { hierarchy, policy_ref: Default::default() }]);
    let known = [Policy::of([Assertion::AuthValue]), secret(rh::OWNER), secret(rh::ENDORSEMENT), secret(rh::LOCKOUT)];
    let policy = known.iter().find(|policy| public.policy == policy.digest())?;
    Some(format!("policy ({})", tree::lines(policy).join(", ")))
}

fn summary(indices: &[NvPublic], room: NvRoom) -> String {
    let used: u32 = indices.iter().map(|public| u32::from(public.size)).sum();
    let mut text = format!("{} indices with {used} bytes", indices.len());
    if let Some(largest) = room.largest {
        text.push_str(&format!("; one may have {largest} bytes"));
    }
    if let Some(keys) = room.keys {
        text.push_str(&format!("; free: room for {keys} more keys, by the TPM's estimate"));
    }
    text
}

fn to_json(indices: &[NvPublic], room: NvRoom) -> Value {
    let index = |public: &NvPublic| {
        let (whose, purpose) = whose(public.index);
        json!({
            "index": format!("{:#010x}", public.index),
            "size": public.size,
            "type": kind(public.attributes),
            "attributes": attribute::words(public.attributes),
            "name_algorithm": bank::name(public.name_algorithm),
            "policy": (!public.policy.is_empty()).then(|| hex(&public.policy)),
            "policy_in_words": known_policy(public),
            "whose": whose,
            "purpose": purpose,
        })
    };
    json!({
        "format": 1,
        "largest_index": room.largest,
        "persistent_keys_available": room.keys,
        "indices": indices.iter().map(index).collect::<Vec<_>>(),
    })
}
