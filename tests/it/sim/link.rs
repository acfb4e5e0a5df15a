//! One direction of a path: decides what becomes of each packet.
//!
//! Pure: time and size go in, a fate comes out. Every packet takes the same number of random draws whatever its fate, so turning
//! one knob leaves the pattern of the other faults as it was. Bursts change state in time and not per packet, or a path probed
//! once a minute would stay bad for hours. Moving the bytes is left to the caller (`net`, or the `lossy_link` example).

use super::profile::Profile;
use super::rng::Rng;
use std::fmt;
use std::ops::AddAssign;
use std::time::Duration;

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// Larger than the link's MTU.
    OverMtu,
    /// The queue before the transmitter was too long.
    TailDropped,
    /// It left the transmitter during an outage.
    OutageDropped,
    /// Lost by itself.
    Lost,
    /// Lost in a burst.
    BurstLost,
    /// It arrives.
    Delivered(Delivery),
}

/// How a packet arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Delivery {
    /// When, on the clock of the caller.
    pub at: Duration,
    /// When it arrives for the second time, if it does.
    pub copy_at: Option<Duration>,
    /// Flip this bit, counted modulo the packet's bits.
    pub flip: Option<u64>,
    /// Set the mark of congestion.
    pub ecn_marked: bool,
    /// It overtook a packet sent before it.
    pub reordered: bool,
}

impl Delivery {
    /// Does to the payload what the link did to it.
    pub(crate) fn damage(&self, payload: &mut [u8]) {
        let bits = payload.len() as u64 * 8;
        if let Some(bit) = self.flip.and_then(|flip| flip.checked_rem(bits)) {
            payload[(bit / 8) as usize] ^= 1 << (bit % 8);
        }
    }
}

/// Counters of one link, or of several added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Stats {
    /// Packets offered to the link.
    pub packets: u64,
    /// Bytes of them, IP and UDP headers included.
    pub bytes: u64,
    /// Packets that arrived, each counted once.
    pub delivered: u64,
    /// Lost independently of each other.
    pub lost: u64,
    /// Lost in bursts.
    pub burst_lost: u64,
    /// Dropped at the full queue.
    pub tail_dropped: u64,
    /// Arrived a second time.
    pub duplicated: u64,
    /// Arrived with a flipped bit.
    pub corrupted: u64,
    /// Arrived before a packet that was sent earlier.
    pub reordered: u64,
    /// Dropped in outages.
    pub outage_dropped: u64,
    /// Dropped for their size.
    pub over_mtu: u64,
    /// Marked for congestion.
    pub ecn_marked: u64,
    /// Of the delivered, those to an address where nobody listens.
    pub unreachable: u64,
}

impl Stats {
    /// All counters with their words, in a fixed order.
    pub(crate) fn words(&self) -> [(&'static str, u64); 13] {
        [
            ("packets", self.packets),
            ("bytes", self.bytes),
            ("delivered", self.delivered),
            ("lost", self.lost),
            ("burst-lost", self.burst_lost),
            ("tail-dropped", self.tail_dropped),
            ("duplicated", self.duplicated),
            ("corrupted", self.corrupted),
            ("reordered", self.reordered),
            ("outage-dropped", self.outage_dropped),
            ("over-mtu", self.over_mtu),
            ("ecn-marked", self.ecn_marked),
            ("unreachable", self.unreachable),
        ]
    }

    fn count(&mut self, size: usize, fate: &Fate) {
        self.packets += 1;
        self.bytes += size as u64;
        match fate {
            Fate::OverMtu => self.over_mtu += 1,
            Fate::TailDropped => self.tail_dropped += 1,
            Fate::OutageDropped => self.outage_dropped += 1,
            Fate::Lost => self.lost += 1,
            Fate::BurstLost => self.burst_lost += 1,
            Fate::Delivered(delivery) => {
                self.delivered += 1;
                self.duplicated += u64::from(delivery.copy_at.is_some());
                self.corrupted += u64::from(delivery.flip.is_some());
                self.reordered += u64::from(delivery.reordered);
                self.ecn_marked += u64::from(delivery.ecn_marked);
            }
        }
    }
}

impl AddAssign for Stats {
    fn add_assign(&mut self, other: Stats) {
        self.packets += other.packets;
        self.bytes += other.bytes;
        self.delivered += other.delivered;
        self.lost += other.lost;
        self.burst_lost += other.burst_lost;
        self.tail_dropped += other.tail_dropped;
        self.duplicated += other.duplicated;
        self.corrupted += other.corrupted;
        self.reordered += other.reordered;
        self.outage_dropped += other.outage_dropped;
        self.over_mtu += other.over_mtu;
        self.ecn_marked += other.ecn_marked;
        self.unreachable += other.unreachable;
    }
}

/// `packets=10 bytes=12280 …`: the first six always, the others where they are not 0.
impl fmt::Display for Stats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (word, n)) in self.words().into_iter().enumerate().filter(|(i, (_, n))| *i < 6 || *n > 0) {
            write!(f, "{}{word}={n}", if i == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

/// Everything random about one packet.
struct Draws {
    loss: f64,
    state: f64,
    dup: f64,
    corrupt: f64,
    jitter: f64,
    copy: f64,
    bit: u64,
}

impl Draws {
    fn take(rng: &mut Rng) -> Draws {
        Draws {
            loss: rng.unit(),
            state: rng.unit(),
            dup: rng.unit(),
            corrupt: rng.unit(),
            jitter: rng.unit(),
            copy: rng.unit(),
            bit: rng.bits(),
        }
    }
}

/// One direction of a path.
#[derive(Debug)]
pub(crate) struct Link {
    /// May be replaced while packets are under way; they keep the fate they have.
    pub profile: Profile,
    /// What has passed so far.
    pub stats: Stats,
    rng: Rng,
    /// When the transmitter will have sent all that was queued.
    busy: Duration,
    /// The state of the bursts and when it was last looked at.
    bad: bool,
    seen: Option<Duration>,
    /// The latest arrival so far.
    latest: Duration,
}

impl Link {
    /// A link at rest.
    pub(crate) fn new(profile: Profile, rng: Rng) -> Link {
        Link {
            profile,
            stats: Stats::default(),
            rng,
            busy: Duration::ZERO,
            bad: false,
            seen: None,
            latest: Duration::ZERO,
        }
    }

    /// Takes a packet of `size` bytes, headers included, at `now`, which never goes back; `ect`: it can carry the mark of
    /// congestion.
    pub(crate) fn carry(&mut self, now: Duration, size: usize, ect: bool) -> Fate {
        let draws = Draws::take(&mut self.rng);
        let fate = self.decide(now, size, ect, &draws);
        self.stats.count(size, &fate);
        fate
    }

    fn decide(&mut self, now: Duration, size: usize, ect: bool, draws: &Draws) -> Fate {
        if size > self.profile.mtu {
            return Fate::OverMtu;
        }
        let waiting = self.busy.saturating_sub(now);
        if waiting > self.profile.queue {
            return Fate::TailDropped;
        }
        self.busy = self.busy.max(now) + self.profile.time_on_wire(size);
        let sent = self.busy;
        self.step_burst(sent, draws.state);
        if self.profile.is_out(sent) {
            return Fate::OutageDropped;
        }
        let profile = &self.profile;
        if profile.burst.is_zero() {
            if draws.loss < profile.loss {
                return Fate::Lost;
            }
        } else if self.bad {
            return Fate::BurstLost;
        }
        let mut at = sent + profile.delay + profile.jitter.mul_f64(draws.jitter);
        if profile.keep_order {
            at = at.max(self.latest);
        }
        let reordered = at < self.latest;
        self.latest = self.latest.max(at);
        let behind = if profile.keep_order { Duration::ZERO } else { profile.jitter.max(Duration::from_millis(1)) };
        Fate::Delivered(Delivery {
            at,
            copy_at: (draws.dup < profile.dup).then(|| at + behind.mul_f64(draws.copy)),
            flip: (draws.corrupt < profile.corrupt).then_some(draws.bit),
            ecn_marked: ect && profile.ecn_at.is_some_and(|limit| waiting > limit),
            reordered,
        })
    }

    /// Brings the state of the bursts to the time `at` by one draw.
    ///
    /// The Gilbert model in continuous time (Gilbert 1960; Elliott's with losses of 0 and 1): two states with exponential dwell
    /// times, `burst` on average in the bad one, and `loss` of the time spent there. Its exact transition over a time t is
    /// P(bad) = π + (was_bad − π)·exp(−t / (burst·(1 − π))) with π = `loss`.
    fn step_burst(&mut self, at: Duration, draw: f64) {
        let share = self.profile.loss;
        let relaxation = self.profile.burst.as_secs_f64() * (1.0 - share);
        let memory = match self.seen.replace(at) {
            Some(seen) if relaxation > 0.0 => (-at.saturating_sub(seen).as_secs_f64() / relaxation).exp(),
            _ => 0.0,
        };
        let was_bad = if self.bad { 1.0 } else { 0.0 };
        self.bad = draw < share + (was_bad - share) * memory;
    }
}
