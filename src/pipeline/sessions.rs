//! What the commands remember of their sessions, from one run to the next.
//!
//! Invariant: a transfer never fails because something could not be remembered: it goes on without, and the user is warned. What is
//! remembered, and how it survives a crash, is [`crate::session`]'s.

use super::fragments::Fragments;
use super::greet::Guest;
use super::session::Place;
use super::{Cancel, Error, Summary};
use crate::class::Class;
use crate::event::{Event, Observer};
use crate::network::seam::{Blocking, now};
use crate::session::{Begin, Claim, Command, Key, Landing, Role, State, Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use std::ffi::OsString;
use std::fmt;
use std::os::unix::ffi::OsStringExt as _;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// The time of the wall clock: it must mean the same to another run.
pub type Wall = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Where sessions are remembered, and as what.
#[derive(Clone)]
pub struct Sessions {
    /// The store of this user.
    pub store: Arc<Store>,
    /// What time it is.
    pub wall: Wall,
    /// What was typed, if running it again goes on with the one session that it is about.
    pub command: Option<Command>,
    /// Whom or what it is about, as typed; empty: the destination.
    pub location: String,
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sessions").finish_non_exhaustive()
    }
}

/// How long a run that was told to end may take for that, and between two looks whether it has.
const ENDING: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(50);
/// How long an unfinished session can be taken up, and how long one that is over is remembered.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Microseconds for which the rate of a path is taken to be that of the next connection.
const RECENT: i64 = 60_000_000;

impl Sessions {
    /// The sessions in `store`, without those that are too old. Their partial files are taken away by the disk, which looks at their age itself.
    pub fn new(store: Store, wall: Wall) -> Result<Sessions, StoreError> {
        let now = wall();
        if let Ok(before) = now.checked_sub(KEPT) {
            store.expire(before, now)?;
            store.prune(before)?;
            store.sweep_open()?;
            store.sweep_claims(before.into())?;
        }
        Ok(Sessions { store: Arc::new(store), wall, command: None, location: String::new() })
    }

    /// Claims `place` for this run. While another run has it, it is waited for as long as `wait`, and a little for one that is just ending.
    /// Nothing is claimed where that cannot be found out.
    pub(super) async fn claim(
        &self,
        place: &[u8],
        wait: Duration,
        observer: &dyn Observer,
        cancel: &Cancel,
    ) -> Result<Option<Claim>, Error> {
        let until = now() + wait.max(ENDING);
        loop {
            match self.store.claim(place) {
                Ok(Some(claim)) => return Ok(Some(claim)),
                Ok(None) if now() >= until => return Err(Error::Locked),
                Ok(None) => {}
                Err(error) => {
                    observer.event(&Event::Warning { message: format!("not kept from other runs: {error}") });
                    return Ok(None);
                }
            }
            tokio::select! {
                biased;
                () = cancel.cancelled() => return Err(Error::Interrupted),
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// What an earlier run has left of this session. Nothing is written yet: most transfers are over before that is worth it.
    pub(super) fn open(&self, begin: Begin) -> Result<Remembered, StoreError> {
        let known = self.store.get(&begin.key)?.filter(|record| record.state.is_resumable());
        let left = known.as_ref().map_or(Ok(Vec::new()), |record| self.store.landings(record.number))?;
        let open = known.as_ref().map_or(Ok(Vec::new()), |record| self.store.kept_open(record.number));
        let journal = Journal {
            sessions: self.clone(),
            begin,
            is_known: known.is_some(),
            number: Arc::default(),
            done: Arc::default(),
            ended: Arc::default(),
        };
        // Without it a little more is sent again.
        let (rate, open) = open.ok().and_then(|bytes| self.read_open(&bytes)).unwrap_or_default();
        Ok(Remembered { journal, left, open, rate })
    }

    /// Rate and chunks as [`Journal::keep_open`] has kept them. A rate of long ago is another path's.
    fn read_open(&self, bytes: &[u8]) -> Option<(u32, Fragments)> {
        let (rate, rest) = bytes.split_first_chunk()?;
        let (when, rest) = rest.split_first_chunk()?;
        let age = (self.wall)().as_microsecond().checked_sub(i64::from_be_bytes(*when));
        let is_new = age.is_some_and(|age| (0..RECENT).contains(&age));
        Some((if is_new { u32::from_be_bytes(*rate) } else { 0 }, Fragments::read(rest)))
    }
}

/// What a run claims that is at the session of this key.
pub fn claimed(key: &Key) -> Vec<u8> {
    match key.role {
        Role::Send => [&b"send "[..], &key.session].concat(),
        Role::Receive => [&b"receive "[..], &key.session, &key.place].concat(),
    }
}

/// Where the session of this key puts what arrives: a folder, or one file.
pub fn destination(key: &Key) -> Option<PathBuf> {
    let place = key.place.get(NODE..).filter(|_| key.role == Role::Receive)?;
    Some(OsString::from_vec(place.to_vec()).into())
}

/// Length of the sender's key in the place of a receiver's session.
const NODE: usize = 32;

/// What an earlier run has left of a session.
pub(super) struct Remembered {
    /// The place of the session in the store.
    pub(super) journal: Journal,
    /// Its large files.
    pub(super) left: Vec<Landing>,
    /// Chunks of them that are not whole.
    pub(super) open: Fragments,
    /// Bytes per second that crossed the path a moment ago; 0 if that is not known.
    pub(super) rate: u32,
}

/// Looks up what an earlier run has left of this session. What goes into a stream leaves nothing.
pub(super) async fn remember(place: &Place, guest: &Guest) -> Option<Remembered> {
    let sessions = place.sessions.clone()?;
    // The session id is the sender's choice: another sender's is another session.
    let destination = [guest.node.as_bytes().to_vec(), place.policy.place.identity(&place.dir)?].concat();
    let dir = std::path::absolute(&place.dir).unwrap_or_else(|_| place.dir.clone());
    let begin = Begin {
        key: Key { role: Role::Receive, session: guest.hello.session.0, place: destination },
        command: sessions.command.clone(),
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
    /// How it ended is written: nothing comes after that.
    ended: Arc<Mutex<bool>>,
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
        let Sessions { store, wall, .. } = &self.sessions;
        self.reached(done);
        store.record(self.number()?, changed, gone, done, wall())
    }

    /// Keeps what is here of `chunks` that are not whole and at what rate they came, once there is anything else to go on with.
    pub(super) fn keep_open(&self, rate: u32, chunks: &[u8]) {
        if let Some(number) = self.number.get() {
            let Sessions { store, wall, .. } = &self.sessions;
            let bytes = [&rate.to_be_bytes()[..], &wall().as_microsecond().to_be_bytes(), chunks].concat();
            // Without it a little more is sent again.
            let _ = store.keep_open(*number, &bytes);
        }
    }

    /// Says to other runs that one is at this session, if it is the first to say so.
    pub(super) fn claim(&self) -> Option<Claim> {
        self.sessions.store.claim(&claimed(&self.begin.key)).ok().flatten()
    }

    /// Notes how far it is, for its end.
    pub(super) fn reached(&self, done: u64) {
        self.done.store(done, Ordering::Relaxed);
    }

    /// Writes down how far a running session is.
    pub(super) fn advance(&self, done: u64) -> Result<(), StoreError> {
        let ended = lock(&self.ended);
        if *ended {
            return Ok(());
        }
        self.reached(done);
        self.sessions.store.advance(self.number()?, done, (self.sessions.wall)())
    }

    /// Writes down how a run ended, if it went well only where something stands there. The name by which the user can go on with it.
    pub(super) fn end(&self, result: &Result<Summary, Error>) -> Result<Option<String>, StoreError> {
        *lock(&self.ended) = true;
        let is_done = result.as_ref().is_ok_and(|summary| summary.class == Class::Done);
        if is_done && !self.is_known && self.number.get().is_none() {
            return Ok(None);
        }
        let Sessions { store, wall, .. } = &self.sessions;
        let (state, failure) = match result {
            Ok(summary) if summary.class == Class::Done => (State::Completed, None),
            Ok(summary) => (state_after(summary.class), Some((summary.class, "some files failed".to_owned()))),
            // That was asked for.
            Err(Error::Interrupted | Error::Stopped) => (State::Paused, None),
            Err(error) => (state_after(error.class()), Some((error.class(), error.to_string()))),
        };
        let failure = failure.as_ref().map(|(class, message)| (*class, message.as_str()));
        let done = if state == State::Completed { self.begin.bytes } else { self.done.load(Ordering::Relaxed) };
        let number = self.number()?;
        if result.is_ok() {
            // Everything has come to its end, well or badly.
            store.clear(number)?;
            store.drop_open(number)?;
        }
        store.end(number, state, failure, done, wall())?;
        match store.get(&self.begin.key)? {
            Some(record) if state.is_resumable() && record.command.is_some() => store.short(&record).map(Some),
            _ => Ok(None),
        }
    }
}

/// Writes down in `journal` how a run ended, and tells by which name it can be gone on with.
pub(super) async fn close(
    journal: Journal,
    result: Result<Summary, Error>,
    blocking: Blocking,
    observer: &dyn Observer,
) -> Result<Summary, Error> {
    let (written, result) = blocking.run(move || (journal.end(&result), result)).await;
    match written {
        Ok(Some(name)) => observer.event(&Event::Kept { name }),
        Ok(None) => {}
        Err(error) => {
            observer.event(&Event::Detail { message: format!("how it ended is not remembered: {error}") });
        }
    }
    result
}

fn lock(ended: &Mutex<bool>) -> MutexGuard<'_, bool> {
    ended.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a session is after a run that ended with a failure: what may pass leaves it where it can be taken up.
fn state_after(class: Class) -> State {
    if class.is_transient() { State::Paused } else { State::Failed }
}
