//! First contact: from what was typed as the other side to the addresses and the key that must answer there.
//!
//! Invariant: nothing of ours is sent to a node whose key nobody has vouched for: a known node, a ticket, `--peer-key`, an authority,
//! the user at the prompt, or, said loudly, `--accept-new` and `--insecure`. A key that differs from the known one is refused whatever
//! was said besides. A new key is remembered as soon as its holder has proved it in a handshake, as ssh does, whether or not the node
//! then lets us in; [`prompt`](super::prompt) asks the user.

use super::exit::Failure;
use super::output::escape;
use super::peer::Rules;
use super::{home, prompt};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::link::Link;
use crate::network::dial::ConnectError;
use crate::network::pin::Expected;
use crate::network::resolve::{ResolveError, resolve};
use crate::network::seam::{UdpSockets, now};
use crate::node_id::NodeId;
use crate::pipeline::{self, Cancel, Family, Peer, Ports, Side, ask_key};
use crate::ticket::Ticket;
use crate::trust::Date;
use crate::trust::known::{self, Address, How, KnownNode, KnownNodes, Meeting, Way};
use rustls::pki_types::ServerName;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// For further names when an address is there already.
const FURTHER_NAMES: Duration = Duration::from_secs(3);

/// `--contimeout` unless it is given, and what it is then with `--link`, given or remembered.
const CONTIMEOUT: Duration = Duration::from_secs(30);
const SLOW_CONTIMEOUT: Duration = Duration::from_secs(300);

/// The other side, as typed.
#[derive(Clone, Debug)]
pub(super) enum Target {
    /// A ticket.
    Ticket(Ticket),
    /// `host:port`.
    Address(Address),
    /// `rz1…@host:port`, `rz1…`.
    Node(NodeId, Option<Address>),
    /// `@name`.
    Known(String),
}

/// As in lists: a ticket is where it leads to, for its secret is not to be shown.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Ticket(ticket) => match ticket.addresses.first() {
                Some(address) => write!(f, "a ticket for {address}"),
                None => f.write_str("a ticket"),
            },
            Target::Address(at) => write!(f, "{at}"),
            Target::Node(key, Some(at)) => write!(f, "{key}@{at}"),
            Target::Node(key, None) => write!(f, "{key}"),
            Target::Known(name) => write!(f, "@{name}"),
        }
    }
}

/// The other side, and what is asked of it.
#[derive(Clone, Debug)]
pub(super) struct Contact {
    pub(super) target: Target,
    pub(super) rules: Rules,
    /// The file of the known nodes; none where this user has no home.
    pub(super) known: Option<PathBuf>,
}

/// How a peer is reached.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reach {
    pub(super) family: Family,
    pub(super) ports: Ports,
    /// Time for all of it.
    pub(super) contimeout: Duration,
    /// What is said of the link.
    pub(super) link: Option<Link>,
}

/// Who says which key is the right one.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Witness {
    /// The known nodes, which call it so.
    Known(String),
    /// A ticket or the command line.
    Typed,
}

/// Where to dial, and the key that must answer if one is known.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    addresses: Vec<Address>,
    key: Option<(NodeId, Witness)>,
    /// The slow link to a known node.
    link: Option<Link>,
}

/// A peer that can be dialled.
#[derive(Debug)]
pub(super) struct Introduced {
    pub(super) peer: Peer,
    /// What is left of the time to connect.
    pub(super) contimeout: Duration,
    /// What is known of the link.
    pub(super) link: Option<Link>,
    witness: Option<Witness>,
}

/// The day that files of nodes are dated by (UTC).
pub(super) fn today() -> Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

impl Contact {
    pub(super) fn new(target: Target, rules: Rules) -> Contact {
        Contact { target, rules, known: home::file(known::FILE).ok() }
    }

    /// Finds out whom to dial.
    pub(super) async fn introduce(
        &self,
        reach: Reach,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Introduced, Failure> {
        let Reach { family, ports, mut contimeout, link } = reach;
        let nodes = match (&self.target, &self.known) {
            (_, None) => KnownNodes::default(),
            // Nothing but the link to its node is looked up for a ticket.
            (Target::Ticket(_), Some(path)) => KnownNodes::load(path).unwrap_or_default(),
            (_, Some(path)) => KnownNodes::load(path)
                .map_err(|error| Failure::new(error.class(), escape::without_number(&error.to_string())))?,
        };
        let Plan { addresses: typed, key, link: remembered } = plan(&self.target, &self.rules, &nodes)?;
        if link.is_none() && remembered.is_some() && contimeout == CONTIMEOUT {
            contimeout = SLOW_CONTIMEOUT;
        }
        let mut link = link.or(remembered);
        let until = now() + contimeout;
        let vouched = self.vouched(&typed)?;
        let (addresses, secret) = if let Target::Ticket(ticket) = &self.target {
            (ticket.addresses.clone(), ticket.secret.clone())
        } else {
            let found = tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(interrupted()),
                found = resolve_all(&typed, until) => found,
            };
            let unresolved =
                |error: ResolveError| Failure::new(error.class(), escape::without_number(&error.to_string()));
            (found.map_err(unresolved)?, None)
        };
        let mut left = until.saturating_duration_since(now());
        let (key, witness) = match key {
            Some((key, witness)) => (Some(key), Some(witness)),
            None if vouched.is_some() => (None, None),
            None => {
                let asked = ask_key(&UdpSockets, None, link, &addresses, family, ports, left, cancel).await;
                let key = asked.map_err(|error| super::run::failure(error.within(contimeout)))?;
                link = link.or_else(|| nodes.by_key(key)?.link);
                self.judge(&typed[0], key, observer, cancel).await?;
                // The first contact is made: what remains is a connection like any other.
                left = contimeout;
                (Some(key), Some(Witness::Typed))
            }
        };
        // Whole seconds, for whoever reads that they have passed.
        let contimeout = Duration::from_secs_f64(left.as_secs_f64().ceil()).min(contimeout);
        let peer = Peer { addresses, expected: Expected { key, vouched }, secret };
        Ok(Introduced { peer, contimeout, link, witness })
    }

    /// Who vouches for the host at the one address, where an authority is to.
    fn vouched(
        &self,
        typed: &[Address],
    ) -> Result<Option<(crate::network::authority::Authority, ServerName<'static>)>, Failure> {
        let Some(authority) = self.rules.authority.clone() else { return Ok(None) };
        let (Target::Address(_) | Target::Node(_, Some(_)), [at]) = (&self.target, typed) else {
            return Err(Failure::usage("--ca checks the name of a host: the other side must be typed as HOST:PORT"));
        };
        let name = ServerName::try_from(at.host().to_owned());
        let name = name.map_err(|_| Failure::usage(format!("{at}: no certificate is made out to such a host")))?;
        Ok(Some((authority, name)))
    }

    /// Decides on a key that nobody knows, which the node at `at` has just proved.
    async fn judge(&self, at: &Address, key: NodeId, observer: &dyn Observer, cancel: &Cancel) -> Result<(), Failure> {
        if self.rules.insecure {
            let message = format!(
                "NOT CHECKED who answers at {at}: anyone in between reads and changes what is sent; it shows the key {key}"
            );
            observer.event(&Event::Warning { message });
            return Ok(());
        }
        let trusted = self.rules.accept_new
            || (prompt::possible()
                && tokio::select! {
                    biased;
                    () = cancel.cancelled() => return Err(interrupted()),
                    trusted = prompt::trust(at.to_string(), key) => trusted,
                });
        if !trusted {
            return Err(Failure::new(Class::Authentication, format!("{at}: the key of that node is not known"))
                .hint(format!("resilient key trust {key}@{at}")));
        }
        let remembered = match &self.known {
            Some(path) => KnownNodes::trust(path, key, None, Some(at.clone()), How::Tofu, today())
                .map_err(|error| escape::without_number(&error.to_string())),
            None => Err("this user has no home folder".into()),
        };
        let event = match remembered {
            Ok(()) => Event::Detail { message: format!("{at}: trusted from now on, with the key {key}") },
            Err(cause) => Event::Warning { message: format!("the key of {at} is not remembered: {cause}") },
        };
        observer.event(&event);
        Ok(())
    }

    /// Notes that the node `key` has let us in at `address`, if it is a known one, and what was learnt of the link to it.
    pub(super) fn met(&self, key: NodeId, address: SocketAddr, link: Option<Way>, observer: &dyn Observer) {
        let Some(path) = &self.known else { return };
        let ip = address.ip().to_canonical();
        let at = match &self.target {
            Target::Ticket(_) => Address::new(&ip.to_string(), address.port()),
            Target::Address(at) | Target::Node(_, Some(at)) => Some(at.clone()),
            Target::Node(_, None) | Target::Known(_) => None,
        };
        let is_known = KnownNodes::load(path).map(|nodes| nodes.by_key(key).is_some());
        let noted = match is_known {
            Ok(true) => KnownNodes::met(path, Meeting { key, address: at, link, today: today() }),
            Ok(false) => Ok(()),
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            let message = escape::without_number(&error.to_string());
            observer.event(&Event::Warning { message });
        }
    }
}

impl Introduced {
    /// A failure of the command against this peer; `ours` is the key that it was shown.
    pub(super) fn explain(&self, error: pipeline::Error, ours: NodeId) -> Failure {
        let hint = match (&error, &self.witness) {
            (pipeline::Error::Connect(ConnectError::WrongKey { expected, .. }), Some(Witness::Known(_))) => {
                Some(format!("if that node was given a new key: resilient key forget {expected}"))
            }
            (pipeline::Error::Connect(ConnectError::WrongKey { .. }), Some(Witness::Typed))
                if self.peer.secret.is_none() =>
            {
                Some("another node answers there: compare with `resilient key show` on that host".into())
            }
            (pipeline::Error::Refused { class: Class::Authentication, peer, .. }, _) if self.peer.secret.is_none() => {
                // Who offers something asks for a ticket, and lets nobody in by key.
                let receives = *peer == Side::Receiver;
                let hint = receives.then(|| format!("on that host run: resilient key allow {ours}"));
                return Failure { hint, ..super::run::failure(error) };
            }
            _ => None,
        };
        let failure = super::run::failure(error);
        Failure { hint: hint.or(failure.hint), ..failure }
    }
}

fn interrupted() -> Failure {
    super::run::failure(pipeline::Error::Interrupted)
}

/// What `target` means to one who knows `nodes` and has these rules.
fn plan(target: &Target, rules: &Rules, nodes: &KnownNodes) -> Result<Plan, Failure> {
    let known = |node: &KnownNode| (node.key, Witness::Known(node.label()));
    let (object, addresses, mut key) = match target {
        Target::Ticket(ticket) => ("the ticket".to_owned(), Vec::new(), Some((ticket.key, Witness::Typed))),
        Target::Address(at) => (at.to_string(), vec![at.clone()], nodes.by_address(at).map(known)),
        Target::Node(key, Some(at)) => {
            let found = nodes.by_address(at).map(known);
            if let Some((other, _)) = found.as_ref().filter(|(other, _)| other != key) {
                return Err(changed(&at.to_string(), *other, *key, true));
            }
            (at.to_string(), vec![at.clone()], found.or(Some((*key, Witness::Typed))))
        }
        Target::Node(key, None) => {
            let node = nodes.by_key(*key).filter(|node| !node.addresses.is_empty());
            let node = node.ok_or_else(|| {
                Failure::usage(format!("{key}: no address of that node is known"))
                    .hint(format!("write {key}@HOST:PORT"))
            })?;
            (key.to_string(), node.addresses.clone(), Some(known(node)))
        }
        Target::Known(name) => {
            let object = escape::name(format!("@{name}").as_bytes());
            let node = nodes.by_name(name).ok_or_else(|| {
                Failure::usage(format!("{object}: no known node has that name"))
                    .hint(format!("resilient key trust NODE@HOST:PORT {name}"))
            })?;
            if node.addresses.is_empty() {
                let hint = format!("resilient key trust {}@HOST:PORT", node.key);
                return Err(Failure::usage(format!("{object}: no address of that node is known")).hint(hint));
            }
            (object, node.addresses.clone(), Some(known(node)))
        }
    };
    match (&key, rules.peer_key) {
        (Some((pinned, witness)), Some(typed)) if *pinned != typed => {
            return Err(changed(&object, *pinned, typed, matches!(witness, Witness::Known(_))));
        }
        (None, Some(typed)) => key = Some((typed, Witness::Typed)),
        _ => {}
    }
    if let Some((pinned, _)) = key.as_ref().filter(|_| rules.insecure) {
        return Err(Failure::usage(format!("{object}: --insecure is refused where a key is pinned ({pinned})")));
    }
    let link = key.as_ref().and_then(|(key, _)| nodes.by_key(*key)?.link);
    Ok(Plan { addresses, key, link })
}

/// The refusal of a key before anybody was asked for it.
fn changed(object: &str, pinned: NodeId, other: NodeId, is_known: bool) -> Failure {
    let failure = Failure::new(Class::Authentication, format!("{object} has the key {pinned}, not {other}"));
    if is_known {
        failure.hint(format!("if that node was given a new key: resilient key forget {pinned}"))
    } else {
        failure
    }
}

/// The addresses of all that resolve in time; those that need no asking first.
async fn resolve_all(typed: &[Address], until: Instant) -> Result<Vec<SocketAddr>, ResolveError> {
    let (mut found, mut failed) = (Vec::new(), None);
    let (ips, names): (Vec<&Address>, Vec<&Address>) =
        typed.iter().partition(|address| address.host().parse::<IpAddr>().is_ok());
    for address in ips.into_iter().chain(names) {
        let left = until.saturating_duration_since(now());
        let left = if found.is_empty() { left } else { left.min(FURTHER_NAMES) };
        match resolve(address.host(), address.port(), left).await {
            Ok(addresses) => found.extend(addresses),
            Err(error) => failed = failed.or(Some(error)),
        }
    }
    match failed {
        Some(error) if found.is_empty() => Err(error),
        _ => Ok(found),
    }
}

#[cfg(test)]
#[path = "contact_tests.rs"]
mod tests;
