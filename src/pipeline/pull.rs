//! `resilient recv TICKET`: dial a sender that offers something, and receive it.
//!
//! 1. open the destination; 2. dial the node that the ticket names, ask, and wait for its hello; 3. from there on all is as in
//!    [`super::recv()`]; when the connection is lost, dial again.

use super::connect::{Line, Peer, Ports, dial, hang_up};
use super::greet::{Guest, Refused, ask, refuse};
use super::recv::{claim, with_traffic};
use super::retries::{Retries, next, pauses};
use super::send::Stop;
use super::session::{Place, Presence, receive};
use super::silence::{self, Heard};
use super::{Cancel, Env, Error, Family, Policy, RetryFor, Summary, close};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::network::dial::ConnectError;
use crate::network::endpoint::Endpoint;
use crate::network::seam::{now, sleep_until};
use crate::transfer::share::Shares;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, watch};

/// Pause before a connection that broke before it was of any use is made again.
const REDIAL: Duration = Duration::from_millis(200);

/// What `recv TICKET` is to do.
#[derive(Clone, Debug)]
pub struct PullOptions {
    /// Where files go.
    pub dir: PathBuf,
    /// Who offers.
    pub peer: Peer,
    /// Which addresses may be used.
    pub family: Family,
    /// Where to dial from.
    pub ports: Ports,
    /// Time to a usable connection.
    pub contimeout: Duration,
    /// How long to try to reach a sender that was lost.
    pub retry_for: RetryFor,
    /// After how much silence another connection is tried as well.
    pub timeout: Duration,
    /// Bytes per second that the sender may send.
    pub allowed: Option<NonZeroU32>,
    /// What is taken, and what is done with what stands there.
    pub policy: Policy,
    /// When to stop although there is more to receive.
    pub stop: Stop,
    /// Do not share the destination with another run; wait for this long for one that has it.
    pub lock: Option<Duration>,
}

/// Receives into `options.dir` what the sender offers; see the module.
pub async fn pull(
    env: &Env,
    options: PullOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Error> {
    let disk = options.policy.destination(env, &options.dir)?;
    let _claim = claim(env, options.lock, &options.policy, &options.dir, &*observer, &cancel).await?;
    let began = now();
    let stop_at = options.stop.after.map(|after| began + after);
    let mut retries = Retries::new(began, options.retry_for);
    let (guest, mut endpoint) = loop {
        let by = now() + options.contimeout;
        let reached = tokio::select! {
            biased;
            () = cancel.cancelled() => return Err(Error::Interrupted),
            () = sleep_until(stop_at) => return Err(Error::Stopped),
            reached = reach(env, &options, by, &*observer, &cancel) => reached,
        };
        match reached {
            Ok(reached) => break reached,
            Err(error) => retries.wait(error, stop_at, &*observer, &cancel).await?,
        }
    };
    if let Err((class, message)) = options.policy.admits(&guest.hello) {
        refuse(guest, Refused::new(class, message.clone()), cancel).await;
        hang_up(&endpoint, close::REFUSED).await;
        return Err(Error::Declined { class, message });
    }
    let place = Place {
        blocking: env.blocking,
        disk,
        policy: options.policy.clone(),
        retry_for: options.retry_for,
        most: options.stop.bytes,
        stop_at,
        observer: observer.clone(),
        cancel: cancel.clone(),
        stays: false,
        pool: Arc::new(Mutex::new(Shares::new(options.allowed))),
        sessions: env.sessions.clone(),
        dir: options.dir.clone(),
    };
    let (visits, coming) = mpsc::unbounded_channel();
    let (tell, mut presence) = Presence::channel();
    let watching = presence.clone();
    // A new connection is not silent before it was given its time.
    let (renewed, since) = Heard::channel();
    let heard = || watching.borrow().heard.max(since.last());
    let ended = {
        let mut receiving = Box::pin(receive(place, guest, coming, tell));
        loop {
            tokio::select! {
                biased;
                ended = &mut receiving => break ended,
                () = lost(&mut presence) => {}
                () = silence::silent_for(&heard, options.timeout), if env.link.is_none() => {}
            }
            let was_lost = !presence.borrow().connected;
            let again = tokio::select! {
                biased;
                // Gives up by itself once the sender was lost for too long.
                ended = &mut receiving => break ended,
                again = reach_again(env, &options, &*observer, &cancel) => again,
                () = silence::again(&heard, options.timeout), if !was_lost => continue,
            };
            match again {
                Ok((guest, newer)) => {
                    endpoint = newer;
                    presence.mark_unchanged();
                    renewed.tell(now());
                    // The session takes it as long as it runs, and how it ends is seen above.
                    let _ = visits.send(guest);
                }
                // The connection that there is may be heard again, and is probed on.
                Err(error) if !was_lost => {
                    observer.event(&Event::Detail { message: format!("no other connection: {error}") });
                    renewed.tell(now());
                }
                Err(error) => {
                    drop(visits);
                    let _ = receiving.await;
                    break Err(error);
                }
            }
        }
    };
    let done = ended.as_ref().is_ok_and(|summary| summary.class == Class::Done);
    hang_up(&endpoint, if done { close::COMPLETE } else { close::STOPPED }).await;
    ended.map(|summary| with_traffic(summary, &endpoint.traffic))
}

/// Returns once the session has no connection.
async fn lost(presence: &mut watch::Receiver<Presence>) {
    if presence.wait_for(|presence| !presence.connected).await.is_err() {
        // The session has ended, and says so itself.
        std::future::pending::<()>().await;
    }
}

/// Dials and asks until the sender says hello.
async fn reach(
    env: &Env,
    options: &PullOptions,
    by: Instant,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<(Guest, Endpoint), Error> {
    let secret = options.peer.secret.as_ref().map(|secret| *secret.as_bytes());
    loop {
        let left = by.saturating_duration_since(now());
        let line = dial(env, &options.peer, options.family, options.ports, left).await;
        let line: Line = line.map_err(|error| error.within(options.contimeout))?;
        match ask(&line, line.peer, secret, by.saturating_duration_since(now()), cancel.clone()).await {
            Ok(guest) => return Ok((guest, line.endpoint)),
            // A connection that broke before the sender has answered was never one.
            Err(Error::Lost { cause }) if now() < by => {
                observer.event(&Event::Detail { message: format!("no answer yet ({cause}); connecting again") });
            }
            Err(Error::Silent { .. }) => {
                return Err(ConnectError::NoContact { after: options.contimeout, besides: None }.into());
            }
            Err(error) => {
                hang_up(&line.endpoint, close::STOPPED).await;
                return Err(error);
            }
        }
        hang_up(&line.endpoint, close::STOPPED).await;
        tokio::time::sleep(REDIAL).await;
    }
}

/// The same after the connection was lost: for as long as the session waits.
async fn reach_again(
    env: &Env,
    options: &PullOptions,
    observer: &dyn Observer,
    cancel: &Cancel,
) -> Result<(Guest, Endpoint), Error> {
    let (mut pauses, mut attempt) = (pauses(), 1);
    loop {
        match reach(env, options, now() + options.contimeout, observer, cancel).await {
            Err(error) if error.class().is_transient() => {
                attempt += 1;
                let pause = next(&mut pauses);
                let in_ms = pause.as_millis() as u64;
                observer.event(&Event::Retry { attempt, in_ms, cause: error.to_string() });
                tokio::time::sleep(pause).await;
            }
            reached => return reached,
        }
    }
}
