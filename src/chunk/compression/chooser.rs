//! Which method brings a chunk across soonest: ratio is time on a slow link, and on a fast one compressing is.
//!
//! Preparing chunks and sending them run side by side, so a byte of a file takes `max(preparing, compressed size / rate of the link)`.
//! Both are measured on the transfer itself: what a method costs and saves by each chunk packed with it, the rate of the link by how
//! fast it takes chunks while it is the one that is waited for. What was not tried yet is judged by how typical methods compare, and
//! neighbours of the best are tried now and then. Invariants: of methods that do equally well the cheapest is taken; a chunk that does
//! not look compressible costs a look at a sixteenth of it. No IO, no clock: times are arguments.

use super::{Choice, Method, Promise, promise};
use std::time::Duration;

/// A method, the seconds it takes for a byte, and the share of its bytes that is left of a typical text.
struct Rung(Method, f64, f64);

/// The methods that are chosen from, cheapest first. The figures are of source texts in chunks of 128 KiB on a machine of 2024; only
/// their relations matter for long, because every chunk corrects them.
const LADDER: [Rung; 9] = [
    Rung(Method::Lz4, 3e-9, 0.400),
    Rung(Method::Zstd(1), 6e-9, 0.295),
    Rung(Method::Zstd(3), 7e-9, 0.278),
    Rung(Method::Zstd(5), 20e-9, 0.261),
    Rung(Method::Zstd(7), 32e-9, 0.251),
    Rung(Method::Zstd(9), 65e-9, 0.245),
    Rung(Method::Zstd(13), 140e-9, 0.236),
    Rung(Method::Zstd(16), 350e-9, 0.233),
    Rung(Method::Zstd(19), 900e-9, 0.232),
];

/// What is within this of the best does as well.
const EQUAL: f64 = 1.01;
/// Every how many chunks another method is tried, and by how much it may look worse.
const TRY_EVERY: u32 = 16;
const TRY_WITHIN: f64 = 1.25;
/// Weight of a measurement in what is known of all methods, and of its own.
const SHARED: f64 = 0.2;
const OWN: f64 = 0.2;
/// Share of its time that preparation has to wait for the link to be called the faster of the two, and below which it is called the
/// slower. Between them the truth is: what is busy on both sides waits a little for the other now and then.
const WAITS: f64 = 0.25;
const HARDLY: f64 = 0.05;
/// Weight of a look at the rate of a link that is waited for, where most of the time is waiting, and the first step in which the rate is
/// raised if nobody waits.
const SEEN: f64 = 0.8;
const RAISE: f64 = 1.1;
/// A rate that falls to less than this share of itself was raised in vain: the next raise comes after twice as many looks, at most so
/// many.
const IN_VAIN: f64 = 0.8;
const MOST_CAUTION: u32 = 64;
/// A look at the rate of the link takes at least this long.
const LOOK: Duration = Duration::from_millis(20);
/// Bytes that go into the queues between preparation and the link; before they are full nobody waits.
const QUEUES: u64 = 512 * 1024;

/// A first burst tells rates up to this one, bytes per second; beyond it, only that the link is fast: then so many times as fast as it
/// looks is believed, because too little compression is noticed at once and too much only after the queues are full.
const TOLD: u64 = 6_250_000;
const FASTER: f64 = 8.0;

/// What is known of one method: how its logarithms differ from [`LADDER`] beyond what all differ.
#[derive(Clone, Copy, Debug, Default)]
struct Known {
    seconds: f64,
    share: f64,
    times: u32,
}

/// What happened since the last look at the rate of the link.
#[derive(Clone, Copy, Debug, Default)]
struct Look {
    lasted: Duration,
    waited: Duration,
    packing: Duration,
    raw: u64,
    encoded: u64,
}

/// Chooses a [`Method`] for each chunk of a transfer. See the module.
#[derive(Clone, Debug)]
pub struct Chooser {
    choice: Choice,
    known: [Known; LADDER.len()],
    /// What all methods have in common: the machine, and the files.
    common: Known,
    /// Seconds for a byte that preparing takes without packing.
    base: f64,
    /// Bytes per second that the link takes.
    rate: Option<f64>,
    /// By how much `rate` is raised when nobody waits for the link.
    raise: f64,
    /// Looks without waiting before the next raise, and those that were.
    caution: u32,
    unwaited: u32,
    look: Look,
    /// Bytes handed over since the link was last waited for.
    unhindered: u64,
    chosen: u32,
}

impl Chooser {
    /// One that follows `choice`.
    pub fn new(choice: Choice) -> Self {
        Self {
            choice,
            known: [Known::default(); LADDER.len()],
            common: Known::default(),
            base: 0.0,
            rate: None,
            raise: RAISE,
            caution: 1,
            unwaited: 0,
            look: Look::default(),
            unhindered: 0,
            chosen: 0,
        }
    }

    /// The method for `chunk`.
    pub fn method(&mut self, chunk: &[u8]) -> Method {
        match self.choice {
            Choice::Always(method) => method,
            Choice::Auto => match (promise(chunk), self.best()) {
                (Promise::Nothing, _) => Method::None,
                (Promise::Much, Method::None) => Method::Lz4,
                (_, best) => best,
            },
        }
    }

    /// Takes note that a chunk of `raw` bytes took `took` to become `packed` bytes. A time of nothing (a clock that stands) is no
    /// measurement.
    pub fn packed(&mut self, method: Method, raw: usize, packed: usize, took: Duration) {
        self.look.packing += took;
        let Some(place) = LADDER.iter().position(|rung| rung.0 == method).filter(|_| raw > 0) else { return };
        let first = self.common.times == 0;
        let (shared, own) = if first { (1.0, 0.0) } else { (SHARED, OWN) };
        if !took.is_zero() {
            let error = (took.as_secs_f64() / raw as f64 / self.seconds(place)).ln().clamp(-3.0, 3.0);
            self.common.seconds += shared * error;
            self.known[place].seconds += own * error;
        }
        let error = (packed.max(1) as f64 / raw as f64 / self.share(place)).ln().clamp(-3.0, 3.0);
        self.common.share += shared * error;
        self.known[place].share += own * error;
        self.common.times += 1;
        self.known[place].times += 1;
    }

    /// Takes note that a chunk of `raw` file bytes was handed to the link as `encoded` bytes: `lasted` after the one before, of which
    /// `waited` was for the link to take it.
    pub fn handed_over(&mut self, raw: u64, encoded: u64, lasted: Duration, waited: Duration) {
        let look = &mut self.look;
        look.lasted += lasted;
        look.waited += waited;
        look.raw += raw;
        look.encoded += encoded;
        self.unhindered += encoded;
        if !waited.is_zero() {
            self.unhindered = 0;
        }
        if look.lasted < LOOK {
            return;
        }
        let look = std::mem::take(look);
        let lasted = look.lasted.as_secs_f64();
        let seen = look.encoded as f64 / lasted;
        let busy = look.lasted.saturating_sub(look.waited + look.packing).as_secs_f64();
        let base = busy / look.raw.max(1) as f64;
        self.base += 0.3 * (base - self.base);
        let before = self.rate;
        let waits = look.waited.as_secs_f64() / lasted;
        if waits > HARDLY {
            let weight = SEEN * (waits / WAITS).min(1.0).powi(2);
            self.rate = Some(match self.rate {
                // It took that much, so it can.
                Some(rate) if seen > rate => {
                    self.caution = 1;
                    rate + SEEN * (seen - rate)
                }
                Some(rate) => rate + weight * (seen - rate),
                None => seen,
            });
            if self.rate < before.map(|rate| IN_VAIN * rate) {
                self.caution = (self.caution * 2).min(MOST_CAUTION);
            }
            self.raise = RAISE;
            self.unwaited = 0;
        } else if self.unhindered > QUEUES {
            // The link is faster than this, nobody knows by how much.
            self.unwaited += 1;
            if self.unwaited >= self.caution || self.rate.is_none_or(|rate| seen > rate) {
                self.unwaited = 0;
                self.rate = Some(self.rate.map_or(seen, |rate| rate.max(seen) * self.raise));
                self.raise = (self.raise * 1.2).min(2.0);
            }
        }
    }

    /// Nothing was to be prepared for a while: what comes next says nothing of the link until the queues are full again.
    pub fn paused(&mut self) {
        self.look = Look::default();
        self.unhindered = 0;
    }

    /// What the link is thought to take, bytes per second; until a better measurement.
    pub fn hint(&mut self, rate: u64) {
        if rate > 0 && self.rate.is_none() {
            self.rate = Some(rate as f64 * if rate > TOLD { FASTER } else { 1.0 });
        }
    }

    /// Bytes per second that the link takes, as far as is known.
    pub fn rate(&self) -> Option<u64> {
        self.rate.map(|rate| rate as u64)
    }

    fn seconds(&self, place: usize) -> f64 {
        LADDER[place].1 * (self.common.seconds + self.known[place].seconds).exp()
    }

    fn share(&self, place: usize) -> f64 {
        LADDER[place].2 * (self.common.share + self.known[place].share).exp()
    }

    /// Seconds that a byte takes by the method at `place`, `None` for no compression.
    fn cost(&self, place: Option<usize>, rate: f64) -> f64 {
        let (seconds, share) = place.map_or((0.0, 1.0), |place| (self.seconds(place), self.share(place).min(1.0)));
        (self.base + seconds).max(share / rate)
    }

    fn best(&mut self) -> Method {
        // Nothing is known of the link: the middle of what there is.
        let Some(rate) = self.rate else { return Method::Zstd(3) };
        self.chosen += 1;
        let places = || std::iter::once(None).chain((0..LADDER.len()).map(Some));
        let least = places().map(|place| self.cost(place, rate)).fold(f64::INFINITY, f64::min);
        let best = places().find(|place| self.cost(*place, rate) <= EQUAL * least).flatten();
        let tried = (self.chosen.is_multiple_of(TRY_EVERY)).then(|| {
            let up = self.chosen.is_multiple_of(2 * TRY_EVERY);
            match (best, up) {
                (None, _) => Some(0),
                (Some(place), true) => Some(place + 1),
                (Some(place), false) => place.checked_sub(1),
            }
        });
        let tried = tried
            .flatten()
            .filter(|place| *place < LADDER.len() && self.cost(Some(*place), rate) <= TRY_WITHIN * least);
        tried.or(best).map_or(Method::None, |place| LADDER[place].0)
    }
}

#[cfg(test)]
mod tests;
