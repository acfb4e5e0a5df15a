//! Exit statuses that need a peer that lies: the program over real UDP against one made by hand.
//!
//! What the library does with each lie is shown in `hostile`, in virtual time; here it is that the process says so, in one line, with the
//! status that it is due, and that nothing got its final name.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use crate::hostile::peer::*;
use crate::process::{Ended, Live, Place};
use bytes::Bytes;
use quinn::Connection;
use resilient::class::Class;
use resilient::integrity::digest;
use resilient::manifest::EntryId;
use resilient::network::identity::Identity;
use resilient::network::pin;
use resilient::ticket::Ticket;
use resilient::wire::VERSION;
use resilient::wire::chunk::{Chunk, decode, encode_control};
use resilient::wire::control::{Control, Hello, Refusal, decode_all};
use resilient::wire::datagram::Datagram;
use resilient::wire::reply::Reply;
use std::process::Child;

const OTHER: u16 = VERSION + 1;

fn run<T>(lie: impl AsyncFnOnce() -> T) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(lie())
}

/// Waits for the end of `child` while the connections of this task go on.
async fn end(child: Child) -> Ended {
    tokio::task::spawn_blocking(|| Ended::of(child.wait_with_output().unwrap())).await.unwrap()
}

/// It must have ended with `class`, and said so once.
fn ended_with(class: Class, said: &str, ended: &Ended) {
    assert_eq!(ended.code(), Some(class.code().into()), "{ended:?}");
    let errors = ended.err.lines().filter(|line| line.starts_with("resilient: "));
    assert_eq!(errors.filter(|line| line.contains(said)).count(), 1, "{said}: {ended:?}");
    assert!(ended.err.lines().filter(|line| line.starts_with("hint: ")).count() <= 1, "{ended:?}");
}

/// Nothing has its final name, and nothing unfinished is left.
fn nothing_arrived(place: &Place) {
    let names: Vec<_> = std::fs::read_dir(place.path("inbox")).into_iter().flatten().collect();
    assert!(names.is_empty(), "{names:?}");
}

async fn caller(ticket: &str) -> Wire {
    let ticket: Ticket = ticket.parse().unwrap();
    Wire::dial(loopback(), &Identity::generate().unwrap(), &ticket, 1).await.unwrap()
}

fn of_version(version: u16) -> Control {
    Control::Hello(Hello { version, ..hello(1, Some(SECRET)) })
}

/// The secret of a ticket that the program has printed.
fn secret(ticket: &str) -> [u8; 16] {
    *ticket.parse::<Ticket>().unwrap().secret.unwrap().as_bytes()
}

/// The refusal that a sender who was asked sends: its first chunk, of one shard.
async fn refusal(connection: &Connection) -> Refusal {
    loop {
        let Datagram::Shard(shard) = Datagram::decode(&connection.read_datagram().await.unwrap()).unwrap() else {
            continue;
        };
        let Chunk::Control { messages, .. } = decode(&shard.payload).unwrap() else { panic!("not control") };
        let [Control::Refused(refusal)] = &decode_all(&messages).unwrap()[..] else { panic!("not a refusal") };
        return refusal.clone();
    }
}

#[test]
fn a_receiver_of_another_version_is_2_for_a_sender() {
    let place = Place::new();
    place.write("source", "content");
    run(async || {
        let lair = Lair::at(loopback(), pin::ALPN);
        let sender = place.command(&format!("send source {}", lair.ticket)).spawn().unwrap();
        let mut liar = lair.accept().await;
        liar.heard().await;
        let message = format!("speaks protocol version {OTHER}, not {VERSION}");
        liar.say(&Reply::Refused(Refusal { code: 2, message: message.clone(), retry_after: 0 })).await;
        ended_with(Class::Version, &message, &end(sender).await);

        // One that does not even take the connection.
        let lair = Lair::at(loopback(), b"resilient/2");
        let sender = place.command(&format!("send source {}", lair.ticket)).spawn().unwrap();
        let met = tokio::spawn(lair.met());
        ended_with(Class::Version, "speaks no protocol version of ours", &end(sender).await);
        met.abort();
    });
}

#[test]
fn a_sender_of_another_version_is_2_for_a_receiver_that_dials() {
    let place = Place::new();
    run(async || {
        let lair = Lair::at(loopback(), pin::ALPN);
        let receiver = place.command(&format!("recv {} inbox", lair.ticket)).spawn().unwrap();
        let mut peer = Peer::on(lair.arrival().await);
        peer.control(&[of_version(OTHER), entries(0, vec![file("evil", 3)]), finish(1)]).await;
        peer.data(0, b"abc", 0, 3).await;
        let told = peer.replies_until(|reply| matches!(reply, Reply::Refused(_))).await;
        assert!(matches!(told.last(), Some(Reply::Refused(Refusal { code: 2, .. }))), "{told:?}");
        ended_with(Class::Version, &format!("sender: speaks protocol version {OTHER}"), &end(receiver).await);
    });
    nothing_arrived(&place);
}

#[test]
fn who_waits_refuses_another_version_with_2_and_goes_on_waiting() {
    let place = Place::new();
    place.write("source", "content");
    let receiver = place.receiver("inbox");
    run(async || {
        let mut peer = Peer::on(caller(&receiver.ticket).await);
        let hello = Hello { version: OTHER, ..hello(1, Some(secret(&receiver.ticket))) };
        peer.control(&[Control::Hello(hello)]).await;
        let told = peer.reply().await;
        assert!(matches!(&told, Some(Reply::Refused(Refusal { code: 2, .. }))), "{told:?}");
    });
    nothing_arrived(&place);
    assert_eq!(place.run(&format!("send source {}", receiver.ticket)).code(), Some(0));
    assert_eq!((receiver.ended().code(), place.read("inbox/source").as_str()), (Some(0), "content"));

    let mut offered = Live::stdout(place.command("send --offer --listen 127.0.0.1:0 source"));
    let ticket = offered.line();
    run(async || {
        let mut liar = Liar::on(caller(&ticket).await).await;
        liar.say(&Reply::Ask { version: OTHER, secret: Some(secret(&ticket)) }).await;
        let refused = refusal(&liar.connection).await;
        assert_eq!(refused.code, 2, "{refused:?}");
    });
    assert_eq!(place.run(&format!("recv {ticket} pulled")).code(), Some(0));
    assert_eq!((offered.ended().code(), place.read("pulled/source").as_str()), (Some(0), "content"));
}

/// What an admitted sender says that it must not, and what becomes of the receiver.
const LIES: [(&str, Class, &str); 3] = [
    ("message", Class::Malformed, "out of range"),
    ("datagram", Class::Malformed, "unknown"),
    ("digest", Class::Integrity, "evil: the file does not match its digest"),
];

/// Sends a file of two chunks, and the lie.
async fn lie(peer: &mut Peer, what: &str) {
    const CHUNK: usize = 128 * 1024;
    let bytes = noise(1, CHUNK + 1);
    peer.control(&[entries(0, vec![file("evil", bytes.len())]), finish(1)]).await;
    match what {
        "message" => peer.chunk(&encode_control(2, &[0xff; 9])).await,
        "datagram" => peer.datagram(Bytes::from_static(&[0x7f; 99])).await,
        _ => {
            peer.data(0, &bytes, 0, CHUNK).await;
            peer.data(0, &bytes, CHUNK, 1).await;
            let digest = digest(b"something else");
            peer.control(&[Control::Sealed { entry: EntryId(0), size: bytes.len() as u64, digest }]).await;
            let told = peer.replies_until(|reply| matches!(reply, Reply::Failed { .. })).await;
            assert!(matches!(told.last(), Some(Reply::Failed { code: 40, .. })), "{told:?}");
            peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            peer.connection.close(0u32.into(), b"");
        }
    }
}

#[test]
fn a_sender_that_lies_is_12_or_40_for_a_receiver_that_waits() {
    for (what, class, said) in LIES {
        let place = Place::new();
        let receiver = place.receiver("inbox");
        let ended = run(async || {
            let mut peer = Peer::on(caller(&receiver.ticket).await);
            peer.hello(1, Some(secret(&receiver.ticket))).await;
            lie(&mut peer, what).await;
            end(receiver.child).await
        });
        ended_with(class, said, &ended);
        nothing_arrived(&place);
    }
}

#[test]
fn a_sender_that_lies_is_12_or_40_for_a_receiver_that_dials() {
    for (what, class, said) in LIES {
        let place = Place::new();
        let ended = run(async || {
            let lair = Lair::at(loopback(), pin::ALPN);
            let receiver = place.command(&format!("recv {} inbox", lair.ticket)).spawn().unwrap();
            let mut peer = Peer::on(lair.arrival().await);
            peer.control(&[of_version(VERSION)]).await;
            lie(&mut peer, what).await;
            end(receiver).await
        });
        ended_with(class, said, &ended);
        nothing_arrived(&place);
    }
}

#[test]
fn a_receiver_that_lies_is_12_for_a_sender() {
    let place = Place::new();
    place.write("source", "content");
    run(async || {
        let lair = Lair::at(loopback(), pin::ALPN);
        let sender = place.command(&format!("send source {}", lair.ticket)).spawn().unwrap();
        let mut liar = lair.accept().await;
        liar.heard().await;
        liar.say(&Reply::Accepted).await;
        liar.connection.send_datagram(Bytes::from_static(&[0x7f; 99])).unwrap();
        ended_with(Class::Malformed, "peer: unknown", &end(sender).await);
    });
    let mut offered = Live::stdout(place.command("send --offer --listen 127.0.0.1:0 source"));
    let ticket = offered.line();
    let ended = run(async || {
        let mut liar = Liar::on(caller(&ticket).await).await;
        liar.say(&Reply::Ask { version: VERSION, secret: Some(secret(&ticket)) }).await;
        liar.heard().await;
        liar.connection.send_datagram(Bytes::from_static(&[0x7f; 99])).unwrap();
        tokio::task::spawn_blocking(|| offered.ended()).await.unwrap()
    });
    ended_with(Class::Malformed, "peer: unknown", &ended);
}
