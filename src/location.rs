//! What the user typed as a source or destination: one grammar for all commands.
//!
//! The first row of the table that fits decides (`man resilient`, LOCATIONS); the disk is never looked at, so the same words mean
//! the same on every machine. A text that would be dangerous or almost certainly a slip is [`Location::Refused`] with the spelling
//! to use instead. Which locations a command takes, and whether this build can reach them, is the command's to say.

use crate::ticket::{self, SHORT_PREFIX, Ticket};
use std::ffi::{OsStr, OsString};
use std::net::Ipv6Addr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where data comes from or goes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// `-`: standard input or output.
    Stdio,
    /// `resilient://…`: address, pinned key and secret.
    Ticket(Ticket),
    /// `[user@]host:27183`: a waiting node; its key must be known otherwise.
    Direct {
        /// What stands before the `@`.
        user: Option<String>,
        /// Host name, or IP address without brackets.
        host: String,
        /// UDP port, not 0.
        port: u16,
    },
    /// `[user@]host:path`: a far end that is started through ssh.
    Ssh {
        /// What stands before the `@`.
        user: Option<String>,
        /// Host name, or IP address without brackets.
        host: String,
        /// Path there, relative to the login directory; empty for that directory itself.
        path: OsString,
    },
    /// `@name`: a node from the known nodes.
    Known(String),
    /// Anything else.
    Local(PathBuf),
    /// None of these, or not safely so: a usage error.
    Refused {
        /// What was typed, as far as it may be shown (a damaged ticket may hold a secret).
        typed: String,
        /// What to type instead, or why not.
        hint: String,
    },
}

impl Location {
    /// Reads a location.
    pub fn parse(typed: &OsStr) -> Location {
        parse(typed).unwrap_or_else(|hint| Location::Refused { typed: typed.to_string_lossy().into_owned(), hint })
    }

    /// Whether another machine is meant.
    pub fn is_remote(&self) -> bool {
        !matches!(self, Location::Stdio | Location::Local(_) | Location::Refused { .. })
    }
}

/// The rows of the table, in order. An error is the hint.
fn parse(typed: &OsStr) -> Result<Location, String> {
    let bytes = typed.as_bytes();
    if bytes.is_empty() {
        return Err("an empty name is no location; for the current directory write .".into());
    }
    if bytes == b"-" {
        return Ok(Location::Stdio);
    }
    if let Some(text) = typed.to_str() {
        if text.starts_with(ticket::SCHEME) {
            return Ok(match text.parse() {
                Ok(ticket) => Location::Ticket(ticket),
                Err(error) => Location::Refused { typed: format!("{}…", ticket::SCHEME), hint: error.to_string() },
            });
        }
        if let Some(verdict) = short_ticket(text) {
            return Ok(verdict);
        }
        if let Some(hint) = foreign_scheme(text) {
            return Err(hint);
        }
    }
    let colon = bytes.iter().position(|b| *b == b':');
    let slash = bytes.iter().position(|b| *b == b'/');
    match (colon, slash) {
        (Some(colon), Some(slash)) if slash < colon => Ok(Location::Local(typed.into())),
        (Some(colon), _) => remote(bytes, colon),
        (None, _) if bytes[0] == b'@' => known(typed),
        (None, _) => Ok(Location::Local(typed.into())),
    }
}

/// `rsl1…`: `None` if it looks like something else.
fn short_ticket(text: &str) -> Option<Location> {
    /// Shorter texts and those with other characters are file names that happen to begin so.
    const SHORTEST: usize = 60;
    let data = text
        .get(..SHORT_PREFIX.len())
        .filter(|start| start.eq_ignore_ascii_case(SHORT_PREFIX))
        .map(|start| &text[start.len()..])?;
    let fits = data.bytes().all(|byte| CHARSET.contains(&byte.to_ascii_lowercase()));
    if !fits || !(SHORTEST..=ticket::MAX_LEN).contains(&text.len()) {
        return None;
    }
    Some(match Ticket::from_short(text) {
        Ok(ticket) => Location::Ticket(ticket),
        Err(error) => Location::Refused {
            typed: format!("{SHORT_PREFIX}…"),
            hint: format!("{error}; for a file of that name write ./ before it"),
        },
    })
}

/// The 32 characters of bech32 (BIP 173).
const CHARSET: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";

/// The hint for an URL of another tool, which the rules below would take for a host called `rsync` or `scp`.
fn foreign_scheme(text: &str) -> Option<String> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme {
        "rsync" => Some(format!(
            "rsync's daemons are not spoken to; through ssh write {}, or start resilient recv there and use its ticket",
            host_path(rest)
        )),
        "scp" | "sftp" | "ssh" => {
            let spelling = host_path(rest);
            Some(match rest.split('/').next().and_then(|authority| authority.rsplit_once(':')) {
                Some((_, port)) if port.bytes().all(|b| b.is_ascii_digit()) => {
                    format!("write {spelling}, and -e 'ssh -p {port}' for the port")
                }
                _ => format!("write {spelling}"),
            })
        }
        "http" | "https" | "ftp" | "file" => {
            Some(format!("{scheme}:// is not a location; for a file of that name write ./ before it"))
        }
        _ => None,
    }
}

/// `user@host:9/dir` as `user@host:/dir`.
fn host_path(rest: &str) -> String {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) => host,
        _ => authority,
    };
    format!("{host}:/{path}")
}

/// `@name`.
fn known(typed: &OsStr) -> Result<Location, String> {
    let name = typed.to_str().map(|text| &text[1..]).filter(|name| is_word(name) && !name.contains('@'));
    name.map(|name| Location::Known(name.to_owned())).ok_or_else(|| {
        "after @ the name of a known node is expected; for a file of that name write ./ before it".into()
    })
}

/// Everything with a `:` that has no `/` before it.
fn remote(bytes: &[u8], first_colon: usize) -> Result<Location, String> {
    const LOCAL: &str = "for a file of that name write ./ before it";
    let not_host = || format!("there is no usable host name before the colon; {LOCAL}");
    if let Some(v6) = std::str::from_utf8(bytes).ok().filter(|text| text.parse::<Ipv6Addr>().is_ok()) {
        return Err(format!("an IPv6 address stands in brackets: [{v6}]:PORT or [{v6}]:PATH"));
    }
    // The user ends at the last @ before the colon, as ssh has it.
    let at = bytes[..first_colon].iter().rposition(|b| *b == b'@');
    let (user, rest) = match at {
        Some(at) => (Some(&bytes[..at]), &bytes[at + 1..]),
        None => (None, bytes),
    };
    let (host, after) = if rest.first() == Some(&b'[') {
        let close = rest
            .windows(2)
            .position(|pair| pair == b"]:")
            .ok_or_else(|| format!("after an address in brackets :PORT or :PATH is expected; {LOCAL}"))?;
        let host = std::str::from_utf8(&rest[1..close]).ok().filter(|host| is_v6(host));
        let host = host.ok_or_else(|| format!("in brackets an IPv6 address is expected; {LOCAL}"))?;
        (host, &rest[close + 2..])
    } else {
        let colon = rest.iter().position(|b| *b == b':').expect("the first colon comes after the user");
        let host = std::str::from_utf8(&rest[..colon]).ok().filter(|host| is_word(host));
        (host.ok_or_else(not_host)?, &rest[colon + 1..])
    };
    let user = match user.map(std::str::from_utf8) {
        None => None,
        Some(Ok(user)) if is_word(user) => Some(user.to_owned()),
        Some(_) => {
            return Err(format!("there is no usable user name before the @; {LOCAL}"));
        }
    };
    let host = host.to_owned();
    let who = user.as_ref().map_or(host.clone(), |user| format!("{user}@{host}"));
    if let Some(module) = after.strip_prefix(b":") {
        let module = String::from_utf8_lossy(module);
        return Err(format!("rsync's modules are not spoken to; write {who}:/PATH for the directory behind {module}"));
    }
    if after.is_empty() || !after.iter().all(u8::is_ascii_digit) {
        let path = OsStr::from_bytes(after).to_owned();
        return Ok(Location::Ssh { user, host, path });
    }
    let digits = std::str::from_utf8(after).expect("digits are ASCII");
    match digits.parse() {
        Ok(port) if port != 0 => Ok(Location::Direct { user, host, port }),
        _ => Err(format!("a port is 1 to 65535; for the path {digits} on that host write {who}:./{digits}")),
    }
}

/// Whether this can be a host or user: a leading `-` would be an option to ssh, and no name has blanks or control characters.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && !text.starts_with('-')
        && !text.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/' || c == '[')
}

/// An IPv6 address, with a zone or not.
fn is_v6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').map_or((text, None), |(address, zone)| (address, Some(zone)));
    address.parse::<Ipv6Addr>().is_ok() && zone.is_none_or(is_word)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(text: &str) -> Location {
        Location::parse(OsStr::new(text))
    }

    fn direct(user: Option<&str>, host: &str, port: u16) -> Location {
        Location::Direct { user: user.map(Into::into), host: host.into(), port }
    }

    fn ssh(user: Option<&str>, host: &str, path: &str) -> Location {
        Location::Ssh { user: user.map(Into::into), host: host.into(), path: path.into() }
    }

    #[test]
    fn the_table() {
        let local = |path: &str| Location::Local(path.into());
        let table = [
            ("-", Location::Stdio),
            ("--", local("--")),
            ("./-", local("./-")),
            ("a", local("a")),
            (".", local(".")),
            ("/", local("/")),
            ("dir/", local("dir/")),
            ("./a:b", local("./a:b")),
            ("/a:b", local("/a:b")),
            ("dir/a:b", local("dir/a:b")),
            ("dir/a:9000", local("dir/a:9000")),
            ("./@a", local("./@a")),
            ("a@b", local("a@b")),
            ("[1].txt", local("[1].txt")),
            ("-x", local("-x")),
            ("naïve file", local("naïve file")),
            ("host:9000", direct(None, "host", 9000)),
            ("host:1", direct(None, "host", 1)),
            ("host:65535", direct(None, "host", 65535)),
            ("host:00080", direct(None, "host", 80)),
            ("u@host:9000", direct(Some("u"), "host", 9000)),
            ("u@dom@host:9000", direct(Some("u@dom"), "host", 9000)),
            ("10.0.0.5:27183", direct(None, "10.0.0.5", 27183)),
            ("[fd00::5]:27183", direct(None, "fd00::5", 27183)),
            ("[fe80::1%eth0]:27183", direct(None, "fe80::1%eth0", 27183)),
            ("u@[fd00::5]:27183", direct(Some("u"), "fd00::5", 27183)),
            ("host:", ssh(None, "host", "")),
            ("host:path", ssh(None, "host", "path")),
            ("host:./9000", ssh(None, "host", "./9000")),
            ("host:/srv/a", ssh(None, "host", "/srv/a")),
            ("host:9000/a", ssh(None, "host", "9000/a")),
            ("host:a:9000", ssh(None, "host", "a:9000")),
            ("host:a::b", ssh(None, "host", "a::b")),
            ("host:a@b:c", ssh(None, "host", "a@b:c")),
            ("u@host:~/x y", ssh(Some("u"), "host", "~/x y")),
            ("[fd00::5]:", ssh(None, "fd00::5", "")),
            ("[fd00::5]:a:b", ssh(None, "fd00::5", "a:b")),
            ("u@[fd00::5]:/srv", ssh(Some("u"), "fd00::5", "/srv")),
            ("@base-camp", Location::Known("base-camp".into())),
        ];
        for (text, location) in table {
            assert_eq!(of(text), location, "{text}");
        }
    }

    #[test]
    fn slips_and_dangers_are_refused_with_the_right_spelling() {
        let table = [
            ("", "."),
            ("host:0", "host:./0"),
            ("u@host:65536", "u@host:./65536"),
            ("host:99999999999999999999", "1 to 65535"),
            ("host::module", "host:/PATH"),
            ("u@host::module/dir", "u@host:/PATH"),
            ("fe80::1", "[fe80::1]:PORT"),
            ("::1", "[::1]:PORT"),
            ("[::1]", ":PORT"),
            ("[fd00::5]/x:y", ":PORT"),
            ("[host]:x", "IPv6"),
            (":x", "./"),
            ("@:x", "host"),
            ("@name:x", "user"),
            ("u@:x", "host"),
            ("-oProxyCommand=x:y", "host"),
            ("-l@host:y", "user"),
            ("u@-oX:y", "host"),
            ("two words:y", "./"),
            ("a\tb:y", "./"),
            ("@", "known node"),
            ("@a/b", "known node"),
            ("@a b", "known node"),
            ("rsync://u@host/module/x", "u@host:/module/x"),
            ("rsync://host:873/module", "host:/module"),
            ("scp://u@host/srv/x", "write u@host:/srv/x"),
            ("scp://host:2222/srv/x", "write host:/srv/x, and -e 'ssh -p 2222'"),
            ("https://host/x", "./"),
        ];
        for (text, part) in table {
            match of(text) {
                Location::Refused { typed, hint } => {
                    assert_eq!(typed, text);
                    assert!(hint.contains(part), "{text}: {hint}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn tickets() {
        let text = format!("resilient://{}@10.0.0.5:27183/", crate::node_id::NodeId::from_bytes([7; 32]));
        assert_eq!(of(&text), Location::Ticket(text.parse().unwrap()));
        match of("resilient://secret@x/?t=secret") {
            Location::Refused { typed, hint } => {
                assert!(!format!("{typed}{hint}").contains("secret"), "{typed} {hint}");
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn short_tickets_are_tickets_and_mistyped_ones_are_refused() {
        let text = format!("resilient://{}@10.0.0.5:27183/", crate::node_id::NodeId::from_bytes([7; 32]));
        let ticket: Ticket = text.parse().unwrap();
        let short = ticket.short();
        assert_eq!(of(&short), Location::Ticket(ticket.clone()));
        assert_eq!(of(&short.to_uppercase()), Location::Ticket(ticket));
        let mistyped = format!("{}{}", &short[..short.len() - 1], if short.ends_with('q') { "p" } else { "q" });
        assert!(matches!(of(&mistyped), Location::Refused { hint, .. } if hint.contains("mistyped")));
    }

    proptest! {
        #[test]
        fn files_that_begin_like_short_tickets_are_files(name in "rsl1[a-z]{0,30}") {
            prop_assert_eq!(of(&name), Location::Local(name.clone().into()));
        }

        #[test]
        fn no_bytes_panic(bytes: Vec<u8>) {
            let _ = Location::parse(OsStr::from_bytes(&bytes));
        }

        #[test]
        fn a_slash_in_front_is_always_local(bytes: Vec<u8>) {
            for start in ["./", "/"] {
                let mut typed = OsString::from(start);
                typed.push(OsStr::from_bytes(&bytes));
                prop_assert_eq!(Location::parse(&typed), Location::Local(typed.clone().into()));
            }
        }

        #[test]
        fn what_is_printable_never_gives_an_option_to_ssh(text in "[-@:a\\[\\]./0-9 ]{0,12}") {
            if let Location::Ssh { user, host, .. } | Location::Direct { user, host, .. } = of(&text) {
                prop_assert!(!host.starts_with('-') && !host.is_empty());
                prop_assert!(user.is_none_or(|user| !user.starts_with('-') && !user.is_empty()));
            }
        }
    }
}
