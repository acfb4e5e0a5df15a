//! The sending side: chunks become stripes, and for each free place in the network the shard most worth sending is chosen.
//!
//! Choice (TRANSPORT, design "C-tail"): 1. the oldest stripe that cannot complete with what is under way gets a fresh shard; 2. else the next
//! data shard, or parity right behind the data of its stripe where the policy says so; 3. else, with nothing left to send, the stripe least
//! likely to complete gets parity ahead of any loss, because a repair would cost it a round trip ([`surplus`], which also says when that
//! goes before new data). Any fresh shard fills any hole, so counts are enough and nothing waits for a particular packet.
//!
//! Invariant: a stripe is kept until the receiver has decoded it; no more than the receiver's credit is open. Congestion and pacing are
//! the connection's; this is asked for a shard only when one can leave soon.

mod surplus;

use super::first_flight::FirstFlight;
use super::log::{Log, Report};
use super::parity::{Ahead, Parity};
use super::stripe::Stripe;
use super::{Cut, FIRST_WINDOW};
use crate::link::Link;
use crate::wire::datagram::{Feedback, NOTHING, encode_ping};
use bytes::Bytes;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

/// Shards of which one loss sample is made.
const LOSS_SAMPLE: u32 = 40;
/// Unsent chunks taken in ahead of need: enough to keep the network busy, few enough that a control message does not wait.
const READY_SHARDS: usize = 256;
/// Silence after which the path is probed, beyond 1.5 round trips.
const SILENCE: Duration = Duration::from_millis(100);

/// What was sent, for statistics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Data shards, each for the first time.
    pub data: u64,
    /// Parity shards ahead of any known loss.
    pub parity: u64,
    /// Fresh shards for stripes that had lost some.
    pub repair: u64,
    /// Shards and pings into a silent path.
    pub probes: u64,
}

#[derive(Debug)]
struct Chunk {
    stripes_left: u8,
    file_bytes: u64,
}

/// The sending side of one connection.
#[derive(Debug)]
pub struct Outbound {
    /// Open stripes by number from `base`; `None` once decoded.
    stripes: VecDeque<Option<Stripe>>,
    base: u32,
    /// First stripe with data shards, or parity behind them, that were never sent.
    unsent: u32,
    unsent_shards: usize,
    log: Log,
    needy: BTreeSet<u32>,
    chunks: BTreeMap<u32, Chunk>,
    credit: u32,
    accepted: bool,
    idle: bool,
    heard: Option<Instant>,
    probed: Option<Instant>,
    newest: (u32, u32),
    report: Report,
    /// When the newest shard of the report had left.
    report_left: Option<Instant>,
    /// The longest time from the leaving of a shard to word of it, fading.
    slowest: Duration,
    sampled: (u32, u32),
    loss: Option<f64>,
    ahead: Ahead,
    delivered_bytes: u64,
    sent: Sent,
    first_flight: FirstFlight,
    /// What the user has said of the link.
    link: Option<Link>,
}

impl Outbound {
    /// A side that has sent nothing, at `now`, when the connection stood, and its policy of parity ahead of loss.
    pub fn new(now: Instant, parity: Parity) -> Self {
        Self {
            stripes: VecDeque::new(),
            base: 0,
            unsent: 0,
            unsent_shards: 0,
            log: Log::default(),
            report: Report::default(),
            report_left: None,
            slowest: Duration::ZERO,
            needy: BTreeSet::new(),
            chunks: BTreeMap::new(),
            credit: FIRST_WINDOW,
            accepted: false,
            idle: false,
            heard: Some(now),
            probed: None,
            newest: (0, 0),
            sampled: (0, 0),
            loss: None,
            ahead: Ahead::new(parity),
            delivered_bytes: 0,
            sent: Sent::default(),
            first_flight: FirstFlight::default(),
            link: None,
        }
    }

    /// The same over a link of which this was said. Round trips given to it are then to be no shorter than an answer takes.
    pub fn over(link: Option<Link>, now: Instant, parity: Parity) -> Self {
        let first_flight = if link.is_some() { FirstFlight::slow() } else { FirstFlight::default() };
        Self { first_flight, link, ..Self::new(now, parity) }
    }

    /// Whether another chunk would be sent soon and within the receiver's credit.
    pub fn has_room(&self) -> bool {
        self.unsent_shards < READY_SHARDS && self.base + (self.stripes.len() as u32) < self.credit
    }

    /// Takes an encoded chunk that carries `file_bytes` of files.
    pub fn offer(&mut self, encoded: Bytes, file_bytes: u64) {
        self.idle = false;
        let cut = Cut::new(encoded.len());
        let chunk = self.base + self.stripes.len() as u32;
        for part in 0..cut.parts {
            let stripe = Stripe::of(chunk, cut, part, &encoded);
            self.unsent_shards += usize::from(stripe.k);
            self.stripes.push_back(Some(stripe));
        }
        self.chunks.insert(chunk, Chunk { stripes_left: cut.parts as u8, file_bytes });
    }

    /// Nothing will be offered until the receiver has answered (or ever): what bandwidth is free may go to parity.
    pub fn set_idle(&mut self) {
        self.idle = true;
    }

    /// Whether the receiver has decoded everything that was offered.
    pub fn is_drained(&self) -> bool {
        self.stripes.is_empty()
    }

    /// Whether the hello was accepted.
    pub fn is_accepted(&self) -> bool {
        self.accepted
    }

    /// File bytes that the receiver has decoded.
    pub fn delivered_bytes(&self) -> u64 {
        self.delivered_bytes
    }

    /// Share of shards lost lately; 0 before anything is known.
    pub fn loss(&self) -> f64 {
        self.loss.unwrap_or(0.0)
    }

    /// Parity shards on a full stripe by the table, and the loss for which it says so; none under another policy, or before any
    /// loss was measured.
    pub fn parity_step(&self) -> Option<(usize, f64)> {
        self.ahead.step()
    }

    /// What was sent so far.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// What the receiver counts, by its newest word, and when the newest shard that it counts had left this host.
    pub fn report(&self) -> (Report, Option<Instant>) {
        (self.report, self.report_left)
    }

    /// The shards below number `next` have left this host, the last of them at `at`.
    pub fn left(&mut self, next: u32, at: Instant) {
        self.log.left(next, at);
    }

    /// When the receiver was last heard.
    pub fn heard(&self) -> Option<Instant> {
        self.heard
    }

    /// Takes a report. Old ones that arrive late change nothing.
    pub fn on_feedback(&mut self, now: Instant, feedback: &Feedback) {
        self.heard = Some(now);
        self.probed = None;
        let opened = self.base + self.stripes.len() as u32;
        if feedback.received < self.newest.1 || feedback.high > self.next_seq() || feedback.base > opened {
            return;
        }
        self.accepted |= feedback.accepted;
        self.credit = self.credit.max(feedback.credit);
        let &Feedback { high: sent, received: arrived, at, runs, .. } = feedback;
        let (passed, left) = self.log.below(sent);
        if let Some(left) = left.filter(|_| sent > self.newest.0) {
            let took = now.saturating_duration_since(left);
            self.slowest = took.max(self.slowest.mul_f64(31.0 / 32.0));
        }
        self.newest = (feedback.high, feedback.received);
        (self.report, self.report_left) = (Report { passed, sent, arrived, at, runs }, left);
        self.sample_loss();
        while self.log.base() < feedback.resolved && !self.log.is_empty() {
            self.settle_oldest();
        }
        for stripe in self.base..feedback.base {
            self.decoded(stripe);
        }
        for (place, missing) in feedback.missing.iter().enumerate() {
            let number = feedback.base + place as u32;
            let Some(Some(stripe)) = number.checked_sub(self.base).and_then(|at| self.stripes.get_mut(at as usize))
            else {
                continue;
            };
            match *missing {
                0 => self.decoded(number),
                missing => {
                    stripe.missing = if missing == NOTHING { stripe.k } else { missing.min(stripe.k) };
                    self.recheck(number);
                }
            }
        }
        while matches!(self.stripes.front(), Some(None)) {
            self.stripes.pop_front();
            self.base += 1;
        }
        self.unsent = self.unsent.max(self.base);
    }

    fn sample_loss(&mut self) {
        let high = self.newest.0.saturating_sub(self.sampled.0);
        let enough = if self.loss.is_none() { 8 } else { LOSS_SAMPLE };
        if high < enough {
            return;
        }
        let received = self.newest.1 - self.sampled.1;
        let sample = 1.0 - (f64::from(received) / f64::from(high)).min(1.0);
        self.ahead.observe(high.saturating_sub(received), high);
        self.loss = Some(self.loss.map_or(sample, |loss| 0.75 * loss + 0.25 * sample));
        self.sampled = self.newest;
    }

    fn decoded(&mut self, number: u32) {
        let Some(slot) = number.checked_sub(self.base).and_then(|at| self.stripes.get_mut(at as usize)) else { return };
        let Some(stripe) = slot.take() else { return };
        self.needy.remove(&number);
        self.unsent_shards -= stripe.unsent();
        if let Some(chunk) = self.chunks.get_mut(&stripe.chunk) {
            chunk.stripes_left -= 1;
            if chunk.stripes_left == 0 {
                self.delivered_bytes += chunk.file_bytes;
                self.chunks.remove(&stripe.chunk);
            }
        }
    }

    /// The fate of the oldest shard under way is known, or it is given up.
    fn settle_oldest(&mut self) {
        let Some(number) = self.log.settle() else { return };
        if let Some(Some(stripe)) = number.checked_sub(self.base).and_then(|at| self.stripes.get_mut(at as usize)) {
            stripe.settle_one();
            self.recheck(number);
        }
    }

    fn recheck(&mut self, number: u32) {
        let lacks = number
            .checked_sub(self.base)
            .and_then(|at| self.stripes.get(at as usize))
            .and_then(Option::as_ref)
            .is_some_and(Stripe::lacks);
        if lacks {
            self.needy.insert(number);
        } else {
            self.needy.remove(&number);
        }
    }

    /// The number of the shard that comes next.
    pub fn next_seq(&self) -> u32 {
        self.log.next()
    }

    /// How long a shard may be under way without word of it. A round trip that is smoothed lags behind a queue that grows, and jitter is on top:
    /// what is given up too soon is sent in vain, and what is lost is told of anyway.
    fn patience(&self, rtt: Duration) -> Duration {
        let trip = rtt.max(self.slowest);
        2 * trip + trip / 2 + self.link.map_or(Duration::from_millis(60), |link| 2 * link.packet())
    }

    /// When the first flight is to be renewed.
    fn renewal(&self, rtt: Duration) -> Option<Instant> {
        self.first_flight.renewal(rtt).filter(|_| self.newest.0 == 0)
    }

    /// Takes the first flight for lost when that is due.
    fn renew(&mut self, now: Instant, rtt: Duration) {
        if self.newest.0 > 0 {
            return;
        }
        let shards = self.sent.data + self.sent.parity + self.sent.repair;
        let complete = self.idle && self.unsent_shards == 0;
        while let Some(whole) = self.first_flight.renew(now, rtt, shards, complete) {
            let renewed = if whole { self.stripes.len() } else { 1.min(self.stripes.len()) };
            for place in 0..renewed {
                if let Some(stripe) = &mut self.stripes[place] {
                    stripe.give_up_all();
                    self.recheck(self.base + place as u32);
                }
            }
        }
    }

    /// Gives up what has been under way for too long. To be called whenever time has passed, also while nothing can be sent.
    pub fn settle(&mut self, now: Instant, rtt: Duration) {
        self.renew(now, rtt);
        let patience = self.patience(rtt);
        while self.log.oldest().is_some_and(|at| at + patience <= now) {
            self.settle_oldest();
        }
    }

    /// The datagram most worth sending now, if any is.
    pub fn poll_shard(&mut self, now: Instant) -> Option<Bytes> {
        if let Some(number) = self.needy.first().copied() {
            // Before anything was heard, nothing is known to be lost.
            *(if self.newest.0 == 0 { &mut self.sent.parity } else { &mut self.sent.repair }) += 1;
            return Some(self.send_next(now, number));
        }
        if !self.accepted && self.first_flight.is_full(self.sent.data + self.sent.parity) {
            let number = self.base;
            let hello = self.stripes.front().is_some_and(|stripe| number == 0 && stripe.is_some());
            hello.then(|| self.first_flight.take_spare()).flatten()?;
            self.sent.parity += 1;
            return Some(self.send_next(now, number));
        }
        if let Some(number) = self.hello_copy() {
            self.sent.parity += 1;
            return Some(self.send_next(now, number));
        }
        if let Some(number) = self.holding_up() {
            self.sent.parity += 1;
            return Some(self.send_next(now, number));
        }
        if let Some((number, is_data)) = self.next_in_order() {
            *(if is_data { &mut self.sent.data } else { &mut self.sent.parity }) += 1;
            self.unsent_shards -= usize::from(is_data);
            return Some(self.send_next(now, number));
        }
        let number = self.likeliest_to_fail()?;
        self.sent.parity += 1;
        Some(self.send_next(now, number))
    }

    /// The copy of the hello that goes along until it is accepted.
    fn hello_copy(&mut self) -> Option<u32> {
        if self.accepted || self.base > 0 {
            return None;
        }
        self.stripes.front()?.as_ref().filter(|stripe| stripe.all_data_sent())?;
        self.first_flight.take_copy(self.sent.data).then_some(0)
    }

    /// The stripe whose data shards, or parity behind them, come next, and whether it is data.
    fn next_in_order(&mut self) -> Option<(u32, bool)> {
        while self.unsent < self.credit {
            match self.stripes.get((self.unsent - self.base) as usize)? {
                Some(stripe) if !stripe.all_data_sent() => return Some((self.unsent, true)),
                Some(stripe) if stripe.parity_sent() < self.ahead.behind(stripe.k) => {
                    return Some((self.unsent, false));
                }
                _ => self.unsent += 1,
            }
        }
        None
    }

    /// Sends the next shard of an open stripe.
    fn send_next(&mut self, now: Instant, number: u32) -> Bytes {
        let seq = self.next_seq();
        self.first_flight.on_sent(now);
        let place = (number - self.base) as usize;
        let stripe = self.stripes[place].as_mut().expect("only open stripes are chosen");
        let datagram = stripe.send_next(seq, number, self.unsent_shards > 0);
        self.log.push(number, now, datagram.len());
        self.recheck(number);
        datagram
    }

    /// When the path will have been silent for long enough to probe it.
    fn probe_at(&self, rtt: Duration) -> Option<Instant> {
        let heard = self.heard? + rtt + rtt / 2 + self.link.map_or(SILENCE, |link| 2 * link.packet());
        let every = self.link.map_or(rtt.clamp(Duration::from_millis(100), Duration::from_millis(400)), |_| rtt);
        Some(self.probed.map_or(heard, |probed| probed + every))
    }

    /// A datagram for a path that has been silent for too long: must be sent whatever the congestion window says, because nothing else
    /// tells when the path is back.
    pub fn poll_probe(&mut self, now: Instant, rtt: Duration) -> Option<Bytes> {
        if self.probe_at(rtt)? > now {
            return None;
        }
        self.probed = Some(now);
        self.sent.probes += 1;
        let oldest = self.stripes.iter().position(|stripe| stripe.as_ref().is_some_and(|stripe| stripe.next > 0));
        Some(match oldest {
            Some(place) => {
                let number = self.base + place as u32;
                if self.stripes[place].as_ref().is_some_and(|stripe| !stripe.all_data_sent()) {
                    self.unsent_shards -= 1;
                }
                self.send_next(now, number)
            }
            None => encode_ping(),
        })
    }

    /// When this side must be asked again even if nothing arrives.
    pub fn next_timeout(&self, rtt: Duration) -> Option<Instant> {
        let settles = self.log.oldest().map(|at| at + self.patience(rtt));
        [settles, self.probe_at(rtt), self.renewal(rtt)].into_iter().flatten().min()
    }
}
