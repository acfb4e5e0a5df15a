//! Parity ahead of any loss: what it is to be, and how much of it goes right behind the data of a stripe.
//!
//! Invariant: what a policy says holds for a full stripe, and a smaller one gets the same share of it, rounded up. Repairs are not its
//! business: whatever it says, a stripe that lacks shards gets fresh ones.

use crate::chunk::adaptive::{ParityTable, SmoothedLoss};
use crate::chunk::erasure::{DATA_SHARDS_MAX, parity_max};

/// Loss that is assumed before the first feedback.
pub(super) const PRIOR_LOSS: f64 = 0.2;

/// What is spent on parity ahead of any loss.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Parity {
    /// Where it is worth its bytes: at the tail, where a repair would cost a round trip, and in the first flight.
    #[default]
    Auto,
    /// That, and behind the data of every stripe what the table says for the loss as it is now.
    Table(ParityTable),
    /// That, and behind the data of every stripe so many on [`DATA_SHARDS_MAX`] data shards. 0 is none at all, not at the tail either.
    Exactly(u8),
}

impl Parity {
    /// Most parity shards on [`DATA_SHARDS_MAX`] data shards.
    pub const MOST: u8 = parity_max(DATA_SHARDS_MAX) as u8;
    /// Most of all shards that can be parity, in percent.
    pub const MOST_PERCENT: u8 =
        (100 * parity_max(DATA_SHARDS_MAX) / (DATA_SHARDS_MAX + parity_max(DATA_SHARDS_MAX))) as u8;

    /// `count` parity shards on [`DATA_SHARDS_MAX`] data shards, if there can be so many.
    pub fn exactly(count: u64) -> Option<Parity> {
        u8::try_from(count).ok().filter(|count| *count <= Self::MOST).map(Parity::Exactly)
    }

    /// `percent` of all shards are parity, to the nearest count on a full stripe, if there can be so many.
    pub fn share(percent: u64) -> Option<Parity> {
        let percent = u8::try_from(percent).ok().filter(|percent| *percent <= Self::MOST_PERCENT)?;
        let (parity, data) = (f64::from(percent), f64::from(100 - percent));
        Self::exactly((DATA_SHARDS_MAX as f64 * parity / data).round() as u64)
    }
}

/// A policy, and the loss that it follows.
#[derive(Debug)]
pub(super) struct Ahead {
    policy: Parity,
    loss: SmoothedLoss,
}

impl Ahead {
    pub(super) fn new(policy: Parity) -> Self {
        Self { policy, loss: SmoothedLoss::default() }
    }

    /// Takes in that `lost` of `sent` shards did not arrive.
    pub(super) fn observe(&mut self, lost: u32, sent: u32) {
        self.loss.observe(u64::from(lost), u64::from(sent));
    }

    /// Parity shards right behind the `k` data shards of a stripe.
    pub(super) fn behind(&self, k: u8) -> u32 {
        let k = usize::from(k);
        let parity = match &self.policy {
            Parity::Auto => 0,
            Parity::Table(table) => table.parity(self.loss.rate().unwrap_or(PRIOR_LOSS), k),
            Parity::Exactly(count) => (usize::from(*count) * k).div_ceil(DATA_SHARDS_MAX).min(parity_max(k)),
        };
        parity as u32
    }

    /// Whether the tail gets parity beyond that.
    pub(super) fn has_tail(&self) -> bool {
        self.policy != Parity::Exactly(0)
    }

    /// What the table says for a full stripe, and for which loss, once any was measured.
    pub(super) fn step(&self) -> Option<(usize, f64)> {
        let Parity::Table(table) = &self.policy else { return None };
        self.loss.rate().map(|loss| (table.parity(loss, DATA_SHARDS_MAX), loss))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_one_of_all_shards() {
        // The table's steps as shares, and the ends.
        for (percent, count) in [(0, 0), (1, 1), (9, 5), (17, 10), (23, 15), (29, 20), (33, 25), (50, 50), (80, 200)] {
            assert_eq!(Parity::share(percent), Some(Parity::Exactly(count)), "{percent} %");
        }
        for percent in [81, 99, 100, 256, u64::MAX] {
            assert_eq!(Parity::share(percent), None, "{percent} %");
        }
        assert_eq!((Parity::exactly(205), Parity::exactly(206)), (Some(Parity::Exactly(205)), None));
    }

    #[test]
    fn a_small_stripe_gets_its_share() {
        let behind = |count, k| Ahead::new(Parity::Exactly(count)).behind(k);
        for (count, k, expected) in
            [(0, 50, 0), (1, 50, 1), (1, 1, 1), (25, 3, 2), (25, 50, 25), (205, 50, 205), (205, 1, 5)]
        {
            assert_eq!(behind(count, k), expected, "{count} on 50, {k}");
        }
        assert_eq!(Ahead::new(Parity::Auto).behind(50), 0);
    }

    #[test]
    fn the_table_follows_the_loss() {
        let mut ahead = Ahead::new(Parity::Table(ParityTable::default()));
        assert_eq!((ahead.behind(50), ahead.step()), (25, None));
        // The first sample counts whole, the next ones three tenths each.
        for (lost, parity) in [(0, 5), (20, 10), (0, 5), (40, 15), (25, 20), (40, 25), (0, 20), (0, 15), (0, 10)] {
            ahead.observe(lost, 100);
            let (step, loss) = ahead.step().unwrap();
            assert_eq!((step, ahead.behind(50)), (parity, parity as u32), "at {loss}");
        }
        assert_eq!(ahead.behind(10), 2);
        assert_eq!(Ahead::new(Parity::Exactly(7)).step(), None);
    }
}
