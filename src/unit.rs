//! Units that people type and read: sizes, rates and spans of time.
//!
//! Sizes and rates have rsync's meaning (`1K` = 1024, `1KB` = 1000, `1KiB` = 1024, `1.5m`, `1.5mb-1`, `2g+1`), which no crate
//! gives: there K and KB are equal. A span without a unit is seconds, as in `--timeout=30`. Parsing is exact (integers, no
//! floats) and refuses what does not fit; formatting rounds to three digits and always names the unit.

use std::fmt;
use std::time::Duration;

/// Why a size, rate or span was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnitError {
    /// No digits where a number must stand.
    #[error("a number is expected")]
    NoNumber,
    /// The text after the number is no unit of a size.
    #[error("the unit is none of B, K, M, G, T, P (1024), KB, MB, … (1000), KiB, MiB, … (1024)")]
    SizeUnit,
    /// The text after the number is no unit of time.
    #[error("the unit is none of ms, s, m, h, d, w")]
    SpanUnit,
    /// The value does not fit.
    #[error("the value is out of range")]
    Range,
}

/// Parses a size in bytes; a number without a unit is bytes.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    size_with(text, 0)
}

/// Parses a rate in bytes per second; a number without a unit is KiB/s, as in rsync's `--bwlimit`. 0 means no limit.
pub fn parse_rate(text: &str) -> Result<u64, UnitError> {
    size_with(text, 1)
}

/// Parses a rate of a line as [`parse_rate`] does or, as lines are sold, in bits per second: `9600bit`, `9.6kbit`. Gives bytes.
pub fn parse_line_rate(text: &str) -> Result<u64, UnitError> {
    let Some(bits) = text.to_ascii_lowercase().strip_suffix("bit").map(str::to_owned) else { return parse_rate(text) };
    // A thousand each, as everywhere where bits are meant.
    let unit = if bits.ends_with(['k', 'm', 'g']) { "b" } else { "" };
    let number = bits.trim_end_matches(['k', 'm', 'g']);
    if number.len() + unit.len() != bits.len() || number.contains(|c: char| !c.is_ascii_digit() && c != '.') {
        return Err(UnitError::SizeUnit);
    }
    parse_size(&format!("{bits}{unit}")).map(|bits| bits / 8)
}

/// A size whose number, when it has no unit, is meant in units of 1024 to the power `bare`.
fn size_with(text: &str, bare: u32) -> Result<u64, UnitError> {
    let (whole, rest) = digits(text);
    let (fraction, rest) = match rest.strip_prefix('.') {
        Some(rest) => digits(rest),
        None => ("", rest),
    };
    if whole.is_empty() && fraction.is_empty() {
        return Err(UnitError::NoNumber);
    }
    let (unit, adjust) = match rest.find(['+', '-']) {
        Some(at) => rest.split_at(at),
        None => (rest, ""),
    };
    let scale = scale(unit, bare).ok_or(UnitError::SizeUnit)?;
    // Beyond 18 places a fraction of even a PiB is less than a byte.
    let fraction = &fraction[..fraction.len().min(18)];
    let number = |digits: &str| match digits {
        "" => Ok(0),
        digits => digits.parse::<u64>().map_err(|_| UnitError::Range),
    };
    let part = u128::from(number(fraction)?) * u128::from(scale) / 10_u128.pow(fraction.len() as u32);
    let value = u128::from(number(whole)?) * u128::from(scale) + part;
    let value = u64::try_from(value).map_err(|_| UnitError::Range)?;
    match adjust {
        "" => Some(value),
        "+1" => value.checked_add(1),
        "-1" => value.checked_sub(1),
        _ => return Err(UnitError::SizeUnit),
    }
    .ok_or(UnitError::Range)
}

/// Bytes in one `unit` (`""`, `K`, `kb`, `KiB`, …).
fn scale(unit: &str, bare: u32) -> Option<u64> {
    let unit = unit.to_ascii_lowercase();
    let Some(letter) = unit.chars().next() else {
        return Some(1024_u64.pow(bare));
    };
    let power = "bkmgtp".find(letter)? as u32;
    match &unit[1..] {
        "" => Some(1024_u64.pow(power)),
        "b" if power > 0 => Some(1000_u64.pow(power)),
        "ib" if power > 0 => Some(1024_u64.pow(power)),
        _ => None,
    }
}

/// Parses a span: digits alone are seconds; else numbers with units, largest first or not: `90m`, `1h30m`, `2d`, `250ms`.
pub fn parse_span(text: &str) -> Result<Duration, UnitError> {
    let (mut rest, mut span) = (text, Duration::ZERO);
    loop {
        let (number, after) = digits(rest);
        if number.is_empty() {
            return Err(UnitError::NoNumber);
        }
        let number: u64 = number.parse().map_err(|_| UnitError::Range)?;
        let (unit, after) = after.split_at(after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len()));
        let millis: u64 = match unit {
            "" if rest.len() == text.len() => 1000,
            "ms" => 1,
            "s" => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            "d" => 86_400_000,
            "w" => 604_800_000,
            _ => return Err(UnitError::SpanUnit),
        };
        let part = number.checked_mul(millis).map(Duration::from_millis);
        span = part.and_then(|part| span.checked_add(part)).ok_or(UnitError::Range)?;
        if after.is_empty() {
            return Ok(span);
        }
        rest = after;
    }
}

/// Splits the ASCII digits off the front.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()))
}

/// Bytes for people: `999 B`, `1.46 KiB`, `23.1 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const UNITS: [&str; 7] = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
        let (mut unit, mut value) = (0, self.0 as f64);
        // 999.5 and not 1024: four digits before the point never show.
        while value >= 999.5 && unit + 1 < UNITS.len() {
            (unit, value) = (unit + 1, value / 1024.0);
        }
        let places = match value {
            _ if unit == 0 => 0,
            value if value < 9.995 => 2,
            value if value < 99.95 => 1,
            _ => 0,
        };
        write!(f, "{value:.places$} {}", UNITS[unit])
    }
}

/// Bytes per second for people: `1.46 KiB/s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate(pub u64);

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", Size(self.0))
    }
}

/// A span for people: `0.4s`, `42s`, `1m05s`, `2h03m`, `4d11h`. Rounded down from ten seconds on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (seconds, tenths) = (self.0.as_secs(), self.0.subsec_millis() / 100);
        match seconds {
            0..10 => write!(f, "{seconds}.{tenths}s"),
            10..60 => write!(f, "{seconds}s"),
            60..3600 => write!(f, "{}m{:02}s", seconds / 60, seconds % 60),
            3600..86_400 => write!(f, "{}h{:02}m", seconds / 3600, seconds / 60 % 60),
            _ => write!(f, "{}d{:02}h", seconds / 86_400, seconds / 3600 % 24),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn lines_are_measured_in_bits_too() {
        let table = [
            ("9600bit", 1200),
            ("9.6kbit", 1200),
            ("2.4Kbit", 300),
            ("64kbit", 8000),
            ("1mbit", 125_000),
            ("1", 1024),
            ("300b", 300),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_line_rate(text), Ok(bytes), "{text}");
        }
        for text in ["bit", "kbit", "9bbit", "9kibit", "9kbit-1", "xbit", "9tbit", "-9bit", "9kbits"] {
            assert!(parse_line_rate(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_have_the_meaning_of_rsync() {
        let table = [
            ("0", 0),
            ("17", 17),
            ("17b", 17),
            ("1K", 1024),
            ("1k", 1024),
            ("1KB", 1000),
            ("1KiB", 1024),
            ("1kib", 1024),
            ("1.5m", 1_572_864),
            ("1.5mb", 1_500_000),
            ("1.5mb-1", 1_499_999),
            ("2g+1", 2_147_483_649),
            (".5k", 512),
            ("1.k", 1024),
            ("0.1K", 102),
            ("3T", 3 << 40),
            ("1P", 1 << 50),
            ("1.0000000000000000000000000001P", 1 << 50),
            ("18446744073709551615", u64::MAX),
        ];
        for (text, bytes) in table {
            assert_eq!(parse_size(text), Ok(bytes), "{text}");
        }
    }

    #[test]
    fn a_bare_rate_is_kib() {
        assert_eq!(parse_rate("100"), Ok(102_400));
        assert_eq!(parse_rate("100b"), Ok(100));
        assert_eq!(parse_rate("1.5mb"), Ok(1_500_000));
        assert_eq!(parse_rate("0"), Ok(0));
    }

    #[test]
    fn wrong_sizes_are_refused() {
        let table = [
            ("", UnitError::NoNumber),
            (".", UnitError::NoNumber),
            ("k", UnitError::NoNumber),
            ("-1", UnitError::NoNumber),
            ("1x", UnitError::SizeUnit),
            ("1 k", UnitError::SizeUnit),
            ("1kbs", UnitError::SizeUnit),
            ("1bb", UnitError::SizeUnit),
            ("1é", UnitError::SizeUnit),
            ("1k+2", UnitError::SizeUnit),
            ("1k+", UnitError::SizeUnit),
            ("0-1", UnitError::Range),
            ("18446744073709551616", UnitError::Range),
            ("18446744073709551615+1", UnitError::Range),
            ("17000000P", UnitError::Range),
        ];
        for (text, error) in table {
            assert_eq!(parse_size(text), Err(error), "{text}");
        }
    }

    #[test]
    fn spans() {
        let table = [
            ("30", 30_000),
            ("0", 0),
            ("250ms", 250),
            ("90m", 5_400_000),
            ("1h30m", 5_400_000),
            ("2d", 172_800_000),
            ("1w1d", 691_200_000),
            ("1m05s", 65_000),
        ];
        for (text, millis) in table {
            assert_eq!(parse_span(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let table = [
            ("", UnitError::NoNumber),
            ("m", UnitError::NoNumber),
            ("1m30", UnitError::SpanUnit),
            ("1.5h", UnitError::SpanUnit),
            ("1y", UnitError::SpanUnit),
            ("1 h", UnitError::SpanUnit),
            ("99999999999999999999", UnitError::Range),
            ("18446744073709551615w", UnitError::Range),
        ];
        for (text, error) in table {
            assert_eq!(parse_span(text), Err(error), "{text}");
        }
    }

    #[test]
    fn what_people_read() {
        let table = [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "0.98 KiB"),
            (1024, "1.00 KiB"),
            (1536, "1.50 KiB"),
            (10_240, "10.0 KiB"),
            (1_023_000, "999 KiB"),
            (1_048_064, "1.00 MiB"),
            (u64::MAX, "16.0 EiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(Size(bytes).to_string(), text);
        }
        assert_eq!(Rate(1536).to_string(), "1.50 KiB/s");
        let table = [(0, "0.0s"), (9_999, "9.9s"), (42_500, "42s"), (65_000, "1m05s"), (7_380_000, "2h03m")];
        for (millis, text) in table {
            assert_eq!(Span(Duration::from_millis(millis)).to_string(), text);
        }
        assert_eq!(Span(Duration::from_secs(385_200)).to_string(), "4d11h");
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "\\PC{0,24}") {
            let _ = (parse_size(&text), parse_rate(&text), parse_span(&text));
        }

        #[test]
        fn a_size_shows_at_most_three_digits(bytes: u64) {
            let text = Size(bytes).to_string();
            prop_assert!(text.chars().filter(char::is_ascii_digit).count() <= 3, "{}", text);
        }
    }
}
