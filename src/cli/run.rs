//! The one place where a command that was understood meets the library that does it.
//!
//! Turns [`send::Order`] and [`recv::Order`] into the options of `pipeline`, and its summary or error into an [`Outcome`] or
//! [`Failure`]. Nothing else in `cli` calls `pipeline` or `network`.

use super::cancel::Cancel;
use super::exit::{Failure, Outcome};
use super::{recv, send};
use crate::class::Class;
use crate::event::Observer;
use crate::network::identity::Identity;
use std::path::Path;
use std::sync::Arc;

/// Does `send`.
pub(super) async fn send(
    order: send::Order,
    _observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Outcome, Failure> {
    let _identity = identity(&order.identity)?;
    cancel.cancelled().await;
    Err(Failure::new(Class::Unsupported, format!("{order:?}")))
}

/// Does `recv`.
pub(super) async fn recv(
    order: recv::Order,
    _observer: Arc<dyn Observer>,
    cancel: Cancel,
) -> Result<Outcome, Failure> {
    let _identity = identity(&order.identity)?;
    cancel.cancelled().await;
    Err(Failure::new(Class::Unsupported, format!("{order:?}")))
}

/// Loads this node's identity, made on first use.
pub(super) fn identity(file: &Path) -> Result<Identity, Failure> {
    Identity::load_or_create(file).map_err(|error| Failure::new(error.class(), error.to_string()))
}
