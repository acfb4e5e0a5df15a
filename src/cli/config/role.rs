//! Which settings have a use for a command that dials, and which for one that waits.
//!
//! A typed option that has no use for its command is an error; a setting stands for all commands, and those that it is not for pass by it.

use crate::cli::place;
use clap::ArgMatches;
use std::ffi::OsString;

/// Settings of who dials.
const DIALS: &[&str] = &["accept-new", "peer-key", "port"];
/// Settings of who waits to be dialled.
const WAITS: &[&str] = &["listen", "ticket-life", "wait-for"];

/// Whether the option `name` has a use for `command`, which was typed as `matches`.
pub(super) fn suits(command: &str, matches: &ArgMatches, name: &str) -> bool {
    let dials = match command {
        "send" => !matches.get_flag("offer"),
        "recv" => {
            let first = matches.get_many::<OsString>("typed").and_then(|mut words| words.next());
            first.is_some_and(|word| place::target(word).is_some())
        }
        _ => return true,
    };
    if dials { !WAITS.contains(&name) } else { !DIALS.contains(&name) }
}
