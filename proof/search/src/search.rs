//! Which load is tried next. Doubles with short trials until it breaks, halves the gap with short trials, then confirms with full
//! ones on both sides of the place that the curve points at. A trial that decides nothing is followed by a longer one, or by
//! one farther from the place: what ends a search is what is known, and only in the last resort the time for it. Performs no trial.

use crate::answer::{Answer, Drift, GoalAnswer, Level, Why, between};
use crate::confidence::Interval;
use crate::curve::{self, Curve};
use crate::tail::{self, Growth, Times};
use crate::trial::{Evidence, Goal, Trial, Verdict};

/// Trials of one search at most.
pub const TRIALS_MAX: usize = 200;
/// The chance of a wrong verdict where the truth lies at the limit, for a trial that only says where to go on.
const ROUGHLY: f64 = 0.1;
/// For those that the answer rests on. Each end of the interval is reached in a few looks, and both together must be right 19
/// times of 20.
const SURELY: f64 = 0.006;
/// For those that overrule the curve.
const NO_DOUBT: f64 = 0.0005;
/// What is alike for seconds is not seen in seconds: nothing is sure before a trial as long as this part of a full one.
const FULL: f64 = 0.9;
/// So many of them at one load at most where there is nothing else to try.
const FULL_ONES: f64 = 3.0;
/// So many independent events over a limit, at least, before an undecided load leans to breaking: one slow page is no place.
const LEANS_FROM: f64 = 3.0;
/// The gap at which the curve takes over from halving.
const NEAR: f64 = 1.3;
/// The lowest load, as a part of the first one.
const DOWN_TO: f64 = 1.0 / 64.0;
/// Loads nearer to each other than this part of them are one.
const SAME: f64 = 0.004;
/// An interval as wide as this times the wanted one counts as that: a load is a whole number, and a trial has a limit.
const WIDE: f64 = 1.02;
/// Confirming trials are no farther from the place than this, as a part of the load.
const AWAY_MAX: f64 = 0.12;

/// What is searched for, and how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// What must hold. Not empty.
    pub goals: Vec<Goal>,
    /// The first load.
    pub from: f64,
    /// The highest load that may be tried.
    pub to: f64,
    /// Whether the load is visitors, who wait for their answers and are whole numbers (a closed model), rather than a rate.
    pub closed: bool,
    /// How wide the interval may be, as a part of the load: 0.05 is 5 %.
    pub tolerance: f64,
    /// A short trial, in seconds.
    pub short_s: f64,
    /// A full one.
    pub full_s: f64,
    /// All trials together.
    pub time_s: f64,
}

/// What is done now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Next {
    /// A trial.
    Try {
        /// Its load.
        load: f64,
        /// How long, in seconds.
        time_s: f64,
        /// Why.
        step: Step,
    },
    /// There is an answer.
    Done(Why),
}

/// Why a trial is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Upwards until it breaks, or downwards until it holds.
    Double,
    /// Between the two.
    Halve,
    /// For longer near the place, so that the interval is sure.
    Confirm,
}

/// A search under way.
#[derive(Clone, Debug)]
pub struct Search {
    settings: Settings,
    tried: Vec<Tried>,
}

/// Where it seems to break.
#[derive(Clone, Copy, Debug)]
struct Place {
    crosses: f64,
    within: Interval,
    /// How far from it a full trial sees a difference.
    reach: f64,
    /// The share over the limit there.
    share: f64,
}

/// A trial without its page loads.
#[derive(Clone, Debug)]
struct Tried {
    load: f64,
    time_s: f64,
    evidence: Vec<Evidence>,
    /// For each goal that is about load times: those.
    times: Vec<Option<Times>>,
}

impl Settings {
    /// The usual division of so much time: a short trial is a sixtieth of it, a full one a tenth.
    pub fn within(goals: Vec<Goal>, from: f64, to: f64, closed: bool, time_s: f64) -> Self {
        let (short_s, full_s) = (time_s / 60.0, time_s / 10.0);
        Self { goals, from: from.min(to), to, closed, tolerance: 0.05, short_s, full_s, time_s }
    }
}

impl Search {
    /// Nothing tried yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, tried: Vec::new() }
    }

    /// Takes the result of a trial.
    pub fn tell(&mut self, trial: &Trial) {
        let evidence = self.settings.goals.iter().map(|goal| goal.evidence(trial)).collect();
        let times = self.settings.goals.iter().map(|goal| goal.times(trial)).collect();
        self.tried.push(Tried { load: trial.load, time_s: trial.time_s, evidence, times });
    }

    /// What is done now.
    pub fn next(&self) -> Next {
        let Some(last) = self.tried.last() else {
            return self.attempt(self.settings.from, self.settings.short_s, Step::Double);
        };
        let left = self.settings.time_s - self.spent_s();
        let rough = self.levels(ROUGHLY);
        let (holds, breaks) = ends(&self.leanings(&rough));
        if let (Some(low), Some(high)) = (holds, breaks)
            && let Some(place) = self.place(low, high)
            && self.is_confirmed(&place)
            && self.is_narrow(place.within.low, place.within.high)
        {
            return Next::Done(Why::Clear);
        }
        if self.tried.len() >= TRIALS_MAX || left < self.settings.short_s {
            return Next::Done(Why::TimeIsUp);
        }
        // Neither yes nor no where it matters: once more, for longer. Far below the place a tail is never clear in a short trial, and
        // need not be.
        let level = rough.iter().find(|level| level.load == last.load);
        let is_open = level.is_some_and(|level| level.verdict() == Verdict::Undecided);
        let looks = self.tried.iter().filter(|tried| tried.load == last.load).count();
        if is_open && breaks.is_some() && looks < 2 && last.time_s < self.settings.full_s {
            let step = if holds.is_some() { Step::Halve } else { Step::Double };
            return self.attempt(last.load, (last.time_s * 2.0).min(left), step);
        }
        match (holds, breaks) {
            (_, None) => self.upwards(&rough),
            (None, Some(breaks)) => self.downwards(breaks),
            (Some(low), Some(high)) => {
                let middle = self.rounded((low * high).sqrt());
                // Full trials know more than short ones, so they are not gone back from; nor is a place halved twice.
                let is_curved = self.has_full_ones() && self.place(low, high).is_some();
                if high / low > NEAR && self.is_new(middle) && !is_curved {
                    return self.attempt(middle, self.settings.short_s, Step::Halve);
                }
                if self.settings.closed && high - low <= 1.0 {
                    return self.neighbours(low, high, left);
                }
                self.confirm(low, high, left)
            }
        }
    }

    fn is_new(&self, load: f64) -> bool {
        self.tried.iter().all(|tried| tried.load != load)
    }

    fn has_full_ones(&self) -> bool {
        self.tried.iter().any(|tried| tried.time_s >= self.settings.full_s * FULL)
    }

    fn spent_s(&self) -> f64 {
        self.tried.iter().map(|tried| tried.time_s).sum()
    }

    /// Nothing broke yet.
    fn upwards(&self, rough: &[Level]) -> Next {
        let highest = rough.last().map_or(self.settings.from, |level| level.load);
        if highest < self.settings.to {
            let next = self.rounded(highest * 2.0).min(self.settings.to).max(self.step_up(highest));
            return self.attempt(next.min(self.settings.to), self.settings.short_s, Step::Double);
        }
        self.until_sure(highest, Why::Clear)
    }

    /// Nothing held yet.
    fn downwards(&self, breaks: f64) -> Next {
        let lowest = self.tried.iter().map(|tried| tried.load).fold(breaks, f64::min);
        let floor = self.settings.from * DOWN_TO;
        let next = self.rounded(lowest / 2.0).max(if self.settings.closed { 1.0 } else { 0.0 });
        if next < lowest && next >= floor {
            return self.attempt(next, self.settings.short_s, Step::Double);
        }
        self.until_sure(lowest, Why::Below)
    }

    /// At the end of what may be tried: full trials until it is sure what is so there, a few at most.
    fn until_sure(&self, load: f64, why: Why) -> Next {
        let time_s = self.time_at(load);
        let levels = self.levels(SURELY);
        let is_open = levels.iter().any(|level| level.load == load && level.verdict() == Verdict::Undecided);
        let wanted_s = self.settings.full_s * if is_open { FULL_ONES } else { FULL };
        if time_s >= wanted_s {
            return Next::Done(why);
        }
        let left = self.settings.time_s - self.spent_s();
        self.attempt(load, self.settings.full_s.min(left), Step::Confirm)
    }

    /// Between two neighbours there is no load: both get their full trials.
    fn neighbours(&self, low: f64, high: f64, left: f64) -> Next {
        let is_sure = ends(&self.levels(SURELY)) == (Some(low), Some(high));
        let (load, time_s) = [low, high]
            .map(|load| (load, self.time_at(load)))
            .into_iter()
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .unwrap_or((low, 0.0));
        match time_s >= self.settings.full_s * FULL {
            true if is_sure => Next::Done(Why::Clear),
            true if time_s >= self.settings.full_s * FULL_ONES => Next::Done(Why::NoNarrower),
            _ => self.attempt(load, self.settings.full_s.min(left), Step::Confirm),
        }
    }

    /// Full trials on both sides of the place in turn, as far from it as a trial sees a difference.
    fn confirm(&self, low: f64, high: f64, left: f64) -> Next {
        let place = self.place(low, high);
        let at = place.as_ref().map_or((low * high).sqrt(), |place| place.crosses);
        let away = place.as_ref().map_or(self.settings.tolerance, |place| place.reach);
        let away = away.clamp(self.settings.tolerance * 0.5, AWAY_MAX);
        // A line through few points may cross far from where it seems to break: what is there is tried, not what the line says.
        let at = at.clamp(low / (1.0 + AWAY_MAX), high * (1.0 + AWAY_MAX));
        let near = |load: f64| (load / at).ln().abs() < 2.0 * AWAY_MAX;
        let time = |is_low: bool| -> f64 {
            let there = self.tried.iter().filter(|tried| near(tried.load) && (tried.load < at) == is_low);
            there.map(|tried| tried.time_s).sum()
        };
        // Below the place a tail has few events, so that trials there tell less the farther they are.
        let below = away * (0.6 + 0.8 * place.as_ref().map_or(0.5, |place| place.share)).min(1.0);
        let load = if time(true) <= time(false) { at / (1.0 + below) } else { at * (1.0 + away) };
        let load = self.settle(load).clamp(f64::MIN_POSITIVE, self.settings.to);
        self.attempt(load, self.settings.full_s.min(left), Step::Confirm)
    }

    /// Where the first goal's curve crosses its limit. `None` where there is no curve yet.
    fn place(&self, low: f64, high: f64) -> Option<Place> {
        let curves = self.curves(low, high);
        let first = curves.iter().flatten().min_by(|(_, a), (_, b)| a.crosses.total_cmp(&b.crosses))?;
        // Whichever goal goes first, it goes at the lowest of their crossings; those that cross far above have no part in it.
        let lowest = |end: fn(&Curve) -> f64| {
            let near =
                curves.iter().flatten().filter(|(_, curve)| curve.crosses <= first.1.crosses * NEAR.sqrt());
            near.map(|(_, curve)| end(curve)).fold(f64::INFINITY, f64::min)
        };
        let within =
            Interval { low: lowest(|curve| curve.within.low), high: lowest(|curve| curve.within.high) };
        let reach = first.1.reach(self.settings.full_s);
        Some(Place { crosses: first.1.crosses, within, reach, share: first.0 })
    }

    /// Whether full trials stand on both sides of the place.
    fn is_confirmed(&self, place: &Place) -> bool {
        let full = |is_low: bool| {
            self.tried.iter().any(|tried| {
                (tried.load < place.crosses) == is_low
                    && (tried.load / place.crosses).ln().abs() < 2.0 * AWAY_MAX
                    && self.time_at(tried.load) >= self.settings.full_s * FULL
            })
        };
        full(true) && full(false)
    }

    /// The answer as far as it is known. `why` of [`Next::Done`], or [`Why::Stopped`].
    pub fn answer(&self, why: Why) -> Answer {
        let levels = self.levels(SURELY);
        let (surely_holds, surely_breaks) = ends(&levels);
        let leaning = ends(&self.leanings(&self.levels(ROUGHLY)));
        let (low, high) = match leaning {
            (Some(low), Some(high)) => (low, high),
            _ => (self.settings.from, self.settings.from),
        };
        let is_curved = leaning.0.is_some() && leaning.1.is_some() && self.has_full_ones();
        let place = self.place(low, high).filter(|_| is_curved);
        // What the curve says, unless trials at single loads say it more narrowly beyond all doubt (of the many loads near the place,
        // one or the other will err); where the two contradict each other, both.
        let (mut holds, mut breaks) = (surely_holds, surely_breaks);
        if let Some(place) = &place {
            let is_bounded = |end: f64| (end.is_finite() && end > 0.0).then_some(end);
            let curved = (is_bounded(place.within.low), is_bounded(place.within.high));
            let larger = |a: Option<f64>, b: Option<f64>| [a, b].into_iter().flatten().max_by(f64::total_cmp);
            let smaller =
                |a: Option<f64>, b: Option<f64>| [a, b].into_iter().flatten().min_by(f64::total_cmp);
            let strict = ends(&self.levels(NO_DOUBT));
            holds = curved.0.map_or(holds, |end| larger(strict.0, Some(end)));
            breaks = curved.1.map_or(breaks, |end| smaller(strict.1, Some(end)));
            if holds.zip(breaks).is_some_and(|(low, high)| low >= high) {
                holds = smaller(surely_holds, curved.0);
                breaks = larger(surely_breaks, curved.1);
            }
        }
        if self.settings.closed {
            holds = holds.map(f64::floor);
            breaks = breaks.map(f64::ceil);
        }
        let curves = self.curves(low, high);
        let goals: Vec<GoalAnswer> = (0..self.settings.goals.len())
            .map(|goal| {
                let (holds, breaks) = between(levels.iter().map(|level| (level.load, level.verdicts[goal])));
                GoalAnswer { holds, breaks, estimate: curves[goal].map(|(_, curve)| curve.crosses) }
            })
            .collect();
        // The most probable place is known before the interval has both ends.
        let between = place
            .as_ref()
            .map(|place| place.crosses.clamp(holds.unwrap_or(0.0), breaks.unwrap_or(f64::INFINITY)));
        let estimate = between.or_else(|| holds.zip(breaks).map(|(low, high)| (low * high).sqrt()));
        let (first, with_it) = leaning.1.map_or((None, Vec::new()), |breaks| self.first(&curves, breaks));
        let drift = self.drift();
        Answer { holds, breaks, estimate, first, with_it, goals, leaning, drift, time_s: self.spent_s(), why }
    }

    /// Which goal goes first: the one whose curve crosses its limit at the lowest load, and which others may be it as well.
    fn first(&self, curves: &[Option<(f64, Curve)>], breaks: f64) -> (Option<usize>, Vec<usize>) {
        let crossing = |goal: usize| curves[goal].map(|(_, curve)| curve);
        // Of two that go together the later one: where all requests fail, none is fast either.
        let lowest = (0..curves.len())
            .rev()
            .filter_map(|goal| Some((goal, crossing(goal)?)))
            .min_by(|(_, a), (_, b)| a.crosses.total_cmp(&b.crosses));
        if let Some((first, lowest)) = lowest {
            let near = |goal: &usize| {
                *goal != first && crossing(*goal).is_some_and(|curve| curve.within.low <= lowest.within.high)
            };
            return (Some(first), (0..curves.len()).filter(near).collect());
        }
        // No curve: whatever is farthest beyond its limit where it broke.
        let beyond = |goal: &usize| {
            let all = self.at(breaks);
            let share = self.settings.goals[*goal].share().max(1e-4);
            all[*goal].over / all[*goal].all.max(1.0) / share
        };
        let broken = (0..curves.len()).filter(|goal| beyond(goal) >= 1.0);
        (broken.max_by(|a, b| beyond(a).total_cmp(&beyond(b))), Vec::new())
    }

    /// Whether trials contradict each other: the same load with another outcome later, or a higher one that holds.
    fn drift(&self) -> Option<Drift> {
        let sure = |tried: &Tried| {
            let mut verdicts = self.verdicts(&tried.evidence, SURELY / 2.0);
            if tried.time_s < self.settings.full_s * FULL {
                verdicts.fill(Verdict::Undecided);
            }
            Level { load: tried.load, time_s: tried.time_s, verdicts }
        };
        let all: Vec<Level> = self.tried.iter().map(sure).collect();
        for (at, level) in all.iter().enumerate() {
            for (later, other) in all.iter().enumerate().skip(at + 1) {
                let pair = match (level.verdict(), other.verdict()) {
                    (Verdict::Passes, Verdict::Breaks) if other.load <= level.load => Some((at, later, true)),
                    (Verdict::Breaks, Verdict::Passes) if other.load >= level.load => {
                        Some((later, at, false))
                    }
                    _ => None,
                };
                if let Some((held, broke, worse)) = pair {
                    return Some(Drift { held: all[held].load, broke: all[broke].load, worse });
                }
            }
        }
        None
    }

    /// What is undecided leans to the side on which its share lies.
    fn leanings(&self, levels: &[Level]) -> Vec<Level> {
        let lean = |level: &Level| {
            let all = self.at(level.load);
            let goals = self.settings.goals.iter().zip(&all).zip(&level.verdicts);
            let verdicts = goals.map(|((goal, evidence), verdict)| match verdict {
                Verdict::Undecided if evidence.all <= 0.0 => Verdict::Undecided,
                Verdict::Undecided if evidence.over / evidence.all < goal.share() => Verdict::Passes,
                Verdict::Undecided | Verdict::Breaks if evidence.over < LEANS_FROM => Verdict::Passes,
                Verdict::Undecided => Verdict::Breaks,
                sure => *sure,
            });
            Level { load: level.load, time_s: level.time_s, verdicts: verdicts.collect() }
        };
        levels.iter().map(lean).collect()
    }

    fn is_narrow(&self, low: f64, high: f64) -> bool {
        high / low <= 1.0 + self.settings.tolerance * WIDE || (self.settings.closed && high - low <= 1.0)
    }

    fn attempt(&self, load: f64, time_s: f64, step: Step) -> Next {
        Next::Try { load: self.rounded(load), time_s, step }
    }

    /// A load that was tried already, where one is as near as makes no difference.
    fn settle(&self, load: f64) -> f64 {
        let load = self.rounded(load);
        let near =
            self.tried.iter().map(|tried| tried.load).filter(|other| (other / load - 1.0).abs() <= SAME);
        near.min_by(|a, b| (a - load).abs().total_cmp(&(b - load).abs())).unwrap_or(load)
    }

    fn rounded(&self, load: f64) -> f64 {
        if self.settings.closed {
            return load.round().max(1.0);
        }
        // Four digits: more would only pretend.
        let unit = 10_f64.powf(load.max(1e-9).log10().floor() - 3.0);
        (load / unit).round() * unit
    }

    fn step_up(&self, load: f64) -> f64 {
        if self.settings.closed { load + 1.0 } else { load * 1.01 }
    }

    fn time_at(&self, load: f64) -> f64 {
        self.tried.iter().filter(|tried| tried.load == load).map(|tried| tried.time_s).sum()
    }

    /// All trials at a load together, for each goal.
    fn at(&self, load: f64) -> Vec<Evidence> {
        let mut all = vec![Evidence::default(); self.settings.goals.len()];
        for tried in self.tried.iter().filter(|tried| tried.load == load) {
            for (sum, evidence) in all.iter_mut().zip(&tried.evidence) {
                *sum = sum.with(*evidence);
            }
        }
        all
    }

    fn points(&self, goal: usize) -> Vec<(f64, Evidence, f64)> {
        self.tried.iter().map(|tried| (tried.load, tried.evidence[goal], tried.time_s)).collect()
    }

    /// Load times of all trials, where the goal is about them.
    fn times(&self, goal: usize) -> Vec<(f64, &Times, f64)> {
        let mut all = Vec::with_capacity(self.tried.len());
        for tried in &self.tried {
            all.extend(tried.times[goal].as_ref().map(|times| (tried.load, times, tried.time_s)));
        }
        all
    }

    fn curves(&self, low: f64, high: f64) -> Vec<Option<(f64, Curve)>> {
        let growth = if self.settings.closed { Growth::Closed } else { Growth::Open };
        let of = |(goal, what): (usize, &Goal)| {
            let share = what.share();
            // A quantile's line knows more than the share over the limit; where there is none, the share has to do.
            let line = tail::fit(&self.times(goal), share, growth, low, high);
            let curve = line.or_else(|| curve::fit(&self.points(goal), share, low, high));
            curve.map(|curve| (share, curve))
        };
        self.settings.goals.iter().enumerate().map(of).collect()
    }

    fn verdicts(&self, evidence: &[Evidence], error: f64) -> Vec<Verdict> {
        self.settings
            .goals
            .iter()
            .zip(evidence)
            .map(|(goal, evidence)| goal.verdict(evidence, error))
            .collect()
    }

    /// Every load that was tried, upwards, and what is known about it.
    fn levels(&self, error: f64) -> Vec<Level> {
        let mut loads: Vec<f64> = self.tried.iter().map(|tried| tried.load).collect();
        loads.sort_by(f64::total_cmp);
        loads.dedup();
        let level = |load: f64| {
            let mut verdicts = self.verdicts(&self.at(load), error);
            let time_s = self.time_at(load);
            if error <= SURELY && time_s < self.settings.full_s * FULL {
                verdicts.fill(Verdict::Undecided);
            }
            Level { load, time_s, verdicts }
        };
        loads.into_iter().map(level).collect()
    }
}

fn ends(levels: &[Level]) -> (Option<f64>, Option<f64>) {
    between(levels.iter().map(|level| (level.load, level.verdict())))
}
