//! Compares the endpoints of a pool with one another: whose requests fail while the others' do not, and who takes far
//! longer than the others. A pure function of what was counted in a window; Envoy's outlier detection is the measure,
//! whose success rates and failure percentages look back over an interval in the same way.
//!
//! What all have in common is nobody's illness: an application that answers everything with errors, or slowly, stays in
//! traffic (S1.4). Envoy compares with the mean less 1.9 standard deviations, which needs many endpoints; most pools have
//! two or three, so one is compared with the rest directly.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;
use tentpole_model::Outliers;
use tentpole_runtime::Instant;
use tentpole_runtime::latencies::{CLASSES, median};

/// Parts of an interval that a window forgets at once.
const SLICES: u32 = 10;
/// How much smaller the others' share of failures must be.
const OTHERS_FAIL_LESS: u64 = 5;
/// Slower by less than this is never too slow: nobody's visitors feel it.
const SLOWER_MIN: Duration = Duration::from_millis(250);

/// What was counted of an endpoint since the edge started, or within a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Requests sent.
    pub requests: u64,
    /// Those that failed by its fault or were answered with 500 and above.
    pub failed: u64,
    /// How long it took to answer, by class.
    pub latencies: [u64; CLASSES],
}

/// In what an endpoint differs from the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Odd {
    /// Its requests fail.
    Errors {
        /// Percent of its own.
        percent: u64,
        /// Percent of the others'.
        others: u64,
    },
    /// It is slow.
    Slow {
        /// Its median.
        p50: Duration,
        /// The others'.
        others: Duration,
    },
}

/// The last interval of one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Window {
    marks: VecDeque<(Instant, Totals)>,
}

impl Window {
    /// Takes note of the totals; returns what came within the interval.
    pub fn take(&mut self, now: Instant, interval: Duration, totals: Totals) -> Totals {
        if self.marks.back().is_some_and(|(_, last)| last.requests > totals.requests) {
            // Another edge, which counts anew.
            self.marks.clear();
        }
        let slice = interval / SLICES;
        if self.marks.back().is_none_or(|(at, _)| now.since(*at) >= slice) {
            self.marks.push_back((now, totals));
        }
        while self.marks.len() > 1 && self.marks.get(1).is_some_and(|(at, _)| now.since(*at) >= interval) {
            self.marks.pop_front();
        }
        self.marks.front().map_or(Totals::default(), |(_, first)| totals.less(first))
    }

    /// Forgets what came so far: it speaks no more against whoever came back.
    pub fn forget(&mut self) {
        self.marks.clear();
    }
}

impl Totals {
    fn less(&self, before: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(before.requests),
            failed: self.failed.saturating_sub(before.failed),
            latencies: std::array::from_fn(|class| {
                self.latencies[class].saturating_sub(before.latencies[class])
            }),
        }
    }
}

/// In what each endpoint differs from those others that had enough requests; `None` in `seen` for those that cannot be
/// compared, such as who is out, drained or starting slowly.
pub fn compare(rules: &Outliers, seen: &[Option<Totals>]) -> Vec<Option<Odd>> {
    let min = u64::from(rules.requests_min.max(1));
    let enough = |totals: &Totals| totals.requests >= min;
    let known: Vec<Option<Totals>> = seen.iter().map(|totals| totals.filter(enough)).collect();
    let mut odd = against_the_rest(&known, |own, others| errors(rules, own, others));
    // Who fails is no measure of speed: errors come fast.
    let sound: Vec<Option<Totals>> =
        known.iter().zip(&odd).map(|(totals, odd)| totals.filter(|_| odd.is_none())).collect();
    let slow = against_the_rest(&sound, |own, others| slow(rules, own, others));
    odd.iter_mut().zip(slow).for_each(|(odd, slow)| *odd = odd.or(slow));
    odd
}

/// Asks of each that is known how it stands against all others that are.
fn against_the_rest(
    known: &[Option<Totals>],
    differs: impl Fn(&Totals, &[&Totals]) -> Option<Odd>,
) -> Vec<Option<Odd>> {
    let others = |at: usize| {
        let rest = known.iter().enumerate().filter(move |(other, _)| *other != at);
        rest.filter_map(|(_, totals)| totals.as_ref()).collect::<Vec<_>>()
    };
    let odd = |at: usize| {
        let others = others(at);
        let own = known[at].as_ref().filter(|_| !others.is_empty())?;
        differs(own, &others)
    };
    (0..known.len()).map(odd).collect()
}

fn errors(rules: &Outliers, own: &Totals, others: &[&Totals]) -> Option<Odd> {
    let most = u64::from(rules.errors_percent?);
    let percent = |failed: u64, requests: u64| (failed * 100 / requests.max(1)).min(100);
    let sum = |of: fn(&Totals) -> u64| others.iter().map(|other| of(other)).sum::<u64>();
    let (own, others) =
        (percent(own.failed, own.requests), percent(sum(|it| it.failed), sum(|it| it.requests)));
    (own >= most.max(1) && others * OTHERS_FAIL_LESS <= own).then_some(Odd::Errors { percent: own, others })
}

fn slow(rules: &Outliers, own: &Totals, others: &[&Totals]) -> Option<Odd> {
    let factor = rules.latency_factor?;
    let p50 = median(&own.latencies)?;
    let mut medians: Vec<Duration> = others.iter().filter_map(|other| median(&other.latencies)).collect();
    medians.sort_unstable();
    // Of two in the middle the slower one: when in doubt, nobody goes.
    let others = *medians.get(medians.len() / 2)?;
    let too_slow = p50 >= others.saturating_mul(factor) && p50 >= others + SLOWER_MIN;
    too_slow.then_some(Odd::Slow { p50, others })
}

impl fmt::Display for Odd {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors { percent, others } => {
                write!(out, "{percent}% of its requests failed, of the others' {others}%")
            }
            Self::Slow { p50, others } => {
                write!(out, "slow: p50 {} ms, others {} ms", p50.as_millis(), others.as_millis())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use tentpole_runtime::latencies::Latencies;

    fn totals(requests: u64, failed: u64, ms: u32) -> Totals {
        let latencies = Latencies::default();
        (0..requests).for_each(|_| latencies.took(ms * 1_000));
        Totals { requests, failed, latencies: latencies.counts() }
    }

    fn compared(seen: &[Totals]) -> Vec<Option<Odd>> {
        compare(&Outliers::default(), &seen.iter().copied().map(Some).collect::<Vec<_>>())
    }

    #[test]
    fn who_fails_alone_differs_and_who_fails_with_all_does_not() {
        let alone = compared(&[totals(100, 80, 5), totals(100, 1, 5), totals(100, 0, 5)]);
        assert_eq!(alone, [Some(Odd::Errors { percent: 80, others: 0 }), None, None]);
        assert_eq!(compared(&[totals(100, 80, 5), totals(100, 60, 5), totals(100, 70, 5)]), [None; 3]);
    }

    #[test]
    fn who_is_slow_alone_differs_and_who_is_slow_with_all_does_not() {
        let alone = compared(&[totals(100, 0, 900), totals(100, 0, 35), totals(100, 0, 30)]);
        assert!(matches!(alone[0], Some(Odd::Slow { .. })) && alone[1..] == [None, None], "{alone:?}");
        assert_eq!(compared(&[totals(100, 0, 900), totals(100, 0, 900)]), [None; 2]);
        assert_eq!(compared(&[totals(100, 0, 200), totals(100, 0, 2)]), [None; 2], "nobody feels that");
    }

    #[test]
    fn few_requests_prove_nothing_and_neither_does_being_alone() {
        assert_eq!(compared(&[totals(49, 49, 5), totals(1_000, 0, 5)]), [None; 2]);
        assert_eq!(compared(&[totals(1_000, 900, 5), totals(49, 0, 5)]), [None; 2]);
        assert_eq!(compared(&[totals(1_000, 1_000, 5)]), [None]);
        let missing = compare(&Outliers::default(), &[Some(totals(100, 100, 5)), None]);
        assert_eq!(missing, [None; 2]);
    }

    #[test]
    fn a_window_holds_one_interval_and_begins_anew_with_another_edge() {
        let at = |ms: u64| Instant::from_micros(ms * 1_000);
        let (mut window, second) = (Window::default(), Duration::from_secs(1));
        let requests = |n: u64| totals(n, 0, 1);
        assert_eq!(window.take(at(0), second, requests(5)).requests, 0, "what was before is not known");
        for tick in 1..=10 {
            assert_eq!(window.take(at(tick * 100), second, requests(5 + tick)).requests, tick);
        }
        assert_eq!(window.take(at(1_500), second, requests(30)).requests, 20, "since 500 ms");
        assert_eq!(window.take(at(1_600), second, requests(2)).requests, 0);
        window.forget();
        assert_eq!(window.take(at(1_700), second, requests(9)).requests, 0);
    }

    proptest! {
        #[test]
        fn never_do_all_differ_from_the_others(
            seen in prop::collection::vec((0u64..300, 0u64..300, 1u32..5_000), 1..7),
        ) {
            let seen: Vec<Totals> = seen.iter().map(|&(n, f, ms)| totals(n, f.min(n), ms)).collect();
            let odd = compared(&seen);
            prop_assert!(odd.iter().any(Option::is_none), "{odd:?}");
        }
    }
}
