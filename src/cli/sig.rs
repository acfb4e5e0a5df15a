//! `resilient sig`: what was typed, as what is meant.

use super::drive::Job;
use super::exit::Failure;
use super::run;
use super::streams;
use crate::pipeline::sig::{SigForm, SigOptions};
use crate::sync::librsync::Rolling;
use crate::sync::{BLOCK_LENGTHS, FULL, Plan, SALT};
use crate::unit;
use clap::{Args, ValueEnum};
use std::ffi::OsString;

/// What `--help` says first.
pub(super) const LONG: &str = "Make the signature of a file: sums of its blocks, by which `delta` finds them in another one.\n\n\
        resilient sig OLD | ssh HOST resilient delta - NEW | resilient patch OLD - OLD.new";

/// The arguments as typed.
#[derive(Args, Debug)]
#[command(override_usage = "resilient sig [OPTIONS] [BASIS [SIGNATURE]]")]
pub(super) struct Words {
    /// The file to sign, - or nothing for stdin; and where the signature goes, - or nothing for stdout
    #[arg(value_name = "FILE", num_args = 0..=2)]
    typed: Vec<OsString>,
    /// Bytes of a block [default: √length / 4, a power of two from 1K on; 4K of a stream]
    #[arg(short, long, value_name = "SIZE", value_parser = block, help_heading = "Transfer")]
    block_size: Option<usize>,
    /// Bytes of a block's strong sum [default: what makes a false match improbable]
    #[arg(short = 'S', long, value_name = "N", value_parser = sum, help_heading = "Transfer", hide_short_help = true)]
    sum_size: Option<usize>,
    /// resilient, or rdiff for a signature that rdiff reads
    #[arg(
        long,
        value_name = "FORMAT",
        default_value = "resilient",
        value_enum,
        hide_possible_values = true,
        help_heading = "Transfer"
    )]
    format: Format,
    /// With --format rdiff: its weak sum, rabinkarp or (for before 2.2) rollsum [default: rabinkarp]
    #[arg(
        short = 'R',
        long,
        value_name = "SUM",
        value_enum,
        hide_possible_values = true,
        help_heading = "Transfer",
        hide_short_help = true
    )]
    rollsum: Option<Sum>,
    /// `random`, or 32 hexadecimal digits, to mix into the sums [default: the same for the same file]
    #[arg(long, value_name = "SALT", value_parser = salt, help_heading = "Transfer", hide_short_help = true)]
    salt: Option<Salt>,
    /// Overwrite SIGNATURE
    #[arg(short, long, help_heading = "Transfer")]
    force: bool,
    /// The same as --stats
    #[arg(short = 's', help_heading = "Transfer", hide_short_help = true)]
    pub(super) statistics: bool,
}

/// Forms of signatures and deltas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// Our own.
    Resilient,
    /// librsync's.
    Rdiff,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Sum {
    Rabinkarp,
    Rollsum,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Salt {
    Random,
    This([u8; SALT]),
}

impl Words {
    /// Whether stdout is for the signature.
    pub(super) fn takes_stdout(&self) -> bool {
        streams::place(self.typed.get(1)).is_ok_and(|place| place.is_stream())
    }

    /// What is meant.
    pub(super) fn resolve(self, global: &super::args::Global) -> Result<Job, Failure> {
        if self.takes_stdout() {
            global.stdout_is_free_for("the signature")?;
        }
        let form = match self.format {
            Format::Resilient if self.rollsum.is_some() => {
                return Err(Failure::usage("--rollsum goes with --format rdiff"));
            }
            Format::Resilient => SigForm::Own(self.salt.map(Salt::bytes)),
            Format::Rdiff if self.salt.is_some() => {
                return Err(Failure::usage("--salt: signatures of rdiff have none"));
            }
            Format::Rdiff if self.rollsum == Some(Sum::Rollsum) => SigForm::Librsync(Rolling::Rollsum),
            Format::Rdiff => SigForm::Librsync(Rolling::RabinKarp),
        };
        let sum_size = |block| match (self.format, self.sum_size, Plan::kept_at_least(block)) {
            (Format::Resilient, Some(size), least) if !(least..=FULL).contains(&size) => {
                Err(Failure::usage(format!("--sum-size: from {least} to {FULL} bytes for blocks of this length")))
            }
            _ => Ok(()),
        };
        // What no basis could make right, before one is opened.
        sum_size(self.block_size.unwrap_or(0))?;
        let (basis, signature) = (streams::place(self.typed.first())?, streams::place(self.typed.get(1))?);
        let basis = streams::read(&basis)?;
        sum_size(self.block_size.unwrap_or_else(|| Plan::lengths(basis.len).0))?;
        let signature = streams::write(&signature, self.force, &[&basis])?;
        let (block, kept) = (self.block_size, self.sum_size);
        let options = SigOptions { basis: basis.input(), signature, block, kept, form };
        Ok(Box::new(move |observer, cancel| Box::pin(run::sig(options, observer, cancel))))
    }
}

impl Salt {
    fn bytes(self) -> [u8; SALT] {
        match self {
            Salt::This(bytes) => bytes,
            Salt::Random => run::random(),
        }
    }
}

fn block(text: &str) -> Result<usize, String> {
    let bytes = unit::parse_size(text).map_err(|error| error.to_string())?;
    let (least, most) = (BLOCK_LENGTHS.start(), BLOCK_LENGTHS.end());
    let bytes = usize::try_from(bytes).ok().filter(|bytes| BLOCK_LENGTHS.contains(bytes));
    bytes.ok_or_else(|| format!("a block has from {least} bytes to {}M", most >> 20))
}

fn sum(text: &str) -> Result<usize, String> {
    let bytes = text.parse().ok().filter(|bytes| (1..=FULL).contains(bytes));
    bytes.ok_or_else(|| format!("a number from 1 to {FULL} is expected"))
}

fn salt(text: &str) -> Result<Salt, String> {
    if text == "random" {
        return Ok(Salt::Random);
    }
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
    bytes.map(Salt::This).ok_or_else(|| format!("`random` or {} hexadecimal digits are expected", 2 * SALT))
}
