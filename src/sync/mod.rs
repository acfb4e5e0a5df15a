//! The delta system: what a target has in common with a basis that only its signature is known of.
//!
//! A basis becomes a [`Signature`]: a **weak** and a **strong** sum of each of its **blocks** (`weak`, `strong`). A [`Scan`] of a target finds
//! those blocks again wherever they stand, by the `index` of the weak sums, and tells a [`Sink`] what the target is made of: **copies** of the
//! basis and **literals**. [`mod@format`] is how signatures and deltas look at rest, [`librsync`] the forms of rdiff; [`apply`] makes the target
//! again. [`refine`] does all of it in rounds, where both ends talk to each other. Nothing here opens a file; `docs/delta.md` has the algorithm, its limits and its figures.

pub mod apply;
pub mod format;
mod index;
pub mod librsync;
pub mod refine;
mod scan;
mod signature;
mod strong;
#[cfg(test)]
mod tests;
mod weak;

pub use scan::{Scan, Sink};
pub use signature::{BLOCK_LENGTHS, Plan, SALT, Signature};
pub use strong::{FULL, Strong};
pub use weak::Weak;
