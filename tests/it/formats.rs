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
