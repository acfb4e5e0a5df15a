//! Files whose length comes last, and the bytes of one file in order into a writer.

use super::*;
use resilient::integrity::{ChunkValue, OPEN_ENDED, chunk_value};
use resilient::manifest::Name;
use resilient::pipeline::policy::{Place, Stream};
use resilient::wire::chunk::encode_data;
use std::io::{self, Write};
use std::sync::Mutex;

const CHUNK: usize = 128 * 1024;

/// A writer that keeps what it gets, and takes so many bytes.
#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>, Option<usize>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let mut kept = self.0.lock().unwrap();
        if self.1.is_some_and(|most| kept.len() + bytes.len() > most) {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        kept.extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn into(kept: &Kept) -> Policy {
    Policy { place: Place::Stream(Stream::new("pipe", kept.clone())), ..Policy::default() }
}

/// The chunk of `bytes` at `offset`, as of an entry whose length is not known.
fn open_chunk(bytes: &[u8], offset: usize) -> bytes::Bytes {
    let body = &bytes[offset..bytes.len().min(offset + CHUNK)];
    let total = if body.len() == CHUNK { OPEN_ENDED } else { bytes.len() as u64 };
    let value = chunk_value(offset as u64, total, body);
    encode_data(0, &[extent(0, offset as u64, body.len(), value)], body)
}

fn sealed(bytes: &[u8], size: usize) -> Control {
    Control::Sealed { entry: EntryId(0), size: size as u64, digest: digest(bytes) }
}

async fn connected(net: &Net, recv: &Waiting, sender: &Identity) -> Peer {
    let mut peer = Peer::connect(net, SENDER, sender, &recv.ticket).await;
    peer.hello(1, Some(SECRET)).await;
    peer
}

#[test]
fn a_file_may_tell_its_length_last() {
    for length in [2 * CHUNK, 2 * CHUNK + 77, CHUNK + 1] {
        run(1, DAY, async |net| {
            let (disk, bytes) = (MemDisk::new(), noise(1, length));
            let mut recv = under(&net, &disk, Policy::default()).await;
            let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
            peer.control(&[entries(0, vec![entry(None, "s", Kind::Stream)]), finish(1)]).await;
            // The last one first, and the end before the beginning.
            for offset in (0..length).step_by(CHUNK).rev() {
                if offset == 0 {
                    peer.control(&[sealed(&bytes, length)]).await;
                }
                peer.chunk(&open_chunk(&bytes, offset)).await;
            }
            peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            peer.connection.close(0u32.into(), b"");
            let summary = recv.ends(HOUR).await.unwrap().unwrap();
            assert_eq!((summary.class, summary.bytes_literal), (Class::Done, length as u64));
            assert!(files(&disk)["s"] == bytes);
        });
    }
}

/// Lengths that contradict each other end the transfer; a wrong digest or too much of it fails the file.
#[test]
fn a_length_that_cannot_be_is_refused() {
    let bytes = noise(1, 2 * CHUNK + 77);
    let short = |offset: usize, length: usize| {
        let value = chunk_value(offset as u64, (offset + length) as u64, &bytes[..length]);
        encode_data(0, &[extent(0, offset as u64, length, value)], &bytes[..length])
    };
    let whole = ChunkValue::from_bytes(*digest(&bytes[..77]).as_bytes());
    let cases = [
        // Shorter than one chunk, two ends, something behind the end, an end before what is there.
        vec![encode_data(0, &[extent(0, 0, 77, whole)], &bytes[..77])],
        vec![short(CHUNK, 77), short(2 * CHUNK, 77)],
        vec![short(CHUNK, 77), open_chunk(&noise(1, 3 * CHUNK), 2 * CHUNK)],
        vec![open_chunk(&noise(1, 3 * CHUNK), 2 * CHUNK), short(CHUNK, 77)],
    ];
    for (number, chunks) in cases.into_iter().enumerate() {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let mut recv = under(&net, &disk, Policy::default()).await;
            let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
            peer.control(&[entries(0, vec![entry(None, "s", Kind::Stream)]), finish(1)]).await;
            for chunk in &chunks {
                peer.chunk(chunk).await;
            }
            assert_eq!(recv.ends(HOUR).await.unwrap().unwrap_err().class(), Class::Malformed, "{number}");
            assert_eq!((disk.tree().len(), disk.partials()), (0, None));
        });
    }
    let limit = Policy { max_size: Some(2 * CHUNK as u64), ..Policy::default() };
    for (policy, seal, code) in
        [(Policy::default(), sealed(b"another", bytes.len()), 40), (limit, sealed(&bytes, bytes.len()), 45)]
    {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let recv = under(&net, &disk, policy).await;
            let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
            peer.control(&[entries(0, vec![entry(None, "s", Kind::Stream)]), finish(1)]).await;
            for offset in (0..bytes.len()).step_by(CHUNK) {
                peer.chunk(&open_chunk(&bytes, offset)).await;
            }
            peer.control(&[seal]).await;
            let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            assert!(
                replies.iter().any(|reply| matches!(reply, Reply::Failed { code: c, .. } if *c == code)),
                "{replies:?}"
            );
            assert_eq!((disk.tree().len(), disk.partials()), (0, None));
        });
    }
}

#[test]
fn one_file_goes_under_the_name_that_was_given() {
    let (source, _) = folder(&[("a", b"abc".to_vec())]);
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let policy = Policy { place: Place::File(Name::new("mine").unwrap()), ..Policy::default() };
        assert_eq!(transfer(&net, source.path(), &disk, policy.clone()).await.1, Class::Done);
        assert_eq!(files(&disk), BTreeMap::from([("mine".to_owned(), b"abc".to_vec())]));
        // More than one, though the hello says that it is one.
        let disk = MemDisk::new();
        let recv = under(&net, &disk, policy).await;
        let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
        let inside = entry(Some(1), "x", Kind::File { size: 1 });
        peer.control(&[entries(0, vec![file("a", 3), entry(None, "d", Kind::Directory), inside]), finish(3)]).await;
        peer.data(0, b"abc", 0, 3).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        let failed = replies.iter().filter(|reply| matches!(reply, Reply::Failed { .. })).count();
        assert_eq!((failed, disk.tree().into_keys().collect::<Vec<_>>()), (2, vec![b"mine".to_vec()]));
    });
}

#[test]
fn a_stream_gets_the_bytes_in_order_and_nothing_on_disk() {
    let bytes = noise(1, 5 * CHUNK + 9);
    run(1, DAY, async |net| {
        let (disk, kept) = (MemDisk::new(), Kept::default());
        let mut recv = under(&net, &disk, into(&kept)).await;
        let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        for chunk in [3, 1, 5, 0, 4, 2] {
            peer.data(0, &bytes, chunk * CHUNK, CHUNK.min(bytes.len() - chunk * CHUNK)).await;
            pass(std::time::Duration::from_secs(1)).await;
            assert!(bytes.starts_with(&kept.0.lock().unwrap()));
        }
        assert_eq!(kept.0.lock().unwrap().len(), bytes.len());
        peer.control(&[sealed(&bytes, bytes.len())]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        peer.connection.close(0u32.into(), b"");
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Done);
        assert_eq!((disk.tree().len(), disk.partials()), (0, None));
    });
}

/// What waits for an earlier chunk holds its credit, so no more comes than fits the window.
#[test]
fn chunks_that_wait_hold_their_credit() {
    let bytes = noise(1, 4 * CHUNK);
    run(1, DAY, async |net| {
        let kept = Kept::default();
        let recv = under(&net, &MemDisk::new(), into(&kept)).await;
        let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        let credit = async |peer: &Peer| {
            pass(std::time::Duration::from_secs(2)).await;
            peer.feedback.borrow().credit
        };
        let before = credit(&peer).await;
        for chunk in [1, 2, 3] {
            peer.data(0, &bytes, chunk * CHUNK, CHUNK).await;
        }
        assert_eq!(credit(&peer).await, before);
        peer.data(0, &bytes, 0, CHUNK).await;
        assert!(credit(&peer).await > before);
        assert!(*kept.0.lock().unwrap() == bytes);
    });
}

#[test]
fn a_stream_that_is_closed_wrong_or_cut_is_a_failure() {
    let bytes = noise(1, 2 * CHUNK);
    // Its reader is gone.
    run(1, DAY, async |net| {
        let kept = Kept(Arc::default(), Some(CHUNK));
        let mut recv = under(&net, &MemDisk::new(), into(&kept)).await;
        let (source, _) = folder(&[("a", bytes.clone())]);
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let sent = honest(&env, source.path(), &recv.ticket, &Seen::new()).await.unwrap();
        assert_eq!((sent.class, recv.ends(HOUR).await.unwrap().unwrap().class), (Class::FileIo, Class::FileIo));
        let failed = recv.seen.failed();
        assert_eq!((failed[0].0.as_str(), failed[0].2.as_str()), ("pipe", "broken pipe"), "{failed:?}");
    });
    // The digest is another one.
    run(1, DAY, async |net| {
        let kept = Kept::default();
        let mut recv = under(&net, &MemDisk::new(), into(&kept)).await;
        let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        peer.data(0, &bytes, 0, CHUNK).await;
        peer.data(0, &bytes, CHUNK, CHUNK).await;
        peer.control(&[sealed(b"another", bytes.len())]).await;
        peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        peer.connection.close(0u32.into(), b"");
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Integrity);
    });
    // The connection was lost in the middle: nothing is written twice, and the sender that comes back hears of it.
    run(1, DAY, async |net| {
        let kept = Kept::default();
        let mut recv = under(&net, &MemDisk::new(), into(&kept)).await;
        let sender = Identity::generate().unwrap();
        let mut peer = connected(&net, &recv, &sender).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        peer.data(0, &bytes, 0, CHUNK).await;
        pass(std::time::Duration::from_secs(1)).await;
        peer.connection.close(1u32.into(), b"killed");
        pass(std::time::Duration::from_secs(1)).await;
        let mut peer = connected(&net, &recv, &sender).await;
        peer.control(&[entries(0, vec![file("a", bytes.len())]), finish(1)]).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        assert!(replies.iter().any(|reply| matches!(reply, Reply::Failed { code: 10, .. })), "{replies:?}");
        peer.connection.close(0u32.into(), b"");
        assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, Class::Network);
        assert!(*kept.0.lock().unwrap() == bytes[..CHUNK]);
    });
}

/// A receiver that waits for one file does not take nothing for it.
#[test]
fn no_file_at_all_is_not_the_one_that_was_asked_for() {
    let file = Policy { place: Place::File(Name::new("mine").unwrap()), ..Policy::default() };
    for (policy, class) in
        [(file, Class::Select), (into(&Kept::default()), Class::Select), (Policy::default(), Class::Done)]
    {
        run(1, DAY, async |net| {
            let mut recv = under(&net, &MemDisk::new(), policy).await;
            let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
            peer.control(&[finish(0)]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            peer.connection.close(0u32.into(), b"");
            assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, class);
        });
    }
}

/// Files that tell their length last are held against the limit together, and with the others.
#[test]
fn the_limit_is_for_all_that_tell_their_length_last() {
    let bytes = noise(1, 2 * CHUNK);
    run(1, DAY, async |net| {
        let disk = MemDisk::new();
        let limit = Policy { max_size: Some(3 * CHUNK as u64), ..Policy::default() };
        let recv = under(&net, &disk, limit).await;
        let mut peer = connected(&net, &recv, &Identity::generate().unwrap()).await;
        let streams = ["s", "t"].map(|name| entry(None, name, Kind::Stream));
        peer.control(&[entries(0, streams.to_vec())]).await;
        for id in 0..2 {
            for offset in (0..bytes.len()).step_by(CHUNK) {
                let body = &bytes[offset..offset + CHUNK];
                let value = chunk_value(offset as u64, OPEN_ENDED, body);
                peer.chunk(&encode_data(0, &[extent(id, offset as u64, CHUNK, value)], body)).await;
            }
            let seal = Control::Sealed { entry: EntryId(id), size: bytes.len() as u64, digest: digest(&bytes) };
            peer.control(&[seal]).await;
        }
        peer.control(&[entries(2, vec![file("u", 2 * CHUNK)]), finish(3)]).await;
        let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
        for id in [1, 2] {
            assert!(
                replies
                    .iter()
                    .any(|reply| matches!(reply, Reply::Failed { entry, code: 45, .. } if *entry == EntryId(id))),
                "{replies:?}"
            );
        }
        assert_eq!(files(&disk).into_keys().collect::<Vec<_>>(), ["s"]);
    });
}
