//! From an outcome to what the shell sees.
//!
//! Invariant: the status is a function of the [`Class`] alone (`crate::class` has the table) unless a signal ended the run. Signals
//! themselves are in [`super::signal`].

use super::args::When;
use super::output;
use crate::class::Class;
use crate::event::{End, SoFar};
use crate::pipeline::Summary;
use std::process::ExitCode;

/// Why a run could not do its work: `object: cause`, and one piece of advice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) class: Class,
    pub(super) message: String,
    pub(super) hint: Option<String>,
}

impl Failure {
    pub(super) fn new(class: Class, message: impl Into<String>) -> Failure {
        Failure { class, message: message.into(), hint: None }
    }

    pub(super) fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Class::Usage, message)
    }

    pub(super) fn hint(self, hint: impl Into<String>) -> Failure {
        Failure { hint: Some(hint.into()), ..self }
    }
}

/// What this machine refused while the program set itself up has no class of its own: it is a bug, or a machine in ruins.
impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::new(Class::Internal, format!("{error:#}"))
    }
}

/// The class of a result.
pub(super) fn class(result: &Result<Summary, Failure>) -> Class {
    match result {
        Ok(summary) => summary.class,
        Err(failure) => failure.class,
    }
}

/// The exit status of a result.
pub(super) fn status(result: &Result<Summary, Failure>) -> ExitCode {
    ExitCode::from(class(result).code())
}

/// A failure with the advice that it comes with or, if running the command again may succeed, with that; `resume` is another way to do so.
pub(super) fn advise(failure: &Failure, resume: Option<&str>) -> Failure {
    let again = || match resume {
        Some(resume) => format!("resume with: {resume} (or run the same command again)"),
        None => "run the same command again; what has arrived is not sent twice".to_owned(),
    };
    // What nobody has answered to has not begun.
    let begun = resume.is_some() || matches!(failure.class, Class::Network | Class::Timeout | Class::Stopped);
    let hint = failure.hint.clone().or_else(|| (begun && failure.class.is_transient()).then(again));
    Failure { hint, ..failure.clone() }
}

/// The `end` event of a result; `signal` is the one that ended the run, `so_far` what the run said that it had come to.
///
/// Repeating the command goes on from what is there after whatever may pass, and after an end that was asked for.
pub(super) fn end(
    result: &Result<Summary, Failure>,
    signal: Option<i32>,
    so_far: &SoFar,
    resume: Option<String>,
    elapsed_ms: u64,
) -> End {
    let class = if signal.is_some() { Class::Interrupted } else { class(result) };
    let reached = result.as_ref().map_or_else(
        |_| so_far.clone(),
        |summary| SoFar {
            session: Some(summary.session.clone()).filter(|session| !session.is_empty()),
            bytes_sent: summary.bytes_sent,
            bytes_literal: summary.bytes_literal,
            bytes_matched: summary.bytes_matched,
        },
    );
    End {
        exit: signal.map_or(class.code(), |number| 128 + number as u8),
        class,
        resumable: class.is_transient(),
        session: reached.session,
        resume,
        bytes_sent: reached.bytes_sent,
        bytes_literal: reached.bytes_literal,
        bytes_matched: reached.bytes_matched,
        elapsed_ms,
    }
}

/// Tells an error that came before there was an output to tell it, and gives its status.
pub(super) fn refuse(command: &str, failure: &Failure, color: When) -> ExitCode {
    output::complain(command, failure, color);
    ExitCode::from(failure.class.code())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signal_goes_before_any_class() {
        let failed = Err(Failure::usage("x"));
        let so_far = SoFar { session: Some("7f".into()), bytes_sent: 9, bytes_literal: 7, bytes_matched: 1 };
        let usage = end(&failed, None, &so_far, None, 5);
        assert_eq!((usage.exit, usage.class, usage.resumable), (1, Class::Usage, false));
        let ended = end(&failed, Some(15), &so_far, None, 5);
        assert_eq!((ended.exit, ended.class, ended.resumable), (143, Class::Interrupted, true));
        assert_eq!((ended.session.as_deref(), ended.bytes_sent, ended.bytes_literal), (Some("7f"), 9, 7));
    }
}
