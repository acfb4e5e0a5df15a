//! Files that are announced and wait for their turn: first in, first out within a class, deficit round robin between the classes.
//!
//! Invariant: of each class at most one large file is under way, so that little is open at either end. What can be done for the first
//! of each class is the caller's to say.

use crate::manifest::EntryId;
use crate::pipeline::pack::{Large, Planned};
use crate::priority::{DeficitRoundRobin, Priority};
use crate::wire::chunk::CHUNK_BYTES;
use std::collections::VecDeque;

/// The files of one class.
#[derive(Default)]
struct Lane {
    files: VecDeque<Planned>,
    /// The large file that is under way.
    current: Option<Large>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Queue {
    lanes: [Lane; 3],
    order: DeficitRoundRobin,
}

impl Queue {
    pub(super) fn push(&mut self, file: Planned) {
        self.lanes[file.class.index()].files.push_back(file);
    }

    /// Files that wait.
    pub(super) fn len(&self) -> usize {
        self.lanes.iter().map(|lane| lane.files.len()).sum()
    }

    /// Whose turn it is among the classes whose first file `is_ready`.
    pub(super) fn next(&mut self, is_ready: impl Fn(EntryId) -> bool) -> Option<Priority> {
        let heads = [0, 1, 2].map(|class| {
            let lane: &Lane = &self.lanes[class];
            let (id, left) = match (&lane.current, lane.files.front()) {
                (Some(large), _) => (large.file.id, large.left()),
                (None, Some(file)) => (file.id, file.size),
                (None, None) => return None,
            };
            is_ready(id).then_some(left.min(CHUNK_BYTES as u64))
        });
        self.order.next(heads)
    }

    /// The large file of a class that is under way; to be put back while it is not done.
    pub(super) fn take_current(&mut self, class: Priority) -> Option<Large> {
        self.lanes[class.index()].current.take()
    }

    pub(super) fn put_current(&mut self, large: Large) {
        let class = large.file.class.index();
        self.lanes[class].current = Some(large);
    }

    /// The first file of a class, not counting the one under way.
    pub(super) fn front(&self, class: Priority) -> Option<&Planned> {
        self.lanes[class.index()].files.front()
    }

    pub(super) fn pop(&mut self, class: Priority) -> Option<Planned> {
        self.lanes[class.index()].files.pop_front()
    }

    /// Takes note of bytes that were sent for a class.
    pub(super) fn charge(&mut self, class: Priority, bytes: u64) {
        self.order.charge(class, bytes);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::pack::Origin;
    use bytes::Bytes;

    fn file(id: u32, class: Priority, size: u64) -> Planned {
        let origin = Origin::Memory(Bytes::new());
        Planned {
            id: EntryId(id),
            origin,
            path: crate::manifest::TreePath::ROOT,
            size,
            mtime: crate::manifest::FileTime::default(),
            class,
        }
    }

    #[test]
    fn classes_share_and_each_keeps_its_order() {
        let mut queue = Queue::default();
        for id in 0..3000 {
            queue.push(file(id, Priority::ALL[id as usize % 3], 10_000));
        }
        let (mut bytes, mut last) = ([0; 3], [None; 3]);
        while bytes.iter().sum::<u64>() < 15_000_000 {
            let class = queue.next(|_| true).unwrap();
            let file = queue.pop(class).unwrap();
            assert!(last[class.index()] < Some(file.id));
            last[class.index()] = Some(file.id);
            bytes[class.index()] += file.size;
            queue.charge(class, file.size);
        }
        for class in Priority::ALL {
            let share = bytes[class.index()] * 100 / 15_000_000;
            assert!(share.abs_diff(class.share()) <= 2, "{class}: {share}");
        }
    }

    #[test]
    fn a_class_that_waits_leaves_its_turn_to_the_others() {
        let mut queue = Queue::default();
        queue.push(file(0, Priority::Critical, 5));
        queue.push(file(1, Priority::Normal, 5));
        assert_eq!(queue.next(|id| id.0 == 1), Some(Priority::Normal));
        assert_eq!(queue.next(|_| false), None);
        assert_eq!(queue.len(), 2);
    }
}
