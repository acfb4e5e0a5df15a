//! How the senders of one receiver share the link that they have in common.
//!
//! The receiver sees at which rate each of them arrives and which of them have more to send than they may. Of those, the ones of the
//! highest class go as fast as they can; each of the others is limited to its part of what all of them get together, as 50 : 30 : 20
//! between classes and evenly within one, and what one leaves goes to the others (water filling). Whether they have a bottleneck in
//! common cannot be seen, only tried: a limit that makes nobody faster is lifted for a while, so that a slow path of the one never
//! slows down the other. Equal classes are left to congestion control. With a limit of the receiver's own, that is divided and nothing
//! has to be tried. Where very much is lost of what they send, all of them together may be the reason (`flood`).
//!
//! The stripes that may be open, which is memory, are divided here as well. Invariants: whoever is alone, or not kept from anything by the
//! others, is not limited; to all together no more than [`STRIPES`] and [`FIRST_WINDOW`] for each are promised. No IO, no time of its own.

mod flood;
mod trial;

#[cfg(test)]
mod tests;

use super::{FIRST_WINDOW, WINDOW};
use crate::priority::Priority;
use flood::{Flood, Sum};
use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::{Duration, Instant};
use trial::Trial;

/// How often rates are measured.
pub const TICK: Duration = Duration::from_millis(100);
/// Time over which a rate is smoothed.
const SMOOTH: Duration = Duration::from_millis(700);
/// Least that a sender is limited to, in bytes a second: below, it could not even tell that it wants more.
const LEAST: f64 = 8_000.0;
/// The same where all of them flood a path: there may be a hundred on a thin one, and a shard in half a second still tells it.
const LEAST_OF_MANY: f64 = 2_400.0;
/// A limit is left as it is while it changes by less than this share: the sender begins anew to count with each.
const UNCHANGED: f64 = 0.1;
/// Stripes that may be open in all transfers of a receiver together: two alone have all they can use, and many bound the memory.
pub const STRIPES: u32 = 2 * WINDOW;
/// A sender that takes less of what it is allowed wants no more.
const SATISFIED: f64 = 0.75;
/// Room that a sender which takes less than its part is given to take more.
const HEADROOM: f64 = 1.5;

/// What has arrived from a sender since it came, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Bytes of shards.
    pub bytes: u64,
    /// Shards.
    pub shards: u64,
    /// Those whose sender had more to send than it might.
    pub more: u64,
    /// Shards that were sent, as far as the newest that arrived tells.
    pub sent: u64,
}

impl Seen {
    /// Counts a shard.
    pub fn count(&mut self, bytes: usize, more: bool) {
        self.bytes += bytes as u64;
        self.shards += 1;
        self.more += u64::from(more);
    }
}

/// Names a sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowId(u64);

#[derive(Debug)]
struct Flow {
    class: Priority,
    rtt: Duration,
    seen: Seen,
    measured: Option<Instant>,
    /// Bytes per second, of what arrives and of what is sent.
    rate: f64,
    sent: f64,
    /// Stripes that were promised to it and are not done with.
    promised: u32,
    /// Share of its shards that said that there is more, smoothed.
    more: f64,
    allowed: Option<f64>,
}

impl Flow {
    /// Whether it would send more if it might.
    fn is_backlogged(&self) -> bool {
        self.more > 0.5
    }
}

/// The senders of a receiver, and what each may send.
#[derive(Debug)]
pub struct Shares {
    /// What the receiver takes in all, bytes per second.
    limit: Option<NonZeroU32>,
    flows: BTreeMap<FlowId, Flow>,
    next: u64,
    divided: Option<Instant>,
    trial: Trial,
    flood: Flood,
    is_flooded: bool,
}

impl Shares {
    /// Nobody yet; together they may send `limit` bytes per second.
    pub fn new(limit: Option<NonZeroU32>) -> Self {
        Self {
            limit,
            flows: BTreeMap::new(),
            next: 0,
            divided: None,
            trial: Trial::default(),
            flood: Flood::default(),
            is_flooded: false,
        }
    }

    /// A sender comes.
    pub fn join(&mut self, class: Priority) -> FlowId {
        let id = FlowId(self.next);
        self.next += 1;
        let flow = Flow {
            class,
            rtt: Duration::ZERO,
            seen: Seen::default(),
            measured: None,
            rate: 0.0,
            sent: 0.0,
            promised: 0,
            more: 0.0,
            allowed: None,
        };
        self.flows.insert(id, flow);
        id
    }

    /// A sender leaves.
    pub fn leave(&mut self, id: FlowId) {
        self.flows.remove(&id);
    }

    /// Stripes that may be open of `id`, which were promised `promised` so far and not done with. What was promised to others is not there
    /// until it is done with.
    pub fn window(&mut self, id: FlowId, promised: u32) -> u32 {
        let others: u32 = self.flows.iter().filter(|(other, _)| **other != id).map(|(_, flow)| flow.promised).sum();
        let even = STRIPES / self.flows.len().max(1) as u32;
        let window = even.min(STRIPES.saturating_sub(others)).clamp(FIRST_WINDOW, WINDOW);
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.promised = window.max(promised);
        }
        window
    }

    /// Whether there is nothing to divide: then it is enough to be asked once a second.
    pub fn is_simple(&self) -> bool {
        self.limit.is_none() && self.flows.len() < 2
    }

    /// What `id` may send, in bytes per second, `None` for as much as it can; `seen` is all that has arrived from it on its present
    /// connection, whose round trip is `rtt`. To be asked every [`TICK`].
    pub fn allowed(&mut self, now: Instant, id: FlowId, seen: Seen, rtt: Duration) -> Option<u64> {
        if let Some(flow) = self.flows.get_mut(&id) {
            flow.rtt = rtt;
            measure(flow, now, seen);
        }
        if self.divided.is_none_or(|at| now.saturating_duration_since(at) >= TICK) {
            self.divided = Some(now);
            self.divide(now);
        }
        let least = if self.is_flooded { LEAST_OF_MANY } else { LEAST };
        Some(self.flows.get(&id)?.allowed?.max(least) as u64)
    }

    fn divide(&mut self, now: Instant) {
        for flow in self.flows.values_mut() {
            // One that does not ask any more has stopped arriving, too.
            let silent = flow.measured.is_none_or(|at| now.saturating_duration_since(at) > 10 * TICK);
            if silent {
                (flow.rate, flow.sent, flow.more) = (0.0, 0.0, 0.0);
            }
        }
        if let Some(limit) = self.limit {
            return self.divide_among_all(f64::from(limit.get()));
        }
        let backlogged = || self.flows.iter().filter(|(_, flow)| flow.is_backlogged());
        let highest = backlogged().map(|(_, flow)| flow.class).min();
        let contending: Vec<FlowId> = backlogged().map(|(id, _)| *id).collect();
        let sum = |leads: bool| -> f64 {
            backlogged().filter(|(_, flow)| (Some(flow.class) == highest) == leads).map(|(_, flow)| flow.rate).sum()
        };
        let (leaders, followers) = (sum(true), sum(false));
        let rtt = self.flows.values().map(|flow| flow.rtt).max().unwrap_or_default();
        let sum = Sum {
            sent: self.flows.values().map(|flow| flow.sent).sum(),
            arrived: self.flows.values().map(|flow| flow.rate).sum(),
            senders: contending.len(),
        };
        // That of most of them: one alone may have waited for an answer that was lost.
        let mut trips: Vec<Duration> = self.flows.values().map(|flow| flow.rtt).collect();
        trips.sort_unstable();
        let trip = trips.get(trips.len() / 2).copied().unwrap_or_default();
        let total = self.flood.total(now, trip, sum);
        self.is_flooded = total.is_some();
        if let Some(total) = total {
            return self.divide_among_all(total);
        }
        let mixed = backlogged().any(|(_, flow)| Some(flow.class) != highest);
        let limits = self.trial.limits(now, rtt, mixed.then_some(&contending), leaders, followers);
        for flow in self.flows.values_mut() {
            flow.allowed = None;
        }
        if !limits {
            return;
        }
        let parts = self.parts(&contending, leaders + followers);
        for (id, part) in contending.iter().zip(parts) {
            if let Some(flow) = self.flows.get_mut(id).filter(|flow| Some(flow.class) != highest) {
                flow.allowed = Some(part);
            }
        }
    }

    /// Limits everyone to its part of `total`, whether or not it wants more now.
    fn divide_among_all(&mut self, total: f64) {
        let everyone: Vec<FlowId> = self.flows.keys().copied().collect();
        let parts = self.parts(&everyone, total);
        // What nobody wants for now is there for whoever wants it next: without it one that begins would creep up from nothing.
        let spare = (total - parts.iter().sum::<f64>()).max(0.0) / parts.len().max(1) as f64;
        for (flow, part) in self.flows.values_mut().zip(parts) {
            let part = part + spare;
            if !self.is_flooded || flow.allowed.is_none_or(|now| (part - now).abs() > UNCHANGED * now) {
                flow.allowed = Some(part);
            }
        }
    }

    /// Divides `total` among `ids` by their classes; what one does not want is the others'.
    fn parts(&self, ids: &[FlowId], total: f64) -> Vec<f64> {
        let flows: Vec<&Flow> = ids.iter().filter_map(|id| self.flows.get(id)).collect();
        let of_class = |class| flows.iter().filter(|flow| flow.class == class).count().max(1) as f64;
        let weights: Vec<f64> = flows.iter().map(|flow| flow.class.share() as f64 / of_class(flow.class)).collect();
        let wants = |flow: &Flow, part: f64| {
            let takes_less = flow.rate < SATISFIED * flow.allowed.unwrap_or(part).min(part);
            if takes_less || !flow.is_backlogged() { (HEADROOM * flow.rate).max(LEAST) } else { f64::INFINITY }
        };
        let mut parts = vec![None; flows.len()];
        let (mut left, mut weight) = (total, weights.iter().sum::<f64>());
        loop {
            let mut settled = false;
            let level = left / weight.max(f64::MIN_POSITIVE);
            for (at, flow) in flows.iter().enumerate().filter(|(at, _)| parts[*at].is_none()).collect::<Vec<_>>() {
                let part = level * weights[at];
                let wanted = wants(flow, part);
                if wanted < part {
                    parts[at] = Some(wanted);
                    left -= wanted;
                    weight -= weights[at];
                    settled = true;
                }
            }
            if !settled {
                break;
            }
        }
        if parts.iter().all(Option::is_some) {
            // Nobody wants what is left now; whoever wants more in a moment, or is new and was never measured, finds it allowed.
            let level = left.max(0.0) / weights.iter().sum::<f64>().max(f64::MIN_POSITIVE);
            return parts.iter().zip(&weights).map(|(part, own)| part.unwrap_or_default() + level * own).collect();
        }
        let level = left.max(0.0) / weight.max(f64::MIN_POSITIVE);
        parts.iter().zip(&weights).map(|(part, own)| part.unwrap_or(level * own)).collect()
    }
}

/// Takes what has arrived since the last time into the rates.
fn measure(flow: &mut Flow, now: Instant, seen: Seen) {
    let Some(last) = flow.measured else {
        (flow.measured, flow.seen) = (Some(now), seen);
        return;
    };
    let span = now.saturating_duration_since(last);
    if span < TICK / 2 {
        return;
    }
    // Counted anew: the sender has come back on another connection.
    let is_less = seen.shards < flow.seen.shards || seen.bytes < flow.seen.bytes;
    let since = if is_less { Seen::default() } else { flow.seen };
    let (bytes, shards) = (seen.bytes - since.bytes, seen.shards - since.shards);
    let sent = bytes as f64 * seen.sent.saturating_sub(since.sent) as f64 / shards.max(1) as f64;
    let keep = (-span.as_secs_f64() / SMOOTH.as_secs_f64()).exp();
    flow.rate = keep * flow.rate + (1.0 - keep) * (bytes as f64 / span.as_secs_f64());
    flow.sent = keep * flow.sent + (1.0 - keep) * (sent / span.as_secs_f64());
    if shards > 0 {
        let share = seen.more.saturating_sub(since.more) as f64 / shards as f64;
        // Quick to see that there is work, slow to believe that there is none.
        flow.more = if share > flow.more { share } else { keep * flow.more + (1.0 - keep) * share };
    } else if flow.rate < 1.0 {
        flow.more = 0.0;
    } else {
        flow.more *= keep;
    }
    (flow.measured, flow.seen) = (Some(now), seen);
}
