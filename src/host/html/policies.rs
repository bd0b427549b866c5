//! What opens the machine's secrets: keys, the policies that each has signed, and which of them hold now. As trees.

use super::{
    events::counted,
    mark::{Mark, marked},
};
use crate::{
    host::state::record::{PolicyKeyUse, SignedValue, StateRecord},
    policy::{boot_kind::BootKind, entry_kind::EntryKind},
    tpm::layout,
};
use maud::{Markup, html};

/// Policies that do not hold are folded up where there are more.
const MOST_UNFOLDED: usize = 3;

/// All trees of a state.
pub fn trees(state: &StateRecord<'_>) -> Markup {
    let keys = state.policy_keys.as_deref().unwrap_or_default();
    let all: Vec<&SignedValue> = state.policies.iter().flatten().collect();
    let (of_system, of_boots): (Vec<_>, Vec<_>) = all.into_iter().partition(|signed| is(signed, EntryKind::System));
    let (unlisted, listed): (Vec<_>, Vec<_>) =
        of_boots.into_iter().partition(|signed| !keys.iter().any(|key| has_signed(key, signed)));
    let (limited, unused): (Vec<_>, Vec<_>) =
        unlisted.into_iter().partition(|signed| is(signed, BootKind::Limited.into()));
    html! {
        @for key in keys {
            @let signed: Vec<_> = listed.iter().copied().filter(|signed| has_signed(key, signed)).collect();
            (tree(&opened(key), &by(key), &signed, state))
        }
        @if !of_system.is_empty() {
            (tree("Secrets that are sealed for the running system", "what the keyset has signed for it", &of_system, state))
        }
        @if !unused.is_empty() {
            (tree("Nothing in this TPM", "signed, but no index of this TPM asks for it", &unused, state))
        }
        @if !limited.is_empty() {
            (tree("Nothing", "limited boots are known, and read nothing", &limited, state))
        }
    }
}

/// Whether a value of PCR 7 is that of such boots.
fn is(signed: &SignedValue, kind: EntryKind) -> bool {
    EntryKind::named(&signed.kind) == Some(kind)
}

/// Whether this key signs for such boots: by what it opens, and by whose it is.
fn has_signed(key: &PolicyKeyUse, signed: &SignedValue) -> bool {
    let kind = match key.key.as_deref() {
        Some("tpmpol-luks") => BootKind::Production,
        Some("tpmpol-admin") => BootKind::Admin,
        _ => return false,
    };
    is(signed, kind.into()) && key.keyset.as_ref() == Some(&signed.keyset)
}

/// What a key opens, in words.
fn opened(key: &PolicyKeyUse) -> String {
    let title = |handle: &String| {
        let known = layout::ALL.iter().find(|index| format!("{:#x}", index.handle()) == *handle);
        known.map_or_else(|| format!("index {handle}"), |index| index.title().trim_start_matches("the ").to_owned())
    };
    let titles: Vec<_> = key.opens.iter().map(title).collect();
    let mut all = titles.join(", ");
    // As the beginning of a heading.
    if let Some(first) = all.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    all
}

fn by(key: &PolicyKeyUse) -> String {
    match (&key.key, &key.keyset) {
        (Some(key), Some(keyset)) => format!("open to what the key {key} of {keyset} has signed"),
        _ => format!("open to what a key has signed that is not known here (policy {})", key.policy),
    }
}

fn tree(what: &str, how: &str, signed: &[&SignedValue], state: &StateRecord<'_>) -> Markup {
    let (open, closed): (Vec<&SignedValue>, Vec<&SignedValue>) =
        signed.iter().copied().partition(|signed| signed.holds == Some(true) && signed.signature_fits != Some(false));
    html! {
        article.card.secrets {
            h3 { (what) }
            ul.tree {
                li {
                    span.soft { (how) }
                    ul {
                        @if signed.is_empty() { li { (marked(Mark::Doubtful, "of which nothing is known here")) } }
                        @for one in &open { (branch(one, state)) }
                        @if closed.len() > MOST_UNFOLDED {
                            li {
                                details {
                                    summary { (counted(closed.len(), "more", "more")) " that do not hold now" }
                                    ul.tree { li { ul { @for one in &closed { (branch(one, state)) } } } }
                                }
                            }
                        } @else {
                            @for one in &closed { (branch(one, state)) }
                        }
                    }
                }
            }
        }
    }
}

/// What one signature asks for, and whether it is so.
fn branch(signed: &SignedValue, state: &StateRecord<'_>) -> Markup {
    let kind = EntryKind::named(&signed.kind);
    let name = match kind {
        Some(EntryKind::Boot(BootKind::Production)) => "production boots",
        Some(EntryKind::Boot(BootKind::Admin)) => "administration boots",
        Some(EntryKind::Boot(BootKind::Limited)) => "limited boots",
        Some(EntryKind::System) => "the running system",
        None => signed.kind.as_str(),
    };
    let whole = match (signed.signature_fits, signed.holds) {
        (Some(false), _) => (Mark::Bad, "its signature does not fit"),
        (_, Some(true)) => (Mark::Good, "now"),
        (_, Some(false)) => (Mark::None, "not now"),
        (_, None) => (Mark::Doubtful, "not known"),
    };
    let now = state.pcrs.as_ref().and_then(|pcrs| pcrs.get("sha256")?.get("7")?.as_str());
    html! {
        li {
            strong { (name) } " of " (signed.keyset) ": " (marked(whole.0, whole.1))
            ul {
                (term("PCR 7", &signed.pcr7, now))
                @if kind.is_none_or(EntryKind::asks_for_the_version) {
                    (term("policy version", &signed.policy_version, state.policy_version.as_deref()))
                }
            }
        }
    }
}

/// What must have a value, and whether it has.
fn term(what: &str, wanted: &str, now: Option<&str>) -> Markup {
    let (mark, is) = match now {
        Some(now) if now.eq_ignore_ascii_case(wanted) => (Mark::Good, "it is"),
        Some(_) => (Mark::Bad, "it is not"),
        None => (Mark::Doubtful, "not known"),
    };
    html! { li { (what) " must be " span.hex { (wanted) } " " (marked(mark, is)) } }
}
