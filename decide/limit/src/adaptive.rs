//! The limit: two levels, which of them is in force, and where they move next.

use crate::gain::{Estimate, GAIN_WANTED, Gain, Measured, Noise};
use crate::measure::{Measuring, Next};
use std::time::Duration;
use tentpole_model::{AdaptiveLimit, LimitWhy};

/// In one step down at most, as the factor that is left; and once several in a row have cost nothing.
const DOWN_MOST: f64 = 0.8;
const DOWN_MOST_LATER: f64 = 0.65;
/// Answers that are late or 503 before they count at all, and their share, in percent, from which they do.
const OVERLOADED_MIN: u64 = 5;
const OVERLOADED_PERCENT: u64 = 10;
/// Over which time they are counted; after each cut as long again.
const OVERLOADED_OVER: Duration = Duration::from_secs(1);
/// Steps down in a row after which the knee is far below.
const STEPS_FAR: i32 = -3;
/// Of the error of an estimate, what counts while it is searched.
const LESS_CERTAIN: f64 = 0.3;
/// Up to here single requests more are large steps: a level that turned out too low is not tried again soon.
const SMALL_MAX: u32 = 8;
/// For how long, at first and at most.
const NOT_AGAIN_FIRST: Duration = Duration::from_secs(10);
const NOT_AGAIN_MOST: Duration = Duration::from_secs(300);
/// Requests in flight, looked at again and again, that make a mean of them good to a sixth.
const UNLOADED_SAMPLES: u64 = 40;
/// Answers that go with it, at least.
const UNLOADED_ANSWERS: u64 = 20;
/// Latency at this many times that of an endpoint with less to do: it works through a queue inside.
const INSIDE_TIMES: f64 = 2.0;

/// What is seen of an endpoint at one moment. Totals only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Requests in flight there.
    pub in_flight: u32,
    /// Requests that wait for it, or for any of its pool.
    pub waiting: u32,
    /// Answers that visitors could use, since it began.
    pub good: u64,
    /// Time-outs and answers with 503, since it began.
    pub overloaded: u64,
}

/// A limit that follows what its endpoint carries.
#[derive(Clone, Debug)]
pub struct Adaptive {
    bounds: AdaptiveLimit,
    /// The lower level, before it is rounded.
    base: f64,
    /// Which level is measured, while requests wait.
    at: At,
    /// Measurements so far.
    measured: u32,
    gain: Gain,
    noise: Noise,
    /// The last measurement at the upper level.
    upper: Option<Measured>,
    /// And at the lower one, until the next at the upper makes a pair of it.
    lower: Option<Measured>,
    /// What an answer took at the last measurement.
    latency: Duration,
    /// Steps in the same direction, downwards below 0.
    run: i32,
    /// The knee has not been met yet, or is far below: a step down need be less certain.
    is_searching: bool,
    not_again: NotAgain,
    unloaded: Unloaded,
    overload: Overload,
    why: LimitWhy,
    finding: Option<Finding>,
}

/// What measurements said last.
#[derive(Clone, Copy, Debug)]
struct Finding {
    /// The upper level.
    limit: u32,
    /// Time-outs and 503 take it down to this: an endpoint that was broken says nothing about what it carries.
    least: u32,
    /// Nobody was told of it yet.
    is_news: bool,
}

#[derive(Clone, Copy, Debug)]
enum At {
    /// Nobody waits: nothing can be learned.
    Rest,
    Upper(Measuring),
    Lower(Measuring),
}

/// A level that was too low.
#[derive(Clone, Copy, Debug, Default)]
struct NotAgain {
    below: u32,
    until: Duration,
    time: Duration,
}

/// How fast it was with less to do than its limit allows: only says how far a step down may go, never whether.
#[derive(Clone, Copy, Debug, Default)]
struct Unloaded {
    since: Duration,
    good_before: u64,
    looks: u64,
    in_flight: u64,
    /// In flight on average, and seconds for an answer then.
    known: Option<(f64, f64)>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Overload {
    since: Duration,
    before: Seen,
    used: bool,
}

impl Seen {
    /// It has as many as it may have, and more wait.
    pub(crate) fn is_full(&self, level: u32) -> bool {
        let near = u64::from(self.in_flight) * 10 >= u64::from(level) * 8;
        near && (self.waiting > 0 || self.in_flight >= level)
    }
}

impl Adaptive {
    /// To begin with.
    pub fn new(bounds: AdaptiveLimit) -> Self {
        let min = bounds.min.max(1);
        let max = bounds.max.max(min);
        let bounds = AdaptiveLimit { min, max, start: bounds.start.clamp(min, max), ..bounds };
        let mut new = Self {
            bounds,
            base: f64::from(lower_of(bounds.start)),
            at: At::Rest,
            gain: Gain::between(1, 2),
            measured: 0,
            noise: Noise::default(),
            upper: None,
            lower: None,
            latency: Duration::ZERO,
            run: 0,
            is_searching: true,
            not_again: NotAgain::default(),
            unloaded: Unloaded::default(),
            overload: Overload::default(),
            why: LimitWhy::Start,
            finding: None,
        };
        new.anew();
        new
    }

    /// To begin with what was found at this very endpoint before.
    pub fn found_before(bounds: AdaptiveLimit, limit: u32) -> Self {
        let mut new = Self::new(AdaptiveLimit { start: limit, ..bounds });
        new.bounds.start = Self::new(bounds).bounds.start;
        new.finding = Some(Finding { is_news: false, ..Finding::of(limit) });
        new
    }

    /// What was found under load, here or before: the upper level as measurements left it. `None` while there was no measurement
    /// that moved it.
    pub fn found(&self) -> Option<u32> {
        self.finding.map(|finding| finding.limit)
    }

    /// The same, once after each time that it was found.
    pub fn found_anew(&mut self) -> Option<u32> {
        let finding = self.finding.as_mut().filter(|finding| finding.is_news)?;
        finding.is_news = false;
        Some(finding.limit)
    }

    /// It has not moved since it began, and nothing was found at its endpoint.
    pub fn is_at_start(&self) -> bool {
        self.why == LimitWhy::Start && self.finding.is_none() && matches!(self.at, At::Rest)
    }

    /// Begins with another limit, because more is known of its pool by now; not where it has found something itself or is
    /// measured just now.
    pub fn goes_along(&mut self, start: u32) {
        if self.is_at_start() {
            self.base = Self::new(AdaptiveLimit { start, ..self.bounds }).base;
            self.anew();
        }
    }

    /// Requests that it may have in flight now.
    pub fn limit(&self) -> u32 {
        match self.at {
            At::Lower(_) => self.lower_level(),
            At::Rest | At::Upper(_) => self.upper_level(),
        }
    }

    /// The upper level: what it may have when nothing is measured, for people.
    pub fn upper_level(&self) -> u32 {
        let lower = self.lower_level();
        (lower + ((lower + 1) / 3).max(1)).min(self.bounds.max)
    }

    /// Why it was moved last.
    pub fn why(&self) -> LimitWhy {
        self.why
    }

    /// From now on it stays within these; what was found is kept where it can be.
    pub fn stay_within(&mut self, bounds: AdaptiveLimit) {
        let Self { bounds: within, base, why, .. } = Self::new(bounds);
        if within == self.bounds {
            return;
        }
        self.bounds = within;
        if self.why == LimitWhy::Start && self.finding.is_none() {
            self.base = base;
        }
        (self.at, self.why) = (At::Rest, if self.why == LimitWhy::Start { why } else { self.why });
        self.anew();
    }

    fn lower_level(&self) -> u32 {
        // Room for the upper one, where there is any.
        let most = (self.bounds.max * 3 / 4).max(self.bounds.min);
        (self.base.round() as u32).clamp(self.bounds.min, most)
    }

    /// Takes what is seen at `now`, a time that only grows; to be called several times a second. [`Adaptive::limit`] holds
    /// from here on.
    pub fn look(&mut self, now: Duration, seen: Seen) {
        if self.lower_level() == self.upper_level() {
            return;
        }
        if self.is_overloaded(now, &seen) {
            let lower = self.lower_level();
            self.base = (f64::from(lower) * DOWN_MOST).min(f64::from(lower) - 1.0);
            self.moved(LimitWhy::Overloaded);
            self.run = 0;
            self.rest(now, &seen);
            return;
        }
        // What is rare and slow holds places for longer than a mean says: by the inspection paradox, (1 + cv²) times as long.
        let latency = self.latency.mul_f64(self.noise.dispersion().clamp(1.0, 10.0));
        let level = self.limit();
        match &mut self.at {
            At::Rest if seen.is_full(level) => self.at = At::Upper(self.next(now)),
            At::Rest => self.unloaded.look(now, &seen),
            At::Upper(measuring) => match measuring.look(now, level, latency, 2, &seen) {
                Next::Goes => {}
                Next::Off => self.rest(now, &seen),
                Next::Done(upper) => {
                    self.took(level, upper);
                    if let (Some(before), Some(lower)) = (self.upper, self.lower.take()) {
                        self.noise.add(before, upper);
                        self.gain.add(lower, before.with(upper));
                        self.decide(now, lower);
                    }
                    self.upper = Some(upper);
                    self.at = At::Lower(self.next(now));
                }
            },
            At::Lower(measuring) => match measuring.look(now, level, latency, 1, &seen) {
                Next::Goes => {}
                Next::Off => self.rest(now, &seen),
                Next::Done(lower) => {
                    self.took(level, lower);
                    self.lower = Some(lower);
                    self.at = At::Upper(self.next(now));
                }
            },
        }
    }

    fn next(&mut self, now: Duration) -> Measuring {
        self.measured = self.measured.wrapping_add(1);
        Measuring::at(now, self.measured)
    }

    /// By Little's law: while a level is held, so many are in flight.
    fn took(&mut self, level: u32, measured: Measured) {
        let seconds = f64::from(level) * measured.seconds / measured.answers.max(0.5);
        self.latency = Duration::from_secs_f64(seconds.min(600.0));
    }

    fn decide(&mut self, now: Duration, last_lower: Measured) {
        let Some(estimate) = self.gain.estimate(self.noise) else { return };
        let lower = self.lower_level();
        let takes = f64::from(lower) * last_lower.seconds / last_lower.answers.max(0.5);
        let inside = self.unloaded.known.map_or(1.0, |(_, seconds)| takes / seconds);
        let far_above = inside >= INSIDE_TIMES && estimate.gain + estimate.error < 0.5;
        if estimate.is_high() {
            self.up(now, estimate);
        } else if estimate.is_low(if self.is_searching { LESS_CERTAIN } else { 1.0 }) || far_above {
            self.down(now, estimate, if far_above { inside } else { 1.0 });
        } else if estimate.is_last && estimate.gain < GAIN_WANTED && self.is_searching {
            self.down(now, estimate, 1.0);
        } else if estimate.is_last {
            // Near enough: what is left is corrected a little.
            self.base *= (self.gain.step() * (estimate.gain - GAIN_WANTED)).exp();
            self.run = 0;
            let is_more = estimate.gain > GAIN_WANTED;
            self.moved(if is_more { LimitWhy::CarriesMore } else { LimitWhy::WaitsInside });
        }
    }

    fn up(&mut self, now: Duration, estimate: Estimate) {
        let lower = self.lower_level();
        if self.run < 0 && lower < SMALL_MAX && estimate.gain - 3.0 * estimate.error > GAIN_WANTED {
            let time = (self.not_again.time * 2).clamp(NOT_AGAIN_FIRST, NOT_AGAIN_MOST);
            self.not_again = NotAgain { below: lower + 1, until: now + time, time };
        }
        self.is_searching = self.is_searching && self.run >= 0;
        self.run = self.run.max(0) + 1;
        // Where all of it was carried, the knee is further away each time.
        let further = if estimate.gain > 0.7 { 1.25f64.powi((self.run - 1).min(2)) } else { 1.0 };
        let to_knee = (self.gain.step() * (estimate.gain.min(1.0) - GAIN_WANTED)).exp();
        self.base = f64::from(lower) * to_knee * further;
        self.moved(LimitWhy::CarriesMore);
    }

    fn down(&mut self, now: Duration, estimate: Estimate, inside: f64) {
        if self.lower_level() < self.not_again.below {
            // It can do with less after all.
            self.not_again = NotAgain::default();
        }
        let lower = f64::from(self.lower_level());
        self.is_searching = self.run < STEPS_FAR || self.is_searching && self.run <= 0;
        self.run = self.run.min(0) - 1;
        let steps = f64::from(1 << (-self.run - 1).min(4));
        let below = (1.5 * GAIN_WANTED - estimate.gain).clamp(GAIN_WANTED / 2.0, 1.5 * GAIN_WANTED);
        let most = if self.run < -4 { DOWN_MOST_LATER } else { DOWN_MOST };
        let factor = (self.gain.step() * -below * steps).exp().max(most);
        // What the queue inside leaves of it; the estimate of the unloaded endpoint may be off by a quarter.
        let factor = if inside > 1.0 { factor.min((1.25 / inside).max(0.5)) } else { factor };
        self.base *= factor;
        if inside <= 1.0 && now < self.not_again.until && self.base.round() < f64::from(self.not_again.below)
        {
            self.base = f64::from(self.not_again.below).min(lower);
        }
        self.moved(LimitWhy::WaitsInside);
    }

    /// The base was set: from here on other levels are measured.
    fn moved(&mut self, why: LimitWhy) {
        let most = f64::from(self.bounds.max) * 0.75;
        self.base = self.base.clamp(f64::from(self.bounds.min), most.max(f64::from(self.bounds.min)));
        self.why = why;
        let upper = self.upper_level();
        match &mut self.finding {
            Some(finding) if why == LimitWhy::Overloaded => {
                let limit = finding.limit.min(upper.max(finding.least));
                (finding.is_news, finding.limit) = (finding.is_news || limit < finding.limit, limit);
            }
            None if why == LimitWhy::Overloaded => {}
            finding => *finding = Some(Finding::of(upper)),
        }
        self.anew();
    }

    fn anew(&mut self) {
        self.gain = Gain::between(self.lower_level(), self.upper_level().max(self.lower_level() + 1));
        (self.upper, self.lower) = (None, None);
    }

    fn rest(&mut self, now: Duration, seen: &Seen) {
        self.at = At::Rest;
        (self.upper, self.lower) = (None, None);
        self.unloaded.begin(now, seen);
    }

    /// Many answers were late or 503, while it had much to do.
    fn is_overloaded(&mut self, now: Duration, seen: &Seen) -> bool {
        let Overload { since, before, used } = &mut self.overload;
        *used |= seen.in_flight * 2 >= self.base as u32;
        if now.saturating_sub(*since) < OVERLOADED_OVER.max(self.latency * 2) {
            return false;
        }
        let overloaded = seen.overloaded.saturating_sub(before.overloaded);
        let all = overloaded + seen.good.saturating_sub(before.good);
        let is = *used && overloaded >= OVERLOADED_MIN && overloaded * 100 >= all * OVERLOADED_PERCENT;
        (*since, *before, *used) = (now, *seen, false);
        is
    }
}

impl Finding {
    fn of(limit: u32) -> Self {
        Self { limit, least: limit.div_ceil(2), is_news: true }
    }
}

/// The lower level to this upper one, or to the next below that has one.
fn lower_of(upper: u32) -> u32 {
    let lower = upper * 3 / 4;
    let is_higher = |lower: u32| lower + ((lower + 1) / 3).max(1) <= upper;
    if is_higher(lower + 1) { lower + 1 } else { lower }
}

impl Unloaded {
    fn begin(&mut self, now: Duration, seen: &Seen) {
        *self = Self { since: now, good_before: seen.good, looks: 0, in_flight: 0, known: self.known };
    }

    fn look(&mut self, now: Duration, seen: &Seen) {
        self.looks += 1;
        self.in_flight += u64::from(seen.in_flight);
        let answers = seen.good.saturating_sub(self.good_before);
        if self.in_flight < UNLOADED_SAMPLES || answers < UNLOADED_ANSWERS {
            return;
        }
        let in_flight = self.in_flight as f64 / self.looks as f64;
        let seconds = in_flight * now.saturating_sub(self.since).as_secs_f64() / answers as f64;
        // Slower is believed only of one that had no more to do.
        self.known = match self.known {
            Some((known, fastest)) if seconds > fastest && in_flight > known * 1.1 => Some((known, fastest)),
            _ => Some((in_flight, seconds)),
        };
        self.begin(now, seen);
    }
}
