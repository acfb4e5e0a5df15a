//! The session of a sender from one run to the next: what was typed, whom it is for, how far it is and how it ended.
//!
//! Invariant: of two runs that send the same to the same node at the same time only one has the session, for as long as it runs. The receiver is the truth about
//! what it has: what stands here is for people, and for `resilient resume`. What cannot be remembered costs nothing but that.

use super::{Cargo, session_id};
use crate::event::{Event, Observer};
use crate::network::seam::Blocking;
use crate::node_id::NodeId;
use crate::pipeline::progress::TICK;
use crate::pipeline::sessions::{self, Journal, claimed};
use crate::pipeline::{Error, Summary};
use crate::session::{Begin, Claim, Key, Role};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// The session of this run.
pub(in crate::pipeline) struct Kept {
    journal: Journal,
    blocking: Blocking,
    _claim: Option<Claim>,
}

impl Kept {
    /// The session of `cargo` for `peer`, which no other run has then. None where nothing is remembered, and for what can be read only once.
    pub(super) async fn open(cargo: &Cargo, peer: NodeId) -> Result<Option<Kept>, Error> {
        let Cargo { env, options, totals, nonce, observer, cancel, .. } = cargo;
        let Some(sessions) = env.sessions.clone().filter(|_| nonce.is_none()) else { return Ok(None) };
        let key = Key { role: Role::Send, session: session_id(env, peer, None, options).0, place: Vec::new() };
        let claim = sessions.claim(&claimed(&key), options.lock_wait, &**observer, cancel).await?;
        let begin = Begin {
            key,
            command: sessions.command.clone(),
            peer: peer.to_string(),
            location: sessions.location.clone(),
            files: totals.files,
            bytes: totals.bytes,
        };
        match env.blocking.run(move || sessions.open(begin)).await {
            Ok(remembered) => Ok(Some(Kept { journal: remembered.journal, blocking: env.blocking, _claim: claim })),
            Err(error) => {
                observer.event(&Event::Warning { message: format!("this transfer is not remembered: {error}") });
                Ok(None)
            }
        }
    }

    /// Writes down once a second how far it is, for ever.
    pub(super) async fn follow(&self, done: &AtomicU64) {
        let mut last = None;
        loop {
            tokio::time::sleep(TICK).await;
            let done = done.load(Ordering::Relaxed);
            if last != Some(done) {
                last = Some(done);
                let journal = self.journal.clone();
                // Its end tells if nothing can be written.
                let _ = self.blocking.run(move || journal.advance(done)).await;
            }
        }
    }

    /// Writes down how it ended, and how far it was.
    pub(super) async fn end(
        self,
        result: Result<Summary, Error>,
        done: &AtomicU64,
        observer: &dyn Observer,
    ) -> Result<Summary, Error> {
        self.journal.reached(done.load(Ordering::Relaxed));
        sessions::close(self.journal, result, self.blocking, observer).await
    }
}

/// Hands everything on, and keeps how far the transfer is.
pub(super) struct Following {
    pub(super) observer: Arc<dyn Observer>,
    pub(super) done: Arc<AtomicU64>,
}

impl Observer for Following {
    fn event(&self, event: &Event) {
        let done = match event {
            Event::Progress(progress) => progress.bytes_done,
            // The last word of a connection, which may be younger than the last progress.
            Event::SoFar(so_far) => so_far.bytes_literal + so_far.bytes_matched,
            _ => 0,
        };
        self.done.fetch_max(done, Ordering::Relaxed);
        self.observer.event(event);
    }
}
