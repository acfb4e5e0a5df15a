//! Weak sums: short, cheap to roll from one position to the next, and right often enough to look closer.
//!
//! Two families, of 32 bits each. [`Poly`] is the polynomial of Rabin and Karp modulo 2³² with an odd base (Karp & Rabin 1987), which is
//! this project's own with a base from the salt, and librsync's `rabinkarp` with a fixed one; [`Rollsum`](rollsum) is the pair of sums after
//! Adler-32 that rsync began with (Tridgell & Mackerras 1996), and librsync's `rollsum`. Invariant: at every position [`Weak::find`] judges
//! the same sum that [`Weak::of`] gives for that window, whichever code runs. Which positions are worth a look is for the
//! [`Filter`]; what stands there, for `index` and the strong sums.

#![allow(
    clippy::inline_always,
    reason = "the loops over every byte are compiled twice, for wide registers too: what they call has to be"
)]

#[cfg(target_arch = "x86_64")]
mod avx2;
mod filter;
mod poly;
mod rollsum;

pub(super) use filter::{Filter, mix};
pub(super) use poly::Poly;

/// Which sums, with what they need.
#[derive(Clone, Debug)]
pub enum Weak {
    /// A polynomial.
    Poly(Poly),
    /// librsync's `rollsum`.
    Rollsum,
}

impl Weak {
    /// The sum of `block`.
    pub(super) fn of(&self, block: &[u8]) -> u32 {
        match self {
            Weak::Poly(poly) => poly.of(block),
            Weak::Rollsum => rollsum::of(block),
        }
    }

    /// The sums of blocks of `len` bytes rolled.
    pub(super) fn roller(&self, len: usize) -> Roller {
        match self {
            Weak::Poly(poly) => Roller::Poly(poly.roller(len)),
            Weak::Rollsum => Roller::Rollsum { len },
        }
    }
}

/// Rolls windows of one length.
#[derive(Clone, Debug)]
pub(super) enum Roller {
    Poly(poly::Roller),
    Rollsum { len: usize },
}

impl Roller {
    /// The first of `count` positions of `data`, whose window has the sum `sum` at the first, that passes `filter`. `sum` is then that of the
    /// position found, or of the one behind the last. `data` holds `count` bytes more than a window.
    pub(super) fn find(&self, filter: &Filter, data: &[u8], sum: &mut u32, count: usize) -> Option<usize> {
        match self {
            Roller::Poly(roller) => roller.find(filter, data, sum, count),
            Roller::Rollsum { len } => rollsum::find(filter, data, *len, sum, count),
        }
    }

    /// The sum of the window one position further, where `old` goes out and `new` comes in.
    pub(super) fn step(&self, sum: u32, old: u8, new: u8) -> u32 {
        match self {
            Roller::Poly(roller) => roller.step(sum, old, new),
            Roller::Rollsum { len } => rollsum::step(*len, sum, old, new),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_rolled_is_what_is_summed(
            data in prop::collection::vec(any::<u8>(), 1..700),
            len in 1_usize..200,
            base in any::<u32>(),
            seed in any::<bool>(),
        ) {
            prop_assume!(data.len() > len);
            let positions = data.len() - len;
            for weak in [Weak::Rollsum, Weak::Poly(Poly::new(base | 1, u32::from(seed)))] {
                let sums: Vec<u32> = (0..=positions).map(|at| weak.of(&data[at..at + len])).collect();
                let roller = weak.roller(len);
                // Nothing passes: the sum behind the last position comes out.
                let mut sum = sums[0];
                prop_assert_eq!(roller.find(&Filter::new(8), &data, &mut sum, positions), None);
                prop_assert_eq!(sum, sums[positions]);
                prop_assert_eq!(roller.step(sums[0], data[0], data[len]), sums[1]);
                // Whatever passes is found in its order.
                for wanted in [positions / 2, positions - 1] {
                    let mut filter = Filter::new(8);
                    filter.add(sums[wanted]);
                    let first = sums.iter().position(|sum| filter.passes(*sum)).unwrap();
                    let mut sum = sums[0];
                    prop_assert_eq!(roller.find(&filter, &data, &mut sum, positions), Some(first));
                    prop_assert_eq!(sum, sums[first]);
                }
            }
        }
    }
}
