//! What the receiver has counted: the exact loss, and the rate at which the path passes packets.
//!
//! Acknowledgements tell the same late and with holes: a packet counts as lost only when others behind it were acknowledged, so a
//! growing flight looks as if it lost nothing, and what one that overtakes another leaves behind counts as lost although it comes.
//! Invariant: reports are in the receiver's order; what is kept is bounded.

use std::collections::VecDeque;

use super::Seconds;
use crate::transfer::Report;

/// Reports kept, and for how long.
const KEPT: usize = 1024;
const KEPT_FOR: Seconds = 4.0;
/// Shards from which a share of loss means something.
const ENOUGH: u32 = 40;
/// Loss beyond the usual from which packets were dropped before the bottleneck, so that they did not pass it.
const DROPPED: f64 = 0.1;
/// Shards of a round from which its loss is worth learning, and of a stretch without queue.
const LEARNT: u32 = 30;
const SOME: u32 = 16;
/// Weights of a round that lost less than the usual, and more.
const LESS: f64 = 0.3;
const MORE: f64 = 0.05;

/// What is assumed before anything is known: runs of four, of twenty shards.
const PRIOR: (f64, f64, f64) = (8.0, 12.0, 2.0);
/// Highest correlation of neighbours that is believed: runs of 40.
const MOST_ALIKE: f64 = 0.95;

/// A report, and when the newest packet in it was sent.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    report: Report,
    sent: Option<Seconds>,
}

/// Bytes per second of some packets.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rates {
    /// At which they passed the bottleneck.
    pub(super) passed: f64,
    /// At which they were sent, if known.
    pub(super) sent: Option<f64>,
}

/// The reports of one path.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    kept: VecDeque<Kept>,
    /// Seconds on the receiver's clock.
    clock: Seconds,
    /// Share lost where no packet is dropped by a full queue, as far as rounds tell.
    usual: Option<f64>,
    /// The same where it was looked for by sending less.
    believed: Option<f64>,
}

impl Reports {
    pub(super) fn newest(&self) -> Option<&Report> {
        self.kept.back().map(|kept| &kept.report)
    }

    /// Takes a report, and when the newest packet in it was `sent`; gives the time of it on the receiver's clock. One without a new
    /// packet is ignored.
    pub(super) fn add(&mut self, report: Report, sent: Option<Seconds>) -> Option<Seconds> {
        let last = self.newest().copied().unwrap_or_default();
        if report.sent <= last.sent {
            return None;
        }
        self.clock += between(&last, &report);
        let is_old = |kept: &Kept| between(&kept.report, &report) > KEPT_FOR;
        while self.kept.len() >= KEPT || self.kept.get(1).is_some_and(is_old) {
            self.kept.pop_front();
        }
        self.kept.push_back(Kept { report, sent });
        Some(self.clock)
    }

    /// Variance of a count of losses over that of independent ones: 1 where each packet is lost or not by itself, some 12 where they are
    /// lost eight at a time. Of a chain of two states whose runs have these lengths (Gilbert 1960).
    pub(super) fn dispersion(&self) -> f64 {
        let (old, new) =
            (self.kept.front().copied().unwrap_or_default(), self.kept.back().copied().unwrap_or_default());
        dispersion(&old.report, &new.report)
    }

    /// Of a round's shards, so many were sent and so many arrived, while a `long` queue stood or none. Less loss is believed sooner than more.
    pub(super) fn learn(&mut self, counted: Option<(u32, u32)>, long: bool) {
        let Some((sent, arrived)) = counted.filter(|(sent, _)| *sent >= LEARNT) else { return };
        let loss = loss(sent, arrived);
        let usual = *self.usual.get_or_insert(loss);
        let weight = if loss < usual {
            LESS
        } else if long {
            0.0
        } else {
            MORE
        };
        self.usual = Some(usual + weight * (loss - usual));
    }

    /// Share lost where no packet is dropped by a full queue, as far as is known.
    pub(super) fn usual(&self) -> Option<f64> {
        self.usual
    }

    /// Share lost of what was sent since `at`, as far as it is heard of, and the standard deviation of that; none of too few.
    pub(super) fn loss_since(&self, at: Seconds) -> Option<(f64, f64)> {
        let from = self.kept.iter().find(|kept| kept.sent.is_some_and(|sent| sent >= at))?.report;
        let to = self.kept.back()?.report;
        let sent = to.sent - from.sent;
        let loss = loss(sent, to.arrived.saturating_sub(from.arrived));
        let noise = (dispersion(&from, &to) * (loss * (1.0 - loss)).max(0.01) / f64::from(sent.max(1))).sqrt();
        (sent >= SOME).then_some((loss, noise))
    }

    /// `loss` was seen without a full queue.
    pub(super) fn believe(&mut self, loss: f64) {
        self.usual = Some(loss);
        self.believed = Some(loss);
    }

    /// Bytes per second that passed the bottleneck over the last `span` seconds, or over more if that makes `bytes` of them. While
    /// packets wait at the bottleneck, this is its rate, before any loss behind it.
    pub(super) fn rate(&self, span: Seconds, bytes: f64) -> Option<f64> {
        self.rates(span, bytes, false).map(|rates| rates.passed)
    }

    /// The same beside the rate at which the same packets were sent. Where a `long` queue stands, it is taken to be full, and what is lost
    /// beyond the usual to have been dropped by it.
    pub(super) fn rates(&self, span: Seconds, bytes: f64, long: bool) -> Option<Rates> {
        let Kept { report: newest, sent: newest_sent } = self.kept.back()?;
        let passed = |report: &Report| newest.passed.saturating_sub(report.passed) as f64;
        let enough = |kept: &&Kept| between(&kept.report, newest) >= span && passed(&kept.report) >= bytes;
        let Kept { report: from, sent: from_sent } = self.kept.iter().rev().find(enough)?;
        let bytes = passed(from);
        let sending = newest_sent.zip(*from_sent).map(|(newest, from)| bytes / (newest - from).max(1e-4));
        let rate = bytes / between(from, newest).max(1e-4);
        let passed = match self.usual.filter(|_| long) {
            Some(usual) => {
                let now = loss(newest.sent - from.sent, newest.arrived.saturating_sub(from.arrived));
                rate * ((1.0 - now) / (1.0 - usual).max(0.05)).min(1.0)
            }
            None => self.undropped(rate, from, newest),
        };
        Some(Rates { passed, sent: sending })
    }

    /// `rate` without what was dropped on its way to the bottleneck between two reports: that is not what it passes.
    fn undropped(&self, rate: f64, from: &Report, newest: &Report) -> f64 {
        let (sent, arrived) = (newest.sent - from.sent, newest.arrived.saturating_sub(from.arrived));
        if from.sent < ENOUGH || sent < ENOUGH {
            return rate;
        }
        let usual = loss(from.sent, from.arrived).min(self.believed.unwrap_or(1.0));
        let now = loss(sent, arrived);
        let noise = (self.dispersion() * usual * (1.0 - usual) / f64::from(sent)).sqrt();
        if now > usual + DROPPED + 3.0 * noise { rate * (1.0 - now) / (1.0 - usual).max(0.05) } else { rate }
    }
}

/// Variance of a count of losses between two reports over that of independent ones.
fn dispersion(old: &Report, new: &Report) -> f64 {
    let (mut lost, mut arrived, mut runs) = PRIOR;
    let (sent, came) = (new.sent - old.sent, new.arrived.saturating_sub(old.arrived));
    lost += f64::from(sent.saturating_sub(came));
    arrived += f64::from(came);
    runs += f64::from(new.runs.saturating_sub(old.runs));
    let alike = (1.0 - runs / lost - runs / arrived).clamp(0.0, MOST_ALIKE);
    (1.0 + alike) / (1.0 - alike)
}

/// Share of `sent` that has not arrived, 0 to 1.
pub(super) fn loss(sent: u32, arrived: u32) -> f64 {
    (1.0 - f64::from(arrived) / f64::from(sent.max(1))).clamp(0.0, 1.0)
}

/// Seconds from one report to a later one.
fn between(earlier: &Report, later: &Report) -> Seconds {
    f64::from(later.at.wrapping_sub(earlier.at)) / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Packets of 1000 bytes, sent `every` seconds from the beginning on, of which those arrive that `arrives` says, `spaced` seconds
    /// apart; reported every ten.
    fn path(packets: u32, every: Seconds, spaced: Seconds, arrives: impl Fn(u32) -> bool) -> Reports {
        let mut reports = Reports::default();
        let mut report = Report::default();
        for number in 0..packets {
            if arrives(number) {
                report.runs += u32::from(number > report.sent);
                report.sent = number + 1;
                report.arrived += 1;
                report.passed = 1000 * u64::from(number + 1);
                report.at = (f64::from(number) * spaced * 1e6) as u32;
            }
            if number % 10 == 9 {
                reports.add(report, Some(f64::from(report.sent) * every));
            }
        }
        reports
    }

    #[test]
    fn what_passes_is_told_whatever_is_lost_behind() {
        for lost in [0, 2, 3] {
            let reports = path(400, 0.001, 0.002, |number| lost == 0 || number % lost != 0);
            let rates = reports.rates(0.1, 0.0, false).unwrap();
            assert!((rates.passed - 500e3).abs() < 5e3, "{rates:?}");
            assert!((rates.sent.unwrap() - 1e6).abs() < 1e4, "{rates:?}");
        }
    }

    #[test]
    fn what_is_dropped_before_the_bottleneck_does_not_pass_it() {
        // From the three hundredth on every second one is dropped: 500 a second arrive of 1000.
        let reports = path(400, 0.001, 0.001, |number| number < 300 || number % 2 == 0);
        let rate = reports.rate(0.1, 0.0).unwrap();
        // Some that were not dropped are in it.
        assert!((rate - 500e3).abs() < 60e3, "{rate}");
    }

    #[test]
    fn a_stretch_that_is_not_there_has_no_rate() {
        assert!(path(100, 0.001, 0.001, |_| true).rate(0.2, 0.0).is_none());
        assert!(path(100, 0.001, 0.001, |_| true).rate(0.01, 1e6).is_none());
        assert!(Reports::default().rate(0.0, 0.0).is_none());
    }

    #[test]
    fn what_a_long_queue_drops_does_not_pass_it() {
        // A fifth is lost on the way; from the two hundredth on every second of the others is dropped by a full queue.
        let arrives = |number: u32| !number.is_multiple_of(5) && (number < 200 || number.is_multiple_of(2));
        let mut reports = path(400, 0.001, 0.001, arrives);
        let full = |reports: &Reports| reports.rates(0.1, 0.0, true).unwrap().passed;
        reports.learn(Some((200, 160)), false);
        reports.learn(Some((200, 80)), true);
        reports.learn(Some((LEARNT - 1, 0)), false);
        assert!((full(&reports) - 500e3).abs() < 2e4, "{}", full(&reports));
        // A round that lost less is believed, though a long queue stood.
        reports.learn(Some((200, 200)), true);
        assert!(full(&reports) < 480e3, "{}", full(&reports));
    }

    #[test]
    fn losses_in_runs_are_told_from_independent_ones() {
        // A sixth is lost: here and there, or twelve in a row.
        let scattered = path(1200, 0.001, 0.001, |number| (number * 7919) % 6 != 0).dispersion();
        let in_runs = path(1200, 0.001, 0.001, |number| number % 72 >= 12).dispersion();
        assert!(scattered < 2.0, "{scattered}");
        assert!(in_runs > 8.0, "{in_runs}");
    }

    #[test]
    fn the_clock_of_the_receiver_may_wrap() {
        let mut reports = Reports::default();
        let at = |at: u32, sent: u32| Report { passed: 1000 * u64::from(sent), sent, arrived: sent, at, runs: 0 };
        reports.add(at(u32::MAX - 49_999, 10), None);
        let first = reports.clock;
        let second = reports.add(at(50_000, 110), None).unwrap();
        assert!((second - first - 0.1).abs() < 1e-6, "{first} {second}");
        assert!((reports.rate(0.05, 0.0).unwrap() - 1e6).abs() < 1.0);
        assert_eq!(reports.add(at(60_000, 110), None), None, "nothing new");
    }
}
