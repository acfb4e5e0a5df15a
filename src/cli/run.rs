//! The one place where a command that was understood meets the library that does it.
//!
//! Gives `pipeline` its options and this machine as its world, and makes its error one of `cli`. Nothing else in `cli` runs a command
//! or opens the identity.

use super::contact::{self, Contact, Reach};
use super::exit::Failure;
use super::home;
use super::invite::Invitation;
use super::output::escape;
use super::peer::Credentials;
use super::{recv, send};
use crate::event::{Event, Observer};
use crate::fs::disk::Disk;
use crate::fs::real::{RealDisk, syncs};
use crate::link::Link;
use crate::network::seam::{Blocking, UdpSockets};
use crate::node_id::NodeId;
use crate::pipeline::delta::DeltaOptions;
use crate::pipeline::patch::PatchOptions;
use crate::pipeline::sig::SigOptions;
use crate::pipeline::{self, Cancel, Env, OpenDisk, Summary};
use crate::trust::authorized::{self, AuthorizedNodes, Grant};
use crate::trust::known::Way;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Does `send`, or tells what it would do.
pub(super) async fn send(order: send::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let send::Order { way, mut options, dry_run, credentials, link, memory, skips } = order;
    if dry_run {
        let (sources, selection) = (options.sources, options.selection);
        return pipeline::dry_run(Blocking::Pool, sources, selection, observer, cancel).await.map_err(failure);
    }
    match way {
        send::Way::Dial(contact) => {
            let reach = Reach { family: options.family, ports: options.ports, contimeout: options.contimeout, link };
            let introduced = contact.introduce(reach, &*observer, &cancel).await?;
            options.peer = introduced.peer.clone();
            options.contimeout = introduced.contimeout;
            // Who is not known before is not one session from one run to the next.
            let memory = memory.filter(|_| introduced.peer.expected.key.is_some());
            let sessions = memory.and_then(|memory| memory.open(&*observer));
            let env = Env { sessions, ..env(&credentials, introduced.link)? };
            let watching = Arc::new(Watching { observer: observer.clone(), met: Mutex::default() });
            let result = pipeline::send(&env, options, watching.clone(), cancel).await;
            watching.tell(&contact, introduced.link);
            match result {
                Err(pipeline::Error::Locked) if skips => Ok(left_to_other(&*observer)),
                result => result.map_err(|error| introduced.explain(error, env.identity.node_id())),
            }
        }
        send::Way::Offer(offering, show, authority) => {
            let env = Env { authority, ..env(&credentials, link)? };
            let invitation = Invitation::new(show, observer, &cancel);
            let (observer, cancel) = (invitation.observer(), invitation.cancel());
            let result = pipeline::offer(&env, options, offering, observer, cancel).await;
            invitation.failure().map_or(result.map_err(failure), Err)
        }
    }
}

/// Random bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    bytes
}

/// Does `sig`.
pub(super) async fn sig(options: SigOptions, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    pipeline::sig(options, observer, cancel).await.map_err(failure)
}

/// Does `delta`.
pub(super) async fn delta(
    options: DeltaOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Failure> {
    pipeline::delta(options, observer, cancel).await.map_err(failure)
}

/// Does `patch`.
pub(super) async fn patch(
    options: PatchOptions,
    observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Summary, Failure> {
    pipeline::patch(options, observer, cancel).await.map_err(failure)
}

/// Hands everything on, and keeps who has let us in.
struct Watching {
    observer: Arc<dyn Observer>,
    met: Mutex<Option<Met>>,
}

/// Who has let us in, where, and how far away that is.
struct Met {
    key: NodeId,
    address: SocketAddr,
    rtt: Duration,
}

impl Watching {
    /// Notes at the known nodes who has let us in, and over which slow link unless it proved to be a faster one.
    fn tell(&self, contact: &Contact, link: Option<Link>) {
        if let Some(Met { key, address, rtt }) = self.met.lock().unwrap_or_else(PoisonError::into_inner).take() {
            let way = link.map(|link| if link.agrees_with(rtt) { Way::Slow(link) } else { Way::Fast });
            contact.met(key, address, way, &*self.observer);
        }
    }
}

impl Observer for Watching {
    fn event(&self, event: &Event) {
        if let Event::Connected { peer, key, rtt_ms, .. } = event
            && let (Ok(address), Ok(key)) = (peer.parse(), key.parse())
        {
            let met = Met { key, address, rtt: Duration::from_millis(*rtt_ms) };
            *self.met.lock().unwrap_or_else(PoisonError::into_inner) = Some(met);
        }
        self.observer.event(event);
    }
}

/// Does `recv`.
pub(super) async fn recv(order: recv::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Summary, Failure> {
    let recv::Order { way, show, partial_dir, credentials, link, memory, skips } = order;
    let open_disk: OpenDisk =
        Arc::new(move |path| Ok(Arc::new(RealDisk::open_with(path, partial_dir.clone())?) as Arc<dyn Disk>));
    let sessions = memory.and_then(|memory| memory.open(&*observer));
    let env = Env { open_disk, sessions, ..env(&credentials, link)? };
    let summary = match way {
        recv::Way::Pull(pull) => {
            let (contact, mut options) = *pull;
            let reach = Reach { family: options.family, ports: options.ports, contimeout: options.contimeout, link };
            let introduced = contact.introduce(reach, &*observer, &cancel).await?;
            options.peer = introduced.peer.clone();
            options.contimeout = introduced.contimeout;
            let env = Env { link: introduced.link, ..env };
            let watching = Arc::new(Watching { observer: observer.clone(), met: Mutex::default() });
            let result = pipeline::pull(&env, options, watching.clone(), cancel).await;
            watching.tell(&contact, introduced.link);
            match result {
                Err(pipeline::Error::Locked) if skips => return Ok(left_to_other(&*observer)),
                result => result.map_err(|error| introduced.explain(error, env.identity.node_id())),
            }
        }
        recv::Way::Wait(wait) => {
            let (options, authority) = *wait;
            let env = Env { authority, ..env };
            let invitation = Invitation::new(show, observer.clone(), &cancel);
            let result = pipeline::recv(&env, options, invitation.observer(), invitation.cancel()).await;
            if skips && matches!(result, Err(pipeline::Error::Locked)) {
                return Ok(left_to_other(&*observer));
            }
            invitation.failure().map_or(result.map_err(failure), Err)
        }
    };
    summary.map(|mut summary| {
        summary.stats.push(("files and directories synced", syncs()));
        summary
    })
}

/// Another run is at it, and that is as good.
fn left_to_other(observer: &dyn Observer) -> Summary {
    observer.event(&Event::Note { message: "another run is at it: nothing was done".into() });
    Summary::NOTHING
}

fn env(credentials: &Credentials, link: Option<Link>) -> Result<Env, Failure> {
    Ok(Env {
        identity: Arc::new(credentials.load()?),
        authority: None,
        sockets: Arc::new(UdpSockets),
        open_disk: Arc::new(|path| Ok(Arc::new(RealDisk::open(path)?) as Arc<dyn Disk>)),
        authorized: Arc::new(authorized),
        sessions: None,
        blocking: Blocking::Pool,
        random: Arc::new(|bytes| getrandom::fill(bytes).expect("the system has randomness")),
        link,
        seed: None,
    })
}

/// What the user's list says of a node now.
fn authorized(node: NodeId) -> Result<Option<Grant>, String> {
    let file = home::file(authorized::FILE).map_err(|failure| failure.message)?;
    let nodes = AuthorizedNodes::load(&file).map_err(|error| escape::without_number(&error.to_string()))?;
    Ok(nodes.grant(node, contact::today()))
}

/// An error of the library as one of the command line.
pub(super) fn failure(error: pipeline::Error) -> Failure {
    Failure { class: error.class(), message: escape::without_number(&error.to_string()), hint: error.hint() }
}
