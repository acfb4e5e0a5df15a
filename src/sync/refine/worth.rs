//! Whether another round is worth what it costs: the finder's judgement, which it tells the holder.
//!
//! Where edits lie at random, a block of an eighth of the length is free of them with the eighth root of the probability; what a round finds less than
//! that says how much of the gaps is new, and not only edited. Where that leaves it open, and the sums cost enough to care, a
//! **probe** asks for those of a part of what is unused, and what it saves is measured with the compressor. A file that was edited
//! so densely that the first blocks found nothing is found by probes, too, and one that was rewritten costs a few of them.
//!
//! Invariant: whatever the files, the rounds are few: a block length comes twice at most, then it is shorter.

use super::layout::Layout;
use super::rounds::{self, Next, Round, SHORTEST};

/// How much shorter blocks become: the logarithm of 8.
const STEP: u8 = 3;
/// The share of compressed literals that may be spent on a probe although nothing speaks for it.
const HOPE: f64 = 0.003;
/// Where a round found less than this share, blocks are not about where they are expected.
const LOST: f64 = 0.1;
/// Bytes of sums that are not worth a probe.
const CHEAP: f64 = 4096.0;
/// Gain by cost from which on no probe is needed, and up to which none is made.
const SURE: f64 = 5.0;
const HOPELESS: f64 = 0.15;
/// Bytes that a copy costs, about.
const COPY: f64 = 3.5;
/// Bytes of messages beside sums and copies.
const MESSAGES: f64 = 16.0;

/// What a probe saved.
#[derive(Clone, Copy, Debug)]
pub(super) struct Saved {
    /// Bytes of compressed literals.
    pub(super) literals: f64,
    pub(super) copies: u64,
}

/// What is known after a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Known<'l> {
    pub(super) layout: &'l Layout,
    pub(super) last: Round,
    /// Where it was a probe: what it saved.
    pub(super) saved: Option<Saved>,
    /// What a literal byte comes to when it is compressed.
    pub(super) packed: f64,
    pub(super) extra: u8,
    /// Bytes that a round of waiting costs.
    pub(super) wait: u64,
}

/// What is expected of the rounds to come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Outlook {
    /// The share of the gaps that is edited, and not new.
    live: f64,
    /// The share of that that the last round was expected to find; none before the first.
    expected: Option<f64>,
    /// Of the last probe: it asked for one in so many pieces.
    probed: u64,
}

impl Outlook {
    pub(super) fn new() -> Outlook {
        Outlook { live: 1.0, expected: None, probed: 1 }
    }

    /// The round after this one, if it is worth its cost.
    pub(super) fn next(&mut self, known: Known<'_>) -> Option<Next> {
        let (last, wait) = (known.last, known.wait as f64);
        let log = last.block.ilog2() as u8;
        if let Some(saved) = known.saved {
            let next = Next { log, probe: false, anywhere: last.anywhere };
            let gain = (saved.literals - COPY * saved.copies as f64) * (self.probed - 1) as f64;
            if gain > cost(next, known) + wait {
                return Some(next);
            }
        }
        let found = (last.found as f64 / last.reach.max(1) as f64).min(0.999);
        self.learn(found);
        let shorter = log.saturating_sub(STEP).max(SHORTEST);
        let next = Next { log: shorter, probe: false, anywhere: found < LOST };
        let cost = cost(next, known);
        if shorter == log || cost <= MESSAGES {
            return None;
        }
        let likely = self.live * self.expected.unwrap_or(0.0);
        let reach = known.layout.gaps.bytes().min(known.layout.unused.bytes()) as f64;
        let most = reach * known.packed;
        let gain = likely * most / (cost + wait);
        let probe = cost >= CHEAP && wait <= cost / 4.0;
        if gain > if probe { SURE } else { 1.0 } {
            return Some(next);
        }
        self.probed = rounds::probed(known.layout.unused.bytes());
        let is_hoped_for = gain > HOPELESS || cost / self.probed as f64 <= HOPE * most;
        (probe && is_hoped_for).then_some(Next { probe: true, ..next })
    }

    /// Learns from the share that a round found.
    fn learn(&mut self, found: f64) {
        // Before anything was found, all may be edited.
        let expected = self.expected.filter(|expected| *expected > 0.0);
        self.live = expected.map_or(1.0, |expected| {
            let live = (found / expected).min(1.0);
            ((live - found) / (1.0 - found)).max(0.0)
        });
        let found_of_live = expected.unwrap_or(found).min(0.999);
        self.expected = Some((found_of_live.powf(1.0 / f64::from(1 << STEP)) - found_of_live) / (1.0 - found_of_live));
    }
}

/// Bytes that a round costs, where no blocks are equal.
fn cost(next: Next, known: Known<'_>) -> f64 {
    let blocks = next.blocks(known.layout).count();
    if blocks == 0 {
        return 0.0;
    }
    let bits = rounds::bits(known.layout.gaps.bytes(), blocks, known.extra, next.anywhere);
    blocks as f64 * f64::from(bits) / 8.0 + MESSAGES
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The rounds after a first one of 64 KiB that found a share of 64 MiB, where each later one finds a share of what is left.
    fn rounds(shares: &[f64], wait: u64) -> Vec<(u64, bool)> {
        let (mut outlook, mut left, mut block, mut probe) = (Outlook::new(), 64_u64 << 20, 64_u64 << 10, false);
        let mut rounds = Vec::new();
        for share in shares {
            let asked = if probe { left / rounds::probed(left) } else { left };
            let found = (asked as f64 * share) as u64;
            let last = Round {
                block,
                blocks: asked / block,
                bits: 40,
                probe,
                anywhere: false,
                searched: left,
                reach: asked,
                found,
                copies: 9,
            };
            left -= found;
            let layout = Layout::new(left, left);
            let saved = probe.then_some(Saved { literals: found as f64, copies: 9 });
            let Some(next) = outlook.next(Known { layout: &layout, last, saved, packed: 1.0, extra: 0, wait }) else {
                break;
            };
            (block, probe) = (1 << next.log, next.probe);
            rounds.push((block, probe));
        }
        rounds
    }

    #[test]
    fn blocks_become_shorter_while_edits_are_found() {
        assert_eq!(rounds(&[0.99, 0.87, 0.87, 0.87], 0), [(8192, false), (1024, false), (128, false)]);
        // A wait costs more than what is left.
        assert_eq!(rounds(&[0.99, 0.87, 0.87, 0.87], 200_000), [(8192, false)]);
    }

    #[test]
    fn what_is_new_is_asked_for_by_probes() {
        assert_eq!(rounds(&[0.0; 5], 0), [(8192, true), (1024, true), (128, true)]);
        assert_eq!(rounds(&[0.0, 0.5, 0.5], 0), [(8192, true), (8192, false), (1024, false)]);
        // Pages that were rewritten: short blocks find the rest of the others, and nothing of them.
        assert_eq!(rounds(&[0.85, 0.87, 0.5, 0.0, 0.0], 0), [(8192, false), (1024, false), (128, true)]);
    }
}
