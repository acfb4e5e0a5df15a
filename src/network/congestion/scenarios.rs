//! What `dbw` does on simulated links: utilisation, queue, drops, start-up, steps of rate, outages, policers, competition.
//!
//! Every scenario is seeded and runs in virtual time; bounds leave a margin over what three seeds or more showed.

use super::dbw::Phase;
use super::testlink::{Acks, Flow, Link, MTU, Net};

const ACKS: [Acks; 3] = [Acks::Dense, Acks::Sparse(1.0 / 8.0), Acks::Sparse(1.0 / 3.0)];

fn hinted(mbit: f64, acks: Acks) -> Flow {
    let mut flow = Flow::dbw();
    flow.hint = Some(mbit * 1e6);
    flow.acks = acks;
    flow
}

fn late(mut flow: Flow, start: f64) -> Flow {
    flow.start = start;
    flow
}

/// Runs one flow on `link` and checks its steady state: share of R(1-p) delivered, 90 % quantile of the queue in seconds, and
/// tail drops over the whole run.
fn steady(link: &Link, mbit: f64, seconds: f64, acks: Acks, seed: u64, bounds: (f64, f64, f64)) {
    let mut net = Net::new(link.clone(), vec![hinted(mbit, acks)], seed);
    net.run(seconds);
    let flow = &net.flows[0];
    let delivered = flow.rate(seconds / 4.0, seconds) / (mbit * 1e6 * (1.0 - link.loss));
    let queue = net.queue(seconds / 4.0, seconds).1;
    let dropped = flow.dropped(0, seconds as usize);
    let case = format!("{mbit} Mbit/s, loss {}, {acks:?}, seed {seed}", link.loss);
    assert!(delivered > bounds.0, "{case}: delivered {delivered:.3}");
    assert!(queue < bounds.1, "{case}: queue {queue:.3} s");
    assert!(dropped < bounds.2, "{case}: dropped {dropped:.4}");
}

fn steady_everywhere(mbit: f64, rtt_ms: f64, seconds: f64, bounds: [(f64, f64, f64); 3]) {
    for (acks, bounds) in ACKS.into_iter().zip(bounds) {
        for loss in [0.0, 0.05, 0.2, 0.33] {
            steady(&Link::new(mbit, rtt_ms, 200.0, loss), mbit, seconds, acks, 11, bounds);
        }
    }
}

#[test]
fn lte_is_filled_at_any_loss_with_a_short_queue() {
    steady_everywhere(10.0, 100.0, 30.0, [(0.95, 0.03, 0.01), (0.92, 0.05, 0.01), (0.92, 0.15, 0.01)]);
}

#[test]
fn wifi_is_filled_at_any_loss_with_a_short_queue() {
    steady_everywhere(50.0, 10.0, 10.0, [(0.95, 0.02, 0.01), (0.91, 0.02, 0.01), (0.91, 0.02, 0.01)]);
}

#[test]
fn a_satellite_is_filled_at_any_loss() {
    steady_everywhere(20.0, 300.0, 40.0, [(0.95, 0.04, 0.01), (0.92, 0.18, 0.02), (0.92, 0.18, 0.02)]);
}

#[test]
fn jitter_of_several_packets_does_not_empty_a_slow_link() {
    for acks in [Acks::Dense, Acks::Sparse(1.0 / 8.0)] {
        for loss in [0.0, 0.05, 0.2, 0.33] {
            let mut link = Link::new(1.0, 100.0, 200.0, loss);
            link.jitter = 0.1;
            let (mut dropped, mut delivered, mut queue) = (0.0, 0.0, 0.0f64);
            for seed in 1..=6 {
                let mut net = Net::new(link.clone(), vec![hinted(1.0, acks)], seed);
                net.run(60.0);
                dropped += net.flows[0].dropped(0, 60) / 6.0;
                queue = queue.max(net.queue(15.0, 60.0).1);
                delivered += net.flows[0].rate(15.0, 60.0) / 6.0 / (1e6 * (1.0 - loss));
            }
            assert!(queue < 0.20, "{acks:?}, loss {loss}: queue {queue:.3} s");
            assert!(delivered > 0.97, "{acks:?}, loss {loss}: delivered {delivered:.3}");
            // The queue holds half of the first flight: most of what is dropped is dropped in the first seconds.
            assert!(dropped < 0.05, "{acks:?}, loss {loss}: dropped {dropped:.3}");
        }
    }
}

#[test]
fn a_queue_that_jitter_hides_is_not_flooded_for_long() {
    let mut link = Link::new(1.0, 100.0, 150.0, 0.2);
    link.jitter = 0.1;
    for hint in [0.3, 1.0, 8.0] {
        let mut net = Net::new(link.clone(), vec![hinted(hint, Acks::Dense)], 1);
        net.run(60.0);
        let (dropped, delivered) = (net.flows[0].dropped(15, 60), net.flows[0].rate(15.0, 60.0) / 0.8e6);
        assert!(dropped < 0.12, "told {hint} Mbit/s: dropped {dropped:.3}");
        assert!(delivered > 0.95, "told {hint} Mbit/s: delivered {delivered:.3}");
    }
}

#[test]
fn jitter_that_reorders_hundreds_of_packets_is_no_policer() {
    for seed in 1..=3 {
        let mut link = Link::new(10.0, 200.0, 200.0, 0.05);
        link.jitter = 0.1;
        steady(&link, 10.0, 30.0, Acks::Dense, seed, (0.85, 0.12, 0.01));
    }
}

#[test]
fn runs_of_losses_are_no_policer() {
    for seed in 1..=3 {
        let mut link = Link::new(10.0, 100.0, 400.0, 0.2);
        link.burst = 0.01;
        steady(&link, 10.0, 40.0, Acks::Sparse(1.0 / 8.0), seed, (0.80, 0.08, 0.01));
    }
}

#[test]
fn a_radio_link_of_a_second_and_a_half_is_filled() {
    let link = Link::new(1.0, 1500.0, 500.0, 0.2);
    let mut net = Net::new(link, vec![Flow::dbw()], 5);
    net.run(120.0);
    let delivered = net.flows[0].rate(30.0, 120.0) / 0.8e6;
    assert!(delivered > 0.85, "delivered {delivered:.3}");
    let dropped = net.flows[0].dropped(30, 120);
    assert!(dropped < 0.12, "dropped {dropped:.3}");
}

#[test]
fn a_gigabit_lan_is_filled() {
    for loss in [0.0, 0.2] {
        let mut net = Net::new(Link::new(1000.0, 0.2, 20.0, loss), vec![Flow::dbw()], 5);
        net.run(1.5);
        let delivered = net.flows[0].rate(0.5, 1.5) / (1e9 * (1.0 - loss));
        assert!(delivered > 0.95, "delivered {delivered:.3}");
        assert!(net.queue(0.5, 1.5).1 < 0.01);
    }
}

#[test]
fn a_hint_brings_start_up_to_the_rate_in_few_round_trips() {
    // Six round trips, of which the first two are the handshake-sized first flight and its answer.
    for loss in [0.0, 0.2, 0.33] {
        for (mbit, rtt_ms) in [(10.0, 100.0), (20.0, 300.0)] {
            let rtt = rtt_ms / 1000.0;
            let mut net = Net::new(Link::new(mbit, rtt_ms, 200.0, loss), vec![hinted(mbit, ACKS[1])], 3);
            net.run(6.0 * rtt);
            let delivered = net.flows[0].rate(3.0 * rtt, 6.0 * rtt) / (mbit * 1e6 * (1.0 - loss));
            assert!(delivered > 0.7, "{mbit} Mbit/s at {loss}: {delivered:.2} of the rate");
            assert!(net.flows[0].dropped(0, 3) < 0.05);
        }
    }
}

#[test]
fn a_hint_far_below_the_first_window_ends_start_up_without_a_flood() {
    let mut net = Net::new(Link::new(1.0, 100.0, 200.0, 0.33), vec![hinted(1.0, ACKS[1])], 3);
    net.run(10.0);
    let dropped = net.flows[0].dropped(0, 10);
    assert!(dropped < 0.06, "dropped {dropped:.3}");
}

#[test]
fn a_step_of_the_rate_is_followed_within_two_seconds() {
    for loss in [0.0, 0.2] {
        let mut link = Link::new(10.0, 100.0, 200.0, loss);
        link.rates = vec![(0.0, 10e6), (10.0, 2e6), (20.0, 10e6)];
        let mut net = Net::new(link, vec![Flow::dbw()], 5);
        net.run(30.0);
        let queue = net.queue(12.0, 20.0).1;
        assert!(queue < 0.1, "queue {queue:.3} s two seconds after the fall");
        let low = net.flows[0].rate(12.0, 20.0) / (2e6 * (1.0 - loss));
        assert!(low > 0.85, "{low:.2} of the low rate");
        let high = net.flows[0].rate(22.0, 24.0) / (10e6 * (1.0 - loss));
        assert!(high > 0.9, "{high:.2} of the high rate two seconds after the rise");
        assert!(net.flows[0].dropped(0, 30) < 0.03);
    }
}

#[test]
fn a_policer_is_not_flooded() {
    for (loss, bucket) in [(0.0, 64e3), (0.0, 300e3), (0.2, 64e3), (0.2, 300e3)] {
        let mut sum = 0.0;
        for seed in 1..=5 {
            let mut link = Link::new(100.0, 40.0, 100.0, loss);
            link.policer = Some((20e6, bucket));
            let mut flow = Flow::dbw();
            // A train passes a policer at the speed of the link behind it.
            flow.hint = (seed > 2).then_some(593e6);
            let mut net = Net::new(link, vec![flow], seed);
            net.run(30.0);
            let dropped = net.flows[0].dropped(2, 30);
            assert!(dropped < 0.08, "dropped {dropped:.3}");
            let delivered = net.flows[0].rate(2.0, 30.0) / (20e6 * (1.0 - loss));
            assert!(delivered > 0.5, "delivered {delivered:.3}");
            sum += delivered;
        }
        assert!(sum > 0.75 * 5.0, "delivered {:.3} on average", sum / 5.0);
    }
}

#[test]
fn a_window_survives_an_outage_of_half_a_minute() {
    let mut link = Link::new(10.0, 100.0, 200.0, 0.2);
    link.outage = Some((10.0, 40.0));
    let mut net = Net::new(link, vec![Flow::dbw()], 5);
    net.run(39.0);
    let during = net.flows[0].law().window();
    net.run(90.0);
    assert!(during > 100e3, "window {during:.0} during the outage");
    // Nobody grants probes here, so the answer waits for the sender's own, which come ever later.
    let delivered = net.flows[0].rate(70.0, 90.0) / 8e6;
    assert!(delivered > 0.9, "delivered {delivered:.3} afterwards");
    assert!(net.flows[0].dropped(40, 90) < 0.01);
}

#[test]
fn a_longer_path_is_not_taken_for_a_queue_for_ever() {
    for loss in [0.0, 0.2] {
        let mut link = Link::new(10.0, 100.0, 200.0, loss);
        link.detour = Some((10.0, 0.05));
        let mut net = Net::new(link, vec![Flow::dbw()], 5);
        net.run(60.0);
        let delivered = net.flows[0].rate(26.0, 60.0) / (10e6 * (1.0 - loss));
        assert!(delivered > 0.85, "delivered {delivered:.3} at loss {loss}");
    }
}

/// Share of each flow in the 20 s after the last has begun, those of a second that are `starts` each; and the 90 % quantile of the queue.
fn shares(starts: &[f64], loss: f64, seed: u64) -> (Vec<f64>, f64) {
    let flows = starts.iter().map(|start| late(hinted(20.0, ACKS[1]), *start)).collect();
    let mut net = Net::new(Link::new(20.0, 40.0, 200.0, loss), flows, seed);
    let from = starts.iter().copied().fold(0.0, f64::max);
    net.run(from + 20.0);
    let rates: Vec<f64> = net.flows.iter().map(|flow| flow.rate(from, from + 20.0)).collect();
    let sum: f64 = rates.iter().sum();
    assert!(sum > 0.97 * 20e6 * (1.0 - loss), "all have {sum:.0} bit/s");
    (rates.iter().map(|rate| rate / sum).collect(), net.queue(from, from + 20.0).1)
}

#[test]
fn two_flows_share_a_link_from_the_first_seconds_on() {
    for (loss, longest) in [(0.0, 0.04), (0.2, 0.06)] {
        for starts in [[0.0, 0.1], [0.0, 2.0], [0.0, 10.0]] {
            for seed in 1..=5 {
                let (shares, queue) = shares(&starts, loss, seed);
                assert!((0.42..0.58).contains(&shares[0]), "{starts:?}, loss {loss}, seed {seed}: {shares:.2?}");
                assert!(queue < longest, "{starts:?}, loss {loss}, seed {seed}: queue {queue:.3} s");
            }
        }
    }
}

#[test]
fn none_of_four_flows_starves() {
    for loss in [0.0, 0.2] {
        for starts in [[0.0, 0.1, 0.2, 0.3], [0.0, 1.0, 2.0, 3.0]] {
            for seed in 1..=5 {
                let (shares, _) = shares(&starts, loss, seed);
                assert!(shares.iter().all(|share| *share > 0.15), "{starts:?}, loss {loss}, seed {seed}: {shares:.2?}");
            }
        }
    }
}

#[test]
fn two_flows_share_a_long_link_in_the_end() {
    for loss in [0.0, 0.2] {
        for seed in [5, 6] {
            let flows = vec![Flow::dbw(), late(Flow::dbw(), 5.0)];
            let mut net = Net::new(Link::new(10.0, 100.0, 200.0, loss), flows, seed);
            net.run(45.0);
            let (a, b) = (net.flows[0].rate(15.0, 45.0), net.flows[1].rate(15.0, 45.0));
            let share = a / (a + b);
            assert!((0.3..0.7).contains(&share), "first flow has {share:.2}");
            assert!(a + b > 0.88 * 10e6 * (1.0 - loss));
            assert!(net.queue(15.0, 45.0).1 < 0.05);
        }
    }
}

/// What a cubic flow has of a clean link of 20 Mbit/s from 20 s to 37 s.
fn share_of_cubic(rtt: f64, queue: f64, ours_first: bool, seed: u64) -> f64 {
    let second = 5.0 + 0.37 * seed as f64;
    let flows = if ours_first {
        vec![hinted(20.0, ACKS[1]), late(Flow::cubic(), second)]
    } else {
        vec![late(hinted(20.0, ACKS[1]), second), Flow::cubic()]
    };
    let mut net = Net::new(Link::new(20.0, rtt, queue, 0.0), flows, seed);
    net.run(37.0);
    let (ours, theirs) = (net.flows[0].rate(20.0, 37.0), net.flows[1].rate(20.0, 37.0));
    theirs / (ours + theirs)
}

#[test]
fn a_cubic_flow_neither_starves_nor_is_starved() {
    let mut shares = Vec::new();
    for (rtt, queue) in [20.0, 40.0, 100.0].into_iter().flat_map(|rtt| [100.0, 200.0, 400.0].map(|queue| (rtt, queue)))
    {
        for (ours_first, seed) in [(true, 1), (true, 2), (true, 3), (false, 1), (false, 2), (false, 3)] {
            let share = share_of_cubic(rtt, queue, ours_first, seed);
            assert!((0.3..0.72).contains(&share), "{rtt} ms, queue {queue} ms, {ours_first}, seed {seed}: {share:.2}");
            shares.push(share);
        }
    }
    let mean = shares.iter().sum::<f64>() / shares.len() as f64;
    assert!((0.45..0.57).contains(&mean), "mean {mean:.3}");
}

#[test]
fn competing_ends_when_the_other_flow_has_gone() {
    let mut other = late(Flow::cubic(), 5.0);
    other.stop = 30.0;
    let flows = vec![hinted(20.0, ACKS[1]), other];
    let mut net = Net::new(Link::new(20.0, 40.0, 200.0, 0.0), flows, 5);
    net.run(28.0);
    assert_eq!(net.flows[0].law().phase(), Phase::Compete);
    net.run(75.0);
    assert_eq!(net.flows[0].law().phase(), Phase::Steady);
    let queue = net.queue(60.0, 75.0).0;
    assert!(queue < 0.03, "queue {queue:.3} s");
    assert!(net.flows[0].rate(60.0, 75.0) > 0.9 * 20e6);
}

#[test]
fn the_same_seed_gives_the_same_run() {
    let run = || {
        let mut net = Net::new(Link::new(10.0, 100.0, 200.0, 0.2), vec![Flow::dbw()], 9);
        net.run(5.0);
        (net.flows[0].sent, net.flows[0].law().window().to_bits())
    };
    assert_eq!(run(), run());
}

#[test]
fn an_idle_application_does_not_grow_the_window() {
    let mut law = super::dbw::Law::new(MTU);
    let start = law.window();
    for i in 0..500 {
        let now = f64::from(i) * 0.1;
        law.on_sent(now, MTU);
        law.on_ack(now + 0.05, now, MTU);
        law.on_frame(now + 0.05, 0.0);
    }
    assert!(law.window() <= start, "window {}", law.window());
}

#[test]
fn marks_shorten_the_window_and_losses_do_not() {
    let run = |marked: bool, lossy: bool| {
        let mut law = super::dbw::Law::new(MTU);
        let (mut now, mut flight) = (0.0, std::collections::VecDeque::new());
        let mut in_flight = 0.0;
        // A fixed 50 ms path without any queue; nine tenths arrive when it is lossy.
        for step in 0..1500 {
            now = f64::from(step) * 0.01;
            while in_flight + MTU < law.window().min(200e3) {
                flight.push_back(now);
                in_flight += MTU;
                law.on_sent(now, MTU);
            }
            let mut n = 0;
            while flight.front().is_some_and(|&sent| sent + 0.05 <= now) {
                let sent = flight.pop_front().expect("just seen");
                in_flight -= MTU;
                n += 1;
                if lossy && n % 10 == 0 {
                    law.on_lost(now, sent, MTU);
                } else {
                    law.on_ack(now, sent, MTU);
                }
            }
            if n > 0 {
                if marked && step > 1000 {
                    law.on_mark();
                }
                law.on_frame(now, in_flight);
            }
        }
        assert!(now > 14.0);
        law.window()
    };
    let (clean, marked, lossy) = (run(false, false), run(true, false), run(false, true));
    assert!(marked < 0.2 * clean, "{marked:.0} with marks, {clean:.0} without");
    assert!(lossy > 0.8 * clean, "{lossy:.0} with losses, {clean:.0} without");
}
