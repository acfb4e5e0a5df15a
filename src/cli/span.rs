//! Spans of time as typed: `30` is seconds, `90s`, `10m`, `1h30m`, `2 days` say their unit.
//!
//! Invariant: a span is at most [`LONGEST`], so that adding it to a point in time never overflows.

use std::time::Duration;

/// Ten years: no span that anyone means is longer.
pub(super) const LONGEST: Duration = Duration::from_secs(3650 * 86_400);

/// How long to keep trying: a span, or without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Patience(pub(super) Option<Duration>);

/// Reads `SPAN|forever`.
pub(super) fn patience(text: &str) -> Result<Patience, String> {
    if text == "forever" {
        Ok(Patience(None))
    } else {
        span(text).map(|span| Patience(Some(span)))
    }
}

/// Reads a span of more than nothing.
pub(super) fn some_time(text: &str) -> Result<Duration, String> {
    match span(text)? {
        Duration::ZERO => Err("more than 0 is needed".into()),
        span => Ok(span),
    }
}

/// Reads a time-out, where 0 is none, as in rsync: [`LONGEST`].
pub(super) fn time_out(text: &str) -> Result<Duration, String> {
    Ok(match span(text)? {
        Duration::ZERO => LONGEST,
        span => span,
    })
}

/// Reads a span.
pub(super) fn span(text: &str) -> Result<Duration, String> {
    let wrong = || "not a span of time (30, 90s, 10m, 1h30m, 2d)".to_owned();
    let (mut rest, mut seconds) = (text.trim(), 0_f64);
    if rest.is_empty() {
        return Err(wrong());
    }
    if !rest.contains(|c: char| !c.is_ascii_digit() && c != '.') {
        return whole(rest.parse().map_err(|_| wrong())?);
    }
    while !rest.is_empty() {
        let end = rest
            .find(|c: char| !c.is_ascii_digit() && c != '.')
            .unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().map_err(|_| wrong())?;
        rest = rest[end..].trim_start();
        let end = rest
            .find(|c: char| !c.is_ascii_alphabetic())
            .unwrap_or(rest.len());
        let unit = match &rest[..end] {
            "ms" | "msec" | "millis" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86_400.0,
            "w" | "week" | "weeks" => 604_800.0,
            _ => return Err(wrong()),
        };
        seconds += number * unit;
        rest = rest[end..].trim_start();
    }
    whole(seconds)
}

fn whole(seconds: f64) -> Result<Duration, String> {
    Duration::try_from_secs_f64(seconds)
        .ok()
        .filter(|span| *span <= LONGEST)
        .ok_or_else(|| "more than ten years".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bare_number_is_seconds_and_units_add_up() {
        for (text, millis) in [
            ("30", 30_000),
            ("0", 0),
            ("1.5", 1_500),
            ("500ms", 500),
            ("10m", 600_000),
            ("1h30m", 5_400_000),
            ("1h 30min 5s", 5_405_000),
            ("2 days", 172_800_000),
            (" 1w ", 604_800_000),
        ] {
            assert_eq!(span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            " ",
            "m",
            "-5",
            "10x",
            "1h30",
            "5 30",
            "1..2s",
            "1e3",
            "11y",
            "99999999999999w",
            "∞",
        ] {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn zero_and_forever() {
        assert_eq!(patience("forever"), Ok(Patience(None)));
        assert_eq!(patience("0"), Ok(Patience(Some(Duration::ZERO))));
        assert_eq!(time_out("0"), Ok(LONGEST));
        assert!(some_time("0").is_err());
    }

    proptest::proptest! {
        #[test]
        fn no_text_panics(text in "\\PC*") {
            let _ = span(&text);
        }
    }
}
