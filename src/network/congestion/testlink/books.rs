//! What a simulation has come to: rates, drops, queues.

use super::{Flow, Net};

impl Flow {
    /// Mean delivered bits per second between two instants.
    pub(in crate::network::congestion) fn rate(&self, from: f64, to: f64) -> f64 {
        let (a, b) = ((from * 10.0) as usize, (to * 10.0) as usize);
        let sum: f64 = self.delivered.iter().take(b).skip(a).sum();
        sum * 8.0 / (to - from)
    }

    /// Share of the packets offered between two seconds that the bottleneck dropped.
    pub(in crate::network::congestion) fn dropped(&self, from: usize, to: usize) -> f64 {
        let bins = self.drops.iter().take(to).skip(from);
        let (dropped, offered) = bins.fold((0, 0), |(d, o), x| (d + x.0, o + x.1));
        dropped as f64 / (offered as f64).max(1.0)
    }
}

impl Net {
    /// (median, 90 % quantile) of the bottleneck's queue between two instants, seconds.
    pub(in crate::network::congestion) fn queue(&self, from: f64, to: f64) -> (f64, f64) {
        let mut seen: Vec<f64> = self.queues.iter().filter(|q| q.0 >= from && q.0 < to).map(|q| q.1).collect();
        seen.sort_by(f64::total_cmp);
        let at = |share: f64| seen.get((seen.len() as f64 * share) as usize).copied().unwrap_or(0.0);
        (at(0.5), at(0.9))
    }
}
