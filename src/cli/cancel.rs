//! A wish to stop, told once to everyone who waits for it.
//!
//! Set from the thread of signals or from an output that lost its reader; waited for by the run. It is never taken back.

use tokio::sync::watch;

/// Shared by all its clones.
#[derive(Clone, Debug)]
pub(super) struct Cancel(watch::Sender<bool>);

impl Cancel {
    pub(super) fn new() -> Cancel {
        Cancel(watch::Sender::new(false))
    }

    /// Asks for the end.
    pub(super) fn cancel(&self) {
        self.0.send_replace(true);
    }

    /// Resolves when the end was asked for, at once if that was before.
    pub(super) fn cancelled(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut receiver = self.0.subscribe();
        async move {
            if receiver.wait_for(|asked| *asked).await.is_err() {
                // Every sender is gone: nobody can ask any more.
                std::future::pending::<()>().await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn early_and_late_waiters_are_told() {
        let cancel = Cancel::new();
        let early = cancel.cancelled();
        cancel.clone().cancel();
        early.await;
        cancel.cancelled().await;
    }
}
