//! The one place where a command that was understood meets the library that does it.
//!
//! Turns [`send::Order`] and [`recv::Order`] into the options of `pipeline`, and its summary or error into an [`Outcome`] or
//! [`Failure`]. Nothing else in `cli` calls `pipeline` or `network`.

use super::cancel::Cancel;
use super::exit::{Failure, Outcome};
use super::key::Identity;
use super::{recv, send};
use crate::class::Class;
use crate::event::Observer;
use std::path::Path;
use std::sync::Arc;

/// Does `send`.
pub(super) fn send(
    order: send::Order,
    _observer: Arc<dyn Observer>,
    _cancel: Cancel,
) -> impl Future<Output = Result<Outcome, Failure>> {
    let send::Order {
        sources: _,
        ticket: _,
        contimeout: _,
        connect: _,
        identity,
    } = order;
    std::future::ready(Err(absent(&identity)))
}

/// Does `recv`.
pub(super) fn recv(
    order: recv::Order,
    _observer: Arc<dyn Observer>,
    _cancel: Cancel,
) -> impl Future<Output = Result<Outcome, Failure>> {
    let recv::Order {
        directory: _,
        listen: _,
        ticket_life: _,
        connect: _,
        identity,
    } = order;
    std::future::ready(Err(absent(&identity)))
}

/// Loads this node's identity, made on first use.
pub(super) fn identity(file: &Path) -> Result<Identity, Failure> {
    Err(absent(file))
}

fn absent(file: &Path) -> Failure {
    Failure::new(
        Class::Unsupported,
        format!("{}: this build has no transfer engine", file.display()),
    )
}
