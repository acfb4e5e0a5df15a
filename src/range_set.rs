//! A set of numbers kept as ranges: which chunks, or which bytes, are there.
//!
//! Invariant: ranges are half-open, not empty, ascending, and neither overlap nor touch, so equal sets look equal and the size of a
//! set is what its holes cost. Sets that come from elsewhere are held to the same form and to a bounded number of ranges.
//! What is counted is for the caller.

use serde::de::{self, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

/// Most ranges that are accepted from a serialized set: 16 MiB of them.
pub const MAX_RANGES: usize = 1 << 20;

/// A set of `u64` (all but `u64::MAX`) as sorted, disjoint, coalesced ranges.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RangeSet {
    /// Start → end.
    ranges: BTreeMap<u64, u64>,
}

/// Why pairs of numbers are not a [`RangeSet`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RangeError {
    /// A range that ends where it starts, or before.
    #[error("range {start}..{end} is empty")]
    Empty {
        /// Its start.
        start: u64,
        /// Its end.
        end: u64,
    },
    /// A range that overlaps, touches or precedes the one before.
    #[error("ranges do not ascend at {start}")]
    Order {
        /// Its start.
        start: u64,
    },
    /// More ranges than the caller allows.
    #[error("more than {max} ranges")]
    TooMany {
        /// Ranges allowed.
        max: usize,
    },
}

impl RangeSet {
    /// The empty set.
    pub const fn new() -> Self {
        Self { ranges: BTreeMap::new() }
    }

    /// The set of these (start, end), which must have the form that [`iter`](Self::iter) gives; at most `max` of them are read.
    pub fn from_pairs(pairs: impl IntoIterator<Item = (u64, u64)>, max: usize) -> Result<Self, RangeError> {
        let mut set = Self::new();
        for (start, end) in pairs {
            set.push(start, end, max)?;
        }
        Ok(set)
    }

    /// Appends one range that comes from elsewhere.
    fn push(&mut self, start: u64, end: u64, max: usize) -> Result<(), RangeError> {
        if self.ranges.len() >= max {
            return Err(RangeError::TooMany { max });
        }
        if start >= end {
            return Err(RangeError::Empty { start, end });
        }
        if self.ranges.last_key_value().is_some_and(|(_, &last)| start <= last) {
            return Err(RangeError::Order { start });
        }
        self.ranges.insert(start, end);
        Ok(())
    }

    /// Adds every number of `range`; an empty range adds nothing.
    pub fn insert(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let Range { mut start, mut end } = range;
        // Swallow what overlaps or touches, from the right: only the leftmost of them can start before this one.
        while let Some((&other, &other_end)) = self.ranges.range(..=end).next_back() {
            if other_end < start {
                break;
            }
            self.ranges.remove(&other);
            start = start.min(other);
            end = end.max(other_end);
        }
        self.ranges.insert(start, end);
    }

    /// Whether `number` is in the set.
    pub fn contains(&self, number: u64) -> bool {
        self.end_of_range_at(number).is_some()
    }

    /// Whether every number of `range` is in the set; true for an empty range.
    pub fn contains_range(&self, range: Range<u64>) -> bool {
        range.is_empty() || self.end_of_range_at(range.start).is_some_and(|end| range.end <= end)
    }

    /// The end of the range that holds `number`.
    fn end_of_range_at(&self, number: u64) -> Option<u64> {
        let (_, &end) = self.ranges.range(..=number).next_back()?;
        (number < end).then_some(end)
    }

    /// What `within` has and the set has not, ascending.
    pub fn missing(&self, within: Range<u64>) -> impl Iterator<Item = Range<u64>> + '_ {
        let mut start = self.end_of_range_at(within.start).unwrap_or(within.start);
        let mut later = self.ranges.range(start..);
        std::iter::from_fn(move || {
            if start >= within.end {
                return None;
            }
            let (hole_end, next) = match later.next() {
                Some((&range_start, &range_end)) => (range_start.min(within.end), range_end),
                None => (within.end, within.end),
            };
            let hole = start..hole_end;
            start = next;
            Some(hole)
        })
    }

    /// How many numbers are in the set.
    pub fn len(&self) -> u64 {
        self.iter().map(|range| range.end - range.start).sum()
    }

    /// Whether no number is in the set.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// How many ranges the set is made of.
    pub fn range_count(&self) -> usize {
        self.ranges.len()
    }

    /// The ranges, ascending.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = Range<u64>> + '_ {
        self.ranges.iter().map(|(&start, &end)| start..end)
    }
}

impl fmt::Debug for RangeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

impl FromIterator<Range<u64>> for RangeSet {
    fn from_iter<I: IntoIterator<Item = Range<u64>>>(ranges: I) -> Self {
        let mut set = Self::new();
        for range in ranges {
            set.insert(range);
        }
        set
    }
}

impl Serialize for RangeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(&self.ranges)
    }
}

impl<'de> Deserialize<'de> for RangeSet {
    /// Refuses what [`RangeSet::from_pairs`] refuses, with at most [`MAX_RANGES`].
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Pairs;
        impl<'de> Visitor<'de> for Pairs {
            type Value = RangeSet;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("ascending pairs of start and end")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<RangeSet, A::Error> {
                let mut set = RangeSet::new();
                while let Some((start, end)) = pairs.next_element()? {
                    set.push(start, end, MAX_RANGES).map_err(de::Error::custom)?;
                }
                Ok(set)
            }
        }
        deserializer.deserialize_seq(Pairs)
    }
}

#[cfg(test)]
#[allow(clippy::single_range_in_vec_init)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges(set: &RangeSet) -> Vec<Range<u64>> {
        set.iter().collect()
    }

    #[test]
    fn neighbours_become_one() {
        let mut set = RangeSet::new();
        for range in [4..6, 0..2, 8..9, 20..30] {
            set.insert(range);
        }
        assert_eq!(ranges(&set), [0..2, 4..6, 8..9, 20..30]);
        set.insert(2..4);
        assert_eq!(ranges(&set), [0..6, 8..9, 20..30]);
        set.insert(5..20);
        assert_eq!(ranges(&set), [0..30]);
        set.insert(10..11);
        #[allow(clippy::reversed_empty_ranges)]
        for empty in [50..50, 60..40] {
            set.insert(empty.clone());
            assert!(set.contains_range(empty));
        }
        assert_eq!((ranges(&set), set.len(), set.range_count()), (vec![0..30], 30, 1));
    }

    #[test]
    fn the_ends_of_the_scale() {
        let mut set = RangeSet::new();
        assert_eq!((set.len(), set.is_empty()), (0, true));
        set.insert(u64::MAX - 1..u64::MAX);
        set.insert(0..1);
        assert!(set.contains(u64::MAX - 1) && !set.contains(u64::MAX));
        assert_eq!(set.missing(0..u64::MAX).collect::<Vec<_>>(), [1..u64::MAX - 1]);
        set.insert(0..u64::MAX);
        assert_eq!(set.len(), u64::MAX);
        assert_eq!(set.missing(0..u64::MAX).count(), 0);
    }

    #[test]
    fn sets_from_elsewhere_are_checked() {
        let from = |pairs: &[(u64, u64)]| RangeSet::from_pairs(pairs.iter().copied(), 3);
        assert_eq!(ranges(&from(&[(0, 2), (3, 4), (9, 10)]).unwrap()), [0..2, 3..4, 9..10]);
        for (pairs, error) in [
            (&[(3, 3)][..], RangeError::Empty { start: 3, end: 3 }),
            (&[(3, 2)], RangeError::Empty { start: 3, end: 2 }),
            (&[(0, 2), (2, 3)], RangeError::Order { start: 2 }),
            (&[(0, 2), (1, 3)], RangeError::Order { start: 1 }),
            (&[(5, 6), (0, 2)], RangeError::Order { start: 0 }),
            (&[(0, 1), (2, 3), (4, 5), (6, 7)], RangeError::TooMany { max: 3 }),
        ] {
            assert_eq!(from(pairs), Err(error));
        }
        // An endless stream of ranges is not read to its end.
        let endless = (0..).map(|n| (2 * n, 2 * n + 1));
        assert_eq!(RangeSet::from_pairs(endless, 1000), Err(RangeError::TooMany { max: 1000 }));
    }

    #[test]
    fn it_travels_as_pairs() {
        let set: RangeSet = [0..2, 5..9].into_iter().collect();
        let json = serde_json::to_string(&set).unwrap();
        assert_eq!(json, "[[0,2],[5,9]]");
        assert_eq!(serde_json::from_str::<RangeSet>(&json).unwrap(), set);
        for bad in ["[[2,0]]", "[[0,2],[2,3]]", "[[0,2,3]]", "7"] {
            assert!(serde_json::from_str::<RangeSet>(bad).is_err(), "{bad}");
        }
        let config = bincode::config::standard();
        let binary = bincode::serde::encode_to_vec(&set, config).unwrap();
        assert_eq!(binary, [2, 0, 2, 5, 9]);
        let (back, _) = bincode::serde::decode_from_slice::<RangeSet, _>(&binary, config).unwrap();
        assert_eq!(back, set);
        // A count that nothing stands behind allocates nothing.
        let lie = [253, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0, 1];
        assert!(bincode::serde::decode_from_slice::<RangeSet, _>(&lie, config).is_err());
        // More than MAX_RANGES, honestly there.
        let count = MAX_RANGES as u64 + 1;
        let many: Vec<(u64, u64)> = (0..count).map(|n| (2 * n, 2 * n + 1)).collect();
        let binary = bincode::serde::encode_to_vec(&many, config).unwrap();
        assert!(bincode::serde::decode_from_slice::<RangeSet, _>(&binary, config).is_err());
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            inserts in vec((0u64..120, 0u64..25), 0..25),
            asked in (0u64..140, 0u64..140),
        ) {
            let mut set = RangeSet::new();
            let mut model = BTreeSet::new();
            for (start, length) in inserts {
                set.insert(start..start + length);
                model.extend(start..start + length);
                prop_assert_eq!(set.len(), model.len() as u64);
                prop_assert!(set.iter().flatten().eq(model.iter().copied()));
                let ranges = ranges(&set);
                prop_assert!(ranges.iter().all(|range| range.start < range.end));
                prop_assert!(ranges.windows(2).all(|pair| pair[0].end < pair[1].start));
            }
            let asked = asked.0..asked.1;
            prop_assert!((0..150).all(|number| set.contains(number) == model.contains(&number)));
            prop_assert_eq!(set.contains_range(asked.clone()), asked.clone().all(|number| model.contains(&number)));
            let missing: Vec<_> = set.missing(asked.clone()).collect();
            prop_assert!(missing.iter().all(|range| range.start < range.end));
            prop_assert!(missing.windows(2).all(|pair| pair[0].end < pair[1].start));
            let expected = asked.filter(|number| !model.contains(number));
            prop_assert!(missing.into_iter().flatten().eq(expected));
            let again = RangeSet::from_pairs(set.iter().map(|range| (range.start, range.end)), 100);
            prop_assert_eq!(again, Ok(set));
        }
    }
}
