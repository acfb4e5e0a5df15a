//! `resilient recv`: wait for senders and write what they send.
//!
//! 1. open the destination, listen, make a ticket; 2. greet whoever connects and admit who holds a ticket or an authorised key; 3. each
//!    session runs on a task of its own (`session`) and gets a part of the memory and of the link; one that fails ends alone;
//!    4. it is over after one transfer, after as many as were asked for, or never.

mod kept;
mod reception;
mod warnings;

use super::connect::{Listen, hang_up, listen};
use super::send::Stop;
use super::{Cancel, Env, Error, Family, Policy, RetryFor, Summary, close};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::network::copies::Traffic;
use crate::network::seam::{now, sleep_until};
use crate::session::Claim;
use crate::unit::Span;
use kept::Kept;
use reception::{Happened, Reception};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// For how many transfers a receiver stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Stay {
    /// One.
    #[default]
    Once,
    /// So many, well or badly ended; several of them at once.
    Count(u64),
    /// Until it is interrupted.
    Keep {
        /// Whether there are tickets, one after the other; else only authorised keys are let in.
        tickets: bool,
    },
}

/// What `recv` is to do.
#[derive(Clone, Debug)]
pub struct RecvOptions {
    /// Where files go.
    pub dir: PathBuf,
    /// Where to listen.
    pub listen: Listen,
    /// Which addresses may be used.
    pub family: Family,
    /// For how many transfers to stay.
    pub stay: Stay,
    /// How long a ticket can be spent.
    pub ticket_life: Duration,
    /// How long to wait for somebody to come.
    pub wait_for: Option<Duration>,
    /// Time for a peer that has connected to say its hello.
    pub contimeout: Duration,
    /// How long to wait for a sender that was lost.
    pub retry_for: RetryFor,
    /// Bytes per second that all senders together may send.
    pub allowed: Option<NonZeroU32>,
    /// What is taken, and what is done with what stands there.
    pub policy: Policy,
    /// When to stop although there is more to receive.
    pub stop: Stop,
    /// Do not share the destination with another run; wait for this long for one that has it.
    pub lock: Option<Duration>,
}

impl RecvOptions {
    /// One transfer into `dir`, and the defaults of the command for all else.
    pub fn into_dir(dir: impl Into<PathBuf>) -> RecvOptions {
        RecvOptions {
            dir: dir.into(),
            listen: Listen::default(),
            family: Family::Any,
            stay: Stay::Once,
            ticket_life: Duration::from_secs(3600),
            wait_for: None,
            contimeout: Duration::from_secs(30),
            retry_for: RetryFor::Span(Duration::from_secs(600)),
            allowed: None,
            policy: Policy::default(),
            stop: Stop::default(),
            lock: None,
        }
    }
}

/// Receives into `options.dir`; see the module. Several transfers: the class of the worst is the error's, and each has told its end.
pub async fn recv(
    env: &Env,
    options: RecvOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
    let disk = options.policy.destination(env, &options.dir)?;
    let claim = claim(env, options.lock, &options.policy, &options.dir, &*observer, &cancel).await?;
    let has_tickets = options.stay != (Stay::Keep { tickets: false });
    let (kept, _claim) = match claim {
        Some(claim) if has_tickets => (Kept::open(env, &options, claim, &*observer), None),
        claim => (None, claim),
    };
    // The tickets of the last run name its port. Whoever has said which port it is to be has said it.
    let again = kept.as_ref().and_then(Kept::port).filter(|_| options.listen.or_any || options.listen.port == 0);
    let where_to = again.map_or(options.listen, |port| Listen { port, or_any: true, ..options.listen });
    let mut door = listen(env, where_to, options.family)?;
    let mut reception =
        Reception::new(env, &options, disk, door.addresses.clone(), kept, observer.clone(), cancel.clone());
    if has_tickets {
        door.for_ticket()?;
        reception.first_ticket();
    } else {
        let addresses: Vec<String> = door.addresses.iter().map(ToString::to_string).collect();
        observer.event(&Event::Detail { message: format!("waiting at {}", addresses.join(", ")) });
    }
    if door.moved {
        let message = format!("UDP port {} is taken; listening on another one", where_to.port);
        observer.event(&Event::Detail { message });
    }
    let (mut waiting_since, mut expiry_told) = (now(), false);
    let stop_at = options.stop.after.map(|after| now() + after);
    let ended = loop {
        let expires = match options.retry_for {
            // After it has expired, whoever comes too late is told so for a while; then there is nobody left to wait for.
            RetryFor::Span(span) if expiry_told => reception.ticket_expires().map(|at| at + span),
            RetryFor::Forever if expiry_told => None,
            _ => reception.ticket_expires(),
        };
        let given_up = options.wait_for.filter(|_| reception.is_waiting()).map(|span| waiting_since + span);
        tokio::select! {
            biased;
            () = cancel.cancelled() => {
                reception.close().await;
                break Err(Error::Interrupted);
            }
            () = sleep_until(stop_at) => {
                reception.close().await;
                break Err(Error::Stopped);
            }
            Some(arrival) = door.next() => reception.greet(arrival),
            happened = reception.next() => match happened {
                Happened::Failed(address) => door.failed(address),
                Happened::Ended(ended) => {
                    waiting_since = now();
                    if let Some(result) = reception.result(ended) {
                        reception.close().await;
                        break result;
                    }
                }
            },
            () = sleep_until(given_up) => {
                break Err(Error::NobodyWithin { span: options.wait_for.unwrap_or_default() });
            }
            () = sleep_until(expires) => {
                if matches!(options.stay, Stay::Keep { .. }) {
                    observer.event(&Event::Detail { message: "the ticket expired unused; here is a new one".into() });
                    reception.issue_ticket();
                    continue;
                }
                if expiry_told {
                    break Err(Error::NobodyCame);
                }
                expiry_told = true;
                let life = Span(options.ticket_life);
                observer.event(&Event::Warning {
                    message: format!("the ticket expired unused after {life}; run recv again for a new one"),
                });
            }
        }
    };
    let code = match &ended {
        Ok(summary) if summary.class == Class::Done => close::COMPLETE,
        Ok(_) => close::STOPPED,
        Err(error) => error.closes_with(matches!(options.stay, Stay::Keep { .. })),
    };
    hang_up(&door.endpoint, code).await;
    ended.map(|summary| with_traffic(summary, &door.endpoint.traffic))
}

/// Claims the destination for this run: if `wait` says so, or if it can be had at once.
pub(super) async fn claim(
    env: &Env,
    wait: Option<Duration>,
    policy: &Policy,
    dir: &Path,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<Option<Claim>, Error> {
    match (&env.sessions, wait, policy.place.identity(dir)) {
        (Some(sessions), Some(wait), Some(place)) => sessions.claim(&place, wait, observer, cancel).await,
        (Some(sessions), None, Some(place)) => match sessions.claim(&place, Duration::ZERO, observer, cancel).await {
            Err(Error::Locked) => Ok(None),
            claimed => claimed,
        },
        _ => Ok(None),
    }
}

/// All that crossed the socket belongs to the run.
pub(super) fn with_traffic(mut summary: Summary, traffic: &Traffic) -> Summary {
    let (sent, received) = (traffic.sent_bytes(), traffic.received_bytes());
    summary.bytes_sent = sent;
    for (name, value) in &mut summary.stats {
        match *name {
            "UDP bytes sent" => *value = sent,
            "UDP bytes received" => *value = received,
            _ => {}
        }
    }
    summary
}
