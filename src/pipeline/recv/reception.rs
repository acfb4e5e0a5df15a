//! Who is let in, and what runs: the state of a receiver between its socket and its sessions.
//!
//! Invariants: nothing is written before admission; greetings, refusals, sessions and warnings are bounded, whoever comes; a session is
//! the key's that began it, so no other key can take it over.

use super::kept::Kept;
use super::warnings::Warnings;
use super::{RecvOptions, Stay};
use crate::class::Class;
use crate::event::{Event, Observer, SessionTag, Tagged};
use crate::fs::disk::Disk;
use crate::network::congestion::Pilot;
use crate::network::gate::Arrival;
use crate::network::seam::{now, unpanicked};
use crate::pipeline::admission::{Key, Tickets, Worth, same_version, stranger};
use crate::pipeline::greet::{Guest, Refused, greet, refuse};
use crate::pipeline::session::{Place, Pool, Presence, receive};
use crate::pipeline::{Cancel, Env, Error, Policy, Summary, close};
use crate::ticket::{Secret, Ticket};
use crate::transfer::share::Shares;
use crate::trust::authorized::Grant;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;

/// Peers that are connected and have not yet said hello.
const MAX_GREETINGS: usize = 64;
/// The same from one address, beyond as many as there are places left: many may come from behind one, and leave places for others.
const MAX_GREETINGS_EACH: usize = 8;
/// Peers that are being told why they are not let in.
const MAX_REFUSALS: usize = 32;
/// Transfers at the same time; memory and open files are bounded by it.
const MAX_SESSIONS: usize = 128;
/// Seconds after which one that found no place may come again.
const COME_AGAIN: u32 = 3;
/// A session whose sender was silent for this long may be taken over by another one of the same key and ticket.
const STALE: Duration = Duration::from_secs(5);

/// A session, as the reception knows it.
struct Running {
    number: u64,
    visits: mpsc::UnboundedSender<Guest>,
    presence: watch::Receiver<Presence>,
    /// It was complete before, and does not count again.
    repeats: bool,
}

/// A session that has ended.
pub(super) struct Ended {
    key: Key,
    number: u64,
    observer: Arc<dyn Observer>,
    result: Result<Summary, Error>,
}

/// What the reception has to tell.
pub(super) enum Happened {
    /// A peer at this address was not let in.
    Failed(IpAddr),
    /// A session has ended.
    Ended(Ended),
}

/// That somebody may come in.
struct Pass {
    secret: Option<[u8; 16]>,
    grant: Option<Grant>,
    /// Another session of the same ticket, whose sender is gone.
    replaces: Option<Key>,
    /// It was here before, and counts no second time.
    again: bool,
}

pub(super) struct Reception {
    env: Env,
    options: RecvOptions,
    disk: Arc<dyn Disk>,
    addresses: Vec<SocketAddr>,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
    tickets: Tickets,
    kept: Option<Kept>,
    greetings: JoinSet<(IpAddr, Result<Guest, Error>)>,
    greeted: BTreeMap<IpAddr, usize>,
    refusals: JoinSet<()>,
    warnings: Warnings,
    running: BTreeMap<Key, Running>,
    tasks: JoinSet<Ended>,
    pool: Pool,
    admitted: u64,
    /// Transfers that have ended, and those of them that failed.
    over: u64,
    failed: u64,
    worst: Class,
    total: Summary,
}

impl Reception {
    pub(super) fn new(
        env: &Env,
        options: &RecvOptions,
        disk: Arc<dyn Disk>,
        addresses: Vec<SocketAddr>,
        kept: Option<Kept>,
        observer: Arc<dyn Observer>,
        cancel: Cancel,
    ) -> Reception {
        Reception {
            env: env.clone(),
            options: options.clone(),
            disk,
            addresses,
            observer,
            cancel,
            tickets: Tickets::new(options.ticket_life),
            kept,
            greetings: JoinSet::new(),
            greeted: BTreeMap::new(),
            refusals: JoinSet::new(),
            warnings: Warnings::default(),
            running: BTreeMap::new(),
            tasks: JoinSet::new(),
            pool: Arc::new(Mutex::new(Shares::new(options.allowed))),
            admitted: 0,
            over: 0,
            failed: 0,
            worst: Class::Done,
            total: Summary::NOTHING,
        }
    }

    /// Tells the ticket that nobody has used of an earlier run, or a new one.
    pub(super) fn first_ticket(&mut self) {
        let known = self.kept.as_mut().and_then(|kept| kept.restore(&mut self.tickets));
        if let Some(secret) = known { self.tell_ticket(secret) } else { self.issue_ticket() }
    }

    /// Makes a ticket and tells it.
    pub(super) fn issue_ticket(&mut self) {
        let mut secret = [0; 16];
        (self.env.random)(&mut secret);
        let secret = Secret::from_bytes(secret);
        self.tickets.issue(&secret, now());
        self.save_tickets();
        self.tell_ticket(secret);
    }

    fn save_tickets(&mut self) {
        if let (Some(kept), Some(address)) = (&mut self.kept, self.addresses.first()) {
            kept.save(&self.tickets, address.port());
        }
    }

    fn tell_ticket(&self, secret: Secret) {
        let ticket =
            Ticket { key: self.env.identity.node_id(), addresses: self.addresses.clone(), secret: Some(secret) };
        self.observer.event(&Event::Ticket { uri: ticket.to_string() });
    }

    /// When the present ticket expires, if that is all there is to wait for or another one takes its place.
    pub(super) fn ticket_expires(&self) -> Option<Instant> {
        let matters = self.running.is_empty() || matches!(self.options.stay, Stay::Keep { .. });
        self.tickets.expires().filter(|_| matters)
    }

    /// Whether nobody is here, and it is time that somebody comes. One that stays for ever has waited once somebody came.
    pub(super) fn is_waiting(&self) -> bool {
        let came = matches!(self.options.stay, Stay::Keep { .. }) && self.admitted > 0;
        self.running.is_empty() && !came
    }

    /// Hears what a new peer has to say, if not too many are being heard.
    pub(super) fn greet(&mut self, arrival: Arrival<Arc<Pilot>>) {
        let theirs = self.greeted.entry(arrival.connection.remote_address().ip()).or_insert(0);
        let free = MAX_GREETINGS.saturating_sub(self.greetings.len());
        if free > 0 && *theirs < free.max(MAX_GREETINGS_EACH) {
            *theirs += 1;
            self.greetings.spawn(greet(arrival, self.options.contimeout));
        }
        self.greeted.retain(|_, count| *count > 0);
    }

    /// Lets in or sends away who has said hello, until there is something to tell. Nothing is lost if the future is dropped.
    pub(super) async fn next(&mut self) -> Happened {
        loop {
            tokio::select! {
                biased;
                Some(greeted) = self.greetings.join_next() => {
                    let (address, greeted) = unpanicked(greeted);
                    if let Entry::Occupied(mut theirs) = self.greeted.entry(address) {
                        *theirs.get_mut() -= 1;
                        if *theirs.get() == 0 {
                            theirs.remove();
                        }
                    }
                    match greeted {
                        Ok(guest) => match self.admission(&guest) {
                            Ok(pass) => self.let_in(guest, pass),
                            Err(refused) => {
                                let honest = refused.class == Class::Busy;
                                self.send_away(guest, refused);
                                if !honest {
                                    return Happened::Failed(address);
                                }
                            }
                        },
                        Err(error) => {
                            let message = format!("{address} said no hello: {error}");
                            if let Some(message) = self.warnings.tell(now(), message) {
                                self.observer.event(&Event::Detail { message });
                            }
                            return Happened::Failed(address);
                        }
                    }
                }
                Some(_) = self.refusals.join_next() => {}
                Some(ended) = self.tasks.join_next() => return Happened::Ended(unpanicked(ended)),
                // Nobody is here: the door has to bring somebody first.
                else => return std::future::pending().await,
            }
        }
    }

    /// Waits until all sessions have ended, which are to be told before.
    pub(super) async fn close(&mut self) {
        self.running.clear();
        while let Some(ended) = self.tasks.join_next().await {
            unpanicked(ended);
        }
        if let Some(kept) = &mut self.kept {
            kept.flush().await;
        }
    }

    /// Takes note of a session's end. The outcome of the whole run, if it is over with that.
    pub(super) fn result(&mut self, ended: Ended) -> Option<Result<Summary, Error>> {
        let Ended { key, number, observer, result } = ended;
        if result.as_ref().is_ok_and(|summary| summary.class == Class::Done) {
            self.tickets.over(key);
            self.save_tickets();
        }
        let ours = self.running.get(&key).is_some_and(|running| running.number == number);
        let counts = ours && self.running.remove(&key).is_some_and(|running| !running.repeats);
        if self.options.stay == Stay::Once {
            return ours.then_some(result);
        }
        let class = result.as_ref().map_or_else(Error::class, |summary| summary.class);
        let summary = result.as_ref().ok();
        observer.event(&Event::SessionEnd {
            exit: class.code(),
            class,
            files: summary.map_or(0, |summary| summary.files),
            bytes_literal: summary.map_or(0, |summary| summary.bytes_literal),
            bytes_matched: summary.map_or(0, |summary| summary.bytes_matched),
            message: result.as_ref().err().map(ToString::to_string),
        });
        if !counts {
            return None;
        }
        self.over += 1;
        self.worst = self.worst.worse(class);
        self.failed += u64::from(result.is_err());
        if let Ok(summary) = result {
            self.total.add(&summary);
        }
        if self.options.stay != Stay::Count(self.over) {
            return None;
        }
        let mut total = std::mem::replace(&mut self.total, Summary::NOTHING);
        total.class = Class::of_run(Some(self.worst), total.files);
        Some(match self.failed {
            0 => Ok(total),
            failed => Err(Error::Transfers { failed, transfers: self.over, class: total.class }),
        })
    }

    /// Whether the guest may come in.
    fn admission(&self, guest: &Guest) -> Result<Pass, Refused> {
        let (node, hello) = (guest.node, &guest.hello);
        same_version(hello.version)?;
        let key = (node, hello.session);
        let worth = hello.secret.map(|secret| self.tickets.worth(now(), secret, key));
        let mut pass = Pass { secret: None, grant: None, replaces: None, again: self.running.contains_key(&key) };
        match worth {
            Some(Ok(worth)) => {
                pass.secret = hello.secret;
                pass.again |= worth == Worth::Again;
                if let Worth::Other(other) = worth {
                    match self.running.get(&other) {
                        Some(session) if now().saturating_duration_since(session.presence.borrow().heard) >= STALE => {
                            pass.replaces = Some(other);
                        }
                        Some(_) => {
                            return Err(Refused::new(Class::Busy, "another transfer of this ticket is under way"));
                        }
                        None => return Err(Refused::new(Class::Authentication, "the ticket has been used")),
                    }
                }
            }
            other => {
                let granted = (self.env.authorized)(node).unwrap_or_else(|error| {
                    let message = format!("nobody is let in by key: {error}");
                    self.observer.event(&Event::Detail { message });
                    None
                });
                let Some(grant) = granted else {
                    let tickets = self.options.stay != (Stay::Keep { tickets: false });
                    return Err(stranger(hello, other.and_then(Result::err), tickets));
                };
                pass.grant = Some(grant);
            }
        }
        self.policy(pass.grant.as_ref()).admits(hello).map_err(|(class, message)| Refused::new(class, message))?;
        if !pass.again && pass.replaces.is_none() {
            self.room()?;
        }
        Ok(pass)
    }

    /// Whether another transfer may begin.
    fn room(&self) -> Result<(), Refused> {
        let running = self.running.len();
        let places = match self.options.stay {
            Stay::Once => 1,
            Stay::Count(count) => usize::try_from(count.saturating_sub(self.over)).unwrap_or(usize::MAX),
            Stay::Keep { .. } => usize::MAX,
        };
        if running >= places {
            // There will be no other place when that has ended.
            return Err(Refused::new(Class::Busy, "busy with another transfer, and takes no more"));
        }
        if running >= MAX_SESSIONS {
            let message = format!("{running} transfers are under way");
            return Err(Refused { retry_after: COME_AGAIN, ..Refused::new(Class::Busy, message) });
        }
        Ok(())
    }

    fn let_in(&mut self, guest: Guest, pass: Pass) {
        let key = (guest.node, guest.hello.session);
        if let Some(other) = pass.replaces {
            // Its session ends because nobody can visit it any more.
            self.running.remove(&other);
        }
        let mut repeats = pass.again;
        let guest = match self.running.get(&key) {
            Some(session) => match session.visits.send(guest) {
                Ok(()) => return,
                // It has just ended, and this one counts in its place.
                Err(mpsc::error::SendError(guest)) => {
                    repeats = session.repeats;
                    guest
                }
            },
            None => guest,
        };
        let disk = match pass.grant.as_ref().and_then(|grant| grant.dir.as_ref()) {
            None => Ok(self.disk.clone()),
            Some(_) => self.options.policy.destination(&self.env, &self.dir(pass.grant.as_ref())),
        };
        let disk = match disk {
            Ok(disk) => disk,
            Err(error) => {
                // What is wrong here is none of the sender's business.
                self.observer.event(&Event::Warning { message: format!("cannot serve {}: {error}", guest.node) });
                return self.send_away(guest, Refused::new(Class::FileIo, "cannot use the folder of this sender"));
            }
        };
        if let Some(secret) = pass.secret {
            self.tickets.spend(secret, key);
            self.save_tickets();
        }
        self.admitted += 1;
        self.start(key, guest, disk, pass.grant, repeats);
        let more = match self.options.stay {
            Stay::Once => false,
            Stay::Count(count) => self.tickets.issued() < count,
            Stay::Keep { tickets } => tickets,
        };
        if more && self.tickets.expires().is_none() {
            self.issue_ticket();
        }
    }

    fn start(&mut self, key: Key, guest: Guest, disk: Arc<dyn Disk>, grant: Option<Grant>, repeats: bool) {
        let observer = if self.options.stay == Stay::Once {
            self.observer.clone()
        } else {
            let address = guest.inward.connection.remote_address().to_string();
            let peer = grant.as_ref().and_then(|grant| grant.name.clone()).unwrap_or(address);
            let tag = SessionTag { session: key.1.to_string(), peer };
            Arc::new(Tagged { tag, observer: self.observer.clone() })
        };
        let place = Place {
            blocking: self.env.blocking,
            disk,
            policy: self.policy(grant.as_ref()),
            retry_for: self.options.retry_for,
            most: self.options.stop.bytes,
            stop_at: None,
            observer: observer.clone(),
            cancel: self.cancel.clone(),
            stays: matches!(self.options.stay, Stay::Keep { .. }),
            pool: self.pool.clone(),
            sessions: self.env.sessions.clone(),
            dir: self.dir(grant.as_ref()),
        };
        let (visits, coming) = mpsc::unbounded_channel();
        let (tell, presence) = Presence::channel();
        let number = self.admitted;
        self.running.insert(key, Running { number, visits, presence, repeats });
        self.tasks.spawn(async move {
            let result = receive(place, guest, coming, tell).await;
            Ended { key, number, observer, result }
        });
    }

    /// Where the files of a sender go that was let in for this.
    fn dir(&self, grant: Option<&Grant>) -> PathBuf {
        let dir = grant.and_then(|grant| grant.dir.as_ref());
        dir.map_or_else(|| self.options.dir.clone(), |dir| self.options.dir.join(dir))
    }

    /// What is taken of a sender that was let in for this.
    fn policy(&self, grant: Option<&Grant>) -> Policy {
        self.options.policy.within(grant.and_then(|grant| grant.quota))
    }

    fn send_away(&mut self, guest: Guest, refused: Refused) {
        let (node, cause) = (guest.node, &refused.message);
        let advice = match refused.class {
            Class::Authentication => format!("; to let it in always: resilient key allow {node}"),
            _ => String::new(),
        };
        let message = format!("refused {node}: {cause}{advice}");
        if let Some(message) = self.warnings.tell(now(), message) {
            self.observer.event(&Event::Warning { message });
        }
        if self.refusals.len() < MAX_REFUSALS {
            self.refusals.spawn(refuse(guest, refused, self.cancel.clone()));
        } else {
            guest.inward.connection.close(close::REFUSED.into(), b"refused");
        }
    }
}
