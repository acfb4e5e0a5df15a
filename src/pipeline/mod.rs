//! One file per command, read one top to bottom and you have read the command; the stages they share stand beside them.
//!
//! ```text
//! who dials                                             who sends
//! send, pull   connect::dial                            send, offer   ingest (walk, read, hash, compress: `pack`) → outward
//! recv, offer  connect::listen → greet → admission      recv, pull    inward → session: assemble (verify, write, commit)
//! ```
//!
//! Who dials and who sends are two choices that do not depend on one another: a receiver that dials asks first (`greet`), everything
//! after that is the same.

mod admission;
pub mod assemble;
mod assembling;
mod connect;
pub mod delta;
pub mod dry_run;
mod entries;
mod error;
pub mod files;
mod fragments;
mod greet;
mod ingest;
mod inward;
mod landing;
pub mod offer;
mod outward;
mod pacer;
mod pack;
mod parts;
pub mod patch;
pub mod policy;
mod press;
mod progress;
pub mod pull;
pub mod recv;
mod replies;
mod retries;
pub mod send;
mod session;
mod sessions;
pub mod sig;
mod silence;
mod throttle;

pub use connect::{DEFAULT_PORT, Listen, Peer, Ports, ask_key};
pub use delta::delta;
pub use dry_run::dry_run;
pub use error::{Error, Side};
pub use ingest::Pipe;
pub use offer::{Offering, offer};
pub use patch::patch;
pub use policy::Policy;
pub use pull::{PullOptions, pull};
pub use recv::{RecvOptions, Stay, recv};
pub use send::{SendOptions, Stop, send};
pub use sessions::{Sessions, Wall, claimed, destination};
pub use sig::sig;

use crate::class::Class;
use crate::fs::disk::{Disk, DiskError};
use crate::link::Link;
use crate::network::authority::Authority;
use crate::network::identity::Identity;
use crate::network::seam::{Blocking, Sockets};
use crate::node_id::NodeId;
use crate::trust::authorized::Grant;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Codes with which a connection is closed: what the other side says of it, [`Error::lost`], is a function of them.
mod close {
    /// The sender has heard that everything is complete.
    pub(super) const DONE: u32 = 0;
    /// The sender gave up, or its user did.
    pub(super) const BROKEN_OFF: u32 = 1;
    /// The receiver has refused the hello and said why.
    pub(super) const REFUSED: u32 = 2;
    /// The transfer is complete. A receiver says this then, and only then.
    pub(super) const COMPLETE: u32 = 3;
    /// The receiver was stopped, or cannot go on.
    pub(super) const STOPPED: u32 = 4;
    /// A newer connection of the same sender has taken over.
    pub(super) const SUPERSEDED: u32 = 5;
    /// One who sends was dialled by another one who does.
    pub(super) const SENDS: u32 = 6;
    /// One who receives was dialled by another one who does.
    pub(super) const RECEIVES: u32 = 7;
    /// A receiver that stays was told to end, by its user or its host, and will be started again.
    pub(super) const AWAY: u32 = 8;
}

/// Opens (and makes, if only its last component is missing) the destination tree at a path.
pub type OpenDisk = Arc<dyn Fn(&Path) -> Result<Arc<dyn Disk>, DiskError> + Send + Sync>;

/// Fills a buffer with random bytes.
pub type Random = Arc<dyn Fn(&mut [u8]) + Send + Sync>;

/// Says what a node may do that wants to send to us, from what the user has written down: asked anew at each hello. An error is for the
/// local user; nobody is let in by it.
pub type Authorized = Arc<dyn Fn(NodeId) -> Result<Option<Grant>, String> + Send + Sync>;

/// What the commands need of the world: real for a process, simulated for a test.
#[derive(Clone)]
pub struct Env {
    /// Who we are.
    pub identity: Arc<Identity>,
    /// Who must vouch for those who come to us, besides what else they have to show.
    pub authority: Option<Authority>,
    /// Where sockets come from.
    pub sockets: Arc<dyn Sockets>,
    /// Where destination trees come from.
    pub open_disk: OpenDisk,
    /// Who may send to us without a ticket.
    pub authorized: Authorized,
    /// Where sessions are remembered, if they are.
    pub sessions: Option<Sessions>,
    /// How blocking work is run.
    pub blocking: Blocking,
    /// Random bytes: tickets. A simulation gives the same ones again.
    pub random: Random,
    /// What the user says of the link, where it is a slow one.
    pub link: Option<Link>,
    /// Fixes what is random in the endpoints, so that a simulation repeats packet for packet.
    pub seed: Option<u64>,
}

/// Which IP version to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Family {
    /// Whatever there is.
    #[default]
    Any,
    /// IPv4 only.
    V4,
    /// IPv6 only.
    V6,
}

impl Family {
    /// Whether an address may be used.
    pub fn allows(self, address: std::net::IpAddr) -> bool {
        match self {
            Family::Any => true,
            Family::V4 => address.to_canonical().is_ipv4(),
            Family::V6 => address.to_canonical().is_ipv6(),
        }
    }
}

/// How long a silent path is probed before the command gives up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RetryFor {
    /// So long.
    Span(Duration),
    /// Until it is back.
    Forever,
}

impl RetryFor {
    /// When to give up what is tried since `began`.
    fn until(self, began: Instant) -> Option<Instant> {
        match self {
            RetryFor::Span(span) => Some(began + span),
            RetryFor::Forever => None,
        }
    }
}

/// Asks a running command to end. Ends it too when the other half is dropped.
#[derive(Clone, Debug)]
pub struct Cancel(watch::Receiver<bool>);

impl Cancel {
    /// A pair: send `true` to cancel.
    pub fn channel() -> (watch::Sender<bool>, Cancel) {
        let (sender, receiver) = watch::channel(false);
        (sender, Cancel(receiver))
    }

    /// Returns once the command is to end.
    pub async fn cancelled(&self) {
        // An error means that nobody can cancel any more, because whoever could is gone: end.
        let _ = self.0.clone().wait_for(|cancelled| *cancelled).await;
    }
}

/// How a command ended.
#[derive(Clone, Debug)]
pub struct Summary {
    /// [`Class::Done`], or the class of the worst failure of a single file.
    pub class: Class,
    /// The session; empty for a dry run, which has none.
    pub session: String,
    /// Entries that are complete.
    pub files: u64,
    /// UDP payload bytes sent.
    pub bytes_sent: u64,
    /// File bytes that crossed the network and were written.
    pub bytes_literal: u64,
    /// File bytes that the destination had already.
    pub bytes_matched: u64,
    /// Counters for `--stats`: what, and how many.
    pub stats: Vec<(&'static str, u64)>,
}

impl Summary {
    /// Of no transfer yet.
    pub(crate) const NOTHING: Summary = Summary {
        class: Class::Done,
        session: String::new(),
        files: 0,
        bytes_sent: 0,
        bytes_literal: 0,
        bytes_matched: 0,
        stats: Vec::new(),
    };

    /// Takes another transfer of the same run into the sums. Several have no session in common.
    fn add(&mut self, other: &Summary) {
        self.files += other.files;
        self.bytes_sent += other.bytes_sent;
        self.bytes_literal += other.bytes_literal;
        self.bytes_matched += other.bytes_matched;
        if self.stats.is_empty() {
            self.stats.clone_from(&other.stats);
            return;
        }
        for ((_, sum), (_, value)) in self.stats.iter_mut().zip(&other.stats) {
            *sum += value;
        }
    }
}
