//! `resilient` gets files across networks that are failing.
//!
//! > A file becomes **chunks**; a chunk is hashed, compressed and coded into **stripes** of **shards**; shards are scheduled and
//! > put on QUIC; on the other side shards make a stripe, a stripe is decoded to a chunk, a chunk is verified, and only a verified
//! > chunk is written. Commands are arrangements of those same parts.
//!
//! ```text
//!  sender   fs::source → chunk::split → integrity → chunk::compression → wire::chunk → transfer::Outbound ─┐
//!                                                                          (stripes, shards, parity)       │ QUIC
//!  receiver fs::disk ← pipeline::assemble ← integrity (Verified) ← chunk::compression ← transfer::Inbound ←┘ datagrams
//! ```
//!
//! # Layers
//!
//! Imports point down only; `tests/it/architecture.rs` reads the `use` lines and holds this table.
//!
//! | layer | modules | may use |
//! |---|---|---|
//! | L5 | [`cli`] | clap, the terminal, everything below |
//! | L4 | [`pipeline`] | one file per command; tokio |
//! | L3 | [`network`], [`fs`], [`trust`], [`session`] | quinn, rustls, sockets; files; SQLite |
//! | L2 | [`transfer`], [`wire`] | no IO: time, randomness and sockets are arguments |
//! | L1 | [`chunk`], [`filter`], [`priority`], [`sync`] | no IO |
//! | L0 | [`integrity`], [`manifest`], [`ticket`], [`location`], [`node_id`], [`unit`](mod@unit), [`range_set`], [`event`], [`class`], [`link`](mod@link) | no IO |
//!
//! # Words
//!
//! **entry** file, directory or link in a manifest · **chunk** contiguous range of one entry's bytes, or several small entries
//! packed together: the unit of hashing, compression, acknowledgement and resume · **stripe** k ≤ 50 data + m parity shards ·
//! **shard** one erasure-coded part of a stripe, fits one datagram · **have-set** what the receiver has verified ·
//! **session** a resumable transfer · **block** part of a **basis** in its signature, by a **weak** and a **strong** sum ·
//! **literal**, **copy** what a delta has itself, and what it takes of the basis · **location** what the user typed · **ticket** address + pinned key + one-time secret ·
//! **node id** a node's public key.

pub mod chunk;
pub mod class;
pub mod cli;
pub mod event;
pub mod filter;
pub mod fs;
pub mod integrity;
pub mod link;
pub mod location;
pub mod manifest;
pub mod network;
pub mod node_id;
pub mod pipeline;
pub mod priority;
pub mod range_set;
pub mod session;
pub mod sync;
pub mod ticket;
pub mod transfer;
pub mod trust;
pub mod unit;
pub mod wire;
