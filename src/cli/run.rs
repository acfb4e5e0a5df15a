//! The one place where a command that was understood meets the library that does it.
//!
//! Gives `pipeline` its options and this machine as its world, and makes its error one of `cli`. Nothing else in `cli` runs a command
//! or opens the identity.

use super::contact::Reach;
use super::exit::Failure;
use super::output::escape;
use super::peer::Credentials;
use super::{recv, send};
use crate::event::{Event, Observer};
use crate::fs::disk::Disk;
use crate::fs::real::RealDisk;
use crate::network::seam::{Blocking, UdpSockets};
use crate::node_id::NodeId;
use crate::pipeline::{self, Cancel, Env, Summary};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Does `send`, or tells what it would do.
pub(super) async fn send(order: send::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let send::Order { contact, mut options, dry_run, credentials } = order;
    if dry_run {
        let (sources, selection) = (options.sources, options.selection);
        return pipeline::dry_run(Blocking::Pool, sources, selection, observer, cancel).await.map_err(failure);
    }
    let reach = Reach { family: options.family, ports: options.ports, contimeout: options.contimeout };
    let introduced = contact.introduce(reach, &*observer, &cancel).await?;
    options.peer = introduced.peer.clone();
    options.contimeout = introduced.contimeout;
    let env = env(&credentials)?;
    let watching = Arc::new(Watching { observer: observer.clone(), met: Mutex::default() });
    let result = pipeline::send(&env, options, watching.clone(), cancel).await;
    if let Some((key, address)) = watching.met.lock().unwrap_or_else(PoisonError::into_inner).take() {
        contact.met(key, address, &*observer);
    }
    result.map_err(|error| introduced.explain(error, env.identity.node_id()))
}

/// Hands everything on, and keeps who has let us in.
struct Watching {
    observer: Arc<dyn Observer>,
    met: Mutex<Option<(NodeId, SocketAddr)>>,
}

impl Observer for Watching {
    fn event(&self, event: &Event) {
        if let Event::Connected { peer, key, .. } = event
            && let (Ok(address), Ok(key)) = (peer.parse(), key.parse())
        {
            *self.met.lock().unwrap_or_else(PoisonError::into_inner) = Some((key, address));
        }
        self.observer.event(event);
    }
}

/// Does `recv`.
pub(super) async fn recv(order: recv::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let mut env = env(&Credentials::Key(order.identity))?;
    let partials = order.partial_dir;
    env.open_disk = Arc::new(move |path| Ok(Arc::new(RealDisk::open_with(path, partials.clone())?) as Arc<dyn Disk>));
    pipeline::recv(&env, order.options, observer, cancel).await.map_err(failure)
}

fn env(credentials: &Credentials) -> Result<Env, Failure> {
    Ok(Env {
        identity: Arc::new(credentials.load()?),
        authority: None,
        sockets: Arc::new(UdpSockets),
        open_disk: Arc::new(|path| Ok(Arc::new(RealDisk::open(path)?) as Arc<dyn Disk>)),
        blocking: Blocking::Pool,
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system has randomness")),
        seed: None,
    })
}

/// An error of the library as one of the command line.
pub(super) fn failure(error: pipeline::Error) -> Failure {
    Failure { class: error.class(), message: escape::without_number(&error.to_string()), hint: error.hint() }
}
