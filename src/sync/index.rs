//! Which entries of a signature a window may be, by its weak sum.
//!
//! A [`Filter`] in front of an open hash table. Invariants: an entry is found by its sum unless it is one of many that are alike; whatever the
//! signature holds, building takes time proportional to it and a look-up looks at [`PROBES`] places at most: at most [`ALIKE`] entries
//! with one weak sum and different strong sums are kept, of equal ones the first.

use super::signature::Signature;
use super::weak::{Filter, mix};

/// Entries with the same weak sum that are told apart.
const ALIKE: usize = 8;
/// Places that are looked at for one sum. In a table that is at most two thirds full, longer chains are made on purpose.
const PROBES: usize = 64;
const EMPTY: u32 = u32::MAX;
/// Entries that are indexed, at most.
const MOST: usize = 1 << 30;

/// See the module.
#[derive(Clone, Debug)]
pub(super) struct Index {
    filter: Filter,
    /// Entries, and above them as many bits of the mixed sum as there is room for, so that few are looked up in vain.
    table: Vec<u32>,
    shift: u32,
    /// Bits of an entry.
    width: u32,
}

impl Index {
    /// Of all blocks of `signature` that have the full length.
    pub(super) fn new(signature: &Signature) -> Index {
        Index::of(signature, |_| true)
    }

    /// Of those of them whose entries are `wanted`.
    pub(super) fn of(signature: &Signature, wanted: impl Fn(usize) -> bool) -> Index {
        let entries = signature.entries().min(MOST);
        let size = (entries + entries / 2).next_power_of_two().max(1 << 4);
        let mut index = Index {
            filter: Filter::new(entries),
            table: vec![EMPTY; size],
            shift: 32 - size.trailing_zeros(),
            // There are more numbers than entries: the last is none of them.
            width: size.trailing_zeros(),
        };
        let whole = signature.whole_blocks();
        for entry in (0..entries).filter(|entry| signature.first_block(*entry) < whole && wanted(*entry)) {
            index.add(signature, entry);
        }
        index
    }

    fn add(&mut self, signature: &Signature, entry: usize) {
        let weak = signature.weak(entry);
        let mut alike = 0;
        for place in self.places(weak) {
            let Some(other) = self.listed(place) else {
                self.table[place] = self.slot(weak, entry);
                self.filter.add(weak);
                return;
            };
            if signature.weak(other) == weak {
                alike += 1;
                if alike == ALIKE || signature.strong(other) == signature.strong(entry) {
                    return;
                }
            }
        }
    }

    /// What is written of an entry with this weak sum.
    fn slot(&self, weak: u32, entry: usize) -> u32 {
        mix(weak) << self.width | entry as u32
    }

    /// The entry at a place.
    fn listed(&self, place: usize) -> Option<usize> {
        let slot = self.table[place];
        (slot != EMPTY).then_some((slot & !(u32::MAX << self.width)) as usize)
    }

    fn places(&self, weak: u32) -> impl Iterator<Item = usize> + use<> {
        let (first, mask) = ((mix(weak) >> self.shift) as usize, self.table.len() - 1);
        (0..PROBES.min(self.table.len())).map(move |step| (first + step) & mask)
    }

    /// What lets positions pass that are worth a look.
    pub(super) fn filter(&self) -> &Filter {
        &self.filter
    }

    /// The entries that have this weak sum.
    pub(super) fn candidates(&self, signature: &Signature, weak: u32) -> impl Iterator<Item = usize> {
        let (tag, width) = (mix(weak) << self.width, self.width);
        let slots = self.places(weak).map(|place| self.table[place]).take_while(|slot| *slot != EMPTY);
        let entries = slots.filter(move |slot| (slot ^ tag) >> width == 0).map(move |slot| (slot ^ tag) as usize);
        entries.filter(move |entry| signature.weak(*entry) == weak)
    }
}

#[cfg(test)]
mod tests {
    use super::super::signature::{Plan, SALT};
    use super::*;

    fn signature(weak: impl Iterator<Item = u32>) -> Signature {
        let mut signature = Signature::new(Plan::salted(&[0; SALT], 16, 8));
        weak.enumerate().for_each(|(at, weak)| signature.push(weak, &(at as u64).to_le_bytes()));
        signature.set_basis_len(signature.blocks() * 16);
        signature
    }

    #[test]
    fn every_entry_is_found_by_its_sum() {
        let signature = signature((0..5000).map(|at: u32| at.wrapping_mul(0x1234_5677)));
        let index = Index::new(&signature);
        for entry in 0..5000 {
            let weak = signature.weak(entry);
            assert!(index.filter().passes(weak));
            assert_eq!(index.candidates(&signature, weak).collect::<Vec<_>>(), [entry]);
        }
        let strangers = (0..100_000).filter(|at: &u32| index.filter().passes(at.wrapping_mul(0x0BAD_CAFF) ^ 0x5555));
        assert!(strangers.count() < 3000, "the filter holds back most of what is not there");
    }

    #[test]
    fn sums_that_are_made_alike_cost_no_more() {
        let alike = signature((0..200_000).map(|_| 7));
        assert_eq!(Index::new(&alike).candidates(&alike, 7).collect::<Vec<_>>(), (0..ALIKE).collect::<Vec<_>>());
        // All in one chain of the table: what finds no place in reach is left out.
        let inverse = |odd: u32| (0..5).fold(odd, |x: u32, _| x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x))));
        let unmix = |mixed: u32| {
            let x = mixed.wrapping_sub(mix(0)).wrapping_mul(inverse(0x9E37_79B1));
            x ^ (x >> 15) ^ (x >> 30)
        };
        let chained = signature((0..100_000).map(unmix));
        let index = Index::new(&chained);
        assert_eq!(mix(chained.weak(99)), 99);
        assert!(index.table.iter().filter(|slot| **slot != EMPTY).count() < 2 * PROBES);
    }
}
