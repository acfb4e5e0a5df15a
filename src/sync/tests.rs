//! The laws of the delta system: whatever basis, target, lengths and pieces, the target comes back; hostile data costs no more.

use super::apply::Apply;
use super::format::delta::DeltaWriter;
use super::format::frame::Frames;
use super::format::signature::{self, Basis, SignatureWriter};
use super::scan::FREE;
use super::{FULL, Plan, SALT, Scan, Signature, Sink, librsync};
use proptest::prelude::*;

const KNOWN_SALT: [u8; SALT] = [3; SALT];

/// The signature of `basis`, as it is written.
fn signature_file(basis: &[u8], block: usize, kept: usize) -> Vec<u8> {
    let mut writer = SignatureWriter::new(Vec::new(), KNOWN_SALT, block, kept).unwrap();
    basis.chunks(block * 3).for_each(|piece| writer.add(piece).unwrap());
    writer.finish().unwrap().0
}

fn signature_of(basis: &[u8], block: usize, kept: usize) -> (Signature, Basis) {
    signature::read(&signature_file(basis, block, kept)[4..]).unwrap()
}

/// Feeds `target` to `scan` in pieces of `piece` bytes; `each` runs after each piece.
fn feed<S: Sink>(
    scan: &mut Scan<'_>,
    target: &[u8],
    piece: usize,
    sink: &mut S,
    mut each: impl FnMut(&mut Scan<'_>, &mut S),
) {
    let mut rest = target;
    while !rest.is_empty() {
        let space = scan.space();
        let len = piece.min(rest.len()).min(space.len());
        space[..len].copy_from_slice(&rest[..len]);
        scan.filled(len);
        rest = &rest[len..];
        scan.run(false, sink);
        each(scan, sink);
    }
    scan.run(true, sink);
}

fn delta_file(signature: &Signature, basis: &Basis, target: &[u8], piece: usize) -> Vec<u8> {
    delta_at(Some(3), signature, basis, target, piece)
}

fn delta_at(level: Option<i32>, signature: &Signature, basis: &Basis, target: &[u8], piece: usize) -> Vec<u8> {
    let mut writer = DeltaWriter::new(Vec::new(), basis, level).unwrap();
    let mut scan = Scan::new(signature);
    feed(&mut scan, target, piece, &mut writer, |_, writer| {
        if writer.is_full() {
            writer.end_frame().unwrap();
        }
    });
    assert_eq!(scan.told(), target.len() as u64);
    writer.finish().unwrap().0
}

fn patched(basis: &[u8], delta: &[u8]) -> Vec<u8> {
    let mut frames = Frames::new(&delta[4..]).unwrap();
    let mut apply = Apply::new(basis, Some(frames.basis()), Vec::new(), u64::MAX);
    while let Some(frame) = frames.next_frame().unwrap() {
        apply.frame(&frame).unwrap();
    }
    apply.finish().unwrap().1
}

/// What a target is made of, to be counted.
#[derive(Default)]
struct Count {
    block: u64,
    copies: Vec<(u64, u64)>,
    literal: u64,
}

impl Sink for Count {
    fn copy(&mut self, block: u64, len: u64, _: &[[u8; FULL]]) {
        let offset = block * self.block;
        match self.copies.last_mut() {
            Some((before, so_far)) if *before + *so_far == offset => *so_far += len,
            _ => self.copies.push((offset, len)),
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.literal += bytes.len() as u64;
    }
}

fn count(signature: &Signature, target: &[u8]) -> (Count, u64) {
    let (mut scan, mut count) =
        (Scan::new(signature), Count { block: signature.plan().block as u64, ..Count::default() });
    feed(&mut scan, target, usize::MAX, &mut count, |_, _| {});
    let failed = scan.failed();
    (count, failed)
}

/// How many starts were rolled and windows summed where they were expected.
fn work(signature: &Signature, target: &[u8]) -> (u64, u64) {
    let mut scan = Scan::new(signature);
    feed(&mut scan, target, usize::MAX, &mut Count::default(), |_, _| {});
    scan.work()
}

/// Bytes that nothing is alike in.
pub(super) fn noise(seed: u64, len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    blake3::Hasher::new_keyed(&key).finalize_xof().fill(&mut bytes);
    bytes
}

/// `bytes` with other ones at every place of `places`.
pub(super) fn edited(bytes: &[u8], places: impl IntoIterator<Item = usize>) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    places.into_iter().for_each(|at| bytes[at] ^= 0xFF);
    bytes
}

/// An old and a new file that have something to do with each other.
pub(super) fn pair() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let piece = prop_oneof![
        (any::<u64>(), 0_usize..3000).prop_map(|(seed, len)| noise(seed, len)),
        (any::<u8>(), 0_usize..2000).prop_map(|(byte, len)| vec![byte; len]),
        prop::collection::vec(0_u8..3, 0..200),
    ];
    let pieces = prop::collection::vec(piece, 1..6);
    let order = prop::collection::vec((0_usize..8, 0_usize..900, any::<bool>()), 0..8);
    (pieces, order).prop_map(|(pieces, order)| {
        let mut new = Vec::new();
        for (which, skip, insert) in order {
            let piece = &pieces[which % pieces.len()];
            new.extend_from_slice(&piece[skip.min(piece.len())..]);
            if insert {
                new.extend(noise(skip as u64, skip % 70));
            }
        }
        (pieces.concat(), new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_patched_basis_is_the_target(
        (old, new) in pair(),
        block in prop_oneof![16_usize..400, Just(1024), Just(2048)],
        piece in prop_oneof![Just(1), Just(7), Just(100), Just(4096), Just(usize::MAX)],
        kept in 6_usize..12,
    ) {
        let (signature, basis) = signature_of(&old, block, kept);
        let delta = delta_file(&signature, &basis, &new, piece);
        prop_assert_eq!(patched(&old, &delta), new.clone());
        prop_assert_eq!(delta_file(&signature, &basis, &new, piece), delta, "the same input, the same bytes");
    }

}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_patched_basis_is_the_target_of_librsync_too(
        (old, new) in pair(),
        block in 16_usize..400,
        piece in prop_oneof![Just(1), Just(100), Just(usize::MAX)],
        rolling in prop_oneof![Just(librsync::Rolling::Rollsum), Just(librsync::Rolling::RabinKarp)],
    ) {
        let mut writer = librsync::SignatureWriter::new(Vec::new(), rolling, block, 16).unwrap();
        writer.add(&old).unwrap();
        let file = writer.finish();
        let signature = librsync::read_signature(&file[4..], librsync::Hash::Blake2, rolling).unwrap();
        let mut writer = librsync::delta::DeltaWriter::new(Vec::new(), block).unwrap();
        feed(&mut Scan::new(&signature), &new, piece, &mut writer, |_, _| {});
        let (delta, totals) = writer.finish().unwrap();
        prop_assert_eq!(totals.copied + totals.literal, new.len() as u64);
        let mut frames = librsync::frames::Frames::new(&delta[4..], old.len() as u64);
        let mut apply = Apply::new(old.as_slice(), None, Vec::new(), u64::MAX);
        while let Some(frame) = frames.next_frame().unwrap() {
            apply.frame(&frame).unwrap();
        }
        prop_assert_eq!(apply.finish().unwrap().1, new);
    }

    #[test]
    fn whatever_is_read_is_refused_or_read(bytes in prop::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
        let _ = signature::read(bytes.as_slice());
        let (signature, basis) = signature_of(&bytes, 16, 4);
        let mut file = signature_file(&bytes, 16, 4);
        let place = at.index(file.len());
        file[place] ^= 1 << bit;
        prop_assert!(place < 4 || signature::read(&file[4..]).is_err(), "a changed signature is noticed");
        let mut delta = delta_file(&signature, &basis, &[&bytes[..], &bytes[..]].concat(), 100);
        let place = 4 + at.index(delta.len() - 4);
        delta[place] ^= 1 << bit;
        let changed = || -> Option<Vec<u8>> {
            let mut frames = Frames::new(&delta[4..]).ok()?;
            let described = *frames.basis();
            let mut apply = Apply::new(bytes.as_slice(), Some(&described), Vec::new(), 1 << 20);
            while let Some(frame) = frames.next_frame().ok()? {
                apply.frame(&frame).ok()?;
            }
            Some(apply.finish().ok()?.1)
        };
        prop_assert!(changed().is_none(), "a changed delta is noticed");
    }
}

#[test]
fn an_identical_target_is_one_copy() {
    let old = noise(1, 3_000_001);
    let (signature, basis) = signature_of(&old, 4096, 8);
    let (count, _) = count(&signature, &old);
    assert_eq!((count.copies.as_slice(), count.literal), ([(0, 3_000_001)].as_slice(), 0));
    let delta = delta_file(&signature, &basis, &old, 65536);
    assert!(delta.len() <= 150, "{} bytes", delta.len());
}

#[test]
fn a_rewritten_target_costs_a_hair_more_than_itself() {
    let (signature, basis) = signature_of(&noise(1, 5_000_000), 2048, 8);
    let new = noise(2, 5_000_000);
    let delta = delta_file(&signature, &basis, &new, 65536);
    assert!(delta.len() < 5_000_000 + 500 + 200, "{}", delta.len());
    assert_eq!(patched(&noise(1, 5_000_000), &delta), new);
}

#[test]
fn what_was_inserted_or_moved_is_all_that_is_new() {
    let old = noise(1, 1 << 20);
    let (signature, _) = signature_of(&old, 1024, 8);
    let (inserted, _) = count(&signature, &[&old[..333_333], b"X", &old[333_333..]].concat());
    assert!(inserted.literal <= 1025 && inserted.copies.len() == 2, "{} {:?}", inserted.literal, inserted.copies);
    let (moved, _) = count(&signature, &[&old[700_000..], &old[..700_000]].concat());
    assert!(moved.literal <= 2048, "{}", moved.literal);
    // Behind the end of the basis the target goes on.
    let (longer, _) = count(&signature, &[&old[..1_000_000], b"and more"].concat());
    assert!(longer.literal <= 1024 + 8);
    let (signature, _) = signature_of(&old[..1_000_000], 1024, 8);
    let (longer, _) = count(&signature, &[&old[..1_000_000], b"and more"].concat());
    assert_eq!(longer.literal, 8, "the short last block is found inside");
}

#[test]
fn what_is_between_blocks_that_stayed_is_found_too() {
    const BLOCK: usize = 1024;
    let old = noise(1, 64 * BLOCK);
    let (signature, _) = signature_of(&old, BLOCK, 8);
    let block = |at: usize| &old[at * BLOCK..(at + 1) * BLOCK];
    let mut new = old.clone();
    // In the place of one block another one, and in that of three one that is nowhere near a block's length of the file.
    new[10 * BLOCK..11 * BLOCK].copy_from_slice(block(40));
    new[20 * BLOCK..23 * BLOCK].copy_from_slice(&[&noise(2, 500), block(50), &noise(3, 1548)].concat());
    // Changes of one block each, so near that they are met by what was summed for the one before; and one of many blocks.
    for at in [31, 33, 34, 36] {
        new[at * BLOCK] ^= 1;
    }
    new[45 * BLOCK..60 * BLOCK].copy_from_slice(&noise(4, 15 * BLOCK));
    let (count, failed) = count(&signature, &new);
    let copies = [(0, 10), (40, 1), (11, 9), (50, 1), (23, 8), (32, 1), (35, 1), (37, 8), (60, 4)];
    let copies: Vec<(u64, u64)> = copies.iter().map(|(at, len)| (at * BLOCK as u64, len * BLOCK as u64)).collect();
    assert_eq!((count.copies, count.literal, failed), (copies, (2 + 4 + 15) * BLOCK as u64, 0));
    // Of the small changes only what is within is rolled: a start for a block, a length of starts for two, and around the strange one.
    let (rolled, _) = work(&signature, &new[..44 * BLOCK]);
    assert!(rolled < 500 + 1548 + BLOCK as u64 + 20, "{rolled}");
    // And what was summed is not summed again: one change in every five blocks.
    let new = edited(&old, (0..12).map(|at| (5 * at + 3) * BLOCK));
    let (_, summed) = work(&signature, &new);
    assert!(summed <= 64, "{summed}");
}

#[test]
fn short_sums_need_the_weak_ones_in_every_direction() {
    const BLOCK: usize = 512;
    let old = noise(1, 20 * BLOCK);
    let plan = librsync::plan(librsync::Hash::Blake2, librsync::Rolling::RabinKarp, BLOCK, 1);
    let signature = Signature::of(plan.clone(), &old);
    // Far from a match, what is before one is looked at backwards: something with the same byte of a sum as the block there.
    let wanted = plan.strong.of(&old[9 * BLOCK..10 * BLOCK])[0];
    let alike =
        (0..100_000).map(|seed| noise(100 + seed, BLOCK)).find(|window| plan.strong.of(window)[0] == wanted).unwrap();
    let new = [noise(2, 20_000), alike, old[10 * BLOCK..].to_vec()].concat();
    let mut writer = librsync::delta::DeltaWriter::new(Vec::new(), BLOCK).unwrap();
    feed(&mut Scan::new(&signature), &new, usize::MAX, &mut writer, |_, _| {});
    let (delta, totals) = writer.finish().unwrap();
    let mut frames = librsync::frames::Frames::new(&delta[4..], old.len() as u64);
    let mut apply = Apply::new(old.as_slice(), None, Vec::new(), u64::MAX);
    while let Some(frame) = frames.next_frame().unwrap() {
        apply.frame(&frame).unwrap();
    }
    assert!(apply.finish().unwrap().1 == new && totals.copied >= 10 * BLOCK as u64);
}

#[test]
fn sums_of_long_blocks_speak_for_all_of_them() {
    const BLOCK: usize = 128 << 10;
    let old = noise(1, 4 * BLOCK);
    // As short as a signature can say: nothing but the sum of the head.
    let (signature, _) = signature_of(&old, BLOCK, 4);
    let (count, _) = count(&signature, &edited(&old, [200_000]));
    assert_eq!(count.literal, BLOCK as u64);
    assert_eq!(Plan::kept_at_least(BLOCK), 8);
    assert_eq!(Plan::kept_for(None, BLOCK), Plan::kept_for(Some(8 << 30), BLOCK));
}

#[test]
fn blocks_of_one_byte_are_blocks() {
    // The expected block is missed at the very end of what is read at once.
    let signature = Signature::of(librsync::plan(librsync::Hash::Blake2, librsync::Rolling::RabinKarp, 1, 8), b"abc");
    let mut scan = Scan::new(&signature);
    let mut new = b"abc".repeat(scan.space().len() / 3 + 9);
    for back in 1..8 {
        new[scan.space().len() - back] = b'x';
        let mut count = Count { block: 1, ..Count::default() };
        feed(&mut Scan::new(&signature), &new, usize::MAX, &mut count, |_, _| {});
        assert_eq!(count.literal, back as u64);
    }
    scan.filled(0);
}

#[test]
fn literals_that_fill_many_frames_come_back() {
    // What packs, what does not, and what packs again, at levels that pack frames alone and that go on through several.
    let text = |from: u32, len: u32| (from..from + len).flat_map(|at| (at / 7).to_le_bytes()).collect::<Vec<u8>>();
    let new =
        [text(0, 1 << 20), noise(1, 2 << 20), text(1 << 20, 2_300_000), noise(2, 1 << 20), text(0, 1 << 18)].concat();
    let old = noise(3, 10_000);
    let (signature, basis) = signature_of(&old, 1024, 8);
    for level in [None, Some(-1), Some(1), Some(2), Some(3), Some(6)] {
        let delta = delta_at(level, &signature, &basis, &new, usize::MAX);
        assert!(patched(&old, &delta) == new, "{level:?}");
        assert_eq!(delta.len() < new.len() / 2, level.is_some(), "{level:?}: {}", delta.len());
    }
}

#[test]
fn what_was_passed_over_is_found_backwards() {
    let old = noise(1, 4 << 20);
    let (signature, _) = signature_of(&old, 1024, 8);
    // 40 MB of something else, then a part of the basis from a block's middle on.
    let new = [noise(9, 40 << 20), old[1 << 20..].to_vec()].concat();
    let (count, _) = count(&signature, &new);
    assert_eq!(count.copies.iter().map(|copy| copy.1).sum::<u64>(), 3 << 20);
}

#[test]
fn equal_blocks_make_long_copies() {
    let zeros = vec![0; 1 << 20];
    let old = [noise(1, 1 << 16), zeros.clone(), noise(2, 1 << 16), zeros].concat();
    let (signature, basis) = signature_of(&old, 1024, 8);
    assert!(signature_file(&old, 1024, 8).len() < 2500, "runs are counted");
    let (count, _) = count(&signature, &old);
    assert_eq!((count.copies.len(), count.literal), (1, 0));
    assert_eq!(patched(&old, &delta_file(&signature, &basis, &old, 999)), old);
}

/// Pieces after Prouhet, Thue and Morse: two strings of `len` bytes whose polynomials modulo 2³² are equal for every odd base if `len` is 256.
pub(super) fn alike(len: usize, seed: u64, total: usize) -> Vec<u8> {
    let one: Vec<u8> = (0..len).map(|at| 65 + (at.count_ones() % 2) as u8).collect();
    let other: Vec<u8> = one.iter().map(|byte| 131 - byte).collect();
    noise(seed, total / len).iter().flat_map(|byte| if byte & 1 == 0 { one.clone() } else { other.clone() }).collect()
}

#[test]
fn strong_sums_that_fail_stay_within_the_budget() {
    for plan in [
        Plan::salted(&KNOWN_SALT, 4096, 8),
        librsync::plan(librsync::Hash::Blake2, librsync::Rolling::Rollsum, 2048, 16),
    ] {
        for len in [8, 256] {
            let (old, new) = (alike(len, 1, 4 << 20), alike(len, 2, 8 << 20));
            let (count, failed) = count(&Signature::of(plan.clone(), &old), &new);
            assert!(failed <= FREE + new.len() as u64 / 2, "{failed}");
            assert_eq!(count.literal + count.copies.iter().map(|copy| copy.1).sum::<u64>(), new.len() as u64);
        }
    }
    // Where every position has a weak sum that was wrong too often, to stop there is in vain as well.
    let tm: Vec<u8> = (0..1024).map(|at: usize| 64 + 2 * (at.count_ones() % 2) as u8).collect();
    let known = noise(3, 1024);
    let signature = Signature::of(Plan::salted(&KNOWN_SALT, 1024, 8), &[known.clone(), tm].concat());
    let new = [vec![65; 15 << 10], known].concat().repeat(256);
    let (rolled, _) = work(&signature, &new);
    assert!(rolled < new.len() as u64 / 10, "{rolled}");
    // They do fail there: the polynomial finds every window of 256 the same.
    let old = alike(256, 1, 4 << 20);
    assert!(count(&Signature::of(Plan::salted(&KNOWN_SALT, 4096, 8), &old), &alike(256, 2, 8 << 20)).1 > 200_000);
}
