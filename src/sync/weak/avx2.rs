//! The same sums with AVX2, eight positions at a time: the one module of this crate with `unsafe` in it.
//!
//! Invariant: each function does what its twin in [`poly`](super::poly) does, to the bit, or says that this processor cannot. What is
//! unsafe is the call of code for a processor that was asked for first, and nothing else: what is called is checked Rust.
#![allow(unsafe_code, reason = "calls of functions for a processor that was asked for")]

use super::filter::{ADDEND, Filter, MULTIPLIER, SHIFT};
use super::poly::{self, AT_ONCE, Roller};
use std::arch::x86_64::{
    __m256i, _mm_cvtsi32_si128, _mm_cvtsi128_si32, _mm_set_epi64x, _mm256_add_epi32, _mm256_and_si256,
    _mm256_castsi256_ps, _mm256_castsi256_si128, _mm256_cmpeq_epi32, _mm256_cvtepu8_epi32, _mm256_extract_epi32,
    _mm256_movemask_ps, _mm256_mullo_epi32, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_permutevar8x32_epi32,
    _mm256_set1_epi32, _mm256_setr_epi32, _mm256_shuffle_epi32, _mm256_slli_si256, _mm256_sllv_epi32, _mm256_srl_epi32,
    _mm256_srli_epi32, _mm256_sub_epi32, _mm256_xor_si256,
};

/// The sum without a seed, if this processor can.
pub(super) fn plain(base: u32, block: &[u8]) -> Option<u32> {
    // SAFETY: called only where the processor has AVX2.
    can().then(|| unsafe { plain_wide(base, block) })
}

#[target_feature(enable = "avx2")]
fn plain_wide(base: u32, block: &[u8]) -> u32 {
    poly::plain(base, block)
}

/// Whether this processor can [`find`].
pub(super) fn can() -> bool {
    is_x86_feature_detected!("avx2")
}

/// What [`Roller::find`] gives. Only where this processor [`can`].
pub(super) fn find(roller: &Roller, filter: &Filter, data: &[u8], sum: &mut u32, count: usize) -> Option<usize> {
    assert!(can());
    // SAFETY: the processor has AVX2.
    unsafe { find_wide(roller, filter, data, sum, count) }
}

#[target_feature(enable = "avx2")]
fn find_wide(roller: &Roller, filter: &Filter, data: &[u8], sum: &mut u32, count: usize) -> Option<usize> {
    let &Roller { out, constant, len, up, down, step, .. } = roller;
    let (up, down, step) = (wide(up), wide(down), splat(step));
    let (out, constant_wide) = (splat(out), splat(constant));
    let (leaving, _) = data[..count].as_chunks::<AT_ONCE>();
    let (coming, _) = data[len..len + count].as_chunks::<AT_ONCE>();
    let words = filter.words();
    let shift = _mm_cvtsi32_si128(filter.shift() as i32);
    let (multiplier, addend, one, low) = (splat(MULTIPLIER), splat(ADDEND), splat(1), splat(31));
    let mut h = splat(sum.wrapping_sub(constant));
    for (at, (old, new)) in leaving.iter().zip(coming).enumerate() {
        let change = _mm256_sub_epi32(widen(*new), _mm256_mullo_epi32(widen(*old), out));
        let sums = prefix(_mm256_mullo_epi32(change, down));
        // The sum of a position is without what the position itself changes.
        let here = _mm256_add_epi32(_mm256_mullo_epi32(_mm256_add_epi32(h, before(sums)), up), constant_wide);
        let spread = _mm256_xor_si256(here, _mm256_srli_epi32::<{ SHIFT as i32 }>(here));
        let mixed = _mm256_add_epi32(_mm256_mullo_epi32(spread, multiplier), addend);
        let first = _mm256_sllv_epi32(one, _mm256_and_si256(mixed, low));
        let second = _mm256_sllv_epi32(one, _mm256_and_si256(_mm256_srli_epi32::<5>(mixed), low));
        let third = _mm256_sllv_epi32(one, _mm256_and_si256(_mm256_srli_epi32::<10>(mixed), low));
        let bits = _mm256_or_si256(_mm256_or_si256(first, second), third);
        let places = _mm256_srl_epi32(mixed, shift);
        let found = gather(words, places);
        let passed = _mm256_cmpeq_epi32(_mm256_and_si256(found, bits), bits);
        let passed = _mm256_movemask_ps(_mm256_castsi256_ps(passed)) as u32;
        if passed != 0 {
            let lane = passed.trailing_zeros() as usize;
            *sum = lane_of(here, lane);
            return Some(at * AT_ONCE + lane);
        }
        h = _mm256_mullo_epi32(_mm256_add_epi32(h, last(sums)), step);
    }
    *sum = lane_of(h, 0).wrapping_add(constant);
    roller.find_from(leaving.len() * AT_ONCE, filter, data, sum, count)
}

/// The words at eight places, which are below their number, a power of two.
#[inline]
#[target_feature(enable = "avx2")]
fn gather(words: &[u32], places: __m256i) -> __m256i {
    let mask = words.len() - 1;
    // As fast as the gather of the processor, which would not be checked.
    let word = |place: i32| words[place as u32 as usize & mask] as i32;
    _mm256_setr_epi32(
        word(_mm256_extract_epi32::<0>(places)),
        word(_mm256_extract_epi32::<1>(places)),
        word(_mm256_extract_epi32::<2>(places)),
        word(_mm256_extract_epi32::<3>(places)),
        word(_mm256_extract_epi32::<4>(places)),
        word(_mm256_extract_epi32::<5>(places)),
        word(_mm256_extract_epi32::<6>(places)),
        word(_mm256_extract_epi32::<7>(places)),
    )
}

#[inline]
#[target_feature(enable = "avx2")]
fn splat(value: u32) -> __m256i {
    _mm256_set1_epi32(value as i32)
}

#[inline]
#[target_feature(enable = "avx2")]
fn wide(values: [u32; AT_ONCE]) -> __m256i {
    let [a, b, c, d, e, f, g, h] = values.map(|value| value as i32);
    _mm256_setr_epi32(a, b, c, d, e, f, g, h)
}

#[inline]
#[target_feature(enable = "avx2")]
fn widen(bytes: [u8; AT_ONCE]) -> __m256i {
    _mm256_cvtepu8_epi32(_mm_set_epi64x(0, i64::from_le_bytes(bytes)))
}

/// Lane k is the sum of lanes 0 ..= k.
#[inline]
#[target_feature(enable = "avx2")]
fn prefix(x: __m256i) -> __m256i {
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<4>(x));
    let x = _mm256_add_epi32(x, _mm256_slli_si256::<8>(x));
    // The upper half gets the last lane of the lower one.
    let lower = _mm256_permute2x128_si256::<0x08>(x, x);
    _mm256_add_epi32(x, _mm256_shuffle_epi32::<0xFF>(lower))
}

/// Lane k is lane k - 1, lane 0 nothing.
#[inline]
#[target_feature(enable = "avx2")]
fn before(x: __m256i) -> __m256i {
    let shifted = _mm256_permutevar8x32_epi32(x, _mm256_setr_epi32(0, 0, 1, 2, 3, 4, 5, 6));
    _mm256_and_si256(shifted, _mm256_setr_epi32(0, -1, -1, -1, -1, -1, -1, -1))
}

/// The last lane in all.
#[inline]
#[target_feature(enable = "avx2")]
fn last(x: __m256i) -> __m256i {
    _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(7))
}

#[inline]
#[target_feature(enable = "avx2")]
fn lane_of(x: __m256i, lane: usize) -> u32 {
    let moved = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(lane as i32));
    _mm_cvtsi128_si32(_mm256_castsi256_si128(moved)) as u32
}
