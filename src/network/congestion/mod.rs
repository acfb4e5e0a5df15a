//! Congestion control: the `dbw` controller as QUIC sees it, and the handle by which the application steers and reads it.
//!
//! Invariant: one [`DbwFactory`] belongs to one connection, and its [`Pilot`] always speaks for the path that was built last.
//! This module turns instants into seconds, keeps outage grants, and wakes the application; what the window should be is
//! decided by `dbw`, which knows no QUIC. It hears acknowledgements from the connection and counts of the receiver from the application.

mod compete;
mod cubic;
mod dbw;
mod delay;
mod flight;
mod policer;
mod reports;
mod rounds;
#[cfg(test)]
mod scenarios;
mod startup;
#[cfg(test)]
mod testlink;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use quinn::congestion::{Controller, ControllerFactory};
use quinn_proto::RttEstimator;
use tokio::sync::Notify;

use crate::link::Link;
use crate::transfer::Report;

use dbw::Law;
pub use dbw::Phase;

/// Most bytes of a grant, however long it had no effect.
const MAX_GRANT: u64 = 4 << 20;

/// Seconds since the path began.
type Seconds = f64;

/// What a controller knows at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// Congestion window, bytes, without any grant.
    pub window: u64,
    /// Bytes in flight.
    pub in_flight: u64,
    /// Round trip without queue, once measured.
    pub min_rtt: Option<Duration>,
    /// Queue that stood at the bottleneck in the last round.
    pub queue_delay: Duration,
    /// Bytes per second that the path takes from us before its random loss; 0 while unknown.
    pub capacity: u64,
    /// What the controller is doing.
    pub phase: Phase,
}

impl Default for Snapshot {
    fn default() -> Self {
        Self { window: 0, in_flight: 0, min_rtt: None, queue_delay: Duration::ZERO, capacity: 0, phase: Phase::StartUp }
    }
}

/// The application's handle on the controller of one connection.
#[derive(Debug, Default)]
pub struct Pilot {
    /// Bytes of grants that may still be sent beyond what was in flight.
    grant: AtomicU64,
    /// What `grant` was when it was last given.
    granted: AtomicU64,
    /// The application bounds what is in flight by itself.
    first_flight: AtomicBool,
    mtu: AtomicU64,
    /// What the user has said of the link.
    link: Option<Link>,
    sent: Notify,
    /// The law of the path that was built last, and when that was.
    path: Mutex<Option<Path>>,
}

/// A path and what rules it.
#[derive(Debug, Clone)]
struct Path {
    epoch: Instant,
    law: Arc<Mutex<Law>>,
    last_sent: Arc<Mutex<Option<Instant>>>,
}

impl Path {
    fn seconds(&self, at: Instant) -> Seconds {
        at.saturating_duration_since(self.epoch).as_secs_f64()
    }

    fn law(&self) -> MutexGuard<'_, Law> {
        locked(&self.law)
    }
}

/// What a panic elsewhere left in a law is as good as any window; its own arithmetic cannot panic.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Pilot {
    /// What the user has said of the link.
    pub fn link(&self) -> Option<Link> {
        self.link
    }

    /// A measured round trip or, on a slow link, the time an answer may take: what small packets were measured to take says nothing of it.
    pub fn trip(&self, rtt: Duration) -> Duration {
        rtt.max(self.link.map_or(Duration::ZERO, Link::answer))
    }

    /// Gives the receiver's estimate of the path's rate, from the spacing of the first back-to-back burst.
    pub fn train_hint(&self, bytes_per_second: u64) {
        if let Some(path) = &*locked(&self.path) {
            path.law().hint(bytes_per_second as f64);
        }
    }

    /// Gives what the receiver has counted so far, and when the newest packet in it had left, if known.
    pub fn report(&self, now: Instant, report: Report, left: Option<Instant>) {
        if let Some(path) = &*locked(&self.path) {
            path.law().on_report(path.seconds(now), report, left.map(|left| path.seconds(left)));
        }
    }

    /// Bytes per second to send at, where the window alone does not say: of packets as the connection counts them.
    pub fn pace(&self, now: Instant) -> Option<f64> {
        locked(&self.path).as_ref().and_then(|path| path.law().pace(path.seconds(now)))
    }

    /// When something was last sent.
    pub fn last_sent(&self) -> Option<Instant> {
        locked(&self.path).as_ref().and_then(|path| *locked(&path.last_sent))
    }

    /// Lets `packets` full-sized packets go beyond what is in flight, whatever the window: the probe of an outage. Replaces an
    /// earlier grant that was used in part; one that had no effect at all is added to, because quinn's own count of what is in
    /// flight, which decides, can be above ours after long losses.
    pub fn grant(&self, packets: u32) {
        let bytes = u64::from(packets) * self.mtu.load(Ordering::Acquire);
        let unused = self.grant.load(Ordering::Acquire);
        let idle = unused > 0 && unused == self.granted.load(Ordering::Acquire);
        let grant = if idle { (unused + bytes).min(MAX_GRANT) } else { bytes };
        self.granted.store(grant, Ordering::Release);
        self.grant.store(grant, Ordering::Release);
    }

    /// Says whether the application bounds the first flight by itself. Then the window is told three times as large, because quinn
    /// also paces by it: at 600 ms of round trip the first 40 packets would take half a round trip to leave.
    pub fn first_flight(&self, bounded: bool) {
        self.first_flight.store(bounded, Ordering::Release);
    }

    /// Waits until something was sent since the last call: then there is room for the next datagram. One task may wait at a
    /// time.
    pub async fn sent(&self) {
        self.sent.notified().await;
    }

    /// What the controller knows.
    pub fn snapshot(&self) -> Snapshot {
        let path = locked(&self.path);
        let Some(path) = &*path else { return Snapshot::default() };
        let law = path.law();
        Snapshot {
            window: law.window() as u64,
            in_flight: law.in_flight() as u64,
            min_rtt: law.min_rtt().map(Duration::from_secs_f64),
            queue_delay: Duration::from_secs_f64(law.queue_delay()),
            capacity: law.capacity() as u64,
            phase: law.phase(),
        }
    }
}

/// Builds the controllers of one connection.
#[derive(Debug, Clone)]
pub struct DbwFactory {
    pilot: Arc<Pilot>,
}

impl DbwFactory {
    /// A factory for one connection, and the handle to what it will build.
    #[allow(clippy::new_ret_no_self)]
    pub fn new() -> (Self, Arc<Pilot>) {
        Self::over(None)
    }

    /// The same for a connection over a link of which this was said.
    pub fn over(link: Option<Link>) -> (Self, Arc<Pilot>) {
        let pilot = Arc::new(Pilot { link, ..Pilot::default() });
        let factory = Self { pilot: Arc::clone(&pilot) };
        (factory, pilot)
    }
}

impl ControllerFactory for DbwFactory {
    fn build(self: Arc<Self>, now: Instant, current_mtu: u16) -> Box<dyn Controller> {
        Box::new(Dbw::new(Arc::clone(&self.pilot), now, current_mtu))
    }
}

/// The delay-bounded window as a QUIC congestion controller. Copies of it rule the same path.
#[derive(Debug, Clone)]
pub struct Dbw {
    path: Path,
    pilot: Arc<Pilot>,
}

impl Dbw {
    fn new(pilot: Arc<Pilot>, now: Instant, mtu: u16) -> Self {
        let mss = f64::from(BASE_MTU);
        let law = pilot.link.map_or_else(|| Law::new(mss), |link| Law::known(mss, link.rate().into()));
        let law = Arc::new(Mutex::new(law));
        let path = Path { epoch: now, law, last_sent: Arc::default() };
        pilot.mtu.store(u64::from(mtu), Ordering::Release);
        *locked(&pilot.path) = Some(path.clone());
        Self { path, pilot }
    }
}

impl Controller for Dbw {
    fn on_sent(&mut self, now: Instant, bytes: u64, _last_packet_number: u64) {
        self.path.law().on_sent(self.path.seconds(now), bytes as f64);
        *locked(&self.path.last_sent) = Some(now);
        let used = |left: u64| (left > 0).then(|| left.saturating_sub(bytes));
        // Fails only when there is no grant, which is as well.
        let _ = self.pilot.grant.fetch_update(Ordering::AcqRel, Ordering::Acquire, used);
        self.pilot.sent.notify_one();
    }

    fn on_ack(&mut self, now: Instant, sent: Instant, bytes: u64, _app_limited: bool, _rtt: &RttEstimator) {
        self.path.law().on_ack(self.path.seconds(now), self.path.seconds(sent), bytes as f64);
    }

    fn on_end_acks(&mut self, now: Instant, in_flight: u64, _app_limited: bool, _largest: Option<u64>) {
        // The path is back: the window counts again.
        self.pilot.grant.store(0, Ordering::Release);
        self.path.law().on_frame(self.path.seconds(now), in_flight as f64);
    }

    fn on_congestion_event(&mut self, now: Instant, sent: Instant, _persistent: bool, lost_bytes: u64) {
        // Zero bytes is how a congestion mark is told. Persistent congestion is an outage, and says nothing about the rate.
        if lost_bytes == 0 {
            self.path.law().on_mark();
        } else {
            self.path.law().on_lost(self.path.seconds(now), self.path.seconds(sent), lost_bytes as f64);
        }
    }

    fn on_mtu_update(&mut self, new_mtu: u16) {
        self.pilot.mtu.store(u64::from(new_mtu), Ordering::Release);
    }

    fn window(&self) -> u64 {
        let law = self.path.law();
        let mut window = law.window() as u64;
        if self.pilot.first_flight.load(Ordering::Acquire) {
            window = window.max(3 * self.initial_window());
        }
        let grant = self.pilot.grant.load(Ordering::Acquire);
        if grant == 0 {
            return window;
        }
        // One more byte, because a packet has to end below the window, not at it.
        window.max(law.in_flight() as u64 + grant + 1)
    }

    fn clone_box(&self) -> Box<dyn Controller> {
        Box::new(self.clone())
    }

    fn initial_window(&self) -> u64 {
        (startup::INITIAL_PACKETS * f64::from(BASE_MTU)) as u64
    }

    fn into_any(self: Box<Self>) -> Box<dyn Any> {
        self
    }
}

/// Packet size that the initial window is counted in, bytes (RFC 9000 section 14.1).
const BASE_MTU: u16 = 1200;

#[cfg(test)]
mod tests {
    use super::*;

    const MTU: u64 = 1200;

    struct Bench {
        dbw: Box<Dbw>,
        pilot: Arc<Pilot>,
        start: Instant,
        in_flight: u64,
    }

    impl Bench {
        fn new() -> Self {
            let (factory, pilot) = DbwFactory::new();
            // Any instant will do: only differences count.
            let start = tokio::time::Instant::now().into_std();
            let dbw = Arc::new(factory).build(start, BASE_MTU).into_any();
            Self { dbw: dbw.downcast().expect("the factory builds this type"), pilot, start, in_flight: 0 }
        }

        fn at(&self, millis: u64) -> Instant {
            self.start + Duration::from_millis(millis)
        }

        /// Sends while the connection would (a packet has to end below the window); the number of packets sent.
        fn fill(&mut self, millis: u64) -> u64 {
            let mut packets = 0;
            while self.in_flight + MTU < self.dbw.window() && packets < 100_000 {
                self.in_flight += MTU;
                packets += 1;
                self.dbw.on_sent(self.at(millis), MTU, packets);
            }
            packets
        }

        /// Acknowledges `packets` that left at `sent`.
        fn answer(&mut self, millis: u64, sent: u64, packets: u64) {
            for _ in 0..packets {
                self.in_flight -= MTU;
                let (now, sent) = (self.at(millis), self.at(sent));
                self.dbw.path.law().on_ack(self.dbw.path.seconds(now), self.dbw.path.seconds(sent), MTU as f64);
            }
            self.dbw.on_end_acks(self.at(millis), self.in_flight, false, None);
        }
    }

    #[test]
    fn the_first_flight_is_forty_packets() {
        let mut bench = Bench::new();
        assert_eq!(bench.dbw.initial_window(), 40 * MTU);
        assert_eq!(bench.dbw.window(), 40 * MTU);
        assert_eq!(bench.fill(0), 39);
    }

    #[test]
    fn a_grant_lets_exactly_its_packets_through() {
        let mut bench = Bench::new();
        bench.fill(0);
        for round in 1..=5 {
            bench.pilot.grant(3);
            assert_eq!(bench.fill(30_000 * round), 3);
            assert_eq!(bench.fill(30_000 * round), 0);
        }
        assert_eq!(bench.pilot.snapshot().in_flight, bench.in_flight);
    }

    #[test]
    fn a_grant_without_effect_grows() {
        let (factory, pilot) = DbwFactory::new();
        let controller = Arc::new(factory).build(tokio::time::Instant::now().into_std(), 1200);
        let window = controller.window();
        for _ in 0..100 {
            pilot.grant(3);
        }
        assert_eq!(controller.window(), 100 * 3 * 1200 + 1);
        assert!(controller.window() > window);
    }

    #[test]
    fn a_grant_holds_above_a_window_that_fell_below_the_flight() {
        let mut bench = Bench::new();
        bench.fill(0);
        bench.answer(100, 0, 39);
        bench.fill(100);
        let before = bench.dbw.window();
        bench.dbw.path.law().hint(1000.0);
        bench.answer(200, 100, 1);
        assert!(bench.dbw.window() < before);
        assert!(bench.dbw.window() < bench.in_flight);
        bench.pilot.grant(4);
        assert_eq!(bench.fill(5000), 4);
    }

    #[test]
    fn persistent_congestion_and_losses_leave_the_window_alone() {
        let mut bench = Bench::new();
        bench.fill(0);
        bench.answer(100, 0, 39);
        let sent = bench.fill(100);
        let window = bench.dbw.window();
        assert!(window > 40 * MTU);
        let lost = (sent - 1) * MTU;
        bench.dbw.on_congestion_event(bench.at(40_000), bench.at(100), true, lost);
        bench.in_flight -= lost;
        assert_eq!(bench.dbw.window(), window);
        assert_eq!(bench.pilot.snapshot().in_flight, bench.in_flight);
        assert!(bench.fill(40_000) > 38);
    }

    #[test]
    fn a_hint_opens_the_window_at_once_and_no_further_than_the_cap() {
        let opened = |hint: u64| {
            let mut bench = Bench::new();
            bench.fill(0);
            bench.pilot.train_hint(hint);
            bench.answer(100, 0, 10);
            bench.dbw.window()
        };
        // 0.8 * 1.25 MB/s * 0.1 s, and what the ten packets add.
        assert!((100_000..112_000).contains(&opened(1_250_000)), "{}", opened(1_250_000));
        assert!((500_000..=512_000).contains(&opened(75_000_000)), "{}", opened(75_000_000));
    }

    #[test]
    fn a_snapshot_tells_what_was_measured() {
        let mut bench = Bench::new();
        let first = bench.pilot.snapshot();
        assert_eq!((first.window, first.min_rtt, first.phase), (40 * MTU, None, Phase::StartUp));
        bench.fill(0);
        bench.answer(80, 0, 39);
        let later = bench.pilot.snapshot();
        assert_eq!(later.min_rtt, Some(Duration::from_millis(80)));
        assert_eq!(later.window, bench.dbw.window());
        assert!(later.window > first.window);
    }

    #[tokio::test]
    async fn sending_wakes_the_application() {
        let mut bench = Bench::new();
        let pilot = Arc::clone(&bench.pilot);
        let waiting = tokio::spawn(async move { pilot.sent().await });
        bench.fill(0);
        waiting.await.expect("the waiting task ends");
    }
}
