//! The link between two TUN devices: what is routed into one comes out of the other, so that TCP, and every program as it is, crosses it.
//!
//! The devices are made here, without addresses; whoever asked for them moves each into its network namespace. The kernel divides what
//! is larger than a packet and fills in checksums before it hands packets over, so each is drawn for and counted by itself.

use crate::direction::Direction;
use crate::link::Stats;
use anyhow::Context;
use std::sync::Arc;
use std::thread;
use tokio::runtime::{Builder, Runtime};
use tokio_tun::Tun;

/// The largest IP packet.
const MTU: usize = 1500;

/// Two devices and the two directions between them.
pub(crate) struct Pair {
    devices: [Tun; 2],
    /// From the first device to the second, and back.
    directions: [Direction<()>; 2],
    /// Waits for what the devices have to say.
    runtime: Runtime,
}

impl Pair {
    /// Makes the devices; they last as long as this.
    pub(crate) fn new(names: [&str; 2], direction: &dyn Fn(u64) -> Direction<()>) -> anyhow::Result<Arc<Pair>> {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_io().build()?;
        let inside = runtime.enter();
        let device = |name: &str| {
            let made = Tun::builder().name(name).mtu(MTU as i32).build();
            let made = made.with_context(|| format!("cannot make the TUN device {name} (needs NET_ADMIN)"))?;
            made.into_iter().next().context("no device was made")
        };
        let devices = [device(names[0])?, device(names[1])?];
        drop(inside);
        Ok(Arc::new(Pair { devices, directions: [direction(0), direction(1)], runtime }))
    }

    /// The counters of both directions.
    pub(crate) fn stats(&self) -> [Stats; 2] {
        [self.directions[0].stats(), self.directions[1].stats()]
    }

    /// Starts passing packets on.
    pub(crate) fn run(self: &Arc<Pair>) {
        for from in [0, 1] {
            let taking = self.clone();
            self.runtime.spawn(async move {
                let mut buf = vec![0; MTU];
                // An error is that of a device that is gone, with its namespace.
                while let Ok(len) = taking.devices[from].recv(&mut buf).await {
                    taking.directions[from].take(&(), &buf[..len]);
                }
            });
            let handing = self.clone();
            thread::spawn(move || {
                handing.directions[from].deliver(|packet| {
                    // A packet for a device that is not up is lost, as on any link.
                    let _ = handing.devices[1 - from].try_send(&packet.payload);
                });
            });
        }
    }
}
