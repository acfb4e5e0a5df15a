//! One file per command, read one top to bottom and you have read the command; shared stages beside them.

use crate::fs::disk::Disk;
use crate::network::seam::{Blocking, Sockets};
use std::path::Path;
use std::sync::Arc;

/// What the commands need of the world: real for a process, simulated for a test.
#[derive(Clone)]
pub struct Env {
    /// Where sockets come from.
    pub sockets: Arc<dyn Sockets>,
    /// Opens (and makes, if only its last component is missing) the destination tree at a path.
    pub open_disk:
        Arc<dyn Fn(&Path) -> Result<Arc<dyn Disk>, crate::fs::disk::DiskError> + Send + Sync>,
    /// How blocking work is run.
    pub blocking: Blocking,
    /// Fixes what is random in the endpoints, so that a simulation repeats packet for packet.
    pub seed: Option<u64>,
}
