//! `resilient key`: who this node is, whom it dials, and who may come in.
//!
//! `show` prints the node id alone on the first line of stdout, for scripts; then the form to say aloud, and the file. The key is made
//! on first use, as `send` and `recv` do. The other verbs change or show the two files of nodes and are in [`lists`]; each may be
//! repeated.

mod lists;

use super::args::Global;
use super::exit::{self, Failure};
use super::home;
use super::output::{self, escape};
use super::peer::Credentials;
use crate::class::Class;
use crate::event::EventPath;
use clap::{Args, Subcommand};
use serde::Serialize;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;
use std::process::ExitCode;

/// The arguments as typed.
#[derive(Args, Debug)]
pub(super) struct Words {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Print the node id, its spoken form and the file of the key
    Show,
    /// Print whom this node dials (known) and who may come in (allowed)
    List,
    /// Remember the key of a node that this one dials
    Trust(lists::Trust),
    /// Let a node come in
    Allow(lists::Allow),
    /// Undo trust and allow
    Forget(lists::Forget),
    #[command(external_subcommand)]
    Other(Vec<OsString>),
}

#[derive(Serialize)]
struct Shown {
    v: u8,
    t: String,
    event: &'static str,
    node_id: String,
    spoken: String,
    file: EventPath,
}

/// Runs the command and gives its exit status.
pub(super) fn main(words: &Words, global: &Global) -> ExitCode {
    let result = match &words.verb {
        Verb::Show => show(global),
        Verb::List => lists::list(global),
        Verb::Trust(words) => lists::trust(words),
        Verb::Allow(words) => lists::allow(words),
        Verb::Forget(words) => lists::forget(words, global),
        Verb::Other(words) => Err(unknown(words)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => exit::refuse("key", &failure, global.color),
    }
}

fn unknown(words: &[OsString]) -> Failure {
    let verb = words.first().map(|word| word.to_string_lossy().into_owned()).unwrap_or_default();
    Failure::usage(format!("{verb}: no such verb")).hint("resilient key show, list, trust, allow or forget")
}

fn show(global: &Global) -> Result<(), Failure> {
    let file = home::identity(global)?;
    let node_id = Credentials::Key(file.clone()).load()?.node_id();
    match &global.json {
        None => {
            write_to(None, &format!("{node_id}\n{}\n{}\n", node_id.spoken(), escape::name(file.as_os_str().as_bytes())))
        }
        Some(to) => {
            let shown = Shown {
                v: 1,
                t: output::Clock::system().stamp(),
                event: "key",
                node_id: node_id.to_string(),
                spoken: node_id.spoken(),
                file: EventPath(file.into_os_string().into_vec()),
            };
            let line = serde_json::to_string(&shown).expect("strings always make JSON");
            write_to((to.as_os_str() != "-").then_some(to), &format!("{line}\n"))
        }
    }
}

/// Writes a result whole. Whoever closed stdout has read enough.
fn write_to(file: Option<&PathBuf>, text: &str) -> Result<(), Failure> {
    let (object, written) = match file {
        Some(file) => (escape::name(file.as_os_str().as_bytes()), std::fs::write(file, text)),
        None => ("stdout".to_owned(), output::to_stdout(text)),
    };
    match written {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            Err(Failure::new(Class::FileIo, format!("{object}: {}", escape::cause(&error))))
        }
        _ => Ok(()),
    }
}
