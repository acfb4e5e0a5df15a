//! Options that `send` and `recv` share: how the peer is reached, and for how long.

use super::span;
use crate::pipeline::{Family, Ports, RetryFor};
use clap::Args;

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
#[derive(Args, Debug)]
#[command(next_help_heading = "Connect")]
pub(super) struct Outlet {
    /// Dial from this local UDP port, or the first free one of a range
    #[arg(long, value_name = "PORT[-PORT]", default_value = "0", hide_default_value = true, hide_short_help = true, value_parser = ports)]
    pub(super) port: Ports,
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
