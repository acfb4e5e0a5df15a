//! What a receiver takes, as it is typed.
//!
//! Invariant: of `--force`, `--skip-existing` and `--rename` the last one wins, as of every option that is repeated; patterns of
//! `--accept` add up.

use super::exit::Failure;
use crate::filter::Pattern;
use crate::fs::real::PartialDir;
use crate::manifest::Name;
use crate::pipeline::Policy;
use crate::pipeline::policy::{Accept, Existing, Place, Stream};
use crate::unit::parse_size;
use clap::Args;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which files are taken, where they go and what becomes of those that are there.
#[derive(Args, Debug)]
#[command(next_help_heading = "Write")]
#[group(skip)]
pub(super) struct Flags {
    /// Write the one file that comes to FILE, or to stdout (-); the ticket is then on stderr
    #[arg(short, long, value_name = "FILE|-", conflicts_with = "directory")]
    output: Option<PathBuf>,
    /// Replace files and links that exist and are different
    #[arg(short, long, overrides_with_all = ["force", "skip_existing", "rename"])]
    force: bool,
    /// Leave what exists as it is
    #[arg(long, overrides_with_all = ["force", "skip_existing", "rename"])]
    skip_existing: bool,
    /// Write `name (1)` where another `name` exists
    #[arg(long, overrides_with_all = ["force", "skip_existing", "rename"])]
    rename: bool,
    /// Refuse a transfer of more bytes
    #[arg(long, value_name = "SIZE", value_parser = |text: &str| parse_size(text))]
    max_size: Option<u64>,
    /// Refuse a transfer of more files
    #[arg(long, value_name = "N")]
    max_files: Option<u64>,
    /// Take only files that match; repeat for more
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    accept: Vec<OsString>,
    /// Keep unfinished files there: a name below DIR or an absolute path [default: .resilient-partial]
    #[arg(long, value_name = "DIR")]
    partial_dir: Option<PathBuf>,
    /// Make sure that files are on the disk before they count as done (default)
    #[arg(long, overrides_with_all = ["fsync", "no_fsync"])]
    fsync: bool,
    /// Leave that to the system: faster, and a crash may cost what was received last
    #[arg(long, overrides_with_all = ["fsync", "no_fsync"])]
    no_fsync: bool,
}

/// The same as meant.
#[derive(Debug)]
pub(super) struct Meant {
    pub(super) policy: Policy,
    pub(super) partial_dir: PartialDir,
    /// Where files go instead of DIR.
    pub(super) directory: Option<PathBuf>,
}

impl Flags {
    /// Whether stdout is for what arrives.
    pub(super) fn takes_stdout(&self) -> bool {
        self.output.as_deref() == Some(Path::new("-"))
    }

    /// Whether one file goes to a name of its own.
    pub(super) fn has_output(&self) -> bool {
        self.output.is_some()
    }

    pub(super) fn resolve(&self) -> Result<Meant, Failure> {
        let (mut place, mut directory) = (Place::Tree, None);
        if self.takes_stdout() {
            // The descriptor itself: what is written is with its reader at once.
            let stdout = std::io::stdout().as_fd().try_clone_to_owned();
            let stdout = stdout.map_err(|error| Failure::usage(format!("stdout: {error}")))?;
            place = Place::Stream(Stream::new("stdout", File::from(stdout)));
        } else if let Some(file) = &self.output {
            let refuse = |cause: &str| Failure::usage(format!("--output: {}: {cause}", file.display()));
            let ends_open = file.as_os_str().as_bytes().ends_with(b"/");
            let name = file.file_name().filter(|_| !ends_open).ok_or_else(|| refuse("not the name of a file"))?;
            let name = Name::new(name.as_bytes()).map_err(|error| refuse(&error.to_string()))?;
            let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty());
            directory = Some(parent.unwrap_or(Path::new(".")).to_owned());
            place = Place::File(name);
        }
        let existing = match (self.force, self.skip_existing, self.rename) {
            (true, _, _) => Existing::Replace,
            (_, true, _) => Existing::Skip,
            (_, _, true) => Existing::Rename,
            _ => Existing::Refuse,
        };
        let policy = Policy {
            existing,
            place,
            max_size: self.max_size,
            max_files: self.max_files,
            accept: self.accept()?,
            fsync: !self.no_fsync,
            ..Policy::default()
        };
        Ok(Meant { policy, partial_dir: self.partial_dir()?, directory })
    }

    fn accept(&self) -> Result<Accept, Failure> {
        if self.accept.is_empty() {
            return Ok(Accept::default());
        }
        let pattern = |text: &OsString| {
            Pattern::new(text.as_bytes())
                .map_err(|error| Failure::usage(format!("--accept: {}: {error}", text.to_string_lossy())))
        };
        let patterns: Vec<Pattern> = self.accept.iter().map(pattern).collect::<Result<_, _>>()?;
        Ok(Accept::new(move |path| patterns.iter().any(|pattern| is_taken(pattern, path))))
    }

    fn partial_dir(&self) -> Result<PartialDir, Failure> {
        let Some(dir) = &self.partial_dir else { return Ok(PartialDir::default()) };
        if dir.is_absolute() {
            return Ok(PartialDir::At(dir.clone()));
        }
        Name::new(dir.as_os_str().as_bytes()).map(PartialDir::Below).map_err(|error| {
            Failure::usage(format!("--partial-dir: {}: {error}", dir.display()))
                .hint("give one name below the destination, or an absolute path")
        })
    }
}

/// Whether a file is taken: because of its own path, or because a directory above it is.
fn is_taken(pattern: &Pattern, path: &[u8]) -> bool {
    let above = (1..path.len()).filter(|end| path[*end] == b'/').map(|end| &path[..end]);
    pattern.matches(path, false) || above.into_iter().any(|directory| pattern.matches(directory, true))
}
