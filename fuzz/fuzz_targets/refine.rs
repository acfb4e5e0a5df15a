//! Two files, and changes to the messages of a delta in rounds: both ends come to an end, and what is made is the new file or an error is told.
#![no_main]

use libfuzzer_sys::fuzz_target;
use resilient::sync::refine::{Finder, Holder, Outcome, Settings};

/// More messages than a transfer of files as short as these has, by far.
const MANY: usize = 1000;

fuzz_target!(|input: (Vec<u8>, Vec<u8>, u8, Vec<(u8, u16, u8)>)| {
    let (old, new, repeat, changes) = input;
    // Longer files have more rounds.
    let repeat = 1 + usize::from(repeat) * 4;
    let (old, new) = (old.repeat(repeat), [new.repeat(repeat), old.repeat(repeat / 2)].concat());
    let settings = Settings { most: 1 << 22, ..Settings::new([7; 16]) };
    let change = |number: usize, message: &mut Vec<u8>| {
        for (_, place, bits) in changes.iter().filter(|(which, _, _)| usize::from(*which) == number) {
            match message.get_mut(usize::from(*place)) {
                Some(byte) => *byte ^= bits,
                None => message.push(*bits),
            }
        }
    };
    let mut made = Vec::new();
    let mut finder = Finder::new(new.as_slice(), new.len() as u64, settings);
    let mut holder = Holder::new(old.as_slice(), old.len() as u64, &mut made, settings);
    let mut number = 0;
    let outcome = loop {
        let before = number;
        let result = (|| {
            while let Some(mut message) = finder.give()? {
                change(number, &mut message);
                number += 1;
                holder.take(&message)?;
            }
            while let Some(mut message) = holder.give()? {
                change(number, &mut message);
                number += 1;
                finder.take(&message)?;
            }
            Ok::<_, resilient::sync::refine::RefineError>(())
        })();
        if result.is_err() {
            return;
        }
        if let Some(outcome) = holder.outcome() {
            break outcome;
        }
        if number == before {
            return;
        }
        assert!(number < MANY, "both ends go on without end");
    };
    drop(holder);
    if let Outcome::Made(len) = outcome {
        assert_eq!(len, made.len() as u64);
        // A changed offer is of another file.
        assert!(made == new || changes.iter().any(|(which, _, _)| *which == 0));
    }
});
