//! What updates would do to a machine: whether it still opens behind each of them, and behind all.

use super::mark::{Mark, marked};
use crate::host::{
    fleet::judge::{self, MachineVerdict, SignedValues},
    predict::update::Update,
    state::record::StateRecord,
};
use maud::{Markup, html};

/// What is judged unasked, since it needs no file.
const USUAL: [Update; 2] = [Update::OsSeparator, Update::SecureBoot(false)];

/// Updates that are judged together, and what is signed for the machine behind them, if that is not what its state says.
#[derive(Default)]
pub struct PlannedUpdates {
    /// In their order.
    pub made: Vec<Update>,
    /// Such as what a new image brings.
    pub signed: Option<SignedValues>,
}

/// A row for each update, for all of those that are planned, and for what may happen to any machine.
pub fn table(state: &StateRecord<'_>, planned: &PlannedUpdates) -> Markup {
    // Several of one kind are one update.
    let mut alone: Vec<(String, Vec<Update>)> = Vec::new();
    for update in &planned.made {
        let name = update.to_string();
        match alone.iter_mut().find(|(same, _)| *same == name) {
            Some((_, updates)) => updates.push(update.clone()),
            None => alone.push((name, vec![update.clone()])),
        }
    }
    let together = (alone.len() > 1).then(|| ("all of these".to_owned(), planned.made.clone()));
    let unasked = USUAL.into_iter().map(|update| (update.to_string(), vec![update]));
    let unasked: Vec<_> = unasked.filter(|(name, _)| !alone.iter().any(|(asked, _)| asked == name)).collect();
    html! {
        div.card {
            table {
                thead { tr { th scope="col" { "What changes" } th scope="col" { "The machine" } } }
                tbody { @for (name, updates) in alone.iter().chain(&together).chain(&unasked) {
                    tr {
                        th scope="row" { (name) }
                        td { (judged(state, updates, planned.signed.as_ref())) }
                    }
                } }
            }
        }
    }
}

/// What becomes of the machine behind these updates.
pub fn judged(state: &StateRecord<'_>, updates: &[Update], signed: Option<&SignedValues>) -> Markup {
    let brings = updates.iter().any(|update| matches!(update, Update::Image(_)));
    let (verdict, why) = judge::behind(state, updates, signed.filter(|_| brings));
    let mark = match verdict {
        MachineVerdict::Opens => Mark::Good,
        MachineVerdict::StaysDark => Mark::Bad,
        MachineVerdict::MayStayDark | MachineVerdict::NotJudged => Mark::Doubtful,
    };
    html! { (marked(mark, verdict.words())) @if !why.is_empty() { ": " (why) } }
}
