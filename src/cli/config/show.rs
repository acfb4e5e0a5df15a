//! What `--show-config` prints: a table for people, lines of JSON for scripts. Both name each setting, its value and its source.

use super::super::output::escape;
use super::Source;
use crate::event::EventPath;
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// One setting as it is in force.
pub(super) struct Row {
    pub(super) name: String,
    /// `None`: not set, and the default is found out by the command.
    pub(super) value: Option<OsString>,
    pub(super) source: Source,
}

#[derive(Serialize)]
struct Told<'a> {
    v: u8,
    t: &'a str,
    event: &'static str,
    name: &'a str,
    value: Option<EventPath>,
    source: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    variable: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<EventPath>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<usize>,
}

/// All rows; `json` is the time for lines of JSON.
pub(super) fn text(rows: &[Row], json: Option<&str>) -> String {
    match json {
        Some(time) => rows.iter().flat_map(|row| [line(row, time), "\n".to_owned()]).collect(),
        None => table(rows),
    }
}

fn line(row: &Row, time: &str) -> String {
    let path = |bytes: Vec<u8>| EventPath(bytes);
    let mut told = Told {
        v: 1,
        t: time,
        event: "config",
        name: &row.name,
        value: row.value.clone().map(|value| path(value.into_vec())),
        source: "built-in",
        variable: None,
        file: None,
        line: None,
    };
    match &row.source {
        Source::CommandLine => told.source = "command line",
        Source::Environment(name) => (told.source, told.variable) = ("environment", Some(name.as_str())),
        Source::File { path: file, line: number } => {
            (told.source, told.line) = ("file", Some(*number));
            told.file = Some(path(file.as_os_str().as_bytes().to_vec()));
        }
        Source::BuiltIn => {}
    }
    serde_json::to_string(&told).expect("strings and numbers always make JSON")
}

fn table(rows: &[Row]) -> String {
    let cells = rows.iter().map(|row| {
        let value = row.value.as_ref().map_or_else(|| "-".to_owned(), |value| escape::name(value.as_bytes()));
        let source = match &row.source {
            Source::CommandLine => "command line".to_owned(),
            Source::Environment(name) => name.clone(),
            Source::File { path, line } => format!("{}:{line}", escape::name(path.as_os_str().as_bytes())),
            Source::BuiltIn => "built-in".to_owned(),
        };
        (row.name.as_str(), value, source)
    });
    let cells: Vec<_> = cells.collect();
    let names = cells.iter().map(|(name, ..)| name.len()).max().unwrap_or(0);
    let values = cells.iter().map(|(_, value, _)| value.chars().count()).max().unwrap_or(0);
    let rows = cells.iter().map(|(name, value, source)| format!("{name:names$}  {value:values$}  {source}"));
    rows.flat_map(|row| [row, "\n".to_owned()]).collect()
}
