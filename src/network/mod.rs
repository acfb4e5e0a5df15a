//! The network: identity, pinning and authorities, names, the QUIC endpoint, the congestion controller, and the seam under socket and clock.

pub mod attempts;
pub mod authority;
pub mod congestion;
pub mod copies;
mod credit;
mod datagram;
pub mod dial;
mod early;
pub mod endpoint;
pub mod gate;
#[cfg(test)]
mod hub;
pub mod identity;
pub mod limit;
pub mod mtu;
mod packet;
pub mod pin;
#[cfg(test)]
mod recorder;
mod reset;
pub mod resolve;
pub mod seam;
mod unpadded;
