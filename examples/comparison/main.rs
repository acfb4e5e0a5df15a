//! Makes the table and the plot of `scripts/compare` from what it has measured.
//!
//! ```text
//! comparison table <runs >table.md
//! comparison plot <runs >plot.svg
//! ```
//!
//! Reads lines of words separated by tabs, in the order in which they shall appear:
//!
//! ```text
//! link  NAME  TEXT
//! run   NAME  BYTES  BOUND  TOOL  done|late|failed  SECONDS  ARRIVED
//! ```
//!
//! `late` is a run that was stopped. Several runs of one cell give their median, in which one that did not arrive counts as longer than
//! all that did. Nothing is measured or judged here, so the same runs give the same bytes.

mod plot;

use anyhow::{Context, bail, ensure};
use std::fmt::Write as _;
use std::io::{Read, Write as _};

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Outcome {
    /// The file has arrived and is the one that was sent.
    Done,
    /// It was stopped after its time.
    Late,
    /// It gave up, or what has arrived is something else.
    Failed,
}

/// One run of one tool.
#[derive(Clone, Debug)]
struct Entry {
    link: String,
    bytes: u64,
    bound: f64,
    tool: String,
    outcome: Outcome,
    seconds: f64,
    arrived: u64,
}

impl Entry {
    fn parse(words: &[&str]) -> anyhow::Result<Entry> {
        let &[link, bytes, bound, tool, outcome, seconds, arrived] = words else {
            bail!("a run has 7 words, not {}", words.len());
        };
        Ok(Entry {
            link: link.to_owned(),
            bytes: bytes.parse().context("the number of bytes")?,
            bound: bound.parse().context("the bound")?,
            tool: tool.to_owned(),
            outcome: match outcome {
                "done" => Outcome::Done,
                "late" => Outcome::Late,
                "failed" => Outcome::Failed,
                _ => bail!("{outcome:?} is no outcome"),
            },
            seconds: seconds.parse().context("the time")?,
            arrived: arrived.parse().context("the bytes that arrived")?,
        })
    }
}

/// The median of the runs of one tool with one size over one link.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cell {
    pub bound: f64,
    pub outcome: Outcome,
    pub seconds: f64,
    /// Of the whole file.
    pub share: f64,
    /// How many of the runs arrived, and of how many.
    pub done: usize,
    pub runs: usize,
}

impl Cell {
    /// How many times the least possible time it took.
    pub(crate) fn multiple(&self) -> f64 {
        self.seconds / self.bound
    }
}

/// All that was measured.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// Names and descriptions.
    pub links: Vec<(String, String)>,
    pub sizes: Vec<u64>,
    pub tools: Vec<String>,
    entries: Vec<Entry>,
}

impl Runs {
    fn parse(text: &str) -> anyhow::Result<Runs> {
        let mut all = Runs::default();
        for (n, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split('\t').collect();
            let at = || format!("line {}: {line:?}", n + 1);
            match words[0] {
                "link" if words.len() == 3 => all.links.push((words[1].to_owned(), words[2].to_owned())),
                "run" => {
                    let run = Entry::parse(&words[1..]).with_context(at)?;
                    ensure!(all.links.iter().any(|(name, _)| *name == run.link), "{}: an unknown link", at());
                    if !all.sizes.contains(&run.bytes) {
                        all.sizes.push(run.bytes);
                    }
                    if !all.tools.contains(&run.tool) {
                        all.tools.push(run.tool.clone());
                    }
                    all.entries.push(run);
                }
                _ => bail!("{}: neither a link nor a run", at()),
            }
        }
        Ok(all)
    }

    /// The least possible time.
    fn bound(&self, link: &str, bytes: u64) -> Option<f64> {
        self.entries.iter().find(|run| run.link == link && run.bytes == bytes).map(|run| run.bound)
    }

    pub(crate) fn cell(&self, link: &str, bytes: u64, tool: &str) -> Option<Cell> {
        let of_cell = self.entries.iter().filter(|run| run.link == link && run.bytes == bytes && run.tool == tool);
        let mut runs: Vec<&Entry> = of_cell.collect();
        runs.sort_by(|a, b| a.outcome.cmp(&b.outcome).then(a.seconds.total_cmp(&b.seconds)));
        let median = *runs.get(runs.len() / 2)?;
        Some(Cell {
            bound: median.bound,
            outcome: median.outcome,
            seconds: median.seconds,
            share: median.arrived as f64 / median.bytes as f64,
            done: runs.iter().filter(|run| run.outcome == Outcome::Done).count(),
            runs: runs.len(),
        })
    }
}

/// `10 MB`.
pub(crate) fn size(bytes: u64) -> String {
    match bytes {
        1_000_000.. => format!("{} MB", bytes / 1_000_000),
        _ => format!("{} kB", bytes / 1_000),
    }
}

/// At least three digits that mean something, and none for show.
pub(crate) fn number(value: f64) -> String {
    match value {
        100.0.. => format!("{value:.0}"),
        10.0.. => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// A share in percent, rounded down: 100 is the whole file.
pub(crate) fn percent(share: f64) -> String {
    format!("{:.0} %", (share * 100.0).floor())
}

fn words(cell: &Cell) -> String {
    let (seconds, multiple, share) = (number(cell.seconds), number(cell.multiple()), percent(cell.share));
    let mut words = match cell.outcome {
        Outcome::Done => format!("{seconds} s, {multiple} ×"),
        Outcome::Late => format!("> {seconds} s, > {multiple} ×, {share} there"),
        Outcome::Failed => format!("failed, {share} there"),
    };
    if cell.runs > 1 && cell.done < cell.runs {
        let _ = write!(words, " ({} of {})", cell.done, cell.runs);
    }
    words
}

fn table(runs: &Runs) -> String {
    let mut out = String::new();
    let mut row = |cells: Vec<String>| {
        let _ = writeln!(out, "| {} |", cells.join(" | "));
    };
    for (n, &bytes) in runs.sizes.iter().enumerate() {
        let column = |first: String, of: &dyn Fn(&str, &str) -> String| {
            let rest = runs.links.iter().map(|(name, text)| of(name, text));
            std::iter::once(first).chain(rest).collect::<Vec<String>>()
        };
        if n == 0 {
            row(column(format!("**{}**", size(bytes)), &|name, text| format!("**{name}**<br>{text}")));
            row(column(":--".to_owned(), &|_, _| "--:".to_owned()));
        } else {
            row(column(format!("**{}**", size(bytes)), &|_, _| String::new()));
        }
        let bound =
            |name: &str, _: &str| runs.bound(name, bytes).map_or(String::new(), |s| format!("*{} s*", number(s)));
        row(column("*least possible*".to_owned(), &bound));
        for tool in &runs.tools {
            let cell = |name: &str, _: &str| runs.cell(name, bytes, tool).map_or("–".to_owned(), |cell| words(&cell));
            row(column(tool.clone(), &cell));
        }
    }
    out
}

fn main() -> anyhow::Result<()> {
    let wanted = std::env::args().nth(1);
    let make = match wanted.as_deref() {
        Some("table") => table,
        Some("plot") => plot::plot,
        _ => bail!("usage: comparison table|plot <RUNS"),
    };
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    std::io::stdout().write_all(make(&Runs::parse(&text)?).as_bytes())?;
    Ok(())
}
