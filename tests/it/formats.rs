//! Golden vectors of the formats at rest: what was written once is read for ever, and written again the same.

use crate::process::Place;
use data_encoding::HEXLOWER;

/// With a run of equal blocks, and a short last one.
fn old() -> Vec<u8> {
    let text = (0..40_u32).map(|at| 65 + ((at * 7 + at / 16) % 26) as u8);
    text.chain(std::iter::repeat_n(0, 128)).chain(*b"tail").collect()
}

/// With each kind of operation.
fn new() -> Vec<u8> {
    let old = old();
    [b"start ", &old[16..48], &[0xFF; 300], &old[..16], &old[160..]].concat()
}

const SIGNATURE: [&str; 8] = [
    "52534c5301041000000000",
    "0102030405060708090a0b0c0d0e0f",
    "088e527515ace00f20926beb8500000000",
    "2e644591c7a5b0627847c47667a4b285",
    "0d",
    "027ea70f4f7f9ddb59",
    "00ac00000000000000b84f6c8e68650b28db7e17e9bd674217ba703893caa4e83e12f16b7f8eaccbd1",
    "19a6e2c74d6be932",
];

const DELTA: [&str; 6] = [
    "52534c44011000000000",
    "0102030405060708090a0b0c0d0e0f",
    "ac00000000000000b84f6c8e68650b28db7e17e9bd674217ba703893caa4e83e12f16b7f8eaccbd1",
    "01ee020a06180902b209ff050505127374617274",
    "20cfe34a8bd8c09502366dd08c25b5528c21492cea3ef5d54270e14d19d8272fb0",
    "296aee0099a9b48b",
];

/// With literals that pack.
fn long() -> Vec<u8> {
    let (old, text) =
        (old(), (0..30).map(|line| format!("line {line} of the text\n")).collect::<Vec<String>>().concat());
    [&old[..16], text.as_bytes(), &old[16..32], &text.as_bytes()[..100], &old[32..48]].concat()
}

/// Deltas to it with literals of Zstandard: each frame's alone, as a whole, and a stream that was flushed.
const ALONE: [&str; 5] = [
    "52534c440110000000000102030405060708090a0b0c0d0e0fac00000000000000b84f6c8e68650b28db7e17e9bd674217ba703893ca",
    "a4e83e12f16b7f8eaccbd10de2050a8f01b2050500b81205009003050028b52ffd60b2012d040064036c696e652030206f6620746865",
    "20746578740a6c696e65203132333435363738393131313131313131313232323232323232323233342200c013e09d8d17c947034800",
    "240712061201c981848144407220612011486e6909535a22494b0e69093b5a22464bae6809235a22434b4068e8031e039e00ef80c780",
    "27c03be031e089cc9b63a251b077face6b3a066f00472856c8879c81c83f22c74692dfde016d85e6203abe97f29a3127e5b6",
];

const FLUSHED: [&str; 5] = [
    "52534c440110000000000102030405060708090a0b0c0d0e0fac00000000000000b84f6c8e68650b28db7e17e9bd674217ba703893ca",
    "a4e83e12f16b7f8eaccbd10de2050a7bb2050500b81205009003050028b52ffd0068940300f4026c696e652030206f66207468652074",
    "6578740a31323334353637383931313131313131313132323232323232323232202050a3248f0119250a09484ec212999c8425323909",
    "4ba4e496254c2991e4c9214bd891448c932b9a3062890c4940481f8ff1c43b1ee389773dc613e3b7b52c0ca251b077face6b3a066f00",
    "472856c8879c81c83f22c74692dfde016d85e6203a2f5318ad6d92161f",
];

#[test]
fn a_signature_and_a_delta_are_what_they_were() {
    let place = Place::new();
    place.write("old", old());
    place.write("new", new());
    let salt = "000102030405060708090a0b0c0d0e0f";
    assert_eq!(place.run(&format!("sig -b 16 -S 4 --salt {salt} old sig")).code(), Some(0));
    assert_eq!(place.run("delta --no-compress sig new delta").code(), Some(0));
    let hex = |name: &str| HEXLOWER.encode(&std::fs::read(place.path(name)).unwrap());
    assert_eq!(hex("sig"), SIGNATURE.concat());
    assert_eq!(hex("delta"), DELTA.concat());
    assert_eq!(place.run("patch old delta made").code(), Some(0));
    assert_eq!(std::fs::read(place.path("made")).unwrap(), new());
}

#[test]
fn packed_literals_are_read_as_they_were_written() {
    let place = Place::new();
    place.write("old", old());
    for (delta, made) in [(ALONE.concat(), "alone"), (FLUSHED.concat(), "flushed")] {
        place.write("delta", HEXLOWER.decode(delta.as_bytes()).unwrap());
        assert_eq!(place.run(&format!("patch old delta {made}")).code(), Some(0));
        assert_eq!(std::fs::read(place.path(made)).unwrap(), long(), "{made}");
    }
}
