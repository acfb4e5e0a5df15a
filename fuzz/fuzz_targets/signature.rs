//! Any bytes as a signature, of either form: refused, or read and used. No more memory than they are long, times a few.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resilient::sync::format::{SIGNATURE_MAGIC, signature};
use resilient::sync::librsync::{Magic, read_signature};
use resilient::sync::{FULL, Scan, Sink};

struct Nothing;

impl Sink for Nothing {
    fn copy(&mut self, _: u64, _: u64, _: &[[u8; FULL]]) {}
    fn literal(&mut self, _: &[u8]) {}
}

fuzz_target!(|bytes: &[u8]| {
    let Some((head, rest)) = bytes.split_first_chunk::<4>() else { return };
    let read = match (*head, Magic::of(*head)) {
        (SIGNATURE_MAGIC, _) => signature::read(rest).map(|(signature, _)| signature),
        (_, Some(Magic::Signature(hash, rolling))) => read_signature(rest, hash, rolling),
        _ => return,
    };
    let Ok(signature) = read else { return };
    let mut scan = Scan::new(&signature);
    let space = scan.space();
    let len = bytes.len().min(space.len());
    space[..len].copy_from_slice(&bytes[..len]);
    scan.filled(len);
    scan.run(false, &mut Nothing);
    scan.run(true, &mut Nothing);
    assert_eq!(scan.told(), len as u64);
});
