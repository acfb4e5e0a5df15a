//! What a delta in rounds costs: `cargo run --release --example delta_rounds -- OLD NEW [bytes of one wait]`.
//!
//! Runs both ends of [`resilient::sync::refine`] in memory, compares the result with NEW, and prints the bytes of each round and of all, in
//! both directions, with four bytes for each message, as a wire would need to tell its length.

#![allow(clippy::print_stdout, clippy::disallowed_methods, reason = "it prints what it measures, by the wall clock")]

use resilient::sync::apply::Basis;
use resilient::sync::refine::{Finder, Holder, Outcome, Settings};
use std::fs::File;
use std::io::{self, Write};
use std::time::Instant;

/// Bytes for the length of a message.
const LENGTH: usize = 4;

/// Compares what is written with a file.
struct Compare<'f> {
    with: &'f File,
    at: u64,
    buffer: Vec<u8>,
}

impl Write for Compare<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.resize(bytes.len(), 0);
        self.with.read_exact_at(&mut self.buffer, self.at)?;
        self.at += bytes.len() as u64;
        if self.buffer == bytes { Ok(bytes.len()) } else { Err(io::Error::other("the result differs")) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(old), Some(new)) = (arguments.next(), arguments.next()) else {
        return Err("delta_rounds OLD NEW [bytes of one wait]".into());
    };
    let wait = arguments.next().map_or(Ok(0), |bytes| bytes.parse())?;
    let (old, new) = (File::open(old)?, File::open(new)?);
    let (old_len, new_len) = (old.metadata()?.len(), new.metadata()?.len());
    let settings = Settings { wait, ..Settings::new(*b"salt of examples") };
    let mut finder = Finder::new(&new, new_len, settings);
    let to = Compare { with: &new, at: 0, buffer: Vec::new() };
    let mut holder = Holder::new(&old, old_len, to, settings);

    // Bytes by kind: offer, same, open, sums, found, literals.
    let mut by_kind = [0_usize; 7];
    let mut per_round: Vec<(usize, usize)> = Vec::new();
    let mut waits = 0;
    let start = Instant::now();
    while !finder.is_done() || holder.outcome().is_none() {
        let (mut up, mut down) = (0, 0);
        while let Some(message) = finder.give()? {
            by_kind[usize::from(message[0])] += message.len() + LENGTH;
            down += message.len() + LENGTH;
            holder.take(&message)?;
        }
        while let Some(message) = holder.give()? {
            by_kind[usize::from(message[0])] += message.len() + LENGTH;
            up += message.len() + LENGTH;
            finder.take(&message)?;
        }
        waits += usize::from(up > 0);
        per_round.push((down, up));
    }
    let took = start.elapsed();
    for (round, (down, up)) in finder.rounds().iter().zip(
        per_round
            .iter()
            .map(|bytes| bytes.1)
            .zip(per_round.iter().skip(1).map(|bytes| bytes.0))
            .map(|(up, down)| (down, up)),
    ) {
        println!(
            "  {:>6} B x {:>6}{} at {} bits: {up:>8} B of sums; found {:>9} of {:>9} in {:>6} copies; {down:>8} B back",
            round.block,
            round.blocks,
            if round.probe { " (probe)" } else { "" },
            round.bits,
            round.found,
            round.searched,
            round.copies
        );
    }
    let total: usize = by_kind.iter().sum();
    let made = match holder.outcome() {
        Some(Outcome::Made(len)) if len == new_len => "made",
        Some(Outcome::Same) => "same",
        _ => return Err("the result is not whole".into()),
    };
    println!(
        "total {total} B ({made}): sums {} found {} literals {}; {waits} waits, {:.2} s",
        by_kind[3] + by_kind[4],
        by_kind[5],
        by_kind[6],
        took.as_secs_f64()
    );
    Ok(())
}
