//! Events as lines of text on stderr, by level.
//!
//! `-q` errors only · default warnings and, on a terminal, one summary line · `-v` connection, plan, files, summary · `-vv` decisions.

use super::escape;
use crate::class::Class;
use crate::cli::exit::Failure;
use crate::event::{Action, Event, LimitedBy};
use crate::pipeline::Summary;
use crate::ticket::Ticket;
use crate::unit::{Rate, Size, Span};
use std::time::Duration;

/// How much is told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Level {
    /// Errors only.
    pub(super) quiet: bool,
    /// Number of `-v`.
    pub(super) verbose: u8,
    /// The one line at the end of a success.
    pub(super) summary: bool,
}

/// Words in front of a line, coloured or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    /// The command, or nothing before one is known.
    pub(super) command: &'static str,
    pub(super) color: bool,
    /// Whether it is about what is received.
    pub(super) receives: bool,
}

impl Style {
    /// `resilient: send: photos/a.jpg: permission denied`, and at most one line of advice.
    pub(super) fn failure(self, failure: &Failure) -> String {
        let mut lines = self.error(&failure.message);
        if let Some(hint) = &failure.hint {
            lines = format!("{lines}\n{} {}", self.paint("36", "hint:"), escape::text(hint));
        }
        lines
    }

    /// One error line.
    pub(super) fn error(self, message: &str) -> String {
        format!("{} {}", self.paint("31", &self.prefix()), escape::text(message))
    }

    /// One line of warning.
    pub(super) fn warning(self, message: &str) -> String {
        let message = escape::text(&escape::without_number(message));
        format!("{} {message}", self.paint("33", &format!("{} warning:", self.prefix())))
    }

    fn prefix(self) -> String {
        if self.command.is_empty() { "resilient:".to_owned() } else { format!("resilient: {}:", self.command) }
    }

    fn paint(self, color: &str, words: &str) -> String {
        if self.color { format!("\x1b[1;{color}m{words}\x1b[0m") } else { words.to_owned() }
    }

    /// The line for an event, if this level has one. Progress and the ends of a run are told elsewhere.
    pub(super) fn line(self, event: &Event, level: Level) -> Option<String> {
        let at = |verbose: u8, line: String| (!level.quiet && level.verbose >= verbose).then_some(line);
        match event {
            Event::FileFailed { path, message, .. } => Some(format!(
                "{} {}: {}",
                self.paint("31", &self.prefix()),
                escape::name(&path.0),
                escape::text(&escape::without_number(message))
            )),
            Event::Warning { message } => at(0, self.warning(message)),
            Event::Connected { peer, key, transport, rtt_ms } => {
                let (peer, key) = (escape::text(peer), escape::text(key));
                at(1, format!("connected to {peer} ({key}) by {transport}, round trip {rtt_ms} ms"))
            }
            Event::Ticket { uri } => {
                // The secret is for stdout alone; where we wait, and on which port, is for whoever reads along.
                let addresses = uri.parse::<Ticket>().ok()?.addresses;
                let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
                at(1, format!("waiting at {}", addresses.join(", ")))
            }
            Event::Plan { files, bytes } => at(1, format!("{}, {}", count(*files), Size(*bytes))),
            Event::File { path, action: Action::Transferred, .. } => at(1, escape::name(&path.0)),
            Event::File { path, action: Action::Identical, .. } => {
                at(1, format!("{} (identical)", escape::name(&path.0)))
            }
            Event::Limit { rate, by } => {
                let by = if *by == LimitedBy::Receiver { " by the receiver" } else { "" };
                at(1, format!("limited to {}{by}", Rate(*rate)))
            }
            Event::File { path, action: Action::Skipped, .. } => {
                at(1, format!("{} (exists, skipped)", escape::name(&path.0)))
            }
            Event::Unsent { files } => Some(self.error(&format!("the sender could not read {}", count(*files)))),
            Event::Gone { files } => {
                let are = if *files == 1 { "is" } else { "are" };
                Some(self.error(&format!("{files} of the files that were counted {are} gone")))
            }
            Event::Retry { attempt, in_ms, cause } => {
                at(2, format!("{}; attempt {attempt} in {}", escape::text(cause), Span(Duration::from_millis(*in_ms))))
            }
            Event::Note { message } => level.summary.then(|| escape::text(message)),
            Event::Detail { message } => at(2, escape::text(message)),
            _ => None,
        }
    }

    /// The line for an event of one of several sessions: with whom it is stands before it.
    pub(super) fn session_line(self, peer: &str, event: &Event, level: Level) -> Option<String> {
        let peer = escape::text(peer);
        match event {
            Event::SessionEnd { message: Some(message), .. } => Some(self.error(&format!("{peer}: {message}"))),
            Event::SessionEnd { class, files, .. } if *class != Class::Done => {
                let others = if *files == 0 { "" } else { "; the others are complete" };
                Some(self.error(&format!("{peer}: some files failed{others}")))
            }
            Event::SessionEnd { files, bytes_literal, .. } => (!level.quiet && level.verbose >= 1)
                .then(|| format!("{peer}: {} {}, {}", self.verb(), count(*files), Size(*bytes_literal))),
            Event::Warning { message } => (!level.quiet).then(|| self.warning(&format!("{peer}: {message}"))),
            _ => Some(format!("{peer}: {}", self.line(event, level)?)),
        }
    }

    fn verb(self) -> &'static str {
        if self.receives { "received" } else { "sent" }
    }

    /// The one line at the end of a success.
    pub(super) fn summary(self, outcome: &Summary, elapsed_ms: u64) -> String {
        let Summary { files, bytes_literal, bytes_matched, .. } = outcome;
        let matched = match bytes_matched {
            0 => String::new(),
            bytes => format!(" ({} more were there)", Size(*bytes)),
        };
        let span = Span(Duration::from_millis(elapsed_ms));
        let rate = match elapsed_ms {
            // A rate over less time than it takes to connect says nothing.
            ..100 => String::new(),
            _ => format!(", {}", Rate(bytes_literal.saturating_mul(1000) / elapsed_ms)),
        };
        let (files, size) = (count(*files), Size(*bytes_literal));
        format!("{} {files}, {size}{matched} in {span}{rate}", self.verb())
    }
}

/// `1 file`, `2 files`.
pub(super) fn count(files: u64) -> String {
    format!("{files} file{}", if files == 1 { "" } else { "s" })
}

/// The table of `--stats`.
pub(super) fn table(summary: &Summary, elapsed_ms: u64) -> String {
    let Summary { session, stats, .. } = summary;
    let elapsed = Span(Duration::from_millis(elapsed_ms)).to_string();
    let session = (!session.is_empty()).then(|| ("session".to_owned(), session.clone()));
    let mut rows: Vec<_> = session.into_iter().chain([("elapsed".to_owned(), elapsed)]).collect();
    rows.extend(stats.iter().map(|(name, value)| ((*name).to_owned(), value.to_string())));
    let width = rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    rows.iter().map(|(name, value)| format!("{name:width$}  {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::EventPath;

    const PLAIN: Style = Style { command: "send", color: false, receives: false };

    fn outcome() -> Summary {
        Summary {
            class: Class::Done,
            session: "7f3a".into(),
            bytes_sent: 5_000_000,
            bytes_literal: 4_000_000,
            bytes_matched: 1_500_000,
            files: 3,
            stats: vec![("repairs", 17)],
        }
    }

    #[test]
    fn an_error_is_program_command_object_cause() {
        let failure = Failure::usage("a\nb: gone").hint("look");
        assert_eq!(PLAIN.failure(&failure), "resilient: send: a\\#012b: gone\nhint: look");
        let style = Style { command: "", color: true, receives: false };
        assert_eq!(style.error("x"), "\x1b[1;31mresilient:\x1b[0m x");
        let warning = PLAIN.warning("cannot serve n: d: Permission denied (os error 13)");
        assert_eq!(warning, "resilient: send: warning: cannot serve n: d: permission denied");
    }

    #[test]
    fn each_level_adds_its_lines() {
        let path = EventPath(b"p\x1b".to_vec());
        let events = [
            Event::FileFailed { path: path.clone(), code: 11, message: "gone".into() },
            Event::Warning { message: "old".into() },
            Event::File { path, action: Action::Identical, bytes: 1 },
            Event::Detail { message: "any port".into() },
        ];
        let told = |quiet, verbose| {
            let level = Level { quiet, verbose, summary: false };
            events.iter().filter_map(|event| PLAIN.line(event, level)).collect::<Vec<_>>()
        };
        assert_eq!(told(true, 3), ["resilient: send: p\\#033: gone"]);
        assert_eq!(told(false, 0)[1..], ["resilient: send: warning: old"]);
        assert_eq!(told(false, 1)[2..], ["p\\#033 (identical)"]);
        assert_eq!(told(false, 2)[3..], ["any port"]);
    }

    #[test]
    fn summary_and_table_name_what_crossed_and_what_was_there() {
        assert_eq!(
            PLAIN.summary(&outcome(), 2_000),
            "sent 3 files, 3.81 MiB (1.43 MiB more were there) in 2.0s, 1.91 MiB/s"
        );
        let table = table(&outcome(), 2_000);
        assert!(table == "session  7f3a\nelapsed  2.0s\nrepairs  17", "{table}");
    }
}
