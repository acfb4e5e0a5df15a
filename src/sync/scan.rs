//! Finds blocks of a basis in a target that streams by: the matcher.
//!
//! Where a block was found, the next ones are expected behind it, and are tested by their strong sums without rolling anything: several side
//! by side, so that what has not changed passes at the speed of the hash. Where some have changed in place, what is behind them is looked for
//! first (`ahead`). Elsewhere the weak sum rolls, the filter of the [`Index`] stops it, and a strong sum decides. Far from any match only one
//! block's length of starts in every few is rolled, and what that passed over is found backwards from the next match (`docs/delta.md` has
//! the figures).
//!
//! Invariants: what is told to the [`Sink`] is the target, in order and without gaps; a copy is told only after its strong sum matched; the
//! strong sums that fail where the weak sum rolls are of no more than about [`FREE`] bytes, or a block, and half of the target so far,
//! however the data was made, and where the next blocks are expected sixteen at most (of long blocks; of short ones thirty-two) behind
//! each that was there; memory is a few blocks and [`CHUNK`].

mod ahead;
mod follow;
mod judge;
mod trust;

use super::index::Index;
use super::signature::Signature;
use super::strong::{FULL, HEAD, in_a_row};
use super::weak::Roller;
use ahead::Ahead;
use follow::Followed;
use judge::Judged;
use std::collections::HashMap;
use trust::Trust;

/// Bytes that are read at once.
const CHUNK: usize = 512 * 1024;
/// Windows that are tested side by side are of so many bytes, and what is kept to be found backwards.
const SIDE_BY_SIDE: usize = 1 << 20;
/// Bytes of failed strong sums that are free, beyond half of the target so far.
pub(super) const FREE: u64 = 1 << 20;
/// A weak sum that was wrong so often is not looked at any more, and to stop at it counts as so many bytes that failed.
const WRONG: u8 = 64;
const STOP: u64 = 128;
/// From so many bytes without a match on, one block's length of starts in every so many is rolled.
const SPARSER: [(u64, usize); 3] = [(256 << 10, 8), (64 << 10, 4), (16 << 10, 2)];

/// Takes what a target is made of.
pub trait Sink {
    /// The next `len` bytes are those of the basis from its block `block` on, whose blocks have these full strong sums: the last one is
    /// shorter than the others if it is the last of the basis.
    fn copy(&mut self, block: u64, len: u64, sums: &[[u8; FULL]]);
    /// The next bytes are these.
    fn literal(&mut self, bytes: &[u8]);
}

/// The matcher of one target. Fill its [`space`](Self::space), say how much, and [`run`](Self::run) it.
#[derive(Debug)]
pub struct Scan<'s> {
    signature: &'s Signature,
    index: Index,
    roller: Roller,
    block: usize,
    buffer: Vec<u8>,
    /// The bytes before these in `buffer` are told, looked at, there.
    told: usize,
    at: usize,
    end: usize,
    /// Where `buffer` starts in the target.
    base: u64,
    /// The block that is expected at `at`.
    next: Option<u64>,
    /// See its module.
    ahead: Option<Ahead>,
    /// Position in the basis minus position in the target (wrapping), and end in the target, of the last match.
    shift: Option<u64>,
    matched_to: u64,
    /// The weak sum at `at`, where it is known; positions to roll before the next are passed over, and positions to pass over.
    sum: Option<u32>,
    strip: usize,
    pass: usize,
    /// See [`thorough`](Self::thorough).
    trust: Option<Trust>,
    failed: u64,
    wrong: HashMap<u32, u8>,
    /// Starts that were rolled or stopped at, and windows that were summed where they were expected.
    #[cfg(test)]
    work: (u64, u64),
    /// Strong sums of windows that were expected to be blocks, and of which block and position the first is.
    sums: Vec<[u8; FULL]>,
    sums_of: (u64, u64),
}

impl<'s> Scan<'s> {
    /// For a target to be made of the basis with this signature.
    pub fn new(signature: &'s Signature) -> Scan<'s> {
        Scan::with(signature, Index::new(signature))
    }

    /// For sums that are too short to be trusted alone: a block counts as found where it is expected, `near` blocks from there at most, or
    /// where more speaks for it. And every start is rolled, however far from a match: what is found is worth the time.
    pub(super) fn thorough(signature: &'s Signature, near: u64) -> Scan<'s> {
        let mut scan = Scan::with(signature, trust::index(signature));
        scan.trust = Some(Trust::new(near.saturating_mul(scan.block as u64)));
        scan
    }

    fn with(signature: &'s Signature, index: Index) -> Scan<'s> {
        let block = signature.plan().block;
        Scan {
            signature,
            index,
            roller: signature.plan().weak.roller(block),
            block,
            buffer: vec![0; CHUNK + 2 * block + kept(block)],
            told: 0,
            at: 0,
            end: 0,
            base: 0,
            next: Some(0),
            ahead: None,
            shift: None,
            matched_to: 0,
            sum: None,
            strip: block,
            pass: 0,
            trust: None,
            failed: 0,
            wrong: HashMap::new(),
            #[cfg(test)]
            work: (0, 0),
            sums: Vec::new(),
            sums_of: (0, 0),
        }
    }

    /// Where the next bytes of the target go, always as many. Only who fills all of it, but at the end, gets what others get for the same target.
    pub fn space(&mut self) -> &mut [u8] {
        if self.buffer.len() - self.end < CHUNK {
            self.buffer.copy_within(self.told..self.end, 0);
            self.base += self.told as u64;
            self.at -= self.told;
            self.end -= self.told;
            self.told = 0;
        }
        &mut self.buffer[self.end..self.end + CHUNK]
    }

    /// Says that the first `len` bytes of [`space`](Self::space) are the next of the target.
    pub fn filled(&mut self, len: usize) {
        self.end += len;
        debug_assert!(self.end <= self.buffer.len());
    }

    /// Tells `sink` what can be told of the bytes that are there; with `last`, all of them.
    pub fn run(&mut self, last: bool, sink: &mut impl Sink) {
        loop {
            match self.follow(last, sink) {
                Followed::Unknown => break,
                Followed::Found => continue,
                Followed::Lost => {}
            }
            if !self.roll(last, sink) {
                break;
            }
        }
        if last {
            self.finish(sink);
        } else {
            let keep = if self.sparsity() > 1 { kept(self.block) } else { 0 };
            self.tell(self.at.saturating_sub(keep), sink);
        }
    }

    /// Goes on with another target of `len` bytes behind this one, all of which was told. There block `next` is expected first, and block
    /// `behind` behind its end. Positions are counted on.
    pub(super) fn another(&mut self, next: u64, len: u64, behind: u64) {
        self.base += self.end as u64;
        (self.told, self.at, self.end) = (0, 0, 0);
        self.next = Some(next);
        self.ahead = None;
        let block = self.block as u64;
        self.shift = Some((next * block).wrapping_sub(self.base));
        if let Some(trust) = &mut self.trust {
            trust.ends_with((behind * block).wrapping_sub(self.base + len));
        }
        self.matched_to = self.base;
        (self.sum, self.strip, self.pass) = (None, self.block, 0);
    }

    /// Bytes of the target that were told.
    pub fn told(&self) -> u64 {
        self.base + self.told as u64
    }

    /// Bytes whose strong sums were taken in vain.
    #[cfg(test)]
    pub(super) fn failed(&self) -> u64 {
        self.failed
    }

    /// Starts that were rolled or stopped at, and windows that were summed where they were expected.
    #[cfg(test)]
    pub(super) fn work(&self) -> (u64, u64) {
        self.work
    }

    /// Tells the bytes before `to` as they are.
    fn tell(&mut self, to: usize, sink: &mut impl Sink) {
        if to > self.told {
            sink.literal(&self.buffer[self.told..to]);
            self.told = to;
        }
    }

    fn position(&self, at: usize) -> u64 {
        self.base + at as u64
    }

    /// Tells `len` bytes from `start` on as a copy of the basis from `block` on, which goes on behind them.
    fn matched(&mut self, start: usize, len: usize, block: u64, sums: &[[u8; FULL]], sink: &mut impl Sink) {
        self.tell(start, sink);
        sink.copy(block, len as u64, sums);
        self.told = start + len;
        self.at = self.told;
        if let Some(trust) = &mut self.trust {
            trust.found(self.signature, block, sums);
        }
        self.shift = Some((block * self.block as u64).wrapping_sub(self.position(start)));
        self.matched_to = self.position(self.at);
        self.next = Some(block + sums.len() as u64);
        self.ahead = None;
        (self.sum, self.strip, self.pass) = (None, self.block, 0);
    }

    /// How many blocks' lengths of starts there are to one that is rolled.
    fn sparsity(&self) -> usize {
        if self.trust.is_some() {
            return 1;
        }
        let far = self.position(self.at) - self.matched_to;
        let wanted = SPARSER.iter().find(|(from, _)| far >= *from).map_or(1, |(_, sparsity)| *sparsity);
        wanted.min(1 + kept(self.block) / self.block)
    }

    /// Rolls to the next match; whether there may be more to find in what is there.
    fn roll(&mut self, last: bool, sink: &mut impl Sink) -> bool {
        loop {
            let near = self.near();
            if self.at >= near {
                self.jump();
                return true;
            }
            if self.strip == 0 && self.pass == 0 {
                self.pass = (self.sparsity() - 1) * self.block;
                self.strip = self.block;
            }
            if self.pass > 0 {
                let step = self.pass.min(self.end.min(near) - self.at);
                self.at += step;
                self.pass -= step;
                self.sum = None;
                if self.at == near {
                    continue;
                }
                if self.pass > 0 {
                    return false;
                }
            }
            let Some(free) = (self.end - self.at).checked_sub(self.block) else { return false };
            let window = &self.buffer[self.at..self.end];
            let mut sum = self.sum.unwrap_or_else(|| self.signature.plan().weak.of(&window[..self.block]));
            let count = free.min(self.strip).min(near - self.at);
            let found = self.roller.find(self.index.filter(), window, &mut sum, count);
            let step = found.unwrap_or(count);
            #[cfg(test)]
            (self.work.0 += 1 + step as u64);
            self.at += step;
            self.strip -= step;
            self.sum = Some(sum);
            let is_last_window = self.at + self.block == self.end;
            if found.is_none() && !is_last_window {
                continue;
            }
            // Behind the last window nothing can be rolled in: it waits for more, unless there is none.
            if is_last_window && !last {
                return false;
            }
            let listed = match self.judge(sum) {
                Judged::Found(block, strong) => {
                    self.hit(block, strong, sink);
                    return true;
                }
                Judged::Failed => true,
                Judged::Unlisted => false,
            };
            if is_last_window {
                return false;
            }
            self.miss(sum, listed);
        }
    }

    /// Goes on behind a position where the filter was wrong, or a strong sum failed of what was `listed`.
    fn miss(&mut self, sum: u32, listed: bool) {
        if listed && !self.may_fail(self.position(self.at)) {
            // The data was made to look like the basis everywhere. What is lost by going on in steps of a block is its own.
            self.pass = self.block;
            return;
        }
        self.sum = Some(self.roller.step(sum, self.buffer[self.at], self.buffer[self.at + self.block]));
        self.at += 1;
        self.strip = self.strip.saturating_sub(1);
    }

    /// Tells that `block` is at `at`, and as many before it as were passed over.
    fn hit(&mut self, block: u64, strong: [u8; FULL], sink: &mut impl Sink) {
        let (mut start, mut first) = (self.at, block);
        let mut sums = vec![strong];
        if self.sparsity() > 1 {
            while first > 0 && start - self.told >= self.block {
                let window = &self.buffer[start - self.block..start];
                let sum = self.signature.plan().strong.of(window);
                if !self.is_block(first - 1, window, &sum) {
                    break;
                }
                sums.push(sum);
                start -= self.block;
                first -= 1;
            }
            sums.reverse();
        }
        self.matched(start, sums.len() * self.block, first, &sums, sink);
    }

    /// Tells what is left at the end of the target: a short last block of the basis, or bytes.
    fn finish(&mut self, sink: &mut impl Sink) {
        let left = self.end - self.told;
        // Where the length of the basis is not known, its last block may be all that is left.
        let unknown = || (self.signature.basis_len().is_none() && left > 0 && left <= self.block).then_some(left);
        let tail = self.signature.tail().or_else(unknown).filter(|tail| *tail <= left);
        let block = self.signature.blocks().saturating_sub(1);
        let found = tail.and_then(|tail| Some((tail, self.last_block(&self.buffer[self.end - tail..self.end])?)));
        if let Some((tail, sum)) = found {
            self.matched(self.end - tail, tail, block, &[sum], sink);
        }
        self.tell(self.end, sink);
        self.at = self.end;
    }
}

/// Bytes that are not told at once where starts are passed over: they may be found backwards.
fn kept(block: usize) -> usize {
    (SIDE_BY_SIDE / block).min(7) * block
}
