//! What is remembered of transfers from one run to the next: an SQLite file in the user's state folder.
//!
//! Invariant: every change is one transaction that is on disk when the call returns (or, where the caller has said so, safe from the end
//! of the process only), so that a crash leaves the state before it or the state after it; what is read back is checked, and what does
//! not hold is an error, never a panic. A file that cannot be used is set aside and a fresh one made: a broken memory stops no transfer.
//! Several processes may have the file open at once.
//!
//! [`state`] is the one table of states, [`record`] what is known of a session, `store` what changes it, [`have`] what a receiver has
//! verified of unfinished files, `invitation` the tickets of a waiting receiver, `claim` that one run has a place to itself, `open` a file of chunks that are not whole. Time is an
//! argument, kept in microseconds. Where the folder lies, how long a session is kept, and taking partial files away is left to the
//! caller.

mod claim;
pub mod have;
mod invitation;
mod open;
pub mod record;
mod schema;
pub mod state;
mod store;
#[cfg(test)]
mod tests;

pub use self::claim::Claim;
pub use self::have::Landing;
pub use self::invitation::MAX_INVITATION;
pub use self::record::{Begin, Command, Failure, Key, Record, Role};
pub use self::schema::{FILE, Opened, SetAside};
pub use self::state::State;
pub use self::store::Found;

use crate::class::Class;
use rusqlite::{Connection, ErrorCode, TransactionBehavior};
use std::io;
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The sessions of a user.
#[derive(Debug)]
pub struct Store {
    connection: Mutex<Connection>,
    folder: PathBuf,
}

/// Why the store cannot be opened, read or changed. `Display` gives the cause alone.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Group or others may write to the folder or to the file in it.
    #[error("other users may write to {what} (mode {mode:04o})")]
    Exposed {
        /// `this folder` or the name of the file.
        what: &'static str,
        /// Its permission bits.
        mode: u32,
    },
    /// The folder or the file in it is neither this user's nor root's.
    #[error("{what} belongs to another user (uid {owner})")]
    Foreign {
        /// `this folder` or the name of the file.
        what: &'static str,
        /// Whose it is.
        owner: u32,
    },
    /// Something else than a file has its name.
    #[error("{FILE} is not a regular file")]
    Special,
    /// The folder or a file in it cannot be made, moved or locked.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The file is no store, is damaged, or was made by a newer version.
    #[error("cannot be read as a store of sessions: {0}")]
    Unreadable(String),
    /// A row does not hold what such a row holds.
    #[error("a record of the store does not hold: {0}")]
    Corrupt(&'static str),
    /// What is to be kept is nothing that could be read back.
    #[error("{0}")]
    Unfit(&'static str),
    /// The session was forgotten, or ended by somebody else.
    #[error("no such session is running")]
    Gone,
    /// The session is in a state that cannot become the one asked for.
    #[error("a session that is {} cannot become {}", from.word(), to.word())]
    Transition {
        /// What it is.
        from: State,
        /// What it was to become.
        to: State,
    },
    /// The database failed: full disk, locked for too long.
    #[error(transparent)]
    Database(rusqlite::Error),
}

impl StoreError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            StoreError::Exposed { .. } | StoreError::Foreign { .. } | StoreError::Special => Class::Usage,
            StoreError::Unfit(_) => Class::Internal,
            // Another process has changed it meanwhile.
            StoreError::Gone | StoreError::Transition { .. } => Class::Busy,
            StoreError::Io(_) | StoreError::Unreadable(_) | StoreError::Corrupt(_) | StoreError::Database(_) => {
                Class::FileIo
            }
        }
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::Error as E;
        match &error {
            E::InvalidColumnType(..)
            | E::FromSqlConversionFailure(..)
            | E::IntegralValueOutOfRange(..)
            | E::Utf8Error(..) => StoreError::Corrupt("a value of another type"),
            _ => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => StoreError::Unreadable(error.to_string()),
                _ => StoreError::Database(error),
            },
        }
    }
}

impl Store {
    /// The connection; a panic while it was held has rolled its transaction back, so that it is fit for use.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs `work` in one transaction that is undone if it fails. It takes the lock for writing at once: one that began with
    /// reading could not wait for another writer.
    fn change<R>(&self, work: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        Self::change_in(&mut self.connection(), work)
    }

    /// The same without waiting for the disk: it survives the end of the process, but a crash of the system may undo it.
    fn change_soon<R>(&self, work: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let mut connection = self.connection();
        connection.execute_batch("PRAGMA synchronous = NORMAL")?;
        let result = Self::change_in(&mut connection, work);
        connection.execute_batch("PRAGMA synchronous = FULL")?;
        result
    }

    fn change_in<R>(
        connection: &mut Connection,
        work: impl FnOnce(&Connection) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let result = work(&transaction)?;
        transaction.commit()?;
        Ok(result)
    }

    /// Runs `work` on one view of the data.
    fn look<R>(&self, work: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let mut connection = self.connection();
        let transaction = connection.transaction_with_behavior(TransactionBehavior::Deferred)?;
        work(&transaction)
    }
}

/// A count as the database keeps it.
fn signed(count: u64) -> Result<i64, StoreError> {
    i64::try_from(count).map_err(|_| StoreError::Unfit("a number of 2^63 or more"))
}

/// Refuses what is longer than what is read back.
fn bounded(length: usize, limit: usize, what: &'static str) -> Result<(), StoreError> {
    if length > limit { Err(StoreError::Unfit(what)) } else { Ok(()) }
}
