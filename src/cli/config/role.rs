//! Which settings have a use for a command that dials, and which for one that waits.
//!
//! A typed option that has no use for its command is an error; a setting stands for all commands, and those that it is not for pass by it.

use crate::cli::recv;
use clap::{ArgMatches, FromArgMatches as _};

/// Settings of who dials.
const DIALS: &[&str] = &["accept-new", "peer-key", "port", "timeout"];
/// Settings of who waits to be dialled.
const WAITS: &[&str] = &["listen", "ticket-life", "wait-for"];

/// Settings of transfers that `resume` has options for.
const HOW_OF_TRANSFERS: &[&str] = &["bwlimit", "contimeout", "link", "lock-wait", "retry-for", "timeout"];

/// Whether the option `name` has a use for `command`, which was typed as `matches`; `has_ticket` if the environment has one.
pub(super) fn suits(command: &str, matches: &ArgMatches, name: &str, has_ticket: bool) -> bool {
    let dials = match command {
        "send" => !matches.get_flag("offer"),
        // It sets only what is to be other than it was: a setting that stands for all commands is no such wish.
        "resume" => return !HOW_OF_TRANSFERS.contains(&name),
        "recv" => recv::Words::from_arg_matches(matches).is_ok_and(|words| words.dials(has_ticket)),
        // The setting is about chunks of transfers, and knows more methods.
        "delta" => return name != "compress",
        _ => return true,
    };
    if dials { !WAITS.contains(&name) } else { !DIALS.contains(&name) }
}
