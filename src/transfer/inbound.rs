//! The receiving side: shards make stripes, stripes make chunks.
//!
//! Invariant: at most a window of [`WINDOW`] stripes or less is open or handed up and not yet [`Inbound::consumed`], and before [`Inbound::accept`] at most
//! [`UNACCEPTED_BYTES`] are held, and the first stripe, whatever a peer sends. A chunk is given up once. What its bytes mean is left to `wire::chunk`.

use super::arrivals::Arrivals;
use super::cadence::{Cadence, Path};
use super::fragment::{Fragment, length_of};
use super::share::Seen;
use super::{Cut, FIRST_WINDOW, UNACCEPTED_BYTES, WINDOW};
use crate::chunk::erasure::{Inserted, StripeBuffer};
use crate::link::Link;
use crate::wire::WireError;
use crate::wire::chunk::encoded_length;
use crate::wire::datagram::{Feedback, MAX_REPORT, NOTHING, SEQ_BITS, STRIPE_BITS, Shard, expand};
use crate::wire::reply::Counters;
use bytes::Bytes;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Largest number of a shard: far beyond what a connection carries in a day, and nothing overflows up to it.
const LAST_SEQ: u32 = u32::MAX - (1 << 24);

/// A chunk that is whole.
#[derive(Debug, PartialEq, Eq)]
pub struct Delivered {
    /// The encoded chunk.
    pub bytes: Bytes,
    /// Stripes it took; to be given back by [`Inbound::consumed`].
    pub stripes: u32,
}

#[derive(Debug)]
enum Slot {
    /// Nothing has arrived.
    Empty,
    /// Some shards have arrived.
    Open(Open),
    /// Decoded, waiting for the other stripes of its chunk.
    Decoded { part: u8, parts: u8, data: Vec<u8> },
    /// Given up.
    Delivered,
}

#[derive(Debug)]
struct Open {
    part: u8,
    parts: u8,
    k: u8,
    shard_bytes: usize,
    shards: StripeBuffer,
    /// Parity shards among them: as many data shards will be rebuilt.
    parity_held: u64,
}

impl Open {
    fn missing(&self) -> u8 {
        self.k - self.shards.held() as u8
    }
}

/// The receiving side of one connection.
#[derive(Debug)]
pub struct Inbound {
    slots: VecDeque<Slot>,
    /// Number of the first slot; all before it are decoded.
    base: u32,
    consumed: u32,
    accepted: bool,
    window: u32,
    /// The highest credit that was told.
    promised: u32,
    /// Bytes per second that the sender may send; 0 for as much as it can.
    allowed: u32,
    seen: Seen,
    held_bytes: usize,
    arrivals: Arrivals,
    cadence: Cadence,
    counters: Counters,
}

impl Default for Inbound {
    fn default() -> Self {
        Self::new()
    }
}

impl Inbound {
    /// A side that has received nothing and accepted nobody.
    pub fn new() -> Self {
        Self {
            slots: VecDeque::new(),
            base: 0,
            consumed: 0,
            accepted: false,
            window: WINDOW,
            promised: 0,
            allowed: 0,
            seen: Seen::default(),
            held_bytes: 0,
            arrivals: Arrivals::default(),
            cadence: Cadence::new(),
            counters: Counters::default(),
        }
    }

    /// The same over a link of which this was said.
    pub fn over(link: Option<Link>) -> Self {
        Self { cadence: Cadence::over(link), ..Self::new() }
    }

    /// The hello was accepted: raises the limit and tells the peer.
    pub fn accept(&mut self) {
        self.accepted = true;
        self.cadence.urge();
    }

    /// Begins to speak before anything has arrived: this side has dialled.
    pub fn begin(&mut self, now: Instant) {
        self.cadence.begin(now);
        self.cadence.urge();
    }

    /// From now on at most `stripes` are open, [`FIRST_WINDOW`] ..= [`WINDOW`]. What the sender was told before still counts.
    pub fn set_window(&mut self, stripes: u32) {
        self.window = stripes.clamp(FIRST_WINDOW, WINDOW);
    }

    /// Tells the sender how many bytes per second it may send; `None`: as many as the path carries.
    pub fn allow(&mut self, rate: Option<u64>) {
        self.allowed = rate.map_or(0, |rate| rate.clamp(1, u64::from(u32::MAX)) as u32);
    }

    /// This was said of the link after the first packets.
    pub fn told(&mut self, link: Link) {
        self.cadence.told(link);
    }

    /// An earlier connection of the session has carried so many bytes per second, a moment ago; 0 if that is not known.
    pub fn expect(&mut self, rate: u32) {
        self.arrivals.expect(rate);
    }

    /// The same of this one, for the next.
    pub fn passed(&self) -> u32 {
        self.arrivals.passed()
    }

    /// What has arrived so far, as its share of the link is reckoned from it.
    pub fn seen(&self) -> Seen {
        Seen { sent: u64::from(self.arrivals.high()), ..self.seen }
    }

    /// Stripes that the sender was told it may open, and that are not done with.
    pub fn promised(&self) -> u32 {
        self.promised.saturating_sub(self.consumed)
    }

    /// `stripes` of delivered chunks are done with: their memory is free, so as many new ones may come.
    pub fn consumed(&mut self, stripes: u32) {
        self.consumed += stripes;
    }

    /// Something must be said at once.
    pub fn urge(&mut self) {
        self.cadence.urge();
    }

    /// What was counted so far. The byte counters are the assembler's.
    pub fn counters(&self) -> Counters {
        Counters {
            shards: u64::from(self.arrivals.received()),
            lost: u64::from(self.arrivals.high() - self.arrivals.received()),
            ..self.counters
        }
    }

    /// Takes a shard. Gives a chunk if this completed one.
    pub fn on_shard(&mut self, now: Instant, shard: &Shard) -> Result<Option<Delivered>, WireError> {
        let seq = expand(shard.seq, self.arrivals.high(), SEQ_BITS);
        if seq > LAST_SEQ {
            return Err(WireError::Range("shard"));
        }
        self.arrivals.arrived(now, seq);
        self.cadence.on_shard(now, shard.payload.len());
        self.seen.count(shard.payload.len(), shard.more);
        let stripe = expand(shard.stripe, self.base, STRIPE_BITS);
        if stripe < self.base || stripe >= self.credit() {
            self.counters.spare += 1;
            return Ok(None);
        }
        let place = (stripe - self.base) as usize;
        while self.slots.len() <= place {
            self.slots.push_back(Slot::Empty);
        }
        if matches!(self.slots[place], Slot::Empty) {
            let bytes = usize::from(shard.k) * shard.payload.len();
            // Whatever came before it: without the hello, in the first stripe, nobody is accepted.
            let first = stripe == 0 && shard.parts == 1;
            if !self.accepted && !first && self.held_bytes + bytes > UNACCEPTED_BYTES {
                return Ok(None);
            }
            let shards = StripeBuffer::new(stripe, usize::from(shard.k), shard.payload.len())
                .map_err(|_| WireError::Range("stripe"))?;
            self.held_bytes += bytes;
            self.slots[place] = Slot::Open(Open {
                part: shard.part,
                parts: shard.parts,
                k: shard.k,
                shard_bytes: shard.payload.len(),
                shards,
                parity_held: 0,
            });
        }
        let Slot::Open(open) = &mut self.slots[place] else {
            self.counters.spare += 1;
            return Ok(None);
        };
        if (open.k, open.part, open.parts, open.shard_bytes) != (shard.k, shard.part, shard.parts, shard.payload.len())
        {
            return Err(WireError::Range("stripe"));
        }
        match open.shards.insert(shard.index, &shard.payload).map_err(|_| WireError::Range("shard"))? {
            Inserted::New if shard.index >= shard.k => open.parity_held += 1,
            Inserted::New => {}
            Inserted::Duplicate | Inserted::Surplus => self.counters.spare += 1,
        }
        if !open.shards.is_complete() {
            return Ok(None);
        }
        self.decode(place)?;
        let delivered = self.deliver(stripe)?;
        if delivered.is_some() {
            self.cadence.on_chunk(now);
        }
        Ok(delivered)
    }

    fn decode(&mut self, place: usize) -> Result<(), WireError> {
        let Slot::Open(open) = std::mem::replace(&mut self.slots[place], Slot::Empty) else { return Ok(()) };
        self.counters.stripes += 1;
        self.counters.rebuilt += open.parity_held;
        let data = open.shards.into_data().map_err(|_| WireError::Range("stripe"))?;
        self.slots[place] = Slot::Decoded { part: open.part, parts: open.parts, data };
        Ok(())
    }

    /// Gives up the chunk that `stripe` belongs to if all of it is decoded.
    fn deliver(&mut self, stripe: u32) -> Result<Option<Delivered>, WireError> {
        let Some(Slot::Decoded { part, parts, .. }) = self.slots.get((stripe - self.base) as usize) else {
            return Ok(None);
        };
        let (part, parts) = (u32::from(*part), u32::from(*parts));
        // Slots leave the front only when their chunk is delivered, so its first stripe cannot be behind the base.
        let Some(place) = stripe.checked_sub(part).and_then(|first| first.checked_sub(self.base)) else {
            return Err(WireError::Range("stripe"));
        };
        let chunk = place as usize..(place + parts) as usize;
        if chunk.end > self.slots.len() {
            return Ok(None);
        }
        for (expected, slot) in self.slots.range(chunk.clone()).enumerate() {
            match slot {
                Slot::Decoded { part, parts: count, .. }
                    if usize::from(*part) == expected && u32::from(*count) == parts => {}
                Slot::Decoded { .. } | Slot::Delivered => return Err(WireError::Range("stripe")),
                Slot::Empty | Slot::Open(_) => return Ok(None),
            }
        }
        let bytes = self.join(chunk)?;
        self.leave();
        Ok(Some(Delivered { bytes, stripes: parts }))
    }

    fn join(&mut self, chunk: std::ops::Range<usize>) -> Result<Bytes, WireError> {
        let mut bytes = Vec::new();
        let mut cut = None;
        for (part, slot) in self.slots.range_mut(chunk.clone()).enumerate() {
            let Slot::Decoded { data, parts, .. } = std::mem::replace(slot, Slot::Delivered) else { continue };
            if self.accepted {
                // What was given up to a caller that has accepted nobody is held by the caller.
                self.held_bytes = self.held_bytes.saturating_sub(data.len());
            }
            if cut.is_none() {
                cut = Some(Cut::new(encoded_length(&data)?)).filter(|cut| cut.parts == usize::from(parts));
            }
            let Some(cut) = cut else { return Err(WireError::Range("stripe")) };
            let length = cut.part_length(part);
            let (k, shard_bytes) = Cut::geometry(length.max(1));
            if data.len() != k * shard_bytes {
                return Err(WireError::Range("stripe"));
            }
            if chunk.len() == 1 {
                let mut data = data;
                data.truncate(length);
                return Ok(Bytes::from(data));
            }
            bytes.reserve_exact(cut.length - bytes.len());
            bytes.extend_from_slice(&data[..length]);
        }
        Ok(Bytes::from(bytes))
    }

    /// The chunks that are not whole and whose beginning is here, with the number of their first stripe.
    pub fn fragments(&self) -> impl Iterator<Item = (u32, Fragment)> + '_ {
        (0..self.slots.len()).filter_map(|place| Some((self.base + place as u32, self.fragment(place)?)))
    }

    /// The same, and no more of each than its first bytes.
    pub fn beginnings(&self) -> impl Iterator<Item = (u32, &[u8])> {
        (0..self.slots.len()).filter_map(|place| Some((self.base + place as u32, self.beginning(place)?.0)))
    }

    /// Stripes that may be open.
    pub fn window(&self) -> u32 {
        self.window
    }

    /// The first bytes of the chunk that begins at this place, and its parts.
    fn beginning(&self, place: usize) -> Option<(&[u8], u8)> {
        match &self.slots[place] {
            Slot::Open(open) if open.part == 0 => Some((open.shards.data_shard(0)?, open.parts)),
            Slot::Decoded { part: 0, parts, data } => Some((data, *parts)),
            _ => None,
        }
    }

    /// What is here of it.
    fn fragment(&self, place: usize) -> Option<Fragment> {
        let (first, parts) = self.beginning(place)?;
        let cut = Cut::new(length_of(first)?);
        if cut.parts != usize::from(parts) {
            return None;
        }
        let mut fragment = Fragment::new(cut.length)?;
        for (part, slot) in self.slots.iter().skip(place).take(cut.parts).enumerate() {
            let (k, shard_bytes) = Cut::geometry(cut.part_length(part));
            match slot {
                Slot::Open(open)
                    if (usize::from(open.part), open.parts) == (part, parts)
                        && (usize::from(open.k), open.shard_bytes) == (k, shard_bytes) =>
                {
                    fragment.take(part, |shard| open.shards.data_shard(shard));
                }
                Slot::Decoded { part: of, data, .. } if usize::from(*of) == part && data.len() == k * shard_bytes => {
                    fragment.take(part, |shard| data.get(shard * shard_bytes..(shard + 1) * shard_bytes));
                }
                _ => {}
            }
        }
        Some(fragment)
    }

    /// The chunk whose first stripe this is was here before: nothing more of it is asked for.
    pub fn waive(&mut self, stripe: u32) {
        let Some(place) = stripe.checked_sub(self.base).map(|place| place as usize) else { return };
        let parts = match self.slots.get(place) {
            Some(Slot::Open(Open { part: 0, parts, .. }) | Slot::Decoded { part: 0, parts, .. }) => u32::from(*parts),
            _ => return,
        };
        if stripe + parts > self.credit() {
            return;
        }
        while self.slots.len() < place + parts as usize {
            self.slots.push_back(Slot::Empty);
        }
        let mut given_up = 0;
        for slot in self.slots.range_mut(place..place + parts as usize) {
            // What was delivered is counted by whoever got it.
            given_up += u32::from(!matches!(slot, Slot::Delivered));
            *slot = Slot::Delivered;
        }
        self.leave();
        self.consumed(given_up);
        self.urge();
    }

    /// What was given up leaves the front.
    fn leave(&mut self) {
        while matches!(self.slots.front(), Some(Slot::Delivered)) {
            self.slots.pop_front();
            self.base += 1;
        }
    }

    fn credit(&self) -> u32 {
        // Behind a hole no more than feedback can name.
        let window = if self.accepted { self.window } else { FIRST_WINDOW };
        // What was once allowed stays allowed.
        (self.consumed + window).max(self.promised).min(self.base + MAX_REPORT as u32)
    }

    /// Whether nothing arrives any more and the sender is only being reminded of what was said.
    pub fn is_reminding(&self) -> bool {
        self.cadence.is_reminding()
    }

    /// When [`Inbound::poll_feedback`] will have something to say.
    pub fn next_timeout(&self, rtt: Duration, min_rtt: Duration) -> Option<Instant> {
        self.cadence.due(Path { rtt, min_rtt })
    }

    /// The feedback that is due now, if one is. Replies are the caller's to add.
    pub fn poll_feedback(&mut self, now: Instant, rtt: Duration, min_rtt: Duration) -> Option<Feedback> {
        let path = Path { rtt, min_rtt };
        if self.cadence.due(path)? > now {
            return None;
        }
        self.cadence.sent(now, path);
        self.arrivals.relax();
        self.promised = self.credit();
        let report = |slot: &Slot| match slot {
            Slot::Empty => NOTHING,
            Slot::Open(open) => open.missing(),
            Slot::Decoded { .. } | Slot::Delivered => 0,
        };
        Some(Feedback {
            accepted: self.accepted,
            high: self.arrivals.high(),
            received: self.arrivals.received(),
            resolved: self.arrivals.resolved(now),
            base: self.base,
            credit: self.credit(),
            // Who is not let in may not send more anyway.
            train: if self.accepted { self.arrivals.train() } else { 0 },
            allowed: self.allowed,
            at: self.arrivals.at(),
            runs: self.arrivals.runs(),
            missing: self.slots.iter().take(MAX_REPORT).map(report).collect(),
            offset: 0,
            replies: Bytes::new(),
        })
    }
}
