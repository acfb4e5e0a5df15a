//! Sockets, addresses and time of the simulated network, without QUIC; and the runner.

use super::run::run_watched;
use super::{Net, Profile, run, seeds};
use quinn::AsyncUdpSocket;
use quinn::udp::{EcnCodepoint, RecvMeta, Transmit};
use std::io::{ErrorKind, IoSliceMut};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

const A: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 1));
const B: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 2));
const C: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 0, 0, 3));
const LIMIT: Duration = Duration::from_secs(3600);

fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

fn bind(net: &Net, ip: IpAddr, address: &str) -> std::io::Result<Arc<dyn AsyncUdpSocket>> {
    net.host(ip).bind(address.parse().unwrap())
}

/// Sends `contents` as datagrams of `segment` bytes.
fn send(socket: &Arc<dyn AsyncUdpSocket>, to: SocketAddr, contents: &[u8], segment: usize) {
    let ecn = Some(EcnCodepoint::Ect0);
    socket.try_send(&Transmit { destination: to, ecn, contents, segment_size: Some(segment), src_ip: None }).unwrap();
}

/// What arrives next, in batches of at most four.
async fn receive(socket: &Arc<dyn AsyncUdpSocket>, room: usize) -> Vec<(Vec<u8>, RecvMeta)> {
    std::future::poll_fn(|cx| {
        let mut bufs = vec![vec![0; room]; 4];
        let mut meta = [RecvMeta::default(); 4];
        let mut slices: Vec<IoSliceMut<'_>> = bufs.iter_mut().map(|buf| IoSliceMut::new(buf)).collect();
        socket.poll_recv(cx, &mut slices, &mut meta).map(|count| {
            let count = count.unwrap();
            assert!(count > 0, "quinn would spin");
            bufs.drain(..count).zip(meta).map(|(buf, meta)| (buf[..meta.len].to_vec(), meta)).collect()
        })
    })
    .await
}

#[test]
fn datagrams_arrive_on_the_millisecond_after_the_rate_and_the_delay() {
    run(1, LIMIT, async |net| {
        net.path(A, B, Profile::plain(10.0, 30, 0.0));
        let (a, b) = (bind(&net, A, "0.0.0.0:0").unwrap(), bind(&net, B, "0.0.0.0:7").unwrap());
        // 20 datagrams of 1,228 bytes with headers: 0.9824 ms each.
        send(&a, SocketAddr::new(B, 7), &vec![5; 24_000], 1200);
        let mut times = Vec::new();
        while times.len() < 20 {
            for (bytes, meta) in receive(&b, 1500).await {
                assert_eq!(
                    (bytes, meta.addr, meta.dst_ip),
                    (vec![5; 1200], SocketAddr::new(A, a.local_addr().unwrap().port()), Some(B))
                );
                assert_eq!(meta.ecn, Some(EcnCodepoint::Ect0));
                times.push(net.elapsed());
            }
        }
        for (i, time) in times.into_iter().enumerate() {
            let exact = ms(30) + Duration::from_nanos(982_400) * (i as u32 + 1);
            let late = time.checked_sub(exact).expect("never early");
            assert!(late < ms(1), "datagram {i}: {late:?} late");
        }
        assert_eq!(net.stats_of(A, B).bytes, 20 * 1228);
        assert_eq!(net.stats_of(B, A).packets, 0);
    });
}

#[test]
fn an_earlier_packet_wakes_a_sleeping_receiver() {
    run(1, LIMIT, async |net| {
        net.link(A, C, Profile::plain(1000.0, 500, 0.0));
        net.link(B, C, Profile::plain(1000.0, 10, 0.0));
        let [a, b, c] = [A, B, C].map(|ip| bind(&net, ip, "0.0.0.0:9").unwrap());
        send(&a, SocketAddr::new(C, 9), b"slow", 4);
        let receiver = tokio::spawn(async move { (receive(&c, 1500).await, receive(&c, 1500).await) });
        tokio::time::sleep(ms(5)).await;
        send(&b, SocketAddr::new(C, 9), b"fast", 4);
        let (first, second) = receiver.await.unwrap();
        assert_eq!((first[0].0.as_slice(), second[0].0.as_slice()), (b"fast".as_slice(), b"slow".as_slice()));
        assert!((ms(501)..ms(502)).contains(&net.elapsed()), "{:?}", net.elapsed());
    });
}

#[test]
fn addresses_are_those_of_the_host_and_are_freed() {
    run(1, LIMIT, async |net| {
        assert_eq!(net.host(A).addresses().unwrap(), [A]);
        let first = bind(&net, A, "0.0.0.0:80").unwrap();
        assert_eq!(bind(&net, A, "10.0.0.1:80").unwrap_err().kind(), ErrorKind::AddrInUse);
        assert_eq!(bind(&net, A, "10.0.0.2:80").unwrap_err().kind(), ErrorKind::AddrNotAvailable);
        assert!(bind(&net, B, "10.0.0.2:80").is_ok());
        let (x, y) = (bind(&net, A, "0.0.0.0:0").unwrap(), bind(&net, A, "0.0.0.0:0").unwrap());
        assert_ne!(x.local_addr().unwrap(), y.local_addr().unwrap());
        drop(first);
        let again = bind(&net, A, "10.0.0.1:80").unwrap();
        // Nobody listens there any more.
        drop(again);
        send(&x, SocketAddr::new(A, 80), b"?", 1);
        assert_eq!(net.stats().unreachable, 1);
    });
}

#[test]
fn a_socket_of_ipv6_sees_mapped_addresses() {
    run(1, LIMIT, async |net| {
        let (a, b) = (bind(&net, A, "[::]:5").unwrap(), bind(&net, B, "0.0.0.0:6").unwrap());
        send(&a, "[::ffff:10.0.0.2]:6".parse().unwrap(), b"to", 2);
        assert_eq!(receive(&b, 9).await[0].1.addr, SocketAddr::new(A, 5));
        send(&b, SocketAddr::new(A, 5), b"back", 4);
        let (bytes, meta) = receive(&a, 9).await.remove(0);
        assert_eq!((bytes.as_slice(), meta.addr), (b"back".as_slice(), "[::ffff:10.0.0.2]:6".parse().unwrap()));
        assert_eq!(meta.dst_ip, Some("::ffff:10.0.0.1".parse().unwrap()));
    });
}

#[test]
fn corruption_flips_one_bit_and_duplicates_are_alike() {
    run(1, LIMIT, async |net| {
        net.path(A, B, Profile { corrupt: 1.0, dup: 1.0, ..Profile::lan() });
        let (a, b) = (bind(&net, A, "0.0.0.0:5").unwrap(), bind(&net, B, "0.0.0.0:6").unwrap());
        send(&a, SocketAddr::new(B, 6), &[0; 100], 100);
        let mut copies = receive(&b, 1500).await;
        while copies.len() < 2 {
            copies.extend(receive(&b, 1500).await);
        }
        assert_eq!(copies[0].0, copies[1].0);
        assert_eq!(copies[0].0.iter().map(|byte| byte.count_ones()).sum::<u32>(), 1);
        assert_eq!((net.stats().corrupted, net.stats().duplicated), (1, 1));
    });
}

#[test]
fn datagrams_larger_than_the_buffer_are_dropped() {
    run(1, LIMIT, async |net| {
        let (a, b) = (bind(&net, A, "0.0.0.0:5").unwrap(), bind(&net, B, "0.0.0.0:6").unwrap());
        send(&a, SocketAddr::new(B, 6), &[1; 101], 101);
        send(&a, SocketAddr::new(B, 6), &[2; 100], 100);
        let got = receive(&b, 100).await;
        assert_eq!(got.iter().map(|(bytes, _)| bytes[0]).collect::<Vec<_>>(), [2]);
    });
}

#[test]
fn a_bottleneck_is_shared_and_a_profile_can_change() {
    run(1, LIMIT, async |net| {
        net.bottleneck(&[(A, C), (B, C)], Profile::plain(1.0, 10, 0.0));
        let [a, b, c] = [A, B, C].map(|ip| bind(&net, ip, "0.0.0.0:9").unwrap());
        send(&a, SocketAddr::new(C, 9), &[0; 9720], 972);
        send(&b, SocketAddr::new(C, 9), &[0; 9720], 972);
        let mut got = 0;
        while got < 20 {
            got += receive(&c, 1500).await.len();
        }
        // 20 packets of 1,000 bytes at 1 Mbit/s.
        assert_eq!(net.elapsed(), ms(170));
        net.everywhere(Profile { loss: 1.0, ..Profile::lan() });
        send(&a, SocketAddr::new(C, 9), b"lost", 4);
        assert_eq!(net.stats().lost, 1);
    });
}

#[test]
fn the_trace_is_what_the_counters_count() {
    run(1, LIMIT, async |net| {
        net.everywhere(Profile { loss: 0.5, ..Profile::lan() });
        let a = bind(&net, A, "0.0.0.0:5").unwrap();
        let hash = net.hash();
        send(&a, SocketAddr::new(B, 6), b"before the trace", 16);
        assert_ne!(net.hash(), hash);
        net.start_trace();
        send(&a, SocketAddr::new(B, 6), &[0; 100], 10);
        let trace = net.trace();
        assert_eq!((trace.len() as u64, net.stats().packets), (10, 11));
        assert!(trace.iter().all(|r| r.size == 38 && r.from == SocketAddr::new(A, 5) && r.to == SocketAddr::new(B, 6)));
        assert!(trace.iter().any(|r| r.fate == super::Fate::Lost) && trace.iter().any(|r| r.fate != super::Fate::Lost));
        assert!(trace.iter().all(|r| r.time == net.elapsed()));
    });
}

#[test]
fn a_deadlock_ends_at_the_virtual_limit_and_names_its_seed() {
    let ended = std::panic::catch_unwind(|| {
        run(4711, Duration::from_secs(30 * 86_400), async |_| {
            std::future::pending::<()>().await;
        });
    });
    let message = *ended.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("seed 4711") && message.contains("2592000s"), "{message}");
}

#[test]
fn seeds_all_run_in_order_of_result_and_failures_are_named() {
    assert_eq!(
        seeds(5..50, |seed| run(seed, LIMIT, async |_| seed * 2)),
        (5..50).map(|seed| seed * 2).collect::<Vec<_>>()
    );
    let failed = std::panic::catch_unwind(|| {
        seeds(0..10, |seed| {
            run(seed, LIMIT, async |_| assert!(seed % 4 != 3, "on purpose"));
        })
    });
    let message = *failed.unwrap_err().downcast::<String>().unwrap();
    assert!(message.contains("[3, 7]"), "{message}");
}

/// Set in the process that is meant to hang.
const STUCK: &str = "RESILIENT_TEST_STUCK_CLOCK";

#[test]
fn a_stuck_clock_aborts_the_process_and_names_its_seed() {
    if std::env::var_os(STUCK).is_some() {
        // The limit never comes, for a task that is always ready keeps the clock from moving.
        run_watched(815, ms(1), ms(300), async |_| {
            loop {
                tokio::task::yield_now().await;
            }
        });
    }
    let name =
        format!("{}::a_stuck_clock_aborts_the_process_and_names_its_seed", module_path!().split_once("::").unwrap().1);
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &name])
        .env(STUCK, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(!child.status.success() && said.contains("the clock is stuck with seed 815"), "{said}");
}
