//! Writes deltas in the form of librsync.

use super::DELTA;
use crate::sync::format::delta::Totals;
use crate::sync::scan::Sink;
use crate::sync::strong::FULL;
use std::io::{self, Write};

/// Literals that are written with one command, at most: what is kept until then.
const LITERALS: usize = 1 << 20;
/// Longest literal whose length is its command.
const SHORT: u64 = 64;

/// Writes a delta. An error of writing is kept until [`written`](Self::written) or [`finish`](Self::finish).
#[derive(Debug)]
pub struct DeltaWriter<W> {
    to: W,
    /// Bytes of a block of the basis.
    block: u64,
    literals: Vec<u8>,
    copy: Option<(u64, u64)>,
    totals: Totals,
    failed: Option<io::Error>,
}

impl<W: Write> DeltaWriter<W> {
    /// Begins one to a basis with blocks of so many bytes.
    pub fn new(mut to: W, block: usize) -> io::Result<Self> {
        to.write_all(&DELTA.to_be_bytes())?;
        Ok(DeltaWriter {
            to,
            block: block as u64,
            literals: Vec::new(),
            copy: None,
            totals: Totals::default(),
            failed: None,
        })
    }

    /// Whether all went well so far.
    pub fn written(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }

    /// Writes the end.
    pub fn finish(mut self) -> io::Result<(W, Totals)> {
        self.end_literals();
        self.end_copy();
        self.written()?;
        self.to.write_all(&[0])?;
        Ok((self.to, self.totals))
    }

    fn end_literals(&mut self) {
        let literals = std::mem::take(&mut self.literals);
        if literals.is_empty() {
            return;
        }
        let len = literals.len() as u64;
        let mut command = Vec::new();
        if len <= SHORT {
            command.push(len as u8);
        } else {
            let width = width(len);
            command.push(0x41 + width);
            put(&mut command, len, width);
        }
        self.write(&command);
        self.write(&literals);
    }

    fn end_copy(&mut self) {
        let Some((offset, len)) = self.copy.take() else { return };
        let (wide, long) = (width(offset), width(len));
        let mut command = vec![0x45 + 4 * wide + long];
        put(&mut command, offset, wide);
        put(&mut command, len, long);
        self.totals.copies += 1;
        self.write(&command);
    }

    fn write(&mut self, bytes: &[u8]) {
        if self.failed.is_none()
            && let Err(error) = self.to.write_all(bytes)
        {
            self.failed = Some(error);
        }
    }
}

impl<W: Write> Sink for DeltaWriter<W> {
    fn copy(&mut self, block: u64, len: u64, _: &[[u8; FULL]]) {
        let offset = block * self.block;
        self.end_literals();
        self.totals.copied += len;
        match &mut self.copy {
            Some((before, so_far)) if *before + *so_far == offset => *so_far += len,
            _ => {
                self.end_copy();
                self.copy = Some((offset, len));
            }
        }
    }

    fn literal(&mut self, bytes: &[u8]) {
        self.end_copy();
        self.totals.literal += bytes.len() as u64;
        self.literals.extend_from_slice(bytes);
        if self.literals.len() >= LITERALS {
            self.end_literals();
        }
    }
}

/// Which of the widths 1, 2, 4 and 8 a number takes.
fn width(number: u64) -> u8 {
    match number {
        0..=0xFF => 0,
        0x100..=0xFFFF => 1,
        0x1_0000..=0xFFFF_FFFF => 2,
        _ => 3,
    }
}

fn put(out: &mut Vec<u8>, number: u64, width: u8) {
    out.extend(&number.to_be_bytes()[8 - (1 << width)..]);
}
