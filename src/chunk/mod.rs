//! Chunks: compression, erasure coding and adaptive parity. No IO.

pub mod adaptive;
pub mod compression;
pub mod erasure;
