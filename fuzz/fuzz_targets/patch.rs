//! Any bytes as a delta, of either form, to a basis that the first of them make: refused, or applied within the limit.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resilient::sync::apply::Apply;
use resilient::sync::format::DELTA_MAGIC;
use resilient::sync::format::frame::Frames;
use resilient::sync::librsync::{Magic, frames};

const MOST: u64 = 1 << 20;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, bytes)) = bytes.split_first() else { return };
    let Some((basis, delta)) = bytes.split_at_checked(usize::from(*length)) else { return };
    let Some((head, rest)) = delta.split_first_chunk::<4>() else { return };
    let mut made = Vec::new();
    if *head == DELTA_MAGIC {
        let Ok(mut frames) = Frames::new(rest) else { return };
        let described = *frames.basis();
        if described.len != basis.len() as u64 {
            return;
        }
        let mut apply = Apply::new(basis, Some(&described), &mut made, MOST);
        while let Ok(Some(frame)) = frames.next_frame() {
            if apply.frame(&frame).is_err() {
                break;
            }
        }
    } else if Magic::of(*head) == Some(Magic::Delta) {
        let mut frames = frames::Frames::new(rest, basis.len() as u64);
        let mut apply = Apply::new(basis, None, &mut made, MOST);
        while let Ok(Some(frame)) = frames.next_frame() {
            if apply.frame(&frame).is_err() {
                break;
            }
        }
    }
    assert!(made.len() as u64 <= MOST);
});
