//! A path that falls silent for one flow alone, as where a translator of addresses has forgotten it.

use super::SIZE;
use crate::process::{Live, Place, noise};
use resilient::ticket::Ticket;
use std::collections::BTreeMap;
use std::net::{SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Hands datagrams on in both directions, and none any more of the first one who came once it is `cut`.
struct Translator {
    address: SocketAddr,
    cut: Arc<AtomicBool>,
    flows: Arc<Mutex<BTreeMap<SocketAddr, Arc<UdpSocket>>>>,
}

impl Translator {
    fn before(receiver: SocketAddr) -> Translator {
        let front = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
        let address = front.local_addr().unwrap();
        let (cut, flows) = (Arc::new(AtomicBool::new(false)), Arc::<Mutex<BTreeMap<_, _>>>::default());
        std::thread::spawn({
            let (cut, flows) = (cut.clone(), flows.clone());
            move || {
                let (mut buffer, mut first) = (vec![0; 65536], None);
                while let Ok((length, from)) = front.recv_from(&mut buffer) {
                    let is_first = *first.get_or_insert(from) == from;
                    if is_first && cut.load(Ordering::SeqCst) {
                        continue;
                    }
                    let known = flows.lock().unwrap().get(&from).cloned();
                    let back = known.unwrap_or_else(|| {
                        let back = Arc::new(UdpSocket::bind("127.0.0.1:0").unwrap());
                        back.connect(receiver).unwrap();
                        flows.lock().unwrap().insert(from, back.clone());
                        std::thread::spawn({
                            let (front, back, cut) = (front.clone(), back.clone(), cut.clone());
                            move || {
                                let mut buffer = vec![0; 65536];
                                while let Ok(length) = back.recv(&mut buffer) {
                                    if !(is_first && cut.load(Ordering::SeqCst)) {
                                        let _ = front.send_to(&buffer[..length], from);
                                    }
                                }
                            }
                        });
                        back
                    });
                    let _ = back.send(&buffer[..length]);
                }
            }
        });
        Translator { address, cut, flows }
    }
}

#[test]
fn a_flow_that_was_forgotten_on_the_way_is_replaced_by_another_one() {
    let place = Place::new();
    place.write("source", noise(7, SIZE as usize));
    let receiver = place.receiver("inbox");
    let ticket: Ticket = receiver.ticket.parse().unwrap();
    let translator = Translator::before(ticket.addresses[0]);
    let ticket = Ticket::new(ticket.key, [translator.address], ticket.secret);
    let words = format!("send --json -vv --bwlimit 4m --timeout 1 source {ticket}");
    let mut sender = Live::stdout(place.on("sender", &words));
    while sender.event("progress")["bytes_done"].as_u64() == Some(0) {}
    translator.cut.store(true, Ordering::SeqCst);
    let sent = sender.ended();
    let received = receiver.ended();
    assert_eq!((sent.code(), received.code()), (Some(0), Some(0)), "{sent:?} {received:?}");
    assert!(sent.out.contains("nothing heard for 1.0s; trying another connection as well"), "{sent:?}");
    assert_eq!(translator.flows.lock().unwrap().len(), 2, "one beside the first, and no more");
    assert!(std::fs::read(place.path("inbox/source")).unwrap() == noise(7, SIZE as usize));
}
