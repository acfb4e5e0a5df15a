//! Peers that lie, hosts that vanish and disks that fail, against whole `send`s and `recv`s in the simulated network.
//!
//! What stands here holds today. What does not is in `hostile_open`.

pub(crate) mod peer;
