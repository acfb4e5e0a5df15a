//! Figures for people: sizes, rates, spans. Decimal units, three digits; scripts read the JSON, which has bytes and milliseconds.

/// A number of bytes.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["kB", "MB", "GB", "TB", "PB", "EB"];
    if bytes < 1000 {
        return format!("{bytes} B");
    }
    let (mut value, mut unit) = (bytes as f64 / 1000.0, 0);
    // 999.95 would be shown as 1000.0.
    while value >= 999.95 && unit + 1 < UNITS.len() {
        value /= 1000.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// A share of one, in percent; never 100 before it is all.
pub(super) fn percent(share: f64) -> String {
    let share = if share.is_finite() {
        share.clamp(0.0, 1.0)
    } else {
        0.0
    };
    format!("{}%", (share * 100.0).floor())
}

/// A span as a clock shows it.
pub(super) fn clock(milliseconds: u64) -> String {
    let seconds = milliseconds.div_ceil(1000);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    if hours > 0 {
        format!("{hours}:{minutes:02}:{seconds:02}")
    } else {
        format!("{minutes}:{seconds:02}")
    }
}

/// A span that has passed.
pub(super) fn span(milliseconds: u64) -> String {
    if milliseconds < 60_000 {
        format!("{:.1} s", milliseconds as f64 / 1000.0)
    } else {
        clock(milliseconds)
    }
}

/// `1 file`, `2 files`.
pub(super) fn files(count: u64) -> String {
    format!("{count} file{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_digits_and_a_unit() {
        for (bytes, shown) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (999_949, "999.9 kB"),
            (999_950, "1.0 MB"),
            (12_345_678, "12.3 MB"),
        ] {
            assert_eq!(size(bytes), shown);
        }
        assert_eq!(size(u64::MAX), "18.4 EB");
    }

    #[test]
    fn shares_and_spans() {
        assert_eq!(
            (
                percent(0.999_9),
                percent(1.0),
                percent(f64::NAN),
                percent(7.0)
            ),
            ("99%".into(), "100%".into(), "0%".into(), "100%".into())
        );
        assert_eq!(
            (clock(44_001), clock(3_725_000)),
            ("0:45".into(), "1:02:05".into())
        );
        assert_eq!((span(4_520), span(61_000)), ("4.5 s".into(), "1:01".into()));
        assert_eq!((files(1), files(0)), ("1 file".into(), "0 files".into()));
    }
}
