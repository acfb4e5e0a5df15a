//! What the commands remember of their sessions, from one run to the next.
//!
//! Invariant: a transfer never fails because something could not be remembered: it goes on without, and the user is warned. What is
//! remembered, and how it survives a crash, is [`crate::session`]'s.

use super::greet::Guest;
use super::policy::Place as Destination;
use super::session::Place;
use super::{Error, Summary};
use crate::class::Class;
use crate::event::Event;
use crate::session::{Begin, Key, Landing, Role, State, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

/// The time of the wall clock: it must mean the same to another run.
pub type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where sessions are remembered.
#[derive(Clone)]
pub struct Sessions {
    /// The store of this user.
    pub store: Arc<Store>,
    /// What time it is.
    pub wall: Wall,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// How long an unfinished session can be taken up, and how long one that is over is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

impl Sessions {
    /// The sessions in `store`, without those that are too old. Their partial files are taken away by the disk, which looks at their age itself.
    pub fn new(store: Store, wall: Wall) -> Result<Sessions, StoreError> {
        let now = wall();
        if let Ok(before) = now.checked_sub(KEPT) {
            store.expire(before, now)?;
            store.prune(before)?;
        }
        Ok(Sessions { store: Arc::new(store), wall })
    }

    /// What an earlier run has left of this session. Nothing is written yet: most transfers are over before that is worth it.
    pub(super) fn open(&self, begin: Begin) -> Result<Remembered, StoreError> {
        let known = self.store.get(&begin.key)?.filter(|record| record.state.is_resumable());
        let left = known.as_ref().map_or(Ok(Vec::new()), |record| self.store.landings(record.number))?;
        let journal = Journal {
            sessions: self.clone(),
            begin,
            is_known: known.is_some(),
            number: Arc::default(),
            done: Arc::default(),
        };
        Ok((journal, left))
    }
}

/// The place of a session in the store, and what an earlier run has left of its large files.
pub(super) type Remembered = (Journal, Vec<Landing>);

/// Looks up what an earlier run has left of this session. What goes into a stream leaves nothing.
pub(super) async fn remember(place: &Place, guest: &Guest) -> Option<Remembered> {
    let sessions = place.sessions.clone()?;
    let name = match &place.policy.place {
        Destination::Tree => None,
        Destination::File(name) => Some(name.as_bytes().to_vec()),
        Destination::Stream(_) => return None,
    };
    // The session id is the sender's choice: another sender's is another session.
    let dir = std::path::absolute(&place.dir).unwrap_or_else(|_| place.dir.clone());
    let mut destination = guest.node.as_bytes().to_vec();
    destination.extend_from_slice(dir.as_os_str().as_encoded_bytes());
    destination.extend(name.into_iter().flat_map(|name| [vec![b'/'], name].concat()));
    let begin = Begin {
        key: Key { role: Role::Receive, session: guest.hello.session.0, place: destination },
        command: None,
        peer: guest.node.to_string(),
        location: dir.to_string_lossy().into_owned(),
        files: guest.hello.files,
        bytes: guest.hello.bytes,
    };
    match place.blocking.run(move || sessions.open(begin)).await {
        Ok(remembered) => Some(remembered),
        Err(error) => {
            let message = format!("{error}; a transfer that breaks off will begin its large files again");
            place.observer.event(&Event::Warning { message });
            None
        }
    }
}

/// The place of one session in the store.
#[derive(Clone, Debug)]
pub(super) struct Journal {
    sessions: Sessions,
    begin: Begin,
    /// An earlier run has left something.
    is_known: bool,
    /// Its number there, once something was written.
    number: Arc<OnceLock<i64>>,
    /// Bytes that are here, by the last record.
    done: Arc<AtomicU64>,
}

impl Journal {
    fn number(&self) -> Result<i64, StoreError> {
        if let Some(number) = self.number.get() {
            return Ok(*number);
        }
        let record = self.sessions.store.begin(&self.begin, (self.sessions.wall)())?;
        Ok(*self.number.get_or_init(|| record.number))
    }

    /// Writes down what is durable of large files, what of them is done with, and how far the session is.
    pub(super) fn record(&self, changed: &[Landing], gone: &[String], done: u64) -> Result<(), StoreError> {
        let Sessions { store, wall } = &self.sessions;
        self.done.store(done, Ordering::Relaxed);
        store.record(self.number()?, changed, gone, done, wall())
    }

    /// Writes down how a run ended, if it went well only where something stands there.
    pub(super) fn end(&self, result: &Result<Summary, Error>) -> Result<(), StoreError> {
        let is_done = result.as_ref().is_ok_and(|summary| summary.class == Class::Done);
        if is_done && !self.is_known && self.number.get().is_none() {
            return Ok(());
        }
        let Sessions { store, wall } = &self.sessions;
        let failure = match result {
            Ok(summary) if summary.class == Class::Done => None,
            Ok(summary) => Some((summary.class, "some files failed".to_owned())),
            Err(error) => Some((error.class(), error.to_string())),
        };
        let failure = failure.as_ref().map(|(class, message)| (*class, message.as_str()));
        let state = failure.map_or(State::Completed, |(class, _)| state_after(class));
        let done = if state == State::Completed { self.begin.bytes } else { self.done.load(Ordering::Relaxed) };
        let number = self.number()?;
        if result.is_ok() {
            // Everything has come to its end, well or badly.
            store.clear(number)?;
        }
        store.end(number, state, failure, done, wall())
    }
}

/// What a session is after a run that ended with a failure: what may pass leaves it where it can be taken up.
fn state_after(class: Class) -> State {
    if class.is_transient() { State::Paused } else { State::Failed }
}
