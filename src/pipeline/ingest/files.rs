//! Sending the files that were announced: what may be done for each, and doing it, one chunk at a time.
//!
//! Invariant: a file leaves the queue when it is packed, sealed, to be compared or failed; nothing of it is sent before its turn
//! in the [`super::queue::Queue`].

use super::{Ingest, Offer};
use crate::fs::source::SourceError;
use crate::manifest::EntryId;
use crate::network::seam::now;
use crate::pipeline::pack::{Large, Pack, Packed, Planned, Step, digest_of};
use crate::priority::Priority;
use crate::range_set::RangeSet;
use crate::wire::chunk::CHUNK_BYTES;
use crate::wire::control::{Control, bounded_text};
use crate::wire::reply::{MAX_HAVE, Status};

/// File bytes sent before the receiver has said what it has: about the initial congestion window.
const SPECULATION: u64 = 48 * 1024;

/// What can be done for a file.
enum Turn {
    Send(RangeSet),
    Compare,
    Drop,
    Wait,
}

impl Ingest {
    /// Does the next piece of work on files; false if there is none before the receiver answers.
    pub(super) async fn advance(&mut self) -> bool {
        let mut queue = std::mem::take(&mut self.queue);
        let class = queue.next(|id| self.is_ready(id));
        self.queue = queue;
        let Some(class) = class else { return false };
        if let Some(large) = self.queue.take_current(class) {
            self.advance_large(large).await;
            return true;
        }
        let Some((id, size)) = self.queue.front(class).map(|file| (file.id, file.size)) else { return false };
        match self.turn(id) {
            Turn::Wait => return false,
            Turn::Drop => drop(self.queue.pop(class)),
            Turn::Compare => {
                if let Some(file) = self.queue.pop(class) {
                    self.tell_digest(file).await;
                }
            }
            Turn::Send(_) if size > CHUNK_BYTES as u64 => {
                let Some(file) = self.queue.pop(class) else { return false };
                match self.blocking.run(move || Large::open(file)).await {
                    Ok(large) => self.queue.put_current(large),
                    Err((file, error)) => self.cannot_send(&file, &error).await,
                }
            }
            Turn::Send(_) => self.pack_small(class).await,
        }
        true
    }

    /// Whether [`Ingest::turn`] gives something to do.
    fn is_ready(&self, id: EntryId) -> bool {
        self.may_speculate() || self.status.contains_key(&id) || !self.waiting.contains_key(&id)
    }

    fn may_speculate(&self) -> bool {
        !self.answered && self.speculated < SPECULATION
    }

    fn turn(&self, id: EntryId) -> Turn {
        if !self.waiting.contains_key(&id) {
            return Turn::Drop;
        }
        match self.status.get(&id) {
            Some(Status::Want) => Turn::Send(RangeSet::default()),
            Some(Status::Have(ranges) | Status::Begun { have: ranges, .. }) => {
                RangeSet::from_pairs(ranges.iter().copied(), MAX_HAVE)
                    .map_or(Turn::Send(RangeSet::default()), Turn::Send)
            }
            Some(Status::Held) => Turn::Compare,
            None if self.may_speculate() => Turn::Send(RangeSet::default()),
            None => Turn::Wait,
        }
    }

    /// Fills the pack with the small files at the head of a class that may be sent now.
    async fn pack_small(&mut self, class: Priority) {
        let mut files = Vec::new();
        let mut bytes = 0;
        while let Some(file) = self.queue.front(class).filter(|file| file.size <= CHUNK_BYTES as u64) {
            if !matches!(self.turn(file.id), Turn::Send(_))
                || (!files.is_empty() && bytes + file.size > CHUNK_BYTES as u64)
            {
                break;
            }
            bytes += file.size;
            if !self.status.contains_key(&file.id) {
                self.speculated += file.size;
            }
            files.extend(self.queue.pop(class));
        }
        self.queue.charge(class, bytes);
        for file in &files {
            self.status.remove(&file.id);
        }
        let mut pack = std::mem::take(&mut self.pack);
        let press = self.press.clone();
        let (pack, full, failed) = self
            .blocking
            .run(move || {
                let (mut full, mut failed) = (Vec::new(), Vec::new());
                for file in files {
                    if !pack.has_room(file.size) {
                        full.push(std::mem::take(&mut pack).encode(&press));
                    }
                    if let Err(error) = pack.add(&file) {
                        failed.push((file, error));
                    }
                }
                (pack, full, failed)
            })
            .await;
        self.pack = pack;
        for packed in full {
            self.offer(packed).await;
        }
        for (file, error) in failed {
            self.cannot_send(&file, &error).await;
        }
    }

    async fn advance_large(&mut self, mut large: Large) {
        let (id, class) = (large.file.id, large.file.class);
        let have = match self.turn(id) {
            Turn::Wait => return self.queue.put_current(large),
            Turn::Drop => return,
            Turn::Compare => return self.tell_digest(large.file).await,
            Turn::Send(have) => have,
        };
        let outline = match self.status.get(&id) {
            Some(Status::Begun { parts, .. }) => parts.iter().find(|part| part.chunk == large.next()).cloned(),
            _ => None,
        };
        // Small files that had their turn do not wait for a large one.
        self.flush_pack().await;
        let press = self.press.clone();
        let (large, step) = self
            .blocking
            .run(move || {
                let step = large.step(&have, outline.as_ref(), &press);
                (large, step)
            })
            .await;
        match step {
            Ok(Step::Chunk(packed)) => {
                if !self.status.contains_key(&id) {
                    self.speculated += packed.file_bytes;
                }
                self.queue.put_current(large);
                self.queue.charge(class, packed.file_bytes);
                self.offer(packed).await;
            }
            Ok(Step::Known(bytes)) => {
                self.tally.add_matched(bytes);
                self.queue.put_current(large);
            }
            Ok(Step::Sealed(digest)) => {
                self.status.remove(&id);
                let size = large.file.size;
                self.say(&Control::Sealed { entry: id, size, digest }).await;
                // The receiver keeps a large file open until it hears this.
                self.flush_control().await;
            }
            Err(error) => {
                let file = large.file;
                self.cannot_send(&file, &error).await;
            }
        }
    }

    /// One of the same size stands there: the receiver compares.
    async fn tell_digest(&mut self, file: Planned) {
        let id = file.id;
        self.status.remove(&id);
        // When the network side has ended, nobody waits for the digest of a file of many gigabytes.
        let offers = self.offers.clone();
        let (file, digest) = self
            .blocking
            .run(move || {
                let digest = digest_of(&file, &|| offers.is_closed());
                (file, digest)
            })
            .await;
        match digest {
            Ok(Some(digest)) => {
                self.compared.insert(id, file);
                self.say(&Control::Digest { entry: id, digest }).await;
            }
            Ok(None) => {}
            Err(error) => self.cannot_send(&file, &error).await,
        }
    }

    pub(super) async fn cannot_send(&mut self, file: &Planned, error: &SourceError) {
        self.forget(file.id);
        let (class, cause) = (error.class(), error.to_string());
        let message = Control::Failed { entry: file.id, code: class.code(), message: bounded_text(&cause) };
        self.report_failed(file.path.to_bytes(), class, cause);
        self.say(&message).await;
    }

    pub(super) async fn flush_pack(&mut self) {
        if !self.pack.is_empty() {
            let pack = std::mem::take::<Pack>(&mut self.pack);
            let press = self.press.clone();
            let packed = self.blocking.run(move || pack.encode(&press)).await;
            self.offer(packed).await;
        }
    }

    pub(super) async fn offer(&mut self, packed: Packed) {
        match &mut self.allowance {
            Some(left) if *left < packed.file_bytes => {
                // Small files that come after it would still fit, but an order that nobody can foresee helps nobody.
                *left = 0;
                let _ = self.offers.send(Offer::Stop).await;
                return;
            }
            Some(left) => *left -= packed.file_bytes,
            None => {}
        }
        self.tally.add_encoded(packed.encoded.len() as u64);
        let (encoded, ready) = (packed.encoded.len(), now());
        let _ = self.offers.send(Offer::Chunk(packed.encoded, packed.file_bytes)).await;
        self.press.handed_over(packed.file_bytes, encoded, self.handed, ready);
        self.handed = now();
    }
}
