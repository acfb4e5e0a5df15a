//! Whom this node knows: two files beside the identity, made to be read and edited by hand.
//!
//! [`known`] is about whom we dial (as ssh's `known_hosts`), [`authorized`] about who may come in (as `authorized_keys`). Invariant: a
//! file is understood whole or not at all, so that a slip in it lets nobody in and pins nothing wrong; what is written can be read
//! again, replaces the old file in one step, and keeps every line that was not meant. Dates are arguments, in UTC. What a pinned key
//! is worth on the network is in `network::pin`; where the files lie is the command line's to say.

pub mod authorized;
mod file;
pub mod known;

pub use jiff::civil::Date;

use crate::class::Class;
use std::io;
use std::path::PathBuf;

/// Longest name of a node, in bytes.
pub const MAX_NAME: usize = 64;

/// Why a file of nodes cannot be used, or not be changed like this.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TrustError {
    /// Group or others may write to the file.
    #[error("{path}: other users may write to this file (mode {mode:04o}); run: chmod 600 {path}", path = path.display())]
    Exposed {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is neither this user's nor root's.
    #[error("{}: belongs to another user (uid {owner})", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A line that is not understood; the whole file is not used.
    #[error("{}:{line}: {cause}", path.display())]
    Line {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What is wrong with it.
        cause: String,
    },
    /// Not a text, no regular file, or longer than any such file.
    #[error("{}: not a file of nodes", .0.display())]
    NotAList(PathBuf),
    /// The file cannot be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or directory.
        path: PathBuf,
        /// The cause.
        source: io::Error,
    },
    /// What is wanted contradicts what stands in the file, which is left as it is.
    #[error("{0}")]
    Conflict(String),
    /// No node can have that name.
    #[error("{0}")]
    Name(String),
}

impl TrustError {
    /// The class of the run that fails for this.
    pub fn class(&self) -> Class {
        match self {
            TrustError::Io { .. } => Class::FileIo,
            _ => Class::Usage,
        }
    }
}

/// Says what is wrong with `name` as the name of a node: it must not look like an option, an id, an address or a path.
pub fn check_name(name: &str) -> Result<(), String> {
    let begins = |prefix: &str| name.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix));
    let cause = match name {
        "" => "is empty",
        _ if name.len() > MAX_NAME => "is longer than 64 bytes",
        _ if begins("rz1") => "begins as a node id does",
        _ if name.starts_with(['@', '-', '#']) => "begins with @, - or #",
        _ if name.contains(|c: char| c.is_whitespace() || c.is_control() || ":/[@,".contains(c)) => {
            "has a blank, a control character or one of : / [ @ ,"
        }
        _ => return Ok(()),
    };
    Err(format!("the name '{}' {cause}", name.escape_debug()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_words_that_look_like_nothing_else() {
        for good in ["base", "base-camp.2", "naïve", "rz", "r", "é"] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        let long = "x".repeat(65);
        for bad in
            ["", "@a", "-", "-a", "rz1", "RZ1x", "a:b", "a/b", "a b", "a\tb", "a\u{7}", "[a", "a@b", "a,b", "#a", &long]
        {
            assert!(check_name(bad).is_err(), "{bad}");
        }
    }
}
