//! The seam under the network: sockets, the clock, and work that blocks.
//!
//! Everything above runs unchanged over real UDP or over a simulated network in virtual time. Timers and [`now`] are tokio's, so
//! they follow tokio's paused clock; quinn is given sockets only through [`Sockets`]; blocking work goes through [`Blocking`],
//! because a thread pool's answers come in no fixed order and would make a simulation unrepeatable.

use quinn::{AsyncUdpSocket, Runtime};
use rustix::net::sockopt::{set_socket_recv_buffer_size, set_socket_send_buffer_size};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;
use tokio::task::JoinError;

/// Bytes asked for in either buffer of a socket.
const BUFFER: usize = 4 << 20;

/// Where UDP sockets come from.
pub trait Sockets: Send + Sync {
    /// Binds a socket to `address` (port 0: any).
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>>;
    /// The addresses at which this host can be reached, loopback only if there is nothing else.
    fn addresses(&self) -> io::Result<Vec<std::net::IpAddr>>;
}

/// The sockets of this machine.
#[derive(Debug, Default)]
pub struct UdpSockets;

impl Sockets for UdpSockets {
    fn bind(&self, address: SocketAddr) -> io::Result<Arc<dyn AsyncUdpSocket>> {
        let socket = std::net::UdpSocket::bind(address)?;
        // The system may grant less; its default holds a few milliseconds of a fast link, and what does not fit is lost.
        let _ = set_socket_recv_buffer_size(&socket, BUFFER);
        let _ = set_socket_send_buffer_size(&socket, BUFFER);
        quinn::TokioRuntime.wrap_udp_socket(socket)
    }

    fn addresses(&self) -> io::Result<Vec<std::net::IpAddr>> {
        let (mut far, mut loopback) = (Vec::new(), Vec::new());
        for interface in if_addrs::get_if_addrs()? {
            let ip = interface.ip();
            let link_local = matches!(ip, std::net::IpAddr::V6(v6) if v6.is_unicast_link_local());
            if ip.is_loopback() {
                loopback.push(ip);
            } else if !link_local {
                far.push(ip);
            }
        }
        Ok(if far.is_empty() { loopback } else { far })
    }
}

/// Returns at that time; never, if there is none.
pub async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// What a task has come to that nobody aborts; its panic goes on here.
pub fn unpanicked<T>(ended: Result<T, JoinError>) -> T {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// How blocking work (reading, hashing, compressing, writing) is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blocking {
    /// On tokio's pool of threads.
    Pool,
    /// In place: virtual time stands still meanwhile and the order of everything is fixed.
    Inline,
}

impl Blocking {
    /// Runs `work` and gives its result.
    pub async fn run<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> T {
        match self {
            Blocking::Inline => work(),
            Blocking::Pool => match tokio::task::spawn_blocking(work).await {
                Ok(value) => value,
                Err(panic) => std::panic::resume_unwind(panic.into_panic()),
            },
        }
    }
}

/// The time that protocol work goes by: tokio's clock, which tests may pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
