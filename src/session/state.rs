//! The states of a session, and the one table of what may follow what.
//!
//! Invariant: every session may be taken up again by the same command, whatever became of it; only what runs completes or pauses.
//! When a session changes its state is left to `store`.

/// Where a session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Known, and not begun.
    Pending,
    /// A run is at it, or one crashed.
    Active,
    /// Stopped on purpose, to be continued.
    Paused,
    /// All of it is there.
    Completed,
    /// The last run failed.
    Failed,
    /// Given up for its age; what was received of unfinished files is forgotten.
    Expired,
}

impl State {
    /// Every state.
    pub const ALL: [State; 6] =
        [State::Pending, State::Active, State::Paused, State::Completed, State::Failed, State::Expired];

    /// The table: the states that may follow.
    const fn next(self) -> &'static [State] {
        match self {
            State::Pending | State::Paused => &[State::Active, State::Failed, State::Expired],
            // Active again: a run that crashed is taken up.
            State::Active => &[State::Paused, State::Completed, State::Failed, State::Active],
            // Active: the same command again, after it was done or its failure was mended.
            State::Completed | State::Failed => &[State::Active, State::Expired],
            State::Expired => &[State::Active],
        }
    }

    /// Whether a session of this state may become one of state `next`.
    pub fn may_become(self, next: State) -> bool {
        self.next().contains(&next)
    }

    /// Whether there is something left to continue.
    pub const fn is_resumable(self) -> bool {
        matches!(self, State::Pending | State::Active | State::Paused | State::Failed)
    }

    /// The word for it in lists and in the database.
    pub const fn word(self) -> &'static str {
        match self {
            State::Pending => "pending",
            State::Active => "active",
            State::Paused => "paused",
            State::Completed => "completed",
            State::Failed => "failed",
            State::Expired => "expired",
        }
    }

    /// The state that has this word, if one has.
    pub fn from_word(word: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.word() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_this_one() {
        let rows = [
            (State::Pending, "-A--FE"),
            (State::Active, "-APCF-"),
            (State::Paused, "-A--FE"),
            (State::Completed, "-A---E"),
            (State::Failed, "-A---E"),
            (State::Expired, "-A----"),
        ];
        for (from, row) in rows {
            for (to, letter) in State::ALL.into_iter().zip(row.chars()) {
                assert_eq!(from.may_become(to), letter != '-', "{from:?} → {to:?}");
            }
        }
        let resumable = [State::Pending, State::Active, State::Paused, State::Failed];
        assert!(State::ALL.into_iter().all(|state| state.is_resumable() == resumable.contains(&state)));
    }

    #[test]
    fn words_are_found_again() {
        assert!(State::ALL.into_iter().all(|state| State::from_word(state.word()) == Some(state)));
        assert_eq!(State::from_word("Active"), None);
    }
}
