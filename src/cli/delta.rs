//! `resilient delta`: what was typed, as what is meant.

use super::args::Global;
use super::drive::Job;
use super::exit::Failure;
use super::run;
use super::sig::Format;
use super::streams;
use crate::chunk::compression::{ZSTD_DEFAULT, ZSTD_LEVELS};
use crate::pipeline::delta::{DeltaForm, DeltaOptions};
use crate::sync::format::delta::LEVEL;
use clap::Args;
use std::ffi::OsString;

/// What `--help` says first.
pub(super) const LONG: &str = "Say how to make a file of another one that only its signature is here of.\n\n\
        ssh HOST resilient sig OLD | resilient delta - NEW | ssh HOST resilient patch OLD - OLD.new";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient delta [OPTIONS] SIGNATURE [NEW [DELTA]]")]
pub(super) struct Words {
    /// The signature, - for stdin; the new file, - or nothing for stdin; and where the delta goes, - or nothing for stdout
    #[arg(value_name = "FILE", num_args = 1..=3, required = true)]
    typed: Vec<OsString>,
    /// Compress what is new: zstd[:LEVEL], auto (zstd:1, the default) or none
    #[arg(
        short = 'z', long, value_name = "HOW", value_parser = level, help_heading = "Transfer",
        num_args = 0..=1, require_equals = true, default_missing_value = "auto", overrides_with = "no_compress"
    )]
    compress: Option<Level>,
    /// Do not compress
    #[arg(long, overrides_with = "compress", help_heading = "Transfer", hide_short_help = true)]
    no_compress: bool,
    /// resilient, or rdiff for a delta that rdiff applies [default: as the signature]
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    format: Option<Format>,
    /// Overwrite DELTA
    #[arg(short, long, help_heading = "Transfer")]
    force: bool,
    /// The same as --stats
    #[arg(short = 's', help_heading = "Transfer", hide_short_help = true)]
    pub(super) statistics: bool,
}

/// Of Zstandard, if it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Level(Option<i32>);

impl Words {
    /// Whether stdout is for the delta.
    pub(super) fn takes_stdout(&self) -> bool {
        streams::place(self.typed.get(2)).is_ok_and(|place| place.is_stream())
    }

    /// What is meant.
    pub(super) fn resolve(self, global: &Global) -> Result<Job, Failure> {
        if self.takes_stdout() {
            global.stdout_is_free_for("the delta")?;
        }
        let level = match (self.no_compress, self.compress) {
            (true, _) => None,
            (false, Some(Level(level))) => level,
            (false, None) => Some(LEVEL),
        };
        if self.format == Some(Format::Rdiff) && self.compress.is_some_and(|level| level.0.is_some()) {
            return Err(Failure::usage("--compress: deltas of rdiff are not compressed"));
        }
        let form = self.format.map(|format| match format {
            Format::Resilient => DeltaForm::Own,
            Format::Rdiff => DeltaForm::Librsync,
        });
        let places = [streams::place(self.typed.first())?, streams::place(self.typed.get(1))?];
        if places.iter().all(streams::Place::is_stream) {
            return Err(Failure::usage("stdin cannot be the signature and the new file"));
        }
        let (signature, target) = (streams::read(&places[0])?, streams::read(&places[1])?);
        let delta = streams::place(self.typed.get(2))?;
        let delta = streams::write(&delta, self.force, &[&signature, &target])?;
        let packs = !self.no_compress && self.compress.is_some_and(|level| level.0.is_some());
        let options = DeltaOptions { signature: signature.input(), target: target.input(), delta, form, level, packs };
        Ok(Box::new(move |observer, cancel| Box::pin(run::delta(options, observer, cancel))))
    }
}

fn level(text: &str) -> Result<Level, String> {
    match text.split_once(':') {
        None if text == "auto" => Ok(Level(Some(LEVEL))),
        None if text == "zstd" => Ok(Level(Some(ZSTD_DEFAULT))),
        None if text == "none" => Ok(Level(None)),
        Some(("zstd", level)) => {
            let level = level.parse().ok().filter(|level| ZSTD_LEVELS.contains(level));
            let (least, most) = (ZSTD_LEVELS.start(), ZSTD_LEVELS.end());
            level.map(|level| Level(Some(level))).ok_or(format!("the level is a number from {least} to {most}"))
        }
        _ => Err("one of auto, none, zstd, zstd:LEVEL is expected".into()),
    }
}
