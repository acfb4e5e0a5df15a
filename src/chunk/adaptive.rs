//! How much parity a stripe gets: by a table over smoothed loss, or by how likely a whole file is to arrive without feedback.
//!
//! Invariant: a stripe of k data shards never gets more than [`parity_max`]`(k)` parity shards, and more loss never means less
//! parity. Loss is a share, 0 ..= 1; what is outside or not a number counts as the nearest end of it.
//!
//! Measuring the loss is left to `transfer`; the arithmetic of the shards to [`erasure`](super::erasure).

use super::erasure::{DATA_SHARDS_MAX, SHARDS_MAX, parity_max};
use std::sync::LazyLock;

/// Weight of the newest sample in [`SmoothedLoss`].
pub const ALPHA: f64 = 0.3;

/// Exponential moving average of loss samples: each new one counts [`ALPHA`], all earlier ones together the rest.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct SmoothedLoss(Option<f64>);

impl SmoothedLoss {
    /// Takes in that `lost` of `sent` datagrams did not arrive. A sample of nothing changes nothing.
    pub fn observe(&mut self, lost: u64, sent: u64) {
        if sent == 0 {
            return;
        }
        let sample = share(lost as f64 / sent as f64);
        self.0 = Some(self.0.map_or(sample, |old| old + ALPHA * (sample - old)));
    }

    /// The average; `None` before the first sample, which is taken as it is.
    pub fn rate(self) -> Option<f64> {
        self.0
    }
}

fn share(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(0.0, 1.0) }
}

/// Why a table is not a [`ParityTable`].
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum TableError {
    /// A threshold is not between 0 and 1.
    #[error("loss threshold {0} is not between 0 and 1")]
    Threshold(f64),
    /// A threshold is not above the one before.
    #[error("loss thresholds do not ascend at {0}")]
    Thresholds(f64),
    /// Parity falls while loss grows.
    #[error("parity falls to {0} while loss grows")]
    Falls(usize),
    /// More parity shards than a full stripe can have.
    #[error("{0} parity shards are more than a stripe of {DATA_SHARDS_MAX} data shards can have")]
    Parity(usize),
}

/// Loss → parity shards on [`DATA_SHARDS_MAX`] data shards.
#[derive(Clone, Debug, PartialEq)]
pub struct ParityTable {
    /// (loss below which the step applies, parity), ascending in both.
    steps: Vec<(f64, usize)>,
    otherwise: usize,
}

impl Default for ParityTable {
    /// Below 5 % loss 5, below 10 % 10, below 15 % 15, below 20 % 20, else 25 on 50.
    fn default() -> Self {
        Self { steps: vec![(0.05, 5), (0.10, 10), (0.15, 15), (0.20, 20)], otherwise: 25 }
    }
}

impl ParityTable {
    /// A table whose `steps` say the parity below a loss, in ascending order, and `otherwise` what it is from the last one on.
    pub fn new(steps: Vec<(f64, usize)>, otherwise: usize) -> Result<Self, TableError> {
        let mut last = None;
        for &(below, _) in &steps {
            // Written so that a NaN fails.
            if !(below > 0.0 && below < 1.0) {
                return Err(TableError::Threshold(below));
            }
            if last.is_some_and(|last| below <= last) {
                return Err(TableError::Thresholds(below));
            }
            last = Some(below);
        }
        let parity: Vec<usize> = steps.iter().map(|step| step.1).chain([otherwise]).collect();
        if let Some(pair) = parity.windows(2).find(|pair| pair[1] < pair[0]) {
            return Err(TableError::Falls(pair[1]));
        }
        if otherwise > parity_max(DATA_SHARDS_MAX) {
            return Err(TableError::Parity(otherwise));
        }
        Ok(Self { steps, otherwise })
    }

    /// Parity shards for a stripe of `k` data shards, 1 ..= [`DATA_SHARDS_MAX`]: the same share as on a full one, rounded up.
    pub fn parity(&self, loss: f64, k: usize) -> usize {
        let loss = share(loss);
        let step = self.steps.iter().find(|(below, _)| loss < *below);
        let on_full = step.map_or(self.otherwise, |step| step.1);
        (on_full * k).div_ceil(DATA_SHARDS_MAX).min(parity_max(k))
    }
}

/// ln n! for n = 0 ..= [`SHARDS_MAX`].
static LN_FACTORIAL: LazyLock<[f64; SHARDS_MAX + 1]> = LazyLock::new(|| {
    let mut table = [0.0; SHARDS_MAX + 1];
    for n in 1..table.len() {
        table[n] = table[n - 1] + (n as f64).ln();
    }
    table
});

/// P(more than `m` of `k + m` shards are lost) when each is lost alone with probability `loss`, 0 < `loss` < 1.
///
/// The terms are added in log space, from the largest down: they span hundreds of powers of ten.
fn stripe_lost(k: usize, m: usize, loss: f64) -> f64 {
    let n = k + m;
    let (ln_lost, ln_kept) = (loss.ln(), (-loss).ln_1p());
    let ln_term = |lost: usize| {
        LN_FACTORIAL[n] - LN_FACTORIAL[lost] - LN_FACTORIAL[n - lost]
            + lost as f64 * ln_lost
            + (n - lost) as f64 * ln_kept
    };
    let terms: Vec<f64> = (m + 1..=n).map(ln_term).collect();
    let largest = terms.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let sum: f64 = terms.iter().map(|term| (term - largest).exp()).sum();
    (largest.exp() * sum).min(1.0)
}

/// P(a file of `stripes` stripes with `k` data and `m` parity shards each cannot be restored) when each shard is lost with
/// probability `loss`, none because of another, and nothing is sent again. `k` in 1 ..= [`DATA_SHARDS_MAX`], k + m ≤ [`SHARDS_MAX`].
pub fn file_lost(k: usize, m: usize, loss: f64, stripes: u64) -> f64 {
    let loss = share(loss);
    if stripes == 0 || loss <= 0.0 {
        return 0.0;
    }
    if loss >= 1.0 {
        return 1.0;
    }
    // 1 − (1 − q)ⁿ, without losing a small q beside the 1.
    -(stripes as f64 * (-stripe_lost(k, m, loss)).ln_1p()).exp_m1()
}

/// The least parity with which [`file_lost`] is at most `target`; [`parity_max`]`(k)` where none is enough.
pub fn least_parity(k: usize, loss: f64, stripes: u64, target: f64) -> usize {
    // Another parity shard never makes a stripe worse, so the answer can be searched for by halves.
    let (mut enough, mut least) = (parity_max(k), 0);
    while least < enough {
        let m = usize::midpoint(least, enough);
        if file_lost(k, m, loss, stripes) <= target {
            enough = m;
        } else {
            least = m + 1;
        }
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Stripes of a 20 MB file in shards of 1153 bytes.
    const STRIPES_20_MB: u64 = 20_000_000_u64.div_ceil(50 * 1153);

    #[test]
    fn the_table_steps_at_its_thresholds() {
        let table = ParityTable::default();
        let below = |x: f64| x - f64::EPSILON;
        for (loss, parity) in [
            (0.0, 5),
            (below(0.05), 5),
            (0.05, 10),
            (below(0.10), 10),
            (0.10, 15),
            (below(0.15), 15),
            (0.15, 20),
            (below(0.20), 20),
            (0.20, 25),
            (0.33, 25),
            (1.0, 25),
            (-1.0, 5),
            (7.0, 25),
            (f64::NAN, 5),
        ] {
            assert_eq!(table.parity(loss, 50), parity, "{loss}");
        }
    }

    #[test]
    fn small_stripes_get_their_share_rounded_up() {
        let table = ParityTable::default();
        for (loss, k, parity) in [
            (0.0, 1, 1),
            (0.0, 10, 1),
            (0.0, 11, 2),
            (0.0, 49, 5),
            (0.3, 1, 1),
            (0.3, 2, 1),
            (0.3, 3, 2),
            (0.3, 49, 25),
        ] {
            assert_eq!(table.parity(loss, k), parity, "{loss} {k}");
        }
        let most = ParityTable::new(vec![], 205).unwrap();
        assert_eq!((most.parity(0.0, 50), most.parity(0.0, 1)), (205, 5));
    }

    #[test]
    fn a_configured_table_is_checked() {
        assert!(ParityTable::new(vec![(0.1, 0), (0.2, 7), (0.3, 7)], 205).is_ok());
        let default = ParityTable::default();
        assert_eq!(ParityTable::new(default.steps.clone(), 25), Ok(default));
        for (steps, otherwise, error) in [
            (vec![(0.0, 5)], 6, TableError::Threshold(0.0)),
            (vec![(1.0, 5)], 6, TableError::Threshold(1.0)),
            (vec![(0.2, 5), (0.2, 6)], 7, TableError::Thresholds(0.2)),
            (vec![(0.2, 5), (0.1, 6)], 7, TableError::Thresholds(0.1)),
            (vec![(0.1, 5), (0.2, 4)], 7, TableError::Falls(4)),
            (vec![(0.1, 5)], 4, TableError::Falls(4)),
            (vec![(0.1, 5)], 206, TableError::Parity(206)),
        ] {
            assert_eq!(ParityTable::new(steps, otherwise), Err(error));
        }
        assert!(matches!(ParityTable::new(vec![(f64::NAN, 5)], 6), Err(TableError::Threshold(_))));
    }

    #[test]
    fn loss_is_smoothed_by_three_tenths() {
        let mut loss = SmoothedLoss::default();
        loss.observe(0, 0);
        assert_eq!(loss.rate(), None);
        let mut expect = |lost, sent, rate: f64| {
            loss.observe(lost, sent);
            assert!((loss.rate().unwrap() - rate).abs() < 1e-12, "{loss:?}");
        };
        expect(20, 100, 0.2);
        expect(0, 0, 0.2);
        expect(0, 10, 0.14);
        expect(5, 10, 0.248);
        // Duplicates and late counts can make more lost than sent.
        expect(30, 10, 0.4736);
    }

    #[test]
    fn the_table_is_too_weak_without_feedback() {
        let table = ParityTable::default();
        let arrives = |loss| {
            let m = table.parity(loss, 50);
            1.0 - file_lost(50, m, loss, STRIPES_20_MB)
        };
        assert_eq!(STRIPES_20_MB, 347);
        assert!((arrives(0.20) - 0.47).abs() < 0.01, "{}", arrives(0.20));
        assert!(arrives(0.25) < 1e-6, "{}", arrives(0.25));
        let m = least_parity(50, 0.20, STRIPES_20_MB, 0.001);
        assert!(file_lost(50, m, 0.20, STRIPES_20_MB) <= 0.001);
        assert!(file_lost(50, m - 1, 0.20, STRIPES_20_MB) > 0.001);
    }

    #[test]
    fn one_shard_is_a_power_of_the_loss() {
        // k = 1: lost only if all m + 1 copies are.
        for (m, expected) in [(0, 0.25), (1, 0.0625), (4, 0.25_f64.powi(5))] {
            assert!((file_lost(1, m, 0.25, 1) / expected - 1.0).abs() < 1e-12);
        }
        assert_eq!(least_parity(1, 0.25, 1, 0.001), 4);
        assert!((file_lost(2, 1, 0.5, 1) - 0.5).abs() < 1e-12);
    }

    #[test]
    fn the_ends_of_the_scale() {
        assert_eq!(least_parity(50, 0.0, 1_000_000, 0.001), 0);
        assert_eq!(least_parity(50, f64::NAN, 10, 0.001), 0);
        assert_eq!(least_parity(50, 0.5, 0, 0.001), 0);
        assert_eq!(least_parity(50, 1.0, 1, 0.001), 205);
        assert_eq!(least_parity(50, 0.9, 1000, 0.001), 205);
        assert_eq!(least_parity(7, 0.2, 10, 0.0), 248);
        // A probability far below what 1 − x can tell from 1 is still told.
        let tiny = file_lost(50, 100, 0.01, 1);
        assert!(tiny > 0.0 && tiny < 1e-80, "{tiny}");
    }

    proptest! {
        #[test]
        fn the_tail_agrees_with_the_recurrence(k in 1usize..=50, m in 0usize..60, loss in 0.01f64..0.6) {
            // P(j of n lost) built shard by shard, no factorials.
            let n = k + m;
            let mut lost = vec![1.0];
            for _ in 0..n {
                let mut next = vec![0.0; lost.len() + 1];
                for (j, p) in lost.iter().enumerate() {
                    next[j] += p * (1.0 - loss);
                    next[j + 1] += p * loss;
                }
                lost = next;
            }
            let expected: f64 = lost[m + 1..].iter().sum();
            let found = stripe_lost(k, m, loss);
            prop_assert!((found - expected).abs() <= 1e-9 * expected, "{found} {expected}");
        }

        #[test]
        fn least_parity_is_the_least(k in 1usize..=50, loss in 0.0f64..0.5, stripes in 1u64..5000) {
            let m = least_parity(k, loss, stripes, 0.001);
            prop_assert!(m <= parity_max(k));
            prop_assert!(m == parity_max(k) || file_lost(k, m, loss, stripes) <= 0.001);
            prop_assert!(m == 0 || file_lost(k, m - 1, loss, stripes) > 0.001);
        }

        #[test]
        fn more_loss_never_means_less_parity(k in 1usize..=50, a in 0.0f64..1.0, b in 0.0f64..1.0) {
            let (low, high) = (a.min(b), a.max(b));
            let table = ParityTable::default();
            prop_assert!(table.parity(low, k) <= table.parity(high, k));
            prop_assert!(least_parity(k, low, 100, 0.001) <= least_parity(k, high, 100, 0.001));
        }
    }
}
