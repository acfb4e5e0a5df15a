//! The sums of a round on their way: as many bits as they need, and runs of equal ones once.
//!
//! ```text
//! LEB128 2n      then n sums, packed from the low bits on: 32 bits weak, the others strong; then the bits up to a whole byte, zero
//! LEB128 2n + 1  the last sum n times more
//! ```
//!
//! Invariant: what a reader keeps is proportional to what arrived, and never of more blocks than there are. How many bits a sum has and how
//! many there are in all, both sides know.

use super::RefineError;
use crate::sync::format::{Bytes as _, put};
use crate::sync::signature::{Plan, SALT, Signature};
use crate::sync::strong::FULL;

/// Bits of a weak sum.
pub(super) const WEAK: u32 = 32;
/// Shortest run of equal blocks that becomes one.
const RUN: u64 = 4;

/// An empty signature for blocks of `block` bytes with sums of `bits` bits in all.
pub(super) fn empty(salt: &[u8; SALT], block: u64, bits: u32) -> Signature {
    let strong = bits - WEAK;
    let kept = strong.div_ceil(8);
    let plan = Plan::salted(salt, block as usize, kept as usize);
    Signature::cut(plan, 0xFF >> (8 * kept - strong))
}

/// The bits of a sum that are sent: the weak ones below the strong ones.
fn packed(weak: u32, strong: &[u8]) -> u128 {
    let strong = strong.iter().rev().fold(0, |value, byte| value << 8 | u128::from(*byte));
    strong << WEAK | u128::from(weak)
}

/// Sums that are to be sent.
#[derive(Debug)]
pub(super) struct SumsWriter {
    bits: u32,
    group: Vec<u128>,
    last: Option<u128>,
    run: u64,
    out: Vec<u8>,
}

impl SumsWriter {
    /// For sums of `bits` bits.
    pub(super) fn new(bits: u32) -> SumsWriter {
        SumsWriter { bits, group: Vec::new(), last: None, run: 0, out: Vec::new() }
    }

    /// Adds the next sum, and to `sums` as well.
    pub(super) fn push(&mut self, weak: u32, strong: &[u8; FULL], sums: &mut Signature) {
        let cut = sums.cut_of(strong);
        let sum = packed(weak, &cut[..sums.plan().kept]);
        if self.last == Some(sum) {
            sums.repeat(1);
            self.run += 1;
            return;
        }
        sums.push(weak, &cut[..sums.plan().kept]);
        self.end_run();
        self.last = Some(sum);
        self.group.push(sum);
    }

    fn end_run(&mut self) {
        let run = std::mem::take(&mut self.run);
        let Some(last) = self.last.filter(|_| run > 0) else { return };
        if run < RUN {
            self.group.extend((0..run).map(|_| last));
            return;
        }
        self.end_group();
        put(&mut self.out, 2 * run + 1);
    }

    fn end_group(&mut self) {
        if self.group.is_empty() {
            return;
        }
        put(&mut self.out, 2 * self.group.len() as u64);
        let (mut pending, mut there) = (0_u128, 0);
        for sum in self.group.drain(..) {
            // Less than 8 bits are pending, and a sum has at most 96.
            pending |= sum << there;
            there += self.bits;
            while there >= 8 {
                self.out.push(pending as u8);
                pending >>= 8;
                there -= 8;
            }
        }
        if there > 0 {
            self.out.push(pending as u8);
        }
    }

    /// What was added since the last time, as it is sent.
    pub(super) fn take(&mut self) -> Vec<u8> {
        self.end_run();
        self.end_group();
        std::mem::take(&mut self.out)
    }
}

/// Adds the sums in `bytes` to `sums`, which will be of `all` blocks.
pub(super) fn read(mut bytes: &[u8], bits: u32, sums: &mut Signature, all: u64) -> Result<(), RefineError> {
    while !bytes.is_empty() {
        let tag = bytes.number()?;
        let (repeats, count, missing) = (tag & 1 == 1, tag >> 1, all - sums.blocks());
        if count == 0 || count > missing || (repeats && sums.blocks() == 0) {
            return Err(RefineError::Malformed("an impossible number of sums"));
        }
        if repeats {
            sums.repeat(count);
            continue;
        }
        let len = u128::from(count) * u128::from(bits);
        let len = usize::try_from(len.div_ceil(8)).ok().filter(|len| *len <= bytes.len());
        let (group, rest) = bytes.split_at(len.ok_or(RefineError::Malformed("sums are cut off"))?);
        bytes = rest;
        let (mut pending, mut there) = (0_u128, 0);
        let mut group = group.iter();
        for _ in 0..count {
            while there < bits {
                pending |= u128::from(group.next().copied().unwrap_or(0)) << there;
                there += 8;
            }
            let sum = pending & ((1 << bits) - 1);
            pending >>= bits;
            there -= bits;
            let strong = (sum >> WEAK).to_le_bytes();
            sums.push(sum as u32, &strong[..sums.plan().kept]);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn sums_come_back(
            sums in prop::collection::vec((0_u32..3, any::<u8>().prop_map(|byte| byte & 1), 1_u64..9), 1..40),
            bits in 36_u32..97,
            pieces in 1_usize..50,
        ) {
            let (mut sent, mut writer) = (empty(&[1; SALT], 128, bits), SumsWriter::new(bits));
            let all: Vec<(u32, [u8; FULL])> = sums.iter()
                .flat_map(|(weak, strong, count)| (0..*count).map(|_| (weak.wrapping_mul(0x9E37_79B1), [*strong * 0xFF; FULL])))
                .collect();
            let mut read_back = empty(&[1; SALT], 128, bits);
            for piece in all.chunks(pieces) {
                for (weak, strong) in piece {
                    writer.push(*weak, strong, &mut sent);
                }
                read(&writer.take(), bits, &mut read_back, all.len() as u64).unwrap();
            }
            prop_assert_eq!(read_back.blocks(), all.len() as u64);
            for (block, (weak, strong)) in (0..).zip(&all) {
                for sums in [&sent, &read_back] {
                    let entry = sums.entry(block);
                    prop_assert!(sums.weak(entry) == *weak && sums.is(entry, strong));
                }
            }
        }

        #[test]
        fn whatever_arrives_is_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), all in any::<u64>()) {
            let mut sums = empty(&[1; SALT], 128, 48);
            let _ = read(&bytes, 48, &mut sums, all >> 8);
            prop_assert!(sums.blocks() <= all >> 8 && sums.entries() <= bytes.len() / 6);
        }
    }
}
