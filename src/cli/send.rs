//! `resilient send`: what is typed, and the order it makes.
//!
//! The last word is the ticket, unless it comes from `--ticket-file` or `RESILIENT_TICKET`; what was typed goes before what is in
//! the environment. Sources are local paths; whether they exist is found out by the command.

use super::args::Global;
use super::connect;
use super::drive::Job;
use super::exit::Failure;
use super::home;
use super::output::escape;
use super::place;
use super::run;
use super::select;
use super::span;
use crate::class::Class;
use crate::location::Location;
use crate::pipeline::SendOptions;
use crate::ticket::{self, Ticket};
use clap::Args;
use std::ffi::{OsStr, OsString};
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::time::Duration;

/// More than any ticket has: a file that is longer holds something else.
const TICKET_FILE_LIMIT: u64 = 64 * 1024;

/// What `--help` says first.
pub(super) const LONG: &str = "Send files and directories to a waiting `recv`.\n\n\
        Directories are sent whole; a trailing slash sends their contents. A link is sent as a link. Whatever the receiver has \
        already is not sent again, so the same command may be repeated.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(
    override_usage = "resilient send [OPTIONS] PATH... TICKET\n       resilient send [OPTIONS] PATH... --ticket-file FILE"
)]
pub(super) struct Words {
    /// Files and directories, then the ticket that `resilient recv` has printed
    #[arg(value_name = "PATH", hide_default_value = true)]
    typed: Vec<OsString>,
    /// Send directories whole (always done)
    #[arg(short = 'r', hide_short_help = true, help_heading = "Select")]
    _recursive: bool,
    /// Preserve times and modes (always done)
    #[arg(short = 'p', hide_short_help = true, help_heading = "Preserve")]
    _preserve: bool,
    #[command(flatten)]
    select: select::Flags,
    /// Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]
    #[arg(long, value_name = "FILE", help_heading = "Connect")]
    ticket_file: Option<PathBuf>,
    /// How long a usable connection may take, 0 for no limit
    #[arg(long, value_name = "SECS", default_value = "30", value_parser = span::time_out, help_heading = "Connect")]
    contimeout: Duration,
    #[command(flatten)]
    connect: connect::Flags,
}

/// The command as meant.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// At least one source.
    pub(super) options: SendOptions,
    /// Only list what would be sent.
    pub(super) dry_run: bool,
    /// File with this node's key.
    pub(super) identity: PathBuf,
}

impl Order {
    /// The command as something to run.
    pub(super) fn job(self) -> Job {
        Box::new(move |observer, cancel| Box::pin(run::send(self, observer, cancel)))
    }
}

impl Words {
    pub(super) fn resolve(self, global: &Global) -> Result<Order, Failure> {
        self.resolve_with(std::env::var_os("RESILIENT_TICKET"), home::identity(global))
    }

    fn resolve_with(
        mut self,
        environment: Option<OsString>,
        identity: Result<PathBuf, Failure>,
    ) -> Result<Order, Failure> {
        let typed = match self.typed.last().map(|word| Location::parse(word)) {
            Some(Location::Ticket(_)) if self.ticket_file.is_some() => {
                return Err(Failure::usage("a ticket and --ticket-file were both given"));
            }
            Some(Location::Ticket(ticket)) => {
                self.typed.pop();
                Some(ticket)
            }
            _ => None,
        };
        for word in &self.typed {
            if let Some(failure) = place::refusal(word, &Location::parse(word)) {
                return Err(failure);
            }
        }
        if self.typed.is_empty() {
            return Err(Failure::usage("no path to send was given").hint("resilient send PATH... TICKET"));
        }
        let ticket = match (typed, &self.ticket_file, environment.filter(|text| !text.is_empty())) {
            (Some(ticket), ..) => ticket,
            (None, Some(file), _) => ticket_in(file.as_os_str())?,
            (None, None, Some(text)) => only_ticket("RESILIENT_TICKET", text.as_bytes())?,
            (None, None, None) => {
                return Err(Failure::usage("no destination was given")
                    .hint("the last word is the ticket that `resilient recv` prints on the other host"));
            }
        };
        let selection = self.select.resolve(self.typed.len(), self.ticket_file.as_deref() == Some("-".as_ref()))?;
        let options = SendOptions {
            selection,
            sources: self.typed.into_iter().map(PathBuf::from).collect(),
            ticket,
            family: self.connect.family(),
            contimeout: self.contimeout,
            retry_for: self.connect.retry_for,
        };
        Ok(Order { options, dry_run: self.select.dry_run, identity: identity? })
    }
}

/// The ticket in a file, or on stdin for `-`.
fn ticket_in(file: &OsStr) -> Result<Ticket, Failure> {
    let name = if file == "-" { "stdin".to_owned() } else { escape::name(file.as_bytes()) };
    let mut text = Vec::new();
    let read = if file == "-" {
        std::io::stdin().lock().take(TICKET_FILE_LIMIT).read_to_end(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(TICKET_FILE_LIMIT).read_to_end(&mut text))
    };
    read.map_err(|error| Failure::usage(format!("{name}: {}", escape::cause(&error))))?;
    only_ticket(&name, &text)
}

/// The ticket on the first line with anything on it. The text may be a secret and is not repeated in the error.
fn only_ticket(object: &str, text: &[u8]) -> Result<Ticket, Failure> {
    let mut lines = text.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
    let Some(line) = lines.find(|line| !line.is_empty()) else {
        return Err(Failure::usage(format!("{object}: empty")));
    };
    match Location::parse(OsStr::from_bytes(line)) {
        Location::Ticket(ticket) => Ok(ticket),
        Location::ShortTicket(_) => Err(Failure::new(
            Class::Unsupported,
            format!("{object}: the short form of a ticket is not in this version"),
        )),
        Location::Refused { typed, hint } if typed.starts_with(ticket::SCHEME) => {
            Err(Failure::usage(format!("{object}: {hint}")))
        }
        _ => Err(Failure::usage(format!("{object}: not a ticket"))),
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use crate::pipeline::RetryFor;
    use clap::Parser as _;

    /// A ticket at this address.
    fn ticket(address: &str) -> String {
        let key = crate::network::identity::Identity::generate().unwrap().node_id();
        let secret = ticket::Secret::from_bytes([7; 16]);
        Ticket::new(key, [address.parse().unwrap()], Some(secret)).to_string()
    }

    fn resolve(words: &str, environment: Option<&str>) -> Result<Order, Failure> {
        let words = format!("resilient send {words}").replace("TICKET", &ticket("10.0.0.1:1"));
        let cli = Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Send(words) = cli.command else { panic!("not send") };
        words.resolve_with(environment.map(OsString::from), Ok("identity.key".into()))
    }

    /// The address in the ticket of an order: 10.0.0.1:1 if it was typed.
    fn address(order: Result<Order, Failure>) -> String {
        order.unwrap().options.ticket.addresses[0].to_string()
    }

    #[test]
    fn the_ticket_is_the_last_word_or_comes_from_elsewhere() {
        let order = resolve("-rp a b/ TICKET", None).unwrap();
        assert_eq!(order.options.sources, [PathBuf::from("a"), "b/".into()]);
        assert_eq!(order.options.contimeout.as_secs(), 30);
        assert_eq!(order.options.retry_for, RetryFor::Span(Duration::from_secs(600)));
        let other = ticket("10.0.0.2:2");
        assert_eq!(address(resolve("a b", Some(&other))), "10.0.0.2:2");
        assert_eq!(address(resolve("a TICKET", Some(&other))), "10.0.0.1:1");
        assert_eq!(resolve("a host:1", Some(&other)).unwrap_err().class.code(), 41);
    }

    #[test]
    fn a_ticket_file_gives_its_first_line() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("t");
        let words = format!("a --ticket-file {}", file.display());
        std::fs::write(&file, format!("\n  {}\r\nmore\n", ticket("10.0.0.3:3"))).unwrap();
        assert_eq!(address(resolve(&words, Some(&ticket("10.0.0.2:2")))), "10.0.0.3:3");
        for text in ["secret words\n", "", "resilient://secret\n"] {
            std::fs::write(&file, text).unwrap();
            let failure = resolve(&words, None).unwrap_err();
            assert_eq!(failure.class, Class::Usage);
            assert!(!failure.message.contains("secret w"), "{failure:?}");
        }
        for words in ["a --ticket-file /nonexistent/t", "a TICKET --ticket-file x"] {
            assert_eq!(resolve(words, None).unwrap_err().class, Class::Usage, "{words}");
        }
    }

    #[test]
    fn what_cannot_be_sent_or_reached_is_refused() {
        for (words, status) in [
            ("a", 1),
            ("TICKET", 1),
            ("a b", 1),
            ("a resilient://damaged", 1),
            ("a host:9000", 41),
            ("a user@host:dir", 4),
            ("a host:", 4),
            ("a @node", 4),
            ("- TICKET", 4),
            ("host:a TICKET", 4),
            ("a host::module", 1),
            ("a rsync://host/module", 1),
            ("TICKET a TICKET", 1),
        ] {
            let failure = resolve(words, None).unwrap_err();
            assert_eq!(failure.class.code(), status, "{words}: {failure:?}");
            assert!(!failure.message.contains("rz1"), "{words}: {failure:?}");
        }
    }
}
