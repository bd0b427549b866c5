//! `cargo xtask picture`: what the first page prints, as a picture of a terminal for the README.
//!
//! The page is followed word by word by a test (`vm_docs`), so that what the picture shows was seen.

use crate::sh;
use anyhow::{Context, Result};
use harness::documentation::{blocks, read, section};
use std::fs;

const PAGE: &str = "docs/first-machine.md";
const PICTURE: &str = "docs/pictures/first-machine.svg";
const TITLE: &str =
    "A machine is provisioned, installed and runs without a prompt; an image of another keyset is not started";
/// The parts of the page that it shows: below a heading, a block from this command on.
const PARTS: [(&str, &str); 2] = [
    ("5. Let a machine live its life", "$ trust launch m1 --project"),
    ("6. Attack it", "$ trust launch m1 --again --image"),
];
/// In characters, of which each is as wide as in most fonts.
const COLUMNS: usize = 96;
const WIDTH: f64 = 7.8;
const HEIGHT: usize = 19;
const MARGIN: usize = 20;
/// Legible on light pages and dark ones.
const STYLE: &str = "\
text{font:13px ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;fill:#59636e;white-space:pre}
.typed{fill:#1f2328;font-weight:600}.part{fill:#0969da}.page{fill:#f6f8fa;stroke:#d1d9e0}
@media(prefers-color-scheme:dark){text{fill:#9198a1}.typed{fill:#f0f6fc}.part{fill:#4493f8}.page{fill:#151b23;stroke:#3d444d}}";

/// A line of the terminal, and what it is.
#[derive(Debug, PartialEq, Eq)]
struct Line {
    class: &'static str,
    text: String,
}

/// Writes it.
pub fn picture() -> Result<()> {
    fs::write(sh::workspace().join(PICTURE), svg(&lines(&read(PAGE))?))?;
    println!("{PICTURE}");
    Ok(())
}

/// The lines of the page that are shown.
fn lines(page: &str) -> Result<Vec<Line>> {
    let mut lines = Vec::new();
    for (heading, first) in PARTS {
        let mut blocks = blocks(section(page, heading)).into_iter();
        let shown = blocks.find_map(|block| Some(block.text[block.text.find(first)?..].to_owned()));
        let shown = shown.with_context(|| format!("{PAGE} has no command {first:?}"))?;
        if !lines.is_empty() {
            lines.push(Line { class: "", text: String::new() });
        }
        let (_, title) = heading.split_once(' ').context("a number")?;
        lines.push(Line { class: "part", text: format!("# {title}") });
        let mut goes_on = false;
        for line in shown.lines() {
            let class = if line.starts_with("$ ") || goes_on { "typed" } else { "" };
            goes_on = class == "typed" && line.ends_with('\\');
            lines.extend(wrapped(line).into_iter().map(|text| Line { class, text }));
        }
    }
    Ok(lines)
}

/// A line in pieces that fit, between words.
fn wrapped(line: &str) -> Vec<String> {
    let mut pieces = vec![String::new()];
    for word in line.split_inclusive(' ') {
        let last = pieces.last().map_or(0, |piece| piece.chars().count());
        if last > 0 && last + word.trim_end().chars().count() > COLUMNS {
            pieces.push(String::from("  "));
        }
        if let Some(piece) = pieces.last_mut() {
            piece.push_str(word);
        }
    }
    pieces
}

fn svg(lines: &[Line]) -> String {
    let width = MARGIN * 2 + (COLUMNS as f64 * WIDTH) as usize;
    let height = MARGIN * 2 + lines.len() * HEIGHT;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n\
         <title>{TITLE}</title>\n<style>\n{STYLE}\n</style>\n\
         <rect class=\"page\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"8\"/>\n",
        width - 1,
        height - 1
    );
    for (number, Line { class, text }) in lines.iter().enumerate().filter(|(_, line)| !line.text.is_empty()) {
        let escaped = text.trim_end().replace('&', "&amp;").replace('<', "&lt;");
        let class = if class.is_empty() { String::new() } else { format!(" class=\"{class}\"") };
        let y = MARGIN + number * HEIGHT + 14;
        svg.push_str(&format!("<text{class} xml:space=\"preserve\" x=\"{MARGIN}\" y=\"{y}\">{escaped}</text>\n"));
    }
    svg + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_is_that_of_the_page() {
        let shown = lines(&read(PAGE)).unwrap();
        assert!(shown.iter().all(|line| line.text.chars().count() <= COLUMNS + 2), "{shown:#?}");
        assert!(read(PICTURE) == svg(&shown), "{PICTURE} is not what {PAGE} says: cargo xtask picture");
    }
}
