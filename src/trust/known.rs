//! `known_nodes`: whom we dial, and the key that each of them must prove.
//!
//! One node a line: `NAME rz1KEY ADDRESS[,ADDRESS…] how=ticket|tofu|manual|ssh first=DATE last=DATE link=RATE`. NAME and ADDRESS are `-` for none;
//! what follows them may be missing and stands in any order. ADDRESS is `host:port` or `[IPv6]:port`, the one that was good last first; RATE, in bytes
//! per second, what was said of a slow link to it.
//! Invariant: a name, an address and a key each stand for one node, or the file is refused; what is known is never replaced by
//! another key, only forgotten by order.

use super::file::{Entry, Lines};
use super::{Date, TrustError, check_name};
use crate::link::Link;
use crate::node_id::NodeId;
use std::fmt::{self, Write as _};
use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::str::FromStr;

/// The name of the file.
pub const FILE: &str = "known_nodes";

/// Most addresses that are kept of one node.
pub const MAX_ADDRESSES: usize = 8;

/// Where a node was reached: a host as typed, in lower case, and a UDP port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    host: String,
    port: u16,
}

impl Address {
    /// The address of `host` (a name, or an IP address without brackets) and `port`; `None` where a line could not hold them.
    pub fn new(host: &str, port: u16) -> Option<Address> {
        let host = match host.parse::<IpAddr>() {
            // One spelling for all of an address's.
            Ok(ip) => ip.to_string(),
            // The name of an interface, as it is.
            Err(_) if host.contains('%') => host.to_owned(),
            Err(_) => host.to_lowercase(),
        };
        let wrong = |c: char| c.is_whitespace() || c.is_control() || "/,[]@".contains(c);
        let colon_means_v6 =
            !host.contains(':') || host.split('%').next().is_some_and(|ip| ip.parse::<Ipv6Addr>().is_ok());
        let good = port != 0 && !host.is_empty() && !host.starts_with(['-', '#']) && !host.contains(wrong);
        (good && colon_means_v6).then_some(Address { host, port })
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port, not 0.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Address { host, port } = self;
        if host.contains(':') { write!(f, "[{host}]:{port}") } else { write!(f, "{host}:{port}") }
    }
}

impl FromStr for Address {
    type Err = String;

    fn from_str(text: &str) -> Result<Address, String> {
        let (host, port) = text.rsplit_once(':').unwrap_or((text, ""));
        let bare = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        let host = match bare {
            Some(v6) if v6.contains(':') => Some(v6),
            None if !host.contains(':') => Some(host),
            _ => None,
        };
        let address = host.zip(port.parse().ok()).and_then(|(host, port)| Address::new(host, port));
        address.ok_or_else(|| format!("'{}' is not HOST:PORT or [IPv6]:PORT", text.escape_debug()))
    }
}

/// How we came to know a node's key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum How {
    /// From a ticket.
    Ticket,
    /// It was shown at the first contact, and believed.
    Tofu,
    /// Its user has told it, or somebody typed it.
    Manual,
    /// Through ssh.
    Ssh,
}

impl How {
    const ALL: [How; 4] = [How::Ticket, How::Tofu, How::Manual, How::Ssh];

    /// The word for it in the file.
    pub const fn word(self) -> &'static str {
        match self {
            How::Ticket => "ticket",
            How::Tofu => "tofu",
            How::Manual => "manual",
            How::Ssh => "ssh",
        }
    }
}

/// A node that we dial.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownNode {
    /// What its user calls it.
    pub name: Option<String>,
    /// The key that it must prove.
    pub key: NodeId,
    /// Where it was reached, the last good one first.
    pub addresses: Vec<Address>,
    /// How we know the key.
    pub how: How,
    /// Since when (UTC).
    pub first: Option<Date>,
    /// The last day on which it let us in (UTC).
    pub last: Option<Date>,
    /// The slow link to it.
    pub link: Option<Link>,
}

/// A node that has let us in, and what is to be noted of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meeting {
    /// Its key.
    pub key: NodeId,
    /// Where it was.
    pub address: Option<Address>,
    /// What was learnt of the link to it, if anything.
    pub link: Option<Way>,
    /// The day (UTC).
    pub today: Date,
}

/// What a meeting shows of the link to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// It is as slow as was said.
    Slow(Link),
    /// It is not.
    Fast,
}

impl KnownNode {
    /// A node of which nothing is known but its key.
    pub fn new(key: NodeId, how: How, today: Date) -> KnownNode {
        KnownNode { name: None, key, addresses: Vec::new(), how, first: Some(today), last: None, link: None }
    }

    /// Its name, or its id.
    pub fn label(&self) -> String {
        self.name.clone().unwrap_or_else(|| self.key.to_string())
    }

    /// Puts `address` before the others.
    fn reached(&mut self, address: Address) {
        self.addresses.retain(|other| *other != address);
        self.addresses.insert(0, address);
        self.addresses.truncate(MAX_ADDRESSES);
    }
}

/// The nodes of the file.
#[derive(Clone, Debug, Default)]
pub struct KnownNodes(Lines<KnownNode>);

impl KnownNodes {
    /// Reads the file; none means that nobody is known.
    pub fn load(path: &Path) -> Result<KnownNodes, TrustError> {
        Lines::load(path).map(KnownNodes)
    }

    /// The nodes in the order of the file.
    pub fn nodes(&self) -> impl Iterator<Item = &KnownNode> {
        self.0.entries()
    }

    /// The node of this name.
    pub fn by_name(&self, name: &str) -> Option<&KnownNode> {
        self.nodes().find(|node| node.name.as_deref() == Some(name))
    }

    /// The node that was reached there.
    pub fn by_address(&self, address: &Address) -> Option<&KnownNode> {
        self.nodes().find(|node| node.addresses.contains(address))
    }

    /// The node with this key.
    pub fn by_key(&self, key: NodeId) -> Option<&KnownNode> {
        self.nodes().find(|node| node.key == key)
    }

    /// Remembers in the file at `path` that `key` is to be trusted, under `name` and at `address` where there are such. A node that is
    /// known already keeps what is not said anew. A name or address of another node is not taken from it.
    pub fn trust(
        path: &Path,
        key: NodeId,
        name: Option<&str>,
        address: Option<Address>,
        how: How,
        today: Date,
    ) -> Result<(), TrustError> {
        if let Some(name) = name {
            check_name(name).map_err(TrustError::Name)?;
        }
        Lines::edit(path, |lines: &mut Lines<KnownNode>| {
            let known = lines.entries().find(|node| node.key == key).cloned();
            let mut node = known.unwrap_or_else(|| KnownNode::new(key, how, today));
            if how == How::Manual {
                node.how = how;
            }
            if let Some(name) = name {
                node.name = Some(name.to_owned());
            }
            if let Some(address) = address {
                node.reached(address);
            }
            if let Some((other, cause)) = lines.entries().find_map(|other| {
                let other = Some(other).filter(|other| other.key != key)?;
                Some((other, node.clash(other)?))
            }) {
                return Err(TrustError::Conflict(format!("{cause}, and is {}", other.key)));
            }
            lines.put(node, |node| node.key == key);
            Ok(())
        })
    }

    /// Remembers a meeting with a node in the file at `path`, if it is known; its address unless that is another one's.
    pub fn met(path: &Path, meeting: Meeting) -> Result<(), TrustError> {
        let Meeting { key, address, link, today } = meeting;
        Lines::edit(path, |lines: &mut Lines<KnownNode>| {
            let Some(mut node) = lines.entries().find(|node| node.key == key).cloned() else { return Ok(()) };
            let free =
                |address: &Address| lines.entries().all(|other| other.key == key || !other.addresses.contains(address));
            if let Some(address) = address.filter(free) {
                node.reached(address);
            }
            node.last = Some(today);
            match link {
                Some(Way::Slow(link)) => node.link = Some(link),
                Some(Way::Fast) => node.link = None,
                None => {}
            }
            lines.put(node, |node| node.key == key);
            Ok(())
        })
    }

    /// Takes the nodes for which `is` holds out of the file at `path`, and gives them.
    pub fn forget(path: &Path, is: impl Fn(&KnownNode) -> bool) -> Result<Vec<KnownNode>, TrustError> {
        Lines::edit(path, |lines| Ok(lines.take(is)))
    }
}

impl Entry for KnownNode {
    fn read(line: &str) -> Result<KnownNode, String> {
        let mut words = line.split_whitespace();
        let name = match words.next() {
            None | Some("-") => None,
            Some(name) => check_name(name).map(|()| Some(name.to_owned()))?,
        };
        let key = words.next().ok_or("a node id is expected after the name")?;
        let key = key.parse::<NodeId>().map_err(|error| error.to_string())?;
        let addresses = match words.next() {
            None | Some("-") => Vec::new(),
            Some(list) => list.split(',').map(str::parse).collect::<Result<Vec<Address>, _>>()?,
        };
        if addresses.len() > MAX_ADDRESSES {
            return Err(format!("more than {MAX_ADDRESSES} addresses"));
        }
        let mut node = KnownNode { name, key, addresses, how: How::Manual, first: None, last: None, link: None };
        let mut said = Vec::new();
        for word in words {
            let (field, value) = word.split_once('=').unwrap_or((word, ""));
            let date = || value.parse().map(Some).map_err(|_| format!("{field}: a date like 2027-01-31 is expected"));
            match field {
                _ if said.contains(&field) => return Err(format!("{field}: stands twice")),
                "first" => node.first = date()?,
                "last" => node.last = date()?,
                "how" => {
                    let how = How::ALL.into_iter().find(|how| how.word() == value);
                    node.how = how.ok_or("how: one of ticket, tofu, manual, ssh is expected")?;
                }
                "link" => {
                    let link = value.parse().ok().and_then(Link::new);
                    let (least, most) = (Link::SLOWEST, Link::FASTEST);
                    node.link =
                        Some(link.ok_or_else(|| format!("link: {least} to {most} bytes a second are expected"))?);
                }
                _ => return Err(format!("'{}' is none of how=, first=, last=, link=", word.escape_debug())),
            }
            said.push(field);
        }
        Ok(node)
    }

    fn write(&self) -> String {
        let addresses: Vec<String> = self.addresses.iter().map(ToString::to_string).collect();
        let addresses = if addresses.is_empty() { "-".to_owned() } else { addresses.join(",") };
        let name = self.name.as_deref().unwrap_or("-");
        let mut line = format!("{name} {} {addresses} how={}", self.key, self.how.word());
        for (field, date) in [("first", self.first), ("last", self.last)] {
            if let Some(date) = date {
                let _ = write!(line, " {field}={date}");
            }
        }
        if let Some(link) = self.link {
            let _ = write!(line, " link={}", link.rate());
        }
        line
    }

    fn clash(&self, other: &KnownNode) -> Option<String> {
        if self.key == other.key {
            return Some("this node stands in the file already".into());
        }
        if let Some(name) = self.name.as_ref().filter(|name| other.name.as_ref() == Some(name)) {
            return Some(format!("the name {name} stands in the file already"));
        }
        let address = self.addresses.iter().find(|address| other.addresses.contains(address))?;
        Some(format!("the address {address} stands in the file already"))
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
