//! The end with the old file: sends its sums, learns what of them stands where, and makes the new file.
//!
//! Invariant: what is written is a beginning of what the finder says the new file is, never more bytes than it offered.

use super::found::Cursor;
use super::layout::{Copy, Layout};
use super::literals::Rebuild;
use super::ranges::Blocks;
use super::rounds::{self, Next, Then};
use super::sums::{self, SumsWriter};
use super::{LONGEST, READ, RefineError, Settings, digest, found, kind};
use crate::sync::apply::Basis;
use crate::sync::format::{Bytes as _, put};
use crate::sync::signature::Signature;
use std::io::Write;

/// Sums in a message, and bytes of the old file that they are of, at most.
const SUMS: usize = 8192;
const SUMMED: u64 = 64 << 20;
/// How it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The old file is the new one; nothing was written.
    Same,
    /// So many bytes were written, and they are the new file.
    Made(u64),
}

/// What is on its way in a round.
struct Sums {
    round: Next,
    blocks: Blocks,
    signature: Signature,
    writer: SumsWriter,
    /// The next block to be summed.
    next: u64,
    cursor: Cursor,
    copies: Vec<Copy>,
}

enum State {
    /// Waits for the offer.
    Start,
    /// Has to say that the files are the same.
    Same,
    /// Sums are to be sent, or what was found of them is to come.
    Round(Box<Sums>),
    /// Literals are to come.
    Literals(Box<Rebuild>),
    End(Outcome),
    /// Something went wrong.
    Failed,
}

/// See the module.
pub struct Holder<'f, B: ?Sized, W> {
    old: &'f B,
    old_len: u64,
    to: W,
    settings: Settings,
    state: State,
    /// Of what was offered.
    digest: [u8; 32],
    new_len: u64,
    layout: Layout,
    /// The head of the next message of sums.
    head: Vec<u8>,
}

impl<'f, B: Basis + ?Sized, W: Write> Holder<'f, B, W> {
    /// Of an old file of `old_len` bytes, to write the new one to `to`.
    pub fn new(old: &'f B, old_len: u64, to: W, settings: Settings) -> Self {
        Holder {
            old,
            old_len,
            to,
            settings,
            state: State::Start,
            digest: [0; 32],
            new_len: 0,
            layout: Layout::new(0, 0),
            head: Vec::new(),
        }
    }

    /// How it ended, once it has.
    pub fn outcome(&self) -> Option<Outcome> {
        if let State::End(outcome) = self.state { Some(outcome) } else { None }
    }

    /// Takes a message of the finder.
    pub fn take(&mut self, message: &[u8]) -> Result<(), RefineError> {
        let (kind, body) = message.split_first().ok_or(RefineError::Malformed("nothing"))?;
        match (*kind, std::mem::replace(&mut self.state, State::Failed)) {
            (kind::OFFER, State::Start) => self.offered(body),
            (kind::FOUND, State::Round(sums)) if sums.next == sums.blocks.count() => self.found(*sums, body),
            (kind::LITERALS, State::Literals(mut rebuild)) => {
                rebuild.take(body, &self.layout, self.old, &mut self.to)?;
                self.rebuilt(rebuild)
            }
            _ => Err(RefineError::Malformed("out of order")),
        }
    }

    /// The next message to the finder, if one is due.
    pub fn give(&mut self) -> Result<Option<Vec<u8>>, RefineError> {
        match &mut self.state {
            State::Same => {
                self.state = State::End(Outcome::Same);
                Ok(Some(vec![kind::SAME]))
            }
            State::Round(sums) if sums.next < sums.blocks.count() || !self.head.is_empty() => {
                let mut message = std::mem::take(&mut self.head);
                if message.is_empty() {
                    message.push(kind::SUMS);
                }
                sums.sum(self.old)?;
                message.extend(sums.writer.take());
                Ok(Some(message))
            }
            _ => Ok(None),
        }
    }

    fn offered(&mut self, mut body: &[u8]) -> Result<(), RefineError> {
        self.new_len = body.number()?;
        self.digest = body.try_into().map_err(|_| RefineError::Malformed("an offer of another length"))?;
        if self.new_len > self.settings.most.min(LONGEST) {
            return Err(RefineError::TooLong(self.settings.most.min(LONGEST)));
        }
        let same =
            self.new_len == self.old_len && digest(self.old, self.old_len).map_err(RefineError::Old)? == self.digest;
        if same {
            self.state = State::Same;
            return Ok(());
        }
        self.layout = Layout::new(self.old_len, self.new_len);
        self.head = vec![kind::OPEN, self.settings.extra];
        self.head.extend(self.settings.salt);
        put(&mut self.head, self.old_len);
        self.round(rounds::first(self.old_len))
    }

    fn round(&mut self, next: Next) -> Result<(), RefineError> {
        let blocks = next.blocks(&self.layout);
        if blocks.count() == 0 && self.head.is_empty() {
            return Err(RefineError::Malformed("a round without blocks"));
        }
        let bits = rounds::bits(self.layout.gaps.bytes(), blocks.count(), self.settings.extra, next.anywhere);
        self.state = State::Round(Box::new(Sums {
            round: next,
            signature: sums::empty(&self.settings.salt, blocks.block(), bits),
            writer: SumsWriter::new(bits),
            next: 0,
            cursor: Cursor::new(&self.layout),
            copies: Vec::new(),
            blocks,
        }));
        Ok(())
    }

    fn found(&mut self, mut sums: Sums, mut body: &[u8]) -> Result<(), RefineError> {
        let then = Then::read(&mut body)?;
        let copies = found::read(body, &self.layout, &sums.blocks, &mut sums.cursor)?;
        sums.copies.extend(copies);
        if sums.copies.len() > rounds::most_copies(self.old_len) {
            return Err(RefineError::Malformed("more copies than there is room for"));
        }
        if then == Then::More {
            self.state = State::Round(Box::new(sums));
            return Ok(());
        }
        self.layout.add(&sums.blocks, &sums.signature, &sums.copies);
        if let Then::Round(next) = then {
            if !next.may_follow(sums.round) {
                return Err(RefineError::Malformed("a round that brings nothing new"));
            }
            return self.round(next);
        }
        let mut rebuild = Rebuild::new()?;
        rebuild.copy(&self.layout, self.old, &mut self.to)?;
        self.rebuilt(Box::new(rebuild))
    }

    fn rebuilt(&mut self, rebuild: Box<Rebuild>) -> Result<(), RefineError> {
        if rebuild.written() < self.new_len {
            self.state = State::Literals(rebuild);
            return Ok(());
        }
        if rebuild.digest() != self.digest {
            return Err(RefineError::Mismatch);
        }
        self.to.flush().map_err(RefineError::Target)?;
        self.state = State::End(Outcome::Made(self.new_len));
        Ok(())
    }
}

impl Sums {
    /// Sums the blocks of the next message.
    fn sum<B: Basis + ?Sized>(&mut self, old: &B) -> Result<(), RefineError> {
        let size = self.blocks.block();
        let most = (SUMMED / size).clamp(1, SUMS as u64);
        let end = self.blocks.count().min(self.next + most);
        let at_once = (READ as u64 / size).max(1);
        let mut buffer = Vec::new();
        let plan = self.signature.plan().clone();
        for range in self.blocks.ranges(self.next, end - self.next) {
            let mut at = range.start;
            while at < range.end {
                let len = (range.end - at).min(at_once * size);
                buffer.resize(len as usize, 0);
                old.read_exact_at(&mut buffer, at).map_err(RefineError::Old)?;
                plan.sums(&buffer, |weak, strong| self.writer.push(weak, strong, &mut self.signature));
                at += len;
            }
        }
        self.next = end;
        if end == self.blocks.count() {
            self.signature.set_basis_len(end * size);
        }
        Ok(())
    }
}
