//! A fleet in simulated time: a load in CPUs is spread over the instances that take traffic; starting takes a while and
//! burns CPU; whoever is wanted is started, whoever is not is drained.

use std::time::Duration;
use tentpole_model::InstancePhase;
use tentpole_scale::{Rules, Scaler, Seen};

/// What an instance costs and can.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Seconds until it answers.
    pub start: u64,
    /// CPU share that starting burns, until half its warm-up is over.
    pub burn: f64,
    /// The CPU share above which it cannot go.
    pub cap: f64,
    /// Seconds that draining and ending take.
    pub drain: u64,
}

/// One change of the number wanted.
#[derive(Clone, Copy, Debug)]
pub struct Change {
    pub at: u64,
    pub from: u32,
    pub to: u32,
    /// The load at that moment, in CPUs.
    pub load: f64,
}

pub struct Fleet {
    rules: Rules,
    shape: Shape,
    scaler: Scaler,
    second: u64,
    /// For each: when it was started, and when it was told to leave.
    instances: Vec<(u64, Option<u64>)>,
    pub changes: Vec<Change>,
}

impl Fleet {
    pub fn new(rules: Rules, shape: Shape) -> Self {
        let scaler = Scaler::new(rules, 0);
        Self { rules, shape, scaler, second: 0, instances: Vec::new(), changes: Vec::new() }
    }

    pub fn wanted(&self) -> u32 {
        self.scaler.wanted()
    }

    /// From now on it may have as few as this.
    pub fn may_shrink_to(&mut self, min: u32) {
        self.rules.min = min;
        self.scaler = Scaler::new(self.rules, self.wanted());
    }

    /// One instance dies (the oldest); another is started for it.
    pub fn one_dies(&mut self) {
        if !self.instances.is_empty() {
            self.instances.remove(0);
        }
    }

    /// One second with this load, in CPUs; `measured` is what comes of each CPU share that is seen.
    pub fn passes(&mut self, load: f64, mut measured: impl FnMut(f64) -> Option<f64>) {
        self.second += 1;
        let drain = self.shape.drain;
        self.instances.retain(|(_, left)| left.is_none_or(|left| self.second < left + drain));
        let staying = self.instances.iter().filter(|(_, left)| left.is_none()).count() as u32;
        for _ in staying..self.wanted() {
            self.instances.push((self.second, None));
        }
        for _ in self.wanted()..staying {
            let last = self.instances.iter_mut().rev().find(|(_, left)| left.is_none());
            last.into_iter().for_each(|(_, left)| *left = Some(self.second));
        }
        let seen = self.seen(load, &mut measured);
        let from = self.wanted();
        let to = self.scaler.step(Duration::from_secs(self.second), &seen).wanted;
        if from != to {
            self.changes.push(Change { at: self.second, from, to, load });
        }
    }

    fn seen(&self, load: f64, measured: &mut impl FnMut(f64) -> Option<f64>) -> Vec<Seen> {
        let warm_up = self.rules.warm_up.as_secs().max(1);
        let ready_for = |started: u64| (self.second - started).checked_sub(self.shape.start);
        let weight = |&(started, left): &(u64, Option<u64>)| match ready_for(started) {
            Some(ready) if left.is_none() => (0.1 + 0.9 * ready as f64 / warm_up as f64).min(1.0),
            _ => 0.0,
        };
        let all: f64 = self.instances.iter().map(weight).sum();
        let one = |instance: &(u64, Option<u64>)| {
            let ready = ready_for(instance.0);
            let carried = if all > 0.0 { load * weight(instance) / all } else { 0.0 };
            let burns = ready.is_none_or(|ready| ready < warm_up / 2);
            let share = (carried + if burns { self.shape.burn } else { 0.0 }).min(self.shape.cap);
            let phase = match ready {
                _ if instance.1.is_some() => InstancePhase::Draining,
                None => InstancePhase::Starting,
                Some(ready) if ready < warm_up => InstancePhase::WarmingUp,
                Some(_) => InstancePhase::Serving,
            };
            let ready_for = Duration::from_secs(ready.unwrap_or(0));
            Seen { phase, ready_for, cpu_share: measured(share), in_flight: 0.0, set_aside: false }
        };
        self.instances.iter().map(one).collect()
    }
}

/// Numbers between -1 and 1 that look random (a linear congruential generator with Knuth's MMIX constants).
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> f64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 11) as f64 / (1u64 << 52) as f64 - 1.0
    }
}
