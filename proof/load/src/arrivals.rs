//! When journeys begin in the open model: at moments that follow from the rate alone, never from how the server
//! does. Pure; sleeps nowhere.

use serde::{Deserialize, Serialize};
use std::time::Duration;
use tentpole_runtime::Random;

/// How arrivals lie in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spacing {
    /// As visitors come who know nothing of one another: a Poisson process.
    Poisson,
    /// At equal distances.
    Constant,
}

/// How the time to think is distributed around its mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Pause {
    /// Half to one and a half of the mean, all alike.
    #[default]
    Around,
    /// Always the mean.
    Fixed,
    /// From nothing to twice the mean, all alike.
    Uniform,
    /// Exponential: as long as the next thing that somebody decides on without a memory.
    Exponential,
    /// Log-normal with this standard deviation of the logarithm: most are short, a few are long, as times at a page are
    /// (Liu, White, Dumais, "Understanding web browsing behaviors through Weibull analysis of dwell time", SIGIR 2010,
    /// finds such heavy tails).
    LogNormal(f64),
}

impl Pause {
    /// Longest pause, as a multiple of the mean: one endless visitor says nothing.
    const TIMES_MAX: f64 = 20.0;

    /// One of them, as a multiple of the mean.
    pub fn draw(self, random: &mut Random) -> f64 {
        let factor = match self {
            Self::Around => 0.5 + unit(random),
            Self::Fixed => 1.0,
            Self::Uniform => 2.0 * unit(random),
            Self::Exponential => -(1.0 - unit(random)).ln(),
            // The mean of exp(sigma·Z + mu) is exp(mu + sigma²/2): mu makes it 1.
            Self::LogNormal(sigma) => (sigma * normal(random) - sigma * sigma / 2.0).exp(),
        };
        factor.min(Self::TIMES_MAX)
    }

    /// Reads `fixed`, `uniform`, `exponential`, `around`, `lognormal` or `lognormal:0.8`.
    ///
    /// # Errors
    /// What to write instead.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text {
            "around" => Ok(Self::Around),
            "fixed" => Ok(Self::Fixed),
            "uniform" => Ok(Self::Uniform),
            "exponential" => Ok(Self::Exponential),
            "lognormal" => Ok(Self::LogNormal(1.0)),
            _ => text
                .strip_prefix("lognormal:")
                .and_then(|sigma| sigma.parse().ok())
                .filter(|sigma| (0.0..=2.0).contains(sigma))
                .map(Self::LogNormal)
                .ok_or_else(|| {
                    format!(
                        "\"{text}\" is no distribution; write around, fixed, uniform, exponential, lognormal or \
                         lognormal:0.8 (0 to 2)."
                    )
                }),
        }
    }
}

/// A number of the standard normal distribution (Box and Muller 1958).
pub(crate) fn normal(random: &mut Random) -> f64 {
    let radius = (-2.0 * (1.0 - unit(random)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(random)).cos()
}

/// What comes after some thirty years never comes; no run is as long.
const NEVER_S: f64 = 1e9;

/// One thread's part of the arrivals: the moments at which the number of arrivals that the rate stands for passes
/// the next mark. The rate runs in a straight line from one value to another and then stays.
#[derive(Clone, Debug)]
pub struct Arrivals {
    from: f64,
    to: f64,
    ramp_s: f64,
    /// Beyond the rate at the end: arrivals a second at first, and their half-life in seconds.
    burst: (f64, f64),
    spacing: Spacing,
    random: Random,
    /// Arrivals up to the last one.
    mark: f64,
}

impl Arrivals {
    /// Arrivals from now on: the rates (a second) of this thread alone, and its place among the threads as a share
    /// of one distance (0 to 1), so that threads do not begin together.
    pub fn new(rate: (f64, f64), ramp: Duration, spacing: Spacing, place: f64, random: Random) -> Self {
        let mark = if spacing == Spacing::Constant { place - 1.0 } else { 0.0 };
        Self {
            from: rate.0,
            to: rate.1,
            ramp_s: ramp.as_secs_f64(),
            burst: (0.0, 1.0),
            spacing,
            random,
            mark,
        }
    }

    /// The same, where the rate begins higher by so many a second and falls to what it is, by half of what is left in each
    /// half-life: the crowd that comes when something is announced, and thins out.
    #[must_use]
    pub fn with_burst(self, above: f64, half_life: Duration) -> Self {
        Self { burst: (above.max(0.0), half_life.as_secs_f64().max(1e-3)), ..self }
    }

    /// How many have arrived at a moment after the ramp, of a burst alone: the integral of above·2^(−t/half-life).
    fn of_burst(&self, at_s: f64) -> f64 {
        let (above, half_life) = self.burst;
        let tau = half_life / std::f64::consts::LN_2;
        above * tau * (1.0 - (-(at_s - self.ramp_s).max(0.0) / tau).exp())
    }

    /// When so many have arrived: the inverse of the rate's integral. With a burst there is no formula for it; the integral
    /// rises, so that halving finds the place.
    fn when(&self, count: f64) -> Option<f64> {
        if self.burst.0 <= 0.0 {
            return self.when_without(count);
        }
        // Without the burst they would have come later, if ever.
        let at_last = self.when_without(count);
        let latest = at_last.unwrap_or(NEVER_S).min(NEVER_S);
        let so_far = |at_s: f64| self.without(at_s) + self.of_burst(at_s);
        if at_last.is_none() && so_far(latest) < count {
            return None;
        }
        let (mut low, mut high) = (0.0, latest);
        // 80 halvings of 10⁹ s are far below a nanosecond.
        for _ in 0..80 {
            let middle = f64::midpoint(low, high);
            if so_far(middle) < count { low = middle } else { high = middle }
        }
        Some(high)
    }

    /// How many have arrived at a moment, without the burst.
    fn without(&self, at_s: f64) -> f64 {
        let ramp = at_s.min(self.ramp_s);
        let slope = if self.ramp_s > 0.0 { (self.to - self.from) / self.ramp_s } else { 0.0 };
        self.from * ramp + slope / 2.0 * ramp * ramp + self.to * (at_s - self.ramp_s).max(0.0)
    }

    fn when_without(&self, count: f64) -> Option<f64> {
        let in_ramp = f64::midpoint(self.from, self.to) * self.ramp_s;
        if count > in_ramp || self.ramp_s == 0.0 {
            return (self.to > 0.0).then(|| self.ramp_s + (count - in_ramp) / self.to);
        }
        // from·t + slope/2·t² = count, solved so that a slope near 0 divides by nothing small.
        let slope = (self.to - self.from) / self.ramp_s;
        let root = (self.from * self.from + 2.0 * slope * count).max(0.0).sqrt();
        let below = self.from + root;
        Some(if below > 0.0 { 2.0 * count / below } else { 0.0 })
    }
}

impl Iterator for Arrivals {
    type Item = Duration;

    /// When the next one comes, from the beginning; `None` when the rate has become 0.
    fn next(&mut self) -> Option<Duration> {
        self.mark += match self.spacing {
            Spacing::Constant => 1.0,
            // The distances of a Poisson process of rate 1; the rate stretches them below (time change).
            Spacing::Poisson => -(1.0 - unit(&mut self.random)).ln(),
        };
        self.when(self.mark).filter(|at| *at < NEVER_S).map(Duration::from_secs_f64)
    }
}

/// A number from 0 up to, but not including, 1.
pub fn unit(random: &mut Random) -> f64 {
    (random.next_u64() >> 11) as f64 / (1_u64 << 53) as f64
}

/// A number of 0 to `count` − 1.
///
/// # Panics
/// When `count` is 0.
pub fn below(random: &mut Random, count: usize) -> usize {
    assert!(count > 0, "there is nothing to choose from");
    // 128 bits: no bias that 2⁶⁴ draws would show.
    ((u128::from(random.next_u64()) * count as u128) >> 64) as usize
}

/// The seed of one virtual user or thread, so that neighbours draw unlike numbers.
pub fn seed_of(seed: u64, number: u64) -> u64 {
    Random::from_seed(seed ^ number.wrapping_mul(0xA076_1D64_78BD_642F)).next_u64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn constant(rate: (f64, f64), ramp_s: f64, place: f64) -> Arrivals {
        let random = Random::from_seed(1);
        Arrivals::new(rate, Duration::from_secs_f64(ramp_s), Spacing::Constant, place, random)
    }

    fn within(arrivals: &mut Arrivals, seconds: f64) -> usize {
        arrivals.by_ref().take_while(|at| at.as_secs_f64() < seconds).count()
    }

    #[test]
    fn a_constant_rate_arrives_at_equal_distances() {
        let mut arrivals = constant((50.0, 50.0), 0.0, 0.5);
        let at: Vec<_> = arrivals.by_ref().take(3).map(|at| at.as_micros()).collect();
        assert_eq!(at, [10_000, 30_000, 50_000]);
    }

    #[test]
    fn a_ramp_arrives_as_often_as_the_area_under_it() {
        // 2 s from 0 to 100 a second are 100 arrivals, then 100 each second.
        assert_eq!(within(&mut constant((0.0, 100.0), 2.0, 0.5), 2.0), 100);
        assert_eq!(within(&mut constant((0.0, 100.0), 2.0, 0.5), 5.0), 400);
        assert_eq!(within(&mut constant((100.0, 0.0), 2.0, 0.5), 60.0), 100, "and ends with a rate of 0");
    }

    #[test]
    fn a_burst_thins_out_by_half_in_each_half_life() {
        // 1,000 a second more at first, half of it after 2 s: 1,000·2/ln 2 = 2,885 in all, half of them in the first 2 s.
        let burst = |rate: f64| constant((rate, rate), 0.0, 0.5).with_burst(1_000.0, Duration::from_secs(2));
        let in_first = within(&mut burst(0.0), 2.0);
        assert!((1_441..=1_444).contains(&in_first), "{in_first}");
        let in_all = within(&mut burst(0.0), 300.0);
        assert!((2_884..=2_886).contains(&in_all), "{in_all}");
        let above_a_rate = within(&mut burst(100.0), 20.0);
        assert!((4_881..=4_885).contains(&above_a_rate), "{above_a_rate}");
        let after_a_ramp = constant((0.0, 100.0), 2.0, 0.5).with_burst(1_000.0, Duration::from_secs(2));
        assert_eq!(within(&mut after_a_ramp.clone(), 2.0), 100, "it begins where the ramp ends");
    }

    #[test]
    fn pauses_have_their_mean_and_their_spread() {
        for (pause, spread) in [
            (Pause::Around, 1.0 / 12.0),
            (Pause::Fixed, 0.0),
            (Pause::Uniform, 1.0 / 3.0),
            (Pause::Exponential, 1.0),
            (Pause::LogNormal(0.5), 0.25_f64.exp() - 1.0),
        ] {
            let mut random = Random::from_seed(7);
            let drawn: Vec<f64> = (0..50_000).map(|_| pause.draw(&mut random)).collect();
            let mean = drawn.iter().sum::<f64>() / 50_000.0;
            let variance = drawn.iter().map(|one| (one - mean).powi(2)).sum::<f64>() / 49_999.0;
            assert!((mean - 1.0).abs() < 0.02, "{pause:?}: {mean}");
            assert!((variance - spread).abs() < 0.04, "{pause:?}: {variance}");
        }
        assert_eq!(Pause::parse("lognormal:0.8"), Ok(Pause::LogNormal(0.8)));
        assert!(Pause::parse("lognormal:9").is_err() && Pause::parse("normal").is_err());
    }

    #[test]
    fn a_rate_of_next_to_nothing_is_a_rate_of_nothing() {
        for rate in [1e-12, 1e-300, f64::MIN_POSITIVE] {
            assert_eq!(constant((0.0, rate), 2.0, 0.5).next(), None, "{rate}");
        }
    }

    #[test]
    fn poisson_arrivals_have_the_rate_as_mean_and_as_variance() {
        let random = Random::from_seed(42);
        let mut arrivals = Arrivals::new((100.0, 100.0), Duration::ZERO, Spacing::Poisson, 0.0, random);
        let mut each_second = [0_u32; 400];
        while let Some(count) = arrivals.next().and_then(|at| each_second.get_mut(at.as_secs() as usize)) {
            *count += 1;
        }
        let mean = f64::from(each_second.iter().sum::<u32>()) / 400.0;
        let variance = each_second.iter().map(|n| (f64::from(*n) - mean).powi(2)).sum::<f64>() / 399.0;
        assert!((mean - 100.0).abs() < 2.0, "{mean}");
        assert!((variance - 100.0).abs() < 25.0, "{variance}");
    }

    #[test]
    fn neighbours_and_other_seeds_draw_other_numbers_and_the_same_one_the_same() {
        assert_eq!(seed_of(1, 7), seed_of(1, 7));
        let mut all: Vec<u64> = (0..10).flat_map(|seed| (0..100).map(move |n| seed_of(seed, n))).collect();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), 1_000);
    }

    proptest! {
        #[test]
        fn arrivals_never_go_back_in_time(
            from in 0.0..500.0, to in 0.1..500.0, ramp in 0.0..5.0, seed: u64, poisson: bool
        ) {
            let spacing = if poisson { Spacing::Poisson } else { Spacing::Constant };
            let ramp = Duration::from_secs_f64(ramp);
            let mut arrivals = Arrivals::new((from, to), ramp, spacing, 0.5, Random::from_seed(seed));
            let mut last = Duration::ZERO;
            for _ in 0..200 {
                let next = arrivals.next().expect("the rate does not end at 0");
                prop_assert!(next >= last);
                last = next;
            }
        }

        #[test]
        fn a_choice_lies_within_what_there_is(seed: u64, count in 1_usize..1_000) {
            let mut random = Random::from_seed(seed);
            prop_assert!(below(&mut random, count) < count);
            prop_assert!((0.0..1.0).contains(&unit(&mut random)));
        }
    }
}
