//! What the code must be able to restore, what it must refuse, and the golden vector that holds the wire form.

use super::*;
use proptest::prelude::*;
use proptest::sample::subsequence;

/// A small generator of repeatable noise (xorshift), so that a failing case can be named by its seed.
struct Noise(u64);

impl Noise {
    fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| (self.next() >> 32) as u8).collect()
    }

    /// `count` different numbers below `n`.
    fn choose(&mut self, n: usize, count: usize) -> Vec<usize> {
        let mut all: Vec<usize> = (0..n).collect();
        for i in 0..count {
            let j = i + (self.next() % (n - i) as u64) as usize;
            all.swap(i, j);
        }
        all.truncate(count);
        all
    }
}

/// Data and parity shards of a stripe filled with noise.
fn stripe(k: usize, m: usize, length: usize, seed: u64) -> Vec<Vec<u8>> {
    let mut noise = Noise::new(seed);
    let mut shards: Vec<Vec<u8>> = (0..k).map(|_| noise.bytes(length)).collect();
    let parity = encode(Params::new(k, m).unwrap(), &shards).unwrap();
    shards.extend(parity);
    shards
}

fn without(shards: &[Vec<u8>], lost: &[usize]) -> Vec<(u8, Vec<u8>)> {
    (0..shards.len()).filter(|i| !lost.contains(i)).map(|i| (i as u8, shards[i].clone())).collect()
}

/// `count` neighbours from `start` on, around the end of a stripe of `total`.
fn run(start: usize, count: usize, total: usize) -> Vec<usize> {
    (start..start + count).map(|i| i % total).collect()
}

#[test]
fn shapes_are_refused_once() {
    for (k, m) in [(1, 0), (1, 254), (50, 205), (50, 0), (7, 3)] {
        let params = Params::new(k, m).unwrap();
        assert_eq!((params.k(), params.m()), (k, m));
    }
    for (k, m) in [(0, 5), (51, 5), (50, 206), (1, 255), (usize::MAX, 1), (1, usize::MAX)] {
        assert_eq!(Params::new(k, m), Err(ErasureError::Shape { k, m }));
    }
}

#[test]
fn rows_do_not_depend_on_how_many_there_are() {
    for k in [1, 2, 3, 5, 10, 17, 25, 33, 49, 50] {
        let all = stripe(k, parity_max(k), 37, k as u64);
        for m in [1, 2, 5, 10, 25, 40, 100, parity_max(k)] {
            // The library itself, asked for m rows: the rows that both ends use are its prefix for every m.
            let mut own = all[..k].to_vec();
            own.resize(k + m, vec![0; 37]);
            ReedSolomon::new(k, m).unwrap().encode(&mut own).unwrap();
            assert_eq!(own, all[..k + m], "k {k} m {m}");
            assert_eq!(stripe(k, m, 37, k as u64), all[..k + m], "k {k} m {m}");
        }
    }
}

#[test]
fn golden_vector() {
    let data: [&[u8]; 5] = [b"resilie", b"nt gets", b" files ", b"across.", b"\0\x01\x7f\x80\xfe\xff\n"];
    let parity = encode(Params::new(5, 4).unwrap(), &data).unwrap();
    let hex: Vec<String> = parity.iter().map(|p| data_encoding::HEXLOWER.encode(p)).collect();
    assert_eq!(hex, GOLDEN);
}

/// Rows 0 to 3 of the stripe in `golden_vector`: field polynomial 0x11d, Vandermonde matrix over 0, 1, 2, … made systematic.
const GOLDEN: [&str; 4] = ["cf6881a0b5ac4c", "80a21fed0f0d8f", "12dfa9c05b43d1", "d8461a00100e71"];

#[test]
fn a_stripe_of_75_survives_up_to_a_third() {
    // 5, 10, 15, 20, 25 and 30 % of 75 shards, rounded up; 25 parity shards bear 33 %.
    for lost in [4, 8, 12, 15, 19, 23] {
        for seed in 0..60 {
            let shards = stripe(50, 25, 61, seed);
            let gone = Noise::new(seed + 1000).choose(75, lost);
            let data = decode(0, 50, &without(&shards, &gone)).unwrap();
            assert_eq!(data, shards[..50].concat(), "seed {seed} lost {gone:?}");
        }
        let shards = stripe(50, 25, 61, 99);
        for start in 0..75 {
            let gone = run(start, lost, 75);
            let data = decode(0, 50, &without(&shards, &gone)).unwrap();
            assert_eq!(data, shards[..50].concat(), "run of {lost} from {start}");
        }
    }
}

#[test]
fn any_10_of_60_can_be_lost_and_11_fail_cleanly() {
    let shards = stripe(50, 10, 33, 7);
    let random = (0..400).map(|seed| Noise::new(seed).choose(60, 11));
    let runs = (0..60).map(|start| run(start, 11, 60));
    for gone in random.chain(runs) {
        let data = decode(3, 50, &without(&shards, &gone[..10])).unwrap();
        assert_eq!(data, shards[..50].concat(), "lost {:?}", &gone[..10]);
        let short = ErasureError::Short { stripe: 3, held: 49, needed: 50 };
        assert_eq!(decode(3, 50, &without(&shards, &gone)), Err(short));
    }
    let error = decode(3, 50, &without(&shards, &run(0, 11, 60))).unwrap_err();
    assert_eq!(error.to_string(), "stripe 3 has 49 of 50 shards");
}

#[test]
fn parity_alone_is_enough() {
    for k in [1, 2, 13, 50] {
        let shards = stripe(k, parity_max(k), 20, 5);
        for first in [k, 2 * k, 255 - k] {
            let pairs: Vec<_> = (first..first + k).map(|i| (i as u8, &shards[i])).collect();
            assert_eq!(decode(0, k, &pairs).unwrap(), shards[..k].concat());
        }
    }
}

#[test]
fn malformed_shards_are_refused() {
    let shards = stripe(4, 3, 8, 1);
    let pairs = without(&shards, &[]);
    let with = |at: usize, pair: (u8, Vec<u8>)| {
        let mut pairs = pairs.clone();
        pairs[at] = pair;
        decode(9, 4, &pairs)
    };
    assert_eq!(with(1, (0, shards[1].clone())), Err(ErasureError::Duplicate { index: 0 }));
    assert_eq!(with(1, (255, shards[1].clone())), Err(ErasureError::Index { index: 255 }));
    assert_eq!(with(1, (1, vec![0; 7])), Err(ErasureError::Length { expected: 8, found: 7 }));
    assert_eq!(with(5, (5, vec![0; 7])), Err(ErasureError::Length { expected: 8, found: 7 }));
    assert_eq!(with(3, (3, vec![])), Err(ErasureError::Length { expected: 8, found: 0 }));
    assert_eq!(with(1, (1, vec![0; 9])), Err(ErasureError::Length { expected: 9, found: 8 }));
    assert_eq!(decode(9, 0, &pairs), Err(ErasureError::Shape { k: 0, m: 0 }));
    assert_eq!(decode(9, 51, &pairs), Err(ErasureError::Shape { k: 51, m: 0 }));
    let nothing: [(u8, Vec<u8>); 0] = [];
    assert_eq!(decode(9, 4, &nothing), Err(ErasureError::Short { stripe: 9, held: 0, needed: 4 }));
    assert_eq!(decode(9, 1, &[(0, b"")]), Err(ErasureError::Length { expected: 1, found: 0 }));
    assert!(matches!(StripeBuffer::new(0, 50, usize::MAX), Err(ErasureError::Length { .. })));
}

#[test]
fn encoding_refuses_uneven_or_missing_shards() {
    let params = Params::new(3, 2).unwrap();
    assert_eq!(encode(params, &[b"aa", b"bb"]), Err(ErasureError::Count { expected: 3, found: 2 }));
    assert_eq!(encode(params, &[&b"aa"[..], b"bb", b"c"]), Err(ErasureError::Length { expected: 2, found: 1 }));
}

#[test]
fn a_stripe_buffer_counts_each_shard_once_and_k_at_most() {
    let shards = stripe(3, 4, 5, 2);
    let mut buffer = StripeBuffer::new(0, 3, 5).unwrap();
    assert_eq!(buffer.insert(4, &shards[4]), Ok(Inserted::New));
    assert_eq!(buffer.insert(4, &shards[4]), Ok(Inserted::Duplicate));
    assert_eq!(buffer.insert(1, &shards[1]), Ok(Inserted::New));
    assert_eq!(buffer.insert(1, &[0; 5]), Ok(Inserted::Duplicate));
    assert_eq!((buffer.held(), buffer.is_complete()), (2, false));
    assert_eq!(buffer.clone().into_data(), Err(ErasureError::Short { stripe: 0, held: 2, needed: 3 }));
    assert_eq!(buffer.insert(6, &shards[6]), Ok(Inserted::New));
    assert_eq!(buffer.insert(0, &shards[0]), Ok(Inserted::Surplus));
    assert_eq!(buffer.insert(5, &shards[5]), Ok(Inserted::Surplus));
    assert!(buffer.is_complete());
    assert_eq!(buffer.into_data().unwrap(), shards[..3].concat());
}

#[test]
fn rows_of_a_stripe_are_those_of_encode_with_the_end_padded() {
    for (k, shard_len, length) in [(1, 9, 9), (1, 9, 4), (3, 7, 15), (3, 7, 21), (50, 11, 540), (2, 1, 2)] {
        let data = Noise::new(length as u64).bytes(length);
        let mut padded = data.clone();
        padded.resize(k * shard_len, 0);
        let cut: Vec<&[u8]> = padded.chunks(shard_len).collect();
        let parity = encode(Params::new(k, parity_max(k)).unwrap(), &cut).unwrap();
        let rows = ParityRows::new(k, shard_len, data.into()).unwrap();
        for r in [0, 1, 9, 10, 39, 40, 204, parity_max(k) - 1] {
            assert_eq!(rows.row(r).unwrap(), parity[r], "k {k} row {r}");
            // What stood in the buffer before does not matter.
            let mut out = vec![0xaa; shard_len];
            rows.write_row(r, &mut out).unwrap();
            assert_eq!(out, parity[r]);
        }
        assert_eq!(rows.row(parity_max(k)), Err(ErasureError::Index { index: 255 }));
        assert!(matches!(rows.write_row(0, &mut vec![0; shard_len + 1]), Err(ErasureError::Length { .. })));
    }
    for (k, shard_len, length) in [(2, 5, 5), (2, 5, 11), (1, 5, 0), (1, 0, 0), (3, 0, 3)] {
        let rows = ParityRows::new(k, shard_len, vec![1; length].into());
        assert!(matches!(rows, Err(ErasureError::Length { .. })), "{k} {shard_len} {length}");
    }
    assert!(matches!(ParityRows::new(51, 1, vec![1; 51].into()), Err(ErasureError::Shape { .. })));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_k_distinct_shards_restore_the_stripe(
        (k, kept) in (1usize..=DATA_SHARDS_MAX, 0usize..=205)
            .prop_flat_map(|(k, m)| {
                let m = m.min(parity_max(k));
                (Just(k), subsequence((0..k + m).collect::<Vec<_>>(), k).prop_shuffle())
            }),
        shard_len in 1usize..80,
        short in 0usize..80,
        seed in any::<u64>(),
    ) {
        let length = k * shard_len - short % shard_len;
        let data = Bytes::from(Noise::new(seed).bytes(length));
        let rows = ParityRows::new(k, shard_len, data.clone()).unwrap();
        let mut buffer = StripeBuffer::new(1, k, shard_len).unwrap();
        for (n, &index) in kept.iter().enumerate() {
            prop_assert_eq!(buffer.held(), n);
            let shard = match index.checked_sub(k) {
                None => data.slice(index * shard_len..length.min((index + 1) * shard_len)),
                Some(r) => rows.row(r).unwrap(),
            };
            prop_assert_eq!(buffer.insert(index as u8, &shard), Ok(Inserted::New));
        }
        let restored = buffer.into_data().unwrap();
        prop_assert_eq!(&restored[..length], &data[..]);
        prop_assert!(restored[length..].iter().all(|&b| b == 0));
    }

    #[test]
    fn the_library_decodes_what_we_encode(
        k in 1usize..=DATA_SHARDS_MAX, m in 1usize..60, length in 1usize..50, seed in any::<u64>(), lost in 0usize..60,
    ) {
        let shards = stripe(k, m, length, seed);
        let gone = Noise::new(seed ^ 1).choose(k + m, lost.min(m));
        let mut holes: Vec<_> = shards.iter().cloned().map(Some).collect();
        for &index in &gone {
            holes[index] = None;
        }
        ReedSolomon::new(k, m).unwrap().reconstruct(&mut holes).unwrap();
        prop_assert_eq!(holes.into_iter().flatten().collect::<Vec<_>>(), shards.clone());
        prop_assert_eq!(decode(0, k, &without(&shards, &gone)).unwrap(), shards[..k].concat());
    }

    #[test]
    fn hostile_shards_never_panic(
        k in 0usize..60,
        shards in proptest::collection::vec((any::<u8>(), proptest::collection::vec(any::<u8>(), 0..4)), 0..70),
    ) {
        let result = decode(0, k, &shards);
        if let Ok(data) = result {
            prop_assert!(shards.len() >= k && data.len() % k == 0);
        }
    }
}
