//! What the store of sessions holds at a moment, and a store that holds it again.
//!
//! SQLite's own durability is taken as given: a power cut leaves what some commit has left, none older than the last one that was waited
//! for. Which those are is told by what they say: only of files that are not durable something is written down without waiting.

use jiff::Timestamp;
use resilient::session::{Begin, Landing, Record, State, Store};

/// One session and what is remembered of its unfinished files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Session {
    begin: Begin,
    state: State,
    pub(super) landings: Vec<Landing>,
}

/// All that a store holds.
pub(super) type Sessions = Vec<Session>;

/// Holds what `store` does.
pub(super) fn read(store: &Store) -> Sessions {
    let session = |record: Record| {
        let landings = store.landings(record.number).unwrap();
        let Record { key, command, peer, location, state, files, bytes, .. } = record;
        Session { begin: Begin { key, command, peer, location, files, bytes }, state, landings }
    };
    store.list().unwrap().into_iter().map(session).collect()
}

/// Lets `store` hold that and nothing else.
pub(super) fn write(store: &Store, sessions: &Sessions, now: Timestamp) {
    for record in store.list().unwrap() {
        store.forget(record.number).unwrap();
    }
    for Session { begin, state, landings } in sessions {
        let number = store.begin(begin, now).unwrap().number;
        store.record(number, landings, &[], 0, now).unwrap();
        if *state != State::Active {
            store.end(number, *state, None, 0, now).unwrap();
        }
    }
}

/// Whether what has become of `before` was waited for.
pub(super) fn is_durable(before: &Sessions, now: &Sessions) -> bool {
    let old: Vec<&Landing> = before.iter().flat_map(|session| &session.landings).collect();
    let mut new = now.iter().flat_map(|session| &session.landings);
    new.all(|landing| landing.written.is_some() || old.contains(&landing))
}
