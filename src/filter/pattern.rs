//! One pattern of a rule, compiled once.
//!
//! Invariant: a match takes at most (tokens of the pattern) × (bytes of the path) steps: the positions of the path that can be
//! reached are carried from token to token all at once, and nothing is ever tried twice.
//!
//! The meaning is rsync's to the letter, also where it surprises: a pattern without `*`, `?` and `[` is compared as it stands,
//! backslashes included.

use super::RuleError;

/// Longest pattern in bytes (the longest path of Linux).
pub const MAX_PATTERN: usize = 4096;

/// Names of most trees fit in here, so that a match asks for no memory.
const SHORT: usize = 256;

/// A compiled pattern.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    directories_only: bool,
    start: Start,
    /// `**` comes first: it may also stand for nothing before the first component.
    slash_before: bool,
    /// `***` comes last: `dir/***` is also about `dir` itself.
    slash_after: bool,
    body: Body,
}

/// Where a match begins; it always goes to the end of the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Start {
    /// At the root.
    Root,
    /// That many components before the end.
    Last(usize),
    /// At any component.
    Component,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Body {
    Literal(Box<[u8]>),
    Wild(Vec<Token>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Token {
    Byte(u8),
    /// `?`: any byte but `/`.
    One,
    /// `[…]`, never with `/` in it.
    Set(Box<Set>),
    /// `*`: anything without `/`.
    Star,
    /// `**`: anything.
    Stars,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Set([u64; 4]);

impl Set {
    fn add(&mut self, byte: u8) {
        self.0[usize::from(byte >> 6)] |= 1 << (byte & 63);
    }

    fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }
}

impl Pattern {
    /// Compiles what stands behind `+ ` or `- `.
    pub fn new(text: &[u8]) -> Result<Self, RuleError> {
        if text.is_empty() {
            return Err(RuleError::Empty);
        }
        if text.len() > MAX_PATTERN {
            return Err(RuleError::TooLong);
        }
        if text.contains(&0) {
            return Err(RuleError::Nul);
        }
        let (body, directories_only) = match text.strip_suffix(b"/") {
            Some(body) if !body.is_empty() => (body, true),
            _ => (text, false),
        };
        let components = components(body);
        let wild = body.iter().any(|byte| matches!(byte, b'*' | b'?' | b'['));
        let stars = body.windows(2).any(|pair| pair == b"**");
        let slash_before = body.starts_with(b"**");
        let slash_after = body.ends_with(b"***");
        let (start, body) = match body.strip_prefix(b"/") {
            Some(rest) => (Start::Root, rest),
            None if slash_before => (Start::Root, body),
            None if stars => (Start::Component, body),
            None => (Start::Last(components), body),
        };
        let body = if wild { Body::Wild(tokens(body)?) } else { Body::Literal(body.into()) };
        Ok(Self { text: text.into(), directories_only, start, slash_before, slash_after, body })
    }

    /// The pattern as it was typed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }

    /// Whether it matches `path`, which is relative to the root of the transfer.
    pub fn matches(&self, path: &[u8], is_directory: bool) -> bool {
        if self.directories_only && !is_directory {
            return false;
        }
        let Some(path) = self.part(path) else { return false };
        let tokens = match &self.body {
            Body::Literal(text) => return **text == *path,
            Body::Wild(tokens) => tokens,
        };
        let slash_after = self.slash_after && is_directory;
        if !self.slash_before && !slash_after {
            return self.matches_wild(tokens, path);
        }
        let mut longer = Vec::with_capacity(path.len() + 2);
        longer.extend(self.slash_before.then_some(b'/'));
        longer.extend(path);
        longer.extend(slash_after.then_some(b'/'));
        self.matches_wild(tokens, &longer)
    }

    /// The part of a path that the pattern is about.
    fn part<'a>(&self, path: &'a [u8]) -> Option<&'a [u8]> {
        let Start::Last(count) = self.start else { return Some(path) };
        let mut slashes = path.iter().enumerate().rev().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        if let Some(at) = slashes.nth(count - 1) {
            return Some(&path[at + 1..]);
        }
        (components(path) == count).then_some(path)
    }

    fn matches_wild(&self, tokens: &[Token], text: &[u8]) -> bool {
        let (mut short, mut long) = ([false; SHORT + 1], Vec::new());
        let reached = if let Some(short) = short.get_mut(..=text.len()) {
            short
        } else {
            long.resize(text.len() + 1, false);
            long.as_mut_slice()
        };
        reached[0] = true;
        if self.start == Start::Component {
            for at in (0..text.len()).filter(|at| text[*at] == b'/') {
                reached[at + 1] = true;
            }
        }
        tokens.iter().all(|token| step(token, text, reached)) && reached[text.len()]
    }
}

fn components(path: &[u8]) -> usize {
    path.split(|byte| *byte == b'/').count()
}

/// Takes the positions that were reached before `token` to those behind it; whether there is one.
fn step(token: &Token, text: &[u8], reached: &mut [bool]) -> bool {
    match token {
        Token::Stars => {
            if let Some(first) = reached.iter().position(|reached| *reached) {
                reached[first..].fill(true);
            }
        }
        Token::Star => {
            for (at, byte) in text.iter().enumerate() {
                reached[at + 1] |= reached[at] && *byte != b'/';
            }
        }
        Token::Byte(one) => advance(text, reached, |byte| byte == *one),
        Token::One => advance(text, reached, |byte| byte != b'/'),
        Token::Set(set) => advance(text, reached, |byte| set.has(byte)),
    }
    reached.contains(&true)
}

fn advance(text: &[u8], reached: &mut [bool], takes: impl Fn(u8) -> bool) {
    for at in (0..text.len()).rev() {
        reached[at + 1] = reached[at] && takes(text[at]);
    }
    reached[0] = false;
}

fn tokens(text: &[u8]) -> Result<Vec<Token>, RuleError> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some((byte, after)) = rest.split_first() {
        rest = after;
        tokens.push(match byte {
            b'*' => {
                let more = rest.iter().take_while(|byte| **byte == b'*').count();
                rest = &rest[more..];
                if more > 0 { Token::Stars } else { Token::Star }
            }
            b'?' => Token::One,
            b'[' => Token::Set(Box::new(set(&mut rest)?)),
            b'\\' => Token::Byte(take(&mut rest).ok_or(RuleError::Escape)?),
            byte => Token::Byte(*byte),
        });
    }
    Ok(tokens)
}

fn take(rest: &mut &[u8]) -> Option<u8> {
    let (byte, after) = rest.split_first()?;
    *rest = after;
    Some(*byte)
}

/// Reads a set from behind its `[` to its `]`. A `]` that comes first is one of its bytes.
fn set(rest: &mut &[u8]) -> Result<Set, RuleError> {
    let mut set = Set::default();
    let inverted = matches!(rest.first(), Some(b'!' | b'^'));
    if inverted {
        take(rest);
    }
    // The byte before, which a range may begin with.
    let mut before = None;
    let mut byte = take(rest).ok_or(RuleError::Set)?;
    loop {
        let mut remembered = Some(byte);
        match byte {
            b'\\' => {
                byte = take(rest).ok_or(RuleError::Set)?;
                set.add(byte);
                remembered = Some(byte);
            }
            b'-' if before.is_some() && peeks_at_range(rest) => {
                let mut last = take(rest).ok_or(RuleError::Set)?;
                if last == b'\\' {
                    last = take(rest).ok_or(RuleError::Set)?;
                }
                (before.unwrap_or(last)..=last).for_each(|byte| set.add(byte));
                remembered = None;
            }
            b'[' if rest.first() == Some(&b':') => {
                let end = rest.iter().position(|byte| *byte == b']').ok_or(RuleError::Set)?;
                match rest[1..end].strip_suffix(b":") {
                    Some(class) => {
                        let class = class_of(class).ok_or(RuleError::Set)?;
                        (0..=u8::MAX).filter(class).for_each(|byte| set.add(byte));
                        *rest = &rest[end + 1..];
                        remembered = None;
                    }
                    // Not a class after all.
                    None => set.add(b'['),
                }
            }
            byte => set.add(byte),
        }
        before = remembered;
        byte = take(rest).ok_or(RuleError::Set)?;
        if byte == b']' {
            break;
        }
    }
    if inverted {
        set.0 = set.0.map(|bits| !bits);
    }
    set.0[0] &= !(1 << b'/');
    Ok(set)
}

/// Whether what follows a `-` ends a range.
fn peeks_at_range(rest: &[u8]) -> bool {
    rest.first().is_some_and(|byte| *byte != b']')
}

/// POSIX classes in the C locale.
fn class_of(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}
