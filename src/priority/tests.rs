//! Shares are kept, nobody starves, nothing is wasted.

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;

/// Takes `total` bytes from endless queues of the classes that have costs; bytes taken by each.
fn serve(scheduler: &mut DeficitRoundRobin, costs: [&[u64]; 3], total: u64) -> [u64; 3] {
    let mut taken = [0; 3];
    let mut at = [0; 3];
    while taken.iter().sum::<u64>() < total {
        let head = |class: usize| costs[class].get(at[class] % costs[class].len().max(1)).copied();
        let class = scheduler.next([head(0), head(1), head(2)]).expect("there is work");
        assert_eq!(scheduler.next([head(0), head(1), head(2)]), Some(class), "asking changes nothing");
        let cost = head(class.index()).expect("only a class with work is chosen");
        scheduler.charge(class, cost);
        taken[class.index()] += cost;
        at[class.index()] += 1;
    }
    taken
}

#[test]
fn fifty_thirty_twenty() {
    let chunk: &[u64] = &[128 * 1024];
    let taken = serve(&mut DeficitRoundRobin::default(), [chunk; 3], 1 << 30);
    for (class, bytes) in Priority::ALL.into_iter().zip(taken) {
        let share = bytes as f64 / f64::from(1 << 30) * 100.0;
        assert!((share - class.share() as f64).abs() < 0.1, "{class}: {share}");
    }
    assert_eq!(Priority::ALL.map(Priority::share).iter().sum::<u64>(), 100);
}

#[test]
fn what_one_leaves_is_the_others() {
    let (chunk, nothing): (&[u64], &[u64]) = (&[100_000], &[]);
    let mut scheduler = DeficitRoundRobin::default();
    assert_eq!(scheduler.next([None; 3]), None);
    assert_eq!(serve(&mut scheduler, [nothing, nothing, chunk], 1 << 20), [0, 0, 1_100_000]);
    let [critical, high, normal] = serve(&mut scheduler, [chunk, nothing, chunk], 1 << 28);
    assert_eq!(high, 0);
    assert!((critical as f64 / normal as f64 - 2.5).abs() < 0.02, "{critical} {normal}");
}

#[test]
fn an_idle_class_saves_nothing_up() {
    let chunk: &[u64] = &[1000];
    let mut scheduler = DeficitRoundRobin::default();
    serve(&mut scheduler, [&[], chunk, chunk], 1 << 28);
    // Critical comes back: within two rounds the others have had their share of them.
    let taken = serve(&mut scheduler, [chunk; 3], 640 * 1024);
    assert!(taken[1] >= 100_000 && taken[2] >= 64_000, "{taken:?}");
}

#[test]
fn a_cost_beyond_reason_ends() {
    let mut scheduler = DeficitRoundRobin::default();
    assert_eq!(scheduler.next([None, Some(u64::MAX), Some(u64::MAX)]), Some(Priority::High));
    scheduler.charge(Priority::High, u64::MAX);
    scheduler.charge(Priority::High, u64::MAX);
    assert_eq!(scheduler.next([None, Some(u64::MAX), Some(0)]), Some(Priority::Normal));
    assert!(scheduler.next([None, Some(u64::MAX), None]).is_some());
}

#[test]
fn names_and_numbers() {
    for (number, class) in (0..).zip(Priority::ALL) {
        assert_eq!(class.name().parse(), Ok(class));
        assert_eq!((u8::from(class), Priority::try_from(number)), (number, Ok(class)));
    }
    assert_eq!(Priority::default(), Priority::Normal);
    assert!("High".parse::<Priority>().is_err() && "".parse::<Priority>().is_err() && Priority::try_from(3).is_err());
    assert!(Priority::Critical < Priority::Normal);
}

proptest! {
    #[test]
    fn shares_hold_within_a_quantum_and_an_item(
        costs in [vec(1u64..150_000, 1..20), vec(1u64..150_000, 1..20), vec(1u64..150_000, 1..20)],
        total in 1u64..20_000_000,
    ) {
        let taken = serve(&mut DeficitRoundRobin::default(), [&costs[0], &costs[1], &costs[2]], total);
        // Rounds that each class has had, as its bytes say: nobody is further than one round and one item from the others.
        let rounds = |class: Priority| taken[class.index()] as f64 / quantum(class) as f64;
        let slack = |class: Priority| 1.0 + 150_000.0 / quantum(class) as f64;
        for a in Priority::ALL {
            for b in Priority::ALL {
                prop_assert!((rounds(a) - rounds(b)).abs() <= slack(a) + slack(b), "{taken:?}");
            }
        }
    }

    #[test]
    fn whatever_is_queued_comes_out_in_order(items in vec((0usize..3, 0u64..1_000_000), 0..200)) {
        let mut queues: [VecDeque<(usize, u64)>; 3] = Default::default();
        for (place, (class, cost)) in items.iter().enumerate() {
            queues[*class].push_back((place, *cost));
        }
        let mut scheduler = DeficitRoundRobin::default();
        let mut last = [None; 3];
        for _ in 0..items.len() {
            let heads = [0, 1, 2].map(|class| queues[class].front().map(|(_, cost)| *cost));
            let class = scheduler.next(heads).expect("something is queued").index();
            let (place, cost) = queues[class].pop_front().expect("a class with work is chosen");
            prop_assert!(last[class] < Some(place));
            last[class] = Some(place);
            scheduler.charge(Priority::ALL[class], cost);
        }
        let heads = [0, 1, 2].map(|class| queues[class].front().map(|(_, cost)| *cost));
        prop_assert_eq!(scheduler.next(heads), None);
    }
}
