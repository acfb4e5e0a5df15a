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
use rustix::fs::Mode;
use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Which files are taken, where they go and what becomes of those that are there.
#[derive(Args, Debug)]
#[group(skip)]
pub(super) struct Flags {
    /// Refuse a transfer of more bytes
    #[arg(help_heading = "Select", long, value_name = "SIZE", value_parser = |text: &str| parse_size(text), hide_short_help = true)]
    max_size: Option<u64>,
    /// Refuse a transfer of more files
    #[arg(help_heading = "Select", long, value_name = "N", hide_short_help = true)]
    max_files: Option<u64>,
    /// Take only files that match; repeat for more
    #[arg(help_heading = "Select", long, value_name = "PATTERN", allow_hyphen_values = true, hide_short_help = true)]
    accept: Vec<OsString>,
    /// Write the one file that comes to FILE, `-` for stdout
    #[arg(help_heading = "Transfer", short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Replace files and links that exist and are different
    #[arg(help_heading = "Transfer", short, long, overrides_with_all = ["force", "skip_existing", "rename"])]
    force: bool,
    /// Leave what exists as it is
    #[arg(help_heading = "Transfer", long, overrides_with_all = ["force", "skip_existing", "rename"])]
    skip_existing: bool,
    /// Write `name (1)` where another `name` exists
    #[arg(help_heading = "Transfer", long, overrides_with_all = ["force", "skip_existing", "rename"])]
    rename: bool,
    /// Keep unfinished files there: a name below DIR or an absolute path [default: .resilient-partial]
    #[arg(help_heading = "Transfer", long, value_name = "DIR", hide_short_help = true)]
    partial_dir: Option<PathBuf>,
    /// Make sure that files are on the disk before they count as done (default)
    #[arg(help_heading = "Transfer", long, overrides_with_all = ["fsync", "no_fsync"], hide_short_help = true)]
    fsync: bool,
    /// Leave that to the system: faster, and a crash may cost what was received last
    #[arg(help_heading = "Transfer", long, overrides_with_all = ["fsync", "no_fsync"], hide_short_help = true)]
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

    /// What is meant, with the `umask` of the process.
    pub(super) fn resolve(&self, umask: u32) -> Result<Meant, Failure> {
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
            umask,
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

/// The umask of this process. It can only be read by setting another one, so this is for a time when there are no other threads.
pub(super) fn umask() -> u32 {
    let umask = rustix::process::umask(Mode::from_raw_mode(0o077));
    rustix::process::umask(umask);
    umask.bits()
}

/// Whether a file is taken: because of its own path, or because a directory above it is.
fn is_taken(pattern: &Pattern, path: &[u8]) -> bool {
    let above = (1..path.len()).filter(|end| path[*end] == b'/').map(|end| &path[..end]);
    pattern.matches(path, false) || above.into_iter().any(|directory| pattern.matches(directory, true))
}

#[cfg(test)]
mod tests {
    use super::super::args::{Cli, Command};
    use super::super::recv::Way;
    use super::*;
    use crate::class::Class;
    use crate::pipeline::RecvOptions;
    use clap::Parser as _;

    struct Order {
        options: RecvOptions,
        partial_dir: PartialDir,
    }

    fn resolve(words: &str) -> Result<Order, Failure> {
        let words = format!("resilient recv --identity k {words}");
        let cli = Cli::try_parse_from(words.split_whitespace()).unwrap_or_else(|error| panic!("{words}: {error}"));
        let Command::Recv(words) = cli.command else { panic!("not recv") };
        let order = words.resolve(&cli.global, &[], 0)?;
        let Way::Wait(wait) = order.way else { panic!("pulls") };
        let (options, _) = *wait;
        Ok(Order { options, partial_dir: order.partial_dir })
    }

    #[test]
    fn the_last_of_what_becomes_of_existing_files_wins() {
        for (words, existing) in [
            ("", Existing::Refuse),
            ("--rename -f", Existing::Replace),
            ("-f --force --skip-existing", Existing::Skip),
            ("--skip-existing --force --rename --rename", Existing::Rename),
        ] {
            assert_eq!(resolve(words).unwrap().options.policy.existing, existing, "{words}");
        }
        for (words, fsync) in [("", true), ("--fsync --no-fsync", false), ("--no-fsync --no-fsync --fsync", true)] {
            assert_eq!(resolve(words).unwrap().options.policy.fsync, fsync, "{words}");
        }
    }

    #[test]
    fn limits_and_places_are_what_was_typed() {
        let order = resolve("--max-size 1K --max-size=2KB --max-files 7 --partial-dir .x d").unwrap();
        assert_eq!((order.options.policy.max_size, order.options.policy.max_files), (Some(2000), Some(7)));
        assert_eq!(order.partial_dir, PartialDir::Below(Name::new(".x").unwrap()));
        assert_eq!(resolve("--partial-dir /a/b").unwrap().partial_dir, PartialDir::At("/a/b".into()));
        let order = resolve("-o in/x.tar").unwrap();
        assert_eq!(order.options.dir, Path::new("in"));
        assert!(matches!(&order.options.policy.place, Place::File(name) if name.as_bytes() == b"x.tar"));
        let order = resolve("-o x").unwrap();
        assert_eq!(order.options.dir, Path::new("."));
        assert!(matches!(resolve("-o -").unwrap().options.policy.place, Place::Stream(_)));
        assert!(resolve("-o - --json=events").is_ok());
        for words in ["-o in/", "-o ..", "-o - --json", "--partial-dir a/b", "--partial-dir ..", "--accept ["] {
            assert_eq!(resolve(words).map(|_| ()).map_err(|failure| failure.class), Err(Class::Usage), "{words}");
        }
    }

    #[test]
    fn patterns_are_about_files_and_the_directories_above_them() {
        let taken = |words: &str, path: &str| {
            let policy = resolve(words).unwrap().options.policy;
            policy.takes(path.as_bytes())
        };
        for (words, path, expected) in [
            ("", "any/thing", true),
            ("--accept *.jpg", "d/a.jpg", true),
            ("--accept *.jpg", "a.png", false),
            ("--accept *.jpg --accept *.png", "a.png", true),
            ("--accept /photos/", "photos/2026/a.raw", true),
            ("--accept /photos/", "x/photos/a.raw", false),
        ] {
            assert_eq!(taken(words, path), expected, "{words} {path}");
        }
    }
}
