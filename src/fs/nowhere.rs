//! The destination of a receiver that writes no files: nothing stands there and nothing can be made there.

use super::disk::{Disk, DiskError, Found, Partial, ReadAt};
use crate::manifest::{Meta, TreePath};
use std::io;

/// No destination at all.
#[derive(Clone, Copy, Debug)]
pub struct Nowhere;

fn refused<T>() -> Result<T, DiskError> {
    Err(DiskError::Io(io::ErrorKind::Unsupported.into()))
}

impl Disk for Nowhere {
    fn look(&self, _: &TreePath) -> Result<Option<Found>, DiskError> {
        Ok(None)
    }
    fn read_link(&self, _: &TreePath) -> Result<Vec<u8>, DiskError> {
        refused()
    }
    fn open(&self, _: &TreePath) -> Result<Box<dyn ReadAt>, DiskError> {
        refused()
    }
    fn make_dir(&self, _: &TreePath, _: u32) -> Result<(), DiskError> {
        refused()
    }
    fn make_symlink(&self, _: &TreePath, _: &[u8], _: bool) -> Result<(), DiskError> {
        refused()
    }
    fn create_partial(&self, _: &str, _: u64) -> Result<Box<dyn Partial>, DiskError> {
        refused()
    }
    fn open_partial(&self, _: &str, _: u64) -> Result<Box<dyn Partial>, DiskError> {
        refused()
    }
    fn sync_partials(&self) -> Result<(), DiskError> {
        refused()
    }
    fn publish(&self, _: &str, _: &TreePath, _: bool) -> Result<(), DiskError> {
        refused()
    }
    fn remove_partial(&self, _: &str) -> Result<(), DiskError> {
        Ok(())
    }
    fn remove_partial_dir(&self) -> Result<(), DiskError> {
        Ok(())
    }
    fn set_meta(&self, _: &TreePath, _: Meta) -> Result<(), DiskError> {
        refused()
    }
    fn sync_dir(&self, _: &TreePath) -> Result<(), DiskError> {
        refused()
    }
    fn free(&self) -> Result<u64, DiskError> {
        Ok(u64::MAX)
    }
}
