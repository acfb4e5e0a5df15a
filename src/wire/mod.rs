//! Everything that crosses the network, encode and decode only. Every length is bounded before anything is allocated.
//!
//! ```text
//!  sender → receiver   SHARD datagrams; their stripes decode to chunks (`chunk`): data, or control messages (`control`)
//!                      PING, BYE datagrams
//!  receiver → sender   FEEDBACK datagrams: counts per stripe, credit, and copies of the newest replies
//!                      one unidirectional stream: the reply log (`reply`), all of it, in order
//! ```
//!
//! Nothing waits for a lost packet of a stream: what is urgent travels in datagrams, coded or repeated; the stream is only there so
//! that a reply cannot be lost for good.

pub mod chunk;
pub mod codec;
pub mod control;
pub mod datagram;
pub mod reply;

/// Version of the protocol that this build speaks. Peers must share one (exit 2).
pub const VERSION: u16 = 1;

/// Why bytes from the peer were refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WireError {
    /// The bytes end before the message does.
    #[error("{0} is cut short")]
    Short(&'static str),
    /// A field has a value that it must not have.
    #[error("{0} has a field out of range")]
    Range(&'static str),
    /// A kind, tag or number that this version does not know.
    #[error("unknown {0}")]
    Unknown(&'static str),
}
