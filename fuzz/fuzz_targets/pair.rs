//! An old and a new file, a block length, and how the new one is read: patch(old, delta(sig(old), new)) = new.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resilient::sync::Scan;
use resilient::sync::apply::Apply;
use resilient::sync::format::delta::DeltaWriter;
use resilient::sync::format::frame::Frames;
use resilient::sync::format::signature::{self, SignatureWriter};

fuzz_target!(|input: (u8, u8, Vec<u8>, Vec<u8>)| {
    let (block, piece, old, new) = input;
    let (block, piece) = (16 + usize::from(block), 1 + usize::from(piece));
    let mut writer = SignatureWriter::new(Vec::new(), [1; 16], block, 8).unwrap();
    writer.add(&old).unwrap();
    let file = writer.finish().unwrap().0;
    let (signature, basis) = signature::read(&file[4..]).unwrap();
    let mut writer = DeltaWriter::new(Vec::new(), &basis, Some(1)).unwrap();
    let mut scan = Scan::new(&signature);
    for piece in new.chunks(piece) {
        scan.space()[..piece.len()].copy_from_slice(piece);
        scan.filled(piece.len());
        scan.run(false, &mut writer);
    }
    scan.run(true, &mut writer);
    let delta = writer.finish().unwrap().0;
    let mut frames = Frames::new(&delta[4..]).unwrap();
    let described = *frames.basis();
    let mut apply = Apply::new(old.as_slice(), Some(&described), Vec::new(), new.len() as u64);
    while let Some(frame) = frames.next_frame().unwrap() {
        apply.frame(&frame).unwrap();
    }
    assert_eq!(apply.finish().unwrap().1, new);
});
