//! librsync's `rollsum`: s₁ = Σ (dᵢ + 31), s₂ = Σ (n − i)·(dᵢ + 31), both modulo 2¹⁶, s₂ in the upper half.
//!
//! After Adler-32 (RFC 1950) without its prime modulus, as rsync has it. It is here for signatures of librsync, and for the comparison in
//! docs/decisions.md: it takes more positions for matches that are none, and data can be made on which all blocks have one sum.

use super::filter::Filter;

/// librsync adds this to each byte, so that runs of zeros of different lengths differ.
const OFFSET: u32 = 31;

/// The sum of `block`.
pub(super) fn of(block: &[u8]) -> u32 {
    let (mut s1, mut s2) = (0_u32, 0_u32);
    for byte in block {
        s1 = s1.wrapping_add(u32::from(*byte) + OFFSET);
        s2 = s2.wrapping_add(s1);
    }
    join(s1, s2)
}

fn join(s1: u32, s2: u32) -> u32 {
    (s2 << 16) | (s1 & 0xFFFF)
}

/// See [`super::Roller::find`].
pub(super) fn find(filter: &Filter, data: &[u8], len: usize, sum: &mut u32, count: usize) -> Option<usize> {
    for (at, (old, new)) in data[..count].iter().zip(&data[len..len + count]).enumerate() {
        if filter.passes(*sum) {
            return Some(at);
        }
        *sum = step(len, *sum, *old, *new);
    }
    None
}

/// See [`super::Roller::step`].
#[inline(always)]
pub(super) fn step(len: usize, sum: u32, old: u8, new: u8) -> u32 {
    let (old, new) = (u32::from(old), u32::from(new));
    let s1 = (sum & 0xFFFF).wrapping_add(new).wrapping_sub(old);
    let s2 = (sum >> 16).wrapping_add(s1).wrapping_sub((len as u32).wrapping_mul(old + OFFSET));
    join(s1, s2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_sum_of_adler_with_an_offset() {
        // By hand: 'a' + 31 = 128, 'b' + 31 = 129, 'c' + 31 = 130.
        assert_eq!(of(b"abc"), (128 * 3 + 129 * 2 + 130) * 65536 + 387);
        assert_eq!(of(b""), 0);
    }
}
