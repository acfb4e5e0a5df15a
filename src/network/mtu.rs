//! How large packets are: small ones that any path carries, and larger ones to peers on this same host.
//!
//! Invariant: what leaves the host is never more than [`MTU`]. No discovery of more on a path: under loss it takes lost probes for black
//! holes and back. Within a host nothing is lost and the work per packet is all there is to save; should the loopback interface have been
//! made narrow, quinn's black-hole detection brings such a connection back to [`MTU`].

use crate::network::seam::Sockets;
use std::net::IpAddr;

/// UDP payload of every packet that leaves this host.
pub const MTU: u16 = 1200;
/// The same of what stays here: five full shards. Ten of them, which quinn hands over at once, must stay below the 65,507 bytes of a UDP
/// datagram, because larger batches vanish in the kernel.
pub const LOCAL_MTU: u16 = 5_900;

/// The addresses of this host, as they were when an endpoint was made.
#[derive(Clone, Debug, Default)]
pub(super) struct Local(Vec<IpAddr>);

impl Local {
    /// Those that `sockets` know. Without them only loopback is taken for this host.
    pub(super) fn of(sockets: &dyn Sockets) -> Local {
        Local(sockets.addresses().unwrap_or_default())
    }

    /// UDP payload of packets to `peer`.
    pub(super) fn mtu(&self, peer: IpAddr) -> u16 {
        let peer = peer.to_canonical();
        if peer.is_loopback() || self.0.contains(&peer) { LOCAL_MTU } else { MTU }
    }
}
