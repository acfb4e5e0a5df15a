//! Options that `send` and `recv` share: how the peer is reached, and for how long.

use super::span;
use crate::pipeline::{Family, RetryFor};
use clap::Args;

/// The options as typed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// Keep probing a silent path for this long, or `forever`
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span::patience)]
    pub(super) retry_for: RetryFor,
    /// Use IPv4 only
    #[arg(short = '4', overrides_with = "ipv6")]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', overrides_with = "ipv4")]
    ipv6: bool,
}

impl Flags {
    /// The address family of `-4` and `-6`.
    pub(super) fn family(&self) -> Family {
        match (self.ipv4, self.ipv6) {
            (true, _) => Family::V4,
            (_, true) => Family::V6,
            (false, false) => Family::Any,
        }
    }
}
