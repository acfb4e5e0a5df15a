//! Offers of what can be read only once: it arrives whole or not at all, however often the receiver dials.

use super::*;
use resilient::manifest::{FileTime, Meta, Name};
use std::io::Cursor;

/// What is left of a pipe after a first receiver was cut off is not the file.
#[test]
fn the_rest_of_a_pipe_is_not_sent_for_the_whole() {
    for cut in [2, 4] {
        run(1, DAY, async |net| {
            net.path(SENDER, RECEIVER, Profile::plain(4.0, 30, 0.0));
            let meta = Meta { mode: 0o644, mtime: FileTime { seconds: 1, nanoseconds: 0 } };
            let pipe = Pipe::new(Name::new("s").unwrap(), meta, Cursor::new(noise(1, 4_000_000)));
            let offer = offered_of(&net, Path::new("."), Some(pipe), Offering::default()).await;
            let (disk, env) = (MemDisk::new(), env(&net, RECEIVER, Arc::new(MemDisk::new())));
            let (cancel, cancelled) = Cancel::channel();
            let options = PullOptions { retry_for: RetryFor::Span(second(5)), ..pull_options(&offer.ticket) };
            let stop = async {
                pass(second(cut)).await;
                cancel.send_replace(true);
            };
            let (first, ()) = tokio::join!(pull(&env, options, Seen::new(), cancelled), stop);
            assert!(matches!(first, Err(Error::Interrupted)), "{first:?}");
            let again = tokio::time::timeout(HOUR, pulled(&net, RECEIVER, &disk, &offer.ticket)).await.unwrap();
            assert_ne!(class(&again), Class::Done, "{again:?}");
            assert_ne!(class(&offer.task.await.unwrap()), Class::Done);
            assert!(files(&disk).is_empty());
        });
    }
}
