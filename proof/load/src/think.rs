//! How long a visitor thinks before a step: what its file says, and what is drawn from it. Pure; sleeps nowhere.

use crate::arrivals::{Pause, normal, unit};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use tentpole_runtime::Random;

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
}

#[cfg(test)]
mod tests {
    use super::*;

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
