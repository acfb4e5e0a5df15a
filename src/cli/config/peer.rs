//! `[peer."PATTERN"]`: which destination a section is for, matched as ssh matches `Host`.
//!
//! A pattern is a list of words with `*` and `?`; one that begins with `!` and fits excludes. It is held against the destination as it
//! was typed, and against what names the host in it: nothing is resolved, the disk and the network are not asked.

use crate::location::Location;
use clap::{ArgMatches, Command};
use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt as _;

/// The texts that a pattern may fit, for the last remote location among the words of a command.
pub(super) fn named(command: &Command, matches: &ArgMatches) -> Vec<OsString> {
    let raw = |word: &clap::Arg| matches.try_get_raw(word.get_id().as_str()).ok().flatten();
    let words = command.get_positionals().filter_map(raw).flatten();
    let remote = words.filter_map(|word| {
        let location = Location::parse(word);
        let host = match &location {
            Location::Direct { host, .. } | Location::Ssh { host, .. } => vec![host.clone().into()],
            Location::Known(name) => vec![name.clone().into()],
            Location::Ticket(ticket) => {
                let hosts = ticket.addresses.iter().map(|address| address.ip().to_string().into());
                [ticket.key.to_string().into()].into_iter().chain(hosts).collect()
            }
            Location::Stdio | Location::Local(_) | Location::Refused { .. } => return None,
        };
        Some([word.to_owned()].into_iter().chain(host).collect())
    });
    remote.last().unwrap_or_default()
}

/// Whether `pattern` fits one of `names`, and none of its exclusions does.
pub(super) fn fits(pattern: &str, names: &[OsString]) -> bool {
    let any = |glob: &str| names.iter().any(|name| matches(glob.as_bytes(), name.as_bytes()));
    let (excluding, including): (Vec<&str>, Vec<&str>) =
        pattern.split_whitespace().partition(|word| word.starts_with('!'));
    including.iter().any(|glob| any(glob)) && !excluding.iter().any(|glob| any(&glob[1..]))
}

/// `*` any bytes, `?` one; the time is bounded by the product of the lengths.
fn matches(glob: &[u8], name: &[u8]) -> bool {
    let (mut g, mut n, mut star) = (0, 0, None);
    while n < name.len() {
        match glob.get(g) {
            Some(b'*') => {
                star = Some((g, n));
                g += 1;
            }
            Some(byte) if *byte == b'?' || *byte == name[n] => (g, n) = (g + 1, n + 1),
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    (g, n) = (at + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    glob[g..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn globs_are_those_of_ssh() {
        for (glob, name, fit) in [
            ("*.field", "a.field", true),
            ("*.field", "a.field.org", false),
            ("10.0.?.*", "10.0.3.77", true),
            ("10.0.?.*", "10.0.33.77", false),
            ("*", "", true),
            ("a*b*c", "aXbXbc", true),
            ("a*b*c", "aXbX", false),
            ("", "x", false),
        ] {
            assert_eq!(matches(glob.as_bytes(), name.as_bytes()), fit, "{glob} {name}");
        }
    }

    #[test]
    fn an_exclusion_goes_before() {
        let names: Vec<OsString> = vec!["u@base.field:9000".into(), "base.field".into()];
        assert!(fits("*.field", &names));
        assert!(fits("elsewhere base.*", &names));
        assert!(!fits("*.field !base.*", &names));
        assert!(!fits("!other", &names) && !fits("", &names));
    }
}
