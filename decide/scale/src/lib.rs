//! How many instances a fleet shall have. A pure function of what was seen and when: starts nothing, reads no clock.
//!
//! **Out.** Target tracking: `needed = ceil(serving × share ÷ target)`, for the CPU and, when asked for, for the
//! requests in flight; the larger one counts. That is the algorithm of Kubernetes' HorizontalPodAutoscaler, with its
//! tolerance of 10 % ("Algorithm details" in its documentation) and of AWS' target tracking policies. Instances that
//! are not measured count as idle ones: what was started for a load is never started again for the same load, nor for
//! the load that one instance that died leaves to the others. An instance is measured once its warm-up is over (AWS
//! calls it "instance warmup"), so what starting costs is no load. The load must be above for three observations in a
//! row, or two when it is far above; the smallest number that one of them asked for is taken (the stabilization
//! window of Kubernetes, upwards).
//!
//! **In.** One at a time. The literal rule, "one less when below the target", flaps: of two at 60 % one remains with
//! 120 %. So the question is what the *rest* would carry: 80 % of the target at most, for the whole window. The window
//! begins anew with each change, and whenever an instance starts, leaves, or cannot be measured.
//!
//! Observations come about once a second. Above 1.1 × target it grows, and it shrinks when the rest would stay below
//! 0.8 × target: so a load has to fall by more than a quarter before a growth is taken back, and noise of 20 % is less.

mod why;

pub use why::{Above, Why};

use std::collections::VecDeque;
use std::time::Duration;
use tentpole_model::{Fleet, InstancePhase};

/// Above this ratio of load to target it grows.
pub const TOLERANCE: f64 = 1.1;
/// Above this one it grows sooner.
pub const FAR_ABOVE: f64 = 1.3;
/// Observations in a row that it takes to grow.
pub const ABOVE_FOR: usize = 3;
/// When the load is far above.
pub const FAR_ABOVE_FOR: usize = 2;
/// Share of the target that the rest may reach when one instance is taken away.
pub const REST_MAX: f64 = 0.8;
/// Observations over which the load is averaged before it is called light: a single garbage collection says nothing.
pub const AVERAGED: usize = 5;

/// What a fleet is held at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Instances at least; 0 counts as 1.
    pub min: u32,
    /// Instances at most; less than `min` counts as `min`.
    pub max: u32,
    /// CPU share of an instance, above 0.
    pub cpu_target: f64,
    /// Requests in flight for each instance, above 0.
    pub requests_target: Option<f64>,
    /// How long the rest must be able to carry the load before one instance is taken away.
    pub scale_in_window: Duration,
    /// How long an instance must have taken traffic before it is measured.
    pub warm_up: Duration,
}

/// One instance as it was seen.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Seen {
    /// What it is doing.
    pub phase: InstancePhase,
    /// How long it has taken traffic.
    pub ready_for: Duration,
    /// CPU that it used since the last observation, as a share of what it is given; `None` when nobody knows.
    pub cpu_share: Option<f64>,
    /// Requests in flight, on average since the last observation.
    pub in_flight: f64,
    /// Taken out of traffic by a person, or because it does not answer well: it carries nothing, and is not missed.
    pub set_aside: bool,
}

/// How many there shall be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decision {
    /// Instances wanted from now on.
    pub wanted: u32,
    /// Why, when that is another number than before, or when more are needed than may be.
    pub why: Option<Why>,
}

/// Decides for one fleet, from one observation to the next.
#[derive(Clone, Debug)]
pub struct Scaler {
    rules: Rules,
    wanted: u32,
    /// The last observations in a row that were above, newest last: what each asked for, and whether it was far above.
    above: VecDeque<(u32, bool)>,
    /// It was said that more are needed than may be.
    told_at_max: bool,
    /// The last loads while all instances were measured.
    recent: VecDeque<Load>,
    light: Option<Light>,
}

/// The load that the measured instances carry together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Load {
    cpu: f64,
    requests: f64,
    measured: u32,
}

/// Since when the rest could carry it.
#[derive(Clone, Copy, Debug)]
struct Light {
    since: Duration,
    /// The most that each of the rest would have had to carry meanwhile.
    peak_cpu: f64,
    peak_requests: f64,
}

impl Rules {
    /// The rules of a fleet.
    pub fn of(fleet: &Fleet) -> Self {
        Self {
            min: fleet.min,
            max: fleet.max,
            cpu_target: fleet.cpu_target,
            requests_target: fleet.requests_target,
            scale_in_window: fleet.scale_in_window,
            warm_up: fleet.slow_start,
        }
    }

    fn min(&self) -> u32 {
        self.min.max(1)
    }

    fn max(&self) -> u32 {
        self.max.max(self.min())
    }
}

impl Scaler {
    /// Begins with as many instances as there are.
    pub fn new(rules: Rules, there_are: u32) -> Self {
        Self {
            rules,
            wanted: there_are,
            above: VecDeque::with_capacity(ABOVE_FOR),
            told_at_max: false,
            recent: VecDeque::with_capacity(AVERAGED),
            light: None,
        }
    }

    /// Instances wanted now.
    pub fn wanted(&self) -> u32 {
        self.wanted
    }

    /// Takes note of what was seen at `now`, a time since any beginning that only grows. Instances that have ended
    /// are not among `seen`; those that leave are, and hold back nothing but the next one that would leave.
    pub fn step(&mut self, now: Duration, seen: &[Seen]) -> Decision {
        let (min, max) = (self.rules.min(), self.rules.max());
        if self.wanted < min {
            return self.change(min, Why::BelowMin { min });
        }
        if self.wanted > max {
            return self.change(max, Why::AboveMax { max });
        }
        let load = Load::of(&self.rules, seen);
        if let Some((needed, why)) = self.above(&load, seen) {
            if self.wanted < max {
                return self.change(needed.min(max), Why::Above(why));
            }
            let told = std::mem::replace(&mut self.told_at_max, true);
            return Decision { wanted: max, why: (!told).then_some(Why::AtMax { max, above: why }) };
        }
        match self.light(now, &load, seen) {
            Some(why) => self.change(self.wanted - 1, why),
            None => Decision { wanted: self.wanted, why: None },
        }
    }

    fn change(&mut self, wanted: u32, why: Why) -> Decision {
        *self = Self::new(self.rules, wanted);
        Decision { wanted, why: Some(why) }
    }

    /// How many the load needs, and why, when it was above the target for long enough.
    fn above(&mut self, load: &Load, seen: &[Seen]) -> Option<(u32, Above)> {
        let aside = seen.iter().filter(|it| it.set_aside && !leaves(it)).count() as u32;
        // Whoever was set aside carries nothing, but was counted when it was decided how many are wanted.
        let carrying = f64::from(self.wanted.saturating_sub(aside).max(1));
        let (needed, ratio, why) = load.needs(&self.rules);
        let ratio = ratio / carrying;
        if ratio <= TOLERANCE {
            self.above.clear();
            self.told_at_max = false;
            return None;
        }
        if self.above.len() == ABOVE_FOR {
            self.above.pop_front();
        }
        self.above.push_back((needed.saturating_add(aside), ratio > FAR_ABOVE));
        let far = self.above.iter().rev().take_while(|(_, far)| *far).count();
        let run = match self.above.len() {
            _ if far >= FAR_ABOVE_FOR => FAR_ABOVE_FOR,
            ABOVE_FOR => ABOVE_FOR,
            _ => return None,
        };
        let needed = self.above.iter().rev().take(run).map(|(needed, _)| *needed).min();
        needed.filter(|needed| *needed > self.wanted).map(|needed| (needed, why))
    }

    /// Why one less is enough, when it was for the whole window.
    fn light(&mut self, now: Duration, load: &Load, seen: &[Seen]) -> Option<Why> {
        let all_measured = load.measured == self.wanted && seen.len() == load.measured as usize;
        if !all_measured || self.wanted <= self.rules.min() {
            self.recent.clear();
            self.light = None;
            return None;
        }
        if self.recent.len() == AVERAGED {
            self.recent.pop_front();
        }
        self.recent.push_back(*load);
        let rest = self.wanted - 1;
        let mean = |of: fn(&Load) -> f64| {
            self.recent.iter().map(of).sum::<f64>() / self.recent.len() as f64 / f64::from(rest)
        };
        let (cpu, requests) = (mean(|load| load.cpu), mean(|load| load.requests));
        let carries = cpu <= REST_MAX * self.rules.cpu_target
            && self.rules.requests_target.is_none_or(|target| requests <= REST_MAX * target);
        if !carries || self.recent.len() < AVERAGED {
            self.light = None;
            return None;
        }
        let light = self.light.get_or_insert(Light { since: now, peak_cpu: 0.0, peak_requests: 0.0 });
        light.peak_cpu = light.peak_cpu.max(cpu);
        light.peak_requests = light.peak_requests.max(requests);
        let window = self.rules.scale_in_window;
        (now.saturating_sub(light.since) >= window).then_some(Why::RestCarries {
            window,
            cpu_share: light.peak_cpu,
            cpu_target: self.rules.cpu_target,
            requests: self.rules.requests_target.map(|target| (light.peak_requests, target)),
        })
    }
}

impl Load {
    fn of(rules: &Rules, seen: &[Seen]) -> Self {
        let mut load = Self::default();
        for it in seen.iter().filter(|it| is_warm(rules, it)) {
            // Not a number and below zero are as good as no answer.
            let Some(cpu) = it.cpu_share.filter(|share| share.is_finite() && *share >= 0.0) else { continue };
            load.cpu += cpu;
            load.requests += if it.in_flight.is_finite() { it.in_flight.max(0.0) } else { 0.0 };
            load.measured += 1;
        }
        load
    }

    /// How many instances carry this at the target; how many exactly; and what says so.
    fn needs(&self, rules: &Rules) -> (u32, f64, Above) {
        let each = |of: f64| of / f64::from(self.measured.max(1));
        let cpu = self.cpu / rules.cpu_target;
        let by_cpu = Above::Cpu { share: each(self.cpu), instances: self.measured, target: rules.cpu_target };
        let (exactly, why) = match rules.requests_target {
            Some(target) if self.requests / target > cpu => {
                let each = each(self.requests);
                (self.requests / target, Above::Requests { each, instances: self.measured, target })
            }
            _ => (cpu, by_cpu),
        };
        // A hair above a whole number is that number: 2.1 ÷ 0.7 is 3.0000000000000004.
        ((exactly - 1e-9).ceil().max(0.0) as u32, exactly, why)
    }
}

fn is_warm(rules: &Rules, it: &Seen) -> bool {
    it.phase == InstancePhase::Serving && it.ready_for >= rules.warm_up && !it.set_aside
}

fn leaves(it: &Seen) -> bool {
    matches!(it.phase, InstancePhase::Draining | InstancePhase::Stopping)
}
