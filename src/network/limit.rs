//! Limits of rate: so many bytes, or chunks, a second, and a bounded burst after a pause.
//!
//! Invariant: over any time, no more goes than the burst, the rate times that time, and one item; also when an item is larger than the
//! whole burst: what an item costs beyond the burst is owed, and nothing else goes until it is paid (governor by itself refuses such an
//! item for ever, and a caller who takes that for leave is not limited at all). What is charged is never refused, so probes and other
//! things that must go can be counted without being held up. Time is the seam's clock, virtual in simulations.

use super::seam::now;
use governor::clock::{Clock, Reference};
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use std::num::{NonZeroU32, NonZeroU64};
use std::ops::Add;
use std::time::{Duration, Instant};

/// Smallest burst unless another one is asked for, bytes: fewer wake-ups than packets.
const LEAST_BURST: u64 = 32 * 1024;
/// The burst is what passes in this part of a second, if that is more.
const BURST_SHARE: u64 = 20;
/// No burst is smaller than what passes in this part of a second: timers tick in milliseconds, and what cannot be saved up between two
/// ticks would be lost.
const TICKS: u64 = 100;
/// Cells a second at most: governor counts whole nanoseconds for each.
const MOST_CELLS: u64 = 1_000_000;

/// A rate in bytes per second, and the burst, in bytes, that may follow a pause.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bandwidth {
    /// Bytes per second.
    pub rate: NonZeroU64,
    /// Bytes that may go at once, at least what passes in 10 ms; `None`: 32 KiB or what passes in 50 ms, whichever is more.
    pub burst: Option<NonZeroU64>,
}

impl Bandwidth {
    /// The burst in bytes.
    pub fn burst(self) -> NonZeroU64 {
        let usual = (self.rate.get() / BURST_SHARE).max(LEAST_BURST);
        self.burst.unwrap_or(NonZeroU64::new(usual).expect("it is at least 32 KiB"))
    }
}

/// The seam's clock in governor's terms.
#[derive(Clone, Copy, Debug, Default)]
struct SeamClock;

/// A moment of that clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Moment(Instant);

impl Add<Nanos> for Moment {
    type Output = Moment;
    fn add(self, span: Nanos) -> Moment {
        Moment(self.0 + Duration::from(span))
    }
}

impl Reference for Moment {
    fn duration_since(&self, earlier: Self) -> Nanos {
        self.0.saturating_duration_since(earlier.0).into()
    }

    fn saturating_sub(&self, span: Nanos) -> Self {
        self.0.checked_sub(span.into()).map_or(*self, Moment)
    }
}

impl Clock for SeamClock {
    type Instant = Moment;
    fn now(&self) -> Moment {
        Moment(now())
    }
}

/// Holds to a rate. See the module.
#[derive(Debug)]
pub struct Limiter {
    cells: RateLimiter<NotKeyed, InMemoryState, SeamClock, NoOpMiddleware<Moment>>,
    /// What one of governor's cells stands for.
    unit: u64,
    /// The burst in cells.
    burst: u32,
    /// Charged and not yet paid for.
    owed: u64,
}

impl Limiter {
    /// A limiter that has its whole burst to give.
    pub fn new(bandwidth: Bandwidth) -> Self {
        Self::with(bandwidth.rate, bandwidth.burst())
    }

    /// At most `rate` items a second, one after the other as far as timers can tell.
    pub fn items(rate: NonZeroU32) -> Self {
        Self::with(rate.into(), NonZeroU64::MIN)
    }

    fn with(rate: NonZeroU64, burst: NonZeroU64) -> Self {
        let unit = rate.get().div_ceil(MOST_CELLS);
        let period = u128::from(unit) * 1_000_000_000 / u128::from(rate.get());
        let burst = burst.get().max(rate.get() / TICKS);
        let burst = u32::try_from(burst / unit).unwrap_or(u32::MAX).max(1);
        // Between a microsecond, with as many cells as there can be, and a second.
        let quota = Quota::with_period(Duration::from_nanos(period as u64)).expect("no period is nothing");
        let quota = quota.allow_burst(NonZeroU32::new(burst).expect("it is at least 1"));
        Self { cells: RateLimiter::direct_with_clock(quota, SeamClock), unit, burst, owed: 0 }
    }

    /// Takes the burst away: a limiter that replaces another one in the middle of things must not give a second one.
    pub fn without_burst(mut self) -> Self {
        self.pay(self.burst);
        self
    }

    /// Counts `cost` bytes or items, whatever it may be.
    pub fn charge(&mut self, cost: u64) {
        self.owed = self.owed.saturating_add(cost);
    }

    /// Whether everything charged is paid for; else when to ask again.
    pub fn ready(&mut self) -> Result<(), Instant> {
        while self.owed >= self.unit {
            let cells = u32::try_from(self.owed / self.unit).unwrap_or(u32::MAX).min(self.burst);
            if let Some(at) = self.pay(cells) {
                return Err(at);
            }
            self.owed -= u64::from(cells) * self.unit;
        }
        Ok(())
    }

    /// Pays for that many cells, at most a burst; if they are not there yet, when they will be.
    fn pay(&mut self, cells: u32) -> Option<Instant> {
        let cells = NonZeroU32::new(cells)?;
        let paid = self.cells.check_n(cells).expect("never more than the burst is paid at once");
        paid.err().map(|until| until.earliest_possible().0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bandwidth(rate: u64, burst: Option<u64>) -> Bandwidth {
        Bandwidth { rate: NonZeroU64::new(rate).unwrap(), burst: burst.and_then(NonZeroU64::new) }
    }

    /// Bytes that go within `span` when there is always an item of `item` bytes to send.
    async fn passes(mut limiter: Limiter, item: u64, span: Duration) -> u64 {
        let end = now() + span;
        let mut passed = 0;
        loop {
            match limiter.ready() {
                Ok(()) => {
                    passed += item;
                    limiter.charge(item);
                }
                Err(at) if at > end => return passed,
                Err(at) => tokio::time::sleep_until(at.into()).await,
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_rate_holds_from_modems_to_data_centres() {
        for rate in [300, 6_000, 512_000, 1_234_567, 70_000_000, 1_250_000_000, 100_000_000_000] {
            let item = (rate / 100).clamp(1200, 1_000_000_000);
            let limiter = Limiter::new(bandwidth(rate, None)).without_burst();
            let seconds = if rate < 10_000 { 1000 } else { 10 };
            let passed = passes(limiter, item, Duration::from_secs(seconds)).await as f64;
            let expected = (rate * seconds) as f64;
            assert!((passed - expected).abs() <= 0.002 * expected + item as f64, "{rate}: {passed} {expected}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_burst_goes_at_once_and_no_more() {
        let limiter = Limiter::new(bandwidth(10_000, Some(50_000)));
        let passed = passes(limiter, 1000, Duration::from_millis(1)).await;
        assert!((50_000..=52_000).contains(&passed), "{passed}");
        // After a pause as well, and only once.
        let mut limiter = Limiter::new(bandwidth(10_000, Some(50_000)));
        limiter.charge(50_000);
        assert!(limiter.ready().is_ok());
        tokio::time::sleep(Duration::from_secs(1000)).await;
        let passed = passes(limiter, 1000, Duration::from_secs(10)).await;
        assert!((150_000..=152_000).contains(&passed), "{passed}");
        assert_eq!(bandwidth(500_000, None).burst().get(), 32 * 1024);
        assert_eq!(bandwidth(10_000_000, None).burst().get(), 500_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_larger_than_the_burst_is_held_to_the_rate_all_the_same() {
        for burst in [1, 100, 1199] {
            let limiter = Limiter::new(bandwidth(10_000, Some(burst)));
            let passed = passes(limiter, 1200, Duration::from_secs(100)).await;
            assert!((998_000..=1_003_000).contains(&passed), "{burst}: {passed}");
        }
        let limiter = Limiter::new(bandwidth(1000, Some(1)));
        let passed = passes(limiter, 1_000_000, Duration::from_secs(9_999)).await;
        assert_eq!(passed, 10_000_000);
    }

    #[tokio::test(start_paused = true)]
    async fn what_must_go_is_counted() {
        let mut limiter = Limiter::new(bandwidth(1000, Some(1000)));
        limiter.charge(1000);
        limiter.charge(2000);
        assert_eq!(limiter.ready(), Err(now() + Duration::from_secs(1)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(limiter.ready(), Err(now() + Duration::from_secs(1)));
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!(limiter.ready(), Ok(()));
    }

    #[tokio::test(start_paused = true)]
    async fn items_go_one_by_one() {
        let limiter = Limiter::items(NonZeroU32::new(4).unwrap());
        assert_eq!(passes(limiter, 1, Duration::from_secs(10)).await, 42);
    }
}
