//! What stands where an announced entry is to go, and what the sender is told of it.
//!
//! Invariant: nothing that stands there is changed here but directories being made; a file of the same size is hashed, any other is
//! refused at once.

use super::{AssembleError, Assembler, MAX_REMEMBERED, cost, disk_class, number_of};
use crate::class::Class;
use crate::fs::disk::{DiskError, Found};
use crate::integrity::{self, Digest};
use crate::manifest::{Entry, EntryId, Kind, TreePath, link_stays_below};
use crate::pipeline::entries::{Directory, Landing, Pending, Target};
use crate::wire::WireError;
use crate::wire::reply::{MAX_HAVE, Status};

impl Assembler {
    /// Looks at what stands where an announced entry is to go.
    pub(super) fn announce(&mut self, id: EntryId, entry: Entry) -> Result<(), AssembleError> {
        let parent = match entry.parent {
            None => TreePath::ROOT,
            Some(parent) => match self.directories.get(&parent) {
                Some(directory) if directory.usable => directory.target.path.clone(),
                Some(directory) => {
                    // The cause was said for the directory itself.
                    let path = directory.target.path.join(entry.name.clone()).map_err(|_| WireError::Range("path"))?;
                    if entry.kind == Kind::Directory {
                        self.directories.insert(
                            id,
                            Directory {
                                target: Target { path: path.clone(), meta: entry.meta, size: 0 },
                                usable: false,
                            },
                        );
                    }
                    self.fail(id, &path, Class::Partial, "its directory could not be used");
                    return Ok(());
                }
                None => return Err(WireError::Range("parent").into()),
            },
        };
        let path = parent.join(entry.name.clone()).map_err(|_| WireError::Range("path"))?;
        let target = Target { path, meta: entry.meta, size: entry.size() };
        self.remembered += cost(&target.path);
        if self.remembered > MAX_REMEMBERED {
            return Err(AssembleError::TooLarge);
        }
        match self.disk.look(&target.path) {
            Err(error) => {
                self.fail_disk(id, &target.path, &error);
                if entry.kind == Kind::Directory {
                    self.directories.insert(id, Directory { target, usable: false });
                }
            }
            Ok(found) => match entry.kind {
                Kind::Directory => self.announce_directory(id, target, found),
                Kind::Symlink { target: to } => self.announce_link(id, &parent, target, to, found),
                Kind::File { size } => self.announce_file(id, target, size, found),
                Kind::Stream => return Err(WireError::Unknown("kind of entry").into()),
            },
        }
        Ok(())
    }

    fn announce_directory(&mut self, id: EntryId, mut target: Target, found: Option<Found>) {
        let made = match found {
            // One that is there is made writable for as long as we need it.
            Some(Found::Directory { .. }) | None => {
                self.disk.make_dir(&target.path).map_err(|error| (disk_class(&error), error.to_string()))
            }
            Some(_) => Err((Class::Select, "exists and is not a directory".to_string())),
        };
        if let Some(Found::Directory { meta }) = found
            && !self.made.contains(&number_of(&target.path))
        {
            // Whoever may add to a directory of ours may not open it to others.
            target.meta.mode = meta.mode;
        }
        if made.is_ok() && found.is_none() {
            self.made.insert(number_of(&target.path));
            self.new_names.extend(target.path.split_last().map(|(parent, _)| parent));
        }
        let usable = made.is_ok();
        if let Err((class, cause)) = made {
            self.fail(id, &target.path, class, &cause);
        }
        self.directories.insert(id, Directory { target, usable });
    }

    fn announce_link(&mut self, id: EntryId, parent: &TreePath, target: Target, to: Vec<u8>, found: Option<Found>) {
        if !link_stays_below(parent, &to) {
            return self.fail(id, &target.path, Class::Partial, "link leads out of the tree");
        }
        match found {
            None => self.links.push((id, target, to)),
            Some(Found::Symlink) if self.disk.read_link(&target.path).is_ok_and(|known| known == to) => {
                self.identical(id, &target);
            }
            Some(_) => self.refuse_overwrite(id, &target),
        }
    }

    fn announce_file(&mut self, id: EntryId, target: Target, size: u64, found: Option<Found>) {
        match found {
            None => {}
            Some(Found::File { size: standing, .. }) if standing == size => match self.digest_standing(&target.path) {
                Ok(digest) => {
                    if size == 0 {
                        self.identical(id, &target);
                    } else {
                        self.status(id, Status::Held);
                        self.pending.insert(id, Pending::Standing { target, digest });
                    }
                    return;
                }
                Err(error) => return self.fail_disk(id, &target.path, &error),
            },
            Some(_) => return self.refuse_overwrite(id, &target),
        }
        let landing = match self.kept.remove(&target.path) {
            Some(kept) if kept.target == target => kept,
            other => {
                if let Some(changed) = other {
                    Pending::Landing(changed).into_target(&*self.disk);
                }
                // By its path as well as its number, which is another one when the sender comes back with more files.
                let name = format!("{}-{:016x}-{:x}", self.session, number_of(&target.path), id.0);
                Landing::new(target, self.chunk_bytes, name)
            }
        };
        if size > 0 && landing.have.is_empty() {
            self.status(id, Status::Want);
        } else if size > 0 {
            self.status(
                id,
                Status::Have(landing.have.iter().take(MAX_HAVE).map(|range| (range.start, range.end)).collect()),
            );
        }
        self.begun += usize::from(landing.is_large() && !landing.have.is_empty());
        self.pending.insert(id, Pending::Landing(landing));
        self.check_landed(id);
    }

    fn digest_standing(&self, path: &TreePath) -> Result<Digest, DiskError> {
        let mut file = self.disk.open(path)?;
        let mut offset = 0;
        integrity::digest_of(|buffer| {
            let read = file.read_at(offset, buffer)?;
            offset += read as u64;
            Ok(read)
        })
    }
}
