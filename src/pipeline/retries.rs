//! Trying again: when the other side has said that it may be asked again, and when a connection on which we had been let in is gone.
//!
//! Invariant: it ends when the time is over that the user has given (`--retry-for`), and then says what went wrong first. Whether an error may
//! pass is a function of the error. A silent path is not this file's: it is probed on the connection that there is.

use super::connect::{Line, Peer, Ports, dial};
use super::{Cancel, Env, Error, Family, RetryFor};
use crate::event::{Event, Observer};
use crate::link::Link;
use crate::network::dial::ConnectError;
use crate::network::seam::{now, sleep_until};
use crate::unit::Span;
use backoff::backoff::Backoff as _;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};
use std::time::{Duration, Instant};

/// Pause before a connection that is gone is made again, doubled each time, and the longest: whoever was started again is to be found soon.
const AGAIN: Duration = Duration::from_millis(200);
const AGAIN_MOST: Duration = Duration::from_secs(2);
/// How long one of those tries takes at the most. It begins with packets in quick succession, and they become rarer.
const EACH: Duration = Duration::from_secs(5);

/// Pauses between tries to reach one who is expected back: doubled each time, and never long. That nobody tries for ever is the caller's to see to, and
/// nothing is random in them: a simulation is to be repeated.
pub(super) fn pauses() -> ExponentialBackoff {
    ExponentialBackoffBuilder::new()
        .with_initial_interval(AGAIN)
        .with_max_interval(AGAIN_MOST)
        .with_multiplier(2.0)
        .with_randomization_factor(0.0)
        .with_max_elapsed_time(None)
        .build()
}

/// The next of them.
pub(super) fn next(pauses: &mut ExponentialBackoff) -> Duration {
    // It counts in nanoseconds, and rolls dice for the last one.
    let pause = pauses.next_backoff().unwrap_or(AGAIN_MOST);
    Duration::from_micros(pause.as_micros() as u64)
}

/// Makes another connection to `peer`, however long that takes.
pub(super) async fn redial(env: &Env, peer: &Peer, family: Family, ports: Ports) -> Line {
    let mut pauses = pauses();
    loop {
        // Whatever it was that failed: the old connection is still probed, and says in the end what is told.
        if let Ok(line) = dial(env, peer, family, ports, EACH).await {
            return line;
        }
        tokio::time::sleep(next(&mut pauses)).await;
    }
}

/// The tries of one command.
pub(super) struct Retries {
    patience: RetryFor,
    until: Option<Instant>,
    attempt: u32,
    /// Pauses before the next tries, once we had been let in and the connection is gone, and how it went.
    pauses: Option<ExponentialBackoff>,
    cause: Option<Error>,
}

impl Retries {
    pub(super) fn new(began: Instant, patience: RetryFor) -> Retries {
        Retries { patience, until: patience.until(began), attempt: 1, pauses: None, cause: None }
    }

    /// A connection on which we had been let in is gone: from now on there is time to make another one.
    pub(super) fn lost(&mut self) {
        (self.until, self.pauses, self.cause) = (self.patience.until(now()), Some(pauses()), None);
    }

    /// Time to a usable connection, of the `contimeout` that the user has given.
    pub(super) fn deadline(&self, contimeout: Duration, link: Option<Link>) -> Duration {
        if self.pauses.is_some() && link.is_none() { contimeout.min(EACH) } else { contimeout }
    }

    /// Waits for as long as `error` says; gives it back if it will not pass, or not in time.
    pub(super) async fn wait(
        &mut self,
        error: Error,
        stop_at: Option<Instant>,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<(), Error> {
        let pause = match (&error, &mut self.pauses) {
            (Error::Refused { retry_after: Some(pause), .. }, _) => *pause,
            (Error::Lost { .. } | Error::Away | Error::Connect(ConnectError::NoContact { .. }), Some(pauses)) => {
                next(pauses)
            }
            _ => return Err(error),
        };
        if self.until.is_some_and(|until| now() + pause > until) {
            return Err(self.cause.take().unwrap_or(error));
        }
        if let (Error::Away, RetryFor::Span(span)) = (&error, self.patience) {
            let message = format!("{error}; waiting for it to be started again, for {} at the most", Span(span));
            observer.event(&Event::Warning { message });
        }
        self.attempt += 1;
        let in_ms = pause.as_millis() as u64;
        observer.event(&Event::Retry { attempt: self.attempt, in_ms, cause: error.to_string() });
        self.cause.get_or_insert(error);
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(Error::Interrupted),
            () = sleep_until(stop_at) => Err(Error::Stopped),
            () = tokio::time::sleep(pause) => Ok(()),
        }
    }
}
