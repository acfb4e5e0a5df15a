//! Which locations this version can use as a path or as the other side, and the refusal of every other.
//!
//! What a word means is `crate::location`'s; here is only what becomes of it. Invariant: a kind of location that a later version has
//! is refused by name (exit 4), never taken for a file, and the text of a ticket is never repeated in an error.

use super::contact::Target;
use super::exit::Failure;
use super::output::escape;
use super::peer::looks_like_id;
use crate::class::Class;
use crate::location::Location;
use crate::node_id::NodeId;
use crate::ticket;
use crate::trust::known::Address;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// The refusal of `word`, which means `location`, where a local path is expected; `None` for a local path.
pub(super) fn refusal(word: &OsStr, location: &Location) -> Option<Failure> {
    let object = escape::name(word.as_bytes());
    let later = |what: &str| Failure::new(Class::Unsupported, format!("{object}: {what} is not in this version"));
    let slash = || format!("for a file of that name write ./{object}");
    Some(match location {
        Location::Local(_) => return None,
        Location::Stdio => Failure::usage("-: stdin stands where a local path is expected").hint(slash()),
        Location::Ssh { .. } => later("reaching a host through ssh").hint(slash()),
        Location::Known(_) | Location::Direct { .. } => {
            Failure::usage(format!("{object}: another node stands where a local path is expected")).hint(slash())
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

/// The other side that `word` names, if it can mean nothing else.
pub(super) fn target(word: &OsStr) -> Option<Result<Target, Failure>> {
    let id = |text: &str| {
        text.parse::<NodeId>().map_err(|error| Failure::usage(format!("{}: {error}", escape::name(word.as_bytes()))))
    };
    Some(match Location::parse(word) {
        Location::Ticket(ticket) => Ok(Target::Ticket(ticket)),
        Location::Known(name) => Ok(Target::Known(name)),
        Location::Direct { user, host, port } => match (Address::new(&host, port), user) {
            (None, _) => Err(Failure::usage(format!("{}: no host has such a name", escape::name(word.as_bytes())))),
            (Some(at), Some(user)) if looks_like_id(&user) => id(&user).map(|key| Target::Node(key, Some(at))),
            // Who logs in matters to ssh; a waiting node knows us by our key.
            (Some(at), _) => Ok(Target::Address(at)),
        },
        // Of this length it is a node id, or one that was mistyped.
        Location::Local(path) => match path.to_str() {
            Some(text) if text.len() == NODE_ID_LEN && looks_like_id(text) => {
                id(text).map(|key| Target::Node(key, None))
            }
            _ => return None,
        },
        _ => return None,
    })
}

/// Characters of a node id.
const NODE_ID_LEN: usize = 58;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_its_status() {
        let cases = [
            ("-", 1),
            ("@n", 1),
            ("h:p", 4),
            ("u@h:", 4),
            ("h:1", 1),
            ("[::1]:9000", 1),
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

    #[test]
    fn the_other_side_is_told_from_paths() {
        let key = NodeId::from_bytes([7; 32]);
        let shown = |word: &str| target(OsStr::new(word)).map(|target| target.map(|target| format!("{target:?}")));
        let at = |text: &str| text.parse::<Address>().unwrap();
        let table = [
            ("host:1".to_owned(), Target::Address(at("host:1"))),
            ("user@HOST:1".to_owned(), Target::Address(at("host:1"))),
            ("[::1]:9".to_owned(), Target::Address(at("[::1]:9"))),
            ("@base".to_owned(), Target::Known("base".into())),
            (format!("{key}@host:1"), Target::Node(key, Some(at("host:1")))),
            (key.to_string(), Target::Node(key, None)),
            (key.to_string().to_uppercase(), Target::Node(key, None)),
        ];
        for (word, meant) in table {
            assert_eq!(shown(&word), Some(Ok(format!("{meant:?}"))), "{word}");
        }
        let mistyped = key.to_string().replacen("a4", "4a", 1);
        for word in [mistyped.clone(), format!("{mistyped}@host:1"), "rz1x@host:1".into()] {
            assert_eq!(shown(&word).unwrap().unwrap_err().class, Class::Usage, "{word}");
        }
        for word in ["a", "rz1", "rz1-notes", "u@h:dir", "-", &format!("./{key}")] {
            assert_eq!(shown(word), None, "{word}");
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
