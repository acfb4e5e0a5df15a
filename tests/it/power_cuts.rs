//! The power goes at every moment of a transfer: what is left holds no wrong file and all that was said to be there, and the same two
//! commands end as if nothing had been.
//!
//! A run is watched, event by event, and then cut between any two of them; what a cut leaves is drawn from all that the model
//! ([`journal`]) lets be left. The next run goes on from there, is watched and cut itself.

#![allow(clippy::unwrap_used, reason = "helpers of tests, not marked as tests themselves")]

mod disk;
mod journal;
mod scene;
mod store;

use crate::memdisk::Node;
use crate::sim::{Rng, seeds};
use journal::{Fate, Journal, Op, Tree};
use resilient::fs::disk::PARTIAL_DIR;
use resilient::integrity::{Marks, chunk_value};
use scene::Scene;
use std::sync::Arc;
use store::Sessions;

/// Disks that may be left by one cut and are looked at; with the last one it is gone on.
const IMAGES: usize = 6;
/// Of so many cuts the run after one is cut, too, at as many moments.
const AGAIN: usize = 4;

/// What a cut has left.
struct Left {
    disk: Tree,
    sessions: Arc<Sessions>,
    /// Bytes that are not sent again.
    durable: u64,
}

/// Cuts a run of `scene` after `at` events and looks at what is left.
fn cut(scene: &Scene, run: &Journal, at: usize, rng: &mut Rng) -> Result<Left, String> {
    let disk = run.left(at, Fate::draw(rng));
    look(scene, run, at, &disk)?;
    let stores = run.stores(at);
    let chosen = rng.bits() as usize % stores.len();
    let durable = durable(scene, run, at, &disk, &stores[0], chosen > 0)?;
    Ok(Left { disk, sessions: stores[chosen].clone(), durable })
}

/// Whether these are the same but for mode and time.
fn is_same(one: &Node, other: &Node) -> bool {
    match (one, other) {
        (Node::File { bytes, .. }, Node::File { bytes: others, .. }) => bytes == others,
        (Node::Symlink { target, .. }, Node::Symlink { target: others, .. }) => target == others,
        (Node::Directory { .. }, Node::Directory { .. }) => true,
        _ => false,
    }
}

/// Whether under every name that stands which did, or that which is to, and all that the sender was told of.
fn look(scene: &Scene, run: &Journal, at: usize, left: &Tree) -> Result<(), String> {
    let (told, is_complete) = run.told(at);
    for (path, node) in left.iter().filter(|(path, _)| !path.starts_with(PARTIAL_DIR.as_bytes())) {
        let name = String::from_utf8_lossy(path);
        let (before, after) = (scene.before.get(path), scene.after.get(path));
        match after.filter(|after| is_same(node, after)) {
            None if before != Some(node) => return Err(format!("{name} is neither the old one nor the new one")),
            // The time of a link cannot be synced, that of a directory comes last.
            Some(after @ Node::File { .. }) if node != after && before != Some(node) => {
                return Err(format!("{name} has mode or time of nobody"));
            }
            Some(after @ Node::Directory { .. }) if is_complete && node != after => {
                return Err(format!("{name} was done, and its mode or time is another"));
            }
            _ => {}
        }
    }
    if let Some(path) = scene.before.keys().find(|path| !left.contains_key(*path)) {
        return Err(format!("{} was there before and is gone", String::from_utf8_lossy(path)));
    }
    for (path, after) in &scene.after {
        let must = is_complete || told.contains(path.as_slice());
        if must && !left.get(path).is_some_and(|node| is_same(node, after)) {
            return Err(format!("{} was said to be done and is not there", String::from_utf8_lossy(path)));
        }
    }
    Ok(())
}

/// Whether all that `sessions`, the last that are durable, call durable is there, whatever name it has by now. How many bytes that is, with
/// the files that were done; where something `newer` may be remembered, of chunks those that it cannot take together with others.
fn durable(
    scene: &Scene,
    run: &Journal,
    at: usize,
    left: &Tree,
    sessions: &Sessions,
    newer: bool,
) -> Result<u64, String> {
    let (told, _) = run.told(at);
    let size = |path: &&[u8]| match &scene.after[*path] {
        Node::File { bytes, .. } => bytes.len() as u64,
        _ => 0,
    };
    let mut durable: u64 = told.iter().filter(|path| scene.changed.contains(**path)).map(size).sum();
    for landing in sessions.iter().flat_map(|session| &session.landings).filter(|landing| landing.written.is_some()) {
        let marks = Marks::restore(landing.chunk_bytes.into(), landing.size, &landing.segments).unwrap();
        for node in marks.nodes() {
            let (start, end) = (node.offset as usize, (node.offset + node.length) as usize);
            let holds = |file: &Node| {
                matches!(file, Node::File { bytes, .. } if bytes.len() as u64 == landing.size
                && chunk_value(node.offset, landing.size, &bytes[start..end]) == node.value)
            };
            if !left.values().any(holds) {
                return Err(format!("{start}..{end} of {} was durable and is gone", landing.partial));
            }
            let is_told = told.iter().any(|path| size(path) == landing.size);
            if !is_told && (!newer || node.length > landing.chunk_bytes.into()) {
                durable += node.length;
            }
        }
    }
    Ok(durable)
}

/// Goes on after a cut, to the good end, with nothing sent twice that was durable.
fn go_on(scene: &Scene, run: &Journal, left: Left) -> Journal {
    let ran = scene.run(run.cut(left.disk), &left.sessions);
    let (bytes, all) = (ran.bytes, scene.bytes());
    assert!(bytes + left.durable <= all, "{bytes} of {all} bytes were sent again, and {} were durable", left.durable);
    ran.journal
}

/// A transfer that is not cut.
fn whole(scene: &Scene) -> Journal {
    scene.run(Journal::new(scene.before.clone(), 0), &Sessions::new()).journal
}

/// Cuts the transfer of a seed everywhere, and runs it to its end after each cut. How often that was.
fn cut_everywhere(seed: u64) -> usize {
    let scene = Scene::new(seed);
    let run = whole(&scene);
    let mut rng = Rng::of([seed, 0x6375_7473]);
    let mut cuts = 0;
    for at in 1..=run.events.len() {
        let images = |run: &Journal, at, rng: &mut Rng| {
            let image =
                |_| cut(&scene, run, at, rng).unwrap_or_else(|error| panic!("seed {seed}, cut at {at}: {error}"));
            (0..IMAGES).map(image).last().unwrap()
        };
        let next = go_on(&scene, &run, images(&run, at, &mut rng));
        cuts += 1;
        if at % AGAIN == 0 {
            let moments = [0; IMAGES].map(|_| 1 + rng.bits() as usize % next.events.len());
            let last = moments.map(|again| images(&next, again, &mut rng)).into_iter().last().unwrap();
            go_on(&scene, &next, last);
            cuts += 1;
        }
    }
    cuts
}

#[test]
fn a_thousand_power_cuts_leave_no_wrong_file_and_lose_nothing_durable() {
    let cuts: usize = seeds(0..9, cut_everywhere).into_iter().sum();
    println!("{cuts} cuts");
    assert!(cuts >= 1000, "{cuts} cuts");
}

/// A run that ends with its process has made nothing durable for the one after it, and the power goes in that.
#[test]
fn what_a_killed_run_has_left_unsynced_is_synced_by_the_next_one() {
    seeds(0..8, |seed| {
        let scene = Scene::new(seed);
        let run = whole(&scene);
        let mut rng = Rng::of([seed, 0x6b69_6c6c]);
        // Each moment in one of two scenes.
        for at in (1 + seed as usize / 4..run.events.len()).step_by(2) {
            let sessions = run.stores(at).pop().unwrap();
            let next = scene.run(run.killed(at), &sessions).journal;
            for _ in 0..3 * IMAGES {
                let again = at + rng.bits() as usize % (next.events.len() - at);
                if let Err(error) = cut(&scene, &next, again, &mut rng) {
                    panic!("seed {seed}, killed at {at}, cut at {again}: {error}");
                }
            }
        }
    });
}

/// Somebody takes the unfinished files away: what comes in their place, under the same names, is as durable as they were.
#[test]
fn what_has_the_name_of_a_lost_file_is_durable_before_it_is_called_so() {
    seeds(0..4, |seed| {
        let scene = Scene::new(seed);
        let run = whole(&scene);
        let has_durable = |sessions: &Sessions| {
            sessions.iter().any(|session| session.landings.iter().any(|landing| landing.written.is_some()))
        };
        let at = (1..run.events.len()).rfind(|at| has_durable(&run.stores(*at)[0])).unwrap();
        let (sessions, mut left) = (run.stores(at)[0].clone(), run.killed(at).tree());
        left.retain(|path, _| !path.starts_with(PARTIAL_DIR.as_bytes()));
        let next = scene.run(run.cut(left), &sessions).journal;
        let mut rng = Rng::new(seed);
        for at in (1..=next.events.len()).filter(|at| next.stores(*at)[0] != sessions) {
            for _ in 0..IMAGES {
                cut(&scene, &next, at, &mut rng).unwrap_or_else(|error| panic!("seed {seed}, cut at {at}: {error}"));
            }
        }
    });
}

/// That the cuts are such that whatever is synced too late or not at all is missed, and by what.
#[test]
fn each_sync_is_missed_where_it_is_left_out() {
    let is_partials = |path: &[u8]| path == PARTIAL_DIR.as_bytes();
    let run = |seed| {
        let scene = Scene::new(seed);
        let run = whole(&scene);
        let harm = |hurt: Journal, error: &str| {
            let mut rng = Rng::new(seed);
            let mut shows = |at| cut(&scene, &hurt, at, &mut rng).is_err_and(|found| found.ends_with(error));
            (1..=hurt.events.len()).any(|at| (0..IMAGES).any(|_| shows(at)))
        };
        let files = run.without(|op| matches!(op, Op::SyncFile { with_meta: true, .. }));
        let chunks = run.without(|op| matches!(op, Op::SyncFile { with_meta: false, .. }));
        let partials = run.without(|op| matches!(op, Op::SyncDirectory(path, _) if is_partials(path)));
        let names = run.without(|op| matches!(op, Op::SyncDirectory(path, _) if !is_partials(path)));
        [
            harm(run.clone(), ""),
            harm(files, "is neither the old one nor the new one"),
            harm(chunks, "was durable and is gone"),
            harm(partials, "was durable and is gone"),
            harm(names, "was said to be done and is not there"),
            harm(run.hasty(), "was durable and is gone"),
        ]
    };
    assert_eq!(seeds(0..4, run), [[false, true, true, true, true, true]; 4]);
}
