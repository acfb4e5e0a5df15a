//! The plot: one panel for each size, one bar for each tool and link, from the least possible time to the right on a scale of ratios.
//!
//! The picture stands on a page whose colour is not known, light or dark. So it has no background of its own, and every colour in it is
//! of middle lightness.

use super::{Cell, Outcome, Runs, number, percent, size};
use std::fmt::Write as _;

/// Pixels of the whole, of the tools' names, and between the panels.
const WIDTH: f64 = 960.0;
const NAMES: f64 = 196.0;
const GAP: f64 = 16.0;
/// What is written right of a bar.
const VALUES: f64 = 124.0;
/// Above the first row, below the last, one row, and what a link's name takes.
const TOP: f64 = 32.0;
const BOTTOM: f64 = 40.0;
const ROW: f64 = 17.0;
const HEAD: f64 = 36.0;
/// The thickness of a bar.
const BAR: f64 = 11.0;

const STYLE: &str = "text{font:12px system-ui,-apple-system,'Segoe UI',Helvetica,Arial,sans-serif;fill:#768089}\
.strong{font-weight:600}.small{font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}\
.own{fill:#2a86e8}.bar{fill:#8a949e}rect.open{fill-opacity:.22;stroke:#8a949e;stroke-dasharray:3 2}\
rect.own.open{stroke:#2a86e8}line{stroke:#8a949e;stroke-opacity:.35}line.base{stroke-opacity:.9}";

/// Where a multiple of the bound stands, on a scale of ratios from 1.
struct Scale {
    left: f64,
    width: f64,
    most: f64,
}

impl Scale {
    fn x(&self, multiple: f64) -> f64 {
        self.left + self.width * (multiple.max(1.0).ln() / self.most.ln())
    }

    /// 1, 2, 5, 10 … as far as the scale goes.
    fn ticks(&self) -> impl Iterator<Item = f64> {
        let most = self.most;
        (0..6)
            .flat_map(|power| [1.0, 2.0, 5.0].map(|digit| digit * 10f64.powi(power)))
            .take_while(move |tick| *tick <= most)
    }
}

/// Text for the inside of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

fn text(out: &mut String, class: &str, x: f64, y: f64, words: &str) {
    let _ = writeln!(out, r#"<text class="{class}" x="{x:.1}" y="{y:.1}">{}</text>"#, escaped(words));
}

fn line(out: &mut String, class: &str, x: f64, from: f64, to: f64) {
    let _ = writeln!(out, r#"<line class="{class}" x1="{x:.1}" x2="{x:.1}" y1="{from:.1}" y2="{to:.1}"/>"#);
}

fn bar(out: &mut String, own: bool, scale: &Scale, y: f64, cell: &Cell) {
    let multiple = number(cell.multiple());
    let (open, words) = match cell.outcome {
        Outcome::Done => ("", format!("{multiple} ×")),
        Outcome::Late => (" open", format!("> {multiple} ×, {} there", percent(cell.share))),
        Outcome::Failed => (" open", format!("failed, {} there", percent(cell.share))),
    };
    // A transfer at the bound itself still shows.
    let right = scale.x(cell.multiple()).max(scale.left + 2.0);
    let own = if own { "own" } else { "bar" };
    let (width, above) = (right - scale.left, y - BAR + 1.5);
    let _ = writeln!(
        out,
        r#"<rect class="{own}{open}" x="{:.1}" y="{above:.1}" width="{width:.1}" height="{BAR}"/>"#,
        scale.left
    );
    text(out, if own == "own" { "small strong own" } else { "small" }, right + 5.0, y, &words);
}

/// The whole picture.
pub(crate) fn plot(runs: &Runs) -> String {
    let rows = runs.tools.len() as f64;
    let block = HEAD + rows * ROW;
    let height = TOP + runs.links.len() as f64 * block + BOTTOM;
    let panel = (WIDTH - NAMES) / runs.sizes.len().max(1) as f64 - GAP;
    let foot = height - BOTTOM + 18.0;
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         role=\"img\">\n<title>Times to send a file over bad links, as multiples of the least possible time</title>\n\
         <style>{STYLE}</style>\n"
    );
    let top_of = |n: usize| TOP + n as f64 * block;
    for (n, &bytes) in runs.sizes.iter().enumerate() {
        let cell = |link: &str, tool: &str| runs.cell(link, bytes, tool);
        let all = runs.links.iter().flat_map(|(link, _)| runs.tools.iter().filter_map(move |tool| cell(link, tool)));
        let most = all.map(|cell| cell.multiple()).fold(2.0, f64::max);
        let scale = Scale { left: NAMES + n as f64 * (panel + GAP), width: panel - VALUES, most };
        text(&mut out, "strong", scale.left, 16.0, &format!("{}: multiples of the least possible time", size(bytes)));
        for tick in scale.ticks() {
            let class = if tick > 1.0 { "" } else { "base" };
            for at in 0..runs.links.len() {
                let first = top_of(at) + HEAD - ROW + 3.0;
                line(&mut out, class, scale.x(tick), first, first + rows * ROW);
            }
            text(&mut out, "small middle", scale.x(tick), foot, &format!("{tick} ×"));
        }
        for (at, (link, _)) in runs.links.iter().enumerate() {
            for (row, tool) in runs.tools.iter().enumerate() {
                if let Some(cell) = cell(link, tool) {
                    bar(&mut out, row == 0, &scale, top_of(at) + HEAD + row as f64 * ROW, &cell);
                }
            }
        }
    }
    for (n, (link, about)) in runs.links.iter().enumerate() {
        let base = top_of(n) + HEAD - ROW - 3.0;
        let _ = writeln!(
            out,
            r#"<text x="8" y="{base:.1}"><tspan class="strong">{}</tspan> {}</text>"#,
            escaped(link),
            escaped(about)
        );
        for (row, tool) in runs.tools.iter().enumerate() {
            let class = if row == 0 { "strong own end" } else { "end" };
            text(&mut out, class, NAMES - 10.0, top_of(n) + HEAD + row as f64 * ROW, tool);
        }
    }
    text(&mut out, "small", 8.0, height - 8.0, "logarithmic; an open bar: not arrived when it was stopped");
    out.push_str("</svg>\n");
    out
}
