//! At which load a server of a known limit breaks: its own decisions, asked by simulated visitors who do what those of
//! `tentpole load` do, in simulated time. Checked against formulas that were found without it. Sends nothing.

use crate::known::limit::{Limit, State};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tentpole_runtime::Random;

/// Page loads that are simulated at each load.
const PAGES: usize = 100_000;
/// Those at the beginning that are not counted.
const WARM_UP: usize = 10_000;

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Crowd {
    /// So many visitors as the load says, who think for half to one and a half of this time between two pages.
    Visitors {
        /// The mean, in s.
        think_s: f64,
    },
    /// So many journeys a second as the load says, at moments that know nothing of one another (Poisson), of this many pages. One that
    /// gets no page ends.
    Journeys {
        /// Pages of a journey.
        pages: usize,
        /// Mean time between two of them, in s: half to one and a half of it.
        think_s: f64,
    },
}

/// What must hold.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// The median of load times stays under so many ms.
    MedianMs(f64),
    /// The share of failures stays under this.
    Failures(f64),
}

impl Goal {
    /// The share from which on it is broken.
    fn share(self) -> f64 {
        match self {
            Self::MedianMs(_) => 0.5,
            Self::Failures(share) => share,
        }
    }

    fn is_over(self, status: u16, took_us: u64) -> bool {
        match self {
            Self::MedianMs(under) => status != 200 || took_us as f64 >= under * 1_000.0,
            Self::Failures(_) => status != 200,
        }
    }
}

/// Where it breaks: the highest load that holds and the lowest that does not, of whole loads for visitors and to a tenth of a
/// percent for journeys. `to` must break.
///
/// # Panics
/// When it does not.
pub fn breaks_at(limit: Limit, crowd: Crowd, goal: Goal, to: f64) -> (f64, f64) {
    let whole = matches!(crowd, Crowd::Visitors { .. });
    let holds = |load: f64| share_over(limit, crowd, goal, load) < goal.share();
    assert!(!holds(to), "{limit:?} holds {to}");
    let (mut low, mut high) = (0.0, to);
    while high - low > if whole { 1.0 } else { high * 0.001 } {
        let middle = f64::midpoint(low, high);
        let middle = if whole { middle.floor() } else { middle };
        if holds(middle) { low = middle } else { high = middle }
    }
    (low, high)
}

/// The share of page loads on the wrong side of a goal.
pub fn share_over(limit: Limit, crowd: Crowd, goal: Goal, load: f64) -> f64 {
    let (mut state, mut draw) = (State::new(limit), Random::from_seed(7));
    // When somebody asks, and which page of a journey that is.
    let mut due: BinaryHeap<Reverse<(u64, usize)>> = BinaryHeap::new();
    let think = |draw: &mut Random, mean_s: f64| (mean_s * (0.5 + unit(draw)) * 1e6) as u64;
    match crowd {
        Crowd::Visitors { think_s } => {
            due.extend((0..load as usize).map(|_| Reverse((think(&mut draw, think_s), 0))));
        }
        Crowd::Journeys { .. } => due.push(Reverse((0, 0))),
    }
    let (mut over, mut all) = (0, 0);
    while let Some(Reverse((now_us, page))) = due.pop() {
        if all >= PAGES {
            break;
        }
        all += 1;
        let verdict = state.ask(now_us);
        over += usize::from(all > WARM_UP && goal.is_over(verdict.status, verdict.at_us - now_us));
        match crowd {
            Crowd::Visitors { think_s } => {
                due.push(Reverse((verdict.at_us + think(&mut draw, think_s), 0)));
            }
            Crowd::Journeys { pages, think_s } => {
                if page == 0 {
                    let next = -(1.0 - unit(&mut draw)).ln() / load;
                    due.push(Reverse((now_us + (next * 1e6) as u64, 0)));
                }
                if verdict.status == 200 && page + 1 < pages {
                    due.push(Reverse((verdict.at_us + think(&mut draw, think_s), page + 1)));
                }
            }
        }
    }
    over as f64 / all.saturating_sub(WARM_UP).max(1) as f64
}

/// A number from 0 up to, but not including, 1.
fn unit(draw: &mut Random) -> f64 {
    (draw.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    const WORK: Duration = Duration::from_millis(100);
    const ONE_PERCENT: Goal = Goal::Failures(0.01);

    /// The share of calls that are lost with so many sources and lines (Engset 1918): of calls, not of time. `a`: work by thinking.
    fn engset(sources: u32, lines: u32, a: f64) -> f64 {
        // Whoever calls sees the lines as they are for all others: one source less.
        let mut term = 1.0;
        let mut all = 1.0;
        for busy in 1..=lines {
            term *= f64::from(sources - busy) / f64::from(busy) * a;
            all += term;
        }
        term / all
    }

    #[test]
    fn losses_are_engsets_whatever_the_distributions() {
        let limit = Limit::Places { places: 20, work: WORK };
        for visitors in [120, 140, 160] {
            let crowd = Crowd::Visitors { think_s: 1.0 };
            let (seen, law) =
                (share_over(limit, crowd, ONE_PERCENT, f64::from(visitors)), engset(visitors, 20, 0.1));
            // Both times are far from exponential, and Engset's law does not mind (insensitivity).
            assert!((seen / law - 1.0).abs() < 0.15, "{visitors}: {seen}, by the law {law}");
        }
        let (holds, breaks) = breaks_at(limit, Crowd::Visitors { think_s: 1.0 }, ONE_PERCENT, 1_000.0);
        assert!(engset(holds as u32 - 3, 20, 0.1) < 0.01 && engset(breaks as u32 + 3, 20, 0.1) > 0.01);
    }

    #[test]
    fn a_queue_breaks_where_the_asymptote_crosses_the_limit() {
        // Workers that are never idle answer workers/work a second; of a circle of visitors, each takes thinking and 0.5 s.
        let limit = Limit::Workers { workers: 10, work: WORK, patience: None };
        let (_, breaks) = breaks_at(limit, Crowd::Visitors { think_s: 1.0 }, Goal::MedianMs(500.0), 1_000.0);
        assert!((breaks - 150.0).abs() <= 3.0, "{breaks}");
    }

    #[test]
    fn a_rate_breaks_where_requests_are_as_many_as_tokens() {
        let limit = Limit::Tokens { per_s: 100.0, at_once: 200.0 };
        let (_, breaks) = breaks_at(limit, Crowd::Journeys { pages: 2, think_s: 0.1 }, ONE_PERCENT, 1_000.0);
        // 1 % more than there are tokens for, and a little less where chance empties the bucket before.
        assert!((49.0..=51.0).contains(&breaks), "{breaks}");
    }
}
