//! The one place where a command that was understood meets the library that does it.
//!
//! Gives `pipeline` its options and this machine as its world, and makes its error one of `cli`. Nothing else in `cli` runs a command
//! or opens the identity.

use super::exit::Failure;
use super::home;
use super::invite::Invitation;
use super::output::escape;
use super::recv::Way;
use super::{recv, send};
use crate::event::Observer;
use crate::fs::disk::Disk;
use crate::fs::real::RealDisk;
use crate::network::identity::Identity;
use crate::network::seam::{Blocking, UdpSockets};
use crate::node_id::NodeId;
use crate::pipeline::{self, Cancel, Env, Summary};
use crate::trust::authorized::{self, AuthorizedNodes, Grant};
use std::path::Path;
use std::sync::Arc;

/// Does `send`.
pub(super) async fn send(order: send::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let env = env(&order.identity)?;
    let Some((offering, show)) = order.offering else {
        return pipeline::send(&env, order.options, observer, cancel).await.map_err(failure);
    };
    let invitation = Invitation::new(show, observer, &cancel);
    let (observer, cancel) = (invitation.observer(), invitation.cancel());
    let result = pipeline::offer(&env, order.options, offering, observer, cancel).await;
    invitation.failure().map_or(result.map_err(failure), Err)
}

/// Does `recv`.
pub(super) async fn recv(order: recv::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let env = env(&order.identity)?;
    let options = match order.way {
        Way::Pull(options) => return pipeline::pull(&env, options, observer, cancel).await.map_err(failure),
        Way::Wait(options) => options,
    };
    let invitation = Invitation::new(order.show, observer, &cancel);
    let result = pipeline::recv(&env, options, invitation.observer(), invitation.cancel()).await;
    invitation.failure().map_or(result.map_err(failure), Err)
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
        authorized: Arc::new(authorized),
        blocking: Blocking::Pool,
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system has randomness")),
        seed: None,
    })
}

/// What the user's list says of a node now.
fn authorized(node: NodeId) -> Result<Option<Grant>, String> {
    let file = home::file(authorized::FILE).map_err(|failure| failure.message)?;
    let nodes = AuthorizedNodes::load(&file).map_err(|error| escape::without_number(&error.to_string()))?;
    Ok(nodes.grant(node, jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()))
}

fn failure(error: pipeline::Error) -> Failure {
    Failure { class: error.class(), message: escape::without_number(&error.to_string()), hint: error.hint() }
}
