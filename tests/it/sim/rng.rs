//! The generator of the simulation: SplitMix64.
//!
//! Own code, ten lines, so that no upgrade of a crate ever changes what a seed means. Not for secrets.

/// SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014).
#[derive(Clone, Debug)]
pub(crate) struct Rng(u64);

/// The golden ratio in 64 bits: the step between states.
const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

/// The finaliser of SplitMix64: a bijection in which every bit of the input moves every bit of the output.
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// A running hash, continued by one value. Depends on the order of the values.
pub(crate) fn absorb(hash: u64, value: u64) -> u64 {
    mix(hash.wrapping_add(STEP) ^ mix(value.wrapping_add(STEP)))
}

impl Rng {
    /// The sequence that belongs to `seed`.
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// The sequence that belongs to several values together, independent of the order in which sequences are made.
    pub(crate) fn of(values: impl IntoIterator<Item = u64>) -> Rng {
        Rng(values.into_iter().fold(0, absorb))
    }

    /// The next 64 bits.
    pub(crate) fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(STEP);
        mix(self.0)
    }

    /// Uniform in [0, 1).
    pub(crate) fn unit(&mut self) -> f64 {
        (self.bits() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Uniform in `low..high`.
    pub(crate) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Log-uniform in `low..high`, both positive: each decade is as likely as the next.
    pub(crate) fn decades(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.unit())
    }

    /// True with probability `p`.
    pub(crate) fn chance(&mut self, p: f64) -> bool {
        self.unit() < p
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_published_sequence() {
        let mut rng = Rng::new(1_234_567);
        let first: Vec<u64> = (0..3).map(|_| rng.bits()).collect();
        assert_eq!(first, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn ranges_are_kept_and_filled() {
        let mut rng = Rng::new(1);
        let mean = (0..100_000).map(|_| rng.unit()).sum::<f64>() / 100_000.0;
        assert!((mean - 0.5).abs() < 0.004, "{mean}");
        let decades: Vec<f64> = (0..10_000).map(|_| rng.decades(1.0, 10_000.0)).collect();
        assert!(decades.iter().all(|v| (1.0..10_000.0).contains(v)));
        let low = decades.iter().filter(|v| **v < 100.0).count();
        assert!((4_800..5_200).contains(&low), "{low} of 10,000 in the lower two decades of four");
    }

    #[test]
    fn order_and_every_value_count() {
        let first = |values: [u64; 3]| Rng::of(values).bits();
        assert_ne!(first([1, 2, 3]), first([1, 3, 2]));
        assert_ne!(first([1, 2, 3]), first([0, 2, 3]));
        assert_eq!(first([1, 2, 3]), first([1, 2, 3]));
    }
}
