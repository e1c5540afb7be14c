//! How the share over a limit grows with the load: a straight line through the logarithm of its odds, near the place where it
//! crosses the limit, and how sure that place is. All trials near it count, each with what it is worth.

use crate::confidence::Interval;
use crate::trial::Evidence;

/// Loads farther than this factor from the middle say nothing of the place.
const NEAR: f64 = 1.35;
/// A line is straight only near the limit: so much of its distance from there is taken for the error of a point.
const BENDS: f64 = 0.4;
/// How many standard errors the interval is wide, each way: the normal distribution's 1.96 for 95 %, with some room for a search that
/// stops when it likes what it sees.
const WIDE: f64 = 2.4;
/// The line is believed no farther than this beyond the loads that were tried, in logarithms.
const BEYOND: f64 = 0.2;
/// Rounds of weighting at most; three to five do it.
const ROUNDS: usize = 30;
/// In one of them a point moves no farther, in logarithms of odds.
const STEP_MAX: f64 = 3.0;

/// A fitted line.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// The load at which it crosses the limit.
    pub crosses: f64,
    /// Where the crossing lies, 19 times of 20: an end is 0 or infinite where nothing bounds it.
    pub within: Interval,
    /// How the logarithm of the odds grows with the logarithm of the load.
    pub slope: f64,
    /// How far from it a trial of one second sees a difference as large as its own error, in logarithms of the load.
    pub sees: f64,
}

fn odds(share: f64) -> f64 {
    let share = share.clamp(1e-6, 1.0 - 1e-6);
    (share / (1.0 - share)).ln()
}

/// A line through points, each with its weight.
#[derive(Clone, Copy, Debug)]
struct Line {
    slope: f64,
    x_mean: f64,
    y_mean: f64,
    weights: f64,
    xx: f64,
    /// The sum of the squares that are left.
    scatter: f64,
}

impl Line {
    fn through(points: &[(f64, f64, f64)]) -> Option<Self> {
        let sum =
            |of: fn(f64, f64) -> f64| points.iter().map(|(x, y, weight)| weight * of(*x, *y)).sum::<f64>();
        let weights = sum(|_, _| 1.0);
        if weights.is_nan() || weights <= 0.0 {
            return None;
        }
        let (x_mean, y_mean) = (sum(|x, _| x) / weights, sum(|_, y| y) / weights);
        let (xx, xy) =
            (sum(|x, _| x * x) - weights * x_mean * x_mean, sum(|x, y| x * y) - weights * x_mean * y_mean);
        if xx <= 1e-9 * weights {
            return None;
        }
        let slope = xy / xx;
        let scatter =
            points.iter().map(|(x, y, weight)| weight * (y - y_mean - slope * (x - x_mean)).powi(2)).sum();
        Some(Self { slope, x_mean, y_mean, weights, xx, scatter })
    }

    fn at(&self, x: f64) -> f64 {
        self.y_mean + self.slope * (x - self.x_mean)
    }

    /// Through what was seen, none of it trusted more than another.
    fn first(near: &[(f64, Evidence, f64)], limit: f64) -> Option<Self> {
        let point = |(x, evidence, _): &(f64, Evidence, f64)| {
            (*x, odds(evidence.share()) - limit, evidence.all.sqrt())
        };
        Self::through(&Vec::from_iter(near.iter().map(point)))
    }

    /// One step of weighting by what this line expects: quasi-likelihood, so that a trial without any event counts as what
    /// it is (McCullagh and Nelder, Generalized Linear Models, 1989, chapter 9).
    fn better(&self, near: &[(f64, Evidence, f64)], limit: f64, inflation: f64) -> Option<Self> {
        let point = |(x, evidence, _): &(f64, Evidence, f64)| {
            let y = self.at(*x).clamp(-9.0, 9.0);
            let share = 1.0 / (1.0 + (-(y + limit)).exp());
            let each = share * (1.0 - share);
            let variance = inflation / (evidence.all * each) + (BENDS * y).powi(2);
            // Half an event more: where one side has none, the line would be ever steeper.
            (*x, y + ((evidence.share() - share) / each).clamp(-STEP_MAX, STEP_MAX), 1.0 / variance)
        };
        Self::through(&Vec::from_iter(near.iter().map(point)))
    }
}

/// Fits the line to loads with their evidence and time, between two loads of which one seems to hold and one to break. `None` where
/// the points do not grow.
pub fn fit(points: &[(f64, Evidence, f64)], share: f64, low: f64, high: f64) -> Option<Curve> {
    let middle = (low * high).sqrt();
    let wide = NEAR.max((high / low).sqrt() * 1.05);
    let limit = odds(share.max(1e-4));
    let near: Vec<(f64, Evidence, f64)> = points
        .iter()
        .filter(|(load, evidence, _)| (middle / wide..=middle * wide).contains(load) && evidence.all > 0.0)
        .map(|(load, evidence, time_s)| ((load / middle).ln(), *evidence, *time_s))
        .collect();
    let total = |of: fn(&Evidence) -> f64| near.iter().map(|(_, evidence, _)| of(evidence)).sum::<f64>();
    // Of a limit that nothing comes near there is no curve.
    if near.len() < 2 || total(|evidence| evidence.over) < 1.0 {
        return None;
    }
    // One inflation for all: that of a single trial is the smaller the fewer it saw over the limit, and its luck would count most.
    let inflation =
        total(|evidence| evidence.all * evidence.inflation.max(1.0)) / total(|evidence| evidence.all);
    let mut line = Line::first(&near, limit)?;
    for _ in 0..ROUNDS {
        let next = line.better(&near, limit, inflation)?;
        let is_same = (next.slope - line.slope).abs() + (next.at(0.0) - line.at(0.0)).abs() < 1e-6;
        line = next;
        if is_same {
            break;
        }
    }
    let Line { slope, x_mean, y_mean, weights, xx, scatter } = line;
    if slope.is_nan() || slope < 0.2 {
        return None;
    }
    let rates = total(|evidence| evidence.all) / inflation;
    let seconds = near.iter().map(|(_, _, time_s)| time_s).sum::<f64>();
    // Points that scatter more than they should are worth less than they say.
    let more = if near.len() > 2 { (scatter / (near.len() - 2) as f64).max(1.0) } else { 1.0 };
    let z = WIDE * more.sqrt();
    let crosses = middle * (x_mean - y_mean / slope).exp();
    let lowest = near.iter().map(|(x, ..)| *x).fold(f64::INFINITY, f64::min);
    let highest = near.iter().map(|(x, ..)| *x).fold(f64::NEG_INFINITY, f64::max);
    // Far from all that was tried a line says nothing.
    if !(lowest - BEYOND..=highest + BEYOND).contains(&(x_mean - y_mean / slope)) {
        return None;
    }
    // Where the line is as near to the limit as its own error (Fieller, Some problems in interval estimation, 1954).
    let (a, b, c) = (slope * slope - z * z / xx, slope * y_mean, y_mean * y_mean - z * z / weights);
    let root = b * b - a * c;
    let within = if a > 0.0 && root >= 0.0 {
        let at = |root: f64| middle * (x_mean + (-b + root) / a).exp();
        Interval { low: at(-root.sqrt()), high: at(root.sqrt()) }
    } else {
        Interval { low: 0.0, high: f64::INFINITY }
    };
    let share = share.clamp(1e-4, 1.0 - 1e-4);
    let all = (rates / seconds.max(1e-9) * share * (1.0 - share)).max(1e-3);
    Some(Curve { crosses, within, slope, sees: 1.0 / (all.sqrt() * slope) })
}

impl Curve {
    /// How far from the crossing, as a part of the load, a trial of so many seconds sees a difference as large as its own error.
    pub fn reach(&self, time_s: f64) -> f64 {
        (self.sees / time_s.max(1e-3).sqrt()).exp_m1()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn point(load: f64, share: f64) -> (f64, Evidence, f64) {
        (load, Evidence { all: 1_000.0, over: 1_000.0 * share, inflation: 1.0 }, 10.0)
    }

    #[test]
    fn the_crossing_lies_where_the_line_says_and_more_time_makes_it_surer() {
        let share = |load: f64| 1.0 / (1.0 + (-(load / 100.0).ln() * 12.0).exp());
        let points = [94.0, 98.0, 102.0, 106.0].map(|load| point(load, share(load)));
        let curve = fit(&points, 0.5, 94.0, 106.0).expect("it grows");
        assert!((curve.crosses - 100.0).abs() < 1.0 && (curve.slope - 12.0).abs() < 0.5, "{curve:?}");
        assert!(curve.within.low < 100.0 && curve.within.high > 100.0, "{curve:?}");
        let longer = points.map(|(load, one, time_s)| {
            (load, Evidence { all: one.all * 9.0, over: one.over * 9.0, inflation: 1.0 }, time_s * 9.0)
        });
        let surer = fit(&longer, 0.5, 94.0, 106.0).expect("it grows").within;
        assert!(
            surer.high - surer.low < 0.85 * (curve.within.high - curve.within.low),
            "{surer:?} {curve:?}"
        );
        assert!(curve.reach(60.0) < curve.reach(5.0));
    }

    #[test]
    fn what_does_not_grow_is_no_curve() {
        assert_eq!(fit(&[point(90.0, 0.6), point(110.0, 0.4)], 0.5, 90.0, 110.0), None);
        assert_eq!(fit(&[point(90.0, 0.4)], 0.5, 90.0, 110.0), None);
        assert_eq!(fit(&[], 0.5, 90.0, 110.0), None);
    }

    #[test]
    fn what_grows_by_less_than_its_error_bounds_nothing() {
        let curve =
            fit(&[point(99.0, 0.49), point(101.0, 0.51)], 0.5, 99.0, 101.0).expect("it grows a little");
        assert_eq!(curve.within, Interval { low: 0.0, high: f64::INFINITY });
    }

    #[test]
    fn few_events_in_bursts_move_the_crossing_nowhere() {
        // Shares of a queue's tail. Divided by the inflation, each trial has seen one event or none.
        let share = |load: f64| 0.01 * (load / 100.0).powf(25.0);
        let points = [94.0, 97.0, 103.0, 108.0].map(|load| {
            let evidence = Evidence { all: 4_000.0, over: 4_000.0 * share(load), inflation: 60.0 };
            (load, evidence, 30.0)
        });
        let curve = fit(&points, 0.01, 94.0, 108.0).expect("it grows");
        assert!((curve.crosses - 100.0).abs() < 1.0, "{curve:?}");
        // One that saw none at all is not taken for one that saw half a burst.
        let none = Evidence { all: 4_000.0, over: 0.0, inflation: 60.0 };
        let with = [&points[..], &[(90.0, none, 30.0)]].concat();
        let curve = fit(&with, 0.01, 94.0, 108.0).expect("it grows");
        assert!((curve.crosses - 100.0).abs() < 1.5, "{curve:?}");
    }
}
