//! Options that `send` and `recv` share: how the peer is reached, and for how long.

use super::span;
use crate::pipeline::{Family, Ports, RetryFor};
use clap::Args;
use std::time::Duration;

/// Silence, unless it is said.
const TIMEOUT: Duration = Duration::from_secs(60);

/// The options as typed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Connect")]
pub(super) struct Flags {
    /// Keep trying for this long to go on after the other side fell silent or broke off, or `forever`
    #[arg(long, value_name = "SPAN", default_value = "10m", value_parser = span::patience)]
    pub(super) retry_for: RetryFor,
    /// Use IPv4 only
    #[arg(short = '4', overrides_with = "ipv6", hide_short_help = true)]
    ipv4: bool,
    /// Use IPv6 only
    #[arg(short = '6', overrides_with = "ipv4", hide_short_help = true)]
    ipv6: bool,
}

/// Where a command that dials does so from.
#[derive(Args, Clone, Copy, Debug)]
#[command(next_help_heading = "Connect")]
pub(super) struct Outlet {
    /// Dial from this local UDP port, or the first free one of a range
    #[arg(long, value_name = "PORT[-PORT]", default_value = "0", hide_default_value = true, hide_short_help = true, value_parser = ports)]
    pub(super) port: Ports,
    /// After so long without a word try another connection as well, 0 for never [default: 60]
    #[arg(long, value_name = "SECS", help_heading = "Connect", hide_short_help = true, value_parser = span::time_out)]
    timeout: Option<Duration>,
}

impl Outlet {
    /// How much silence is borne before another way is tried.
    pub(super) fn timeout(&self) -> Duration {
        self.timeout.unwrap_or(TIMEOUT)
    }

    /// The same, if it was typed.
    pub(super) fn typed_timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// The same words, with this one instead if there is one.
    pub(super) fn with_timeout(self, instead: Option<Duration>) -> Outlet {
        Outlet { timeout: instead.or(self.timeout), ..self }
    }
}

/// Reads `PORT[-PORT]`; 0 alone is any.
fn ports(text: &str) -> Result<Ports, String> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    match (first.parse(), last.parse()) {
        (Ok(first), Ok(last)) if first == last || (0 < first && first < last) => Ok(Ports { first, last }),
        _ => Err("not PORT or PORT-PORT (60000, 60000-60010)".into()),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_ports_goes_up() {
        assert_eq!(ports("0"), Ok(Ports::default()));
        assert_eq!(ports("60000"), Ok(Ports { first: 60_000, last: 60_000 }));
        assert_eq!(ports("60000-60010"), Ok(Ports { first: 60_000, last: 60_010 }));
        for text in ["", "-", "x", "9-8", "0-9", "70000", "1-2-3", "-5", "5-"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }
}
