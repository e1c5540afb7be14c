//! Servers that follow a curve with noise on it: what a queue does not do. Neighbouring load times are alike, sometimes all
//! stands still, and beyond a limit some are refused.

use super::{Server, exponential, normal};
use tentpole_search::draw::Draw;
use tentpole_search::{Goal, Page};

/// Load times that grow with a power of the load, times noise whose logarithm remembers the one before.
pub struct Noisy {
    /// Load time of nobody, in ms.
    pub base_ms: f64,
    /// The load at which it has doubled.
    pub doubled: f64,
    /// How steep.
    pub power: f64,
    /// The standard deviation of the noise's logarithm.
    pub spread: f64,
    /// How much of it stays from one request to the next.
    pub memory: f64,
    /// Requests a second for each unit of load.
    pub each: f64,
    /// What is asked of it: one quantile.
    pub goal: Goal,
    /// The quantile of the normal distribution that belongs to it.
    pub z: f64,
}

impl Server for Noisy {
    fn pages(&self, load: f64, time_s: f64, _: f64, draw: &mut Draw) -> Vec<Page> {
        let mean = self.base_ms * (1.0 + (load / self.doubled).powf(self.power));
        let fresh = (1.0 - self.memory * self.memory).sqrt();
        let mut noise = normal(draw);
        let count = (load * self.each * time_s) as usize;
        let mut page = || {
            noise = self.memory * noise + fresh * normal(draw);
            Page { took_ms: Some(mean * (self.spread * noise).exp()) }
        };
        (0..count).map(|_| page()).collect()
    }

    fn truth(&self) -> (f64, f64) {
        let Goal::Quantile { under_ms, .. } = self.goal else { unreachable!("a quantile") };
        let over = under_ms / self.base_ms / (self.spread * self.z).exp() - 1.0;
        let truth = self.doubled * over.powf(1.0 / self.power);
        (truth, truth)
    }
}

/// Stands still now and then, for longer the more there is to do, as a collector of garbage does.
pub struct Stalls {
    /// Time from one to the next, in s, on average.
    pub every_s: f64,
    /// How long one takes for each unit of load, in ms.
    pub each_ms: f64,
    /// Load time else, in ms.
    pub base_ms: f64,
    /// The limit of the 99th percentile, in ms.
    pub under_ms: f64,
}

impl Server for Stalls {
    fn pages(&self, load: f64, time_s: f64, _: f64, draw: &mut Draw) -> Vec<Page> {
        let takes = load * self.each_ms / 1_000.0;
        let (mut now, mut begins, mut pages) = (0.0, draw.unit() * self.every_s, Vec::new());
        loop {
            now += exponential(1.0 / load, draw);
            if now >= time_s {
                return pages;
            }
            while now >= begins + takes {
                begins += self.every_s * (0.8 + 0.4 * draw.unit());
            }
            let waits = if now >= begins { begins + takes - now } else { 0.0 };
            pages.push(Page { took_ms: Some(self.base_ms + waits * 1_000.0) });
        }
    }

    fn truth(&self) -> (f64, f64) {
        let truth = (self.under_ms - self.base_ms + 0.01 * self.every_s * 1_000.0) / self.each_ms;
        (truth, truth)
    }
}

/// Refuses whoever is beyond a number, whoever that is.
pub struct Full {
    /// The number that has room.
    pub room: f64,
    /// The limit of the share of failures.
    pub under: f64,
}

impl Server for Full {
    fn pages(&self, load: f64, time_s: f64, _: f64, draw: &mut Draw) -> Vec<Page> {
        let refused = ((load - self.room) / load).max(0.0);
        let mut page = || Page { took_ms: (draw.unit() >= refused).then(|| 5.0 + 5.0 * draw.unit()) };
        (0..(load * time_s) as usize).map(|_| page()).collect()
    }

    fn truth(&self) -> (f64, f64) {
        let truth = self.room / (1.0 - self.under);
        (truth, truth)
    }
}
