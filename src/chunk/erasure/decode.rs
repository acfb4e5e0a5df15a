//! A stripe on its way in, and its data out of any k of its shards.
//!
//! Invariants: a shard counts once, k of them at most are kept, and a stripe that has k can always be restored: nothing that a peer
//! sends makes the arithmetic fail. Only missing data shards are computed.
//!
//! The arithmetic itself is the parent's; which stripes are open, and for how long, is for `transfer`.

use super::{ErasureError, Generator, Params, SHARDS_MAX, add, invert};

/// What became of a shard that was handed to a [`StripeBuffer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inserted {
    /// It was kept and counts.
    New,
    /// Its index was there already; the first bytes stand.
    Duplicate,
    /// The stripe had k shards without it.
    Surplus,
}

/// A stripe on its way in: data shards stand at their place at once, parity waits beside them, k of both are enough.
#[derive(Clone, Debug)]
pub struct StripeBuffer {
    k: usize,
    stripe: u32,
    shard_len: usize,
    /// As far as the last data shard that is there; zeros in the gaps.
    data: Vec<u8>,
    /// Bit d is set when data shard d is there.
    present: u64,
    /// Row numbers of the parity shards that are there, in the order of their bytes in `parity`.
    rows: Vec<u8>,
    parity: Vec<u8>,
}

impl StripeBuffer {
    /// An empty stripe of `k` shards of `shard_len` bytes; allocates k × `shard_len` bytes. `stripe` is its name in errors.
    pub fn new(stripe: u32, k: usize, shard_len: usize) -> Result<Self, ErasureError> {
        Params::new(k, 0)?;
        let Some(length) = k.checked_mul(shard_len).filter(|&length| length > 0) else {
            return Err(ErasureError::Length { expected: 1, found: shard_len });
        };
        let data = Vec::with_capacity(length);
        Ok(Self { k, stripe, shard_len, data, present: 0, rows: Vec::new(), parity: Vec::new() })
    }

    /// Distinct shards that are there, at most k.
    pub fn held(&self) -> usize {
        self.present.count_ones() as usize + self.rows.len()
    }

    /// Whether [`into_data`](Self::into_data) can succeed.
    pub fn is_complete(&self) -> bool {
        self.held() == self.k
    }

    /// The data shard with that index, if it is there; a short one may end in zeros or where it ends.
    pub fn data_shard(&self, index: usize) -> Option<&[u8]> {
        let here = index < self.k && self.present & (1 << index) != 0;
        let start = index * self.shard_len;
        here.then(|| &self.data[start..(start + self.shard_len).min(self.data.len())])
    }

    /// Takes the shard with that index. Every shard has `shard_len` bytes; the last data shard may have fewer, but one.
    pub fn insert(&mut self, index: u8, shard: &[u8]) -> Result<Inserted, ErasureError> {
        let k = self.k;
        let at = usize::from(index);
        if at >= SHARDS_MAX {
            return Err(ErasureError::Index { index: at });
        }
        let short_is_fine = at + 1 == k && !shard.is_empty() && shard.len() < self.shard_len;
        if shard.len() != self.shard_len && !short_is_fine {
            return Err(ErasureError::Length { expected: self.shard_len, found: shard.len() });
        }
        let row = at.checked_sub(k).map(|row| row as u8);
        let known = match row {
            None => self.present & (1 << at) != 0,
            Some(row) => self.rows.contains(&row),
        };
        if known {
            return Ok(Inserted::Duplicate);
        }
        if self.is_complete() {
            return Ok(Inserted::Surplus);
        }
        match row {
            None => {
                let start = at * self.shard_len;
                if let Some(place) = self.data.get_mut(start..start + shard.len()) {
                    place.copy_from_slice(shard);
                } else {
                    // The next in order, mostly: nothing is written twice.
                    self.data.resize(start, 0);
                    self.data.extend_from_slice(shard);
                }
                self.present |= 1 << at;
            }
            Some(row) => {
                self.parity.extend_from_slice(shard);
                self.rows.push(row);
            }
        }
        Ok(Inserted::New)
    }

    /// The k data shards in order, one behind the other, k × `shard_len` bytes: a last shard that was short ends in zeros. Computes only
    /// what is missing. A stripe that is not complete is [`ErasureError::Short`] and gone.
    pub fn into_data(mut self) -> Result<Vec<u8>, ErasureError> {
        if !self.is_complete() {
            return Err(ErasureError::Short { stripe: self.stripe, held: self.held(), needed: self.k });
        }
        self.data.resize(self.k * self.shard_len, 0);
        if !self.rows.is_empty() {
            self.restore();
        }
        Ok(self.data)
    }

    /// Solves for the missing data shards only. With e of them the work is an e × e inverse and e × k multiplications of a shard; the
    /// library's own decoder inverts k × k for every new pattern of loss, and under random loss every pattern is new.
    fn restore(&mut self) {
        let (length, k) = (self.shard_len, self.k);
        // Made here and not with the buffer: a stripe that lost nothing needs none, and the first one of a k takes milliseconds.
        let generator = Generator::of(k).expect("k was checked when the buffer was made");
        let (held, missing): (Vec<usize>, Vec<usize>) = (0..k).partition(|d| self.present & (1 << d) != 0);
        // Take the share of the data shards that are there out of each parity shard: what is left is the missing ones' share.
        for (&row, sum) in self.rows.iter().zip(self.parity.chunks_exact_mut(length)) {
            let row = generator.row(row.into());
            for &d in &held {
                add(sum, row[d], &self.data[d * length..][..length]);
            }
        }
        let shares = self.rows.iter().map(|&row| {
            let row = generator.row(row.into());
            missing.iter().map(|&d| row[d]).collect()
        });
        let inverse = invert(shares.collect());
        for (&d, coefficients) in missing.iter().zip(&inverse) {
            let restored = &mut self.data[d * length..][..length];
            for (sum, &coefficient) in self.parity.chunks_exact(length).zip(coefficients) {
                add(restored, coefficient, sum);
            }
        }
    }
}

/// The data of a stripe (see [`StripeBuffer::into_data`]) from shards with their indices, in any order.
///
/// All have one length, but the last data shard may be short; more than k are fine, the same index twice is an error.
pub fn decode(stripe: u32, k: usize, shards: &[(u8, impl AsRef<[u8]>)]) -> Result<Vec<u8>, ErasureError> {
    let params = Params::new(k, 0)?;
    let short = |held| ErasureError::Short { stripe, held, needed: params.k };
    let length = shards.iter().map(|(_, shard)| shard.as_ref().len()).max();
    let mut buffer = StripeBuffer::new(stripe, k, length.ok_or_else(|| short(0))?)?;
    let mut seen = [false; SHARDS_MAX + 1];
    for &(index, _) in shards {
        if std::mem::replace(&mut seen[usize::from(index)], true) {
            return Err(ErasureError::Duplicate { index });
        }
    }
    // Data first: parity that is not needed is not worth a multiplication.
    let is_data = |index: u8| usize::from(index) < k;
    let data = shards.iter().filter(|(index, _)| is_data(*index));
    let parity = shards.iter().filter(|(index, _)| !is_data(*index));
    for (index, shard) in data.chain(parity) {
        buffer.insert(*index, shard.as_ref())?;
    }
    buffer.into_data()
}
