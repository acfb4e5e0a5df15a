//! The link model on its own: every fault has its configured share, rate and delay are exact.

use super::link::{Delivery, Fate, Link, Stats};
use super::profile::Profile;
use super::rng::Rng;
use std::time::Duration;

const SIZE: usize = 1228;

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// A link that is never full at one packet a millisecond.
fn clean() -> Profile {
    Profile::plain(100.0, 20, 0.0)
}

/// Offers `count` packets, one each `gap`.
fn offer(profile: Profile, count: u32, gap: Duration, ect: bool) -> (Vec<Fate>, Stats) {
    let mut link = Link::new(profile, Rng::new(7));
    let fates = (0..count).map(|i| link.carry(gap * i, SIZE, ect)).collect();
    (fates, link.stats)
}

fn arrivals(fates: &[Fate]) -> Vec<Delivery> {
    fates.iter().filter_map(|fate| if let Fate::Delivered(delivery) = fate { Some(*delivery) } else { None }).collect()
}

/// Whether `n` of `of` is `share`, within four standard deviations of independent trials.
#[track_caller]
fn assert_share(n: u64, of: u64, share: f64) {
    let (n, of) = (n as f64, of as f64);
    let sigma = (of * share * (1.0 - share)).sqrt();
    assert!((n - of * share).abs() <= 4.0 * sigma, "{n} of {of} is not {share}");
}

#[test]
fn a_clean_link_only_delays() {
    let (fates, stats) = offer(clean(), 1000, ms(1), true);
    let expected = ms(20) + Duration::from_nanos(SIZE as u64 * 8 * 10);
    for (i, delivery) in arrivals(&fates).into_iter().enumerate() {
        let plain =
            Delivery { at: ms(i as u64) + expected, copy_at: None, flip: None, ecn_marked: false, reordered: false };
        assert_eq!(delivery, plain);
    }
    assert_eq!(stats, Stats { packets: 1000, bytes: 1000 * SIZE as u64, delivered: 1000, ..Stats::default() });
}

#[test]
fn each_independent_fault_has_its_share_and_moves_no_other() {
    let many = 100_000;
    let (clean_fates, _) = offer(clean(), many, ms(1), false);
    let (lossy, stats) = offer(Profile { loss: 0.2, ..clean() }, many, ms(1), false);
    assert_share(stats.lost, stats.packets, 0.2);
    assert_eq!(stats.delivered + stats.lost, stats.packets);

    let (fates, stats) = offer(Profile { dup: 0.03, ..clean() }, many, ms(1), false);
    assert_share(stats.duplicated, stats.packets, 0.03);
    assert_eq!(stats.delivered, stats.packets);
    assert!(arrivals(&fates).iter().all(|d| d.copy_at.is_none_or(|copy| copy >= d.at)));

    let (_, stats) = offer(Profile { corrupt: 0.01, ..clean() }, many, ms(1), false);
    assert_share(stats.corrupted, stats.packets, 0.01);

    let (both, stats) =
        offer(Profile { loss: 0.2, dup: 0.03, corrupt: 0.01, jitter: ms(50), ..clean() }, many, ms(1), false);
    assert_share(stats.duplicated, stats.delivered, 0.03);
    assert_share(stats.corrupted, stats.delivered, 0.01);
    for i in 0..many as usize {
        assert_eq!(both[i] == Fate::Lost, lossy[i] == Fate::Lost, "packet {i} was lost by another knob");
        assert!(matches!(clean_fates[i], Fate::Delivered(_)));
    }
}

#[test]
fn jitter_is_uniform_and_reorders_only_if_it_may() {
    let (fates, stats) = offer(Profile { jitter: ms(50), ..clean() }, 100_000, ms(1), false);
    let fixed = ms(20) + clean().time_on_wire(SIZE);
    let extra: Vec<f64> = arrivals(&fates)
        .iter()
        .enumerate()
        .map(|(i, d)| d.at.saturating_sub(ms(i as u64) + fixed).as_secs_f64() * 1e3)
        .collect();
    assert!(extra.iter().all(|ms| (0.0..50.0).contains(ms)));
    let mean = extra.iter().sum::<f64>() / extra.len() as f64;
    assert!((mean - 25.0).abs() < 0.3, "{mean}");
    assert!(stats.reordered > stats.packets / 2, "{stats}");

    let (fates, stats) = offer(Profile { jitter: ms(50), keep_order: true, ..clean() }, 100_000, ms(1), false);
    assert_eq!(stats.reordered, 0);
    assert!(arrivals(&fates).is_sorted_by_key(|d| d.at));
}

#[test]
fn rate_and_queue_bound_what_passes() {
    // 20 packets a millisecond into 10 Mbit/s, which takes one in 0.9824 ms.
    let profile = Profile { queue: ms(100), ..Profile::plain(10.0, 30, 0.0) };
    let wire = profile.time_on_wire(SIZE);
    let (fates, stats) = offer(profile.clone(), 100_000, Duration::from_micros(50), false);
    let arrived = arrivals(&fates);
    assert_eq!(arrived[0].at, wire + ms(30));
    assert!(
        arrived.windows(2).all(|pair| pair[1].at == pair[0].at + wire),
        "the transmitter is never idle and never too fast"
    );
    assert_eq!(stats.delivered + stats.tail_dropped, stats.packets);
    // What was sent in 5 s, and what is still queued at the end of it.
    let expected = (ms(5000) + ms(100)).as_nanos() / wire.as_nanos();
    assert!(stats.delivered.abs_diff(expected as u64) <= 1, "{} of {expected}", stats.delivered);
}

#[test]
fn only_packets_that_can_be_marked_and_waited_too_long_are() {
    let profile = Profile { queue: ms(100), ecn_at: Some(ms(50)), ..Profile::plain(10.0, 30, 0.0) };
    let burst = |ect| offer(profile.clone(), 200, Duration::ZERO, ect).1;
    let wire = profile.time_on_wire(SIZE);
    let waits_at_most = |limit: Duration| (limit.as_nanos() / wire.as_nanos()) as u64 + 1;
    let marked = burst(true);
    assert_eq!(marked.delivered, waits_at_most(ms(100)));
    assert_eq!(marked.ecn_marked, waits_at_most(ms(100)) - waits_at_most(ms(50)));
    assert_eq!(burst(false).ecn_marked, 0);
}

#[test]
fn the_mtu_counts_the_whole_packet() {
    let mut link = Link::new(Profile { mtu: 1280, ..clean() }, Rng::new(1));
    assert!(matches!(link.carry(ms(0), 1280, false), Fate::Delivered(_)));
    assert_eq!(link.carry(ms(1), 1281, false), Fate::OverMtu);
    assert_eq!((link.stats.delivered, link.stats.over_mtu), (1, 1));
}

#[test]
fn an_outage_drops_everything_and_nothing_else() {
    let profile = Profile { outages: vec![(ms(100), ms(50)), (ms(300), ms(10))], ..clean() };
    let (fates, stats) = offer(profile, 1000, ms(1), false);
    // A packet offered at t ms has left the transmitter at t + 0.1 ms.
    for (t, fate) in fates.iter().enumerate() {
        let out = (100..150).contains(&t) || (300..310).contains(&t);
        assert_eq!(*fate == Fate::OutageDropped, out, "at {t} ms");
    }
    assert_eq!((stats.outage_dropped, stats.delivered), (60, 940));
}

/// Share lost, and mean length of the holes, with one packet each `gap`.
fn holes(loss: f64, burst: Duration, gap: Duration, count: u32) -> (f64, Duration) {
    let (fates, stats) = offer(Profile { loss, burst, ..clean() }, count, gap, false);
    assert_eq!((stats.lost, stats.delivered + stats.burst_lost), (0, stats.packets));
    let lost = |fate: &Fate| *fate == Fate::BurstLost;
    let holes = fates.windows(2).filter(|pair| lost(&pair[0]) && !lost(&pair[1])).count();
    (stats.burst_lost as f64 / stats.packets as f64, gap.mul_f64(stats.burst_lost as f64 / holes as f64))
}

#[test]
fn bursts_keep_the_mean_loss_and_their_dwell() {
    for (loss, burst) in [(0.2, ms(10)), (0.2, ms(100)), (0.05, ms(50)), (0.6, ms(100))] {
        let (share, dwell) = holes(loss, burst, burst / 20, 1_000_000);
        assert!((share / loss - 1.0).abs() < 0.12, "{loss} {burst:?}: lost {share}");
        let ratio = dwell.as_secs_f64() / burst.as_secs_f64();
        assert!((ratio - 1.0).abs() < 0.12, "{loss} {burst:?}: dwell {dwell:?}");
    }
}

#[test]
fn a_rarely_used_path_does_not_stay_bad() {
    // Far apart against the dwell, packets are lost independently: the chain moves in time.
    let (share, dwell) = holes(0.5, ms(100), Duration::from_secs(10), 20_000);
    assert!((share - 0.5).abs() < 0.02, "{share}");
    assert!((dwell.as_secs_f64() / 10.0 - 2.0).abs() < 0.1, "two packets a run, as for a fair coin, not {dwell:?}");
}

#[test]
fn total_loss_is_total_with_and_without_bursts() {
    for burst in [ms(0), ms(100)] {
        let (_, stats) = offer(Profile { loss: 1.0, burst, ..clean() }, 1000, Duration::ZERO, false);
        assert_eq!(stats.lost + stats.burst_lost, 1000, "{stats}");
    }
}

#[test]
fn words_name_profiles_and_random_ones_stay_in_range() {
    for (word, profile) in Profile::NAMED {
        assert_eq!(Profile::named(word), Some(profile()));
    }
    assert_eq!(Profile::named("perfect"), None);
    let mut rng = Rng::new(3);
    let all: Vec<Profile> = (0..2000).map(|_| Profile::random(&mut rng)).collect();
    for p in &all {
        assert!(
            (250_000..=50_000_000).contains(&p.rate) && (ms(1)..=ms(300)).contains(&p.delay) && p.jitter < ms(100),
            "{p:?}"
        );
        assert!((0.0..0.9).contains(&p.loss) && p.mtu >= 1280 && p.outages.len() <= 2, "{p:?}");
        assert!(p.time_on_wire(SIZE) * 10 <= p.queue, "{p:?}");
    }
    let with = |has: fn(&Profile) -> bool| all.iter().filter(|p| has(p)).count();
    let faults: [fn(&Profile) -> bool; 9] = [
        |p| p.loss > 0.5 && !p.burst.is_zero(),
        |p| !p.jitter.is_zero() && !p.keep_order,
        |p| p.keep_order,
        |p| !p.burst.is_zero(),
        |p| p.dup > 0.0,
        |p| p.corrupt > 0.0,
        |p| p.ecn_at.is_some(),
        |p| p.mtu < 1500,
        |p| p.outages.len() == 2,
    ];
    for (i, has) in faults.into_iter().enumerate() {
        assert!(with(has) >= 20, "fault {i} is drawn {} times in 2,000", with(has));
        assert!(with(has) < 2000 - 20, "fault {i} is in all");
    }
}

#[test]
fn counters_read_well_and_add_up() {
    let (_, one) = offer(Profile { loss: 0.5, ..clean() }, 10, ms(1), false);
    let mut two = one;
    two += one;
    for ((word, a), (_, b)) in one.words().into_iter().zip(two.words()) {
        assert_eq!(2 * a, b, "{word}");
    }
    let shown = Stats { packets: 3, bytes: 30, delivered: 2, lost: 1, ecn_marked: 1, ..Stats::default() }.to_string();
    assert_eq!(shown, "packets=3 bytes=30 delivered=2 lost=1 burst-lost=0 tail-dropped=0 ecn-marked=1");
}
