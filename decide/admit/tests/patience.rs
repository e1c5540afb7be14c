//! Which order, and how long a queue, serves most people: a pool of 8 places, 200 ms a request, ten times as many visitors as it
//! can serve, who leave after 2 to 6 s. Whoever leaves while he waits is forgotten at once; whoever leaves while he is served was
//! served in vain. This is why people are let in for a fifth of the queue's time, in order, and not the newest first.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::collections::VecDeque;
use std::time::Duration;
use tentpole_admit::{Pace, expected_wait, wait_max};
use tentpole_model::Priority;

const PLACES: usize = 8;
const SERVICE_MS: u64 = 200;
const RUN_MS: u64 = 60_000;

#[derive(Clone, Copy)]
struct Visitor {
    came: u64,
    leaves: u64,
}

#[derive(Debug, Default)]
struct Told {
    served: u64,
    served_in_vain: u64,
    waited_in_vain: u64,
    refused: u64,
}

/// One arrival each 2.5 ms on average, by a small generator: the same each time.
fn simulate(let_in: Duration, newest_first: bool) -> Told {
    let (mut told, mut pace) = (Told::default(), Pace::default());
    let mut waiting: VecDeque<Visitor> = VecDeque::new();
    let mut busy: Vec<(u64, Visitor)> = Vec::new();
    let mut seed = 7_u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for now in 0..RUN_MS {
        let at = Duration::from_millis(now);
        busy.retain(|(ends, visitor)| {
            if *ends > now {
                return true;
            }
            match visitor.leaves >= now {
                true => told.served += 1,
                false => told.served_in_vain += 1,
            }
            if !waiting.is_empty() {
                pace.finished(at);
            }
            false
        });
        let before = waiting.len();
        waiting.retain(|visitor| visitor.leaves > now && visitor.came + 10_000 > now);
        told.waited_in_vain += (before - waiting.len()) as u64;
        for _ in 0..u64::from(random() % 5 < 2) {
            let visitor = Visitor { came: now, leaves: now + 2_000 + random() % 4_000 };
            let queued = [0, 0, 0, 0, waiting.len(), 0];
            if waiting.is_empty() {
                pace.begins(at);
            }
            let expected = expected_wait(Priority::Normal, &queued, &pace, at);
            match expected.is_some_and(|expected| expected > let_in && !waiting.is_empty()) {
                true => told.refused += 1,
                false => waiting.push_back(visitor),
            }
        }
        while busy.len() < PLACES && !waiting.is_empty() {
            let visitor = if newest_first { waiting.pop_back() } else { waiting.pop_front() };
            busy.push((now + SERVICE_MS, visitor.unwrap()));
        }
    }
    told
}

#[test]
fn in_order_and_let_in_for_a_fifth_serves_as_many_as_can_be_and_keeps_hardly_anybody_waiting_in_vain() {
    let longest = Duration::from_secs(10);
    let can = RUN_MS * PLACES as u64 / SERVICE_MS;
    let all = simulate(longest, false);
    let newest = simulate(longest, true);
    let fifth = simulate(wait_max(Priority::Normal, longest), false);
    println!(
        "of {can} that can be served\nin order, 10 s: {all:?}\nnewest first: {newest:?}\na fifth: {fifth:?}"
    );
    assert!(fifth.served * 100 >= can * 95, "{fifth:?}");
    assert!(all.served < fifth.served, "{all:?}");
    assert!(newest.served * 100 >= can * 95, "{newest:?}");
    assert!(newest.waited_in_vain > 5 * fifth.waited_in_vain.max(1), "{newest:?} {fifth:?}");
}
