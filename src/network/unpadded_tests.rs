//! The socket for clients against a recorder; with real endpoints it runs in every simulation.

use super::*;
use crate::network::recorder::{HANDSHAKE, INITIAL, Recorder, SHORT, packet, receive, received, send};

/// 1228 bytes a second: a packet takes a second and an answer four.
fn socket(recorder: &Arc<Recorder>) -> Arc<Unpadded> {
    Unpadded::new(recorder.clone(), Link::new(1228))
}

/// A whole packet of the server: of this kind, and as long as it says.
fn whole(first: u8, bytes: u8) -> Vec<u8> {
    between(first, 1, 2, bytes)
}

/// A whole packet to one connection ID from another.
fn between(first: u8, destination: u8, source: u8, bytes: u8) -> Vec<u8> {
    let mut packet = packet(first, destination, source, 23);
    // No token.
    packet.extend((first == INITIAL).then_some(0));
    packet.push(bytes);
    packet.extend(vec![0; bytes.into()]);
    packet
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn the_first_flight_of_the_server_comes_in_two_parts_and_its_initial_is_not_acknowledged() {
    let recorder = Recorder::new();
    let socket = socket(&recorder);
    let (initial, handshake) = (whole(INITIAL, 40), [whole(HANDSHAKE, 60), packet(SHORT, 1, 0, 30)].concat());
    let flight = [&initial[..], &handshake].concat();
    assert_eq!(receive(&recorder, socket.as_ref(), flight.clone(), flight.len()), initial);
    assert_eq!(received(socket.as_ref()), None, "the rest waits");
    for (destination, source) in [(9, 1), (2, 9), (1, 2)] {
        send(socket.as_ref(), &between(INITIAL, destination, source, 50), None).unwrap();
    }
    assert_eq!(
        std::mem::take(&mut *recorder.sent()).len(),
        3,
        "other connections, and one that has not believed that Initial"
    );
    assert_eq!(received(socket.as_ref()), None);
    let acknowledgement = between(INITIAL, 2, 1, 50);
    send(socket.as_ref(), &acknowledgement, None).unwrap();
    assert_eq!(recorder.log(), [], "nobody needs it");
    assert_eq!(received(socket.as_ref()), Some(handshake), "at once");
    send(socket.as_ref(), &acknowledgement, None).unwrap();
    assert_eq!(recorder.log().len(), 1, "what else begins so may be needed");
    pass(21).await;
    assert_eq!(received(socket.as_ref()), None);
}

#[tokio::test(start_paused = true)]
async fn an_answer_with_more_in_it_goes_as_it_is_and_ends_the_wait() {
    let recorder = Recorder::new();
    let socket = socket(&recorder);
    let (other, handshake) = (between(INITIAL, 1, 7, 40), whole(HANDSHAKE, 60));
    // Another attempt's flight waits in front.
    for flight in [[&other[..], &handshake].concat(), [&whole(INITIAL, 40)[..], &handshake].concat()] {
        receive(&recorder, socket.as_ref(), flight.clone(), flight.len());
    }
    let answer = [between(INITIAL, 2, 1, 50), between(HANDSHAKE, 2, 1, 50)].concat();
    send(socket.as_ref(), &answer, None).unwrap();
    assert_eq!(recorder.log().len(), 1);
    assert_eq!(received(socket.as_ref()), Some(handshake));
    assert_eq!(received(socket.as_ref()), None, "the other is not answered yet");
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_is_woken_for_the_rest() {
    let recorder = Recorder::new();
    let socket = socket(&recorder);
    let flight = [whole(INITIAL, 40), whole(HANDSHAKE, 60)].concat();
    receive(&recorder, socket.as_ref(), flight.clone(), flight.len());
    let mut buffer = [0; 2048];
    let read = std::future::poll_fn(|cx| {
        socket.poll_recv(cx, &mut [IoSliceMut::new(&mut buffer)], &mut [RecvMeta::default()])
    });
    tokio::time::timeout(Duration::from_millis(30), read).await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn everything_else_comes_as_it_is() {
    let recorder = Recorder::new();
    let socket = socket(&recorder);
    let broken = [&whole(INITIAL, 40)[..], &[0xE0, 0, 0]].concat();
    let padded = [&whole(INITIAL, 40)[..], &[0; 100]].concat();
    let no_id = [&[0xC0, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0][..], &[0xE0, 0, 0, 0, 1, 0, 0, 2, 0, 0]].concat();
    for datagram in [whole(INITIAL, 40), whole(HANDSHAKE, 40), packet(SHORT, 1, 0, 40), broken, padded, no_id] {
        assert_eq!(receive(&recorder, socket.as_ref(), datagram.clone(), datagram.len()), datagram);
    }
    let several = [whole(INITIAL, 40), whole(HANDSHAKE, 41)].concat();
    assert_eq!(
        receive(&recorder, socket.as_ref(), several.clone(), several.len() / 2),
        several,
        "two datagrams in a batch"
    );
}

#[tokio::test(start_paused = true)]
async fn without_a_slow_link_nothing_is_copied_here() {
    let recorder = Recorder::new();
    let socket = Unpadded::new(recorder.clone(), None);
    send(socket.as_ref(), &whole(INITIAL, 40), None).unwrap();
    send(socket.as_ref(), &whole(HANDSHAKE, 60), None).unwrap();
    pass(60_000).await;
    assert_eq!(recorder.log().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_initial_is_sent_twice_unless_one_went_a_while_ago() {
    let recorder = Recorder::new();
    let socket = socket(&recorder);
    let times = |recorder: &Recorder| recorder.log().iter().map(|(at, ..)| *at).collect::<Vec<_>>();
    send(socket.as_ref(), &whole(INITIAL, 40), None).unwrap();
    pass(4_400).await;
    // quinn's timer.
    send(socket.as_ref(), &whole(INITIAL, 40), None).unwrap();
    pass(12_600).await;
    assert_eq!(times(&recorder), [0, 100, 4_400]);
    // The next attempt.
    send(socket.as_ref(), &whole(INITIAL, 40), None).unwrap();
    pass(1_000).await;
    assert_eq!(times(&recorder)[3..], [17_000, 17_100]);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_the_handshake_is_sent_again_where_no_answer_comes() {
    let finished = [whole(HANDSHAKE, 60), packet(SHORT, 1, 0, 30)].concat();
    // Nothing, what was said before, and an answer.
    for (heard, repeated) in [(None, true), (Some(200), true), (Some(2_000), false)] {
        let recorder = Recorder::new();
        let socket = socket(&recorder);
        send(socket.as_ref(), &finished, None).unwrap();
        if let Some(at) = heard {
            pass(at).await;
            receive(&recorder, socket.as_ref(), packet(SHORT, 1, 0, 40), 40);
        }
        pass(10_000).await;
        let first = (0, HANDSHAKE, finished.len());
        let again = (3_000, HANDSHAKE, finished.len() - 30);
        assert_eq!(recorder.log(), if repeated { vec![first, again] } else { vec![first] }, "{heard:?}");
    }
}
