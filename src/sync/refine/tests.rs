//! The laws of a delta in rounds: whatever the two files, the new one comes out; both ends agree on what is left; hostile messages end in an
//! error; what repeats is sent once.

use super::layout::{Copy, Layout};
use super::ranges::Blocks;
use super::{Finder, Holder, Outcome, RefineError, Round, Settings, found, rounds, sums};
use crate::sync::signature::SALT;
use crate::sync::tests::{alike, edited, noise, pair};
use proptest::prelude::*;

const KNOWN_SALT: [u8; SALT] = [5; SALT];

/// Messages in their order, and whether each is the finder's.
type Messages = Vec<(bool, Vec<u8>)>;

struct Done {
    messages: Messages,
    rounds: Vec<Round>,
    new: Vec<u8>,
    outcome: Outcome,
}

impl Done {
    fn bytes(&self) -> usize {
        self.messages.iter().map(|(_, message)| message.len()).sum()
    }
}

/// Both ends until they are done; `change` may do what it likes to message number so.
fn run(
    old: &[u8],
    new: &[u8],
    settings: Settings,
    mut change: impl FnMut(usize, &mut Vec<u8>),
) -> Result<Done, RefineError> {
    let mut finder = Finder::new(new, new.len() as u64, settings);
    let mut made = Vec::new();
    let mut holder = Holder::new(old, old.len() as u64, &mut made, settings);
    let mut messages = Messages::new();
    loop {
        let mut idle = true;
        while let Some(mut message) = finder.give()? {
            change(messages.len(), &mut message);
            holder.take(&message)?;
            messages.push((true, message));
            idle = false;
        }
        while let Some(mut message) = holder.give()? {
            change(messages.len(), &mut message);
            finder.take(&message)?;
            messages.push((false, message));
            idle = false;
        }
        if let Some(outcome) = holder.outcome().filter(|_| finder.is_done()) {
            drop(holder);
            return Ok(Done { messages, rounds: finder.rounds().to_vec(), new: made, outcome });
        }
        if idle {
            return Err(RefineError::Malformed("both ends wait"));
        }
    }
}

fn done(old: &[u8], new: &[u8]) -> Done {
    let done = run(old, new, Settings::new(KNOWN_SALT), |_, _| {}).unwrap();
    assert!(done.new == new || done.outcome == Outcome::Same && old == new);
    done
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn the_new_file_comes_out((old, new) in pair(), repeat in 1_usize..8, salt: [u8; SALT], wait in 0_u64..3000) {
        // Longer ones have more rounds.
        let (old, new) = (old.repeat(repeat), [new.repeat(repeat), old.repeat(repeat / 2)].concat());
        let settings = Settings { wait, ..Settings::new(salt) };
        let done = run(&old, &new, settings, |_, _| {}).unwrap();
        prop_assert!(done.outcome == Outcome::Made(new.len() as u64) && done.new == new || old == new);
        let again = run(&old, &new, settings, |_, _| {}).unwrap();
        prop_assert_eq!(done.messages, again.messages, "the same input, the same messages");
    }

    #[test]
    fn a_changed_message_is_noticed(
        (old, new) in pair(),
        message in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(),
        bit in 0_u8..8,
        cut: bool,
    ) {
        let (old, new) = ([old, noise(1, 9000)].concat(), [noise(1, 9000), new].concat());
        let settings = Settings { most: 1 << 20, ..Settings::new(KNOWN_SALT) };
        let messages = run(&old, &new, settings, |_, _| {}).unwrap().messages.len();
        let which = message.index(messages);
        let result = run(&old, &new, settings, |number, message| {
            if number == which && !message.is_empty() {
                let at = place.index(message.len());
                if cut { message.truncate(at) } else { message[at] ^= 1 << bit }
            }
        });
        // A changed sum may only cost a copy; whatever is made is the new file.
        prop_assert!(result.is_err() || result.is_ok_and(|done| done.new == new));
    }

    #[test]
    fn whatever_arrives_is_taken_or_refused(
        messages in prop::collection::vec((1_u8..7, prop::collection::vec(any::<u8>(), 0..200)), 1..5),
    ) {
        let (old, new) = (noise(1, 40_000), noise(2, 40_000));
        let mut offer = Finder::new(new.as_slice(), 40_000, Settings::new(KNOWN_SALT)).give().unwrap().unwrap();
        let mut holder = Holder::new(old.as_slice(), 40_000, Vec::new(), Settings::new(KNOWN_SALT));
        let mut finder = Finder::new(new.as_slice(), 40_000, Settings::new(KNOWN_SALT));
        finder.give().unwrap();
        for (kind, mut message) in messages {
            message.insert(0, kind);
            let _ = holder.take(&offer).and_then(|()| { while holder.give()?.is_some() {} Ok(()) });
            let _ = finder.take(&message);
            offer = message;
        }
    }

    #[test]
    fn both_ends_are_left_with_the_same(
        old in prop::collection::vec(0_u8..3, 600..3000),
        copies in prop::collection::vec((0_u64..40, 0_u64..30, 1_u64..5), 1..12),
    ) {
        // Copies that the finder could have found, of blocks of few kinds.
        const BLOCK: u64 = 16;
        let mut here = Layout::new(old.len() as u64, 10_000);
        let mut there = here.clone();
        for copies in copies.chunks(4) {
            let blocks = Blocks::of(&here.unused, BLOCK);
            let mut signature = sums::empty(&KNOWN_SALT, BLOCK, 48);
            let mut writer = sums::SumsWriter::new(48);
            for block in 0..blocks.count() {
                let at = blocks.offset(block) as usize;
                let plan = signature.plan().clone();
                plan.sums(&old[at..at + 16], |weak, strong| writer.push(weak, strong, &mut signature));
            }
            let mut received = sums::empty(&KNOWN_SALT, BLOCK, 48);
            sums::read(&writer.take(), 48, &mut received, blocks.count()).unwrap();
            let mut at = 0;
            let copies: Vec<Copy> = copies.iter().filter_map(|(skip, block, count)| {
                let gap = here.gaps.as_slice().iter().find(|gap| gap.end > at)?;
                let new = gap.start.max(at) + skip;
                let block = block % blocks.count().max(1);
                let count = (*count).min(blocks.count().saturating_sub(block)).min(gap.end.saturating_sub(new) / BLOCK);
                at = gap.end.min(new + count * BLOCK);
                (count > 0).then_some(Copy { new, block, count })
            }).collect();
            let message = found::write(&here, &blocks, &mut found::Cursor::new(&here), &copies);
            let read = found::read(&message, &there, &blocks, &mut found::Cursor::new(&there)).unwrap();
            prop_assert_eq!(&read, &copies);
            here.add(&blocks, &received, &copies);
            there.add(&blocks, &signature, &read);
            prop_assert_eq!(&here, &there);
        }
    }

    #[test]
    fn columns_that_are_none_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..60)) {
        let layout = Layout::new(100_000, 100_000);
        let blocks = Blocks::of(&layout.unused, 128);
        let read = found::read(&bytes, &layout, &blocks, &mut found::Cursor::new(&layout));
        let mut at = 0;
        for copy in read.unwrap_or_default() {
            prop_assert!(copy.new >= at && copy.count > 0 && copy.block + copy.count <= blocks.count());
            at = copy.new + copy.count * 128;
            prop_assert!(at <= 100_000);
        }
    }
}

#[test]
fn equal_files_cost_next_to_nothing() {
    for len in [0, 1, 100_000, 3_000_001] {
        let file = noise(1, len);
        let done = done(&file, &file);
        assert!(done.bytes() <= 60 && done.outcome == Outcome::Same && done.new.is_empty(), "{}", done.bytes());
    }
}

#[test]
fn short_and_empty_files_are_made() {
    for (old, new) in [(0, 1), (1, 0), (0, 70_000), (70_000, 0), (511, 513), (513, 511), (5000, 5001)] {
        done(&noise(1, old), &noise(1, new));
        done(&noise(1, old), &noise(2, new));
    }
}

#[test]
fn a_few_edits_cost_a_few_short_blocks() {
    let old = noise(1, 8 << 20);
    let new = edited(&old, (0..20).map(|edit| edit * 400_000 + 77));
    let cost = done(&old, &new);
    // About 512 sums at first, then 3 · 8 for each edit, and the shortest block that holds it.
    assert!(cost.bytes() < 512 * 7 + 20 * (24 * 6 + 256 + 20), "{}", cost.bytes());
    let inserted = [&old[..3_333_333], b"X", &old[3_333_333..]].concat();
    assert!(done(&old, &inserted).bytes() < 512 * 7 + 700);
    assert!(done(&inserted, &old).bytes() < 512 * 7 + 700);
}

#[test]
fn what_is_all_new_costs_a_hair_more_than_itself() {
    let new = noise(2, 5_000_000);
    let cost = done(&noise(1, 5_000_000), &new);
    assert!(cost.bytes() < 5_000_000 * 1005 / 1000, "{}", cost.bytes());
}

#[test]
fn equal_blocks_are_spoken_of_once() {
    let zeros = vec![0; 4 << 20];
    let old = [noise(1, 1 << 20), zeros.clone(), noise(2, 1 << 20), zeros.clone()].concat();
    // The zeros stand elsewhere, and the noise is edited: in each of its blocks of the first round.
    let new = [zeros, edited(&noise(1, 1 << 20), (0..64).map(|edit| edit * 16384 + 99))].concat();
    let done = done(&old, &new);
    let sent = |round: &Round| round.blocks * u64::from(round.bits) / 8;
    let first = &done.rounds[0];
    let open = done.messages.iter().find(|message| message.1[0] == super::kind::OPEN).unwrap();
    assert!((open.1.len() as u64) < 200 + sent(first) / 3, "runs are counted: {} {first:?}", open.1.len());
    // Of the ten megabytes, two are asked for again.
    assert!(done.rounds[1].blocks * done.rounds[1].block <= 2 << 20, "{:?}", done.rounds);
}

#[test]
fn another_round_has_to_be_worth_its_wait() {
    let old = noise(1, 2 << 20);
    let new = edited(&old, [1_000_000]);
    let rounds = |wait| {
        let settings = Settings { wait, ..Settings::new(KNOWN_SALT) };
        run(&old, &new, settings, |_, _| {}).unwrap().rounds.len()
    };
    assert!(rounds(0) >= 3);
    assert_eq!(rounds(1 << 20), 1);
}

#[test]
fn a_new_file_that_is_too_long_is_refused() {
    let settings = Settings { most: 999, ..Settings::new(KNOWN_SALT) };
    let result = run(b"old", &noise(1, 1000), settings, |_, _| {});
    assert!(matches!(result, Err(RefineError::TooLong(999))));
}

#[test]
fn a_file_that_changed_meanwhile_is_a_mismatch() {
    let (old, new) = (noise(1, 100_000), noise(2, 100_000));
    // Another digest is offered than what is sent.
    let result = run(&old, &new, Settings::new(KNOWN_SALT), |number, message| {
        if number == 0 {
            *message.last_mut().unwrap() ^= 1;
        }
    });
    assert!(matches!(result, Err(RefineError::Mismatch)));
}

#[test]
fn data_that_looks_alike_everywhere_is_searched_in_bounded_time() {
    // Every window of 256 bytes has one of a few weak sums, whatever the salt.
    let (old, new) = (alike(256, 1, 4 << 20), alike(256, 2, 4 << 20));
    // So the weak sums say nothing, and what is left of the strong ones may be too little: then more of them is not.
    let attempt = |extra| run(&old, &new, Settings { extra, ..Settings::new(KNOWN_SALT) }, |_, _| {});
    let done =
        attempt(0).or_else(|error| if matches!(error, RefineError::Mismatch) { attempt(24) } else { Err(error) });
    let done = done.unwrap();
    assert!(done.new == new && done.rounds.len() <= 8 && done.bytes() < 4 << 20);
}

#[test]
fn sums_have_the_bits_that_their_pairs_need() {
    // One block in ten places for each window, or two among all of them.
    assert_eq!(rounds::bits((1 << 28) - 1, 1 << 12, 0, false), 28 + 4 + rounds::SPARE);
    assert_eq!(rounds::bits((1 << 20) - 1, 1 << 60, 0, false), (80 + rounds::SPARE).div_ceil(2));
    assert_eq!(rounds::bits((1 << 28) - 1, (1 << 12) - 1, 0, true), 40 + rounds::SPARE);
    assert_eq!(rounds::bits(1, 1, 0, false), 36);
    assert_eq!(rounds::bits(1 << 28, 1 << 12, 24, false), rounds::bits(1 << 28, 1 << 12, 0, false) + 24);
    assert!(rounds::bits(u64::MAX, u64::MAX, 32, true) <= 112);
}

#[test]
fn a_file_that_is_edited_everywhere_is_found_by_a_probe() {
    // An edit every 3000 bytes leaves no block of the first round.
    let old = noise(1, 16 << 20);
    let new = edited(&old, (0..5592).map(|edit| edit * 3000 + edit % 7));
    let done = done(&old, &new);
    assert!(done.rounds[0].found == 0 && done.rounds.iter().any(|round| round.probe), "{:?}", done.rounds);
    assert!(done.bytes() < 3 << 20, "{}", done.bytes());
}

#[test]
fn pages_in_another_order_are_found() {
    let old = noise(1, 8 << 20);
    let pages: Vec<&[u8]> = old.chunks(4096).collect();
    // An odd number of pages further each time.
    let new: Vec<u8> = (0..pages.len()).flat_map(|page| pages[page * 997 % pages.len()]).copied().collect();
    let done = done(&old, &new);
    assert!(done.bytes() < 40_000, "{} {:?}", done.bytes(), done.rounds);
}

#[test]
fn what_repeats_is_found_wherever_it_stands() {
    // One block of zeros in the old file, many in the new one, and single blocks of others in another order.
    let old = [noise(1, 1 << 20), vec![0; 16 << 10], noise(2, 1 << 20)].concat();
    let mut order: Vec<&[u8]> = old.chunks(16 << 10).collect();
    order.reverse();
    let new = [old.clone(), vec![0; 1 << 20], order.concat()].concat();
    let done = done(&old, &new);
    assert!(done.bytes() < 20_000, "{}", done.bytes());
}
