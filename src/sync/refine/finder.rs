//! The end with the new file: searches it for the blocks of the old one, and sends what cannot be found.
//!
//! Invariant: what it says it found, with the literals, is the new file, unless a sum was right by chance.

use super::found::{self, Cursor};
use super::layout::{Copy, Layout};
use super::literals::{LiteralReader, ratio, saved};
use super::ranges::Blocks;
use super::rounds::{self, Next, Round, Then};
use super::worth::{Known, Outlook, Saved};
use super::{LONGEST, RefineError, Settings, digest, kind, sums};
use crate::sync::apply::Basis;
use crate::sync::format::{Bytes as _, put};
use crate::sync::scan::{Scan, Sink};
use crate::sync::signature::{SALT, Signature};
use crate::sync::strong::FULL;
use std::collections::VecDeque;

/// What is on its way in a round.
struct Search {
    round: Next,
    blocks: Blocks,
    bits: u32,
    sums: Signature,
}

enum State {
    /// Has to make its offer.
    Start,
    /// Waits for an answer to it.
    Offered,
    /// Sums are to come.
    Sums(Box<Search>),
    Literals(Box<LiteralReader>),
    End,
    /// Something went wrong.
    Failed,
}

/// See the module.
pub struct Finder<'f, B: ?Sized> {
    new: &'f B,
    new_len: u64,
    settings: Settings,
    state: State,
    layout: Layout,
    salt: [u8; SALT],
    extra: u8,
    due: VecDeque<Vec<u8>>,
    rounds: Vec<Round>,
    outlook: Outlook,
}

impl<'f, B: Basis + ?Sized> Finder<'f, B> {
    /// Of a new file of `new_len` bytes.
    pub fn new(new: &'f B, new_len: u64, settings: Settings) -> Self {
        Finder {
            new,
            new_len,
            settings,
            state: State::Start,
            layout: Layout::new(0, 0),
            salt: [0; SALT],
            extra: 0,
            due: VecDeque::new(),
            rounds: Vec::new(),
            outlook: Outlook::new(),
        }
    }

    /// Whether it has nothing more to say or hear.
    pub fn is_done(&self) -> bool {
        matches!(self.state, State::End) && self.due.is_empty()
    }

    /// The rounds so far.
    pub fn rounds(&self) -> &[Round] {
        &self.rounds
    }

    /// Takes a message of the holder. The last one of a round takes the time of searching the new file.
    pub fn take(&mut self, message: &[u8]) -> Result<(), RefineError> {
        let (kind, body) = message.split_first().ok_or(RefineError::Malformed("nothing"))?;
        match (*kind, std::mem::replace(&mut self.state, State::Failed)) {
            (kind::SAME, State::Offered) if body.is_empty() => {
                self.state = State::End;
                Ok(())
            }
            (kind::OPEN, State::Offered) => self.opened(body),
            (kind::SUMS, State::Sums(search)) => self.summed(search, body),
            _ => Err(RefineError::Malformed("out of order")),
        }
    }

    /// The next message to the holder, if one is due.
    pub fn give(&mut self) -> Result<Option<Vec<u8>>, RefineError> {
        if let Some(message) = self.due.pop_front() {
            return Ok(Some(message));
        }
        match &mut self.state {
            State::Start => {
                let mut offer = vec![kind::OFFER];
                put(&mut offer, self.new_len);
                offer.extend(digest(self.new, self.new_len).map_err(RefineError::New)?);
                self.state = State::Offered;
                Ok(Some(offer))
            }
            State::Literals(reader) => {
                let Some(mut packed) = reader.next(&self.layout, self.new)? else {
                    self.state = State::End;
                    return Ok(None);
                };
                packed.insert(0, kind::LITERALS);
                Ok(Some(packed))
            }
            _ => Ok(None),
        }
    }

    fn opened(&mut self, mut body: &[u8]) -> Result<(), RefineError> {
        self.extra = body.byte()?;
        for byte in &mut self.salt {
            *byte = body.byte()?;
        }
        let old = body.number()?;
        if self.extra > 32 || old > LONGEST {
            return Err(RefineError::Malformed("lengths that no file has"));
        }
        self.layout = Layout::new(old, self.new_len);
        let search = self.search(rounds::first(old));
        self.summed(search, body)
    }

    fn search(&self, next: Next) -> Box<Search> {
        let blocks = next.blocks(&self.layout);
        let bits = rounds::bits(self.layout.gaps.bytes(), blocks.count(), self.extra, next.anywhere);
        let sums = sums::empty(&self.salt, blocks.block(), bits);
        Box::new(Search { round: next, blocks, bits, sums })
    }

    /// Takes the sums in `body`, and searches for them when they are all there.
    fn summed(&mut self, mut search: Box<Search>, body: &[u8]) -> Result<(), RefineError> {
        let all = search.blocks.count();
        sums::read(body, search.bits, &mut search.sums, all)?;
        if search.sums.blocks() < all {
            self.state = State::Sums(search);
            return Ok(());
        }
        search.sums.set_basis_len(all * search.blocks.block());
        let copies = self.find(&search)?;
        let (block, searched) = (search.blocks.block(), self.layout.gaps.bytes());
        let last = Round {
            block,
            blocks: all,
            bits: search.bits,
            probe: search.round.probe,
            anywhere: search.round.anywhere,
            searched,
            reach: searched.min(all * block),
            found: copies.iter().map(|copy| copy.count * block).sum(),
            copies: copies.len() as u64,
        };
        self.rounds.push(last);
        let before = self.layout.clone();
        self.layout.add(&search.blocks, &search.sums, &copies);
        let level = self.settings.level;
        let packed = ratio(&self.layout, self.new, level)?;
        let saved = if last.probe {
            let literals = saved(&before, block, &copies, packed, self.new, level)?;
            Some(Saved { literals, copies: last.copies })
        } else {
            None
        };
        let next = self.outlook.next(Known {
            layout: &self.layout,
            last,
            saved,
            packed,
            extra: self.extra,
            wait: self.settings.wait,
        });
        self.tell(&before, &search.blocks, &copies, next.map_or(Then::Literals, Then::Round));
        self.state = match next {
            Some(next) => State::Sums(self.search(next)),
            None => State::Literals(Box::new(LiteralReader::new(self.settings.level)?)),
        };
        Ok(())
    }

    /// Puts what was found into messages.
    fn tell(&mut self, before: &Layout, blocks: &Blocks, copies: &[Copy], then: Then) {
        let mut cursor = Cursor::new(before);
        let messages = copies.len().div_ceil(found::MOST).max(1);
        for at in 0..messages {
            let mut message = vec![kind::FOUND];
            let then = if at + 1 == messages { then } else { Then::More };
            then.write(&mut message);
            let copies = &copies[at * found::MOST..copies.len().min((at + 1) * found::MOST)];
            message.extend(found::write(before, blocks, &mut cursor, copies));
            self.due.push_back(message);
        }
    }

    /// Searches the gaps.
    fn find(&self, search: &Search) -> Result<Vec<Copy>, RefineError> {
        let mut copies = Found { block: search.blocks.block(), at: 0, copies: Vec::new() };
        if search.blocks.count() == 0 {
            return Ok(copies.copies);
        }
        let mut scan = Scan::thorough(&search.sums, if search.round.anywhere { u64::MAX } else { rounds::NEAR });
        for gap in self.layout.gaps.as_slice() {
            if gap.end - gap.start < search.blocks.block() {
                continue;
            }
            let (before, behind) = self.layout.anchors(gap);
            scan.another(search.blocks.from(before), gap.end - gap.start, search.blocks.from(behind));
            copies.at = gap.start;
            let mut at = gap.start;
            while at < gap.end {
                let space = scan.space();
                let len = (gap.end - at).min(space.len() as u64) as usize;
                self.new.read_exact_at(&mut space[..len], at).map_err(RefineError::New)?;
                scan.filled(len);
                at += len as u64;
                scan.run(at == gap.end, &mut copies);
            }
        }
        copies.copies.truncate(rounds::most_copies(self.layout.old_len()));
        Ok(copies.copies)
    }
}

/// Keeps where the copies are.
struct Found {
    block: u64,
    /// Bytes of the new file before what is told next.
    at: u64,
    copies: Vec<Copy>,
}

impl Sink for Found {
    fn copy(&mut self, block: u64, len: u64, _: &[[u8; FULL]]) {
        let (new, count) = (self.at, len / self.block);
        self.at += len;
        match self.copies.last_mut() {
            Some(last) if last.new + last.count * self.block == new && last.block + last.count == block => {
                last.count += count;
            }
            _ => self.copies.push(Copy { new, block, count }),
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.at += bytes.len() as u64;
    }
}
