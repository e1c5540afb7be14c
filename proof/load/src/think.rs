//! How long a visitor thinks before a step: what its file says, and what is drawn from it. Pure; sleeps nowhere.

use crate::arrivals::{Pause, normal, unit};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tentpole_runtime::Random;

/// Times among which [`Think::draw_rest`] finds its place.
const ROW: usize = 16;

/// A distribution of times.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Think {
    /// This on average, in the form that the step or the run has.
    Mean(Duration),
    /// This, to the millisecond.
    Exactly(Duration),
    /// Any time between the two, each as likely as the other.
    Between(Duration, Duration),
    /// A normal distribution, cut off at 0.
    Normal {
        /// Its mean.
        mean: Duration,
        /// Its standard deviation.
        deviation: Duration,
    },
}

impl Think {
    /// One time; `form` is for a mean alone.
    pub fn draw(self, form: Pause, random: &mut Random) -> Duration {
        match self {
            Self::Mean(mean) if mean.is_zero() => Duration::ZERO,
            Self::Mean(mean) => mean.mul_f64(form.draw(random)),
            Self::Exactly(time) => time,
            Self::Between(from, to) => from + to.saturating_sub(from).mul_f64(unit(random)),
            Self::Normal { mean, deviation } => {
                let seconds = mean.as_secs_f64() + deviation.as_secs_f64() * normal(random);
                Duration::try_from_secs_f64(seconds).unwrap_or_default()
            }
        }
    }

    /// What it is on average.
    pub fn mean(self) -> Duration {
        match self {
            Self::Mean(mean) | Self::Exactly(mean) | Self::Normal { mean, .. } => mean,
            Self::Between(from, to) => (from + to) / 2,
        }
    }

    /// What is left of one at a moment that knows nothing of it: the moment lies somewhere in a row of `ROW` of them, more often in a long
    /// one than in a short one. With a row without an end, that is how far who has been there for ever is from his next step (the
    /// residual life of a renewal process: Feller, *An Introduction to Probability Theory* II, XI.4).
    pub fn draw_rest(self, form: Pause, random: &mut Random) -> Duration {
        let row: [Duration; ROW] = std::array::from_fn(|_| self.draw(form, random));
        let mut at = row.iter().sum::<Duration>().mul_f64(unit(random));
        for time in row {
            if at < time {
                return time - at;
            }
            at -= time;
        }
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_of_a_time_is_more_often_of_a_long_one() {
        let mut random = Random::from_seed(1);
        let mut left = |form: Pause| -> Vec<f64> {
            let think = Think::Mean(Duration::from_secs(1));
            (0..20_000).map(|_| think.draw_rest(form, &mut random).as_secs_f64()).collect()
        };
        // Its mean is half the times' mean square by their mean, and its distribution the times' survival: of equal times any part alike,
        // of exponential ones as much as of a new one.
        for (form, mean, under_half) in [
            (Pause::Fixed, 0.5, 0.5),
            (Pause::Around, 13.0 / 24.0, 0.5),
            (Pause::Uniform, 2.0 / 3.0, 7.0 / 16.0),
            (Pause::Exponential, 1.0, 1.0 - (-0.5_f64).exp()),
        ] {
            let all = left(form);
            let seen = all.iter().sum::<f64>() / 20_000.0;
            // A row of 16 is a little short: a moment is not quite as often in its longest.
            assert!((seen / mean - 1.0).abs() < 0.08, "{form:?}: {seen}");
            let under = all.iter().filter(|time| **time < 0.5).count() as f64 / 20_000.0;
            assert!((under - under_half).abs() < 0.03, "{form:?}: {under}");
        }
        assert_eq!(Think::Mean(Duration::ZERO).draw_rest(Pause::Around, &mut random), Duration::ZERO);
    }

    #[test]
    fn times_are_of_the_distribution_that_was_named() {
        let mut random = Random::from_seed(1);
        let ms = Duration::from_millis;
        let mut drawn = |think: Think| -> Vec<f64> {
            (0..20_000).map(|_| think.draw(Pause::Around, &mut random).as_secs_f64() * 1_000.0).collect()
        };
        assert!(drawn(Think::Exactly(ms(70))).iter().all(|time| *time == 70.0));
        let around = drawn(Think::Mean(ms(100)));
        assert!(around.iter().all(|time| (50.0..150.0).contains(time)));
        let between = drawn(Think::Between(ms(100), ms(300)));
        assert!(between.iter().all(|time| (100.0..300.0).contains(time)));
        let mean = between.iter().sum::<f64>() / 20_000.0;
        assert!((mean - 200.0).abs() < 3.0, "{mean}");
        let normal = drawn(Think::Normal { mean: ms(500), deviation: ms(100) });
        let mean = normal.iter().sum::<f64>() / 20_000.0;
        let deviation = (normal.iter().map(|time| (time - mean).powi(2)).sum::<f64>() / 20_000.0).sqrt();
        assert!((mean - 500.0).abs() < 4.0 && (deviation - 100.0).abs() < 4.0, "{mean} {deviation}");
        assert!(drawn(Think::Normal { mean: ms(10), deviation: ms(100) }).iter().all(|time| *time >= 0.0));
    }
}
