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
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Spent tickets that are remembered.
const SPENT: usize = 256;

/// Names a session among all: a session id alone is the sender's choice.
pub(super) type Key = (NodeId, SessionId);

/// A ticket that nobody has used.
#[derive(Debug)]
struct Unspent {
    secret: Secret,
    hash: blake3::Hash,
    issued: Instant,
}

#[derive(Debug)]
struct Spent {
    hash: blake3::Hash,
    by: Key,
    /// Its transfer is done: another run has nothing to go on with.
    is_over: bool,
}

/// The one-time tickets of a process, and who has spent them.
#[derive(Debug)]
pub(super) struct Tickets {
    life: Duration,
    unspent: Option<Unspent>,
    spent: VecDeque<Spent>,
    issued: u64,
}

/// What another run of the same receiver has to know of its tickets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Saved {
    /// The secret of the one that nobody has used, and when it was made, milliseconds since 1970.
    unspent: Option<([u8; 16], i64)>,
    /// Hashes of the others, and the node and the session that each is bound to.
    spent: Vec<([u8; 32], [u8; 32], [u8; 16])>,
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
        let secret = Secret::from_bytes(*secret.as_bytes());
        self.unspent = Some(Unspent { hash: secret.hash(), secret, issued: now });
        self.issued += 1;
    }

    /// What another run has to know, at `now`, which the clock on the wall calls `wall`.
    pub(super) fn save(&self, now: Instant, wall: Timestamp) -> Saved {
        let age =
            |issued: Instant| i64::try_from(now.saturating_duration_since(issued).as_millis()).unwrap_or(i64::MAX);
        let made = |issued| wall.as_millisecond().saturating_sub(age(issued));
        Saved {
            unspent: self.unspent.as_ref().map(|ticket| (*ticket.secret.as_bytes(), made(ticket.issued))),
            spent: self
                .spent
                .iter()
                .filter(|spent| !spent.is_over)
                .map(|spent| (*spent.hash.as_bytes(), *spent.by.0.as_bytes(), spent.by.1.0))
                .collect(),
        }
    }

    /// Goes on with the tickets of an earlier run. The secret of the one that nobody has used, if it can be used still.
    pub(super) fn restore(&mut self, saved: Saved, now: Instant, wall: Timestamp) -> Option<Secret> {
        for (hash, node, session) in saved.spent.into_iter().take(SPENT) {
            let by = (NodeId::from_bytes(node), SessionId(session));
            self.spent.push_back(Spent { hash: blake3::Hash::from_bytes(hash), by, is_over: false });
        }
        let (secret, made) = saved.unspent?;
        // A clock that was set back does not make a ticket younger than new.
        let age = Duration::from_millis(wall.as_millisecond().saturating_sub(made).max(0) as u64);
        let issued = now.checked_sub(age).filter(|_| age < self.life)?;
        let secret = Secret::from_bytes(secret);
        self.issue(&secret, issued);
        Some(secret)
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
            (spent.by, spent.is_over) = (key, false);
            return;
        }
        self.unspent = self.unspent.take().filter(|ticket| ticket.hash != hash);
        if self.spent.len() == SPENT {
            self.spent.pop_front();
        }
        self.spent.push_back(Spent { hash, by: key, is_over: false });
    }

    /// All that the session `key` was let in for is done.
    pub(super) fn over(&mut self, key: Key) {
        self.spent.iter_mut().filter(|spent| spent.by == key).for_each(|spent| spent.is_over = true);
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
    fn tickets_survive_a_restart_and_grow_no_younger() {
        let life = Duration::from_secs(60);
        let (start, wall) = (now() + Duration::from_secs(3600), Timestamp::from_second(1_000_000).unwrap());
        let mut tickets = Tickets::new(life);
        tickets.issue(&Secret::from_bytes([1; 16]), start);
        tickets.spend([1; 16], key(1, 1));
        tickets.issue(&Secret::from_bytes([2; 16]), start);
        let save = || tickets.save(start + Duration::from_secs(10), wall + Duration::from_secs(10));
        let restored = |after: Duration| {
            let mut restored = Tickets::new(life);
            let secret = restored.restore(save(), start + after, wall + after);
            (restored, secret)
        };
        let (restored_soon, secret) = restored(Duration::from_secs(50));
        let soon = start + Duration::from_secs(50);
        assert_eq!(secret, Some(Secret::from_bytes([2; 16])));
        assert_eq!(restored_soon.worth(soon, [1; 16], key(1, 1)), Ok(Worth::Again));
        assert!(restored_soon.worth(soon, [1; 16], key(2, 1)).is_err());
        assert_eq!(restored_soon.worth(soon, [2; 16], key(2, 1)), Ok(Worth::New));
        assert!(restored_soon.worth(soon + Duration::from_secs(11), [2; 16], key(2, 1)).is_err());
        let (restored_late, secret) = restored(Duration::from_secs(60));
        assert_eq!(secret, None);
        assert_eq!(restored_late.worth(soon, [1; 16], key(1, 1)), Ok(Worth::Again));
        // Good again in this run, and in no other.
        tickets.over(key(1, 1));
        assert_eq!(tickets.worth(soon, [1; 16], key(1, 1)), Ok(Worth::Again));
        let mut next = Tickets::new(life);
        next.restore(tickets.save(soon, wall), soon, wall);
        assert!(next.worth(soon, [1; 16], key(1, 1)).is_err());
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
