//! What comes to stand at the destination while a file is on its way there.

use super::*;

#[test]
fn the_same_file_from_somebody_else_is_that_file() {
    for (content, same) in [(b"abc", true), (b"xyz", false)] {
        run(1, DAY, async |net| {
            let disk = MemDisk::new();
            let mut recv = under(&net, &disk, Policy::default()).await;
            let mut peer = Peer::connect(&net, SENDER, &Identity::generate().unwrap(), &recv.ticket).await;
            peer.hello(1, Some(SECRET)).await;
            peer.control(&[entries(0, vec![file("a", 3)]), finish(1)]).await;
            peer.replies_until(|reply| matches!(reply, Reply::Status { .. })).await;
            disk.plant(&path(&["a"]), Node::File { bytes: content.to_vec(), meta: meta() });
            peer.data(0, b"abc", 0, 3).await;
            let replies = peer.replies_until(|reply| matches!(reply, Reply::Complete(_))).await;
            let identical = |reply: &Reply| matches!(reply, Reply::Done { outcome: Outcome::Identical, .. });
            let refused = |reply: &Reply| matches!(reply, Reply::Failed { code: 3, .. });
            assert_eq!((replies.iter().any(identical), replies.iter().any(refused)), (same, !same), "{replies:?}");
            peer.connection.close(0u32.into(), b"");
            assert_eq!(recv.ends(HOUR).await.unwrap().unwrap().class, if same { Class::Done } else { Class::Select });
            assert_eq!(disk.partials(), None);
            assert_eq!(disk.tree().len(), 1);
        });
    }
}
