//! What happens to sessions: they begin, advance, end, age, and are found again.
//!
//! Invariant: a session changes its state only as the table of [`State`] allows, and only a running one advances; what has begun anew
//! after it was completed or given up has a new number and nothing of its past. That no two runs are at one session is left to the
//! caller's locks.

use super::have::{self, Landing};
use super::record::{self, Begin, Key, Record};
use super::state::State;
use super::{Store, StoreError, signed};
use crate::class::Class;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension as _, params};

/// What a prefix of a session id stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// Nothing.
    None,
    /// One session.
    One(Box<Record>),
    /// More than one, that which was changed last first.
    Several(Vec<Record>),
}

impl Store {
    /// Begins a session, or takes it up if it is known: it is active, and what `begun` says of it replaces what was known. One that
    /// was completed or has expired starts anew.
    pub fn begin(&self, begun: &Begin, now: Timestamp) -> Result<Record, StoreError> {
        begun.check()?;
        let words = begun.command.as_ref().map(record::Command::to_bytes).transpose()?;
        let folder = begun.command.as_ref().map(|command| command.folder.as_os_str().as_encoded_bytes());
        let ticket = begun.command.as_ref().and_then(|command| command.ticket.as_ref());
        let (files, bytes) = (signed(begun.files)?, signed(begun.bytes)?);
        let (role, session, place) = (begun.key.role.word(), &begun.key.session[..], &begun.key.place);
        self.change(|connection| {
            connection
                .prepare_cached(
                    "DELETE FROM sessions WHERE role = ?1 AND session = ?2 AND place = ?3
                        AND state IN ('completed', 'expired')",
                )?
                .execute(params![role, session, place])?;
            let number = connection
                .prepare_cached(
                    "INSERT INTO sessions
                        (role, session, place, command, folder, peer, location, state, began, changed, files, bytes, ticket)
                        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, 'active', ?8, ?8, ?9, ?10, ?11)
                    ON CONFLICT (role, session, place) DO UPDATE SET
                        command = excluded.command, folder = excluded.folder, ticket = excluded.ticket, peer = excluded.peer,
                        location = excluded.location, state = excluded.state, changed = excluded.changed,
                        files = excluded.files, bytes = excluded.bytes, runs = runs + 1
                    RETURNING id",
                )?
                .query_row(
                    params![
                        role,
                        session,
                        place,
                        words,
                        folder,
                        begun.peer,
                        begun.location,
                        now.as_microsecond(),
                        files,
                        bytes,
                        ticket
                    ],
                    |row| row.get(0),
                )?;
            one(connection, number)
        })
    }

    /// Says that `bytes_done` bytes of a running session are done by `now`.
    pub fn advance(&self, number: i64, bytes_done: u64, now: Timestamp) -> Result<(), StoreError> {
        self.change(|connection| touch(connection, number, bytes_done, now))
    }

    /// Ends a run: the session becomes `state`. A failure is counted, and its message kept. The landings of a completed session are
    /// deleted.
    pub fn end(
        &self,
        number: i64,
        state: State,
        failure: Option<(Class, &str)>,
        bytes_done: u64,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let (bytes_done, now) = (signed(bytes_done)?, now.as_microsecond());
        self.change(|connection| {
            let from = one(connection, number)?.state;
            if !from.may_become(state) {
                return Err(StoreError::Transition { from, to: state });
            }
            connection
                .prepare_cached("UPDATE sessions SET state = ?2, bytes_done = ?3, changed = ?4 WHERE id = ?1")?
                .execute(params![number, state.word(), bytes_done, now])?;
            if let Some((class, message)) = failure {
                connection
                    .prepare_cached(
                        "UPDATE sessions SET failures = failures + 1,
                            failed_at = ?2, failed_class = ?3, failed_message = ?4 WHERE id = ?1",
                    )?
                    .execute(params![number, now, class.code(), record::cut(message)])?;
            }
            if state == State::Completed {
                have::delete(connection, number)?;
            }
            Ok(())
        })
    }

    /// All sessions, that which was changed last first.
    pub fn list(&self) -> Result<Vec<Record>, StoreError> {
        self.look(|connection| {
            let mut all = connection.prepare_cached("SELECT * FROM sessions ORDER BY changed DESC, id DESC")?;
            all.query_and_then([], Record::read)?.collect()
        })
    }

    /// The sessions that `prefix`, hexadecimal digits of either case, stands for: the beginning of the name that they have here
    /// ([`Record::id`]) or of the id that both ends know. None for an empty one.
    pub fn find(&self, prefix: &str) -> Result<Found, StoreError> {
        let prefix = prefix.to_ascii_lowercase();
        if prefix.is_empty() {
            return Ok(Found::None);
        }
        let found: Vec<Record> = self.list()?.into_iter().filter(|record| record.is_meant_by(&prefix)).collect();
        Ok(match <[Record; 1]>::try_from(found) {
            Ok([record]) => Found::One(Box::new(record)),
            Err(found) if found.is_empty() => Found::None,
            Err(found) => Found::Several(found),
        })
    }

    /// The shortest beginning of the name of a session, four digits at least, that stands for no other one.
    pub fn short(&self, record: &Record) -> Result<String, StoreError> {
        let others: Vec<Record> = self.list()?.into_iter().filter(|other| other.number != record.number).collect();
        let name = record.id();
        let is_unique = |length: &usize| !others.iter().any(|other| other.is_meant_by(&name[..*length]));
        Ok(name[..(4..name.len()).find(is_unique).unwrap_or(name.len())].to_owned())
    }

    /// The session of this key, if there is one.
    pub fn get(&self, key: &Key) -> Result<Option<Record>, StoreError> {
        self.look(|connection| {
            let mut row =
                connection.prepare_cached("SELECT * FROM sessions WHERE role = ?1 AND session = ?2 AND place = ?3")?;
            let key = params![key.role.word(), &key.session[..], key.place];
            row.query_row(key, |row| Ok(Record::read(row))).optional()?.transpose()
        })
    }

    /// Deletes a session and all that belongs to it; no error if it is not there.
    pub fn forget(&self, number: i64) -> Result<(), StoreError> {
        self.change(|connection| {
            connection.prepare_cached("DELETE FROM sessions WHERE id = ?1")?.execute([number])?;
            Ok(())
        })?;
        self.drop_open(number)
    }

    /// Gives up what could be continued and has not been changed since `before`. The sessions are given as they are now, with their
    /// landings, which are deleted: the caller takes the partial files away.
    pub fn expire(&self, before: Timestamp, now: Timestamp) -> Result<Vec<(Record, Vec<Landing>)>, StoreError> {
        self.change(|connection| {
            let mut old = connection.prepare_cached("SELECT * FROM sessions WHERE changed < ?1 ORDER BY id")?;
            let old: Vec<Record> =
                old.query_and_then([before.as_microsecond()], Record::read)?.collect::<Result<_, _>>()?;
            let mut expired = Vec::new();
            // An active one that was silent for so long has crashed and stood still since, as if paused: the table lets that expire.
            for record in old.into_iter().filter(|record| record.state.is_resumable()) {
                let landings = have::read(connection, record.number)?;
                have::delete(connection, record.number)?;
                connection
                    .prepare_cached("UPDATE sessions SET state = ?2, changed = ?3 WHERE id = ?1")?
                    .execute(params![record.number, State::Expired.word(), now.as_microsecond()])?;
                expired.push((one(connection, record.number)?, landings));
            }
            Ok(expired)
        })
    }

    /// Deletes the sessions that are completed or have expired and were not changed since `before`; gives how many.
    pub fn prune(&self, before: Timestamp) -> Result<usize, StoreError> {
        self.change(|connection| {
            let mut old = connection
                .prepare_cached("DELETE FROM sessions WHERE state IN ('completed', 'expired') AND changed < ?1")?;
            Ok(old.execute([before.as_microsecond()])?)
        })
    }
}

/// Says how far a running session is.
pub(super) fn touch(connection: &Connection, number: i64, bytes_done: u64, now: Timestamp) -> Result<(), StoreError> {
    let touched = connection
        .prepare_cached("UPDATE sessions SET bytes_done = ?2, changed = ?3 WHERE id = ?1 AND state = 'active'")?
        .execute(params![number, signed(bytes_done)?, now.as_microsecond()])?;
    if touched == 1 { Ok(()) } else { Err(StoreError::Gone) }
}

fn one(connection: &Connection, number: i64) -> Result<Record, StoreError> {
    let mut row = connection.prepare_cached("SELECT * FROM sessions WHERE id = ?1")?;
    // Outside: whether there is a row. Inside: whether it holds.
    let found = row.query_row([number], |row| Ok(Record::read(row))).optional()?;
    found.unwrap_or(Err(StoreError::Gone))
}
