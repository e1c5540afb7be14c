//! How a quantile of the load times grows with the load: a line through it, fitted to every load time of every trial near the place
//! (quantile regression: Koenker and Bassett, Regression quantiles, Econometrica 46, 1978). How far a load time is from the limit counts, so
//! that a trial without any over it still says how near it came. Knows nothing of failures, and chooses no load.

use crate::confidence::Interval;
use crate::curve::Curve;

/// Load times that differ by less than this part of them are alike.
const BIN: f64 = 0.01;
/// How far from the limit they are told apart, in bins each way: by a factor of 30.
const BINS: usize = 340;
/// Loads farther than this factor from the middle say nothing of the place.
const NEAR: f64 = 1.35;
/// A line is straight only near the limit: at this distance from it a trial counts half.
const STRAIGHT: f64 = 0.5;
/// Slopes that are thought of. Where a tail grows more slowly than the load, or is as steep as a wall, shares say more.
const SLOPES: (f64, f64) = (1.0, 80.0);
/// How many standard errors the interval is wide, each way: the normal distribution's 1.96 for 95 %, with some room for a search that
/// stops when it likes what it sees.
const WIDE: f64 = 2.4;
/// So many more where it rests on few independent events, as a part of their number.
const FEW: f64 = 4.0;
/// Few events come in bursts, and those who missed one see an end too near: neither is nearer than this part of the other's distance, ...
const EVEN: f64 = 0.6;
/// ... as far as that distance is meant to be known at all.
const EVEN_MAX: f64 = 0.3;
/// The interval ends within this part of the load, or nowhere.
const FAR: f64 = 0.7;
/// Beyond the loads that were tried, a line is believed no farther than this.
const BEYOND: f64 = 0.1;
/// Steps of each bisection: what is left is far below a thousandth.
const HALVES: usize = 40;
/// Rounds of weighting by the distance from the line.
const ROUNDS: usize = 4;
/// Batches whose shares tell how much alike neighbours are: many see what is alike for a moment, few what is for longer.
const BATCHES: [usize; 3] = [20, 10, 5];
/// Load times that a batch needs.
const BATCH_MIN: usize = 4;
/// Only trials as long as this part of the longest tell how long bursts last.
const LONG: f64 = 0.6;

/// A trial's load times as far as the line of a quantile needs them; its size does not depend on their number.
#[derive(Clone, Debug, PartialEq)]
pub struct Times {
    /// How many there are, and then how many took at least the limit times `exp((k - BINS) * BIN)`.
    over: Vec<f32>,
    /// How far they come in bursts, for each of [`BATCHES`].
    bursts: [Bursts; 3],
}

/// How much more the shares of batches scatter than those of independent observations would.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Bursts {
    /// The squares of their distances from the whole trial's share, in units of what each would be.
    squares: f64,
    degrees: f64,
}

/// Which way a load time grows, and so in which measure it is a straight line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// Visitors who wait for their answers: each one more waits behind the others, in the end in proportion (asymptotic bounds: Denning
    /// and Buzen, The operational analysis of queueing network models, Computing Surveys 10, 1978). Its logarithm is straight.
    Closed,
    /// Arrivals at a rate, whoever waits: the tail grows as one divided by what is left of the capacity (M/M/1: Kleinrock, Queueing
    /// Systems I, 3.2). Its reciprocal is straight.
    Open,
}

impl Growth {
    /// The logarithm of a load time over the limit, which lies at this height.
    fn logarithm(self, height: f64) -> f64 {
        match self {
            Self::Closed => height,
            Self::Open if height >= 1.0 => f64::INFINITY,
            Self::Open => -(1.0 - height).ln(),
        }
    }
}

impl Times {
    /// Of load times in the order in which they were due. `share`: how many may take `under_ms` or more.
    pub fn of(took_ms: &[f64], share: f64, under_ms: f64) -> Self {
        let mut over = vec![0.0_f32; 2 * BINS + 2];
        let last = over.len() - 1;
        for took in took_ms {
            let bin = ((took.max(1e-9) / under_ms.max(1e-9)).ln() / BIN).floor() + BINS as f64;
            // What is faster than all bins counts among all of them only, what is slower in the last one.
            over[(bin + 1.0).clamp(0.0, last as f64) as usize] += 1.0;
        }
        for at in (0..last).rev() {
            over[at] += over[at + 1];
        }
        // Of its own quantile, not of the limit: it has as many events in each trial.
        let mut sorted = took_ms.to_vec();
        let rank = ((1.0 - share) * sorted.len() as f64) as usize;
        let own = match sorted.len() {
            0 => f64::INFINITY,
            count => *sorted.select_nth_unstable_by(rank.min(count - 1), f64::total_cmp).1,
        };
        Self { over, bursts: BATCHES.map(|batches| Bursts::of(took_ms, own, batches)) }
    }

    fn all(&self) -> f64 {
        f64::from(self.over[0])
    }

    /// How many are over the limit times the exponential of `log`.
    fn over(&self, log: f64) -> f64 {
        let place = (log / BIN + BINS as f64 + 1.0).max(0.0);
        if place >= (self.over.len() - 1) as f64 {
            return 0.0;
        }
        let at = place as usize;
        let part = place - at as f64;
        f64::from(self.over[at]) * (1.0 - part) + f64::from(self.over[at + 1]) * part
    }
}

impl Bursts {
    fn of(took_ms: &[f64], limit: f64, batches: usize) -> Self {
        let length = took_ms.len() / batches;
        if length < BATCH_MIN {
            return Self::default();
        }
        let share =
            |part: &[f64]| part.iter().filter(|took| **took >= limit).count() as f64 / part.len() as f64;
        // The end is whole, the beginning is not.
        let whole = &took_ms[took_ms.len() - length * batches..];
        let middle = share(whole);
        let each = middle * (1.0 - middle) / length as f64;
        if each <= 0.0 {
            return Self::default();
        }
        let squares = whole.chunks_exact(length).map(|batch| (share(batch) - middle).powi(2) / each).sum();
        Self { squares, degrees: (batches - 1) as f64 }
    }
}

/// A trial near the place.
struct Point<'a> {
    /// Its load, as a part of the middle one, less one.
    x: f64,
    times: &'a Times,
    time_s: f64,
    weight: f64,
}

/// A line that is being fitted: its height over the limit is `slope * (x - crosses)`.
struct Fit<'a> {
    points: Vec<Point<'a>>,
    share: f64,
    growth: Growth,
}

impl Fit<'_> {
    /// What a trial has over the line, less what it should have.
    fn rest(&self, point: &Point, crosses: f64, slope: f64) -> f64 {
        let line = self.growth.logarithm(slope * (point.x - crosses));
        point.times.over(line) - self.share * point.times.all()
    }

    /// The same of all of them together, and how far to the right of the crossing.
    fn scores(&self, crosses: f64, slope: f64) -> (f64, f64) {
        self.points.iter().fold((0.0, 0.0), |(sum, moment), point| {
            let rest = point.weight * self.rest(point, crosses, slope);
            (sum + rest, moment + (point.x - crosses) * rest)
        })
    }

    /// The slope of the best line that crosses there.
    fn slope(&self, crosses: f64) -> f64 {
        let (mut low, mut high) = SLOPES;
        for _ in 0..HALVES {
            let middle = (low * high).sqrt();
            // A steeper line has less above it on the right, and more on the left.
            if self.scores(crosses, middle).1 > 0.0 { low = middle } else { high = middle }
        }
        (low * high).sqrt()
    }

    /// What is over the best line that crosses there, less what should be: it grows with the crossing.
    fn score(&self, crosses: f64) -> f64 {
        self.scores(crosses, self.slope(crosses)).0
    }

    fn crossing(&self, from: f64, to: f64) -> Option<f64> {
        let (mut low, mut high) = (from, to);
        if self.score(low) > 0.0 || self.score(high) < 0.0 {
            return None;
        }
        for _ in 0..HALVES {
            let middle = 0.5 * (low + high);
            if self.score(middle) > 0.0 { high = middle } else { low = middle }
        }
        Some(0.5 * (low + high))
    }

    /// Trials far from the limit count less.
    fn weigh(&mut self, crosses: f64) {
        let slope = self.slope(crosses);
        for point in &mut self.points {
            point.weight = 1.0 / (1.0 + (slope * (point.x - crosses) / STRAIGHT).powi(2));
        }
    }

    /// How many load times are worth one that is independent: by how much batches scatter within trials, and trials around the line.
    fn inflation(&self, crosses: f64) -> f64 {
        let longest = self.points.iter().map(|point| point.time_s).fold(0.0, f64::max);
        let long = || self.points.iter().filter(|point| point.time_s >= LONG * longest);
        let within = |at: usize| {
            let squares: f64 = long().map(|point| point.times.bursts[at].squares).sum();
            let degrees: f64 = long().map(|point| point.times.bursts[at].degrees).sum();
            if degrees > 0.0 { squares / degrees } else { 1.0 }
        };
        let inflation = (0..BATCHES.len()).map(within).fold(1.0, f64::max);
        let slope = self.slope(crosses);
        let each = self.share * (1.0 - self.share) * inflation;
        let squares = |point: &Point| {
            point.weight * self.rest(point, crosses, slope).powi(2) / (each * point.times.all())
        };
        let degrees = self.points.iter().map(|point| point.weight).sum::<f64>() - 2.0;
        let between = self.points.iter().map(squares).sum::<f64>() / degrees;
        inflation * if degrees > 0.5 { between.max(1.0) } else { 1.0 }
    }

    /// Load times, each with its weight.
    fn all(&self) -> f64 {
        self.points.iter().map(|point| point.weight * point.times.all()).sum()
    }

    /// The variance of the score where the slope is fitted too.
    fn variance(&self, crosses: f64, inflation: f64) -> f64 {
        let each = self.share * (1.0 - self.share) * inflation;
        let (mut all, mut moment, mut square) = (0.0, 0.0, 0.0);
        for point in &self.points {
            let (weight, x) = (point.weight * each * point.times.all(), point.x - crosses);
            (all, moment, square) = (all + weight, moment + weight * x, square + weight * x * x);
        }
        all - moment * moment / square.max(1e-12)
    }

    /// How far from the crossing one may be, upwards or downwards, until the score is no longer what chance makes it (rank scores:
    /// Gutenbrunner and Jureckova, Annals of Statistics 20, 1992). `None` where that is nowhere.
    fn reaches(&self, crosses: f64, inflation: f64, sign: f64) -> Option<f64> {
        let events = self.all() * self.share / inflation;
        let wide = WIDE * WIDE * (1.0 + FEW / events.max(0.1));
        let is_within = |away: f64| {
            let x = crosses + sign * away;
            self.score(x).powi(2) <= wide * self.variance(x, inflation)
        };
        let (mut inside, mut outside) = (0.0, 0.005);
        while is_within(outside) {
            (inside, outside) = (outside, outside * 1.5);
            if outside > FAR {
                return None;
            }
        }
        for _ in 0..HALVES / 3 {
            let middle = 0.5 * (inside + outside);
            if is_within(middle) { inside = middle } else { outside = middle }
        }
        Some(outside)
    }

    /// How far from the crossing a trial of one second sees a difference as large as its own error.
    fn sees(&self, crosses: f64, inflation: f64) -> f64 {
        const BY: f64 = 0.02;
        let slope = self.slope(crosses);
        let grows = (self.scores(crosses + BY, slope).0 - self.scores(crosses - BY, slope).0) / (2.0 * BY);
        let seconds: f64 = self.points.iter().map(|point| point.weight * point.time_s).sum();
        let error = (self.share * (1.0 - self.share) * inflation * self.all()).sqrt();
        if grows > 0.0 { error / grows * seconds.sqrt() } else { f64::INFINITY }
    }
}

/// Fits the line to trials, each with its load, its load times and its length in seconds, between two loads of which one seems to
/// hold and one to break. `None` where the quantile does not cross its limit near what was tried, or grows too slowly for a line.
pub fn fit(trials: &[(f64, &Times, f64)], share: f64, growth: Growth, low: f64, high: f64) -> Option<Curve> {
    let middle = (low * high).sqrt();
    let wide = NEAR.max((high / low).sqrt() * 1.05);
    let points: Vec<Point> = trials
        .iter()
        .filter(|(load, times, _)| (middle / wide..=middle * wide).contains(load) && times.all() > 0.0)
        .map(|(load, times, time_s)| Point { x: load / middle - 1.0, times, time_s: *time_s, weight: 1.0 })
        .collect();
    let left = points.iter().map(|point| point.x).fold(f64::INFINITY, f64::min);
    let right = points.iter().map(|point| point.x).fold(f64::NEG_INFINITY, f64::max);
    if right - left < 1e-6 || share <= 0.0 {
        return None;
    }
    let mut fit = Fit { points, share, growth };
    let mut crosses = fit.crossing(left - BEYOND, right + BEYOND)?;
    for _ in 0..ROUNDS {
        fit.weigh(crosses);
        crosses = fit.crossing(left - BEYOND, right + BEYOND)?;
    }
    let slope = fit.slope(crosses);
    if slope < SLOPES.0 * 1.01 {
        return None;
    }
    let inflation = fit.inflation(crosses);
    let (down, up) = (fit.reaches(crosses, inflation, -1.0), fit.reaches(crosses, inflation, 1.0));
    let even = |own: f64, other: Option<f64>| own.max(EVEN * other.unwrap_or(0.0).min(EVEN_MAX));
    let within = Interval {
        low: down.map_or(0.0, |down| middle * (1.0 + crosses - even(down, up)).max(0.0)),
        high: up.map_or(f64::INFINITY, |up| middle * (1.0 + crosses + even(up, down))),
    };
    Some(Curve { crosses: middle * (1.0 + crosses), within, slope, sees: fit.sees(crosses, inflation) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::draw::Draw;

    /// Load times whose logarithm is spread by `spread`, the middle one at `middle_ms`.
    fn took(middle_ms: f64, spread: f64, count: usize, draw: &mut Draw) -> Vec<f64> {
        (0..count).map(|_| middle_ms * (spread * (draw.unit() - 0.5)).exp()).collect()
    }

    /// Trials at loads whose median is at its limit of 100 ms at load 100.
    fn trials(median: impl Fn(f64) -> f64, loads: &[f64]) -> Vec<(f64, Times, f64)> {
        let mut draw = Draw::new(7);
        let one =
            |load: &f64| (*load, Times::of(&took(median(*load), 0.6, 4_000, &mut draw), 0.5, 100.0), 10.0);
        loads.iter().map(one).collect()
    }

    fn fitted(trials: &[(f64, Times, f64)], growth: Growth) -> Option<Curve> {
        let borrowed: Vec<_> = trials.iter().map(|(load, times, time_s)| (*load, times, *time_s)).collect();
        fit(&borrowed, 0.5, growth, trials[0].0, trials[trials.len() - 1].0)
    }

    #[test]
    fn the_crossing_is_found_for_both_ways_of_growing() {
        let closed = trials(|load| 100.0 * (load / 100.0).powi(3), &[90.0, 97.0, 104.0, 110.0]);
        let curve = fitted(&closed, Growth::Closed).expect("it grows");
        assert!((curve.crosses - 100.0).abs() < 0.5 && (curve.slope - 3.0).abs() < 0.3, "{curve:?}");
        // One divided by what is left of 120.
        let open = trials(|load| 100.0 * 20.0 / (120.0 - load), &[90.0, 97.0, 104.0, 110.0]);
        let curve = fitted(&open, Growth::Open).expect("it grows");
        assert!((curve.crosses - 100.0).abs() < 0.5 && (curve.slope - 5.0).abs() < 0.3, "{curve:?}");
        assert!(curve.within.low > 95.0 && curve.within.low < curve.crosses, "{curve:?}");
        assert!(curve.within.high < 105.0 && curve.within.high > curve.crosses, "{curve:?}");
        assert!(curve.reach(60.0) < curve.reach(5.0));
    }

    #[test]
    fn trials_on_one_side_say_where_it_will_cross_but_not_far_from_there() {
        let below = trials(|load| 100.0 * (load / 100.0).powi(3), &[86.0, 90.0, 94.0]);
        let curve = fitted(&below, Growth::Closed).expect("it comes near");
        assert!((curve.crosses - 100.0).abs() < 1.5, "none of the medians is over the limit: {curve:?}");
        let far = trials(|load| 100.0 * (load / 100.0).powi(3), &[60.0, 65.0, 70.0]);
        assert_eq!(fitted(&far, Growth::Closed), None);
    }

    #[test]
    fn what_grows_more_slowly_than_the_load_has_no_line() {
        let slow = trials(|load| 100.0 * (load / 100.0).sqrt(), &[80.0, 95.0, 105.0, 125.0]);
        assert_eq!(fitted(&slow, Growth::Closed), None);
        assert_eq!(fit(&[], 0.5, Growth::Closed, 90.0, 110.0), None);
        assert_eq!(fitted(&trials(|_| 100.0, &[100.0]), Growth::Closed), None);
    }

    #[test]
    fn bursts_make_the_interval_wider() {
        let median = |load: f64| 100.0 * (load / 100.0).powi(3);
        let loads = [90.0, 97.0, 104.0, 110.0];
        let spread = fitted(&trials(median, &loads), Growth::Closed).expect("it grows");
        let mut draw = Draw::new(9);
        let sorted = loads.map(|load| {
            let mut all = took(median(load), 0.6, 4_000, &mut draw);
            // The same load times, but those of a tenth of the trial are slow together.
            for part in all.chunks_mut(400) {
                part.sort_by(f64::total_cmp);
            }
            (load, Times::of(&all, 0.5, 100.0), 10.0)
        });
        let burst = fitted(&sorted, Growth::Closed).expect("it grows");
        assert!((burst.crosses - 100.0).abs() < 1.0, "{burst:?}");
        let width = |curve: &Curve| curve.within.high - curve.within.low;
        assert!(width(&burst) > 3.0 * width(&spread), "{burst:?} {spread:?}");
    }

    #[test]
    fn load_times_without_an_end_are_counted_all_the_same() {
        let times = Times::of(&[0.0, 1e-12, 1.0, 100.0, 1e9, f64::INFINITY], 0.5, 100.0);
        assert_eq!((times.all(), times.over(0.0), times.over(3.0), times.over(99.0)), (6.0, 3.0, 2.0, 0.0));
        assert_eq!(times.over(-99.0), 6.0);
        assert_eq!(Times::of(&[], 0.5, 100.0).all(), 0.0);
    }
}
