//! Reed-Solomon coding of stripes over GF(2⁸): k data shards, and parity shards any of which replaces any lost one.
//!
//! Invariants: shard index 0..k is data, k.. is parity; a parity row depends on k and its number alone, so the two ends never
//! negotiate how many rows there are and a sender may make one more at any time; any k distinct shards give the data back and
//! fewer are a typed error. Padding is zero and never travels: only the last data shard of a stripe may be short.
//!
//! This file is the only one that knows which library does the arithmetic (`reed-solomon-erasure`, whose matrix and whose
//! SIMD kernels are used); a golden vector in the tests holds the wire form. Whether the restored bytes are the right ones is
//! for `integrity` to say.

mod decode;

pub use decode::{Inserted, StripeBuffer, decode};

use bytes::Bytes;
use reed_solomon_erasure::galois_8::{self, ReedSolomon};
use std::sync::OnceLock;

/// Most data shards of one stripe.
pub const DATA_SHARDS_MAX: usize = 50;
/// Most shards of one stripe, data and parity: indices are one byte and 255 stays free.
pub const SHARDS_MAX: usize = 255;

/// Why shards cannot be coded or decoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ErasureError {
    /// No code of this shape: k is not in 1 ..= [`DATA_SHARDS_MAX`], or k + m is over [`SHARDS_MAX`].
    #[error("no erasure code has {k} data and {m} parity shards")]
    Shape {
        /// Data shards.
        k: usize,
        /// Parity shards.
        m: usize,
    },
    /// Another number of data shards than the code has.
    #[error("{found} data shards where {expected} are needed")]
    Count {
        /// Data shards of the code.
        expected: usize,
        /// Data shards that were given.
        found: usize,
    },
    /// A shard, or the data of a stripe, of a length that does not fit the others. Bytes.
    #[error("{found} bytes where {expected} are needed")]
    Length {
        /// The length of the others.
        expected: usize,
        /// Its own.
        found: usize,
    },
    /// No shard has this index.
    #[error("shard index {index} is outside the stripe")]
    Index {
        /// The index.
        index: usize,
    },
    /// The same index twice.
    #[error("shard {index} was given twice")]
    Duplicate {
        /// The index.
        index: u8,
    },
    /// Too few shards to restore the stripe.
    #[error("stripe {stripe} has {held} of {needed} shards")]
    Short {
        /// Number of the stripe, as the caller counts them.
        stripe: u32,
        /// Distinct shards that are there.
        held: usize,
        /// Shards that are needed: k.
        needed: usize,
    },
}

/// The shape of a stripe: k data and m parity shards, checked once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Params {
    k: usize,
    m: usize,
}

impl Params {
    /// A code with `k` data and `m` parity shards: k in 1 ..= [`DATA_SHARDS_MAX`], k + m ≤ [`SHARDS_MAX`]; m may be 0.
    pub fn new(k: usize, m: usize) -> Result<Self, ErasureError> {
        if (1..=DATA_SHARDS_MAX).contains(&k) && m <= SHARDS_MAX - k {
            Ok(Self { k, m })
        } else {
            Err(ErasureError::Shape { k, m })
        }
    }

    /// Data shards.
    pub const fn k(self) -> usize {
        self.k
    }

    /// Parity shards.
    pub const fn m(self) -> usize {
        self.m
    }
}

/// Most parity shards that a stripe of `k` data shards can have; `k` in 1 ..= [`DATA_SHARDS_MAX`].
pub const fn parity_max(k: usize) -> usize {
    SHARDS_MAX - k
}

/// The coefficients of every parity row for one k: row r of parity is the sum of `row(r)[d]` × data shard d.
#[derive(Debug)]
struct Generator {
    k: usize,
    rows: Box<[u8]>,
}

impl Generator {
    /// The rows for `k`. Inverting a matrix costs O(k³), so each k is built once for the process (at most 10 KiB each, 50 in all).
    fn of(k: usize) -> Result<&'static Self, ErasureError> {
        static BUILT: [OnceLock<Generator>; DATA_SHARDS_MAX + 1] = [const { OnceLock::new() }; DATA_SHARDS_MAX + 1];
        Params::new(k, 0)?;
        Ok(BUILT[k].get_or_init(|| Self::build(k)))
    }

    /// Reads the rows out of the library by coding the k unit vectors.
    fn build(k: usize) -> Self {
        let m = parity_max(k);
        let codec = ReedSolomon::new(k, m).expect("1 <= k <= 50 and k + m = 255");
        let unit: Vec<Vec<u8>> = (0..k).map(|d| (0..k).map(|c| u8::from(c == d)).collect()).collect();
        let mut parity = vec![vec![0; k]; m];
        codec.encode_sep(&unit, &mut parity).expect("k data and m parity shards, all k bytes long");
        let rows = parity.concat().into_boxed_slice();
        Self { k, rows }
    }

    fn row(&self, r: usize) -> &[u8] {
        &self.rows[r * self.k..][..self.k]
    }
}

/// Adds `coefficient` × `shard` to `sum`; bytes that a short `shard` lacks are zero.
fn add(sum: &mut [u8], coefficient: u8, shard: &[u8]) {
    if !shard.is_empty() {
        galois_8::mul_slice_xor(coefficient, shard, &mut sum[..shard.len()]);
    }
}

/// The `m` parity shards of `data`, whose shards must all have one length.
pub fn encode(params: Params, data: &[impl AsRef<[u8]>]) -> Result<Vec<Vec<u8>>, ErasureError> {
    if data.len() != params.k {
        return Err(ErasureError::Count { expected: params.k, found: data.len() });
    }
    let length = data[0].as_ref().len();
    if let Some(odd) = data.iter().find(|shard| shard.as_ref().len() != length) {
        return Err(ErasureError::Length { expected: length, found: odd.as_ref().len() });
    }
    let generator = Generator::of(params.k)?;
    Ok((0..params.m)
        .map(|r| {
            let mut sum = vec![0; length];
            for (shard, &coefficient) in data.iter().zip(generator.row(r)) {
                add(&mut sum, coefficient, shard.as_ref());
            }
            sum
        })
        .collect())
}

/// The parity of one stripe as a sender needs it: any row at any time, none before it is asked for.
///
/// A row costs k multiplications of one shard (a few microseconds) however many rows are made, so nothing is kept but the data.
#[derive(Clone, Debug)]
pub struct ParityRows {
    k: usize,
    shard_len: usize,
    data: Bytes,
}

impl ParityRows {
    /// For the stripe whose k data shards are `data` cut every `shard_len` bytes; the last of them may be short, not empty.
    pub fn new(k: usize, shard_len: usize, data: Bytes) -> Result<Self, ErasureError> {
        Params::new(k, 0)?;
        if data.is_empty() || shard_len == 0 || data.len().div_ceil(shard_len) != k {
            return Err(ErasureError::Length { expected: k.saturating_mul(shard_len), found: data.len() });
        }
        Ok(Self { k, shard_len, data })
    }

    /// Parity row `r` (shard index k + r), `shard_len` bytes.
    pub fn row(&self, r: usize) -> Result<Bytes, ErasureError> {
        if self.k == 1 && self.data.len() == self.shard_len && r < parity_max(1) {
            return Ok(self.data.clone());
        }
        let mut row = vec![0; self.shard_len];
        self.write_row(r, &mut row)?;
        Ok(row.into())
    }

    /// Writes parity row `r` into `out`, which is `shard_len` bytes long: for instance a datagram behind its header.
    pub fn write_row(&self, r: usize, out: &mut [u8]) -> Result<(), ErasureError> {
        let k = self.k;
        if r >= parity_max(k) {
            return Err(ErasureError::Index { index: k.saturating_add(r) });
        }
        if out.len() != self.shard_len {
            return Err(ErasureError::Length { expected: self.shard_len, found: out.len() });
        }
        out.fill(0);
        let shards = self.data.chunks(self.shard_len);
        for (shard, &coefficient) in shards.zip(Generator::of(k)?.row(r)) {
            add(out, coefficient, shard);
        }
        Ok(())
    }
}

/// The inverse of a square part of the parity rows (Gauss-Jordan).
fn invert(mut matrix: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let n = matrix.len();
    for (r, row) in matrix.iter_mut().enumerate() {
        row.resize(2 * n, 0);
        row[n + r] = 1;
    }
    for column in 0..n {
        let pivot = (column..n)
            .find(|&r| matrix[r][column] != 0)
            .expect("every square part of the parity rows of a maximum distance separable code is regular");
        matrix.swap(column, pivot);
        let mut row = std::mem::take(&mut matrix[column]);
        let scale = galois_8::div(1, row[column]);
        for value in &mut row {
            *value = galois_8::mul(scale, *value);
        }
        for other in &mut matrix {
            // The row that was taken out is empty for now.
            if let Some(&coefficient) = other.get(column) {
                add(other, coefficient, &row);
            }
        }
        matrix[column] = row;
    }
    for row in &mut matrix {
        row.drain(..n);
    }
    matrix
}

#[cfg(test)]
mod tests;
