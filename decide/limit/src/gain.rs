//! How much more is answered when more is asked at once: an estimate that grows more certain with each pair of
//! measurements. How certain, it knows from how far measurements at the same level are apart.

/// The gain at which the limit stands: a little below the knee, where the upper level is above it. Less would let requests
/// wait inside the endpoint for nothing, more would leave it idle between them.
pub const GAIN_WANTED: f64 = 0.1;
/// Pairs after which the estimate decides even when it is not certain: what is left to correct is small then.
const PAIRS_MAX: u32 = 16;
/// What [`Noise`] begins with, and the share of each new measurement in it.
const NOISE_FIRST: f64 = 2.0;
const NOISE_SHARE: f64 = 0.08;
/// Measurements may be alike by chance.
const NOISE_MIN: f64 = 0.4;

/// What was answered at one level.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Measured {
    pub(crate) answers: f64,
    pub(crate) seconds: f64,
}

/// The estimate.
#[derive(Clone, Debug)]
pub(crate) struct Gain {
    /// The logarithm of the upper level over the lower.
    step: f64,
    pairs: u32,
    lower: Measured,
    upper: Measured,
}

/// How far two measurements at the same level are apart, against counts whose variance is their mean: much where few slow
/// requests come among many fast ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Noise {
    dispersion: f64,
    seen: u32,
}

/// What it says.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Estimate {
    /// The gain: 0 when more at once brings nothing, 1 when it brings as much more.
    pub(crate) gain: f64,
    /// Its standard error.
    pub(crate) error: f64,
    /// So many pairs were measured that it decides as it is.
    pub(crate) is_last: bool,
    /// One pair alone may be a pause at one of the two levels.
    is_first: bool,
}

impl Measured {
    fn rate(self) -> f64 {
        // Half an answer: nothing at all must not become a logarithm without end.
        (self.answers + 0.5) / self.seconds
    }

    /// One over the variance of the logarithm of two rates, of counts whose variance is their mean.
    fn weight_beside(self, other: Self) -> f64 {
        let rate = self.with(other).rate();
        let (n, m) = (rate * self.seconds, rate * other.seconds);
        n * m / (n + m)
    }

    pub(crate) fn with(self, other: Self) -> Self {
        Self { answers: self.answers + other.answers, seconds: self.seconds + other.seconds }
    }
}

impl Gain {
    /// Nothing measured yet between these levels.
    pub(crate) fn between(lower: u32, upper: u32) -> Self {
        let step = (f64::from(upper) / f64::from(lower)).ln();
        let nothing = Measured { answers: 0.0, seconds: 0.0 };
        Self { step, pairs: 0, lower: nothing, upper: nothing }
    }

    /// Takes one pair: measured close to each other, so that what changes with time is on both sides.
    pub(crate) fn add(&mut self, lower: Measured, upper: Measured) {
        self.pairs += 1;
        // Sums, not a mean of ratios: that would count a measurement for less where it brought little.
        self.lower = self.lower.with(lower);
        self.upper = self.upper.with(upper);
    }

    /// What it says so far; `None` before the first pair.
    pub(crate) fn estimate(&self, noise: Noise) -> Option<Estimate> {
        let Self { lower, upper, step, .. } = *self;
        if lower.answers + upper.answers < 1.0 {
            return None;
        }
        let gain = (upper.rate() / lower.rate()).ln() / step;
        let error = (noise.dispersion.max(NOISE_MIN) / lower.weight_beside(upper)).sqrt() / step;
        Some(Estimate { gain, error, is_last: self.pairs >= PAIRS_MAX, is_first: self.pairs < 2 })
    }

    /// The logarithm of the upper level over the lower.
    pub(crate) fn step(&self) -> f64 {
        self.step
    }
}

impl Default for Noise {
    fn default() -> Self {
        Self { dispersion: NOISE_FIRST, seen: 0 }
    }
}

impl Noise {
    /// The variance of a count over its mean.
    pub(crate) fn dispersion(self) -> f64 {
        self.dispersion
    }

    /// Takes two measurements at the same level, one after the other.
    pub(crate) fn add(&mut self, one: Measured, other: Measured) {
        let ratio = (one.rate() / other.rate()).ln();
        let apart = ratio * ratio * one.weight_beside(other);
        // A pause is one measurement, whatever it did.
        let apart = apart.min(20.0 * self.dispersion);
        self.seen = self.seen.saturating_add(1);
        // The first ones count as much as what it began with.
        let share = NOISE_SHARE.max(1.0 / f64::from(self.seen + 2));
        self.dispersion += (apart - self.dispersion) * share;
    }
}

impl Estimate {
    /// More at once brings clearly more.
    pub(crate) fn is_high(self) -> bool {
        !self.is_first && self.gain - 2.0 * self.error > 3.0 * GAIN_WANTED
    }

    /// More at once brings little, as far as this share of its error says.
    pub(crate) fn is_low(self, errors: f64) -> bool {
        self.gain + errors * self.error < 1.5 * GAIN_WANTED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn measured(answers: f64) -> Measured {
        Measured { answers, seconds: 1.0 }
    }

    #[test]
    fn it_is_the_share_of_what_was_added_that_was_answered_more() {
        let gain = |lower, upper| {
            let mut gain = Gain::between(3, 4);
            gain.add(measured(lower), measured(upper));
            gain.estimate(Noise::default()).unwrap().gain
        };
        assert!((gain(3_000.0, 4_000.0) - 1.0).abs() < 0.01);
        assert!(gain(3_000.0, 3_000.0).abs() < 0.01);
        assert!(gain(3_000.0, 2_000.0) < -1.0, "it breaks under more");
        assert_eq!(Gain::between(3, 4).estimate(Noise::default()), None);
    }

    #[test]
    fn many_answers_make_it_certain() {
        let mut gain = Gain::between(3, 4);
        gain.add(measured(30.0), measured(40.0));
        assert!(!gain.estimate(Noise::default()).unwrap().is_high(), "few answers say little");
        let mut gain = Gain::between(3, 4);
        (0..20).for_each(|_| gain.add(measured(600.0), measured(800.0)));
        let certain = gain.estimate(Noise::default()).unwrap();
        assert!(certain.is_high() && (certain.gain - 1.0).abs() < 0.05, "{certain:?}");
    }

    #[test]
    fn measurements_that_differ_at_the_same_level_make_it_less_certain() {
        let (mut even, mut odd) = (Noise::default(), Noise::default());
        (0..20).for_each(|_| even.add(measured(300.0), measured(310.0)));
        (0..20).for_each(|_| odd.add(measured(300.0), measured(450.0)));
        let mut gain = Gain::between(3, 4);
        (0..2).for_each(|_| gain.add(measured(300.0), measured(400.0)));
        assert!(gain.estimate(even).unwrap().is_high() && !gain.estimate(odd).unwrap().is_high());
    }

    #[test]
    fn nothing_answered_says_nothing() {
        let mut gain = Gain::between(1, 2);
        gain.add(measured(0.0), measured(0.0));
        assert_eq!(gain.estimate(Noise::default()), None);
    }
}
