//! Real senders that are killed or stopped at random moments and started again, against one `recv`.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

use super::peer::*;
use crate::memdisk::MemDisk;
use crate::sim::{Profile, Rng, run};
use resilient::class::Class;
use resilient::pipeline::{Cancel, send};
use std::sync::Arc;
use std::time::Duration;

/// A real sender that is killed without a word, or stopped, at random moments and started again. With `adds`, the user puts another
/// file into the folder each time. Gives what went wrong, if anything did.
pub(crate) fn restarts(seed: u64, adds: bool) -> Option<String> {
    run(seed, DAY, async |net| {
        let mut rng = Rng::of([seed, 0x6b69_6c6c]);
        let profile = Profile::plain(10.0, 20 + rng.bits() % 80, 0.2 * (rng.bits() % 2) as f64);
        net.path(SENDER, RECEIVER, profile.clone());
        let disk = MemDisk::new();
        let mut recv = waiting(&net, &disk).await;
        let env = env(&net, SENDER, Arc::new(MemDisk::new()));
        let content = |name: &str| noise(u64::from(name.as_bytes()[0]), 1000 + usize::from(name.as_bytes()[0]) * 5000);
        let (source, _) = folder(&["m", "n", "sub/p", "sub/q"].map(|name| (name, content(name))));
        let mut names = vec!["m".to_owned(), "n".to_owned(), "sub/p".to_owned(), "sub/q".to_owned()];
        let wrong = |names: &[String]| {
            let there = files(&disk);
            names.iter().find(|name| there.get(*name).is_some_and(|bytes| *bytes != content(name))).cloned()
        };
        for round in 0..4_u8 {
            let seen = Seen::new();
            let (cancel, cancelled) = Cancel::channel();
            let options = send_options(source.path(), &recv.ticket);
            let mut sending = tokio::spawn({
                let (env, seen) = (env.clone(), seen.clone());
                async move { send(&env, options, seen, cancelled).await }
            });
            let time = Duration::from_millis(rng.bits() % 2500);
            let time = if round < 3 { time } else { DAY };
            let sent = tokio::time::timeout(time, &mut sending).await;
            if sent.is_err() && round < 3 {
                if rng.chance(0.5) {
                    cancel.send_replace(true);
                    let _ = sending.await;
                } else {
                    net.path(SENDER, RECEIVER, Profile { loss: 1.0, ..profile.clone() });
                    sending.abort();
                    pass(Duration::from_millis(300)).await;
                    net.path(SENDER, RECEIVER, profile.clone());
                }
                if let Some(name) = wrong(&names) {
                    return Some(format!("seed {seed}, round {round}: {name} has wrong bytes"));
                }
                if adds {
                    let name = char::from(b'd' - round).to_string();
                    std::fs::write(source.path().join(&name), content(&name)).unwrap();
                    names.push(name);
                }
                continue;
            }
            let Ok(sent) = sent else { return Some(format!("seed {seed}: never ends")) };
            if let Some(name) = wrong(&names) {
                return Some(format!("seed {seed}: {name} has wrong bytes, and {sent:?}"));
            }
            let all = files(&disk).len() == names.len();
            return match sent {
                Ok(Ok(summary)) if summary.class == Class::Done && all => {
                    let received = recv.ends(DAY).await?.map(|summary| summary.class);
                    let left = disk.partials();
                    (!matches!(received, Ok(Class::Done)) || left.is_some())
                        .then(|| format!("seed {seed}: {received:?} {left:?}"))
                }
                // Killed between the last word and hearing it: `once_open` has that.
                Ok(Err(_)) if all || (recv.task.is_finished() && recv.seen.failed().is_empty()) => None,
                sent => Some(format!("seed {seed}: {sent:?}, failed {:?} {:?}", seen.failed(), recv.seen.failed())),
            };
        }
        None
    })
}
