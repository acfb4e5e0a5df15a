//! Chunks come back, bombs do not go off, and noise costs next to nothing.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;

const MIB: usize = 1024 * 1024;
const CHUNK: usize = 128 * 1024;

fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut step = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    };
    (0..length).map(|_| step()).collect()
}

fn text(length: usize) -> Vec<u8> {
    let line = b"2026-03-01T12:00:00Z station 17 temperature 21.5 humidity 40 battery ok\n";
    line.iter().copied().cycle().take(length).collect()
}

/// [`super::decompress`] of bytes that stand anywhere.
fn decompress(codec: Codec, bytes: impl AsRef<[u8]>, exact_len: usize, max: usize) -> Result<Bytes, CompressionError> {
    super::decompress(codec, &Bytes::copy_from_slice(bytes.as_ref()), exact_len, max)
}

const METHODS: [Method; 5] =
    [Method::None, Method::Lz4, Method::Zstd(1), Method::Zstd(ZSTD_DEFAULT), Method::Zstd(*ZSTD_LEVELS.end())];

fn round_trip(method: Method, chunk: Vec<u8>) -> Compressed {
    let chunk = Bytes::from(chunk);
    let packed = compress(method, &chunk);
    assert!(packed.bytes.len() <= chunk.len());
    let unpacked = decompress(packed.codec, &packed.bytes[..], chunk.len(), chunk.len());
    assert!(unpacked.unwrap() == chunk);
    packed
}

#[test]
fn repetitive_text_shrinks_by_96_percent() {
    for length in [16 * 1024, 256 * 1024, MIB] {
        for (method, codec) in [(Method::Lz4, Codec::Lz4), (Method::Zstd(3), Codec::Zstd)] {
            let packed = round_trip(method, text(length));
            assert_eq!(packed.codec, codec);
            assert!(packed.bytes.len() * 25 <= length, "{} of {length}", packed.bytes.len());
        }
    }
}

#[test]
fn noise_is_left_as_it_is_and_not_copied() {
    for length in [0, 1, 100, STRIDE, STRIDE + 1, MIB] {
        for method in METHODS {
            let chunk = Bytes::from(noise(length));
            let packed = compress(method, &chunk);
            assert_eq!(packed.codec, Codec::None);
            assert_eq!(packed.bytes.as_ptr(), chunk.as_ptr());
        }
    }
    assert_eq!(round_trip(Method::None, text(MIB)).codec, Codec::None);
    let chunk = Bytes::from(noise(CHUNK));
    let unpacked = super::decompress(Codec::None, &chunk, CHUNK, CHUNK).unwrap();
    assert_eq!(unpacked.as_ptr(), chunk.as_ptr());
}

#[test]
fn the_look_is_a_sixteenth_and_sees_text_among_noise() {
    assert!(promise(&noise(MIB)) == Promise::Nothing);
    // One quarter text, wherever it stands.
    for quarter in 0..4 {
        let mut chunk = noise(MIB);
        chunk[quarter * MIB / 4..][..MIB / 4].copy_from_slice(&text(MIB / 4));
        assert!(Promise::Nothing != promise(&chunk));
        for method in [Method::Lz4, Method::Zstd(1)] {
            assert!(round_trip(method, chunk.clone()).bytes.len() < MIB * 77 / 100);
        }
    }
}

#[test]
fn what_saves_less_than_three_percent_is_not_packed() {
    let with_text = |share: usize| {
        let mut chunk = noise(STRIDE);
        chunk[..share].copy_from_slice(&text(share));
        round_trip(Method::Lz4, chunk).codec
    };
    assert_eq!(with_text(STRIDE / 64), Codec::None);
    assert_eq!(with_text(STRIDE / 16), Codec::Lz4);
}

#[test]
fn repetition_beyond_a_sample_is_found_only_without_the_look() {
    // Within LZ4's reach of 64 KiB, but no two samples hold the same part of it.
    let mut chunk = noise(60_000).repeat(6);
    chunk.truncate(5 * STRIDE);
    assert_eq!(round_trip(Method::Lz4, chunk.clone()).codec, Codec::Lz4);
    assert!(Promise::Nothing == promise(&chunk));
}

#[test]
fn codecs_keep_their_numbers() {
    for (number, codec) in [(0, Codec::None), (1, Codec::Lz4), (2, Codec::Zstd)] {
        assert_eq!(Codec::try_from(number), Ok(codec));
        assert_eq!(codec.number(), number);
    }
    assert_eq!(Codec::try_from(3), Err(CompressionError::Codec(3)));
}

#[test]
fn an_lz4_block_of_another_implementation_is_read() {
    // Block format by hand: 4 literals, then a match of 19 + 8 bytes 4 back, then 5 last literals.
    let block = b"\x4fabcd\x04\x00\x08\x50tail.";
    let unpacked = decompress(Codec::Lz4, &block[..], 36, 36).unwrap();
    assert_eq!(&unpacked[..], b"abcdabcdabcdabcdabcdabcdabcdabctail.");
}

#[test]
fn bombs_are_refused_before_anything_is_allocated() {
    for (method, codec) in [(Method::Lz4, Codec::Lz4), (Method::Zstd(19), Codec::Zstd)] {
        let bomb = compress(method, &vec![0; MIB].into()).bytes;
        assert!(bomb.len() < MIB / 200);
        let refused = |announced, max| decompress(codec, &bomb[..], announced, max).unwrap_err();
        // More than allowed, whatever the block holds; usize::MAX could not be allocated at all.
        for (announced, max) in [(MIB, MIB - 1), (usize::MAX, MIB), (usize::MAX, 0)] {
            assert_eq!(refused(announced, max), CompressionError::TooLong { announced, max });
        }
        // It holds more or less than announced.
        assert!(matches!(refused(1000, MIB), CompressionError::Length { announced: 1000, .. }), "{codec:?}");
        assert_eq!(refused(MIB + 1, 2 * MIB), CompressionError::Length { announced: MIB + 1, found: MIB });
    }
    // More than an LZ4 block could hold at all, though it is allowed.
    let block = compress(Method::Lz4, &vec![0; MIB].into()).bytes;
    let error = decompress(Codec::Lz4, &block[..], usize::MAX, usize::MAX).unwrap_err();
    assert!(matches!(error, CompressionError::Length { announced: usize::MAX, .. }));
    let error = decompress(Codec::None, &b"abc"[..], 2, 9);
    assert_eq!(error, Err(CompressionError::Length { announced: 2, found: 3 }));
}

#[test]
fn a_frame_that_does_not_say_its_size_gets_no_more_than_was_announced() {
    // By hand: magic, descriptor without content size, window of 1 KiB, then blocks of one repeated byte, the last marked.
    let frame = |blocks: &[(u32, u8)]| {
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x00];
        for (place, (length, byte)) in blocks.iter().enumerate() {
            let last = u32::from(place + 1 == blocks.len());
            frame.extend_from_slice(&(length << 3 | 1 << 1 | last).to_le_bytes()[..3]);
            frame.push(*byte);
        }
        frame
    };
    let two = frame(&[(1000, b'a'), (24, b'b')]);
    let unpacked = decompress(Codec::Zstd, &two[..], 1024, 1024).unwrap();
    assert_eq!(unpacked, [vec![b'a'; 1000], vec![b'b'; 24]].concat());
    assert!(decompress(Codec::Zstd, &two[..], 1023, MIB).is_err());
    assert_eq!(
        decompress(Codec::Zstd, &two[..], 1025, MIB),
        Err(CompressionError::Length { announced: 1025, found: 1024 })
    );
    let many = frame(&vec![(1024, 0); 4000]);
    assert!(decompress(Codec::Zstd, many, CHUNK, CHUNK).is_err());
}

#[test]
fn every_truncation_fails() {
    let chunk = Bytes::from([text(3000), noise(300), text(500)].concat());
    for (method, codec) in [(Method::Lz4, Codec::Lz4), (Method::Zstd(9), Codec::Zstd)] {
        let packed = compress(method, &chunk);
        assert_eq!(packed.codec, codec);
        for length in 0..packed.bytes.len() {
            let cut = decompress(codec, &packed.bytes[..length], chunk.len(), MIB);
            assert!(cut.is_err(), "{length}");
        }
        // So does every byte too many: the buffer is full by then.
        let longer = [&packed.bytes[..], &[0x10, b'x']].concat();
        assert!(decompress(codec, longer, chunk.len(), MIB).is_err());
    }
}

proptest! {
    #[test]
    fn chunks_come_back(
        parts in vec((vec(any::<u8>(), 1..40), 1usize..3000), 0..12),
        method in proptest::sample::select(&METHODS[..]),
    ) {
        let chunk = parts.iter().flat_map(|(part, times)| part.repeat(*times)).collect();
        round_trip(method, chunk);
    }

    #[test]
    fn damaged_frames_never_panic_and_never_give_another_length(
        length in 1usize..4000,
        damage in vec((any::<proptest::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let chunk = Bytes::from([text(length), noise(length / 8)].concat());
        for (method, codec) in [(Method::Lz4, Codec::Lz4), (Method::Zstd(3), Codec::Zstd)] {
            let mut block = compress(method, &chunk).bytes.to_vec();
            for (place, byte) in &damage {
                let place = place.index(block.len());
                block[place] ^= byte;
            }
            if let Ok(unpacked) = decompress(codec, block, chunk.len(), chunk.len()) {
                prop_assert_eq!(unpacked.len(), chunk.len());
            }
        }
    }

    #[test]
    fn hostile_blocks_never_panic_and_never_give_another_length(
        block in vec(any::<u8>(), 0..200),
        announced in 0usize..5000,
    ) {
        for codec in [Codec::Lz4, Codec::Zstd] {
            if let Ok(unpacked) = decompress(codec, &block[..], announced, 4000) {
                prop_assert!(unpacked.len() == announced && announced <= 4000);
            }
        }
    }
}
