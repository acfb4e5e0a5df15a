//! A wish to stop, told once to everyone who waits for it.
//!
//! Set from the thread of signals or from an output that lost its reader; waited for by the run. It is never taken back.

use crate::pipeline;
use std::sync::Arc;
use tokio::sync::watch;

/// Shared by all its clones.
#[derive(Clone, Debug)]
pub(super) struct Cancel {
    tell: Arc<watch::Sender<bool>>,
    told: pipeline::Cancel,
}

impl Cancel {
    pub(super) fn new() -> Cancel {
        let (tell, told) = pipeline::Cancel::channel();
        Cancel { tell: Arc::new(tell), told }
    }

    /// Asks for the end.
    pub(super) fn cancel(&self) {
        self.tell.send_replace(true);
    }

    /// The side that the library waits on: returns once the end was asked for, at once if that was before.
    pub(super) fn told(&self) -> pipeline::Cancel {
        self.told.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn early_and_late_waiters_are_told() {
        let cancel = Cancel::new();
        let early = cancel.told();
        cancel.clone().cancel();
        early.cancelled().await;
        cancel.told().cancelled().await;
    }
}
