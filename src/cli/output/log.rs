//! The log file (`--log-file`): what stderr is told at `-v`, each line with its time and process.
//!
//! Opened before anything is touched, only ever appended to, private. Invariant: one `write` for a line, so that the lines of two runs
//! into one file do not mix; a log that cannot be written any more ends, and the run goes on.

use super::terminal::lock;
use super::text::{Level, Style};
use super::{escape, named};
use crate::cli::exit::Failure;
use std::fs::File;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::sync::Mutex;

/// An open log.
pub(super) struct Log {
    /// `None` once a line could not be written.
    file: Mutex<Option<File>>,
    /// At least `-v`, never quiet.
    pub(super) level: Level,
    /// Without colours.
    pub(super) style: Style,
}

impl Log {
    /// Opens the log of a run that shows `level` on stderr.
    pub(super) fn open(path: &Path, level: Level, style: Style) -> Result<Log, Failure> {
        let file = named::append(path).map_err(|error| {
            Failure::usage(format!("{}: {}", escape::name(path.as_os_str().as_bytes()), escape::cause(&error)))
        })?;
        let level = Level { quiet: false, verbose: level.verbose.max(1), summary: true };
        Ok(Log { file: Mutex::new(Some(file)), level, style: Style { color: false, ..style } })
    }

    /// Writes each line of `text`. An error is given once.
    pub(super) fn write(&self, stamp: &str, text: &str) -> io::Result<()> {
        let mut file = lock(&self.file);
        let Some(open) = file.as_mut() else { return Ok(()) };
        let process = std::process::id();
        let written =
            text.lines().try_for_each(|line| open.write_all(format!("{stamp} [{process}] {line}\n").as_bytes()));
        if written.is_err() {
            *file = None;
        }
        written
    }
}
