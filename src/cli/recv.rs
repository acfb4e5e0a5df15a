//! `resilient recv`: what is typed, and the order it makes.
//!
//! It prints its ticket alone on the first line of stdout and waits for one send. A port that was typed is that port or an error;
//! the default port gives way to any free one.

use super::args::Global;
use super::connect::{self, Connect, Family};
use super::drive::Job;
use super::exit::Failure;
use super::home;
use super::place;
use super::run;
use super::span;
use crate::class::Class;
use crate::location::Location;
use clap::Args;
use std::ffi::OsString;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The UDP port that a receiver has unless it is told another.
const DEFAULT_PORT: u16 = 27183;

/// What `--help` says first.
pub(super) const LONG: &str = "Print a ticket and wait for one send.\n\n\
        The ticket stands alone on the first line of stdout; on the other host `resilient send PATH... TICKET` uses it, once. A file \
        that exists already and differs is never overwritten; an identical one is a success. Nothing gets its final name \
        before its digest was verified.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient recv [OPTIONS] [DIR]")]
pub(super) struct Words {
    /// Where to put what arrives [default: .]
    #[arg(value_name = "DIR")]
    directory: Option<OsString>,
    /// Words that no `recv` of this version has a use for: refused by what they are.
    #[arg(hide = true)]
    more: Vec<OsString>,
    /// Wait on this UDP port, 0 for any [default: 27183 on all addresses, any if it is taken]
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = listen, help_heading = "Connect")]
    listen: Option<Listen>,
    /// How long the ticket can be used
    #[arg(long, value_name = "SPAN", default_value = "1h", value_parser = span::some_time, help_heading = "Connect")]
    ticket_life: Duration,
    #[command(flatten)]
    connect: connect::Flags,
}

/// Where to wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Listen {
    /// The address; `None`: all of the family.
    pub(super) address: Option<IpAddr>,
    pub(super) port: u16,
    /// Whether it was typed. A port that was not may be exchanged for any free one, which a detail event then says.
    pub(super) typed: bool,
}

/// The command as meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Order {
    /// Where to put what arrives.
    pub(super) directory: PathBuf,
    pub(super) listen: Listen,
    /// How long the ticket can be used.
    pub(super) ticket_life: Duration,
    pub(super) connect: Connect,
    /// File with this node's key.
    pub(super) identity: PathBuf,
}

impl Order {
    /// The command as something to run.
    pub(super) fn job(self) -> Job {
        Box::new(move |observer, cancel| Box::pin(run::recv(self, observer, cancel)))
    }
}

impl Words {
    pub(super) fn resolve(self, global: &Global) -> Result<Order, Failure> {
        for word in self.directory.iter().chain(&self.more) {
            let location = Location::parse(word);
            let pull = matches!(location, Location::Ticket(_) | Location::ShortTicket(_) | Location::Direct { .. });
            if pull {
                return Err(Failure::new(
                    Class::Unsupported,
                    "receiving from a ticket or an address is not in this version",
                )
                .hint("run `resilient recv` here and use its ticket on the other host"));
            }
            if let Some(failure) = place::refusal(word, &location) {
                return Err(failure);
            }
        }
        if !self.more.is_empty() {
            return Err(Failure::usage("more than one directory was given"));
        }
        let directory = self.directory.unwrap_or_else(|| ".".into());
        let connect = self.connect.resolve();
        let listen = self.listen.unwrap_or(Listen { address: None, port: DEFAULT_PORT, typed: false });
        let fits = match (listen.address, connect.family) {
            (Some(address), Family::V4) => address.is_ipv4(),
            (Some(address), Family::V6) => address.is_ipv6(),
            _ => true,
        };
        if !fits {
            return Err(Failure::usage("--listen names an address of the family that -4 or -6 excludes"));
        }
        Ok(Order {
            directory: directory.into(),
            listen,
            ticket_life: self.ticket_life,
            connect,
            identity: home::identity(global)?,
        })
    }
}

/// Reads `[ADDR:]PORT`; an IPv6 address stands in brackets.
fn listen(text: &str) -> Result<Listen, String> {
    if let Ok(port) = text.parse() {
        return Ok(Listen { address: None, port, typed: true });
    }
    let address: SocketAddr =
        text.parse().map_err(|_| "not [ADDR:]PORT (9000, 10.0.0.5:9000, [fd00::5]:9000)".to_owned())?;
    Ok(Listen { address: Some(address.ip()), port: address.port(), typed: true })
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use clap::Parser as _;

    fn resolve(words: &str) -> Result<Order, Failure> {
        let words = format!("resilient recv --identity k {words}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Recv(words) = cli.command else { panic!("not recv") };
        words.resolve(&cli.global)
    }

    #[test]
    fn the_defaults_are_the_contract() {
        let order = resolve("").unwrap();
        assert_eq!((order.directory.to_str(), order.ticket_life.as_secs()), (Some("."), 3600));
        assert_eq!(order.listen, Listen { address: None, port: 27183, typed: false });
        assert_eq!(order.connect, Connect { retry_for: Some(Duration::from_secs(600)), family: Family::Any });
    }

    #[test]
    fn a_port_may_have_an_address() {
        assert_eq!(listen("9000"), Ok(Listen { address: None, port: 9000, typed: true }));
        assert_eq!(listen("[::1]:0").unwrap().address, Some("::1".parse().unwrap()));
        for text in ["", "x", "host:9", "::1:9", "70000", "10.0.0.1", "-1"] {
            assert!(listen(text).is_err(), "{text}");
        }
        assert!(resolve("-4 --listen 127.0.0.1:1").is_ok());
        assert_eq!(resolve("-6 --listen 127.0.0.1:1").unwrap_err().class.code(), 1);
    }

    #[test]
    fn pulling_is_refused_by_name() {
        let ticket = "resilient://damaged";
        for (words, status) in
            [(ticket, 1), ("host:9000", 4), ("host:dir", 4), ("@n d", 4), ("-", 4), ("a b", 1), ("h::m", 1)]
        {
            assert_eq!(resolve(words).unwrap_err().class.code(), status, "{words}");
        }
    }
}
