//! Options that say how fast, how small, how safe and in which order: `--bwlimit`, `--link`, `--max-chunk-rate`, `--compress`,
//! `--parity`, `--priority`.
//!
//! Invariant: rates have rsync's units and 0 is no limit; what a command could not do anything with is not an option of it. Only who
//! sends compresses and orders, so [`Sending`] is for senders; [`Limits`] is for both, and `DOWN` reaches the sender by the receiver's
//! feedback.

use super::exit::Failure;
use crate::chunk::adaptive::ParityTable;
use crate::chunk::compression::{Choice, Method, ZSTD_DEFAULT, ZSTD_LEVELS};
use crate::filter::{Classes, Pattern};
use crate::link::Link;
use crate::network::limit::Bandwidth;
use crate::priority::Priority;
use crate::transfer::Parity;
use crate::unit::{self, Rate, UnitError};
use clap::Args;
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::ffi::{OsStr, OsString};
use std::num::{NonZeroU32, NonZeroU64};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};

/// The variable that holds a `--bwlimit` for commands that do not have one.
const VARIABLE: &str = "RESILIENT_BWLIMIT";

/// Limits of both ends, as typed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Transfer")]
pub(super) struct Limits {
    /// Go no faster than RATE (KiB/s, or with a unit)
    ///
    /// RATE[,BURST], or UP:DOWN for each direction; 0 is no limit.
    #[arg(
        long, value_name = "RATE", value_parser = limit, help_heading = "Transfer"
    )]
    bwlimit: Option<Limit>,
    /// Reckon from the first packet on with a slow link of RATE (9.6kbit, 300B)
    ///
    /// For radio and satellite telephones, below about 64 kbit/s. A hint, not a limit, best given at both ends: nothing is sent again before
    /// an answer can have come, and --contimeout is 300 unless it is given. RATE is in bytes as for --bwlimit, or in bits with bit, kbit: a link of
    /// 9600 bit/s is --link 9.6kbit.
    #[arg(long, value_name = "RATE", value_parser = link, help_heading = "Transfer", hide_short_help = true)]
    link: Option<Link>,
}

/// Options of who sends, as typed.
#[derive(Args, Debug)]
#[command(next_help_heading = "Transfer")]
pub(super) struct Sending {
    /// Compress: auto, none, lz4 or zstd[:LEVEL] [default: auto]
    #[arg(
        short = 'z', long, value_name = "HOW", value_parser = compression, help_heading = "Transfer",
        num_args = 0..=1, require_equals = true, default_missing_value = "auto", overrides_with = "no_compress", hide_short_help = true
    )]
    compress: Option<Choice>,
    /// Do not compress
    #[arg(long, overrides_with = "compress", help_heading = "Transfer", hide_short_help = true)]
    no_compress: bool,
    /// Send at most N chunks a second, 0 for no limit
    #[arg(
        long,
        value_name = "N",
        default_value = "0",
        hide_default_value = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    max_chunk_rate: u32,
    /// Parity ahead of loss: auto, table, N on 50 data shards, or N% of all [default: auto]
    ///
    /// auto: where it pays, in the first flight and behind the last data. table: also 5, 10, 15, 20 or 25 on 50 behind each stripe, by the
    /// loss. N, 1 to 205, or N%, 1 to 80: also that much behind each stripe. 0: none. Whatever is lost is repaired in any case.
    #[arg(
        long,
        value_name = "HOW",
        value_parser = parity,
        default_value = "auto",
        hide_default_value = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    parity: Parity,
    /// Class at the receiver and between files: critical, high or normal
    #[arg(
        long,
        value_name = "CLASS",
        default_value = "normal",
        hide_default_value = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    priority: Priority,
    /// Class of the files that PATTERN fits; the first that does counts
    #[arg(
        long, value_name = "PATTERN=CLASS", help_heading = "Transfer", hide_short_help = true,
        value_parser = OsStringValueParser::new().try_map(class_for), action = clap::ArgAction::Append
    )]
    priority_for: Vec<(Pattern, Priority)>,
}

/// What may go in either direction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Limit {
    /// What this end sends.
    pub(super) up: Option<Bandwidth>,
    /// What the other end sends.
    pub(super) down: Option<NonZeroU64>,
}

impl Limit {
    /// [`Self::down`] as it travels: a rate beyond 4 GB/s is as good as none that could be told.
    pub(super) fn allowed(self) -> Option<NonZeroU32> {
        self.down.and_then(|rate| NonZeroU32::try_from(rate).ok())
    }
}

impl Limits {
    /// These words, and those of `other` where none were typed.
    pub(super) fn or(&self, other: &Limits) -> Limits {
        Limits { bwlimit: self.bwlimit.or(other.bwlimit), link: self.link.or(other.link) }
    }

    /// What is said of the link.
    pub(super) fn link(&self) -> Option<Link> {
        self.link
    }

    /// The limits in force: what was typed goes before what is in the environment.
    pub(super) fn resolve(&self) -> Result<Limit, Failure> {
        self.resolve_with(std::env::var_os(VARIABLE))
    }

    fn resolve_with(&self, environment: Option<OsString>) -> Result<Limit, Failure> {
        match (self.bwlimit, environment.filter(|text| !text.is_empty())) {
            (Some(typed), _) => Ok(typed),
            (None, Some(text)) => {
                let wrong = |cause: String| Failure::usage(format!("{VARIABLE}: {cause}"));
                limit(text.to_str().ok_or_else(|| wrong("not text".into()))?).map_err(wrong)
            }
            (None, None) => Ok(Limit::default()),
        }
    }
}

impl Sending {
    pub(super) fn compress(&self) -> Choice {
        match (self.no_compress, self.compress) {
            (true, _) => Choice::Always(Method::None),
            (false, typed) => typed.unwrap_or_default(),
        }
    }

    pub(super) fn chunk_rate(&self) -> Option<NonZeroU32> {
        NonZeroU32::new(self.max_chunk_rate)
    }

    pub(super) fn parity(&self) -> Parity {
        self.parity.clone()
    }

    pub(super) fn classes(&self) -> Classes {
        Classes::new(self.priority_for.clone(), self.priority)
    }
}

/// Reads `RATE[,BURST]` or `RATE[,BURST]:RATE`.
fn limit(text: &str) -> Result<Limit, String> {
    let rate = |text: &str| unit::parse_rate(text).map(NonZeroU64::new).map_err(|error| error.to_string());
    let (up, down) = match text.split_once(':') {
        Some((_, down)) if down.contains(',') => return Err("a burst is for what is sent: UP,BURST:DOWN".into()),
        Some((up, down)) => (up, rate(down)?),
        None => (text, rate(text.split(',').next().unwrap_or_default())?),
    };
    let (up, burst) = match up.split_once(',') {
        Some((up, burst)) => {
            let burst = unit::parse_size(burst).map_err(|error| error.to_string())?;
            (up, Some(NonZeroU64::new(burst).ok_or("a burst of more than 0 is needed")?))
        }
        None => (up, None),
    };
    Ok(Limit { up: rate(up)?.map(|rate| Bandwidth { rate, burst }), down })
}

/// Reads the rate of a slow link.
fn link(text: &str) -> Result<Link, String> {
    let rate = unit::parse_line_rate(text).map_err(|error| match error {
        UnitError::SizeUnit => format!("{error}, bit, kbit"),
        error => error.to_string(),
    })?;
    Link::new(rate).ok_or_else(|| {
        let told = if rate > u64::from(Link::FASTEST) {
            "a link of more than 8 KiB/s (64 kbit/s) needs no hint"
        } else {
            "the slowest link is one of 30 bytes (240 bit) per second"
        };
        format!("{} are {} bit/s: {told}; for 9.6 kbit/s write 9.6kbit", Rate(rate), rate.saturating_mul(8))
    })
}

/// Reads `auto`, `none`, `lz4`, `zstd` or `zstd:LEVEL`.
fn compression(text: &str) -> Result<Choice, String> {
    let (name, level) = text.split_once(':').map_or((text, None), |(name, level)| (name, Some(level)));
    Ok(match (name, level) {
        ("auto", None) => Choice::Auto,
        ("none", None) => Choice::Always(Method::None),
        ("lz4", None) => Choice::Always(Method::Lz4),
        ("zstd", None) => Choice::Always(Method::Zstd(ZSTD_DEFAULT)),
        ("zstd", Some(level)) => {
            let level = level.parse().ok().filter(|level| ZSTD_LEVELS.contains(level));
            let (least, most) = (ZSTD_LEVELS.start(), ZSTD_LEVELS.end());
            Choice::Always(Method::Zstd(level.ok_or(format!("the level is a number from {least} to {most}"))?))
        }
        _ => return Err("one of auto, none, lz4, zstd, zstd:LEVEL is expected".into()),
    })
}

/// Reads `auto`, `table`, `N` or `N%`.
fn parity(text: &str) -> Result<Parity, String> {
    let number = |text: &str| {
        let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        // What does not fit is too many by far.
        digits.then(|| text.parse().unwrap_or(u64::MAX)).ok_or("one of auto, table, N, N% is expected")
    };
    match (text, text.strip_suffix('%')) {
        ("auto", _) => Ok(Parity::Auto),
        ("table", _) => Ok(Parity::Table(ParityTable::default())),
        (_, Some(share)) => Parity::share(number(share)?)
            .ok_or_else(|| format!("at most {}% of all shards can be parity", Parity::MOST_PERCENT)),
        _ => Parity::exactly(number(text)?)
            .ok_or_else(|| format!("50 data shards can have at most {} parity shards", Parity::MOST)),
    }
}

/// Reads `PATTERN=CLASS`; a pattern may contain `=` itself.
fn class_for(text: OsString) -> Result<(Pattern, Priority), String> {
    let wrong = || "PATTERN=CLASS is expected, CLASS one of critical, high, normal".to_owned();
    let mut pattern = text.into_vec();
    let at = pattern.iter().rposition(|byte| *byte == b'=').filter(|at| *at > 0).ok_or_else(wrong)?;
    let class = OsStr::from_bytes(&pattern[at + 1..]).to_str().and_then(|name| name.parse().ok()).ok_or_else(wrong)?;
    pattern.truncate(at);
    Ok((Pattern::new(&pattern).map_err(|error| error.to_string())?, class))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Debug, Parser)]
    #[command(args_override_self = true)]
    struct Line {
        #[command(flatten)]
        limits: Limits,
        #[command(flatten)]
        sending: Sending,
        #[arg(short = 'a')]
        _other: bool,
        words: Vec<String>,
    }

    fn parse(words: &str) -> Result<Line, clap::Error> {
        Line::try_parse_from(format!("x {words}").split_whitespace())
    }

    fn bandwidth(rate: u64, burst: u64) -> Bandwidth {
        Bandwidth { rate: NonZeroU64::new(rate).unwrap(), burst: NonZeroU64::new(burst) }
    }

    #[test]
    fn rates_are_rsyncs_and_have_two_directions() {
        let table = [
            ("0", None, None),
            ("100", Some(bandwidth(102_400, 0)), Some(102_400)),
            ("1.5m", Some(bandwidth(1_572_864, 0)), Some(1_572_864)),
            ("1mb,64k", Some(bandwidth(1_000_000, 65_536)), Some(1_000_000)),
            ("500k:0", Some(bandwidth(512_000, 0)), None),
            ("0:500kb", None, Some(500_000)),
            ("2m,1:1", Some(bandwidth(2_097_152, 1)), Some(1024)),
        ];
        for (text, up, down) in table {
            assert_eq!(limit(text), Ok(Limit { up, down: down.and_then(NonZeroU64::new) }), "{text}");
        }
        for text in ["", "x", "1x", "1,", "1,0", "1:", ":1", "1:1,1", "1:1:1", "-1", "1,1,1"] {
            assert!(limit(text).is_err(), "{text}");
        }
        assert_eq!(limit("0:1b").unwrap().allowed(), NonZeroU32::new(1));
        assert_eq!(limit("0:100g").unwrap().allowed(), None);
    }

    #[test]
    fn the_environment_counts_where_nothing_was_typed() {
        let limits = |words, environment: &str| parse(words).unwrap().limits.resolve_with(Some(environment.into()));
        assert_eq!(limits("", "1k").unwrap(), limit("1k").unwrap());
        assert_eq!(limits("--bwlimit 2k", "1k").unwrap(), limit("2k").unwrap());
        assert_eq!(limits("--bwlimit=5 --bwlimit=0", "1k").unwrap(), Limit::default());
        assert_eq!(limits("", "").unwrap(), Limit::default());
        assert_eq!(limits("", "soon").unwrap_err().class.code(), 1);
    }

    #[test]
    fn a_link_is_a_slow_one_and_said_in_bytes_or_bits() {
        for (text, rate) in
            [("9.6kbit", 1200), ("2400bit", 300), ("1.2kb", 1200), ("300b", 300), ("8", 8192), ("64kbit", 8000)]
        {
            assert_eq!(link(text).map(Link::rate), Ok(rate), "{text}");
        }
        for text in ["0", "9.6k", "9600", "10mbit", "200bit", "x", "", "1kbits"] {
            assert!(link(text).is_err(), "{text}");
        }
        let told = link("9600").unwrap_err();
        assert!(told.contains("needs no hint") && told.contains("write 9.6kbit"), "{told}");
        let typed = |words| parse(words).unwrap().limits.link().map(Link::rate);
        assert_eq!(
            (typed(""), typed("--link 9.6kbit"), typed("--link=1 --link=2400bit")),
            (None, Some(1200), Some(300))
        );
    }

    #[test]
    fn the_last_word_on_compression_counts() {
        let zstd = |level| Choice::Always(Method::Zstd(level));
        let table = [
            ("", Choice::Auto),
            ("-z", Choice::Auto),
            ("-za zstd", Choice::Auto),
            ("--compress", Choice::Auto),
            ("--compress=lz4", Choice::Always(Method::Lz4)),
            ("-z=zstd", zstd(3)),
            ("--compress=zstd:19", zstd(19)),
            ("--compress=none", Choice::Always(Method::None)),
            ("--compress=lz4 --no-compress", Choice::Always(Method::None)),
            ("--no-compress --compress=zstd:7", zstd(7)),
            ("--no-compress -z", Choice::Auto),
            ("--compress=zstd:1 --compress=lz4", Choice::Always(Method::Lz4)),
        ];
        for (words, choice) in table {
            assert_eq!(parse(words).unwrap().sending.compress(), choice, "{words}");
        }
        for words in ["gzip", "zstd:0", "zstd:20", "zstd:", "lz4:1", "", "none:1", "zstd:-5"] {
            assert!(parse(&format!("--compress={words}")).is_err(), "{words}");
        }
    }

    #[test]
    fn parity_is_a_policy_a_count_or_a_share() {
        let table = [
            ("", Parity::Auto),
            ("--parity auto", Parity::Auto),
            ("--parity table", Parity::Table(ParityTable::default())),
            ("--parity 0", Parity::Exactly(0)),
            ("--parity=205", Parity::Exactly(205)),
            ("--parity=33%", Parity::Exactly(25)),
            ("--parity=0%", Parity::Exactly(0)),
            ("--parity 7 --parity=80%", Parity::Exactly(200)),
        ];
        for (words, expected) in table {
            assert_eq!(parse(words).unwrap().sending.parity(), expected, "{words}");
        }
        for (text, told) in [
            ("206", "at most 205 parity shards"),
            ("99999999999999999999999", "at most 205 parity shards"),
            ("81%", "at most 80% of all shards"),
            ("100%", "at most 80% of all shards"),
            ("%", "auto, table, N, N%"),
            ("", "auto, table, N, N%"),
            ("-1", "auto, table, N, N%"),
            ("+1", "auto, table, N, N%"),
            ("1.5", "auto, table, N, N%"),
            ("5%%", "auto, table, N, N%"),
            ("Table", "auto, table, N, N%"),
        ] {
            let error = parse(&format!("--parity={text}")).unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
    }

    #[test]
    fn classes_keep_their_order() {
        let line = parse("--priority high --priority-for *.db=critical --priority-for a=b=normal").unwrap();
        let classes = line.sending.classes();
        assert_eq!(classes.otherwise(), Priority::High);
        let of = |path: &[u8]| classes.of(path);
        assert_eq!((of(b"x.db"), of(b"a=b"), of(b"a")), (Priority::Critical, Priority::Normal, Priority::High));
        for words in ["--priority urgent", "--priority-for x", "--priority-for =high", "--priority-for x=low"] {
            assert!(parse(words).is_err(), "{words}");
        }
        assert_eq!(parse("").unwrap().sending.classes().otherwise(), Priority::Normal);
        let rate = |words| parse(words).unwrap().sending.chunk_rate().map_or(0, NonZeroU32::get);
        assert_eq!((rate(""), rate("--max-chunk-rate 7"), rate("--max-chunk-rate=7 --max-chunk-rate=0")), (0, 7, 0));
    }
}
