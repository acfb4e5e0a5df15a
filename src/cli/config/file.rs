//! One configuration file: TOML, keys are long names of options, `[peer."PATTERN"]` tables hold for some destinations only.
//!
//! Invariant: everything in the file is judged, whether this run needs it or not, so a mistake is found at the first run and not at
//! the first bad night. An error names file and line. A file that others could have written is not obeyed ([`obeyed`]).

use super::value::Value;
use super::world::Place;
use super::{Setting, Source, check, keys, owner, peer};
use crate::cli::exit::Failure;
use crate::cli::output::{escape, named};
use crate::cli::usage;
use crate::fs::obeyed::{self, Unfit};
use clap::Command;
use std::ffi::OsString;
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use toml::de::{DeTable, DeValue};

/// More than any configuration has.
const LIMIT: u64 = 1024 * 1024;

/// Settings that hold together.
pub(super) struct Section {
    /// `None`: they hold for every destination.
    peer: Option<String>,
    pub(super) settings: Vec<Setting>,
}

impl Section {
    /// Whether it holds for a destination of these names.
    pub(super) fn is_for(&self, destination: &[OsString]) -> bool {
        self.peer.as_ref().is_none_or(|pattern| peer::fits(pattern, destination))
    }
}

/// Reads a file, the sections of peers in their order and then what holds for all. `None` if there is none and none was named.
pub(super) fn read(definition: &Command, place: &Place) -> Result<Option<Vec<Section>>, Failure> {
    if place.path == Path::new("/dev/null") {
        // The usual way to say that there is none.
        return Ok(None);
    }
    let shown = escape::name(place.path.as_os_str().as_bytes());
    match named::read(&place.path).map_err(Unfit::from).and_then(|file| obeyed::text(file, LIMIT)) {
        Ok(text) => parse(definition, &place.path, &text).map(Some),
        Err(Unfit::Io(error)) if error.kind() == ErrorKind::NotFound && !place.named => Ok(None),
        Err(Unfit::Io(error)) => Err(Failure::usage(format!("{shown}: {}", escape::cause(&error)))),
        Err(unfit @ Unfit::Exposed(_)) => {
            Err(Failure::usage(format!("{shown}: {unfit}")).hint(format!("chmod go-w {shown}")))
        }
        Err(unfit) => Err(Failure::usage(format!("{shown}: {unfit}"))),
    }
}

fn parse(definition: &Command, path: &Path, text: &str) -> Result<Vec<Section>, Failure> {
    let at = |start: usize| Source::File { path: path.to_owned(), line: line(text, start) };
    let wrong = |start: usize, message: &str| setting("", at(start)).wrong(message);
    let document = DeTable::parse(text).map_err(|error| {
        wrong(error.span().map_or(0, |span| span.start), error.message().lines().next().unwrap_or("not TOML"))
    })?;
    let settings = |table: &DeTable<'_>| -> Result<Vec<Setting>, Failure> {
        let mut settings = Vec::new();
        for (key, value) in table.iter().filter(|(key, _)| key.get_ref() != "peer") {
            settings.push(read_setting(definition, key.get_ref(), value.get_ref(), at(key.span().start))?);
        }
        Ok(settings)
    };
    let mut sections = Vec::new();
    if let Some((key, peers)) = document.get_ref().iter().find(|(key, _)| key.get_ref() == "peer") {
        let not_tables = |start| wrong(start, "peer is for tables: [peer.\"*.example.org\"]");
        let peers = peers.get_ref().as_table().ok_or_else(|| not_tables(key.span().start))?;
        let mut peers: Vec<_> = peers.iter().collect();
        // The order in the file, as in ssh's: a map has lost it, the places have not.
        peers.sort_by_key(|(key, _)| key.span().start);
        for (key, value) in peers {
            let DeValue::Table(table) = value.get_ref() else { return Err(not_tables(key.span().start)) };
            if let Some((inner, _)) = table.iter().find(|(inner, _)| inner.get_ref() == "peer") {
                return Err(wrong(inner.span().start, "a peer inside of a peer"));
            }
            sections.push(Section { peer: Some(key.get_ref().to_string()), settings: settings(table)? });
        }
    }
    sections.push(Section { peer: None, settings: settings(document.get_ref())? });
    Ok(sections)
}

fn read_setting(definition: &Command, key: &str, value: &DeValue<'_>, source: Source) -> Result<Setting, Failure> {
    let mut setting = setting(key, source);
    let object = escape::name(key.as_bytes());
    let known = owner(definition, key);
    let Some((_, option)) = known.filter(|_| keys::HOW.contains(&key)) else {
        return Err(if usage::exists(definition, key) {
            setting.wrong(&format!("{object} {}", keys::refusal(key)))
        } else if usage::is_later(key) {
            setting.wrong(&format!("{object} is not in this version"))
        } else {
            setting
                .wrong(&format!("{object}: no such key"))
                .hint("keys are long names of options: man resilient-config")
        });
    };
    setting.value = Value::from_toml(option, value).map_err(|wanted| setting.wrong(&format!("{object}: {wanted}")))?;
    check(definition, &setting)?;
    Ok(setting)
}

fn setting(name: &str, source: Source) -> Setting {
    Setting { name: name.to_owned(), value: Value::Flag(false), source }
}

/// The number of the line that this byte is on.
fn line(text: &str, at: usize) -> usize {
    1 + text.as_bytes().iter().take(at).filter(|byte| **byte == b'\n').count()
}
