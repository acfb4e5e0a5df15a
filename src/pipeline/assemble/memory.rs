//! What a session remembers of entries that have come to their end: for the counters and for the modes of directories, in case the
//! sender loses its connection and announces everything again.
//!
//! Invariant: eight bytes for an entry and at most [`ENTRIES`] of them, however long the transfer; no path is kept. A manifest comes again
//! in the same order but for what was added, removed or changed meanwhile, so the two are laid side by side like two versions of
//! a text. What is not found again, or lies beyond the bound, counts as new: counters may then count it twice, and a directory
//! keeps the mode that stands there, which is the safe side.

use crate::manifest::{EntryId, TreePath};

/// Entries that are remembered.
const ENTRIES: usize = 1 << 20;
/// How far ahead an entry is looked for in the earlier manifest: so many may have been removed in one place.
const AHEAD: usize = 1024;
/// It was said to be done.
const TOLD: u64 = 1;
/// It is a directory that this session has made.
const MADE: u64 = 2;

/// One word for every entry: its path, as a number that no two paths share but by accident, and what became of it.
#[derive(Default)]
pub(super) struct Memory {
    now: Vec<u64>,
    /// The words of earlier connections that have not been met again.
    before: Vec<u64>,
    at: usize,
}

impl Memory {
    /// The next entry, in the order of their numbers.
    pub(super) fn announced(&mut self, path: &TreePath) {
        let word = number_of(path) & !(TOLD | MADE);
        let ahead = &self.before[self.at.min(self.before.len())..];
        let found = ahead.iter().take(AHEAD).position(|known| known & !(TOLD | MADE) == word);
        let known = found.map_or(0, |place| {
            self.at += place + 1;
            self.before[self.at - 1] & (TOLD | MADE)
        });
        if self.now.len() < ENTRIES {
            self.now.push(word | known);
        }
    }

    /// The manifest begins again.
    pub(super) fn again(&mut self) {
        // What the last connection did not come to is still known from the one before it.
        self.now.extend_from_slice(&self.before[self.at..]);
        self.now.truncate(ENTRIES);
        self.before = std::mem::take(&mut self.now);
        self.at = 0;
    }

    /// Notes that it was said to be done. Whether that was so already.
    pub(super) fn tell(&mut self, id: EntryId) -> bool {
        self.mark(id, TOLD)
    }

    pub(super) fn was_told(&self, id: EntryId) -> bool {
        self.is(id, TOLD)
    }

    /// Notes that this session has made the directory.
    pub(super) fn make(&mut self, id: EntryId) {
        self.mark(id, MADE);
    }

    pub(super) fn was_made(&self, id: EntryId) -> bool {
        self.is(id, MADE)
    }

    fn is(&self, id: EntryId, mark: u64) -> bool {
        self.now.get(id.0 as usize).is_some_and(|word| word & mark != 0)
    }

    fn mark(&mut self, id: EntryId, mark: u64) -> bool {
        let Some(word) = self.now.get_mut(id.0 as usize) else { return false };
        let was = *word & mark != 0;
        *word |= mark;
        was
    }
}

/// A number for a path that no two paths of a transfer share but by an accident of 1 in 2⁶².
pub(super) fn number_of(path: &TreePath) -> u64 {
    let digest = blake3::hash(&path.to_bytes());
    u64::from_le_bytes(*digest.as_bytes().first_chunk().expect("a digest has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::Name;

    fn announce(memory: &mut Memory, names: &[&str]) {
        for name in names {
            memory.announced(&TreePath::ROOT.join(Name::new(*name).unwrap()).unwrap());
        }
    }

    fn told(memory: &Memory, count: u32) -> Vec<bool> {
        (0..count).map(|id| memory.was_told(EntryId(id))).collect()
    }

    #[test]
    fn what_was_told_is_known_under_other_numbers() {
        let mut memory = Memory::default();
        announce(&mut memory, &["a", "b", "c", "d"]);
        assert!(!memory.tell(EntryId(0)) && !memory.tell(EntryId(2)) && memory.tell(EntryId(2)));
        memory.make(EntryId(3));
        memory.again();
        // `b` is gone, two were added, and the connection breaks before `d`.
        announce(&mut memory, &["0", "a", "aa", "c"]);
        assert_eq!(told(&memory, 5), [false, true, false, true, false]);
        memory.tell(EntryId(2));
        memory.again();
        announce(&mut memory, &["0", "a", "aa", "c", "d"]);
        assert_eq!(told(&memory, 5), [false, true, true, true, false]);
        assert!(memory.was_made(EntryId(4)) && !memory.was_made(EntryId(3)));
    }

    #[test]
    fn what_lies_beyond_the_bound_is_new() {
        let mut memory = Memory { now: vec![4; ENTRIES], ..Memory::default() };
        announce(&mut memory, &["a"]);
        assert!(!memory.tell(EntryId(ENTRIES as u32)) && !memory.was_told(EntryId(ENTRIES as u32)));
        assert_eq!(memory.now.len(), ENTRIES);
    }
}
