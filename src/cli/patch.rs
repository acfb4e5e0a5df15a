//! `resilient patch`: what was typed, as what is meant.

use super::args::Global;
use super::drive::Job;
use super::exit::Failure;
use super::output::escape;
use super::run;
use super::sig::Format;
use super::streams::{self, Place};
use crate::class::Class;
use crate::pipeline::files::Outlet;
use crate::pipeline::patch::PatchOptions;
use crate::unit;
use clap::Args;
use std::ffi::OsString;

/// What `--help` says first.
pub(super) const LONG: &str = "Make the new file of the old one and a delta.\n\n\
        The old file has to be one that can be read anywhere, not a pipe. The result gets its name, or goes to stdout, when it is verified.";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient patch [OPTIONS] BASIS [DELTA [OUTPUT]]")]
pub(super) struct Words {
    /// The old file; the delta, - or nothing for stdin; and where the new file goes, - or nothing for stdout
    #[arg(value_name = "FILE", num_args = 1..=3, required = true)]
    typed: Vec<OsString>,
    /// Write to stdout at once, before all of it is verified; a wrong result is found at its end, with exit status 40
    #[arg(long, help_heading = "Transfer")]
    stream: bool,
    /// Make no more than SIZE bytes
    #[arg(long, value_name = "SIZE", value_parser = size, help_heading = "Transfer", hide_short_help = true)]
    max_output: Option<u64>,
    /// Take no delta that is not in this form, resilient or rdiff [default: either]
    #[arg(
        long,
        value_name = "FORMAT",
        value_enum,
        hide_possible_values = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    format: Option<Format>,
    /// Overwrite OUTPUT
    #[arg(short, long, help_heading = "Transfer")]
    force: bool,
    /// The same as --stats
    #[arg(short = 's', help_heading = "Transfer", hide_short_help = true)]
    pub(super) statistics: bool,
}

impl Words {
    /// Whether stdout is for the new file.
    pub(super) fn takes_stdout(&self) -> bool {
        streams::place(self.typed.get(2)).is_ok_and(|place| place.is_stream())
    }

    /// What is meant.
    pub(super) fn resolve(self, global: &Global) -> Result<Job, Failure> {
        let takes_stdout = self.takes_stdout();
        if takes_stdout {
            global.stdout_is_free_for("the new file")?;
        } else if self.stream {
            return Err(Failure::usage("--stream is for stdout: a file gets its name when it is verified"));
        }
        let basis = streams::basis(&streams::place(self.typed.first())?)?;
        let basis_len = basis.length()?;
        let delta = streams::read(&streams::place(self.typed.get(1))?)?;
        let place = streams::place(self.typed.get(2))?;
        // What stands there may be what would come out: only then it is no error.
        let existing = match &place {
            Place::File(path) if !self.force && path.is_file() => Some(path.clone()),
            _ => None,
        };
        let target = streams::write(&place, self.force || existing.is_some(), &[&basis, &delta])?;
        let is_out = match &target.to {
            Outlet::Stream(_) => true,
            Outlet::File(staged, _) => staged.is_special(),
        };
        let spool = (is_out && !self.stream).then(tempfile::tempfile).transpose();
        let spool = spool.map_err(|error| {
            let folder = escape::name(std::env::temp_dir().into_os_string().as_encoded_bytes());
            Failure::new(Class::FileIo, format!("{folder}: {}", escape::cause(&error))).hint(
                "the result is kept there until it is verified: TMPDIR names another folder, --stream does without",
            )
        })?;
        let librsync = self.format.map(|format| format == Format::Rdiff);
        let options = PatchOptions {
            basis_name: basis.name.clone(),
            basis: basis.file,
            basis_len,
            source: basis.source,
            delta: delta.input(),
            target,
            spool,
            existing,
            librsync,
            most: self.max_output.unwrap_or(u64::MAX),
        };
        Ok(Box::new(move |observer, cancel| Box::pin(run::patch(options, observer, cancel))))
    }
}

fn size(text: &str) -> Result<u64, String> {
    unit::parse_size(text).map_err(|error| error.to_string())
}
