//! Classes of urgency, and how they share what is scarce: deficit round robin.
//!
//! Invariants: classes that have work get bytes as 50 : 30 : 20, and none of them starves; what one leaves is the others' (work
//! conserving); a class that was idle has saved nothing up, so it cannot shut the others out when it comes back. Order within a class
//! is the caller's queue, first in, first out: only the costs of the heads are looked at. No IO, no time.
//!
//! Shreedhar and Varghese, "Efficient Fair Queueing using Deficit Round Robin", 1995. What is queued and what a byte costs is left to
//! the callers: the sender between its files, the receiver between its senders.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// How urgent something is. A smaller number is more urgent; the numbers travel.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "u8", try_from = "u8")]
#[repr(u8)]
pub enum Priority {
    /// Half of what there is.
    Critical = 0,
    /// Three tenths.
    High = 1,
    /// Two tenths.
    #[default]
    Normal = 2,
}

/// Neither the name nor the number of a class.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the priority is none of critical, high, normal")]
pub struct UnknownPriority;

impl Priority {
    /// All classes, most urgent first.
    pub const ALL: [Priority; 3] = [Self::Critical, Self::High, Self::Normal];

    /// Its place in [`Self::ALL`] and among the heads of [`DeficitRoundRobin::next`].
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Its share of what all classes get together while all have work, in percent.
    pub const fn share(self) -> u64 {
        match self {
            Self::Critical => 50,
            Self::High => 30,
            Self::Normal => 20,
        }
    }

    /// Its name, as it is typed.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Critical => "critical",
            Self::High => "high",
            Self::Normal => "normal",
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Priority {
    type Err = UnknownPriority;
    fn from_str(name: &str) -> Result<Self, UnknownPriority> {
        Self::ALL.into_iter().find(|class| class.name() == name).ok_or(UnknownPriority)
    }
}

impl From<Priority> for u8 {
    fn from(class: Priority) -> u8 {
        class as u8
    }
}

impl TryFrom<u8> for Priority {
    type Error = UnknownPriority;
    fn try_from(number: u8) -> Result<Self, UnknownPriority> {
        Self::ALL.get(usize::from(number)).copied().ok_or(UnknownPriority)
    }
}

/// Bytes a round for each percent of share. A round is then 320 KiB, a few chunks: shares hold within a fraction of a second even on a
/// link of 10 Mbit/s.
const PER_CENT: u64 = 320 * 1024 / 100;

/// Bytes that a class may take in one round.
pub const fn quantum(class: Priority) -> u64 {
    class.share() * PER_CENT
}

/// The scheduler: whose turn it is. See the module.
#[derive(Clone, Debug, Default)]
pub struct DeficitRoundRobin {
    /// Bytes that each class may still take in this round; below 0 where one turned out to cost more than was said.
    deficit: [i64; 3],
    /// Whose turn it is.
    turn: usize,
    /// Whether that class got its quantum for this turn.
    granted: bool,
}

impl DeficitRoundRobin {
    /// The class that goes next, given what the first in the queue of each class costs in bytes, `None` where a queue is empty. The
    /// answer stays the same until something is charged or the heads change.
    pub fn next(&mut self, heads: [Option<u64>; 3]) -> Option<Priority> {
        for (deficit, head) in self.deficit.iter_mut().zip(heads) {
            if head.is_none() {
                // Debts stay; savings do not.
                *deficit = (*deficit).min(0);
            }
        }
        if heads == [None; 3] {
            return None;
        }
        loop {
            // One turn more than there are classes: the first may have had its quantum already.
            for _ in 0..=heads.len() {
                if let Some(cost) = heads[self.turn] {
                    let class = Priority::ALL[self.turn];
                    if !self.granted {
                        self.granted = true;
                        self.grant(class, 1);
                    }
                    if self.deficit[self.turn] >= signed(cost) {
                        return Some(class);
                    }
                }
                self.turn = (self.turn + 1) % heads.len();
                self.granted = false;
            }
            self.skip_rounds(heads);
        }
    }

    /// Takes note that the head of `class` was taken, and what it cost in the end.
    pub fn charge(&mut self, class: Priority, cost: u64) {
        let deficit = &mut self.deficit[class.index()];
        *deficit = deficit.saturating_sub(signed(cost));
    }

    fn grant(&mut self, class: Priority, rounds: i64) {
        let deficit = &mut self.deficit[class.index()];
        *deficit = deficit.saturating_add(signed(quantum(class)).saturating_mul(rounds));
    }

    /// Goes through the rounds in which nobody could go at once, up to the one before the first that somebody can go in.
    fn skip_rounds(&mut self, heads: [Option<u64>; 3]) {
        let waiting = || Priority::ALL.into_iter().filter_map(|class| Some((class, heads[class.index()]?)));
        let rounds = waiting()
            .map(|(class, cost)| {
                let lacking = signed(cost).saturating_sub(self.deficit[class.index()]).max(0) as u64;
                lacking.div_ceil(quantum(class))
            })
            .min();
        let Some(skipped) = rounds.and_then(|rounds| rounds.checked_sub(1)) else { return };
        for (class, _) in waiting() {
            self.grant(class, signed(skipped));
        }
    }
}

/// Costs beyond this are as good as endless, and the sum of two of them still fits.
fn signed(cost: u64) -> i64 {
    i64::try_from(cost).unwrap_or(i64::MAX).min(i64::MAX / 4)
}

#[cfg(test)]
mod tests;
