//! The one table: class of an outcome → exit code → transient or not.
//!
//! Every error of the library has a [`Class`]; the exit code, the retry decision, the code in `file_failed` events and the code
//! that crosses the wire are functions of it and of nothing else. Codes are rsync's where rsync has one, ≥ 40 where it has none
//! (`man resilient`, EXIT STATUS).

use serde::{Deserialize, Serialize};
use std::cmp::Ordering;

macro_rules! classes {
    ($($(#[doc = $doc:literal])* $name:ident = $code:literal, $transient:literal, $word:literal;)*) => {
        /// What kind of outcome a run, or one file of it, had.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        #[non_exhaustive]
        pub enum Class { $($(#[doc = $doc])* $name,)* }

        impl Class {
            /// Every class, in the order of the exit codes.
            pub const ALL: &'static [Class] = &[$(Class::$name,)*];

            /// The exit status of a run that ends with this class.
            pub const fn code(self) -> u8 {
                match self { $(Class::$name => $code,)* }
            }

            /// Whether running the same command again may succeed.
            pub const fn is_transient(self) -> bool {
                match self { $(Class::$name => $transient,)* }
            }

            /// The word for it in events and logs.
            pub const fn word(self) -> &'static str {
                match self { $(Class::$name => $word,)* }
            }

            /// The class that has this exit code, if one has.
            pub const fn from_code(code: u8) -> Option<Class> {
                match code { $($code => Some(Class::$name),)* _ => None }
            }
        }
    };
}

classes! {
    /// Done, or nothing to do.
    Done = 0, false, "done";
    /// Usage or configuration error; nothing was touched.
    Usage = 1, false, "usage";
    /// The peers share no protocol version.
    Version = 2, false, "version";
    /// Cannot select: sources missing, destination unusable, or nothing but what would overwrite.
    Select = 3, false, "select";
    /// Option or feature that this build or the peer does not have.
    Unsupported = 4, false, "unsupported";
    /// The network failed and the time to retry is used up.
    Network = 10, true, "network";
    /// Local or remote file I/O: no space, read error, write error.
    FileIo = 11, false, "file_io";
    /// Malformed data: a frame, a chunk, a message.
    Malformed = 12, false, "malformed";
    /// Stopped where the user had set a limit of time or bytes.
    Stopped = 20, true, "stopped";
    /// Partial: some files failed or were not overwritten, the others are complete.
    Partial = 23, false, "partial";
    /// Partial: some source files vanished or changed while being read.
    Vanished = 24, true, "vanished";
    /// Timeout in transfer.
    Timeout = 30, true, "timeout";
    /// Timeout connecting, or nobody came.
    NoContact = 35, true, "no_contact";
    /// Integrity: a digest does not match.
    Integrity = 40, false, "integrity";
    /// Authentication: key not the pinned one, ticket expired or used.
    Authentication = 41, false, "authentication";
    /// Another run holds this destination.
    Busy = 42, true, "busy";
    /// What was begun cannot be gone on with: a source has changed.
    Session = 43, false, "session";
    /// Refused by the peer's policy.
    Refused = 45, false, "refused";
    /// A bug.
    Internal = 70, false, "internal";
    /// Asked to stop, usually by a signal. The process then ends by that signal: the shell sees 128 + its number.
    Interrupted = 128, true, "interrupted";
}

impl Class {
    /// The class of a failure that a peer tells by its code: success is none.
    pub fn from_failure_code(code: u8) -> Option<Class> {
        Class::from_code(code).filter(|class| *class != Class::Done)
    }

    /// What two outcomes of a run come to: a fatal failure goes before those of single files, and such of different kinds are
    /// [`Class::Partial`]. In whatever order more of them are put together, it is the same but for which of two fatal ones it is.
    pub fn worse(self, other: Class) -> Class {
        let rank = |class: Class| match class {
            Class::Done => 0,
            Class::Vanished | Class::Select | Class::Refused => 1,
            Class::Partial => 2,
            _ => 3,
        };
        match rank(other).cmp(&rank(self)) {
            Ordering::Greater => other,
            Ordering::Equal if rank(self) == 1 && self != other => Class::Partial,
            _ => self,
        }
    }

    /// The class of a run in which `complete` files are complete and others failed, the worst as `failed`: what was not to be
    /// selected or overwritten, or is not taken there, is all that there is to say only of a run that came to nothing.
    pub fn of_run(failed: Option<Class>, complete: u64) -> Class {
        match failed {
            None => Class::Done,
            Some(Class::Select | Class::Refused) if complete > 0 => Class::Partial,
            Some(class) => class,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fatal_failure_decides_and_others_of_different_kinds_are_partial() {
        let all = Class::ALL.iter().copied();
        for one in all.clone() {
            assert_eq!((one.worse(one), one.worse(Class::Done), Class::Done.worse(one)), (one, one, one));
        }
        let mild = [Class::Vanished, Class::Select, Class::Refused, Class::Partial];
        for one in mild {
            for fatal in all.clone().filter(|class| !mild.contains(class) && *class != Class::Done) {
                assert_eq!((one.worse(fatal), fatal.worse(one)), (fatal, fatal));
            }
            for other in mild.into_iter().filter(|other| *other != one) {
                assert_eq!(one.worse(other), Class::Partial);
            }
        }
        assert_eq!(Class::Network.worse(Class::Integrity), Class::Network);
    }

    #[test]
    fn what_was_not_to_be_selected_decides_where_nothing_is_complete() {
        let mild = [Class::Select, Class::Refused, Class::Partial];
        for class in Class::ALL.iter().copied() {
            assert_eq!(Class::of_run(Some(class), 0), class);
            assert_eq!(Class::of_run(Some(class), 1), if mild.contains(&class) { Class::Partial } else { class });
        }
        assert_eq!((Class::of_run(None, 0), Class::of_run(None, 9)), (Class::Done, Class::Done));
    }

    #[test]
    fn codes_are_unique_and_found_again() {
        for class in Class::ALL {
            assert_eq!(Class::from_code(class.code()), Some(*class));
        }
        assert!(Class::ALL.windows(2).all(|w| w[0].code() < w[1].code()));
    }
}
