//! Admission: who may come in, judged by what they show.
//!
//! A ticket admits the first key that shows it, and that key again until its transfer is done; a key that the user has authorised needs
//! none. Secrets are compared in constant time. Invariant: whoever is refused has changed nothing here. What there is room for is the
//! receiver's to say.

use super::greet::Refused;
use crate::class::Class;
use crate::node_id::NodeId;
use crate::ticket::Secret;
use crate::wire::control::{Hello, SessionId};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Spent tickets that are remembered.
const SPENT: usize = 256;

/// Names a session among all: a session id alone is the sender's choice.
pub(super) type Key = (NodeId, SessionId);

/// A ticket that nobody has used.
#[derive(Debug)]
struct Unspent {
    hash: blake3::Hash,
    issued: Instant,
}

#[derive(Debug)]
struct Spent {
    hash: blake3::Hash,
    by: Key,
}

/// The one-time tickets of a process, and who has spent them.
#[derive(Debug)]
pub(super) struct Tickets {
    life: Duration,
    unspent: Option<Unspent>,
    spent: VecDeque<Spent>,
    issued: u64,
}

/// What a ticket is worth to who shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Worth {
    /// It is good, and nobody has used it.
    New,
    /// It was this session's before.
    Again,
    /// It was this other session's of the same key.
    Other(Key),
}

impl Tickets {
    pub(super) fn new(life: Duration) -> Tickets {
        Tickets { life, unspent: None, spent: VecDeque::new(), issued: 0 }
    }

    /// There is a new ticket now, in the place of the one that nobody has used.
    pub(super) fn issue(&mut self, secret: &Secret, now: Instant) {
        self.unspent = Some(Unspent { hash: secret.hash(), issued: now });
        self.issued += 1;
    }

    /// How many were made.
    pub(super) fn issued(&self) -> u64 {
        self.issued
    }

    /// When the ticket that nobody has used cannot be used any more.
    pub(super) fn expires(&self) -> Option<Instant> {
        self.unspent.as_ref().map(|ticket| ticket.issued + self.life)
    }

    /// What `secret` is worth to the session `key`.
    pub(super) fn worth(&self, now: Instant, secret: [u8; 16], key: Key) -> Result<Worth, &'static str> {
        let hash = Secret::from_bytes(secret).hash();
        if let Some(spent) = self.spent.iter().find(|spent| spent.hash == hash) {
            return match spent.by {
                by if by == key => Ok(Worth::Again),
                by if by.0 == key.0 => Ok(Worth::Other(by)),
                _ => Err("the ticket has been used by another node"),
            };
        }
        match &self.unspent {
            Some(ticket) if ticket.hash == hash => {
                let expired = now.saturating_duration_since(ticket.issued) > self.life;
                if expired { Err("the ticket has expired") } else { Ok(Worth::New) }
            }
            _ => Err("the ticket is not one of those given out here"),
        }
    }

    /// The session `key` was let in for `secret`, which was worth something.
    pub(super) fn spend(&mut self, secret: [u8; 16], key: Key) {
        let hash = Secret::from_bytes(secret).hash();
        if let Some(spent) = self.spent.iter_mut().find(|spent| spent.hash == hash) {
            spent.by = key;
            return;
        }
        self.unspent = self.unspent.take().filter(|ticket| ticket.hash != hash);
        if self.spent.len() == SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back(Spent { hash, by: key });
    }
}

/// Refuses who speaks another version of the protocol.
pub(super) fn same_version(version: u16) -> Result<(), Refused> {
    let ours = crate::wire::VERSION;
    if version == ours {
        return Ok(());
    }
    Err(Refused::new(Class::Version, format!("speaks protocol version {ours}, not {version}")))
}

/// The refusal of a sender without a ticket that is worth anything, and whose key is not authorised either.
pub(super) fn stranger(hello: &Hello, ticket: Option<&'static str>, tickets: bool) -> Refused {
    let cause = match (ticket, hello.secret) {
        (Some(cause), _) => cause,
        (None, _) if tickets => "asks for a ticket or an authorised key; this sender has shown neither",
        (None, _) => "asks for an authorised key; this sender's is not",
    };
    Refused::new(Class::Authentication, cause)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::seam::now;

    fn key(node: u8, session: u8) -> Key {
        (NodeId::from_bytes([node; 32]), SessionId([session; 16]))
    }

    #[test]
    fn a_ticket_is_the_first_keys_that_shows_it() {
        let (start, secret) = (now(), [7; 16]);
        let mut tickets = Tickets::new(Duration::from_secs(60));
        assert!(tickets.worth(start, secret, key(1, 1)).is_err());
        tickets.issue(&Secret::from_bytes(secret), start);
        assert_eq!(tickets.expires(), Some(start + Duration::from_secs(60)));
        assert_eq!(tickets.worth(start, secret, key(1, 1)), Ok(Worth::New));
        assert!(tickets.worth(start, [8; 16], key(1, 1)).is_err());
        tickets.spend(secret, key(1, 1));
        assert_eq!(tickets.expires(), None);
        assert_eq!(tickets.worth(start, secret, key(1, 1)), Ok(Worth::Again));
        assert_eq!(tickets.worth(start, secret, key(1, 2)), Ok(Worth::Other(key(1, 1))));
        assert!(tickets.worth(start, secret, key(2, 1)).is_err());
        // Spent in time, good until the end.
        assert_eq!(tickets.worth(start + Duration::from_secs(90), secret, key(1, 1)), Ok(Worth::Again));
    }

    #[test]
    fn an_expired_ticket_is_worth_nothing_and_a_new_one_replaces_it() {
        let start = now();
        let mut tickets = Tickets::new(Duration::from_secs(60));
        tickets.issue(&Secret::from_bytes([1; 16]), start);
        assert!(tickets.worth(start + Duration::from_secs(61), [1; 16], key(1, 1)).is_err());
        tickets.issue(&Secret::from_bytes([2; 16]), start);
        assert!(tickets.worth(start, [1; 16], key(1, 1)).is_err());
        assert_eq!(tickets.worth(start, [2; 16], key(1, 1)), Ok(Worth::New));
        assert_eq!(tickets.issued(), 2);
    }

    #[test]
    fn spent_tickets_are_bounded() {
        let mut tickets = Tickets::new(Duration::from_secs(60));
        for n in 0..2 * SPENT {
            let secret = (n as u128).to_le_bytes();
            tickets.issue(&Secret::from_bytes(secret), now());
            tickets.spend(secret, key(1, 1));
        }
        assert_eq!(tickets.spent.len(), SPENT);
    }
}
