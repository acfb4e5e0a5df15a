//! Connections that end in the middle of a chunk, and chunks that were here before.

use super::*;
use crate::transfer::fragment;

/// What a connection has of these chunks when all that was sent at first has come but what is `lost`, and no repair; and the shards.
fn broken(chunks: &[Bytes], lost: impl Fn(u32) -> bool) -> (Inbound, Vec<Shard>) {
    let start = origin();
    let (mut outbound, mut inbound) = (Outbound::new(start, Parity::Exactly(0)), Inbound::new());
    inbound.accept();
    outbound.on_feedback(start, &Feedback { accepted: true, credit: WINDOW, ..Feedback::default() });
    for chunk in chunks {
        outbound.offer(chunk.clone(), 1);
    }
    let shards = std::iter::from_fn(|| outbound.poll_shard(start)).map(|datagram| match Datagram::decode(&datagram) {
        Ok(Datagram::Shard(shard)) => shard,
        other => panic!("{other:?}"),
    });
    let shards: Vec<Shard> = shards.collect();
    for shard in shards.iter().filter(|shard| !lost(shard.seq)) {
        inbound.on_shard(start, shard).unwrap();
    }
    (inbound, shards)
}

#[test]
fn what_had_come_of_a_chunk_is_not_sent_again() {
    let chunks = [chunk(0, 131_000), chunk(1, 100), chunk(2, 131_000), chunk(3, 90_000)];
    // Of the first nothing but its last stripe lacks something, the second is whole, of the fourth the beginning is lost.
    let (inbound, shards) = broken(&chunks, |seq| {
        let first_of_fourth = 2 * 114 + 1;
        seq == 110 || (115..first_of_fourth).contains(&seq) && seq % 5 == 2 || seq == first_of_fourth
    });
    assert_eq!(shards.iter().filter(|shard| shard.stripe < 3).count(), 114);
    let fragments: Vec<(u32, Fragment)> = inbound.fragments().collect();
    assert_eq!(fragments.iter().map(|(stripe, _)| *stripe).collect::<Vec<_>>(), [0, 4]);
    for ((_, fragment), (chunk, lost)) in fragments.into_iter().zip([(&chunks[0], 1), (&chunks[2], 23)]) {
        let missing = fragment::rest(chunk, &fragment.outline(0)).unwrap();
        assert_eq!(missing.len().div_ceil(1150), lost);
        assert_eq!(fragment.complete(&missing).unwrap(), chunk);
    }
}

#[test]
fn a_stripe_that_was_rebuilt_counts_as_if_all_its_shards_had_come() {
    let whole = chunk(0, 131_000);
    let start = origin();
    let mut outbound = Outbound::new(start, Parity::Exactly(25));
    outbound.on_feedback(start, &Feedback { accepted: true, credit: WINDOW, ..Feedback::default() });
    outbound.offer(whole.clone(), 1);
    let mut inbound = Inbound::new();
    inbound.accept();
    while let Some(datagram) = outbound.poll_shard(start) {
        let Ok(Datagram::Shard(shard)) = Datagram::decode(&datagram) else { panic!("not a shard") };
        // Of the first stripe parity instead of its first ten, of the others only data.
        if if shard.stripe == 0 { shard.index >= 10 } else { shard.index >= 3 && shard.index < shard.k } {
            inbound.on_shard(start, &shard).unwrap();
        }
    }
    let (_, fragment) = inbound.fragments().next().unwrap();
    let missing = fragment::rest(&whole, &fragment.outline(0)).unwrap();
    assert_eq!(missing.len().div_ceil(1150), 2 * 3);
    assert_eq!(fragment.complete(&missing).unwrap(), whole);
}

#[test]
fn a_chunk_that_was_here_before_is_not_asked_for() {
    let chunks = [chunk(0, 131_000), chunk(1, 131_000)];
    let (mut inbound, shards) = broken(&chunks, |seq| seq == 7 || seq >= 40);
    inbound.waive(0);
    let now = origin() + Duration::from_secs(1);
    let feedback = inbound.poll_feedback(now, Duration::ZERO, Duration::ZERO).unwrap();
    assert_eq!((feedback.base, feedback.credit), (3, WINDOW + 3));
    // What is still under way of it is not needed, and the next one is taken as ever.
    let mut came = Vec::new();
    for shard in &shards[40..] {
        came.extend(inbound.on_shard(now, shard).unwrap());
    }
    assert_eq!((came.len(), &came[0].bytes), (1, &chunks[1]));
    // Nothing else can be waived: not the middle of a chunk, nor what is behind all that came, or done with.
    for stripe in [0, 1, 5, 7, 1000, u32::MAX] {
        inbound.waive(stripe);
        let feedback = inbound.poll_feedback(now + Duration::from_secs(1), Duration::ZERO, Duration::ZERO);
        assert!(feedback.is_none_or(|feedback| feedback.base == 6), "{stripe}");
    }
}
