//! The polynomial Σ dᵢ·Bⁿ⁻¹⁻ⁱ (+ s·Bⁿ) modulo 2³², B odd.
//!
//! An odd base has an inverse modulo 2³², so the sums at the next positions are Bᵏ·(h + Σ eⱼ·B⁻ʲ⁻¹) with eⱼ = what comes in − Bⁿ·what goes
//! out: only additions wait for each other, and eight positions are found at once. Invariant: the loops here and the one of
//! [`avx2`](super::avx2) give the same, which tests hold; this one is for every machine.

use super::filter::Filter;

/// A polynomial: its base, and what stands before the first byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Poly {
    base: u32,
    seed: u32,
}

/// Bytes that are summed side by side.
const LANES: usize = 64;

impl Poly {
    /// Of an odd `base`, as if `seed` stood before each block.
    pub(in super::super) fn new(base: u32, seed: u32) -> Poly {
        debug_assert!(base % 2 == 1);
        Poly { base, seed }
    }

    /// The sum of `block`.
    pub(super) fn of(self, block: &[u8]) -> u32 {
        let plain = self.plain(block);
        if self.seed == 0 {
            return plain;
        }
        plain.wrapping_add(self.seed.wrapping_mul(self.base.wrapping_pow(block.len() as u32)))
    }

    fn plain(self, block: &[u8]) -> u32 {
        #[cfg(target_arch = "x86_64")]
        if let Some(sum) = super::avx2::plain(self.base, block) {
            return sum;
        }
        plain(self.base, block)
    }

    /// For windows of `len` bytes.
    pub(super) fn roller(self, len: usize) -> Roller {
        let out = self.base.wrapping_pow(len as u32);
        let powers = |of: u32, first: u32| {
            let mut next = first;
            std::array::from_fn(|_| {
                let power = next;
                next = next.wrapping_mul(of);
                power
            })
        };
        let inverse = inverse(self.base);
        Roller {
            base: self.base,
            out,
            // What a seed adds is the same for all windows of one length.
            constant: self.seed.wrapping_mul(out),
            len,
            up: powers(self.base, 1),
            down: powers(inverse, inverse),
            step: self.base.wrapping_pow(AT_ONCE as u32),
        }
    }
}

/// The sum without a seed. Written for the widest registers there are: whoever calls it says which.
#[inline(always)]
pub(super) fn plain(base: u32, block: &[u8]) -> u32 {
    let stride = base.wrapping_pow(LANES as u32);
    let mut lanes = [0_u32; LANES];
    let (groups, rest) = block.as_chunks::<LANES>();
    for group in groups {
        for (lane, byte) in lanes.iter_mut().zip(group) {
            *lane = lane.wrapping_mul(stride).wrapping_add(u32::from(*byte));
        }
    }
    let fold = |sum: u32, value: u32| sum.wrapping_mul(base).wrapping_add(value);
    let sum = if groups.is_empty() { 0 } else { lanes.iter().fold(0, |sum, lane| fold(sum, *lane)) };
    rest.iter().fold(sum, |sum, byte| fold(sum, u32::from(*byte)))
}

/// The inverse of an odd number modulo 2³², by Newton's steps: each doubles the bits that are right, of which an odd number is itself three.
fn inverse(odd: u32) -> u32 {
    (0..4).fold(odd, |x, _| x.wrapping_mul(2_u32.wrapping_sub(odd.wrapping_mul(x))))
}

/// Positions that are found at once.
pub(super) const AT_ONCE: usize = 8;

/// Rolls the sums of windows of one length.
#[derive(Clone, Debug)]
pub(in super::super) struct Roller {
    base: u32,
    /// Bⁿ.
    pub(super) out: u32,
    /// What the seed adds to every window.
    pub(super) constant: u32,
    /// Bytes of a window.
    pub(super) len: usize,
    /// Bᵏ and B⁻ᵏ⁻¹ from k = 0 on, and B to the number of positions found at once.
    pub(super) up: [u32; AT_ONCE],
    pub(super) down: [u32; AT_ONCE],
    pub(super) step: u32,
}

impl Roller {
    /// See [`super::Roller::find`].
    pub(super) fn find(&self, filter: &Filter, data: &[u8], sum: &mut u32, count: usize) -> Option<usize> {
        assert!(data.len() >= count + self.len);
        #[cfg(target_arch = "x86_64")]
        if super::avx2::can() {
            return super::avx2::find(self, filter, data, sum, count);
        }
        self.find_from(0, filter, data, sum, count)
    }

    /// The same from position `first` on, one by one.
    pub(super) fn find_from(
        &self,
        first: usize,
        filter: &Filter,
        data: &[u8],
        sum: &mut u32,
        count: usize,
    ) -> Option<usize> {
        let mut h = sum.wrapping_sub(self.constant);
        let (leaving, coming) = (&data[first..count], &data[first + self.len..count + self.len]);
        for (at, (old, new)) in leaving.iter().zip(coming).enumerate() {
            if filter.passes(h.wrapping_add(self.constant)) {
                *sum = h.wrapping_add(self.constant);
                return Some(first + at);
            }
            h = self.rolled(h, *old, *new);
        }
        *sum = h.wrapping_add(self.constant);
        None
    }

    /// See [`super::Roller::step`].
    pub(super) fn step(&self, sum: u32, old: u8, new: u8) -> u32 {
        self.rolled(sum.wrapping_sub(self.constant), old, new).wrapping_add(self.constant)
    }

    #[inline(always)]
    fn rolled(&self, h: u32, old: u8, new: u8) -> u32 {
        h.wrapping_mul(self.base).wrapping_add(u32::from(new)).wrapping_sub(self.out.wrapping_mul(u32::from(old)))
    }
}
