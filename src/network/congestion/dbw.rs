//! `dbw`, the delay-bounded window: the law that sets the congestion window from acknowledgements.
//!
//! A window's worth of packets is kept in flight such that a small, self-scaling queue stands at the bottleneck (the step of
//! FAST TCP, Wei et al. 2006). Invariant: a growing queue makes the window smaller, a loss never does, but for the moment of a doubt. Time is an
//! argument (seconds since the path began) and nothing here knows the transport; the delay statistics, rounds, start-up,
//! policers and competition each have a module of their own.

mod doubt;
mod drain;
mod holding;
mod pace;
mod starting;
mod steady;
mod target;

use super::Seconds;
use super::compete::{Compete, Crowd};
use super::delay::{Delay, Spacing};
use super::flight::Flight;
use super::policer::{Gradient, Hold, Look, Verdict};
use super::reports::Reports;
use super::rounds::{History, Round};
use super::startup::{HINT_CAP, INITIAL_PACKETS, StartUp};
use crate::transfer::Report;
use doubt::Doubts;
use drain::Drain;
use pace::Pace;

/// Window below which nothing goes, packets.
const MIN_PACKETS: f64 = 4.0;
/// The same on a path where a packet takes as long as a round trip elsewhere.
const SLOW_PACKETS: f64 = 3.0;
/// Window above which nothing goes, bytes.
const MAX_WINDOW: f64 = 256.0 * 1024.0 * 1024.0;
/// A round is over when a packet is acknowledged that left this share of a round trip after the round began: the standing
/// queue is then read from packets that met the window set at its beginning.
const ROUND_LAG: f64 = 0.25;
/// Shortest round: below it scheduling and timers are all one sees.
const ROUND_MIN: Seconds = 0.002;
/// Round trip below which what is seen of single ways is mostly how busy both hosts are.
const SHORT_TRIP: Seconds = 0.002;
/// Jitter, in seconds and in packets, from which the transport declares packets lost that are only late, the more the faster
/// they are sent; then loss proves nothing about a ceiling.
const REORDERING: Seconds = 0.004;
const REORDERED: f64 = 6.0;

/// What the controller is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Looking for the path's rate.
    StartUp,
    /// Keeping a small standing queue.
    Steady,
    /// Keeping below a policer's rate.
    Hold,
    /// Emptying the queue for a moment to see the path's own round trip.
    Drain,
    /// Sharing a queue with flows that only loss slows down.
    Compete,
}

#[derive(Debug, Clone)]
enum State {
    StartUp(StartUp),
    Steady,
    Hold(Hold),
    Drain(Drain),
    Compete(Compete),
}

/// What the ACK frame being read has brought.
#[derive(Debug, Clone, Default)]
struct Frame {
    acked: f64,
    packets: f64,
    /// Send time of the newest packet in it, and of the newest full-sized one.
    newest: Option<Seconds>,
    newest_full: Option<Seconds>,
}

/// The window law of one path.
#[derive(Debug, Clone)]
pub(super) struct Law {
    mtu: f64,
    /// Packets in each round trip below which no pace goes.
    least: f64,
    window: f64,
    state: State,
    flight: Flight,
    delay: Delay,
    reports: Reports,
    history: History,
    round: Round,
    frame: Frame,
    /// Bytes acknowledged or lost so far, and lost since the last ACK frame.
    resolved: f64,
    lost_lately: f64,
    queue: Seconds,
    /// How much longer the queue would get by the last growth of the window if the path was full.
    expected: Seconds,
    hint: f64,
    /// Rounds in a row with an empty queue, and with one far above the target.
    empty: i32,
    deep: u32,
    steady_since: Seconds,
    pace: Option<Pace>,
    /// When the first ACK frame came: what left before met an empty path in one burst.
    first_frame: Option<Seconds>,
    /// When the newest packet of the last sample was sent.
    newest_sent: Option<Seconds>,
    /// When the round trip last was at its minimum.
    low_at: Seconds,
    /// The minimum is a guess: some of the queue may be in it.
    guessed: bool,
    doubts: Doubts,
    /// Times that the path's own round trip was looked for.
    looks: usize,
    crowd: Crowd,
    crowd_at: Option<Seconds>,
    gradient: Gradient,
}

impl Law {
    /// A law at the beginning of a path whose packets are `mtu` bytes.
    pub(super) fn new(mtu: f64) -> Self {
        Self {
            mtu,
            least: MIN_PACKETS,
            window: INITIAL_PACKETS * mtu,
            state: State::StartUp(StartUp::default()),
            flight: Flight::default(),
            delay: Delay::new(),
            reports: Reports::default(),
            history: History::default(),
            round: Round::default(),
            frame: Frame::default(),
            resolved: 0.0,
            lost_lately: 0.0,
            queue: 0.0,
            expected: 0.0,
            hint: 0.0,
            empty: 0,
            deep: 0,
            steady_since: 0.0,
            pace: None,
            first_frame: None,
            newest_sent: None,
            low_at: 0.0,
            guessed: false,
            doubts: Doubts::default(),
            looks: 0,
            crowd: Crowd::default(),
            crowd_at: None,
            gradient: Gradient::default(),
        }
    }

    /// A law of a path that is known to carry `rate` bytes per second, few packets in a round trip: it keeps that pace from the first on.
    pub(super) fn known(mtu: f64, rate: f64) -> Self {
        let window = SLOW_PACKETS * mtu;
        Self { least: 1.0, window, state: State::Steady, pace: Some(Pace::new(0.0, rate)), ..Self::new(mtu) }
    }

    /// The congestion window, bytes. Where a pace is kept it only bounds what a silence of the receiver lets out.
    pub(super) fn window(&self) -> f64 {
        self.pace.as_ref().map_or(self.window, |pace| self.bound(pace.rate()).max(self.window))
    }

    /// Bytes per second to send at, where the window alone does not say.
    pub(super) fn pace(&self, now: Seconds) -> Option<f64> {
        self.pace.as_ref().map(|pace| pace.rate_at(now))
    }

    /// Bytes in flight as counted here.
    pub(super) fn in_flight(&self) -> f64 {
        self.flight.bytes()
    }

    /// The round trip without queue, if known.
    pub(super) fn min_rtt(&self) -> Option<Seconds> {
        self.delay.is_known().then(|| self.delay.min())
    }

    /// The queue that stood in the last round.
    pub(super) fn queue_delay(&self) -> Seconds {
        self.queue
    }

    /// Bytes per second that the path takes from us, before random loss; 0 while unknown.
    pub(super) fn capacity(&self) -> f64 {
        self.history.capacity()
    }

    pub(super) fn phase(&self) -> Phase {
        match self.state {
            State::StartUp(_) => Phase::StartUp,
            State::Steady => Phase::Steady,
            State::Hold(_) => Phase::Hold,
            State::Drain(_) => Phase::Drain,
            State::Compete(_) => Phase::Compete,
        }
    }

    /// The receiver's estimate of the path's rate, bytes per second.
    pub(super) fn hint(&mut self, rate: f64) {
        // Packets that were read together tell nothing.
        self.hint = if rate > HINT_CAP { 0.0 } else { rate };
        if let State::StartUp(startup) = &mut self.state {
            startup.hint(rate);
        }
    }

    /// What the receiver has counted so far, and when the newest packet in that was `sent`, if known.
    pub(super) fn on_report(&mut self, now: Seconds, report: Report, sent: Option<Seconds>) {
        let before = self.reports.newest().copied().unwrap_or_default();
        let Some(at) = self.reports.add(report, sent) else { return };
        let trip = self.delay.smoothed();
        let measures = self.delay.is_one_way() || trip == 0.0 || trip >= SHORT_TRIP;
        if let Some(sent) = sent.filter(|_| measures) {
            self.delay.returned(now, now - at);
            self.newest_sent = Some(sent);
            let packets = f64::from(report.arrived.saturating_sub(before.arrived));
            self.sample(now, at - sent, packets);
            match self.state {
                State::StartUp(_) => drop(self.take_estimate(now) || self.look_for_queue(now)),
                State::Steady => self.steer(now),
                _ => {}
            }
        }
        let counted = self.counted();
        if self.round.from.is_none() {
            self.round.from = counted;
        }
    }

    /// Shards sent and arrived, by the receiver's count.
    fn counted(&self) -> Option<(u32, u32)> {
        self.reports.newest().map(|report| (report.sent, report.arrived))
    }

    fn new_round(&self, now: Seconds) -> Round {
        Round::new(now, self.flight.bytes(), self.counted())
    }

    pub(super) fn on_sent(&mut self, now: Seconds, bytes: f64) {
        self.flight.sent(now, bytes);
        self.round.flight = self.round.flight.max(self.flight.bytes());
    }

    /// A packet of the ACK frame being read.
    pub(super) fn on_ack(&mut self, now: Seconds, sent: Seconds, bytes: f64) {
        self.flight.resolved(bytes);
        self.resolved += bytes;
        self.round.acked += bytes;
        self.frame.acked += bytes;
        self.frame.packets += bytes / self.mtu;
        self.frame.newest = Some(self.frame.newest.map_or(sent, |newest| newest.max(sent)));
        // On slow links a short packet is faster than a full one, which would pass for the round trip without queue.
        if bytes > 0.6 * self.mtu {
            self.frame.newest_full = Some(self.frame.newest_full.map_or(sent, |newest| newest.max(sent)));
        }
        let rtt = self.delay.smoothed();
        let used = self.round.flight >= 0.5 * self.window;
        if let State::Compete(compete) = &mut self.state
            && used
        {
            compete.cubic().on_ack(now, sent, bytes, rtt);
        }
    }

    /// `bytes` were declared lost, the newest of them sent at `sent`.
    pub(super) fn on_lost(&mut self, now: Seconds, sent: Seconds, bytes: f64) {
        self.flight.resolved(bytes);
        self.resolved += bytes;
        self.round.lost += bytes;
        self.lost_lately += bytes;
        if let State::Compete(compete) = &mut self.state {
            compete.cubic().on_lost(now, sent, self.delay.smoothed());
        }
    }

    /// The path marked a packet as having met congestion.
    pub(super) fn on_mark(&mut self) {
        self.round.marked = true;
    }

    /// The ACK frame has been read; the connection counts `in_flight` bytes.
    pub(super) fn on_frame(&mut self, now: Seconds, in_flight: f64) {
        self.flight.correct(in_flight);
        let frame = std::mem::take(&mut self.frame);
        let spacing = self.delay.on_frame(now);
        self.round.holed |= spacing == Spacing::Silent;
        let starting = matches!(self.state, State::StartUp(_));
        if let Some(sent) = frame.newest_full.filter(|_| spacing == Spacing::InStep || starting) {
            let rtt = (now - sent).max(0.0);
            self.delay.round_trip(rtt);
            if !self.delay.is_one_way() {
                self.newest_sent = frame.newest;
                self.sample(now, rtt, frame.packets);
            }
        }
        if starting {
            self.startup_frame(now, &frame);
        }
        self.lost_lately = 0.0;
        self.drain_tick(now);
        let lag = ROUND_LAG * self.delay.smoothed();
        if now - self.round.start >= ROUND_MIN && frame.newest.is_some_and(|sent| sent >= self.round.start + lag) {
            self.end_round(now);
        }
    }

    /// A packet took `way`; `packets` were heard of with it.
    fn sample(&mut self, now: Seconds, way: Seconds, packets: f64) {
        let competing = matches!(self.state, State::Compete(_));
        self.round.frames += 1;
        self.delay.sample(now, way, packets, self.resolved, !competing);
        if self.is_low(now) {
            self.low_at = now;
        }
        self.drain_sample(now, self.delay.newest());
    }

    fn set_window(&mut self, window: f64) {
        self.window = window.clamp(MIN_PACKETS.min(self.least + 2.0) * self.mtu, MAX_WINDOW);
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.empty = 0;
        self.deep = 0;
        self.expected = 0.0;
        self.pace = None;
    }

    fn enter_steady(&mut self, now: Seconds) {
        self.enter(State::Steady);
        if self.delay.is_one_way() {
            self.pace = Some(Pace::new(now, self.window / (self.delay.min() + self.target(self.own_rate(0.0)))));
        }
        self.steady_since = now;
        self.gradient.clear();
    }

    /// The rate we send at, bytes per second.
    fn own_rate(&self, queue: Seconds) -> f64 {
        let rtt = self.delay.min() + queue;
        self.window.min(1.1 * self.round.flight.max(self.flight.bytes())) / rtt.max(1e-5)
    }

    fn end_round(&mut self, now: Seconds) {
        let next = self.new_round(now);
        let mut round = std::mem::replace(&mut self.round, next);
        round.count(self.counted());
        let lasted = now - round.start;
        self.history.add(now, &round, lasted, self.mtu);
        if !self.delay.is_known() || round.frames == 0 {
            return;
        }
        let min = self.delay.min();
        let standing = self.delay.standing(now);
        let queue = (standing - min).max(0.0);
        let before = std::mem::replace(&mut self.queue, queue);
        let look = Look {
            rate: round.resolved() / lasted,
            packets: round.resolved() / self.mtu,
            lost: round.loss() * round.resolved() / self.mtu,
        };
        let full = round.flight >= 0.75 * self.window;
        let rate = self.window.min(1.1 * round.flight) / (min + queue).max(1e-5);
        let target = self.target(rate);
        let reordered = self.reorders(look.rate);
        self.reports.learn(round.counted, queue > pace::LONG * target);
        let peak = self.peak(now);
        // Where loss only makes us doubt, runs of it need not be ruled out.
        let alike = if reordered { doubt::ALIKE } else { f64::INFINITY };
        match &mut self.state {
            State::StartUp(startup) => {
                let ceiling = if round.holed || (reordered && round.counted.is_none()) {
                    None
                } else {
                    startup.round(&round, lasted, self.mtu, self.reports.dispersion().min(alike))
                };
                if let Some(ceiling) = ceiling {
                    if reordered && self.delay.is_one_way() {
                        self.enter_steady(now);
                        self.begin_doubt(now, round.loss(), look.rate);
                        return;
                    }
                    self.hold(now, ceiling);
                } else if round.marked
                    || (self.first_frame.is_some_and(|at| round.start > at)
                        && queue > (2.0 * target).max(0.2 * min).max(1.5 * self.delay.jitter()))
                {
                    self.leave_startup(now, min + queue, target);
                }
            }
            State::Steady => self.steady_round(now, &round, look, [before, queue], target, full),
            State::Hold(hold) => {
                let verdict = if queue > target || round.marked || reordered {
                    Verdict::Leave
                } else if full && !round.holed {
                    hold.round(now, min, &look, self.reports.dispersion())
                } else {
                    Verdict::Stay
                };
                let cap = hold.cap();
                match verdict {
                    Verdict::Stay => self.keep(cap),
                    Verdict::Leave => self.enter_steady(now),
                    Verdict::Refuted => self.enter(State::StartUp(StartUp::again(look.lost / look.packets.max(1.0)))),
                }
            }
            State::Drain(_) => {}
            State::Compete(compete) => {
                let fair = peak / 2.0 * (min + queue);
                let alone = compete.round(now, round.acked / lasted, min, queue, target / 2.0, fair);
                let window = compete.window();
                if alone {
                    // Whatever stood while nobody else was there is the best guess of the path; the next dip mends it.
                    self.delay.rebase(now, standing);
                    self.guessed = true;
                    let window = window.min(self.history.capacity() * (min + target));
                    self.set_window(window);
                    self.enter_steady(now);
                    self.crowd.clear();
                } else {
                    self.set_window(window);
                }
            }
        }
    }

    /// What the path has been seen to carry lately, and half of what the receiver's first estimate says.
    fn peak(&self, now: Seconds) -> f64 {
        self.history.peak(now).max(0.5 * self.hint)
    }

    /// Share lost, 0 to 1, without what full queues have dropped.
    fn usual_loss(&self) -> f64 {
        self.reports.usual().unwrap_or(1.0).min(self.history.loss())
    }

    /// Whether packets sent at `rate` bytes per second overtake each other so far that the transport takes late for lost.
    fn reorders(&self, rate: f64) -> bool {
        let jitter = self.delay.jitter();
        jitter > REORDERING && rate * jitter > REORDERED * self.mtu
    }
}
