//! Whether a request stays in the edge's own zone or goes to another: near is nearer, until it has more to do. By what
//! is in flight, not by percentages of the traffic: those follow from how many endpoints each zone has, and are wrong
//! whenever these are few, slow or fed by others too.

/// What the endpoints of a zone, or of all the others, that a request could go to have to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ZoneLoad {
    /// Their summed weights; 0 is nobody.
    weight: u64,
    /// Requests sent to them that have not ended.
    in_flight: u64,
    /// Requests that they surely carry without a queue.
    ease: u64,
}

/// What an endpoint surely carries without a queue, where nobody has said what it can: two at once.
const EASE: u64 = 2;

/// How much more than the others the own zone carries, in hundredths, before requests leave it. A quarter, as for
/// consistent hashing: less would send requests away for differences that are noise.
const AHEAD_PERCENT: u128 = 125;

impl ZoneLoad {
    /// With one more endpoint that has room for a request. `requests_max` is what it takes at most, where that is known.
    pub fn add(&mut self, weight: u32, in_flight: u32, requests_max: Option<u32>) {
        self.weight += u64::from(weight);
        self.in_flight += u64::from(in_flight);
        // Half of what it takes: so the other half is left when requests begin to leave.
        self.ease += requests_max.map_or(EASE, |max| u64::from(max / 2).max(1));
    }
}

/// Whether the request stays near.
///
/// It does while, with it, the near endpoints have no more in flight than they carry at ease; beyond that while it is, for
/// their weight, no more than a quarter above what the others have. It stays when there are no others, and goes when nobody
/// is near. What is compared are those who have room: endpoints at their limit count on neither side.
///
/// So nearly everything is near while little is in flight; a zone that is too small, or became slow, keeps what it can carry
/// at ease and shares the rest evenly; and when all are busy, all are about equally busy.
pub fn stays_near(near: &ZoneLoad, others: &ZoneLoad) -> bool {
    if near.weight == 0 || others.weight == 0 {
        return near.weight > 0;
    }
    // (near - ease) / weight <= 1.25 × others / weight, in whole numbers.
    let beyond_ease = (near.in_flight + 1).saturating_sub(near.ease);
    let share = u128::from(others.in_flight) * u128::from(near.weight) * AHEAD_PERCENT;
    u128::from(beyond_ease) * u128::from(others.weight) * 100 <= share
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn load(endpoints: &[(u32, u32, Option<u32>)]) -> ZoneLoad {
        let mut load = ZoneLoad::default();
        endpoints.iter().for_each(|&(weight, in_flight, max)| load.add(weight, in_flight, max));
        load
    }

    #[test]
    fn nobody_near_sends_everything_away_and_nobody_else_keeps_it() {
        let some = load(&[(1, 1_000, None)]);
        assert!(!stays_near(&ZoneLoad::default(), &some));
        assert!(stays_near(&some, &ZoneLoad::default()));
        assert!(!stays_near(&ZoneLoad::default(), &ZoneLoad::default()));
    }

    #[test]
    fn what_is_carried_at_ease_stays() {
        let idle = load(&[(1, 0, None); 3]);
        assert!(stays_near(&load(&[(1, 1, None)]), &idle));
        assert!(!stays_near(&load(&[(1, 2, None)]), &idle), "two at once, not three");
        assert!(stays_near(&load(&[(1, 9, Some(20))]), &idle));
        assert!(!stays_near(&load(&[(1, 10, Some(20))]), &idle), "half of what it takes");
    }

    #[test]
    fn near_carries_no_more_than_a_quarter_above_the_others() {
        let others = load(&[(1, 100, None); 3]);
        assert!(stays_near(&load(&[(1, 126, None)]), &others));
        assert!(!stays_near(&load(&[(1, 127, None)]), &others), "125, and the two at ease");
        assert!(stays_near(&load(&[(2, 251, None)]), &others), "by weight");
    }

    #[test]
    fn the_largest_figures_do_not_overflow() {
        let largest = load(&[(u32::MAX, u32::MAX, Some(u32::MAX)); 1_000]);
        let _ = stays_near(&largest, &largest);
    }

    proptest! {
        #[test]
        fn more_to_do_near_never_keeps_what_less_would_send_away(
            near in 0u32..100, more in 0u32..100, others in 0u32..100, weight in 1u32..10, count in 1usize..5,
        ) {
            let others = load(&vec![(1, others, None); count]);
            let (less, more) = (load(&[(weight, near, None)]), load(&[(weight, near + more, None)]));
            prop_assert!(stays_near(&less, &others) || !stays_near(&more, &others));
        }

        #[test]
        fn more_to_do_elsewhere_never_sends_away_what_less_would_keep(
            near in 0u32..100, others in 0u32..100, more in 0u32..100, weight in 1u32..10,
        ) {
            let near = load(&[(weight, near, None)]);
            let (less, more) = (load(&[(1, others, None)]), load(&[(1, others + more, None)]));
            prop_assert!(!stays_near(&near, &less) || stays_near(&near, &more));
        }
    }
}
