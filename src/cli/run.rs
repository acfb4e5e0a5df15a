//! The one place where a command that was understood meets the library that does it.
//!
//! Turns [`send::Order`] and [`recv::Order`] into the options of `pipeline`, and its summary or error into an [`Outcome`] or
//! [`Failure`]. Nothing else in `cli` calls `pipeline` or `network`.

use super::cancel::Cancel;
use super::connect::{Connect, Family};
use super::exit::{Failure, Outcome};
use super::{recv, send};
use crate::event::Observer;
use crate::fs::disk::Disk;
use crate::fs::real::RealDisk;
use crate::network::identity::Identity;
use crate::network::seam::{Blocking, UdpSockets};
use crate::pipeline::{self, Env, RecvOptions, RetryFor, SendOptions, Summary};
use std::path::Path;
use std::sync::Arc;

/// Does `send`.
pub(super) async fn send(order: send::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Outcome, Failure> {
    let (family, retry_for) = connect(order.connect);
    let options =
        SendOptions { sources: order.sources, ticket: order.ticket, family, contimeout: order.contimeout, retry_for };
    outcome(pipeline::send(&env(&order.identity)?, options, observer, told(cancel)).await)
}

/// Does `recv`.
pub(super) async fn recv(order: recv::Order, observer: Arc<dyn Observer>, cancel: Cancel) -> Result<Outcome, Failure> {
    let (family, retry_for) = connect(order.connect);
    let listen =
        pipeline::Listen { address: order.listen.address, port: order.listen.port, or_any: !order.listen.typed };
    let options = RecvOptions { dir: order.directory, listen, family, ticket_life: order.ticket_life, retry_for };
    outcome(pipeline::recv(&env(&order.identity)?, options, observer, told(cancel)).await)
}

/// Loads this node's identity, made on first use.
pub(super) fn identity(file: &Path) -> Result<Identity, Failure> {
    Identity::load_or_create(file).map_err(|error| Failure::new(error.class(), error.to_string()))
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

fn connect(connect: Connect) -> (pipeline::Family, RetryFor) {
    let family = match connect.family {
        Family::Any => pipeline::Family::Any,
        Family::V4 => pipeline::Family::V4,
        Family::V6 => pipeline::Family::V6,
    };
    (family, connect.retry_for.map_or(RetryFor::Forever, RetryFor::Span))
}

/// The library's form of the wish to stop.
fn told(cancel: Cancel) -> pipeline::Cancel {
    let (tell, told) = pipeline::Cancel::channel();
    tokio::spawn(async move {
        tokio::select! {
            () = cancel.cancelled() => { tell.send_replace(true); }
            () = tell.closed() => {}
        }
    });
    told
}

fn outcome(result: Result<Summary, pipeline::Error>) -> Result<Outcome, Failure> {
    match result {
        Ok(summary) => Ok(Outcome {
            class: summary.class,
            session: Some(summary.session),
            bytes_sent: summary.bytes_sent,
            bytes_literal: summary.bytes_literal,
            bytes_matched: summary.bytes_matched,
            files: summary.files,
            stats: summary.stats.into_iter().map(|(what, count)| (what.to_string(), count.to_string())).collect(),
        }),
        Err(error) => Err(Failure { class: error.class(), message: error.to_string(), hint: error.hint() }),
    }
}
