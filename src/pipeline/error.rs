//! Why a command ended without doing all of its work.
//!
//! `Display` is `object: cause`, said once; the program and command are put before it by `cli`. The class decides exit code and retry.

use super::assemble::AssembleError;
use super::close;
use super::files::FileError;
use crate::class::Class;
use crate::fs::disk::DiskError;
use crate::fs::source::SelectError;
use crate::network::dial::{ConnectError, TLS_ALERTS};
use crate::network::endpoint::EndpointError;
use crate::unit::Span;
use crate::wire::WireError;
use crate::wire::control::Refusal;
use quinn::{Connection, ConnectionError, SendDatagramError};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

/// Why a command failed as a whole. Failures of single files are events, and the class of the summary.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A source cannot be selected.
    #[error(transparent)]
    Source(#[from] SelectError),
    /// The destination cannot be used.
    #[error("{}: {error}", path.display())]
    Destination {
        /// As typed.
        path: PathBuf,
        /// Why.
        error: DiskError,
    },
    /// A socket could not be had.
    #[error(transparent)]
    Endpoint(#[from] EndpointError),
    /// The addresses of this host cannot be told.
    #[error("local addresses: {0}")]
    Address(std::io::Error),
    /// No connection came about.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The peer refused us.
    #[error("{}: {}", peer.word(), message)]
    Refused {
        /// Who has refused.
        peer: Side,
        /// What it says it was.
        class: Class,
        /// Its words.
        message: String,
        /// When it may be asked again.
        retry_after: Option<Duration>,
    },
    /// The receiver could not go on.
    #[error("connection: the receiver was stopped")]
    Gone,
    /// A receiver that stays was told to end: it will be started again.
    #[error("connection: the receiver was interrupted")]
    Away,
    /// Another run of this host is at it.
    #[error("another run is at this")]
    Locked,
    /// Some of several transfers failed.
    #[error("{failed} of {transfers} transfers failed")]
    Transfers {
        /// How many failed.
        failed: u64,
        /// How many there were.
        transfers: u64,
        /// The class of the worst.
        class: Class,
    },
    /// The peer has ended the handshake after we believed it done: it does not accept what we are certified by.
    #[error("receiver: does not accept our certificate: {cause}")]
    NotVouched {
        /// As the transport puts it.
        cause: String,
    },
    /// The other side would send what is not taken here.
    #[error("sender: {message}")]
    Declined {
        /// What kind of limit it is.
        class: Class,
        /// Which.
        message: String,
    },
    /// The other side does what we do, so that there is nothing to be done.
    #[error("{address}: is there to {}, not to {}", side.verb(), side.other().verb())]
    SameSide {
        /// Where it is.
        address: SocketAddr,
        /// What both are.
        side: Side,
    },
    /// The connection broke.
    #[error("connection: {cause}")]
    Lost {
        /// As the transport puts it.
        cause: String,
    },
    /// Nothing was heard for as long as we may keep trying.
    #[error("connection: nothing heard for {}", Span(*span))]
    Silent {
        /// How long.
        span: Duration,
    },
    /// The peer broke the protocol.
    #[error("peer: {0}")]
    Protocol(#[from] WireError),
    /// What arrived cannot be assembled.
    #[error("sender: {0}")]
    Assemble(#[from] AssembleError),
    /// The receiver says that everything is complete, and it cannot be.
    #[error("receiver: says that all is complete, and has not acknowledged everything")]
    Incomplete,
    /// Nobody came while the ticket could be used.
    #[error("ticket: expired unused")]
    NobodyCame,
    /// Nobody came in the time that was given.
    #[error("nobody came within {}", Span(*span))]
    NobodyWithin {
        /// How long was waited.
        span: Duration,
    },
    /// A file or a stream that is read or written whole.
    #[error(transparent)]
    File(FileError),
    /// A part of this program ended that must not.
    #[error("a part of the program ended unexpectedly")]
    Bug,
    /// The user ended it.
    #[error("interrupted")]
    Interrupted,
    /// As much was sent, or as much time has passed, as was allowed.
    #[error("stopped as asked, before everything was transferred")]
    Stopped,
}

/// The other side, by what it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// It receives.
    Receiver,
    /// It sends.
    Sender,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Receiver => "receiver",
            Side::Sender => "sender",
        }
    }

    fn verb(self) -> &'static str {
        match self {
            Side::Receiver => "receive",
            Side::Sender => "send",
        }
    }

    fn other(self) -> Side {
        match self {
            Side::Receiver => Side::Sender,
            Side::Sender => Side::Receiver,
        }
    }
}

impl From<FileError> for Error {
    fn from(error: FileError) -> Error {
        if matches!(error, FileError::Interrupted) { Error::Interrupted } else { Error::File(error) }
    }
}

impl Error {
    /// The same with the deadline as the user said it, where it tells one.
    pub fn within(self, deadline: Duration) -> Error {
        match self {
            Error::Connect(ConnectError::NoContact { besides, .. }) => {
                ConnectError::NoContact { after: deadline, besides }.into()
            }
            error => error,
        }
    }

    /// What the other side says of why it does not serve us.
    pub(super) fn refused(peer: Side, refusal: Refusal) -> Error {
        let class = Class::from_failure_code(refusal.code).unwrap_or(Class::Refused);
        let retry_after = (refusal.retry_after > 0).then(|| Duration::from_secs(refusal.retry_after.into()));
        Error::Refused { peer, class, message: refusal.message, retry_after }
    }

    /// The other side of `connection` does what we do.
    pub(super) fn same_side(connection: &Connection, side: Side) -> Error {
        let address = connection.remote_address();
        Error::SameSide { address: SocketAddr::new(address.ip().to_canonical(), address.port()), side }
    }

    /// Why nothing can be sent on `connection`.
    pub(super) fn unsent(connection: &Connection, error: SendDatagramError) -> Error {
        match error {
            SendDatagramError::ConnectionLost(error) => Error::lost(connection, &error),
            error => Error::Lost { cause: error.to_string() },
        }
    }

    /// A connection that ended, in words.
    pub(super) fn lost(connection: &Connection, error: &ConnectionError) -> Error {
        let cause = match error {
            ConnectionError::ConnectionClosed(closed) if TLS_ALERTS.contains(&u64::from(closed.error_code)) => {
                return Error::NotVouched { cause: closed.to_string() };
            }
            ConnectionError::ApplicationClosed(closed) => match u32::try_from(closed.error_code.into_inner()) {
                Ok(close::DONE | close::BROKEN_OFF) => "the sender has ended it".into(),
                Ok(close::REFUSED) => "the receiver has refused it".into(),
                Ok(close::COMPLETE) => "the receiver says that it is complete".into(),
                Ok(close::STOPPED) => return Error::Gone,
                Ok(close::AWAY) => return Error::Away,
                Ok(close::SENDS) => return Error::same_side(connection, Side::Sender),
                Ok(close::RECEIVES) => return Error::same_side(connection, Side::Receiver),
                Ok(close::SUPERSEDED) => "a newer one has taken over".into(),
                _ => "the other side has ended it".into(),
            },
            ConnectionError::Reset => "the other side does not know it any more".into(),
            ConnectionError::LocallyClosed => "ended here".into(),
            error => error.to_string(),
        };
        Error::Lost { cause }
    }

    /// The one thing that exit code and retry depend on.
    pub fn class(&self) -> Class {
        match self {
            Error::Source(error) => error.class(),
            Error::Destination { error, .. } => match error.root() {
                DiskError::NoSpace => Class::FileIo,
                _ => Class::Select,
            },
            Error::Endpoint(error) => error.class(),
            Error::Connect(error) => error.class(),
            Error::Refused { class, .. } | Error::Transfers { class, .. } | Error::Declined { class, .. } => *class,
            Error::Address(_)
            | Error::Lost { .. }
            | Error::Gone
            | Error::Away
            | Error::Silent { .. }
            | Error::Interrupted => Class::Network,
            Error::NotVouched { .. } => Class::Authentication,
            Error::NobodyCame | Error::NobodyWithin { .. } => Class::NoContact,
            Error::SameSide { .. } => Class::Usage,
            Error::Locked => Class::Busy,
            Error::File(error) => error.class(),
            Error::Stopped => Class::Stopped,
            Error::Bug => Class::Internal,
            Error::Protocol(_) | Error::Incomplete | Error::Assemble(AssembleError::Malformed(_)) => Class::Malformed,
            Error::Assemble(AssembleError::Integrity) => Class::Integrity,
            Error::Assemble(AssembleError::TooLarge) => Class::Refused,
        }
    }

    /// With what code a receiver that ends for this closes its connections; one that `stays` is started again by whoever has ended it.
    pub(super) fn closes_with(&self, stays: bool) -> u32 {
        if stays && matches!(self, Error::Interrupted) { close::AWAY } else { close::STOPPED }
    }

    /// What the user can do about it, in one line.
    pub fn hint(&self) -> Option<String> {
        match self {
            Error::Refused { class: Class::Authentication, .. } => {
                Some("a ticket serves one node, for a limited time: ask for a new one".into())
            }
            Error::NotVouched { .. } => {
                Some("--cert FILE --cert-key FILE present a certificate of an authority that it accepts".into())
            }
            Error::Connect(ConnectError::WrongKey { .. }) => Some(
                "another node answers there: ask for a new ticket, and if that changes nothing, for the reason".into(),
            ),
            Error::Connect(ConnectError::NoContact { .. }) => {
                Some("is the other side still waiting there, and does the network let its UDP port through?".into())
            }
            Error::File(error) => error.hint(),
            Error::Locked => Some("--lock-wait SPAN waits for it, --skip-if-locked leaves it to that".into()),
            Error::SameSide { side: Side::Sender, .. } => {
                Some("`resilient recv` with the same ticket receives what it offers".into())
            }
            Error::SameSide { side: Side::Receiver, .. } => {
                Some("`resilient send PATH...` with the same ticket or address sends to it".into())
            }
            _ => None,
        }
    }
}
