//! Parity right behind the data of each stripe: that it is there, where it is, and what it saves.

use super::*;
use crate::chunk::adaptive::ParityTable;

/// (stripe, index, k) of everything that may be sent before more is offered, by a sender that was let in.
fn order(parity: Parity, chunks: &[Bytes]) -> Vec<(u32, u8, u8)> {
    let now = origin();
    let mut outbound = Outbound::new(now, parity);
    outbound.on_feedback(now, &Feedback { accepted: true, credit: WINDOW, ..Feedback::default() });
    for chunk in chunks {
        outbound.offer(chunk.clone(), 1);
    }
    let shards = std::iter::from_fn(|| outbound.poll_shard(now)).map(|datagram| match Datagram::decode(&datagram) {
        Ok(Datagram::Shard(shard)) => (shard.stripe, shard.index, shard.k),
        other => panic!("{other:?}"),
    });
    shards.collect()
}

#[test]
fn each_stripe_has_its_parity_before_the_next_ones_data() {
    let chunks = [chunk(0, 300), chunk(1, 57_000), chunk(2, 10_000), chunk(3, 131_000)];
    for (parity, on_full) in [
        (Parity::Auto, 0),
        (Parity::Exactly(0), 0),
        (Parity::Exactly(1), 1),
        (Parity::Exactly(25), 25),
        (Parity::Exactly(205), 205),
        // Nothing was heard of loss, so it is taken to be a fifth.
        (Parity::Table(ParityTable::default()), 25),
    ] {
        let shards = order(parity.clone(), &chunks);
        let mut k_of = BTreeMap::new();
        k_of.extend(shards.iter().map(|(stripe, _, k)| (*stripe, *k)));
        assert_eq!((k_of.len(), k_of[&1]), (6, 50));
        let expected = k_of.iter().flat_map(|(stripe, k)| {
            let parity = (on_full * usize::from(*k)).div_ceil(50);
            (0..usize::from(*k) + parity).map(|index| (*stripe, index as u8, *k))
        });
        assert_eq!(shards, expected.collect::<Vec<_>>(), "{parity:?}");
    }
}

fn long() -> Vec<Bytes> {
    (0..60).map(|i| chunk(i, if i == 0 { 300 } else { 131_000 })).collect()
}

#[test]
fn loss_that_the_parity_covers_needs_no_repair() {
    let link = Link { loss: 0.1, delay_ms: 100, ..Link::default() };
    let outcome = transfer_with(&long(), link, Parity::Exactly(25), 4);
    assert_eq!(outcome.sent.repair, 0, "{:?}", outcome.sent);
    assert!(outcome.rebuilt > 0);
    same(outcome.chunks, &long());
}

#[test]
fn the_table_spends_what_the_loss_asks_for() {
    for (loss, least, most) in [(0.0, 0.09, 0.13), (0.07, 0.15, 0.30), (0.3, 0.45, 0.55)] {
        let link = Link { loss, delay_ms: 100, ..Link::default() };
        let outcome = transfer_with(&long(), link, Parity::Table(ParityTable::default()), 4);
        let share = outcome.sent.parity as f64 / outcome.sent.data as f64;
        assert!(share > least && share < most, "{loss}: {share} {:?}", outcome.sent);
        same(outcome.chunks, &long());
    }
}

#[test]
fn without_parity_ahead_everything_is_repaired() {
    let link = Link { loss: 0.3, delay_ms: 100, ..Link::default() };
    let outcome = transfer_with(&long(), link, Parity::Exactly(0), 4);
    assert!(outcome.sent.repair as f64 > 0.35 * outcome.sent.data as f64, "{:?}", outcome.sent);
    assert!(outcome.sent.parity <= UNACCEPTED_SHARDS, "{:?}", outcome.sent);
    same(outcome.chunks, &long());
}

#[test]
fn every_chunk_arrives_under_every_policy() {
    let chunks = sizes();
    for (parity, seed) in [
        Parity::Table(ParityTable::default()),
        Parity::Exactly(0),
        Parity::Exactly(7),
        Parity::Exactly(60),
        Parity::Exactly(205),
    ]
    .iter()
    .flat_map(|parity| (0..40).map(move |seed| (parity, seed)))
    {
        let link = Link {
            loss: (seed % 7) as f64 * 0.08,
            jitter_ms: seed % 3 * 40,
            delay_ms: 1 + seed % 100,
            ..Link::default()
        };
        same(transfer_with(&chunks, link, parity.clone(), seed).chunks, &chunks);
    }
}

/// (stripe, index) of what goes when the credit is spent on `stripes` chunks of one, after feedback that `lost` of every ten shards are.
fn with_spent_credit(lost: u32) -> Vec<(u32, u8)> {
    let now = origin();
    let mut outbound = Outbound::new(now, Parity::Auto);
    let accepted = Feedback { accepted: true, credit: FIRST_WINDOW, ..Feedback::default() };
    outbound.on_feedback(now, &accepted);
    for number in 0..FIRST_WINDOW {
        outbound.offer(chunk(number as u8, 50_000), 1);
    }
    assert!(!outbound.has_room());
    let sent = std::iter::from_fn(|| outbound.poll_shard(now)).count() as u32;
    assert_eq!(sent, FIRST_WINDOW * 44);
    let received = 40 - 4 * lost;
    outbound.on_feedback(now, &Feedback { high: 40, received, ..accepted });
    let shards = std::iter::from_fn(|| outbound.poll_shard(now)).map(|datagram| match Datagram::decode(&datagram) {
        Ok(Datagram::Shard(shard)) => (shard.stripe, shard.index),
        other => panic!("{other:?}"),
    });
    shards.collect()
}

#[test]
fn spent_credit_is_waited_for_with_parity_where_repairs_will_be_lost() {
    assert_eq!(with_spent_credit(0), []);
    let shards = with_spent_credit(3);
    assert!(shards.iter().all(|(_, index)| *index >= 44), "{shards:?}");
    for stripe in 0..FIRST_WINDOW {
        // 44 data shards need 19 more to arrive on average, and half a standard deviation is two.
        let parity = shards.iter().filter(|(of, _)| *of == stripe).count();
        assert!((20..=23).contains(&parity), "{parity} for stripe {stripe}");
    }
}

/// 100 Mbit/s, a second of round trip: all the credit is one and a half of them.
#[test]
fn credit_shorter_than_the_repairs_take_does_not_hold_the_link_up() {
    let link = Link { loss: 0.3, delay_ms: 500, per_ms: 10, ..Link::default() };
    let chunks: Vec<Bytes> = (0..600u32).map(|i| chunk(i as u8, if i == 0 { 300 } else { 131_000 })).collect();
    let outcome = transfer(&chunks, link, 9);
    let bound_ms = (600.0 * 131_000.0 / 1148.0 / 10.0 / 0.7 + 1000.0) as u64;
    assert!(outcome.took_ms < bound_ms * 14 / 10, "{} ms, bound {bound_ms} ms", outcome.took_ms);
    same(outcome.chunks, &chunks);
}
