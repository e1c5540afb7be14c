//! Whole sites, simulated: visitors ask, an application answers by what it is told, and an edge does with the rules what
//! the real one does. Nobody may ever get what was made for somebody else, and what is the same for all must be found.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "simulated/apps.rs"]
mod apps;
#[path = "simulated/edge.rs"]
mod edge;

use apps::{APPS, App};
use edge::{Edge, Outcome, Strip};
use proptest::prelude::*;

fn run(app: App, seed: u64, requests: usize, strip: Strip) -> Outcome {
    let mut edge = Edge::new(app, seed, strip);
    (0..requests).for_each(|_| edge.step());
    edge.outcome
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn nobody_gets_what_was_made_for_somebody_else(seed: u64) {
        for &(name, app, _) in APPS {
            let outcome = run(app, seed, 1_500, Strip::Yes);
            prop_assert_eq!(&outcome.foreign, &Vec::<String>::new(), "{} with seed {}", name, seed);
        }
    }

    #[test]
    fn what_is_the_same_for_all_is_found(seed: u64) {
        for &(name, app, shared) in APPS {
            let outcome = run(app, seed, 1_500, Strip::Yes);
            // Where hardly anybody says nothing about himself, too few agree to prove anything: four of twenty visitors, once.
            if shared && outcome.anonymous > 500 {
                let (hits, anonymous) = (outcome.hits, outcome.anonymous);
                prop_assert!(hits * 3 > anonymous, "{}: {} of {} with seed {}", name, hits, anonymous, seed);
            }
        }
    }

    #[test]
    fn the_same_observations_give_the_same_rules(seed: u64) {
        for &(_, app, _) in APPS {
            prop_assert_eq!(run(app, seed, 400, Strip::Yes), run(app, seed, 400, Strip::Yes));
        }
    }
}

/// The tests above can fail: an edge that tells the endpoint who asks gives pages away, whatever the evidence was.
#[test]
fn without_stripping_the_evidence_alone_does_not_hold() {
    let leaks = |app: App| (0..20).any(|seed| !run(app, seed, 1_500, Strip::No).foreign.is_empty());
    assert!(leaks(apps::later_by_address));
}
