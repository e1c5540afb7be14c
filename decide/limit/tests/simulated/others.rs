//! What others do, written from what they publish, to be compared with. Neither is used outside these tests.

use super::simulated::Limiter;
use std::time::Duration;

/// Gradient2 of Netflix' `concurrency-limits`, as its documentation and defaults say: windows of a second, the mean latency
/// of each against an exponential average over 600 of them, a tolerance of 1.5, a queue of 4 allowed, smoothing 0.2; nothing
/// changes while less than half of the limit is in use; an average above twice the latest latency decays by 5 %.
pub struct Gradient2 {
    limit: f64,
    long: Option<f64>,
    samples: Vec<f64>,
    windows: u32,
    until: Duration,
    most: u32,
}

impl Gradient2 {
    pub fn new(start: u32) -> Self {
        Self {
            limit: f64::from(start),
            long: None,
            samples: Vec::new(),
            windows: 0,
            until: Duration::ZERO,
            most: 0,
        }
    }
}

impl Limiter for Gradient2 {
    fn limit(&self) -> u32 {
        (self.limit as u32).max(1)
    }

    fn look(&mut self, now: Duration, in_flight: u32, _: u32, _: u64, latencies: &[f64]) {
        self.samples.extend(latencies);
        self.most = self.most.max(in_flight);
        if now < self.until || self.samples.len() < 10 {
            return;
        }
        let short = self.samples.iter().sum::<f64>() / self.samples.len() as f64;
        let most = std::mem::take(&mut self.most);
        self.samples.clear();
        self.until = now + Duration::from_secs(1);
        self.windows += 1;
        // Its average is a plain mean for the first ten windows.
        let share = if self.windows <= 10 { 1.0 / f64::from(self.windows) } else { 2.0 / 601.0 };
        let mut long = self.long.map_or(short, |long| long + (short - long) * share);
        if long / short > 2.0 {
            long *= 0.95;
        }
        self.long = Some(long);
        if f64::from(most) < self.limit / 2.0 {
            return;
        }
        let gradient = (1.5 * long / short).clamp(0.5, 1.0);
        let wanted = self.limit * gradient + 4.0;
        self.limit = (self.limit * 0.8 + wanted * 0.2).clamp(1.0, 1_000.0);
    }
}

/// Envoy's `adaptive_concurrency` with its gradient controller, as its documentation says: each minute the least latency
/// is measured with a limit of 3 until 50 answers came; otherwise each 100 ms the limit times (least + 25 %) / p50, between a
/// half and two, plus the square root of the limit.
pub struct Envoy {
    limit: f64,
    least: Option<f64>,
    measuring: Option<f64>,
    next: Duration,
    samples: Vec<f64>,
}

impl Envoy {
    pub fn new() -> Self {
        Self { limit: 3.0, least: None, measuring: Some(3.0), next: Duration::ZERO, samples: Vec::new() }
    }
}

fn median(samples: &mut [f64]) -> f64 {
    samples.sort_unstable_by(f64::total_cmp);
    samples[samples.len() / 2]
}

impl Limiter for Envoy {
    fn limit(&self) -> u32 {
        (if self.measuring.is_some() { 3.0 } else { self.limit }) as u32
    }

    fn look(&mut self, now: Duration, _: u32, _: u32, _: u64, latencies: &[f64]) {
        self.samples.extend(latencies);
        if let Some(before) = self.measuring {
            if self.samples.len() >= 50 {
                self.least = Some(median(&mut self.samples));
                self.samples.clear();
                self.measuring = None;
                self.limit = before;
                self.next = now + Duration::from_secs(60);
            }
            return;
        }
        if now >= self.next {
            self.measuring = Some(self.limit);
            self.samples.clear();
            return;
        }
        let (Some(least), false) = (self.least, self.samples.is_empty()) else { return };
        let gradient = (least * 1.25 / median(&mut self.samples)).clamp(0.5, 2.0);
        self.samples.clear();
        let wanted = gradient * self.limit;
        self.limit = (wanted + wanted.sqrt()).clamp(3.0, 1_000.0);
    }
}
