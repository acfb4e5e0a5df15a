//! Tickets that do not stand among the words: in a file, on stdin, in the environment. Words can be read in the list of processes.
//!
//! Invariant: the text may be a secret, also where it is no ticket, and stands in no error.

use super::exit::Failure;
use super::output::escape;
use super::place;
use crate::location::Location;
use crate::ticket::Ticket;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;

/// The variable that may hold one.
pub(super) const VARIABLE: &str = "RESILIENT_TICKET";

/// More than any ticket has: a file that is longer holds something else.
const LIMIT: u64 = 64 * 1024;

/// What the variable holds, if it is set.
pub(super) fn variable() -> Option<OsString> {
    std::env::var_os(VARIABLE).filter(|text| !text.is_empty())
}

/// The ticket that the variable holds as `text`.
pub(super) fn in_variable(text: &OsStr) -> Result<Ticket, Failure> {
    first(VARIABLE, text.as_bytes())
}

/// The ticket in a file, or on stdin for `-`.
pub(super) fn in_file(file: &OsStr) -> Result<Ticket, Failure> {
    let name = if file == "-" { "stdin".to_owned() } else { escape::name(file.as_bytes()) };
    let mut text = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(LIMIT).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(LIMIT).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{name}: {}", escape::cause(&error))))?;
    first(&name, &text)
}

/// The ticket on the first line with anything on it.
fn first(object: &str, text: &[u8]) -> Result<Ticket, Failure> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(line) = lines.find(|line| !line.is_empty()) else {
        return Err(Failure::usage(format!("{object}: empty")));
    };
    match Location::parse(OsStr::from_bytes(line)) {
        Location::Ticket(ticket) => Ok(ticket),
        Location::Refused { typed, hint } if place::is_ticket(&typed) => {
            Err(Failure::usage(format!("{object}: {hint}")))
        }
        _ => Err(Failure::usage(format!("{object}: not a ticket"))),
    }
}
