//! Flows through bottlenecks, in a fluid model: each goes towards its fair part of what its path carries within half a second.

use super::*;
use crate::priority::Priority::{Critical, High, Normal};

const STEP: Duration = Duration::from_millis(50);
const MBIT: f64 = 125_000.0;

#[expect(clippy::disallowed_methods, reason = "any instant serves as the origin of the test's time")]
fn origin() -> Instant {
    Instant::now()
}

struct Sender {
    id: FlowId,
    seen: Seen,
    /// Bytes per second that it sends now.
    rate: f64,
    /// What its own path carries, or what it limits itself to.
    own: f64,
    /// Whether it has anything to send.
    works: bool,
    allowed: Option<u64>,
    sent: f64,
}

/// Senders behind one bottleneck, each with a path of its own before it.
struct World {
    shares: Shares,
    now: Instant,
    capacity: f64,
    senders: Vec<Sender>,
    noise: u64,
}

impl World {
    fn new(limit: Option<u32>, capacity: f64) -> World {
        World {
            shares: Shares::new(limit.and_then(NonZeroU32::new)),
            now: origin(),
            capacity,
            senders: Vec::new(),
            noise: 7,
        }
    }

    fn join(&mut self, class: Priority, own: f64) -> usize {
        let id = self.shares.join(class);
        let seen = Seen::default();
        self.senders.push(Sender { id, seen, rate: 0.0, own, works: true, allowed: None, sent: 0.0 });
        self.senders.len() - 1
    }

    /// Max-min fair parts of the bottleneck.
    fn targets(&self) -> Vec<f64> {
        let cap = |sender: &Sender| {
            let allowed = sender.allowed.map_or(f64::INFINITY, |allowed| allowed as f64);
            if sender.works { sender.own.min(allowed) } else { 0.0 }
        };
        let caps: Vec<f64> = self.senders.iter().map(cap).collect();
        let mut order: Vec<usize> = (0..caps.len()).collect();
        order.sort_by(|a, b| caps[*a].total_cmp(&caps[*b]));
        let (mut left, mut parts) = (self.capacity, vec![0.0; caps.len()]);
        for (place, at) in order.iter().enumerate() {
            parts[*at] = caps[*at].min(left / (caps.len() - place) as f64);
            left -= parts[*at];
        }
        parts
    }

    /// Runs for so long and gives what each sender sent on average, bytes per second.
    fn run(&mut self, seconds: u64) -> Vec<f64> {
        self.senders.iter_mut().for_each(|sender| sender.sent = 0.0);
        let steps = seconds * 1000 / STEP.as_millis() as u64;
        for _ in 0..steps {
            self.now += STEP;
            let targets = self.targets();
            for (at, target) in targets.into_iter().enumerate() {
                self.noise = self.noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let jitter = 0.8 + 0.4 * ((self.noise >> 40) as f64 / (1 << 24) as f64);
                let sender = &mut self.senders[at];
                sender.rate += (target - sender.rate) * 0.1;
                let bytes = sender.rate * jitter * STEP.as_secs_f64();
                sender.sent += bytes;
                let before = sender.seen.bytes;
                sender.seen.bytes += bytes as u64;
                let shards = (sender.seen.bytes / 1152) - (before / 1152);
                sender.seen.shards += shards;
                sender.seen.more += if sender.works { shards } else { 0 };
                let (id, seen) = (sender.id, sender.seen);
                sender.allowed = self.shares.allowed(self.now, id, seen, Duration::from_millis(100));
            }
        }
        self.senders.iter().map(|sender| sender.sent / seconds as f64).collect()
    }
}

fn percent(rates: &[f64]) -> Vec<f64> {
    let total: f64 = rates.iter().sum();
    rates.iter().map(|rate| 100.0 * rate / total).collect()
}

#[test]
fn classes_share_one_bottleneck_as_their_weights() {
    let mut world = World::new(None, 10.0 * MBIT);
    world.join(Critical, f64::INFINITY);
    world.join(Normal, f64::INFINITY);
    world.run(5);
    for _ in 0..10 {
        let rates = world.run(20);
        let parts = percent(&rates);
        assert!((parts[0] - 71.4).abs() < 5.0, "{parts:?}");
        assert!(rates.iter().sum::<f64>() > 9.0 * MBIT, "{rates:?}");
    }
}

#[test]
fn three_classes_and_two_of_one_class() {
    let mut world = World::new(None, 10.0 * MBIT);
    for class in [Critical, High, Normal, Normal] {
        world.join(class, f64::INFINITY);
    }
    world.run(5);
    let parts = percent(&world.run(50));
    for (part, wanted) in parts.iter().zip([50.0, 30.0, 10.0, 10.0]) {
        assert!((part - wanted).abs() < 5.0, "{parts:?}");
    }
}

#[test]
fn equal_classes_are_left_alone() {
    let mut world = World::new(None, 10.0 * MBIT);
    for _ in 0..3 {
        world.join(Critical, f64::INFINITY);
    }
    world.run(10);
    assert!(world.senders.iter().all(|sender| sender.allowed.is_none()));
}

#[test]
fn what_an_idle_sender_leaves_is_the_others() {
    let mut world = World::new(None, 10.0 * MBIT);
    let first = world.join(Critical, f64::INFINITY);
    let second = world.join(Normal, f64::INFINITY);
    world.run(10);
    world.senders[first].works = false;
    world.run(3);
    assert!(world.run(10)[second] > 9.5 * MBIT);
    world.senders[first].works = true;
    world.run(3);
    let parts = percent(&world.run(20));
    assert!((parts[0] - 71.4).abs() < 5.0, "{parts:?}");
}

#[test]
fn a_slow_path_of_the_higher_class_does_not_slow_the_lower_one() {
    let mut world = World::new(None, 10.0 * MBIT);
    let slow = world.join(Critical, MBIT);
    let fast = world.join(Normal, f64::INFINITY);
    world.run(20);
    let rates = world.run(120);
    assert!(rates[slow] > 0.9 * MBIT && rates[fast] > 0.85 * 9.0 * MBIT, "{rates:?}");
}

#[test]
fn a_slow_lower_class_leaves_the_rest_to_the_higher() {
    let mut world = World::new(None, 10.0 * MBIT);
    world.join(Critical, f64::INFINITY);
    world.join(Normal, MBIT);
    world.run(10);
    let rates = world.run(60);
    assert!(rates[0] > 8.0 * MBIT && rates[1] > 0.9 * MBIT, "{rates:?}");
}

#[test]
fn a_bottleneck_that_goes_away_is_noticed() {
    let mut world = World::new(None, 10.0 * MBIT);
    world.join(Critical, f64::INFINITY);
    world.join(Normal, f64::INFINITY);
    world.run(20);
    // The first one's path has become the narrow one.
    world.senders[0].own = 0.5 * MBIT;
    world.run(20);
    let rates = world.run(60);
    assert!(rates[1] > 0.8 * 9.5 * MBIT, "{rates:?}");
}

#[test]
fn senders_come_and_go() {
    let mut world = World::new(None, 10.0 * MBIT);
    world.join(Normal, f64::INFINITY);
    world.run(10);
    world.join(Critical, f64::INFINITY);
    world.run(5);
    let parts = percent(&world.run(20));
    assert!((parts[1] - 71.4).abs() < 5.0, "{parts:?}");
    let gone = world.senders.pop().unwrap();
    world.shares.leave(gone.id);
    world.run(3);
    assert!(world.run(10)[0] > 9.5 * MBIT);
    assert!(world.shares.is_simple());
}

#[test]
fn a_limit_of_the_receivers_own_is_divided() {
    let mut world = World::new(Some(500_000), 100.0 * MBIT);
    world.join(Critical, f64::INFINITY);
    assert!((world.run(10)[0] / 500_000.0 - 1.0).abs() < 0.1);
    world.join(Normal, f64::INFINITY);
    world.run(5);
    let rates = world.run(20);
    assert!((percent(&rates)[0] - 71.4).abs() < 5.0, "{rates:?}");
    assert!((rates.iter().sum::<f64>() / 500_000.0 - 1.0).abs() < 0.1, "{rates:?}");
    // The first takes less than its part: the rest is the other's.
    world.senders[0].own = 100_000.0;
    world.run(10);
    let rates = world.run(20);
    assert!(rates[1] > 320_000.0, "{rates:?}");
}

#[test]
fn whoever_is_alone_has_all_of_a_limit_from_the_beginning() {
    let mut shares = Shares::new(NonZeroU32::new(800_000));
    let (id, now) = (shares.join(Normal), origin());
    for ticks in 0..5 {
        assert_eq!(shares.allowed(now + ticks * TICK, id, Seen::default(), Duration::ZERO), Some(800_000));
    }
}

#[test]
fn memory_is_promised_once() {
    let mut shares = Shares::new(None);
    let mut promised = Vec::new();
    // Each comes when those before it have taken all that they may, and gives nothing back.
    for _ in 0..128 {
        let id = shares.join(Normal);
        promised.push((id, shares.window(id, 0)));
    }
    assert_eq!((promised[0].1, promised[1].1, promised[2].1), (WINDOW, WINDOW, FIRST_WINDOW));
    let sum: u32 = promised.iter().map(|(_, window)| *window).sum();
    assert!(sum <= STRIPES + 128 * FIRST_WINDOW, "{sum}");
    // What the first two are done with is everybody's.
    for (id, window) in &mut promised {
        *window = shares.window(*id, (*window).min(FIRST_WINDOW));
    }
    assert!(promised.iter().all(|(_, window)| *window == FIRST_WINDOW));
}

#[test]
fn a_sender_that_comes_back_is_counted_anew() {
    // On another connection more shards have come than on the first, and fewer bytes.
    let start = origin();
    let seen = |bytes, shards| Seen { bytes, shards, more: 0, sent: shards };
    let mut flow = Flow {
        class: Normal,
        rtt: Duration::from_millis(10),
        seen: Seen::default(),
        measured: None,
        rate: 0.0,
        sent: 0.0,
        promised: 0,
        more: 0.0,
        allowed: None,
    };
    measure(&mut flow, start, seen(0, 0));
    for (seconds, seen) in [(1, seen(58_000, 10)), (2, seen(24_000, 20)), (3, seen(30_000, 5))] {
        measure(&mut flow, start + Duration::from_secs(seconds), seen);
        assert!(flow.rate >= 0.0 && flow.rate < 60_000.0 && flow.sent < 60_000.0, "{} {}", flow.rate, flow.sent);
    }
}
