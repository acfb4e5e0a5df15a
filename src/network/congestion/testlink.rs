//! Senders and receivers over a link in virtual time, for the tests of the window law.
//!
//! Invariant: everything follows from the seed; time is integer nanoseconds and events of one instant keep their order. The
//! senders copy what QUIC does around a controller (pacing, loss detection, probes after silence); receivers acknowledge in
//! batches, densely at first. Encryption, streams and application are left out: the senders always have data.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

mod books;
mod control;
mod link;

use super::cubic::Cubic;
use super::dbw::Law;
use crate::transfer::Report;
pub(super) use control::Control;
pub(super) use link::Link;
use link::{Lossy, Random};

pub(super) const MTU: f64 = 1200.0;
/// Bytes of IP and UDP headers: they take time on the link and no room in the window.
const HEADERS: f64 = 28.0;

fn ns(seconds: f64) -> u64 {
    (seconds * 1e9).round() as u64
}

fn secs(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// How often the receiver acknowledges after the first 400 packets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Acks {
    /// Every second packet, or 4 ms.
    Dense,
    /// This share of a round trip, at least 4 ms, and every 48 packets.
    Sparse(f64),
}

pub(super) struct Flow {
    pub(super) control: Control,
    pub(super) start: f64,
    pub(super) stop: f64,
    pub(super) acks: Acks,
    /// Bits per second given as the train hint with the first acknowledgement after 10 packets.
    pub(super) hint: Option<f64>,
    // The sender.
    next: u64,
    in_flight: BTreeMap<u64, (u64, f64)>,
    bytes: f64,
    largest: Option<u64>,
    srtt: f64,
    latest: f64,
    tokens: f64,
    tokens_at: u64,
    backoff: u32,
    heard: u64,
    probes: u32,
    wake: u64,
    // The receiver.
    pending: Vec<u64>,
    history: VecDeque<u64>,
    received: u64,
    ack_due: Option<u64>,
    report: Report,
    /// Acknowledgements said again since the last arrival.
    repeats: u32,
    // Books.
    pub(super) sent: u64,
    pub(super) tail_dropped: u64,
    /// (second, delivered bytes) of each 0.1 s.
    pub(super) delivered: Vec<f64>,
    /// Tail drops and packets offered, of each second.
    pub(super) drops: Vec<(u64, u64)>,
}

impl Flow {
    pub(super) fn new(control: Control) -> Self {
        Self {
            control,
            start: 0.0,
            stop: f64::INFINITY,
            acks: Acks::Sparse(1.0 / 8.0),
            hint: None,
            next: 0,
            in_flight: BTreeMap::new(),
            bytes: 0.0,
            largest: None,
            srtt: 0.1,
            latest: 0.1,
            tokens: 10.0 * MTU,
            tokens_at: 0,
            backoff: 0,
            heard: 0,
            probes: 0,
            wake: u64::MAX,
            pending: Vec::new(),
            history: VecDeque::new(),
            received: 0,
            ack_due: None,
            report: Report::default(),
            repeats: 0,
            sent: 0,
            tail_dropped: 0,
            delivered: Vec::new(),
            drops: Vec::new(),
        }
    }

    pub(super) fn dbw() -> Self {
        Self::new(Control::Dbw(Box::new(Law::new(MTU))))
    }

    pub(super) fn cubic() -> Self {
        Self::new(Control::Cubic(Cubic::new(10.0 * MTU, f64::INFINITY, MTU)))
    }

    pub(super) fn law(&self) -> &Law {
        match &self.control {
            Control::Dbw(law) => law,
            Control::Cubic(_) => panic!("not a dbw flow"),
        }
    }

    fn book<T: Default + Clone>(bins: &mut Vec<T>, at: usize) -> &mut T {
        if bins.len() <= at {
            bins.resize(at + 1, T::default());
        }
        &mut bins[at]
    }
}

#[derive(PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Wake(usize),
    Arrive(usize, u64),
    SendAck(usize),
    Ack(usize, Vec<u64>, Report),
}

/// The simulation.
pub(super) struct Net {
    pub(super) link: Link,
    pub(super) flows: Vec<Flow>,
    random: Random,
    events: BinaryHeap<Reverse<(u64, u64, Event)>>,
    seq: u64,
    pub(super) now: u64,
    busy: u64,
    tokens: f64,
    tokens_at: u64,
    forward: Lossy,
    back: Lossy,
    /// Queue at the bottleneck, seconds, sampled at each arriving packet: (second, queue).
    pub(super) queues: Vec<(f64, f64)>,
}

impl Net {
    pub(super) fn new(link: Link, flows: Vec<Flow>, seed: u64) -> Self {
        let tokens = link.policer.map_or(0.0, |p| p.1);
        let mut net = Self {
            link,
            flows,
            random: Random::new(seed),
            events: BinaryHeap::new(),
            seq: 0,
            now: 0,
            busy: 0,
            tokens,
            tokens_at: 0,
            forward: Lossy::new(),
            back: Lossy::new(),
            queues: Vec::new(),
        };
        for i in 0..net.flows.len() {
            let start = ns(net.flows[i].start);
            net.wake(i, start);
        }
        net
    }

    fn push(&mut self, at: u64, event: Event) {
        self.seq += 1;
        self.events.push(Reverse((at, self.seq, event)));
    }

    fn wake(&mut self, i: usize, at: u64) {
        if at < self.flows[i].wake {
            self.flows[i].wake = at;
            self.push(at, Event::Wake(i));
        }
    }

    /// Runs until `end` seconds.
    pub(super) fn run(&mut self, end: f64) {
        while self.events.peek().is_some_and(|Reverse((at, ..))| *at <= ns(end)) {
            let Some(Reverse((at, _, event))) = self.events.pop() else {
                break;
            };
            self.now = at;
            match event {
                Event::Wake(i) => {
                    if self.flows[i].wake == at {
                        self.flows[i].wake = u64::MAX;
                    }
                    self.send(i);
                }
                Event::Arrive(i, number) => self.arrive(i, number),
                Event::SendAck(i) => {
                    if self.flows[i].ack_due == Some(at) {
                        self.send_ack(i);
                    }
                }
                Event::Ack(i, numbers, report) => {
                    let flow = &mut self.flows[i];
                    let newest = u64::from(report.sent.max(1)) - 1;
                    let sent = flow.in_flight.get(&newest).map(|(sent, _)| secs(*sent));
                    if let Control::Dbw(law) = &mut flow.control {
                        law.on_report(secs(at), report, sent);
                    }
                    self.acked(i, &numbers);
                    self.send(i);
                }
            }
        }
        self.now = ns(end);
    }

    /// Sends what window, pacer and probes allow.
    fn send(&mut self, i: usize) {
        let now = self.now;
        self.detect_losses(i);
        if secs(now) > self.flows[i].stop {
            return;
        }
        loop {
            let flow = &mut self.flows[i];
            let window = flow.control.window();
            let timeout = ns(2.0 * flow.srtt + 0.1) << flow.backoff.min(16);
            if flow.bytes > 0.0 && now >= flow.heard + timeout {
                flow.probes += 1;
                flow.backoff += 1;
                flow.heard = now;
            }
            if flow.probes > 0 {
                flow.probes -= 1;
            } else {
                if flow.bytes + MTU >= window {
                    break;
                }
                let own = if let Control::Dbw(law) = &flow.control { law.pace(secs(now)) } else { None };
                let (pace, capacity) = match own {
                    Some(pace) => (pace, (0.004 * pace).max(2.0 * MTU)),
                    None => (1.25 * window / flow.srtt, (window * 0.002 / flow.srtt).clamp(10.0 * MTU, 256.0 * MTU)),
                };
                flow.tokens = (flow.tokens + pace * secs(now - flow.tokens_at)).min(capacity);
                flow.tokens_at = now;
                if flow.tokens < MTU {
                    let at = now + ns((capacity - flow.tokens) / pace).max(1000);
                    self.wake(i, at);
                    break;
                }
                flow.tokens -= MTU;
            }
            let number = flow.next;
            flow.next += 1;
            flow.sent += 1;
            flow.in_flight.insert(number, (now, MTU));
            flow.bytes += MTU;
            if let Control::Dbw(law) = &mut flow.control {
                law.on_sent(secs(now), MTU);
            }
            self.forward(i, number);
        }
        let flow = &self.flows[i];
        if flow.bytes > 0.0 {
            let timeout = ns(2.0 * flow.srtt + 0.1) << flow.backoff.min(16);
            let at = (flow.heard + timeout).max(now + 1);
            self.wake(i, at);
        }
    }

    fn forward(&mut self, i: usize, number: u64) {
        let now = self.now;
        let size = MTU + HEADERS;
        let lost = self.forward.loses(&self.link, now, &mut self.random);
        let jitter = self.random.next() * self.link.jitter;
        let second = secs(now) as usize;
        Flow::book(&mut self.flows[i].drops, second).1 += 1;
        if let Some((rate, bucket)) = self.link.policer {
            self.tokens = (self.tokens + rate / 8.0 * secs(now - self.tokens_at)).min(bucket);
            self.tokens_at = now;
            if self.tokens < size {
                self.flows[i].tail_dropped += 1;
                Flow::book(&mut self.flows[i].drops, second).0 += 1;
                return;
            }
            self.tokens -= size;
        }
        let rate = self.link.rate(secs(now));
        let waiting = secs(self.busy.saturating_sub(now));
        self.queues.push((secs(now), waiting));
        if waiting * rate + size > self.link.queue {
            self.flows[i].tail_dropped += 1;
            Flow::book(&mut self.flows[i].drops, second).0 += 1;
            return;
        }
        self.busy = self.busy.max(now) + ns(size / rate);
        if !lost {
            let detour = self.link.detour.filter(|d| secs(now) >= d.0).map_or(0.0, |d| d.1);
            let at = self.busy + ns(self.link.delay + jitter + detour);
            self.push(at, Event::Arrive(i, number));
        }
    }

    fn arrive(&mut self, i: usize, number: u64) {
        let now = self.now;
        let rtt = 2.0 * self.link.delay;
        let flow = &mut self.flows[i];
        *Flow::book(&mut flow.delivered, (secs(now) * 10.0) as usize) += MTU + HEADERS;
        flow.received += 1;
        flow.pending.push(number);
        flow.report.arrived += 1;
        if number >= u64::from(flow.report.sent) {
            flow.report.runs += u32::from(number > u64::from(flow.report.sent));
            flow.report.sent = number as u32 + 1;
            flow.report.passed = (number + 1) * MTU as u64;
            flow.report.at = (now / 1000) as u32;
        }
        let (count, interval) = match flow.acks {
            Acks::Sparse(share) if flow.received > 400 => (48, (rtt * share).clamp(0.004, 0.05_f64.max(rtt / 3.0))),
            _ => (2, 0.004),
        };
        if flow.pending.len() >= count {
            self.send_ack(i);
        } else if flow.repeats > 0 || flow.ack_due.is_none() {
            flow.repeats = 0;
            let at = now + ns(interval);
            flow.ack_due = Some(at);
            self.push(at, Event::SendAck(i));
        }
    }

    fn send_ack(&mut self, i: usize) {
        let now = self.now;
        let delay = self.link.delay;
        let flow = &mut self.flows[i];
        flow.ack_due = None;
        // Silence may mean that the sender waits for an answer that was lost.
        if flow.repeats < 24 {
            flow.repeats += 1;
            let at = now + ns((0.1 * delay).max(0.008));
            flow.ack_due = Some(at);
            self.push(at, Event::SendAck(i));
        }
        let flow = &mut self.flows[i];
        flow.history.extend(flow.pending.drain(..));
        while flow.history.len() > 300 {
            flow.history.pop_front();
        }
        let numbers = flow.history.iter().copied().collect();
        let report = flow.report;
        let lost = self.back.loses(&self.link, now, &mut self.random);
        let jitter = self.random.next() * self.link.jitter;
        if !lost {
            self.push(now + ns(self.link.delay + jitter), Event::Ack(i, numbers, report));
        }
    }

    fn acked(&mut self, i: usize, numbers: &[u64]) {
        let now = self.now;
        let flow = &mut self.flows[i];
        let mut newest = None;
        for number in numbers {
            let Some((sent, bytes)) = flow.in_flight.remove(number) else {
                continue;
            };
            flow.bytes -= bytes;
            newest = newest.max(Some((*number, sent)));
            match &mut flow.control {
                Control::Dbw(law) => law.on_ack(secs(now), secs(sent), bytes),
                Control::Cubic(cubic) => cubic.on_ack(secs(now), secs(sent), bytes, flow.srtt),
            }
        }
        let Some((largest, sent)) = newest else {
            return;
        };
        if flow.received > 10
            && let (Some(rate), Control::Dbw(law)) = (flow.hint.take(), &mut flow.control)
        {
            law.hint(rate / 8.0);
        }
        if let Control::Dbw(law) = &mut flow.control {
            law.on_frame(secs(now), flow.bytes);
        }
        if flow.largest.is_none_or(|old| largest > old) {
            let rtt = secs(now - sent);
            flow.srtt = if flow.largest.is_none() { rtt } else { flow.srtt + (rtt - flow.srtt) / 8.0 };
            flow.latest = rtt;
            flow.largest = Some(largest);
        }
        flow.heard = now;
        flow.backoff = 0;
        self.detect_losses(i);
    }

    fn detect_losses(&mut self, i: usize) {
        let now = self.now;
        let flow = &mut self.flows[i];
        let Some(largest) = flow.largest else {
            return;
        };
        let patience = ns(1.25 * flow.srtt.max(flow.latest)).max(1_000_000);
        let (mut bytes, mut newest, mut next) = (0.0, 0, u64::MAX);
        let mut lost = Vec::new();
        for (&number, &(sent, size)) in flow.in_flight.range(..largest) {
            if now >= sent + patience || largest >= number + 32 {
                lost.push(number);
                bytes += size;
                newest = sent;
            } else {
                next = next.min(sent + patience);
                break;
            }
        }
        for number in &lost {
            flow.in_flight.remove(number);
        }
        flow.bytes -= bytes;
        if bytes > 0.0 {
            match &mut flow.control {
                Control::Dbw(law) => law.on_lost(secs(now), secs(newest), bytes),
                // As the RFC says it, without what the shadow allows itself.
                Control::Cubic(cubic) => cubic.on_lost(secs(now), secs(newest), 0.0),
            }
        }
        if next != u64::MAX {
            self.wake(i, next.max(now + 1));
        }
    }
}
