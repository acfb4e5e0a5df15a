//! What is remembered of one session, and how it stands in a row of the database.
//!
//! Invariant: a row that is read gives a record that could have been written, or [`StoreError::Corrupt`]. The words of a command are
//! kept byte for byte, each closed by a NUL, which no argument can have in it. What the records mean for a run is left to the caller.

use super::state::State;
use super::{StoreError, bounded};
use crate::class::Class;
use jiff::Timestamp;
use rusqlite::Row;
use std::ffi::OsString;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::PathBuf;

/// Longest text or path of a record, in bytes.
const MAX_TEXT: usize = 64 << 10;
/// Longest ticket of a command, in bytes.
const MAX_TICKET: usize = 8 << 10;
/// Longest command in bytes: more than a kernel takes unless it is told to.
const MAX_COMMAND: usize = 4 << 20;
/// Longest message of a failure that is kept, in bytes; the rest is cut off.
const MAX_MESSAGE: usize = 4 << 10;

/// Which end of a transfer this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// It has the files.
    Send,
    /// It gets them.
    Receive,
}

impl Role {
    /// The word for it in lists and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            Role::Send => "send",
            Role::Receive => "receive",
        }
    }

    fn from_word(word: &str) -> Option<Role> {
        [Role::Send, Role::Receive].into_iter().find(|role| role.word() == word)
    }
}

/// What makes a session the same one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// Which end this is.
    pub role: Role,
    /// The id that both ends know.
    pub session: [u8; 16],
    /// Receiver: the destination folder, the bytes of an absolute path. Sender: empty.
    pub place: Vec<u8>,
}

/// What was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// The arguments as typed, without the name of the program.
    pub words: Vec<OsString>,
    /// The folder where it was typed.
    pub folder: PathBuf,
    /// The ticket, where it was in a file, on stdin or in the environment: it may not be there again.
    pub ticket: Option<String>,
}

/// The last failure of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// When it came.
    pub at: Timestamp,
    /// Its class.
    pub class: Class,
    /// What was said of it, 4 KiB at most.
    pub message: String,
}

/// A run that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Begin {
    /// The session it belongs to.
    pub key: Key,
    /// What was typed, where that can be run again.
    pub command: Option<Command>,
    /// Who is at the other end, as text.
    pub peer: String,
    /// The location as typed.
    pub location: String,
    /// Files of the transfer.
    pub files: u64,
    /// Bytes of the transfer.
    pub bytes: u64,
}

/// What is known of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// What makes it this one.
    pub key: Key,
    /// Its number in this store; never given twice.
    pub number: i64,
    /// What was typed last, where that can be run again.
    pub command: Option<Command>,
    /// Who is at the other end, as text.
    pub peer: String,
    /// The location as typed.
    pub location: String,
    /// Where it stands.
    pub state: State,
    /// When its first run began.
    pub began: Timestamp,
    /// When it was changed last.
    pub changed: Timestamp,
    /// Files of the transfer.
    pub files: u64,
    /// Bytes of the transfer.
    pub bytes: u64,
    /// Bytes that are done.
    pub bytes_done: u64,
    /// How often it was begun.
    pub runs: u32,
    /// How many runs failed.
    pub failures: u32,
    /// The last of them.
    pub last_failure: Option<Failure>,
}

impl Begin {
    /// Refuses what could not be read back.
    pub(super) fn check(&self) -> Result<(), StoreError> {
        bounded(self.key.place.len(), MAX_TEXT, "the destination is too long to be kept")?;
        bounded(self.peer.len(), MAX_TEXT, "the name of the peer is too long to be kept")?;
        bounded(self.location.len(), MAX_TEXT, "the location is too long to be kept")
    }
}

impl Command {
    /// The words, each closed by a NUL.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>, StoreError> {
        if self.words.iter().any(|word| word.as_bytes().contains(&0)) {
            return Err(StoreError::Unfit("a word of the command has a NUL in it"));
        }
        let bytes: Vec<u8> = self.words.iter().flat_map(|word| word.as_bytes().iter().copied().chain([0])).collect();
        bounded(bytes.len(), MAX_COMMAND, "the command is too long to be kept")?;
        bounded(self.folder.as_os_str().len(), MAX_TEXT, "the current folder is too long to be kept")?;
        bounded(self.ticket.as_ref().map_or(0, String::len), MAX_TICKET, "the ticket is too long to be kept")?;
        Ok(bytes)
    }

    fn from_bytes(words: &[u8], folder: Vec<u8>, ticket: Option<String>) -> Result<Command, StoreError> {
        let ticket_length = ticket.as_ref().map_or(0, String::len);
        if words.len() > MAX_COMMAND || folder.len() > MAX_TEXT || ticket_length > MAX_TICKET {
            return Err(StoreError::Corrupt("length of a command"));
        }
        let words = match words.split_last() {
            None => Vec::new(),
            Some((0, words)) => words.split(|byte| *byte == 0).map(|word| OsString::from_vec(word.to_vec())).collect(),
            Some(_) => return Err(StoreError::Corrupt("end of a command")),
        };
        Ok(Command { words, folder: OsString::from_vec(folder).into(), ticket })
    }
}

impl Record {
    /// What it is called by here: 32 hexadecimal digits, different for each session of a store. That of a sender is the id that both ends
    /// know; at a receiver the same one may go to several places.
    pub fn id(&self) -> String {
        let Key { role, session, place } = &self.key;
        let bytes = match role {
            Role::Send => *session,
            Role::Receive => {
                let mut hasher = blake3::Hasher::new_derive_key("resilient 2026-11 name of a session in its store");
                hasher.update(session);
                hasher.update(place);
                let mut bytes = [0; 16];
                bytes.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
                bytes
            }
        };
        hex(&bytes)
    }

    /// Whether `prefix`, hexadecimal digits in small letters, stands for it: by its name here, or by the id that both ends know.
    pub(super) fn is_meant_by(&self, prefix: &str) -> bool {
        self.id().starts_with(prefix) || hex(&self.key.session).starts_with(prefix)
    }

    /// The record of a row of `sessions`.
    pub(super) fn read(row: &Row<'_>) -> Result<Record, StoreError> {
        let text = |column| {
            let text: String = row.get(column)?;
            if text.len() > MAX_TEXT { Err(StoreError::Corrupt("length of a text")) } else { Ok(text) }
        };
        let place: Vec<u8> = row.get("place")?;
        if place.len() > MAX_TEXT {
            return Err(StoreError::Corrupt("length of a destination"));
        }
        let session: Vec<u8> = row.get("session")?;
        let command = match (row.get::<_, Option<Vec<u8>>>("command")?, row.get("folder")?) {
            (Some(words), Some(folder)) => Some(Command::from_bytes(&words, folder, row.get("ticket")?)?),
            (None, None) => None,
            _ => return Err(StoreError::Corrupt("half a command")),
        };
        let last_failure = match (row.get("failed_at")?, row.get("failed_class")?, row.get("failed_message")?) {
            (Some(at), Some(class), Some(message)) => Some(failure(at, class, message)?),
            (None, None, None) => None,
            _ => return Err(StoreError::Corrupt("half a failure")),
        };
        Ok(Record {
            key: Key {
                role: Role::from_word(&text("role")?).ok_or(StoreError::Corrupt("role"))?,
                session: session.try_into().map_err(|_| StoreError::Corrupt("length of a session id"))?,
                place,
            },
            number: row.get("id")?,
            command,
            peer: text("peer")?,
            location: text("location")?,
            state: State::from_word(&text("state")?).ok_or(StoreError::Corrupt("state"))?,
            began: instant(row.get("began")?)?,
            changed: instant(row.get("changed")?)?,
            files: count(row.get("files")?)?,
            bytes: count(row.get("bytes")?)?,
            bytes_done: count(row.get("bytes_done")?)?,
            runs: row.get("runs")?,
            failures: row.get("failures")?,
            last_failure,
        })
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn failure(at: i64, class: u8, message: String) -> Result<Failure, StoreError> {
    if message.len() > MAX_MESSAGE {
        return Err(StoreError::Corrupt("length of a message"));
    }
    let class = Class::from_code(class).ok_or(StoreError::Corrupt("class of a failure"))?;
    Ok(Failure { at: instant(at)?, class, message })
}

/// As much of `message` as is kept.
pub(super) fn cut(message: &str) -> &str {
    let limit = message.len().min(MAX_MESSAGE);
    let end = (0..=limit).rev().find(|at| message.is_char_boundary(*at));
    &message[..end.unwrap_or_default()]
}

/// The count that stands in a column.
pub(super) fn count(value: i64) -> Result<u64, StoreError> {
    u64::try_from(value).map_err(|_| StoreError::Corrupt("negative number"))
}

fn instant(microseconds: i64) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| StoreError::Corrupt("time"))
}
