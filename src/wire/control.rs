//! Messages of the sender. They travel as control chunks, coded and repaired like data, and are acted on in order.

use super::WireError;
use super::chunk::MAX_CONTROL;
use super::codec;
use crate::class::Class;
use crate::integrity::Digest;
use crate::link::Link;
use crate::manifest::{Entry, EntryId};
use crate::priority::Priority;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Most entries in one [`Control::Entries`].
pub const MAX_BATCH: usize = 512;
/// Longest text that a peer may send.
pub const MAX_TEXT: usize = 400;

/// Names a resumable transfer: derived from both keys and the sources, never from the ticket.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SessionId(pub [u8; 16]);

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// The first message of a connection. Nothing is written and no limit is raised before it is accepted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Protocol version, [`super::VERSION`].
    pub version: u16,
    /// The session this connection belongs to.
    pub session: SessionId,
    /// The ticket's one-time secret.
    pub secret: Option<[u8; 16]>,
    /// Bytes of a full chunk: a power of two, 1 KiB ..= 128 KiB.
    pub chunk_bytes: u32,
    /// Files and links that will be announced, as far as is known now.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Class of the transfer.
    pub priority: Priority,
    /// What the sender was told of the link.
    pub link: Option<Link>,
}

/// Why a peer is sent away.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// Exit code for it.
    pub code: u8,
    /// Why.
    pub message: String,
    /// Seconds after which it may come again; 0: it need not.
    pub retry_after: u32,
}

impl Refusal {
    /// Whether it is within what a peer may say.
    pub(super) fn is_sound(&self) -> bool {
        Class::from_failure_code(self.code).is_some() && self.message.len() <= MAX_TEXT
    }
}

/// A message of the sender.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Control {
    /// Who I am and what I want; first of all.
    Hello(Hello),
    /// The next entries of the manifest; each is answered by a status.
    Entries {
        /// Id of the first of them: they are numbered without gaps.
        first: EntryId,
        /// The entries, parents before what they hold.
        entries: Vec<Entry>,
    },
    /// All chunks of this entry have been sent; this is the size and the digest of the whole.
    Sealed {
        /// Which.
        entry: EntryId,
        /// Its bytes. Known only now if it is a stream.
        size: u64,
        /// BLAKE3 of its bytes.
        digest: Digest,
    },
    /// The digest of a file of which one of the same size stands at the destination, to be compared there.
    Digest {
        /// Which.
        entry: EntryId,
        /// BLAKE3 of its bytes.
        digest: Digest,
    },
    /// This entry cannot be sent (any more).
    Failed {
        /// Which.
        entry: EntryId,
        /// Exit code of the failure.
        code: u8,
        /// The cause.
        message: String,
    },
    /// Every entry has been announced.
    Finish {
        /// How many there were.
        entries: u32,
        /// Things that the sender could not announce at all, and has said so to its user.
        skipped: u32,
    },
    /// Instead of a hello: a sender that was asked does not serve this receiver.
    Refused(Refusal),
}

/// Reads the messages of one control chunk.
pub fn decode_all(mut bytes: &[u8]) -> Result<Vec<Control>, WireError> {
    if bytes.len() > MAX_CONTROL {
        return Err(WireError::Range("control message"));
    }
    let mut messages = Vec::new();
    while !bytes.is_empty() {
        let message: Control = codec::decode(&mut bytes, "control message")?;
        let sound = match &message {
            Control::Hello(hello) => {
                hello.chunk_bytes.is_power_of_two() && (1024..=128 * 1024).contains(&hello.chunk_bytes)
            }
            Control::Refused(refusal) => refusal.is_sound(),
            Control::Entries { first, entries } => {
                !entries.is_empty()
                    && entries.len() <= MAX_BATCH
                    && first.0.checked_add(entries.len() as u32).is_some()
                    && entries.iter().all(|entry| entry.meta.mtime.nanoseconds < 1_000_000_000)
            }
            Control::Failed { code, message, .. } => {
                Class::from_failure_code(*code).is_some() && message.len() <= MAX_TEXT
            }
            _ => true,
        };
        if !sound {
            return Err(WireError::Range("control message"));
        }
        messages.push(message);
    }
    Ok(messages)
}

/// Cuts a text so that it may travel.
pub fn bounded_text(text: &str) -> String {
    let mut end = text.len().min(MAX_TEXT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text[..end].to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{FileTime, Kind, Meta, Name};
    use proptest::prelude::*;

    fn encode(message: &Control) -> Vec<u8> {
        let mut out = Vec::new();
        codec::encode(message, &mut out);
        out
    }

    #[test]
    fn golden_messages() {
        let digest = Digest::from_bytes([7; 32]);
        assert_eq!(encode(&Control::Digest { entry: EntryId(5), digest })[..4], [3, 5, 7, 7]);
        assert_eq!(encode(&Control::Finish { entries: 300, skipped: 1 }), [5, 251, 44, 1, 1]);
        let entry = Entry {
            parent: Some(EntryId(1)),
            name: Name::new(*b"a").unwrap(),
            kind: Kind::File { size: 9 },
            meta: Meta { mode: 0o644, mtime: FileTime { seconds: 1, nanoseconds: 2 } },
        };
        let bytes = encode(&Control::Entries { first: EntryId(2), entries: vec![entry] });
        assert_eq!(bytes, [1, 2, 1, 1, 1, 1, b'a', 0, 9, 251, 164, 1, 2, 2]);
        assert_eq!(decode_all(&bytes).unwrap().len(), 1);
    }

    #[test]
    fn a_name_that_climbs_does_not_decode() {
        let bytes = [1, 2, 1, 1, 1, 2, b'.', b'.', 0, 9, 251, 164, 1, 2, 2];
        assert!(decode_all(&bytes).is_err());
    }

    #[test]
    fn a_chunk_size_that_cannot_be_is_refused() {
        for chunk_bytes in [0, 1000, 512, 256 * 1024] {
            let hello = Hello {
                version: 1,
                session: SessionId([0; 16]),
                secret: None,
                chunk_bytes,
                files: 0,
                bytes: 0,
                priority: Priority::Normal,
                link: None,
            };
            assert!(decode_all(&encode(&Control::Hello(hello))).is_err());
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = decode_all(&bytes);
        }
    }
}
