//! What is here of chunks that are not whole, from one connection of a session to the next and from one run to the next.
//!
//! Invariant: it is only ever an offer to the sender, who decides by its digest whether it is what it means; so it needs neither to be durable
//! nor to be whole, and what is lost of it is sent again. Of each chunk the most that was here; no more of them than may be open on the connection
//! beside them, nor than [`MAX_OUTLINES`].

use super::sessions::Journal;
use crate::manifest::EntryId;
use crate::network::seam::{Blocking, now};
use crate::range_set::RangeSet;
use crate::transfer::{Fragment, Inbound};
use crate::wire::chunk::single_extent;
use crate::wire::reply::{MAX_HAVE, MAX_OUTLINES, Outline, Reply, Status};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Time between two times that it is written down.
const EVERY: Duration = Duration::from_millis(50);
/// Most bytes of chunks that are written down: most of a second of 10 Mbit/s.
const MOST: usize = 1 << 20;
/// Most memory of chunks that are written down or read back, which take as much as whole ones.
const MOST_MEMORY: usize = 4 << 20;
/// Shards that arrive between two such times, from where on they are a small part of what is open, and not worth it: some 8 MB/s.
const WORTH: u64 = 350;
/// The same while nothing arrives.
const SILENT: Duration = Duration::from_secs(1);
/// Stripes of a whole chunk.
const STRIPES: u32 = 3;

/// The place of a chunk: entry and offset.
type At = (EntryId, u64);

/// Chunks that are here in part.
#[derive(Debug, Default)]
pub(super) struct Fragments {
    chunks: BTreeMap<At, Fragment>,
}

/// Those of a session: its connection and its assembly share them.
pub(super) type Shared = Arc<Mutex<Fragments>>;

pub(super) fn lock(shared: &Mutex<Fragments>) -> MutexGuard<'_, Fragments> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Fragments {
    /// What an earlier run has written down, as far as it can be read.
    pub(super) fn read(mut bytes: &[u8]) -> Self {
        let mut memory = 0;
        let chunks = std::iter::from_fn(|| Fragment::read(&mut bytes)).take(MAX_OUTLINES).take_while(|chunk| {
            memory += chunk.length();
            memory <= MOST_MEMORY
        });
        Self { chunks: chunks.filter_map(|chunk| Some((single_extent(chunk.beginning())?, chunk))).collect() }
    }

    /// Those of a connection, and these beside them.
    fn with(&self, inbound: &Inbound) -> BTreeMap<At, Fragment> {
        let own = inbound.fragments().filter_map(|(_, chunk)| Some((single_extent(chunk.beginning())?, chunk)));
        let most = MAX_OUTLINES.min((inbound.window() / STRIPES) as usize);
        let mut all: BTreeMap<At, Fragment> = own.take(most).collect();
        for (at, chunk) in &self.chunks {
            let more = all.get(at).map_or(all.len() < most, |own| own.held_bytes() < chunk.held_bytes());
            if more {
                all.insert(*at, chunk.clone());
            }
        }
        all
    }

    /// As they are written down: those of the connection first, the oldest of which are the fullest, as far as there is room.
    fn written(&self, inbound: &Inbound) -> Vec<u8> {
        let (mut bytes, mut at_hand, mut memory) = (Vec::new(), BTreeSet::new(), 0);
        let own = inbound.fragments().filter_map(|(_, chunk)| Some((single_extent(chunk.beginning())?, chunk)));
        for (at, chunk) in own {
            at_hand.insert(at);
            memory += chunk.length();
            if memory > MOST_MEMORY {
                return bytes;
            }
            let fuller = self.chunks.get(&at).filter(|before| before.held_bytes() > chunk.held_bytes());
            if !add(&mut bytes, fuller.unwrap_or(&chunk)) {
                return bytes;
            }
        }
        let others = self.chunks.iter().filter(|(at, _)| !at_hand.contains(at));
        for (_, chunk) in others {
            if !add(&mut bytes, chunk) {
                break;
            }
        }
        bytes
    }

    /// What the sender is told of an entry of which it is told that these chunks are here.
    pub(super) fn outlines(&self, entry: EntryId, chunk_bytes: u64, have: &RangeSet) -> Vec<Outline> {
        let own = self.chunks.range((entry, 0)..=(entry, u64::MAX));
        let chunks = own.map(|(at, chunk)| (at.1 / chunk_bytes, chunk)).filter(|(chunk, _)| !have.contains(*chunk));
        chunks.map(|(number, chunk)| chunk.outline(number)).collect()
    }

    /// Takes the one that is to be completed, or that came whole.
    pub(super) fn take(&mut self, entry: EntryId, offset: u64) -> Option<Fragment> {
        self.chunks.remove(&(entry, offset))
    }
}

/// Writes `chunk` behind `bytes`, if there is room.
fn add(bytes: &mut Vec<u8>, chunk: &Fragment) -> bool {
    let fits = bytes.len() + chunk.held_bytes() <= MOST;
    if fits {
        chunk.write(bytes);
    }
    fits
}

/// What a session does with them while it runs.
pub(super) struct Keeping {
    pub(super) shared: Shared,
    journal: Option<Journal>,
    /// Bytes per second that the last connection has carried.
    rate: u32,
    due: Instant,
    /// Shards that had arrived the last time.
    seen: u64,
    writing: Option<JoinHandle<()>>,
}

impl Keeping {
    pub(super) fn new(shared: Shared, journal: Option<Journal>, rate: u32) -> Self {
        Self { shared, journal, rate, due: now() + EVERY, seen: 0, writing: None }
    }

    /// The same on another connection.
    pub(super) fn again(&self) -> Self {
        Self::new(self.shared.clone(), self.journal.clone(), self.rate)
    }

    /// Bytes per second that an earlier connection has carried; 0 if that is not known.
    pub(super) fn rate(&self) -> u32 {
        self.rate
    }

    /// When [`Keeping::tick`] is to be called.
    pub(super) fn due(&self) -> Instant {
        self.due
    }

    /// Writes down what is here, for the case that this is the end of the process.
    pub(super) fn tick(&mut self, blocking: Blocking, inbound: &Inbound) {
        self.due = now() + EVERY;
        let seen = inbound.counters().shards;
        let Some(journal) = self.journal.clone() else {
            self.due = now() + SILENT;
            return;
        };
        if self.writing.as_ref().is_some_and(|writing| !writing.is_finished()) {
            return;
        }
        let arrived = seen.saturating_sub(std::mem::replace(&mut self.seen, seen));
        if arrived == 0 {
            self.due = now() + SILENT;
        }
        if arrived == 0 || arrived > WORTH {
            return;
        }
        let bytes = lock(&self.shared).written(inbound);
        let rate = inbound.passed();
        self.writing = Some(tokio::spawn(blocking.run(move || journal.keep_open(rate, &bytes))));
    }

    /// Takes over what a connection leaves that has ended.
    pub(super) fn keep(&mut self, inbound: &Inbound) {
        self.rate = inbound.passed();
        let mut shared = lock(&self.shared);
        shared.chunks = shared.with(inbound);
    }
}

/// A chunk that the sender has begun with before it could know that it is here is not waited for.
pub(super) fn waive(inbound: &mut Inbound, reply: &Reply, chunk_bytes: u64) {
    let Reply::Status { first, status: Status::Have(have) | Status::Begun { have, .. }, .. } = reply else { return };
    let Ok(have) = RangeSet::from_pairs(have.iter().copied(), MAX_HAVE) else { return };
    let known = |beginning: &[u8]| {
        single_extent(beginning).is_some_and(|(entry, offset)| entry == *first && have.contains(offset / chunk_bytes))
    };
    let known: Vec<u32> =
        inbound.beginnings().filter(|(_, beginning)| known(beginning)).map(|(stripe, _)| stripe).collect();
    for stripe in known {
        inbound.waive(stripe);
    }
}
