//! Spans of time as options mean them, on top of [`crate::unit`]: time-outs, patience, and spans that must not be nothing.
//!
//! Invariant: a span is at most [`LONGEST`], so that adding it to a point in time never overflows.

use crate::pipeline::RetryFor;
use crate::unit;
use std::time::Duration;

/// Ten years: no span that anyone means is longer.
const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// Reads `SPAN|forever`.
pub(super) fn patience(text: &str) -> Result<RetryFor, String> {
    if text == "forever" {
        return Ok(RetryFor::Forever);
    }
    span(text).map(RetryFor::Span)
}

/// Reads a span of more than nothing.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err("more than 0 is needed".into()),
        span => Ok(span),
    }
}

/// Reads a time-out, where 0 is none, as in rsync.
pub(super) fn time_out(text: &str) -> Result<Duration, String> {
    Ok(match span(text)? {
        Duration::ZERO => LONGEST,
        span => span,
    })
}

/// Reads a span; a bare number is seconds.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    match unit::parse_span(text) {
        Ok(span) if span > LONGEST => Err("that is more than ten years".into()),
        Ok(span) => Ok(span),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_and_forever_have_their_meaning() {
        assert_eq!(patience("forever"), Ok(RetryFor::Forever));
        assert_eq!(patience("0"), Ok(RetryFor::Span(Duration::ZERO)));
        assert_eq!(time_out("0"), Ok(LONGEST));
        assert_eq!(time_out("30"), Ok(Duration::from_secs(30)));
        assert!(some_time("0").is_err());
    }

    #[test]
    fn nobody_waits_for_ever_by_mistake() {
        assert_eq!(span("3650d"), Ok(LONGEST));
        assert!(span("3651d").is_err() && span("soon").is_err());
    }
}
