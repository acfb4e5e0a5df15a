//! Both sides joined by a small lossy link, in steps of a millisecond. Congestion control is not here: the sender may send at the rate.

mod ahead;
mod broken;

use super::*;
use crate::wire::chunk::{encode_control, encoded_length};
use crate::wire::datagram::{Datagram, Feedback, NOTHING, Shard};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn chance(&mut self, p: f64) -> bool {
        ((self.next() >> 11) as f64) < p * (1u64 << 53) as f64
    }
}

#[derive(Clone, Copy)]
struct Link {
    loss: f64,
    delay_ms: u64,
    jitter_ms: u64,
    /// A queue that grows by half a second each second until it is so long.
    swell_ms: u64,
    per_ms: usize,
    outage: (u64, u64),
}

impl Default for Link {
    fn default() -> Self {
        Self { loss: 0.0, delay_ms: 50, jitter_ms: 0, swell_ms: 0, per_ms: 1, outage: (0, 0) }
    }
}

#[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
fn origin() -> Instant {
    Instant::now()
}

fn chunk(seed: u8, length: usize) -> Bytes {
    let messages: Vec<u8> = (0..length).map(|i| (i as u8).wrapping_mul(31).wrapping_add(seed)).collect();
    encode_control(u32::from(seed), &messages)
}

struct Outcome {
    chunks: Vec<Bytes>,
    took_ms: u64,
    sent: Sent,
    rebuilt: u64,
    feedbacks: u64,
}

/// Sends `chunks` over `link`; panics if they are not through in two minutes.
fn transfer(chunks: &[Bytes], link: Link, seed: u64) -> Outcome {
    transfer_with(chunks, link, Parity::Auto, seed)
}

/// The same under another policy of parity.
fn transfer_with(chunks: &[Bytes], link: Link, parity: Parity, seed: u64) -> Outcome {
    let (start, mut rng) = (origin(), Rng(seed));
    let rtt = Duration::from_millis(2 * link.delay_ms + link.jitter_ms);
    let (mut outbound, mut inbound) = (Outbound::new(start, parity), Inbound::new());
    let (mut forward, mut back) = (BTreeMap::new(), BTreeMap::new());
    let (mut offered, mut arrived, mut number, mut feedbacks) = (0, Vec::new(), 0u64, 0);
    for ms in 0..120_000 {
        let now = start + Duration::from_millis(ms);
        let down = (link.outage.0..link.outage.1).contains(&ms);
        let mut put = |line: &mut BTreeMap<(u64, u64), Bytes>, rng: &mut Rng, datagram: Bytes| {
            let (lost, jitter) = (rng.chance(link.loss), rng.next() % (link.jitter_ms + 1));
            if !lost && !down {
                line.insert((ms + link.delay_ms + jitter + (ms / 2).min(link.swell_ms), number), datagram);
            }
            number += 1;
        };
        while offered < chunks.len() && outbound.has_room() {
            outbound.offer(chunks[offered].clone(), 1);
            offered += 1;
        }
        if offered == chunks.len() {
            outbound.set_idle();
        }
        outbound.settle(now, rtt);
        for _ in 0..link.per_ms {
            let Some(datagram) = outbound.poll_shard(now) else { break };
            put(&mut forward, &mut rng, datagram);
            outbound.left(outbound.next_seq(), now);
        }
        if let Some(probe) = outbound.poll_probe(now, rtt) {
            put(&mut forward, &mut rng, probe);
        }
        while let Some(entry) = forward.first_entry().filter(|entry| entry.key().0 <= ms) {
            match Datagram::decode(&entry.remove()).unwrap() {
                Datagram::Shard(shard) => {
                    if let Some(delivered) = inbound.on_shard(now, &shard).unwrap() {
                        inbound.consumed(delivered.stripes);
                        inbound.accept();
                        arrived.push(delivered.bytes);
                    }
                }
                Datagram::Ping => inbound.urge(),
                other => panic!("{other:?}"),
            }
        }
        if let Some(feedback) = inbound.poll_feedback(now, rtt, rtt) {
            feedbacks += 1;
            put(&mut back, &mut rng, feedback.encode());
        }
        while let Some(entry) = back.first_entry().filter(|entry| entry.key().0 <= ms) {
            let Datagram::Feedback(feedback) = Datagram::decode(&entry.remove()).unwrap() else { panic!() };
            outbound.on_feedback(now, &feedback);
        }
        if offered == chunks.len() && outbound.is_drained() {
            assert_eq!(outbound.delivered_bytes(), chunks.len() as u64);
            let rebuilt = inbound.counters().rebuilt;
            return Outcome { chunks: arrived, took_ms: ms, sent: outbound.sent(), rebuilt, feedbacks };
        }
    }
    panic!("not through with seed {seed}: {outbound:?}");
}

fn sizes() -> Vec<Bytes> {
    [1, 100, 1148, 1149, 40_000, 48_000, 5, 131_072 - 5].iter().enumerate().map(|(i, n)| chunk(i as u8, *n)).collect()
}

fn same(mut got: Vec<Bytes>, chunks: &[Bytes]) {
    let mut chunks = chunks.to_vec();
    got.sort();
    chunks.sort();
    assert_eq!(got, chunks);
}

#[test]
fn a_clean_link_carries_every_chunk_and_repairs_nothing() {
    let chunks = sizes();
    let outcome = transfer(&chunks, Link::default(), 1);
    assert_eq!((outcome.sent.repair, outcome.rebuilt), (0, 0));
    same(outcome.chunks, &chunks);
}

/// A smoothed round trip lags behind; what is only late is not to be sent again.
#[test]
fn a_queue_that_grows_is_not_taken_for_loss() {
    let chunks: Vec<Bytes> = (0..32).map(|i| chunk(i, if i == 0 { 300 } else { 100_000 })).collect();
    let outcome = transfer(&chunks, Link { swell_ms: 600, ..Link::default() }, 1);
    assert!(outcome.sent.repair < 60, "{} repaired", outcome.sent.repair);
    same(outcome.chunks, &chunks);
}

#[test]
fn every_chunk_arrives_through_loss_and_reordering() {
    let chunks = sizes();
    for seed in 0..300 {
        let link = Link {
            loss: (seed % 7) as f64 * 0.08,
            jitter_ms: seed % 3 * 40,
            delay_ms: 1 + seed % 100,
            ..Link::default()
        };
        same(transfer(&chunks, link, seed).chunks, &chunks);
    }
}

#[test]
fn a_long_file_at_a_third_lost_costs_little_more_than_the_loss() {
    let chunks: Vec<_> = (0..150).map(|i| chunk(i, if i == 0 { 300 } else { 131_000 })).collect();
    let link = Link { loss: 0.33, delay_ms: 100, ..Link::default() };
    let outcome = transfer(&chunks, link, 7);
    let data: u64 = outcome.sent.data;
    let total = data + outcome.sent.parity + outcome.sent.repair;
    let least = data as f64 / 0.67;
    assert!((total as f64) < 1.03 * least, "{:?}, least {least}", outcome.sent);
    assert!((outcome.took_ms as f64) < 1.03 * least + 3.0 * 200.0, "{} ms, least {least}", outcome.took_ms);
    assert!(outcome.rebuilt > 0);
    assert!(outcome.feedbacks < total / 10);
    same(outcome.chunks, &chunks);
}

#[test]
fn an_outage_is_survived_and_over_when_the_link_is_back() {
    let chunks: Vec<_> = (0..20).map(|i| chunk(i, if i == 0 { 300 } else { 131_000 })).collect();
    let clean = transfer(&chunks, Link::default(), 3).took_ms;
    let outcome = transfer(&chunks, Link { outage: (500, 60_500), ..Link::default() }, 3);
    assert!(outcome.took_ms < clean + 60_000 + 1_000, "{} after {clean}", outcome.took_ms);
    same(outcome.chunks, &chunks);
}

#[test]
fn the_same_seed_gives_the_same_transfer() {
    let chunks = sizes();
    let link = Link { loss: 0.3, jitter_ms: 20, ..Link::default() };
    let (a, b) = (transfer(&chunks, link, 5), transfer(&chunks, link, 5));
    assert_eq!((a.took_ms, a.sent, a.feedbacks, a.chunks), (b.took_ms, b.sent, b.feedbacks, b.chunks));
}

#[test]
fn a_single_small_chunk_is_through_in_one_flight_most_of_the_time() {
    let chunks = [chunk(1, 300), chunk(2, 10_000)];
    let link = Link { loss: 0.33, delay_ms: 100, per_ms: 4, ..Link::default() };
    let quick = (0..200).filter(|seed| transfer(&chunks, link, *seed).took_ms < 300).count();
    assert!(quick > 180, "{quick} of 200");
}

#[test]
fn a_first_flight_that_could_not_be_read_is_sent_again_before_anything_is_heard() {
    // As when the last packet of the handshake comes 20 ms late: what was sent before it is lost.
    let chunks = [chunk(1, 300), chunk(2, 10_000)];
    for seed in 0..50 {
        let link = Link { loss: 0.1, delay_ms: 100, per_ms: 4, outage: (0, 20), ..Link::default() };
        let took = transfer(&chunks, link, seed).took_ms;
        assert!(took < 300, "{took} ms with seed {seed}");
    }
}

/// A shard of `stripe`, of which there are `k` of 1152 bytes.
fn shard_of(seq: u32, stripe: u32, k: u8, parts: u8) -> Shard {
    Shard { seq, stripe, index: 0, k, more: false, part: 0, parts, payload: Bytes::from(vec![0; 1152]) }
}

/// How many of an unaccepted peer's stripes were opened.
fn opened(inbound: &mut Inbound) -> usize {
    let rtt = Duration::from_millis(1);
    let feedback = inbound.poll_feedback(origin(), rtt, rtt).unwrap();
    feedback.missing.iter().filter(|missing| **missing != NOTHING).count()
}

#[test]
fn an_unaccepted_peer_can_make_us_hold_little() {
    for first in [0, 1] {
        let mut inbound = Inbound::new();
        for stripe in first..1000 {
            assert_eq!(inbound.on_shard(origin(), &shard_of(stripe, stripe, 50, 1)).unwrap(), None);
        }
        assert_eq!(opened(&mut inbound), UNACCEPTED_BYTES / (50 * 1152));
    }
}

#[test]
fn the_hello_finds_room_however_much_came_before_it() {
    // 56 shards of the data behind it overtook it.
    for (parts, expected) in [(1, 3), (2, 2)] {
        let mut inbound = Inbound::new();
        for (seq, stripe) in [(1, 1), (2, 2), (0, 0)] {
            let (k, parts) = if stripe == 0 { (50, parts) } else { (28, 1) };
            inbound.on_shard(origin(), &shard_of(seq, stripe, k, parts)).unwrap();
        }
        assert_eq!(opened(&mut inbound), expected, "the chunk of the hello is one stripe");
    }
}

#[test]
fn the_window_bounds_what_a_sender_may_open() {
    let (now, mut inbound) = (origin(), Inbound::new());
    inbound.accept();
    for stripe in 0..10 * WINDOW {
        let shard = Shard {
            seq: stripe,
            stripe,
            index: 0,
            k: 2,
            more: false,
            part: 0,
            parts: 1,
            payload: Bytes::from_static(b"abc"),
        };
        inbound.on_shard(now, &shard).unwrap();
    }
    let rtt = Duration::from_millis(1);
    assert_eq!(inbound.poll_feedback(now, rtt, rtt).unwrap().missing.len(), WINDOW as usize);
}

#[test]
fn stripes_that_do_not_fit_together_are_refused() {
    let (now, mut inbound) = (origin(), Inbound::new());
    let shard =
        |stripe, part, parts, payload| Shard { seq: 0, stripe, index: 0, k: 1, more: false, part, parts, payload };
    let first = chunk(1, 100);
    assert_eq!(encoded_length(&first), Ok(first.len()));
    assert_eq!(inbound.on_shard(now, &shard(0, 0, 2, first.clone())), Ok(None));
    assert!(
        inbound.on_shard(now, &shard(1, 1, 2, first.clone())).is_err(),
        "one part's length says that there is only one"
    );
    let mut inbound = Inbound::new();
    assert!(inbound.on_shard(now, &shard(0, 1, 2, first)).is_err(), "a second part without a first");
}

#[test]
fn a_receiver_that_lies_cannot_break_the_sender() {
    let (now, mut rng) = (origin(), Rng(1));
    let mut outbound = Outbound::new(now, Parity::Auto);
    for seed in 0..20 {
        outbound.offer(chunk(seed, 60_000), 1);
    }
    for step in 0..20_000u32 {
        let mut any = |n: u32| (rng.next() % u64::from(n)) as u32;
        let high = any(5000);
        let feedback = Feedback {
            accepted: any(2) == 0,
            high,
            received: any(high + 1),
            resolved: any(high + 1),
            base: any(100),
            credit: any(600),
            missing: (0..any(60)).map(|_| any(256) as u8).collect(),
            ..Feedback::default()
        };
        outbound.on_feedback(now + Duration::from_millis(u64::from(step)), &feedback);
        let now = now + Duration::from_millis(u64::from(step));
        outbound.settle(now, Duration::from_millis(20));
        let _ = outbound.poll_shard(now);
    }
}
