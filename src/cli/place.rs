//! What a word that names a source or destination means in this version.
//!
//! One grammar for all commands, first rule that fits, and the disk is never looked at: a `/` before the first `:` makes a word
//! local (scp's and rsync's rule). Kinds of location that belong to a later version are recognised, so that they are refused by name
//! instead of being taken for a file.

use super::exit::Failure;
use crate::class::Class;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;

/// What a word means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// A local path.
    Local,
    /// A ticket, not looked into.
    Ticket(String),
    /// `host:port`.
    Direct,
    /// `-`, `host:path` or `@name`, which this version does not have; the value says what it is.
    Later(&'static str),
    /// A spelling of other programs; the value is ours.
    Foreign(String),
}

/// Reads one word.
pub(super) fn place(word: &OsStr) -> Place {
    let bytes = word.as_bytes();
    let text = word.to_str();
    if bytes == b"-" {
        return Place::Later("data from stdin or to stdout");
    }
    if let Some(text) =
        text.filter(|text| text.starts_with("resilient://") || looks_like_short_ticket(text))
    {
        return Place::Ticket(text.to_owned());
    }
    if let Some(rest) = text.and_then(|text| {
        text.strip_prefix("rsync://")
            .or_else(|| text.strip_prefix("scp://"))
    }) {
        let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
        return Place::Foreign(format!("{}:{path}", without_port(host)));
    }
    if bytes.starts_with(b"@") {
        return Place::Later("a name of the known nodes");
    }
    let Some((host, rest)) = split_host(bytes) else {
        return Place::Local;
    };
    if let Some(module) = rest.strip_prefix(b":") {
        return Place::Foreign(format!(
            "{}:{}",
            String::from_utf8_lossy(host),
            String::from_utf8_lossy(module)
        ));
    }
    let port = std::str::from_utf8(rest)
        .ok()
        .filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    match port.and_then(|text| text.parse::<u16>().ok()) {
        Some(1..) => Place::Direct,
        _ => Place::Later("a location that is reached through ssh"),
    }
}

/// The refusal of a word that is no local path; `object` is the word as typed.
pub(super) fn refusal(object: &OsStr, place: &Place) -> Failure {
    let object = super::output::escape::name(object.as_bytes());
    match place {
        Place::Later(kind) => {
            let failure = Failure::new(
                Class::Unsupported,
                format!("{object}: {kind}: not in this version"),
            );
            if object == "-" {
                failure
            } else {
                failure.hint(format!("for a local path of that name write ./{object}"))
            }
        }
        Place::Foreign(ours) => Failure::usage(format!("{object}: not a spelling of this program"))
            .hint(format!("write {ours}")),
        Place::Direct => Failure::new(
            Class::Authentication,
            format!("{object}: nothing pins the key of that host"),
        )
        .hint("run `resilient recv` there and give the ticket that it prints as the destination"),
        Place::Ticket(_) => Failure::usage("a ticket stands here, where a local path is expected"),
        Place::Local => Failure::usage(format!(
            "{object}: a local path, where a destination is expected"
        )),
    }
}

/// `rsl1` and nothing but its alphabet: a file of such a name is written with a `./`, or has a dot or a dash in it.
fn looks_like_short_ticket(text: &str) -> bool {
    let text = text.to_ascii_lowercase();
    text.len() >= 24
        && text.starts_with("rsl1")
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric())
}

/// Host and rest around the `:` that ends the host, brackets respected; `None` for a local path.
fn split_host(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let user = bytes
        .iter()
        .position(|byte| *byte == b'@')
        .map_or(0, |at| at + 1);
    let bracket = bytes.get(user) == Some(&b'[');
    let from = if bracket && !bytes[..user].contains(&b'/') {
        bytes
            .windows(2)
            .position(|pair| pair == b"]:")
            .map_or(0, |at| at + 1)
    } else {
        0
    };
    let colon = from + bytes[from..].iter().position(|byte| *byte == b':')?;
    let host = &bytes[..colon];
    (colon > 0 && !host.contains(&b'/')).then_some((host, &bytes[colon + 1..]))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit()) =>
        {
            name
        }
        _ => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(word: &str) -> Place {
        place(OsStr::new(word))
    }

    #[test]
    fn a_slash_before_the_colon_is_local() {
        for word in [
            "a",
            "./a:b",
            "/a:b",
            "dir/a:b",
            ":b",
            "a b",
            "rsl1",
            "rsl1-notes.txt",
            "./@x",
            "u@h",
            "[x]",
            "./[::1]:9",
        ] {
            assert_eq!(read(word), Place::Local, "{word}");
        }
    }

    #[test]
    fn digits_after_the_colon_are_a_port() {
        for word in [
            "host:9000",
            "u@host:1",
            "[::1]:65535",
            "10.0.0.5:27183",
            "u@[fe80::1]:22",
        ] {
            assert_eq!(read(word), Place::Direct, "{word}");
        }
        for word in [
            "host:0",
            "host:65536",
            "host:",
            "host:path",
            "host:./9000",
            "[::1]:path",
            "u@[::1]:",
            "host:9:1",
            "http://x/",
        ] {
            assert!(matches!(read(word), Place::Later(_)), "{word}");
        }
    }

    #[test]
    fn other_programs_words_get_ours() {
        for (word, ours) in [
            ("host::module", "host:module"),
            ("u@host::m/p", "u@host:m/p"),
            ("rsync://host/m/p", "host:m/p"),
            ("rsync://host:873/m", "host:m"),
            ("scp://u@host:22/p", "u@host:p"),
            ("scp://host", "host:"),
        ] {
            assert_eq!(read(word), Place::Foreign(ours.to_owned()), "{word}");
        }
    }

    #[test]
    fn tickets_are_known_by_their_look() {
        for word in [
            "resilient://x",
            "rsl1qpzry9x8gf2tvdw0s3jn54",
            "RSL1QPZRY9X8GF2TVDW0S3JN54",
        ] {
            assert_eq!(read(word), Place::Ticket(word.to_owned()));
        }
    }

    #[test]
    fn each_kind_has_its_status() {
        let code = |word: &str| refusal(OsStr::new(word), &read(word)).class.code();
        let cases = [
            ("-", 4),
            ("@n", 4),
            ("h:p", 4),
            ("h:1", 41),
            ("h::m", 1),
            ("scp://h/p", 1),
            ("x", 1),
        ];
        for (word, status) in cases {
            assert_eq!(code(word), status, "{word}");
        }
    }

    proptest::proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..40)) {
            let word = OsStr::from_bytes(&bytes);
            let _ = refusal(word, &place(word));
        }

        #[test]
        fn dot_slash_makes_anything_local(name in "[^/\0]{1,20}") {
            let word = format!("./{name}");
            proptest::prop_assert_eq!(read(&word), Place::Local);
        }
    }
}
