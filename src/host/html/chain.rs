//! The picture of a boot: its stages below each other, and beside them the PCRs that each has moved.

use super::mark::Mark;
use maud::{Markup, html};
use std::collections::BTreeSet;

/// Measures, in units of which a picture is [`WIDTH`] wide: as wide as a telephone has pixels, so that nothing is scaled there.
const WIDTH: usize = 350;
const BOX_WIDTH: usize = 206;
const BOX_HEIGHT: usize = 52;
const BOX_PITCH: usize = 74;
const CELL_WIDTH: usize = 64;
const CELL_HEIGHT: usize = 22;
const CELL_PITCH: usize = 28;
/// Room above and below, for outlines.
const MARGIN: usize = 3;
/// Stages have so many colours.
const COLOURS: usize = 6;

/// A stage in the picture.
pub struct ChainStage {
    /// Where in the page it is told of, as a fragment.
    pub fragment: String,
    /// What it is.
    pub role: String,
    /// Which one.
    pub name: String,
    /// What it has moved.
    pub pcrs: BTreeSet<u8>,
}

/// The class that gives a stage its colour.
pub fn colour(stage: usize) -> String {
    format!("stage{}", stage % COLOURS)
}

/// The picture: stages, and all PCRs that they move, with what is thought of each.
pub fn picture(stages: &[ChainStage], pcrs: &[(u8, Mark)]) -> Markup {
    let inner = (stages.len() * BOX_PITCH).max(pcrs.len() * CELL_PITCH);
    let height = inner + 2 * MARGIN;
    // Both are spread over the height.
    let middle = |at: usize, of: usize| MARGIN + (2 * at + 1) * inner / (2 * of.max(1));
    let box_at = |at: usize| middle(at, stages.len());
    let cell_at = |at: usize| middle(at, pcrs.len());
    let cell_left = WIDTH - CELL_WIDTH - MARGIN;
    let bend = (BOX_WIDTH + cell_left) / 2;
    html! {
        svg viewBox={ "0 0 " (WIDTH) " " (height) } role="group" aria-label="The stages of the boot, and the PCRs that each has moved" {
            @for (at, stage) in stages.iter().enumerate() {
                @for (cell, _) in pcrs.iter().enumerate().filter(|(_, (pcr, _))| stage.pcrs.contains(pcr)) {
                    path class={ "moves " (colour(at)) }
                        d={ "M" (BOX_WIDTH) " " (box_at(at)) " C" (bend) " " (box_at(at)) " " (bend) " " (cell_at(cell))
                            " " (cell_left) " " (cell_at(cell)) } {}
                }
                @if at + 1 < stages.len() {
                    @let (from, to) = (box_at(at) + BOX_HEIGHT / 2, box_at(at + 1) - BOX_HEIGHT / 2);
                    path.next d={ "M24 " (from) " V" (to - 6) } {}
                    path.tip d={ "M19 " (to - 8) " h10 l-5 8 z" } {}
                }
            }
            @for (at, stage) in stages.iter().enumerate() {
                @let top = box_at(at) - BOX_HEIGHT / 2;
                a class=(colour(at)) href={ "#" (stage.fragment) } {
                    title { (stage.role) ": " (stage.name) }
                    rect x="1" y=(top) width=(BOX_WIDTH) height=(BOX_HEIGHT) rx="6" {}
                    rect.bar x="1" y=(top + 8) width="4" height=(BOX_HEIGHT - 16) {}
                    // What is too long is cut off by its own viewport.
                    svg x="14" y=(top) width=(BOX_WIDTH - 20) height=(BOX_HEIGHT) {
                        text.title x="0" y="22" { (stage.role) }
                        text.detail x="0" y="40" { (stage.name) }
                    }
                }
            }
            @for (at, (pcr, mark)) in pcrs.iter().enumerate() {
                @let centre = cell_at(at);
                a href={ "#pcr-" (pcr) } {
                    rect class={ "of-" (mark.class()) } x=(cell_left) y=(centre - CELL_HEIGHT / 2) width=(CELL_WIDTH)
                        height=(CELL_HEIGHT) rx="4" {}
                    text.cell x=(cell_left + CELL_WIDTH / 2) y=(centre + 4) {
                        "PCR " (pcr)
                        @if *mark != Mark::None { tspan class={ "sign-" (mark.class()) } { " " (mark.sign()) } }
                    }
                }
            }
        }
    }
}
