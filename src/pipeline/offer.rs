//! `resilient send --offer`: wait for one receiver that dials, and send to it.
//!
//! 1. count the sources, listen, make a ticket; 2. hear what whoever connects asks for, and serve the first key that shows the ticket;
//!    3. from there on all is as in [`super::send()`]; a receiver that is lost may dial again and goes on where it was.

use super::admission::{Tickets, Worth, same_version};
use super::connect::{Door, Listen, hang_up, listen};
use super::greet::{Caller, Refused, listen_to, turn_away};
use super::ingest::Pipe;
use super::send::{Cargo, Outlet, SendOptions, Unfinished, transfer};
use super::silence::Heard;
use super::{Cancel, Env, Error, RetryFor, Summary, close};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::network::seam::{now, sleep_until};
use crate::ticket::{Secret, Ticket};
use crate::wire::control::SessionId;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// Receivers that are connected and have not yet asked.
const MAX_CALLERS: usize = 64;
/// The same from one address: silence alone must not keep the right one out.
const MAX_CALLERS_EACH: usize = 8;
/// Receivers that are being turned away.
const MAX_REFUSALS: usize = 32;
/// All that is sent here is one session.
const THE_SESSION: SessionId = SessionId([0; 16]);

/// How to wait for the receiver.
#[derive(Clone, Debug)]
pub struct Offering {
    /// Where to listen.
    pub listen: Listen,
    /// How long the ticket can be spent.
    pub ticket_life: Duration,
    /// How long to wait for somebody to come.
    pub wait_for: Option<Duration>,
}

impl Default for Offering {
    fn default() -> Self {
        Self { listen: Listen::default(), ticket_life: Duration::from_secs(3600), wait_for: None }
    }
}

/// A transfer under way.
type Serving<'a> = Pin<Box<dyn Future<Output = Result<Summary, Unfinished>> + Send + 'a>>;

/// Sends what `options` says to the one receiver that dials with the ticket. Whom `options` would dial does not matter.
pub async fn offer(
    env: &Env,
    options: SendOptions,
    offering: Offering,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
    let family = options.family;
    let cargo = Cargo::new(env, options, observer.clone(), cancel.clone()).await?;
    let mut door = listen(env, offering.listen, family)?;
    let addresses = door.for_ticket()?;
    let mut tickets = Tickets::new(offering.ticket_life);
    let mut secret = [0; 16];
    (env.random)(&mut secret);
    let secret = Secret::from_bytes(secret);
    tickets.issue(&secret, now());
    let ticket = Ticket { key: env.identity.node_id(), addresses, secret: Some(secret) };
    observer.event(&Event::Ticket { uri: ticket.to_string() });
    if door.moved {
        let message = format!("UDP port {} is taken; listening on another one", offering.listen.port);
        observer.event(&Event::Detail { message });
    }
    let ended = serve(&cargo, &mut door, &mut tickets, &offering).await;
    let code = if ended.is_ok() { close::DONE } else { close::BROKEN_OFF };
    hang_up(&door.endpoint, code).await;
    ended
}

async fn serve(cargo: &Cargo, door: &mut Door, tickets: &mut Tickets, offering: &Offering) -> Result<Summary, Error> {
    let Cargo { observer, cancel, stop_at, options, .. } = cargo;
    let mut callers: JoinSet<(IpAddr, Result<Caller, Error>)> = JoinSet::new();
    let mut called: BTreeMap<IpAddr, usize> = BTreeMap::new();
    let mut refusals: JoinSet<()> = JoinSet::new();
    let mut serving: Option<Serving<'_>> = None;
    let mut lost: Option<(Instant, Error)> = None;
    let nobody_by = offering.wait_for.map(|span| now() + span);
    loop {
        let unspent = tickets.expires();
        let given_up = match (&lost, options.retry_for) {
            (Some((since, _)), RetryFor::Span(span)) => Some(*since + span),
            _ => None,
        };
        tokio::select! {
            biased;
            // A transfer under way says goodbye itself.
            () = cancel.cancelled(), if serving.is_none() => return Err(Error::Interrupted),
            () = sleep_until(*stop_at), if serving.is_none() => return Err(Error::Stopped),
            Some(arrival) = door.next() => {
                let theirs = called.entry(arrival.connection.remote_address().ip()).or_insert(0);
                if callers.len() < MAX_CALLERS && *theirs < MAX_CALLERS_EACH {
                    *theirs += 1;
                    callers.spawn(listen_to(arrival, options.contimeout));
                }
                called.retain(|_, count| *count > 0);
            }
            Some(heard) = callers.join_next() => {
                let (address, heard) = heard.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
                if let Some(theirs) = called.get_mut(&address) {
                    *theirs -= 1;
                    called.retain(|_, count| *count > 0);
                }
                let Ok(caller) = heard else {
                    door.failed(address);
                    continue;
                };
                match judge(tickets, &caller) {
                    Ok(secret) => {
                        tickets.spend(secret, (caller.node, THE_SESSION));
                        let outlet = Outlet {
                            connection: caller.connection,
                            pilot: caller.pilot,
                            replies: caller.replies,
                            endpoint: door.endpoint.clone(),
                            peer: caller.node,
                            secret: None,
                            heard: Heard::channel().0,
                        };
                        // The receiver has dialled again: whatever was under way on its last connection is over.
                        serving = Some(Box::pin(transfer(cargo, outlet, now() + options.contimeout)));
                        lost = None;
                    }
                    Err(refused) => {
                        door.failed(address);
                        let message = format!("refused {}: {}", caller.node, refused.message);
                        observer.event(&Event::Detail { message });
                        if refusals.len() < MAX_REFUSALS {
                            refusals.spawn(turn_away(caller, refused, cancel.clone()));
                        }
                    }
                }
            }
            Some(_) = refusals.join_next() => {}
            ended = served(&mut serving) => {
                serving = None;
                let once = options.pipe.as_ref().is_some_and(Pipe::is_begun);
                match ended {
                    Ok(summary) => return Ok(summary),
                    // Nothing is left that a receiver could come back to.
                    Err(Unfinished { error, .. }) if once => return Err(error),
                    Err(Unfinished { error: error @ (Error::Lost { .. } | Error::Gone | Error::Away | Error::Silent { .. } | Error::SameSide { .. } | Error::Connect(_)), .. }) => {
                        let message = format!("{error}; waiting for the receiver to come back");
                        observer.event(&Event::Warning { message });
                        lost = Some((now(), error));
                    }
                    Err(Unfinished { error, .. }) => return Err(error),
                }
            }
            () = sleep_until(given_up) => return Err(lost.map_or(Error::Bug, |(_, error)| error)),
            () = sleep_until(nobody_by), if unspent.is_some() => {
                return Err(Error::NobodyWithin { span: offering.wait_for.unwrap_or_default() });
            }
            () = sleep_until(unspent) => return Err(Error::NobodyCame),
        }
    }
}

async fn served(serving: &mut Option<Serving<'_>>) -> Result<Summary, Unfinished> {
    match serving {
        Some(serving) => serving.await,
        None => std::future::pending().await,
    }
}

/// The secret of a receiver that is to be served.
fn judge(tickets: &Tickets, caller: &Caller) -> Result<[u8; 16], Refused> {
    same_version(caller.version)?;
    let Some(secret) = caller.secret else {
        return Err(Refused::new(Class::Authentication, "asks for the ticket that was printed there"));
    };
    match tickets.worth(now(), secret, (caller.node, THE_SESSION)) {
        Ok(Worth::New | Worth::Again | Worth::Other(_)) => Ok(secret),
        Err(cause) => Err(Refused::new(Class::Authentication, cause)),
    }
}
