//! Warnings that strangers can cause, kept to a few: ten at once, then one every ten seconds, which says how many were left out.
//!
//! No IO; time is an argument.

use std::time::{Duration, Instant};

const BURST: u32 = 10;
const AGAIN: Duration = Duration::from_secs(10);

/// How many were told lately, and how many were not.
#[derive(Debug, Default)]
pub(super) struct Warnings {
    full_at: Option<Instant>,
    left_out: u64,
}

impl Warnings {
    /// The warning to tell, if one may be told now.
    pub(super) fn tell(&mut self, now: Instant, message: String) -> Option<String> {
        let full_at = self.full_at.unwrap_or(now).max(now);
        if full_at + AGAIN > now + AGAIN * BURST {
            self.left_out += 1;
            return None;
        }
        self.full_at = Some(full_at + AGAIN);
        Some(match std::mem::take(&mut self.left_out) {
            0 => message,
            more => format!("{message} ({more} more like this were not shown)"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::seam::now;

    #[test]
    fn a_flood_is_told_now_and_then_with_its_number() {
        let (start, mut warnings) = (now(), Warnings::default());
        let told = (0..1000).filter(|_| warnings.tell(start, "x".into()).is_some()).count();
        assert_eq!(told, BURST as usize);
        let later = warnings.tell(start + AGAIN, "x".into()).unwrap();
        assert_eq!(later, "x (990 more like this were not shown)");
        assert_eq!(warnings.tell(start + AGAIN, "x".into()), None);
    }
}
