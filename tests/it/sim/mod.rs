//! A simulated UDP network for real quinn endpoints, in tokio's paused time.
//!
//! Invariant: with the same seed, profiles and code under test, every packet has the same size, time and fate, in whatever
//! process, thread or build profile it runs; [`Net::hash`] is how a test sees that. Nothing here opens a socket, waits for the
//! wall clock or draws from an unseeded generator.
//!
//! [`run`] gives a test a runtime and a [`Net`]; [`Net::host`] gives an endpoint its sockets; a [`Profile`] says how bad the path
//! between two hosts is. Delays are best whole milliseconds, at least one: tokio's timers have that granularity.
//!
//! Left to the code under test: seeding `EndpointConfig::rng_seed`, `biased` in every `select!`, and blocking work in place
//! (`seam::Blocking::Inline`). A panic in a spawned task is swallowed by tokio: keep the handles and unwrap them. GSO batches over
//! a kernel, its buffers and a runtime of several threads are not simulated: those tests run over loopback.

mod link;
mod net;
mod profile;
mod rng;
mod run;
mod socket;

#[cfg(test)]
mod link_tests;
#[cfg(test)]
mod net_tests;
#[cfg(test)]
mod quic_tests;

pub(crate) use link::{Fate, Stats};
pub(crate) use net::Net;
pub(crate) use profile::Profile;
pub(crate) use rng::Rng;
pub(crate) use run::{run, seeds};
