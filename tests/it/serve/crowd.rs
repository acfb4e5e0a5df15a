//! Many senders at once from behind one address, over one link: all arrive, none much later than the others, and they do not flood it.

use super::*;
use tokio::time::Instant;

/// Sends as many files of `size` bytes at once through one link; gives when each was there, and what the link was given for each byte of them.
fn crowd(seed: u64, senders: u64, size: usize, profile: &Profile) -> (Vec<Duration>, f64) {
    run(seed, DAY, async |net| {
        let disk = MemDisk::new();
        net.path(SENDER, RECEIVER, profile.clone());
        let envs: Vec<Env> = (0..senders).map(|_| env(&net, SENDER, Arc::new(MemDisk::new()))).collect();
        let known = envs.iter().map(|env| (env.identity.clone(), grant())).collect();
        let receiver = receiver(&net, &disk, keep(false), known);
        let mut sending = Vec::new();
        for (number, env) in (0..).zip(envs) {
            let (source, _) = folder(&[(&format!("{number}"), noise(number, size))]);
            let address = receiver.address.clone();
            sending.push(tokio::spawn(async move {
                let began = Instant::now();
                let sent = honest(&env, source.path(), &address, &Seen::new()).await;
                assert_eq!(class(&sent), Class::Done, "{number}: {sent:?}");
                began.elapsed()
            }));
        }
        let mut times = Vec::new();
        for sent in sending {
            times.push(sent.await.unwrap());
        }
        times.sort();
        let there = files(&disk);
        assert_eq!(there.len() as u64, senders);
        assert!(there.iter().all(|(name, bytes)| *bytes == noise(name.parse().unwrap(), size)));
        let given = net.stats_of(SENDER, RECEIVER).bytes as f64 / (senders as f64 * size as f64);
        (times, given)
    })
}

#[test]
fn a_hundred_senders_behind_one_address_arrive_together() {
    for (seed, size, profile) in
        [(1, 300_000, Profile::plain(10.0, 50, 0.1)), (2, 200_000, Profile::plain(100.0, 20, 0.1))]
    {
        let (times, given) = crowd(seed, 100, size, &profile);
        let (median, slowest) = (times[50], times[99]);
        assert!(slowest < 4 * median, "{profile:?}: median {median:?}, slowest {slowest:?}");
        let bound = 100.0 * size as f64 * 8.0 / (profile.rate as f64 * 0.9);
        assert!(slowest.as_secs_f64() < 2.0 * bound + 3.0, "{profile:?}: {slowest:?}, at best {bound:.1} s");
        // Without the receiver seeing to it, it is ten times as much on the thin one.
        assert!(given < 4.0, "{profile:?}: {given:.2}");
    }
}
