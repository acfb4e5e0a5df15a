//! The tickets of a receiver from one run to the next: who runs the same `recv` again finds the tickets that it had given out still good, at
//! the same port.
//!
//! Invariant: of two receivers for the same place at the same time only one has the tickets of the last run, so none is good at two doors.
//! What cannot be remembered costs nothing but that.

use crate::event::{Event, Observer};
use crate::network::seam::{Blocking, now};
use crate::pipeline::admission::{Saved, Tickets};
use crate::pipeline::{Env, RecvOptions, Sessions};
use crate::session::{Claim, StoreError};
use crate::ticket::Secret;
use crate::wire::codec;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// How long tickets are remembered: as long as a session can be taken up.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// The tickets of this place.
pub(super) struct Kept {
    sessions: Sessions,
    place: Vec<u8>,
    blocking: Blocking,
    port: Option<u16>,
    saved: Option<Saved>,
    /// Saves so far, and the newest that was written.
    saves: u64,
    written: Arc<Mutex<u64>>,
    last: Option<JoinHandle<()>>,
    _claim: Claim,
}

impl Kept {
    /// The tickets for what `options` say, if they are remembered, for one who has claimed that.
    pub(super) fn open(env: &Env, options: &RecvOptions, claim: Claim, observer: &dyn Observer) -> Option<Kept> {
        let sessions = env.sessions.clone()?;
        // One that writes to a stream never goes on.
        let place = options.policy.place.identity(&options.dir)?;
        match Self::load(sessions, place, claim, env.blocking) {
            Ok(kept) => Some(kept),
            Err(error) => {
                let message = format!("tickets are not remembered: {error}");
                observer.event(&Event::Detail { message });
                None
            }
        }
    }

    fn load(sessions: Sessions, place: Vec<u8>, claim: Claim, blocking: Blocking) -> Result<Kept, StoreError> {
        let known = sessions.store.invitation(&place, (sessions.wall)())?;
        // What another version wrote is as good as nothing.
        let known = known.and_then(|bytes| codec::decode::<(u16, Saved)>(&mut &bytes[..], "tickets").ok());
        let (port, saved) = known.map_or((None, None), |(port, saved)| (Some(port), Some(saved)));
        let written = Arc::default();
        Ok(Kept { sessions, place, blocking, port, saved, saves: 0, written, last: None, _claim: claim })
    }

    /// The port that the tickets name.
    pub(super) fn port(&self) -> Option<u16> {
        self.port
    }

    /// Goes on with the tickets of the last run. The secret of one that can be used still.
    pub(super) fn restore(&mut self, tickets: &mut Tickets) -> Option<Secret> {
        let saved = self.saved.take()?;
        tickets.restore(saved, now(), (self.sessions.wall)())
    }

    /// Remembers the tickets as they are now, for a receiver at this port. Returns at once.
    pub(super) fn save(&mut self, tickets: &Tickets, port: u16) {
        let wall = (self.sessions.wall)();
        let mut bytes = Vec::new();
        codec::encode(&(port, tickets.save(now(), wall)), &mut bytes);
        self.saves += 1;
        let (store, place, written, this) =
            (self.sessions.store.clone(), self.place.clone(), self.written.clone(), self.saves);
        let work = self.blocking.run(move || {
            let mut written = written.lock().unwrap_or_else(PoisonError::into_inner);
            if this > *written && store.keep_invitation(&place, &bytes, wall + KEPT).is_ok() {
                *written = this;
            }
        });
        self.last = Some(tokio::spawn(work));
    }

    /// Waits until what was saved last is written.
    pub(super) async fn flush(&mut self) {
        if let Some(last) = self.last.take() {
            // A panic there has cost no more than what is remembered.
            let _ = last.await;
        }
    }
}
