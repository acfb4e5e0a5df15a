//! What is written down of unfinished files, so that another run goes on with them.
//!
//! Invariant: it is written down after it was written, and called durable only after it is; what has got its name or was given up is
//! taken out again. Where nothing can be written down the transfer goes on without, and says so once. How often is the caller's to say.

use super::{Assembler, Ready};
use crate::event::Event;
use crate::manifest::EntryId;
use crate::pipeline::entries::{Pending, Target};
use crate::pipeline::landing::Landing;
use crate::pipeline::parts::Parts;
use crate::pipeline::sessions::Journal;
use crate::session;
use std::collections::BTreeSet;

/// Where it is written down, and what stands there.
pub(super) struct Record {
    journal: Journal,
    /// Names of the partial files.
    names: BTreeSet<String>,
    /// Those among them that have become other files: nothing that stands there is true of them.
    replaced: BTreeSet<String>,
    /// Some of those names are not durable yet.
    has_new: bool,
    /// Bytes of files that were here when this run began.
    before: u64,
}

impl Assembler {
    /// Writes down from now on what is here of large files, and goes on with what an earlier run has `left`.
    pub(in crate::pipeline) fn record_in(&mut self, journal: Journal, left: Vec<session::Landing>) {
        // A run that was killed before its first durable record has made no name durable.
        let has_new = left.iter().any(|left| left.written.is_none());
        let mut record = Record { journal, names: BTreeSet::new(), replaced: BTreeSet::new(), has_new, before: 0 };
        for left in left {
            record.names.insert(left.partial.clone());
            // What cannot be read back, or has chunks of another size, is taken out by the next record.
            let Ok(parts) = Parts::again(self.chunk_bytes, left.size, &left.segments) else { continue };
            if u64::from(left.chunk_bytes) != self.chunk_bytes {
                continue;
            }
            record.before += parts.bytes();
            let target =
                Target { id: EntryId(0), parent: None, path: left.path.clone(), meta: left.meta, size: left.size };
            self.kept.insert(left.path, Landing::left(target, parts, left.partial, left.written));
        }
        self.record = Some(record);
    }

    /// Whether large files are here in part, which [`Assembler::record`] would write down.
    pub(in crate::pipeline) fn is_recording(&self) -> bool {
        self.record.is_some() && self.begun > 0
    }

    /// Writes down what is here of unfinished files: so that it survives the end of the process or, `durably`, a crash of the system.
    pub(in crate::pipeline) fn record(&mut self, durably: bool) {
        let Some(mut record) = self.record.take() else { return };
        match self.write_down(&mut record, durably) {
            Ok(()) => self.record = Some(record),
            Err(message) => self.out.events.push(Event::Warning {
                message: format!("{message}; a transfer that breaks off will begin its large files again"),
            }),
        }
    }

    fn write_down(&mut self, record: &mut Record, durably: bool) -> Result<(), String> {
        // Who leaves it to the system when data is durable leaves this to it as well.
        let durably = durably && self.policy.fsync;
        let (mut marks, mut names) = (Vec::new(), BTreeSet::new());
        for landing in self.landings() {
            if !landing.parts.lasts() {
                continue;
            }
            names.insert(landing.partial_name.clone());
            let mark = landing.mark(durably).map_err(|error| format!("{}: {error}", landing.partial_name))?;
            let Some(mark) = mark else { continue };
            let (name, known) = (&landing.partial_name, &record.names);
            record.has_new |= !known.contains(name) || record.replaced.contains(name);
            marks.push(session::Landing {
                partial: landing.partial_name.clone(),
                path: landing.target.path.clone(),
                meta: landing.target.meta,
                size: landing.target.size,
                chunk_bytes: landing.parts.chunk_bytes(),
                written: mark.written,
                segments: mark.segments,
            });
        }
        let gone: Vec<String> = record.names.difference(&names).chain(&record.replaced).cloned().collect();
        if marks.is_empty() && gone.is_empty() {
            return Ok(());
        }
        if durably && std::mem::take(&mut record.has_new) {
            self.disk.sync_partials().map_err(|error| error.to_string())?;
        }
        let done = record.before + self.tally.bytes_literal + self.tally.bytes_matched;
        record.journal.record(&marks, &gone, done).map_err(|error| error.to_string())?;
        record.names = names;
        record.replaced.clear();
        Ok(())
    }

    /// A partial file of this name begins: what is remembered under it is of another one.
    pub(super) fn begins(&mut self, name: &str) {
        if let Some(record) = self.record.as_mut().filter(|record| record.names.contains(name)) {
            record.replaced.insert(name.to_owned());
        }
    }

    fn landings(&mut self) -> impl Iterator<Item = &mut Landing> {
        let pending = self.pending.values_mut().filter_map(|pending| match pending {
            Pending::Landing(landing) => Some(landing),
            _ => None,
        });
        let ready = self.ready.iter_mut().filter_map(|ready| match ready {
            Ready::File(landing) => Some(&mut **landing),
            Ready::Link(..) => None,
        });
        pending.chain(ready).chain(self.kept.values_mut())
    }

    /// Whether another run can go on with this file: then it stays where it is.
    pub(super) fn lasts(&self, landing: &Landing) -> bool {
        self.record.is_some() && landing.parts.lasts()
    }
}
