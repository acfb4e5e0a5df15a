//! Rules as they are typed or stand in a file, and the list that is made of them in their order.
//!
//! Invariant: a rule that is not understood is an error, never left out; an error in a file names the file and the line and does
//! not repeat what stands there, for it may be anything that the reader of the file may read and the reader of the error not.
//!
//! Opening files is left to the caller of [`Builder`].

use super::{Effect, Pattern, Rule, Rules, Side};
use crate::class::Class;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

/// Files that merge one another, at most.
const MAX_NESTED: usize = 16;
/// Rules in all: each is asked for each path.
const MAX_RULES: usize = 65_536;

/// Why a rule is refused.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Nothing where a pattern or a file should be.
    #[error("a rule without a pattern")]
    Empty,
    /// Over [`super::MAX_PATTERN`].
    #[error("a pattern of more than {} bytes", super::MAX_PATTERN)]
    TooLong,
    /// No path has such a byte.
    #[error("a pattern with a NUL in it")]
    Nul,
    /// A `[` without its `]`, or `[:what:]` that is no class.
    #[error("a pattern with an unfinished [ or an unknown [:class:]")]
    Set,
    /// A `\` before nothing.
    #[error("a pattern that ends in an escape")]
    Escape,
    /// Neither `+`, `-`, `!` nor any other.
    #[error("not a filter rule (+ PATTERN, - PATTERN, ! or merge FILE)")]
    Unknown,
    /// `!` with something behind it.
    #[error("a clear rule with something behind it")]
    Clear,
    /// `dir-merge`, or a modifier that is not had.
    #[error("{0} is not in this version")]
    Later(&'static str),
    /// Files that merge files that merge files.
    #[error("rule files that merge one another more than {MAX_NESTED} deep")]
    Nested,
    /// Too many to be asked for each path.
    #[error("more than {MAX_RULES} rules")]
    TooMany,
    /// A file of rules cannot be read.
    #[error(transparent)]
    Unreadable(io::Error),
}

/// A rule that is refused, and where it stands.
#[derive(Debug, thiserror::Error)]
#[error("{}{cause}", place(.at.as_ref()))]
pub struct BuildError {
    /// The file, and the line counted from 1 if it is about one; nothing for a rule that was typed.
    pub at: Option<(PathBuf, Option<usize>)>,
    /// Why.
    #[source]
    pub cause: RuleError,
}

impl BuildError {
    /// The class of a run that ends with it.
    pub fn class(&self) -> Class {
        match self.cause {
            RuleError::Later(_) => Class::Unsupported,
            _ => Class::Usage,
        }
    }
}

fn place(at: Option<&(PathBuf, Option<usize>)>) -> String {
    match at {
        Some((file, Some(line))) => format!("{}:{line}: ", file.display()),
        Some((file, None)) => format!("{}: ", file.display()),
        None => String::new(),
    }
}

/// How a rule is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As for `--filter`.
    Filter,
    /// As for `--exclude`, `--include` and their files: a pattern; `+ ` or `- ` before it goes before the effect here, and `!`
    /// alone clears.
    Pattern(Effect),
    /// A pattern and nothing else (`merge,- FILE`); `!` alone clears.
    Bare(Effect),
}

/// What one rule says.
enum Said {
    Rule(Rule),
    Clear,
    Merge(PathBuf, Form),
}

/// Makes [`Rules`] of rules in their order. `read` gives the contents of a file of rules.
pub struct Builder<'a> {
    rules: Rules,
    nul: bool,
    read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>,
}

impl<'a> Builder<'a> {
    /// No rules yet. In files, rules end with NUL instead of a line's end if `nul` is true.
    pub fn new(nul: bool, read: &'a dyn Fn(&Path) -> io::Result<Vec<u8>>) -> Self {
        Self { rules: Rules::default(), nul, read }
    }

    /// Adds one rule.
    pub fn add(&mut self, form: Form, text: &[u8]) -> Result<(), BuildError> {
        self.add_at(form, text, None, 0)
    }

    /// Adds the rules of a file.
    pub fn add_file(&mut self, form: Form, file: &Path) -> Result<(), BuildError> {
        self.merge(form, file, 0)
    }

    /// The rules.
    pub fn build(self) -> Rules {
        self.rules
    }

    fn add_at(&mut self, form: Form, text: &[u8], at: Option<(&Path, usize)>, depth: usize) -> Result<(), BuildError> {
        let refuse = |cause| BuildError { at: at.map(|(file, line)| (file.to_owned(), Some(line))), cause };
        match parse(form, text).map_err(refuse)? {
            Said::Rule(_) if self.rules.0.len() >= MAX_RULES => return Err(refuse(RuleError::TooMany)),
            Said::Rule(rule) => self.rules.0.push(rule),
            Said::Clear => self.rules.0.clear(),
            Said::Merge(_, _) if depth >= MAX_NESTED => return Err(refuse(RuleError::Nested)),
            Said::Merge(file, form) => self.merge(form, &file, depth + 1)?,
        }
        Ok(())
    }

    fn merge(&mut self, form: Form, file: &Path, depth: usize) -> Result<(), BuildError> {
        let text = (self.read)(file)
            .map_err(|error| BuildError { at: Some((file.to_owned(), None)), cause: RuleError::Unreadable(error) })?;
        for (number, line) in lines(&text, self.nul) {
            self.add_at(form, line, Some((file, number)), depth)?;
        }
        Ok(())
    }
}

/// The lines of a file of rules with their numbers from 1, without empty ones and those that begin with `#` or `;`.
pub fn lines(text: &[u8], nul: bool) -> impl Iterator<Item = (usize, &[u8])> {
    let end = if nul { 0 } else { b'\n' };
    let lines = text.split(move |byte| *byte == end).enumerate();
    let lines =
        lines.map(move |(at, line)| (at + 1, if nul { line } else { line.strip_suffix(b"\r").unwrap_or(line) }));
    lines.filter(|(_, line)| !matches!(line.first(), None | Some(b'#' | b';')))
}

fn parse(form: Form, text: &[u8]) -> Result<Said, RuleError> {
    let simple = |effect, pattern| {
        Ok(Said::Rule(Rule { effect, side: Side::Both, negated: false, pattern: Pattern::new(pattern)? }))
    };
    match (form, text) {
        (Form::Filter, _) => filter(text),
        (_, b"!") => Ok(Said::Clear),
        (Form::Pattern(_), [b'+', b' ', pattern @ ..]) => simple(Effect::Include, pattern),
        (Form::Pattern(_), [b'-', b' ', pattern @ ..]) => simple(Effect::Exclude, pattern),
        (Form::Pattern(effect) | Form::Bare(effect), _) => simple(effect, text),
    }
}

/// The long names of rules and their letters.
const WORDS: [(&[u8], u8); 9] = [
    (b"clear", b'!'),
    (b"dir-merge", b':'),
    (b"exclude", b'-'),
    (b"hide", b'H'),
    (b"include", b'+'),
    (b"merge", b'.'),
    (b"protect", b'P'),
    (b"risk", b'R'),
    (b"show", b'S'),
];

/// Reads `RULE[,MODIFIERS] [PATTERN_OR_FILE]`, where a short RULE needs no comma, and `_` may stand for the space.
fn filter(text: &[u8]) -> Result<Said, RuleError> {
    let (letter, rest) = kind(text)?;
    let end = rest.iter().position(|byte| matches!(byte, b' ' | b'_')).unwrap_or(rest.len());
    let (modifiers, rest) = rest.split_at(if letter == b'!' { 0 } else { end });
    let object = rest.get(1..).unwrap_or_default();
    let (effect, mut side) = match letter {
        b'!' if rest.iter().all(|byte| matches!(byte, b' ' | b'_')) => return Ok(Said::Clear),
        b'!' => return Err(RuleError::Clear),
        b':' => return Err(RuleError::Later("dir-merge")),
        b'.' => return merge(modifiers, object),
        b'+' => (Effect::Include, Side::Both),
        b'-' => (Effect::Exclude, Side::Both),
        b'S' => (Effect::Include, Side::Sender),
        b'H' => (Effect::Exclude, Side::Sender),
        b'R' => (Effect::Include, Side::Receiver),
        b'P' => (Effect::Exclude, Side::Receiver),
        _ => return Err(RuleError::Unknown),
    };
    let mut negated = false;
    for modifier in modifiers {
        match modifier {
            b'!' => negated = true,
            b's' if side != Side::Receiver => side = Side::Sender,
            b'r' if side != Side::Sender => side = Side::Receiver,
            b's' | b'r' => side = Side::Both,
            b'/' | b'C' | b'p' | b'x' => return Err(RuleError::Later("a modifier of the rule")),
            _ => return Err(RuleError::Unknown),
        }
    }
    Ok(Said::Rule(Rule { effect, side, negated, pattern: Pattern::new(object)? }))
}

/// The letter of a rule and what stands behind it.
fn kind(text: &[u8]) -> Result<(u8, &[u8]), RuleError> {
    for (word, letter) in WORDS {
        match text.strip_prefix(word) {
            Some([b',', rest @ ..]) => return Ok((letter, rest)),
            Some(rest) if matches!(rest.first(), None | Some(b' ' | b'_')) => return Ok((letter, rest)),
            _ => {}
        }
    }
    let (letter, rest) = text.split_first().ok_or(RuleError::Empty)?;
    Ok((*letter, rest.strip_prefix(b",").unwrap_or(rest)))
}

fn merge(modifiers: &[u8], file: &[u8]) -> Result<Said, RuleError> {
    let mut form = Form::Filter;
    for modifier in modifiers {
        form = match modifier {
            b'-' => Form::Bare(Effect::Exclude),
            b'+' => Form::Bare(Effect::Include),
            b'C' | b'e' | b'n' | b'w' | b's' | b'r' | b'p' | b'x' | b'/' => {
                return Err(RuleError::Later("a modifier of merge"));
            }
            _ => return Err(RuleError::Unknown),
        };
    }
    if file.is_empty() {
        return Err(RuleError::Empty);
    }
    Ok(Said::Merge(PathBuf::from(OsStr::from_bytes(file)), form))
}
