//! A datagram that is kept to be sent again. No IO.

use quinn::udp::{EcnCodepoint, Transmit};
use std::net::{IpAddr, SocketAddr};

/// The datagram and how it went.
pub(super) struct Datagram {
    destination: SocketAddr,
    src_ip: Option<IpAddr>,
    ecn: Option<EcnCodepoint>,
    contents: Vec<u8>,
}

impl Datagram {
    /// `contents`, to go as `transmit` goes.
    pub(super) fn like(transmit: &Transmit<'_>, contents: &[u8]) -> Datagram {
        let Transmit { destination, src_ip, ecn, .. } = *transmit;
        Datagram { destination, src_ip, ecn, contents: contents.to_vec() }
    }

    /// What a socket takes.
    pub(super) fn transmit(&self) -> Transmit<'_> {
        let Datagram { destination, src_ip, ecn, contents } = self;
        Transmit { destination: *destination, ecn: *ecn, contents, segment_size: None, src_ip: *src_ip }
    }
}
