//! Transfers in arithmetic: a pipeline of a machine and a link whose figures are given, and what the chooser makes of them.

use super::*;

/// A machine and files: every time and every size of the ladder multiplied by these.
#[derive(Clone, Copy)]
struct World {
    slower: f64,
    /// How far what is left differs from the ladder's typical text.
    larger: f64,
    /// Seconds a byte for reading and hashing.
    base: f64,
    /// Bytes per second of the link.
    rate: f64,
}

const CHUNK: f64 = 131_072.0;
/// Bytes that fit between the two.
const QUEUE: f64 = 300_000.0;

impl World {
    fn figures(self, method: Method) -> (f64, f64) {
        let rung = LADDER.iter().find(|rung| rung.0 == method);
        rung.map_or((0.0, 1.0), |rung| (rung.1 * self.slower, (rung.2 * self.larger).min(1.0)))
    }

    /// Seconds until `chunks` chunks have left, with a method for each.
    fn run(self, chunks: usize, mut chooser: Chooser) -> (f64, Chooser) {
        let text = b"what is compressible ".repeat(10);
        // When preparation is at, and when the link has sent all it was given.
        let (mut now, mut sent) = (0.0f64, 0.0f64);
        for _ in 0..chunks {
            let method = chooser.method(&text);
            let (seconds, share) = self.figures(method);
            let (took, encoded) = (seconds * CHUNK, share * CHUNK);
            chooser.packed(method, CHUNK as usize, encoded as usize, Duration::from_secs_f64(took));
            let ready = now + took + self.base * CHUNK;
            // It waits until all but a queue of what is ahead has left.
            let taken = ready.max(sent - QUEUE / self.rate);
            let [lasted, waited] = [taken - now, taken - ready].map(Duration::from_secs_f64);
            chooser.handed_over(CHUNK as u64, encoded as u64, lasted, waited);
            sent = sent.max(taken) + encoded / self.rate;
            now = taken;
        }
        (sent, chooser)
    }

    fn best_fixed(self, chunks: usize) -> f64 {
        let methods = LADDER.iter().map(|rung| rung.0).chain([Method::None]);
        methods.map(|method| self.run(chunks, Chooser::new(Choice::Always(method))).0).fold(f64::INFINITY, f64::min)
    }
}

#[test]
fn auto_is_as_good_as_the_best_fixed_choice_on_every_link() {
    for rate in [10e3, 125e3, 1.25e6, 6e6, 12.5e6, 50e6, 125e6, 1e9, 10e9] {
        for slower in [0.5, 1.0, 3.0] {
            for larger in [0.3, 1.0, 2.0] {
                let world = World { slower, larger, base: 1e-9, rate };
                let mut chooser = Chooser::new(Choice::Auto);
                chooser.hint(rate.min(30e6) as u64);
                let (auto, _) = world.run(2000, chooser);
                let best = world.best_fixed(2000);
                // Between two rungs a little is lost, and a moment while it is finding out.
                // A moment is lost while it is finding out.
                assert!(auto <= 1.03 * best + 0.05, "{rate} {slower} {larger}: {auto} {best}");
            }
        }
    }
}

#[test]
fn a_slow_link_gets_the_ratio_and_a_fast_one_the_speed() {
    let at = |rate| {
        let world = World { slower: 1.0, larger: 1.0, base: 2e-9, rate };
        world.run(500, Chooser::new(Choice::Auto)).1.best()
    };
    assert!(matches!(at(125e3), Method::Zstd(13..)), "{:?}", at(125e3));
    assert_eq!(at(20e9), Method::None);
}

#[test]
fn a_link_that_changes_is_followed() {
    let mut world = World { slower: 1.0, larger: 1.0, base: 1e-9, rate: 125e3 };
    let (_, chooser) = world.run(300, Chooser::new(Choice::Auto));
    world.rate = 400e6;
    let (_, mut chooser) = world.run(2000, chooser);
    assert!(chooser.rate() > Some(100_000_000), "{:?}", chooser.rate());
    assert!(matches!(chooser.best(), Method::None | Method::Lz4 | Method::Zstd(1)));
    world.rate = 125e3;
    let (_, mut chooser) = world.run(100, chooser);
    assert!(matches!(chooser.best(), Method::Zstd(9..)));
}

#[test]
fn the_first_burst_is_believed_until_something_is_measured() {
    let mut chooser = Chooser::new(Choice::Auto);
    assert_eq!(chooser.best(), Method::Zstd(3));
    chooser.hint(0);
    assert_eq!(chooser.rate(), None);
    chooser.hint(125_000);
    assert!(matches!(chooser.best(), Method::Zstd(9..)));
    chooser.handed_over(100_000, 30_000, Duration::from_millis(100), Duration::from_millis(90));
    chooser.hint(1);
    assert!(chooser.rate() > Some(125_000));
}

#[test]
fn filling_the_queues_is_no_measurement() {
    let mut chooser = Chooser::new(Choice::Auto);
    chooser.hint(125_000);
    for _ in 0..16 {
        chooser.handed_over(131_072, 30_000, Duration::from_millis(60), Duration::ZERO);
    }
    assert_eq!(chooser.rate(), Some(125_000));
    chooser.paused();
    chooser.handed_over(131_072, 30_000, Duration::from_millis(60), Duration::ZERO);
    assert_eq!(chooser.rate(), Some(125_000));
    for _ in 0..16 {
        chooser.handed_over(131_072, 90_000, Duration::from_millis(60), Duration::ZERO);
    }
    assert!(chooser.rate() > Some(125_000));
}

#[test]
fn what_was_typed_is_done() {
    let noise: Vec<u8> =
        (0u32..100_000).flat_map(|n| n.wrapping_mul(2_654_435_761).rotate_left(n % 31).to_le_bytes()).collect();
    for method in [Method::None, Method::Lz4, Method::Zstd(7)] {
        let mut chooser = Chooser::new(Choice::Always(method));
        chooser.hint(1);
        assert_eq!(chooser.method(&noise), method);
    }
    assert_eq!(Chooser::new(Choice::Auto).method(&noise), Method::None);
    assert_ne!(Chooser::new(Choice::Auto).method(&b"text ".repeat(1000)), Method::None);
}

#[test]
fn a_clock_that_stands_changes_no_time() {
    let mut chooser = Chooser::new(Choice::Auto);
    let before: Vec<f64> = (0..LADDER.len()).map(|place| chooser.seconds(place)).collect();
    for _ in 0..50 {
        chooser.packed(Method::Zstd(9), 131_072, 30_000, Duration::ZERO);
    }
    assert_eq!(before, (0..LADDER.len()).map(|place| chooser.seconds(place)).collect::<Vec<_>>());
    assert!((chooser.share(5) / (30_000.0 / 131_072.0) - 1.0).abs() < 0.01);
}
