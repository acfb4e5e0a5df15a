//! Limits after which a transfer stops although there is more: of time and of bytes.
//!
//! rsync counts `--stop-after` in minutes and nobody else counts anything in minutes: here a unit must be said.

use crate::pipeline::Stop;
use crate::unit;
use clap::Args;
use std::time::Duration;

/// The options as typed.
#[derive(Args, Debug)]
#[group(skip)]
#[command(next_help_heading = "Transfer")]
pub(super) struct Flags {
    /// Stop after this time (90m, 2h); the same command goes on from there
    #[arg(long, value_name = "SPAN", value_parser = span_with_unit, hide_short_help = true)]
    stop_after: Option<Duration>,
    /// Stop before more file bytes than this cross the network
    #[arg(long, value_name = "SIZE", value_parser = size, hide_short_help = true)]
    max_transfer: Option<u64>,
}

impl Flags {
    /// These words, and those of `other` where none were typed.
    pub(super) fn or(&self, other: &Flags) -> Flags {
        Flags {
            stop_after: self.stop_after.or(other.stop_after),
            max_transfer: self.max_transfer.or(other.max_transfer),
        }
    }

    /// What they mean.
    pub(super) fn stop(&self) -> Stop {
        Stop { after: self.stop_after, bytes: self.max_transfer }
    }
}

fn span_with_unit(text: &str) -> Result<Duration, String> {
    if text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return Err(format!("a unit is needed: {text}m for minutes, {text}s for seconds"));
    }
    super::span::some_time(text)
}

fn size(text: &str) -> Result<u64, String> {
    unit::parse_size(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn minutes_and_seconds_are_told_apart() {
        assert_eq!(span_with_unit("90m"), Ok(Duration::from_secs(5400)));
        assert!(span_with_unit("90").unwrap_err().contains("90m"));
        assert!(span_with_unit("0s").is_err() && span_with_unit("").is_err());
    }
}
