//! rsync's filter rules: which paths are sent.
//!
//! Invariant: rules are asked in the order in which they were given and the first that matches decides; a path that none matches
//! is included. Matching is on bytes, and takes at most (length of the pattern) × (length of the path) steps, whatever is in them.
//!
//! That what is in an excluded directory is excluded with it is left to whoever walks: it does not enter. Files of rules are read
//! by the caller ([`Builder`]). Reference: rsync(1), FILTER RULES.

mod classes;
mod parse;
mod pattern;
#[cfg(test)]
mod tests;

pub use classes::Classes;
pub use parse::{BuildError, Builder, Form, RuleError, lines};
pub use pattern::{MAX_PATTERN, Pattern};

/// What a rule says of the paths that it matches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// They take part.
    Include,
    /// They do not.
    Exclude,
}

/// Whose paths a rule is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Those of the sender and those of the receiver (`+`, `-`).
    Both,
    /// What is sent (`S`how, `H`ide).
    Sender,
    /// What may be deleted at the receiver (`R`isk, `P`rotect).
    Receiver,
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    effect: Effect,
    side: Side,
    /// It is about the paths that the pattern does not match.
    negated: bool,
    pattern: Pattern,
}

impl Rule {
    fn is_about(&self, path: &[u8], is_directory: bool) -> bool {
        self.pattern.matches(path, is_directory) != self.negated
    }
}

/// Rules in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules(Vec<Rule>);

impl Rules {
    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a path is sent as far as these rules go. `path` is relative to the root of the transfer, its components are
    /// separated by single `/`.
    pub fn sends(&self, path: &[u8], is_directory: bool) -> bool {
        let mut rules = self.0.iter().filter(|rule| rule.side != Side::Receiver);
        rules.find(|rule| rule.is_about(path, is_directory)).is_none_or(|rule| rule.effect == Effect::Include)
    }

    /// Whether some rule is about deletions alone.
    pub fn has_receiver_rules(&self) -> bool {
        self.0.iter().any(|rule| rule.side == Side::Receiver)
    }

    /// The rules as bytes: the same ones for the same rules in the same order, and only for them.
    pub fn fingerprint(&self) -> Vec<u8> {
        let mut out = Vec::new();
        for rule in &self.0 {
            let text = rule.pattern.as_bytes();
            out.extend([rule.effect as u8, rule.side as u8, u8::from(rule.negated)]);
            out.extend((text.len() as u32).to_be_bytes());
            out.extend(text);
        }
        out
    }
}
