//! The one place where a command that was understood meets the library that does it.
//!
//! Gives `pipeline` its options and this machine as its world, and makes its error one of `cli`. Nothing else in `cli` runs a command
//! or opens the identity.

use super::exit::Failure;
use super::output::escape;
use super::{recv, send};
use crate::event::Observer;
use crate::fs::disk::Disk;
use crate::fs::real::RealDisk;
use crate::network::identity::Identity;
use crate::network::seam::{Blocking, UdpSockets};
use crate::pipeline::{self, Cancel, Env, Summary};
use std::path::Path;
use std::sync::Arc;

/// Does `send`.
pub(super) async fn send(order: send::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    pipeline::send(&env(&order.identity)?, order.options, observer, cancel).await.map_err(failure)
}

/// Does `recv`.
pub(super) async fn recv(order: recv::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let mut env = env(&order.identity)?;
    let partials = order.partial_dir;
    env.open_disk = Arc::new(move |path| Ok(Arc::new(RealDisk::open_with(path, partials.clone())?) as Arc<dyn Disk>));
    pipeline::recv(&env, order.options, observer, cancel).await.map_err(failure)
}

/// Loads this node's identity, made on first use.
pub(super) fn identity(file: &Path) -> Result<Identity, Failure> {
    Identity::load_or_create(file)
        .map_err(|error| Failure::new(error.class(), escape::without_number(&error.to_string())))
}

fn env(key: &Path) -> Result<Env, Failure> {
    Ok(Env {
        identity: Arc::new(identity(key)?),
        sockets: Arc::new(UdpSockets),
        open_disk: Arc::new(|path| Ok(Arc::new(RealDisk::open(path)?) as Arc<dyn Disk>)),
        blocking: Blocking::Pool,
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system has randomness")),
        seed: None,
    })
}

fn failure(error: pipeline::Error) -> Failure {
    Failure { class: error.class(), message: escape::without_number(&error.to_string()), hint: error.hint() }
}
