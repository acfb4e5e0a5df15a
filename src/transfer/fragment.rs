//! What is here of a chunk that is not whole when its connection ends, and what is sent of it on the next one.
//!
//! A chunk takes several round trips of repairs, so at any moment most of a second of the link is in chunks that are not whole. The receiver
//! keeps their data shards and says which ones, with a digest of them; a sender whose own chunk has the same digest there sends what is missing,
//! any other the whole. Invariant: nothing is believed on either side. What does not fit is not used, the digest proves that both mean the same
//! bytes, and the chunk that comes of it is checked against its value like any other. Parity that was held is given up.

use super::Cut;
use crate::wire::chunk::{CHUNK_BYTES, LEAD, encoded_length};
use crate::wire::reply::Outline;
use bytes::Bytes;
use std::ops::Range;

/// Domain of the digest of what is here.
const DIGEST: &str = "resilient 2026-11 shards of a chunk that are here";

/// An encoded chunk of which some data shards are here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// As long as the chunk; zeros where nothing is here.
    bytes: Vec<u8>,
    /// A bit for each data shard, those of the first stripe first.
    held: Vec<u8>,
}

impl Fragment {
    /// A chunk of `length` bytes of which nothing is here; none if no chunk of one extent has that length.
    pub(super) fn new(length: usize) -> Option<Self> {
        (1..=CHUNK_BYTES + LEAD)
            .contains(&length)
            .then(|| Self { bytes: vec![0; length], held: vec![0; bitmap(length)] })
    }

    /// Takes the data shards of stripe `part` for which `shard` gives bytes.
    pub(super) fn take<'a>(&mut self, part: usize, shard: impl Fn(usize) -> Option<&'a [u8]>) {
        let of_part = shards(self.bytes.len()).enumerate().filter(|(_, (of, _))| *of == part);
        for (at, (number, (_, range))) in of_part.enumerate() {
            // Padding may not have been kept.
            if let Some(shard) = shard(at) {
                let length = shard.len().min(range.len());
                self.bytes[range][..length].copy_from_slice(&shard[..length]);
                self.held[number / 8] |= 1 << (number % 8);
            }
        }
    }

    /// The encoded chunk as far as it is here from its beginning.
    pub fn beginning(&self) -> &[u8] {
        let end = shards(self.bytes.len()).enumerate().find(|(number, _)| !is_held(&self.held, *number));
        &self.bytes[..end.map_or(self.bytes.len(), |(_, (_, range))| range.start)]
    }

    /// What the sender is told of it: it is chunk number `chunk` of its file.
    pub fn outline(&self, chunk: u64) -> Outline {
        let digest = digest(&self.bytes, &self.held);
        Outline { chunk, length: self.bytes.len() as u32, held: self.held.clone(), digest }
    }

    /// Bytes of the whole chunk, which it takes in memory however little of it is here.
    pub fn length(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes that are here.
    pub fn held_bytes(&self) -> usize {
        self.ranges(true).map(|range| range.len()).sum()
    }

    /// The encoded chunk with `rest`, which the sender made by [`rest`]; none if that is not as long as what is missing.
    pub fn complete(mut self, mut rest: &[u8]) -> Option<Bytes> {
        for (number, (_, range)) in shards(self.bytes.len()).enumerate() {
            if !is_held(&self.held, number) {
                self.bytes[range.clone()].copy_from_slice(rest.split_off(..range.len())?);
            }
        }
        rest.is_empty().then(|| Bytes::from(self.bytes))
    }

    /// Writes it down: length, which shards, and their bytes.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&(self.bytes.len() as u32).to_be_bytes());
        out.extend_from_slice(&self.held);
        for range in self.ranges(true) {
            out.extend_from_slice(&self.bytes[range]);
        }
    }

    /// Reads what was written down; none if it is cut short or is something else.
    pub fn read(from: &mut &[u8]) -> Option<Self> {
        let length = u32::from_be_bytes(*from.split_off(..4)?.first_chunk()?) as usize;
        let mut fragment = Self::new(length)?;
        fragment.held = from.split_off(..bitmap(length))?.to_vec();
        fits(length, &fragment.held).then_some(())?;
        let ranges: Vec<_> = fragment.ranges(true).collect();
        for range in ranges {
            let bytes = from.split_off(..range.len())?;
            fragment.bytes[range].copy_from_slice(bytes);
        }
        Some(fragment)
    }

    fn ranges(&self, held: bool) -> impl Iterator<Item = Range<usize>> + '_ {
        let shards = shards(self.bytes.len()).enumerate();
        shards.filter(move |(number, _)| is_held(&self.held, *number) == held).map(|(_, (_, range))| range)
    }
}

/// What a receiver with this outline lacks of the `encoded` chunk; none if it means another chunk.
pub fn rest(encoded: &[u8], outline: &Outline) -> Option<Vec<u8>> {
    let same = outline.length as usize == encoded.len()
        && fits(encoded.len(), &outline.held)
        && digest(encoded, &outline.held) == outline.digest;
    same.then(|| {
        let missing = shards(encoded.len()).enumerate().filter(|(number, _)| !is_held(&outline.held, *number));
        missing.flat_map(|(_, (_, range))| &encoded[range]).copied().collect()
    })
}

/// The data shards of an encoded chunk of `length` bytes, in order: stripe and place.
fn shards(length: usize) -> impl Iterator<Item = (usize, Range<usize>)> {
    let cut = Cut::new(length);
    (0..cut.parts).flat_map(move |part| {
        let (start, own) = (part * cut.per_part, cut.part_length(part));
        let (k, bytes) = Cut::geometry(own);
        (0..k).map(move |shard| (part, start + shard * bytes..start + ((shard + 1) * bytes).min(own)))
    })
}

/// Bytes of a bit for each data shard.
fn bitmap(length: usize) -> usize {
    shards(length).count().div_ceil(8)
}

/// Whether these are bits for each data shard, and no others.
fn fits(length: usize, held: &[u8]) -> bool {
    let count = shards(length).count();
    held.len() == count.div_ceil(8) && (count..8 * held.len()).all(|beyond| !is_held(held, beyond))
}

fn is_held(held: &[u8], number: usize) -> bool {
    held.get(number / 8).is_some_and(|byte| byte >> (number % 8) & 1 == 1)
}

/// Of the shards that are here; `bytes` is as long as the chunk.
fn digest(bytes: &[u8], held: &[u8]) -> [u8; 16] {
    let mut hasher = blake3::Hasher::new_derive_key(DIGEST);
    for (number, (_, range)) in shards(bytes.len()).enumerate() {
        if is_held(held, number) {
            hasher.update(&bytes[range]);
        }
    }
    *hasher.finalize().as_bytes().first_chunk().expect("a digest has 32 bytes")
}

/// The length of the encoded chunk whose first shard begins with these bytes.
pub(super) fn length_of(first: &[u8]) -> Option<usize> {
    encoded_length(first).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// A chunk of this length, and what is here of it if every shard is whose number `here` names.
    fn partly(length: usize, here: impl Fn(usize) -> bool) -> (Vec<u8>, Fragment) {
        let mut chunk: Vec<u8> = (0..length).map(|at| (at * 7 + at / 251) as u8).collect();
        chunk[..4].copy_from_slice(&(length as u32 - 4).to_be_bytes());
        let mut fragment = Fragment::new(length).unwrap();
        let all: Vec<_> = shards(length).enumerate().collect();
        for part in 0..Cut::new(length).parts {
            let own: Vec<_> = all.iter().filter(|(_, (of, _))| *of == part).collect();
            fragment.take(part, |at| {
                own.get(at).filter(|(number, _)| here(*number)).map(|(_, (_, range))| &chunk[range.clone()])
            });
        }
        (chunk, fragment)
    }

    #[test]
    fn golden_fragment_and_outline() {
        let (_, fragment) = partly(2400, |number| number == 1);
        let mut written = Vec::new();
        fragment.write(&mut written);
        // Three shards of 800 bytes, of which the second is here.
        assert_eq!((written.len(), &written[..6]), (805, &[0, 0, 9, 96, 2, 227][..]));
        let outline = fragment.outline(3);
        assert_eq!((outline.chunk, outline.length, &outline.held[..]), (3, 2400, &[2][..]));
        assert_eq!(outline.digest[..4], GOLDEN);
        assert_eq!(fragment.held_bytes(), 800);
    }

    /// Of BLAKE3 in the mode of this digest, over bytes 800 to 1599 of that chunk.
    const GOLDEN: [u8; 4] = [251, 179, 228, 76];

    #[test]
    fn another_chunk_is_not_taken_for_the_same() {
        let (mut chunk, fragment) = partly(131_124, |number| number % 3 > 0);
        let outline = fragment.outline(0);
        let at = shards(chunk.len()).nth(4).unwrap().1.start;
        // What is missing may be anything, what is here may not.
        chunk[0] ^= 1;
        assert!(rest(&chunk, &outline).is_some());
        chunk[at] ^= 1;
        assert_eq!(rest(&chunk, &outline), None);
        chunk[at] ^= 1;
        assert_eq!(rest(&chunk[..131_123], &outline), None);
        for held in
            [vec![], outline.held[1..].to_vec(), [&outline.held[..], &[0]].concat(), vec![255; outline.held.len()]]
        {
            assert_eq!(rest(&chunk, &Outline { held, ..outline.clone() }), None);
        }
    }

    #[test]
    fn a_rest_of_another_length_completes_nothing() {
        let (chunk, fragment) = partly(100_000, |number| number != 5);
        let missing = rest(&chunk, &fragment.outline(0)).unwrap();
        assert_eq!(fragment.clone().complete(&missing[1..]), None);
        assert_eq!(fragment.clone().complete(&[&missing[..], &[0]].concat()), None);
        assert_eq!(fragment.complete(&missing).unwrap(), chunk);
    }

    proptest! {
        #[test]
        fn what_is_here_and_the_rest_are_the_chunk(length in 5usize..CHUNK_BYTES + LEAD, draw in any::<u64>()) {
            let (chunk, fragment) = partly(length, |number| (draw.rotate_left(number as u32 * 7) & 7) > 1);
            let mut written = Vec::new();
            fragment.write(&mut written);
            for end in [0, 3, 4, 4 + fragment.held.len() - 1, written.len() - 1] {
                prop_assert_eq!(Fragment::read(&mut &written[..end.min(written.len() - 1)]), None);
            }
            let mut from = &written[..];
            let read = Fragment::read(&mut from);
            prop_assert_eq!(read.as_ref(), Some(&fragment));
            prop_assert!(from.is_empty());
            let missing = rest(&chunk, &fragment.outline(0)).unwrap();
            prop_assert_eq!(missing.len() + fragment.held_bytes(), length);
            prop_assert_eq!(fragment.complete(&missing).unwrap(), chunk);
        }

        #[test]
        fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in 0u32..400_000) {
            let _ = Fragment::read(&mut &bytes[..]);
            let held = Fragment::read(&mut &[&length.to_be_bytes()[..], &bytes].concat()[..]);
            prop_assert!(held.is_none_or(|fragment| fragment.bytes.len() == length as usize));
        }
    }
}
