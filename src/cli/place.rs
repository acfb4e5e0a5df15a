//! Which locations this version can use, and the refusal of every other.
//!
//! What a word means is `crate::location`'s; here is only what becomes of it. Invariant: a kind of location that a later version has
//! is refused by name (exit 4), never taken for a file, and the text of a ticket is never repeated in an error.

use super::exit::Failure;
use super::output::escape;
use crate::class::Class;
use crate::location::Location;
use crate::ticket;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// The refusal of `word`, which means `location`, where a local path is expected; `None` for a local path.
pub(super) fn refusal(word: &OsStr, location: &Location) -> Option<Failure> {
    let object = escape::name(word.as_bytes());
    let later = |what: &str| Failure::new(Class::Unsupported, format!("{object}: {what} is not in this version"));
    let slash = || format!("for a file of that name write ./{object}");
    Some(match location {
        Location::Local(_) => return None,
        Location::Stdio => later("reading from stdin or writing to stdout"),
        Location::Ssh { .. } => later("reaching a host through ssh").hint(slash()),
        Location::Known(_) => later("a name of the known nodes").hint(slash()),
        Location::Direct { .. } => {
            Failure::new(Class::Authentication, format!("{object}: nothing pins the key of that host"))
                .hint("run `resilient recv` there and give the ticket that it prints as the destination")
        }
        Location::Ticket(_) => {
            Failure::usage("a ticket stands where a local path is expected").hint("the ticket is the last word")
        }
        Location::Refused { typed, hint } if is_ticket(typed) => Failure::usage(hint),
        Location::Refused { hint, .. } => Failure::usage(format!("'{object}': not a source or destination")).hint(hint),
    })
}

/// Whether this is what is shown of a damaged ticket.
pub(super) fn is_ticket(typed: &str) -> bool {
    typed.starts_with(ticket::SCHEME) || typed.starts_with(ticket::SHORT_PREFIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        let cases = [
            ("-", 4),
            ("@n", 4),
            ("h:p", 4),
            ("u@h:", 4),
            ("h:1", 41),
            ("[::1]:9000", 41),
            ("h::m", 1),
            ("scp://h/p", 1),
            ("rsync://h/p", 1),
            ("resilient://x", 1),
            ("", 1),
        ];
        for (word, status) in cases {
            let failure = refusal(OsStr::new(word), &Location::parse(OsStr::new(word)));
            assert_eq!(failure.map(|failure| failure.class.code()), Some(status), "{word}");
        }
        for word in ["a", "./h:p", "/a:b", "dir/"] {
            assert_eq!(refusal(OsStr::new(word), &Location::parse(OsStr::new(word))), None, "{word}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let word = OsStr::from_bytes(&bytes);
            let _ = refusal(word, &Location::parse(word));
        }
    }
}
