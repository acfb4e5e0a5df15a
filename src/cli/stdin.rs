//! Sending what comes in on stdin, which only `-` asks for.
//!
//! It is read once, as it is sent, and then there is nothing to go on from: a broken run is to be started anew.

use super::exit::Failure;
use super::output::escape;
use crate::manifest::{FileTime, Meta, Name};
use crate::pipeline::Pipe;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;

/// Permissions that what comes from a pipe gets: what it had is not known.
const MODE: u32 = 0o644;

/// The name that the user gives to what comes in on stdin.
pub(super) fn name(typed: Option<&OsStr>) -> Result<Name, Failure> {
    let Some(typed) = typed else {
        return Err(Failure::usage("what comes in on stdin has no name").hint("give it one: --name NAME"));
    };
    Name::new(typed.as_bytes())
        .map_err(|error| Failure::usage(format!("--name {}: {error}", escape::name(typed.as_bytes()))))
}

/// stdin as a source.
pub(super) fn pipe(name: Name) -> Pipe {
    let now = jiff::Timestamp::now();
    let mtime = FileTime { seconds: now.as_second(), nanoseconds: now.subsec_nanosecond().max(0) as u32 };
    Pipe::new(name, Meta { mode: MODE, mtime }, io::stdin())
}
