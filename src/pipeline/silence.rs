//! How long the other side of a connection has been silent, for whoever may try another way meanwhile.
//!
//! Invariant: being told of what is heard costs next to nothing, so it is told at every packet. What is done about silence is the caller's.

use crate::network::seam::{now, sleep_until};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// When it was heard last.
#[derive(Clone, Debug)]
pub(super) struct Heard(Arc<Mutex<Instant>>);

/// Between two looks whether it is heard again.
const LOOK: Duration = Duration::from_millis(500);

impl Heard {
    /// One who tells and one who asks. Before anything is heard, it counts from now.
    pub(super) fn channel() -> (Heard, Heard) {
        let heard = Heard(Arc::new(Mutex::new(now())));
        (heard.clone(), heard)
    }

    /// It was heard at that time.
    pub(super) fn tell(&self, at: Instant) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = at;
    }

    /// When it was.
    pub(super) fn last(&self) -> Instant {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns once it was silent for so long.
    pub(super) async fn silent_for(&self, span: Duration) {
        silent_for(|| self.last(), span).await;
    }

    /// Returns once it was not silent for so long.
    pub(super) async fn again(&self, span: Duration) {
        again(|| self.last(), span).await;
    }
}

/// Returns once nothing was heard for so long; `last` says when something was.
pub(super) async fn silent_for(last: impl Fn() -> Instant, span: Duration) {
    while now() < last() + span {
        sleep_until(Some(last() + span)).await;
    }
}

/// Returns once something was.
pub(super) async fn again(last: impl Fn() -> Instant, span: Duration) {
    while now() >= last() + span {
        tokio::time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn silence_is_counted_from_what_was_heard_last() {
        let (teller, asker) = Heard::channel();
        let (began, minute) = (now(), Duration::from_secs(60));
        let speaks = async {
            tokio::time::sleep(Duration::from_secs(50)).await;
            teller.tell(now());
        };
        tokio::join!(speaks, asker.silent_for(minute));
        assert_eq!((now() - began).as_secs(), 110);
        let speaks = async {
            tokio::time::sleep(Duration::from_secs(5)).await;
            teller.tell(now());
        };
        tokio::join!(speaks, asker.again(minute));
        assert!((now() - began).as_secs() <= 116);
    }
}
