//! Parity ahead of any known loss: which stripe gets it, and when it is worth more than what else could be sent.
//!
//! A repair costs a round trip. While other data flows that costs nothing, so in the middle of a file there is none of it; at the tail, in
//! the first flight, and where the receiver's credit would run out before repairs of repairs have come, waiting costs the link. Invariant: no
//! stripe gets more than brings it to the surplus that is said here.

use super::super::parity::PRIOR_LOSS;
use super::Outbound;

/// Standard deviations of surplus that a stripe of the idle tail gets, and before the first feedback.
const TAIL: f64 = 3.5;
const FIRST: f64 = 6.0;
/// The same on a slow link, where parity is in the way of repairs; and the loss that is assumed at first, and at least.
const SLOW: f64 = 2.0;
const SLOW_LOSS: f64 = 0.1;
const SLOW_LEAST_LOSS: f64 = 0.02;
/// The same where credit is short: enough that few need a third try.
const CROWDED: f64 = 0.5;
/// Share of the credit in use from which it is short, and loss below which repairs are too few for that to matter.
const SHORT: f64 = 0.6;
const HARDLY: f64 = 0.02;

impl Outbound {
    /// The stripe that is to have more than what it lacks, ahead of new data, because credit is short and it holds it up: one that has
    /// already been repaired or waits for it.
    pub(super) fn holding_up(&self) -> Option<u32> {
        let loss = self.loss.filter(|loss| *loss > HARDLY && self.ahead.has_tail())?;
        let (used, all) = (self.unsent.saturating_sub(self.base), self.credit.saturating_sub(self.base));
        if f64::from(used) < SHORT * f64::from(all) {
            return None;
        }
        self.least_sure(loss, CROWDED, true)
    }

    /// With nothing else to send: the stripe with the least surplus under way.
    pub(super) fn likeliest_to_fail(&self) -> Option<u32> {
        let full = self.base + self.stripes.len() as u32 >= self.credit;
        let spent = full && self.loss.is_some_and(|loss| loss > HARDLY);
        let waiting = self.idle || spent || (!self.accepted && self.unsent_shards > 0);
        // The first flight carries the hello, without which nothing counts.
        if !waiting || (self.accepted && !self.ahead.has_tail()) {
            return None;
        }
        let (loss, surplus) = match self.loss {
            _ if self.link.is_some() => (self.loss.unwrap_or(SLOW_LOSS).max(SLOW_LEAST_LOSS), SLOW),
            Some(loss) if self.accepted && !self.idle => (loss, CROWDED),
            Some(loss) => (loss.max(0.002), TAIL),
            None => (PRIOR_LOSS, FIRST),
        };
        self.least_sure(loss, surplus, false)
    }

    /// The stripe with the least surplus at `loss` of those with less than `surplus`, or of these that the receiver has spoken of.
    fn least_sure(&self, loss: f64, surplus: f64, known: bool) -> Option<u32> {
        let mut worst: Option<(u32, f64)> = None;
        for (place, stripe) in self.stripes.iter().enumerate() {
            let Some(stripe) = stripe.as_ref().filter(|stripe| stripe.all_data_sent()) else { continue };
            if known && stripe.missing == stripe.k {
                continue;
            }
            let Some(z) = stripe.surplus(loss) else { continue };
            if z < surplus && worst.is_none_or(|(_, least)| z < least) {
                worst = Some((self.base + place as u32, z));
            }
        }
        worst.map(|(number, _)| number)
    }
}
