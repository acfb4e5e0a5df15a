//! `resilient send`: what is typed, and the order it makes.
//!
//! The last word is the other side: a ticket, an address or a known node, unless a ticket comes from `--ticket-file` or `RESILIENT_TICKET`; what was typed goes before what is in
//! the environment. Sources are local paths; whether they exist is found out by the command.

use super::args::Global;
use super::connect;
use super::contact::{Contact, Target};
use super::drive::Job;
use super::exit::Failure;
use super::home;
use super::invite;
use super::peer::{self, Credentials, Rules};
use super::place;
use super::rates;
use super::recv;
use super::resume::Instead;
use super::run;
use super::select;
use super::sessions::{self, Memory};
use super::span;
use super::stdin;
use super::stop;
use super::ticket;
use crate::link::Link;
use crate::location::Location;
use crate::manifest::Name;
use crate::network::authority::Authority;
use crate::pipeline::{Listen, Offering, Peer, SendOptions};
use clap::Args;
use std::cell::Cell;
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// What `--help` says first.
pub(super) const LONG: &str = "Send files and directories to a waiting `recv`.\n\n\
        Directories are sent whole; a trailing slash sends their contents. A link inside of a directory is sent as a link; one that is \
        named is followed. Whatever the receiver has already is not sent again, so the same command may be repeated.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(
    override_usage = "resilient send [OPTIONS] PATH... TICKET|HOST:PORT|@NAME\n       resilient send [OPTIONS] PATH... --ticket-file FILE\n       resilient send [OPTIONS] --offer PATH..."
)]
pub(super) struct Words {
    /// Files and directories, then the ticket that `resilient recv` has printed, or the address or name of a node
    #[arg(value_name = "PATH", hide_default_value = true)]
    typed: Vec<OsString>,
    /// Send directories whole (always done)
    #[arg(short = 'r', hide_short_help = true, help_heading = "Select")]
    _recursive: bool,
    /// Name at the receiver of what comes in on stdin (`-`)
    #[arg(long, value_name = "NAME", help_heading = "Select")]
    name: Option<OsString>,
    /// Preserve times and modes (always done)
    #[arg(short = 'p', hide_short_help = true, help_heading = "Preserve")]
    _preserve: bool,
    #[command(flatten)]
    select: select::Flags,
    #[command(flatten)]
    stop: stop::Flags,
    /// Read the ticket from FILE, `-` for stdin [or RESILIENT_TICKET]
    #[arg(long, value_name = "FILE", help_heading = "Connect")]
    ticket_file: Option<PathBuf>,
    /// How long a usable connection may take, 0 for no limit
    #[arg(long, value_name = "SECS", default_value = "30", default_value_if("link", clap::builder::ArgPredicate::IsPresent, "300"), value_parser = span::time_out, help_heading = "Connect", hide_short_help = true)]
    contimeout: Duration,
    /// Print a ticket and wait for one `recv TICKET` instead of dialling
    #[arg(long, help_heading = "Connect", conflicts_with = "ticket_file")]
    offer: bool,
    /// With --offer: wait on this UDP port, 0 for any
    #[arg(long, value_name = "[ADDR:]PORT", value_parser = recv::listen, requires = "offer", help_heading = "Connect", hide_short_help = true)]
    listen: Option<Listen>,
    #[command(flatten)]
    invite: invite::Flags,
    #[command(flatten)]
    peer: peer::Flags,
    #[command(flatten)]
    outlet: connect::Outlet,
    #[command(flatten)]
    connect: connect::Flags,
    #[command(flatten)]
    sessions: sessions::Flags,
    #[command(flatten)]
    limits: rates::Limits,
    #[command(flatten)]
    sending: rates::Sending,
}

/// Who dials.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// We do.
    Dial(Contact),
    /// The receiver does; these vouch for it, if they are asked to.
    Offer(Offering, invite::Show, Option<Authority>),
}

/// The command as meant.
#[derive(Clone, Debug)]
pub(super) struct Order {
    /// Who dials.
    pub(super) way: Way,
    /// At least one source; the peer is nobody until it was found out who that is.
    pub(super) options: SendOptions,
    /// Only list what would be sent.
    pub(super) dry_run: bool,
    /// Who we are.
    pub(super) credentials: Credentials,
    /// What is said of the link.
    pub(super) link: Option<Link>,
    /// Where the transfer is remembered.
    pub(super) memory: Option<Memory>,
    /// Whether another run that is at it is as good.
    pub(super) skips: bool,
}

impl Order {
    /// The command as something to run.
    pub(super) fn job(self) -> Job {
        Box::new(move |observer, cancel| Box::pin(run::send(self, observer, cancel)))
    }
}

impl Words {
    /// What is meant by these words, typed as `typed` with all that stood before and behind them.
    pub(super) fn resolve(self, global: &Global, typed: &[OsString]) -> Result<Order, Failure> {
        self.resolve_with(ticket::variable(), global, typed)
    }

    /// The same of words that were typed in an earlier run, with the ticket that it had from elsewhere.
    pub(super) fn again(
        mut self,
        ticket: Option<String>,
        global: &Global,
        typed: &[OsString],
    ) -> Result<Order, Failure> {
        self.ticket_file = None;
        self.resolve_with(ticket.map(OsString::from), global, typed)
    }

    /// The same with what `instead` says of rates and times.
    pub(super) fn with(mut self, instead: &Instead) -> Words {
        self.limits = instead.limits.or(&self.limits);
        self.stop = instead.stop.or(&self.stop);
        self.sessions.lock = instead.lock.or(self.sessions.lock);
        self.contimeout = instead.contimeout.unwrap_or(self.contimeout);
        self.connect.retry_for = instead.retry_for.unwrap_or(self.connect.retry_for);
        self.outlet = self.outlet.with_timeout(instead.timeout);
        self
    }

    fn resolve_with(
        mut self,
        environment: Option<OsString>,
        global: &Global,
        words: &[OsString],
    ) -> Result<Order, Failure> {
        let peer = match self.typed.last().and_then(|word| place::target(word)).transpose()? {
            Some(_) if self.ticket_file.is_some() => {
                return Err(Failure::usage("a destination and --ticket-file were both given"));
            }
            Some(target) => {
                self.typed.pop();
                Some(target)
            }
            None => None,
        };
        let stdin = self.stdin()?;
        for word in &self.typed {
            if stdin.is_none()
                && let Some(failure) = place::refusal(word, &Location::parse(word))
            {
                return Err(failure);
            }
        }
        if self.typed.is_empty() {
            return Err(Failure::usage("no path to send was given").hint("resilient send PATH... TICKET"));
        }
        let offering = self.offering(peer.is_some())?;
        // A ticket from elsewhere may not be there again.
        let mut elsewhere = None;
        let target = match (peer, &self.ticket_file, environment) {
            // Who comes is not known before.
            _ if offering.is_some() => None,
            (Some(target), ..) => Some(target),
            (None, Some(file), _) => Some(Target::Ticket(elsewhere.insert(ticket::in_file(file.as_os_str())?).clone())),
            (None, None, Some(text)) => Some(Target::Ticket(elsewhere.insert(ticket::in_variable(&text)?).clone())),
            (None, None, None) => {
                return Err(Failure::usage("no destination was given")
                    .hint("the last word is the ticket that `resilient recv` prints on the other host, or HOST:PORT"));
            }
        };
        let ticket_on_stdin = self.ticket_file.as_deref() == Some("-".as_ref());
        let stdin_taken = Cell::new(ticket_on_stdin);
        let selection = self.select.resolve(self.typed.len(), &stdin_taken)?;
        // A list that was read from there is not there again.
        let has_read_list = stdin_taken.get() && !ticket_on_stdin;
        if stdin.is_some() && (self.select.dry_run || !selection.is_everything()) {
            return Err(Failure::usage("what comes in on stdin is sent whole: it cannot be listed or filtered"));
        }
        let pipe = stdin.map(stdin::pipe);
        let options = SendOptions {
            sources: if pipe.is_some() { Vec::new() } else { self.typed.iter().map(PathBuf::from).collect() },
            pipe,
            selection,
            stop: self.stop.stop(),
            peer: Peer::default(),
            ports: self.outlet.port,
            family: self.connect.family(),
            contimeout: self.contimeout,
            retry_for: self.connect.retry_for,
            timeout: self.outlet.timeout(),
            compress: self.sending.compress(),
            limit: self.limits.resolve()?.up,
            chunk_rate: self.sending.chunk_rate(),
            parity: self.sending.parity(),
            classes: self.sending.classes(),
            lock_wait: self.sessions.lock.wait(),
        };
        let rules = self.peer.rules()?;
        let mut memory = None;
        let way = match (target, offering) {
            (Some(target), _) => {
                let command = sessions::typed(words, elsewhere.map(|ticket| ticket.to_string()));
                let command = command.filter(|_| !has_read_list);
                memory = self.sessions.memory(global).map(|memory| memory.of(command, target.to_string()));
                Way::Dial(Contact::new(target, rules))
            }
            (None, offering) => {
                let (offering, show) = offering.unwrap_or_default();
                self.only_for_dialling(&rules)?;
                Way::Offer(offering, show, rules.authority)
            }
        };
        let credentials = self.peer.credentials(home::identity(global))?;
        let (dry_run, link, skips) = (self.select.dry_run, self.limits.link(), self.sessions.lock.skips());
        Ok(Order { way, options, dry_run, credentials, link, memory, skips })
    }

    /// What has a use only for one who dials contradicts waiting.
    fn only_for_dialling(&self, rules: &Rules) -> Result<(), Failure> {
        peer::only_for_dialling(rules, &self.outlet)
            .map_err(|option| Failure::usage(format!("{option} is for dialling, and with --offer `send` waits")))
    }

    /// How to wait, if that was asked for. Words that only then have a meaning are refused without it.
    fn offering(&self, ticket: bool) -> Result<Option<(Offering, invite::Show)>, Failure> {
        if !self.offer {
            return match self.invite.typed().into_iter().find(|(_, typed)| *typed) {
                Some((option, _)) => Err(Failure::usage(format!("{option} goes with --offer"))),
                None => Ok(None),
            };
        }
        if ticket {
            return Err(Failure::usage("--offer makes a ticket, and a destination was given")
                .hint("without --offer the destination says where to send"));
        }
        let listen = self.listen.unwrap_or_default();
        let family = self.connect.family();
        if listen.address.is_some_and(|address| !family.allows(address)) {
            return Err(Failure::usage("--listen names an address of the family that -4 or -6 excludes"));
        }
        let offering = Offering { listen, ticket_life: self.invite.ticket_life(), wait_for: self.invite.wait_for };
        Ok(Some((offering, self.invite.show(None))))
    }

    /// The name of what comes in on stdin, if `-` is what is sent.
    fn stdin(&self) -> Result<Option<Name>, Failure> {
        if !self.typed.iter().any(|word| word == "-") {
            return match self.name {
                Some(_) => Err(Failure::usage("--name is for what comes in on stdin; no - was given")),
                None => Ok(None),
            };
        }
        if self.typed.len() > 1 {
            return Err(
                Failure::usage("- stands for stdin and is sent alone").hint("for a file of that name write ./-")
            );
        }
        if self.ticket_file.as_deref().is_some_and(|file| file == "-") {
            return Err(Failure::usage("stdin cannot be both what is sent and the ticket"));
        }
        stdin::name(self.name.as_deref()).map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::*;
    use crate::class::Class;
    use crate::pipeline::RetryFor;
    use crate::ticket::{Secret, Ticket};
    use clap::Parser as _;

    /// A ticket at this address.
    fn ticket(address: &str) -> String {
        let key = crate::network::identity::Identity::generate().unwrap().node_id();
        let secret = Secret::from_bytes([7; 16]);
        Ticket::new(key, [address.parse().unwrap()], Some(secret)).to_string()
    }

    fn resolve(words: &str, environment: Option<&str>) -> Result<Order, Failure> {
        let words = format!("resilient send --identity identity.key {words}").replace("TICKET", &ticket("10.0.0.1:1"));
        let cli = Cli::try_parse_from(words.split(' ')).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Send(words) = cli.command else { panic!("not send") };
        words.resolve_with(environment.map(OsString::from), &cli.global, &[])
    }

    fn dialled(order: Order) -> Target {
        match order.way {
            Way::Dial(contact) => contact.target,
            Way::Offer(..) => panic!("waits"),
        }
    }

    /// The address in the ticket of an order: 10.0.0.1:1 if it was typed.
    fn address(order: Result<Order, Failure>) -> String {
        match dialled(order.unwrap()) {
            Target::Ticket(ticket) => ticket.addresses[0].to_string(),
            other => format!("{other:?}"),
        }
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
        assert!(matches!(dialled(resolve("a host:1", Some(&other)).unwrap()), Target::Address(_)));
        assert!(matches!(dialled(resolve("a @base", None).unwrap()), Target::Known(_)));
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
            ("host:9000 a TICKET", 1),
            ("host:9000 a", 1),
            ("host:9000", 1),
            ("a host:1 --peer-key k", 1),
            ("a host:1 --peer-key /nonexistent/key", 1),
            ("a host:1 --ca /nonexistent/ca", 1),
            ("a host:1 --cert c", 1),
            ("a host:1 --cert-key k", 1),
            ("a host:1 --cert c --cert-key k", 1),
            ("a host:1 --insecure --accept-new", 1),
            ("a host:1 --insecure --ca system", 1),
            ("a host:1 --insecure --peer-key k", 1),
            ("a user@host:dir", 4),
            ("a host:", 4),
            ("@node a TICKET", 1),
            ("- TICKET", 1),
            ("- a --name x TICKET", 1),
            ("- --name x -n TICKET", 1),
            ("- --name x --exclude y TICKET", 1),
            ("a --name x TICKET", 1),
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

    #[test]
    fn an_offer_waits_and_has_options_of_its_own() {
        let words = "--offer --listen 127.0.0.1:9000 --wait-for 5m --ticket-life 2h --qr a";
        let Way::Offer(offering, show, _) = resolve(words, None).unwrap().way else { panic!("dials") };
        assert_eq!((offering.listen.port, offering.listen.or_any), (9000, false));
        assert_eq!((offering.wait_for, offering.ticket_life.as_secs()), (Some(Duration::from_secs(300)), 7200));
        assert!(show.qr && show.file.is_none());
        for words in ["--offer a TICKET", "--offer", "--qr a TICKET", "--wait-for 1s a TICKET"] {
            assert_eq!(resolve(words, None).unwrap_err().class, Class::Usage, "{words}");
        }
    }
}
