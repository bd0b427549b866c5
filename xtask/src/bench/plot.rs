//! A section as an SVG: a panel of horizontal bars for each figure, on a logarithmic scale, readable on light and dark pages.

use super::section::{Figure, Section, Unit};
use std::fmt::Write as _;

const WIDTH: f64 = 960.0;
const MARGIN: f64 = 20.0;
/// Of a panel: two are beside each other.
const PANEL: f64 = (WIDTH - 3.0 * MARGIN) / 2.0;
/// What names and values may take beside the bars.
const NAMES: f64 = 150.0;
const VALUES: f64 = 100.0;
/// Heights: the title of all, the title of a panel, a bar with its distance, and the scale.
const TITLE: f64 = 44.0;
const HEAD: f64 = 26.0;
const LINE: f64 = 22.0;
const SCALE: f64 = 30.0;

const STYLE: &str = "\
text{font:13px system-ui,sans-serif;fill:#1f2328}.title{font-size:17px;font-weight:600}.head{font-weight:600}\
.tick{font-size:11px;fill:#59636e;text-anchor:middle}.name{text-anchor:end}\
.page{fill:#fff}.ours{fill:#0969da}.peer{fill:#afb8c1}.grid{stroke:#d1d9e0}\
@media(prefers-color-scheme:dark){text{fill:#f0f6fc}.tick{fill:#9198a1}.page{fill:#0d1117}.ours{fill:#4493f8}\
.peer{fill:#656c76}.grid{stroke:#3d444d}}";

/// The whole picture.
pub fn svg(section: &Section) -> String {
    let figures: Vec<_> = section.figures.iter().filter(|figure| is_plotted(figure)).collect();
    let panel_height = HEAD + LINE * section.programs.len() as f64 + SCALE;
    let height = TITLE + panel_height * figures.len().div_ceil(2) as f64 + MARGIN;
    let title = escaped(&section.title);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n\
         <rect class=\"page\" width=\"100%\" height=\"100%\"/>\n\
         <text class=\"title\" x=\"{MARGIN}\" y=\"30\">{title}</text>\n"
    );
    for (at, figure) in figures.into_iter().enumerate() {
        let (column, row) = ((at % 2) as f64, (at / 2) as f64);
        let (x, y) = (MARGIN + column * (PANEL + MARGIN), TITLE + row * panel_height);
        let _ = writeln!(svg, "<g transform=\"translate({x} {y})\">");
        panel(&mut svg, section, figure);
        svg.push_str("</g>\n");
    }
    svg + "</svg>\n"
}

/// Whether there is anything whose length says something.
fn is_plotted(figure: &Figure) -> bool {
    figure.unit != Unit::Clear && (0..figure.samples.len()).any(|at| figure.value(at).is_some_and(|value| value > 0.0))
}

/// The bars of one figure.
fn panel(svg: &mut String, section: &Section, figure: &Figure) {
    let values: Vec<_> = (0..section.programs.len()).map(|at| figure.value(at)).collect();
    let (low, high) = range(values.iter().flatten().copied());
    let width = PANEL - NAMES - VALUES;
    let length = |value: f64| width * ((value.log10() - low) / (high - low)).clamp(0.0, 1.0);
    let _ = writeln!(svg, "<text class=\"head\" y=\"15\">{}</text>", escaped(&figure.name));
    let bottom = HEAD + LINE * section.programs.len() as f64;
    let decades = (high - low).floor() as i32;
    for decade in (0..=decades).step_by(1 + decades as usize / 4) {
        let power = low + f64::from(decade);
        let x = NAMES + width * f64::from(decade) / (high - low);
        // Nothing is counted in tenths.
        let is_part = figure.unit == Unit::Count && power < 0.0;
        let label = if is_part { String::new() } else { escaped(&figure.unit.text(10_f64.powf(power))) };
        let _ = writeln!(svg, "<line class=\"grid\" x1=\"{x:.1}\" x2=\"{x:.1}\" y1=\"{HEAD}\" y2=\"{bottom}\"/>");
        let _ = writeln!(svg, "<text class=\"tick\" x=\"{x:.1}\" y=\"{}\">{label}</text>", bottom + 13.0);
    }
    for (at, (program, value)) in section.programs.iter().zip(&values).enumerate() {
        let y = HEAD + LINE * at as f64;
        let bar = value.filter(|value| *value > 0.0).map_or(0.0, length);
        let class = if program.is_ours() { "ours" } else { "peer" };
        let text = escaped(&super::render::value(figure, at));
        let (base, right) = (y + 15.0, NAMES + bar + 6.0);
        let _ =
            writeln!(svg, "<text class=\"name\" x=\"{}\" y=\"{base}\">{}</text>", NAMES - 8.0, escaped(&program.name));
        let _ = writeln!(
            svg,
            "<rect class=\"{class}\" x=\"{NAMES}\" y=\"{}\" width=\"{bar:.1}\" height=\"16\" rx=\"2\"/>",
            y + 2.0
        );
        let _ = writeln!(svg, "<text x=\"{right:.1}\" y=\"{base}\">{text}</text>");
    }
}

/// The logarithms of both ends of a scale: a power of ten well below the smallest, and the largest.
fn range(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let logarithms: Vec<_> = values.filter(|value| *value > 0.0).map(f64::log10).collect();
    let least = logarithms.iter().copied().fold(f64::INFINITY, f64::min);
    let most = logarithms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let low = (least - 0.1).floor();
    (low, most.max(low + 1.0))
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_for_every_value_on_one_scale() {
        let section = Section::new("s", "A & B", ["ours", "other", "none"])
            .figure("commands", Unit::Count, [10.0, 100.0, 0.0])
            .figure("bus", Unit::Clear, [0.0, 1.0, 1.0]);
        let svg = svg(&section);
        let width = |line: &&str| line.split("width=\"").nth(1)?.split('"').next()?.parse::<f64>().ok();
        let bars: Vec<_> =
            svg.lines().filter(|line| line.contains("height=\"16\"")).filter_map(|line| width(&line)).collect();
        let all = PANEL - NAMES - VALUES;
        // From 1 to 100, and 0 is nowhere.
        assert_eq!(bars, [all / 2.0, all, 0.0]);
        assert!(svg.contains("A &amp; B") && !svg.contains("in clear"), "{svg}");
    }

    #[test]
    fn scales_begin_below_the_smallest() {
        let range = |values: &[f64]| range(values.iter().copied());
        assert_eq!(range(&[1000.0, 10_000.0]), (2.0, 4.0));
        assert_eq!(range(&[2.0]), (0.0, 1.0));
        assert_eq!(range(&[0.0, 0.05, 5.0]).0, -2.0);
    }
}
