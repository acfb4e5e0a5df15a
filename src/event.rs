//! The whole outward language of the library: events, told to one [`Observer`].
//!
//! The library never prints. A progress bar, JSON lines, the log and (later) metrics are observers, so whatever one of them can
//! show the others can too. Fields may be added; none is removed within version 1 of the JSON form.

use crate::class::Class;
use serde::Serialize;
use std::sync::Arc;

/// Something that happened, as a user or a script would want to know it. Integers are bytes and milliseconds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Event {
    /// A run began.
    Start {
        /// Session id in hexadecimal, once it is known.
        session: Option<String>,
        /// The command as typed: `send`, `recv`, …
        command: &'static str,
        /// Version of this program.
        version: &'static str,
    },
    /// A receiver can be reached with this ticket.
    Ticket {
        /// The ticket.
        uri: String,
    },
    /// The peer has accepted us, or we have accepted it.
    Connected {
        /// Its address.
        peer: String,
        /// Its node id.
        key: String,
        /// How it was reached.
        transport: &'static str,
        /// Round trip so far.
        rtt_ms: u64,
    },
    /// What is going to be transferred.
    Plan {
        /// Number of files and links.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// An entry is complete at its destination, or would be sent there.
    File {
        /// Path below the root of the transfer.
        path: EventPath,
        /// What was done.
        action: Action,
        /// Size in bytes.
        bytes: u64,
    },
    /// How far the transfer is; at most once a second.
    Progress(Progress),
    /// One entry could not be transferred; the others go on.
    FileFailed {
        /// Path below the root of the transfer.
        path: EventPath,
        /// Exit code that this failure alone would give.
        code: u8,
        /// The cause.
        message: String,
    },
    /// The sender could not read so many things; it has told its user which.
    Unsent {
        /// How many.
        files: u64,
    },
    /// So many of the files, directories and links that the sender counted at its start have gone since.
    Gone {
        /// How many.
        files: u64,
    },
    /// Something that the user should know and that changes nothing in the outcome.
    Warning {
        /// The sentence.
        message: String,
    },
    /// What is sent is held to a rate.
    Limit {
        /// Bytes per second, UDP payload.
        rate: u64,
        /// Whose wish that is.
        by: LimitedBy,
    },
    /// Something that whoever watches should know, and a log need not.
    Note {
        /// The sentence.
        message: String,
    },
    /// A decision that only `-vv` shows.
    Detail {
        /// The sentence.
        message: String,
    },
    /// What a run that is about to fail has come to. Becomes part of [`Event::End`] and is no line of its own.
    SoFar(SoFar),
    /// What is not complete can be gone on with by `resilient resume`. Becomes part of [`Event::End`] and is no line of its own.
    Kept {
        /// The name of the session in the store, as short as it can be.
        name: String,
    },
    /// A receiver of several transfers is done with one of them. The event says which (`session`).
    SessionEnd {
        /// Exit code that this transfer alone would give.
        exit: u8,
        /// Its class.
        class: Class,
        /// Entries that are complete.
        files: u64,
        /// File bytes that crossed the network and were written.
        bytes_literal: u64,
        /// File bytes that the destination had already.
        bytes_matched: u64,
        /// Why it failed, if it did as a whole.
        message: Option<String>,
    },
    /// Something that may pass has failed, and is tried again.
    Retry {
        /// Which attempt comes next, from 2 on.
        attempt: u32,
        /// In how many milliseconds.
        in_ms: u64,
        /// Why.
        cause: String,
    },
    /// The run is over; always the last event.
    End(End),
}

/// Who limits a rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LimitedBy {
    /// Our own option.
    Option,
    /// The receiver's.
    Receiver,
}

/// What was done with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Action {
    /// It was transferred and stands at its destination.
    Transferred,
    /// An identical one stood there already.
    Identical,
    /// Nothing, in a dry run: it would be sent. A directory has a `/` behind its path.
    WouldSend,
    /// Something else stands there, which is left as it is.
    Skipped,
}

/// A snapshot of a transfer.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Progress {
    /// File bytes that the receiver has.
    pub bytes_done: u64,
    /// File bytes in all.
    pub bytes_total: u64,
    /// Files that are complete.
    pub files_done: u64,
    /// File bytes per second, lately.
    pub rate: u64,
    /// Share of datagrams lost lately, 0 ..= 1.
    pub loss: f64,
    /// Parity and repair shards as a share of all shards, 0 ..= 1.
    pub parity: f64,
    /// Time to the end at this rate.
    pub eta_ms: Option<u64>,
}

/// What a run has come to.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct SoFar {
    /// Session id in hexadecimal.
    pub session: Option<String>,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// File bytes that crossed the network, as far as this side knows.
    pub bytes_literal: u64,
    /// File bytes that the destination had already.
    pub bytes_matched: u64,
}

/// How a run ended.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// Exit code.
    pub exit: u8,
    /// Its class.
    pub class: Class,
    /// Whether repeating the command continues from what is there.
    pub resumable: bool,
    /// Session id in hexadecimal.
    pub session: Option<String>,
    /// What `resilient resume` takes to go on with it, if it does.
    pub resume: Option<String>,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// File bytes that crossed the network and were written.
    pub bytes_literal: u64,
    /// File bytes that the destination had already.
    pub bytes_matched: u64,
    /// Duration of the run.
    pub elapsed_ms: u64,
}

/// A path in an event: text where it is UTF-8, base64 where it is not (as ripgrep's JSON does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPath(pub Vec<u8>);

impl Serialize for EventPath {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::SerializeMap;
        let mut map = serializer.serialize_map(Some(1))?;
        match std::str::from_utf8(&self.0) {
            Ok(text) => map.serialize_entry("text", text)?,
            Err(_) => map.serialize_entry("bytes", &data_encoding::BASE64.encode(&self.0))?,
        }
        map.end()
    }
}

/// Which session of several an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SessionTag {
    /// Its id in hexadecimal.
    pub session: String,
    /// Who it is with, as a person would call it: a name, an address.
    pub peer: String,
}

/// Whoever wants to know what happens.
pub trait Observer: Send + Sync {
    /// Called for every event, in order, from the task that caused it: must not block for long.
    fn event(&self, event: &Event);

    /// The same for what happens in one of several sessions of this run.
    fn session_event(&self, session: &SessionTag, event: &Event) {
        let _ = session;
        self.event(event);
    }
}

/// The observer of one session among several: it says which one an event is about.
pub struct Tagged {
    /// That one.
    pub tag: SessionTag,
    /// Who is told.
    pub observer: Arc<dyn Observer>,
}

impl Observer for Tagged {
    fn event(&self, event: &Event) {
        self.observer.session_event(&self.tag, event);
    }
}

impl Observer for () {
    fn event(&self, _: &Event) {}
}
