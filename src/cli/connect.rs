//! Options that `send` and `recv` share: how the peer is reached, and for how long.

use super::span::{self, Patience};
use clap::Args;
use std::time::Duration;

/// The options as typed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// Keep probing a silent path for this long, or `forever`
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span::patience)]
    retry_for: Patience,
    /// Use IPv4 only
    #[arg(short = '4', overrides_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', overrides_with = "ipv4")]
    ipv6: bool,
}

/// The options as meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connect {
    /// How long a silent path is probed; `None`: without end.
    pub(super) retry_for: Option<Duration>,
    /// Which addresses are used.
    pub(super) family: Family,
}

/// Address families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Family {
    /// Both.
    Any,
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Flags {
    pub(super) fn resolve(&self) -> Connect {
        let family = match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            (false, false) => Family::Any,
        };
        Connect { retry_for: self.retry_for.0, family }
    }
}
