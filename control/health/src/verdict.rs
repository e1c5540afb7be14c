//! Decides which endpoints of a pool take traffic, from probes, counted failures, addresses and weights. A pure
//! function of what was observed and when: no socket, no clock, no randomness.
//!
//! **The last one stays (S1.4).** When every endpoint that could take traffic is judged down, *all* of them stay in
//! traffic as `LastOne`, not one chosen among them. Either the judgement is wrong (a probe path that broke, a
//! time-out shorter than an honest answer) and all of them work, or all are overloaded and one alone would be finished
//! by the load of the rest. Requests then fail one at a time, by their own time-outs, instead of all at once.
//! An endpoint with weight 0 is drained: it counts neither as one that could take traffic nor as one that is left.
//!
//! A slot of a fleet without an instance is no endpoint at all: it never stays, and who has an address does (all of
//! them, when all fail). A new instance in a slot is judged anew.
//!
//! **Flapping is bounded.** Probes need `unhealthy_after` and `healthy_after` in a row. An endpoint that failures took
//! out stays out for a second, twice as long each time it goes again soon after it came back, up to half a minute.

use std::time::Duration;
use tentpole_model::{DownReason, Health, Pool};
use tentpole_runtime::Instant;

/// How long failures keep an endpoint out the first time.
pub const OUT_MIN: Duration = Duration::from_secs(1);
/// How long at most.
pub const OUT_MAX: Duration = Duration::from_secs(30);
/// An endpoint that stayed in traffic this long after it came back starts at [`OUT_MIN`] again.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// What it takes to change an endpoint's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Good probes in a row until an endpoint comes back.
    pub healthy_after: u32,
    /// Bad probes in a row until it goes; `None` when probes only ever bring back what failures took out.
    pub unhealthy_after: Option<u32>,
    /// Failed requests in a row until it goes; at least 1.
    pub failures_max: u32,
    /// The endpoints are slots of a fleet: without an address there is nobody.
    pub slots: bool,
}

/// The standing of all endpoints of one pool.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    endpoints: Vec<Standing>,
}

#[derive(Clone, Debug, Default)]
struct Standing {
    has_address: bool,
    good_in_a_row: u32,
    bad_in_a_row: u32,
    probes_say_down: bool,
    /// Failures took it out; it may come back from then on.
    out_until: Option<Instant>,
    /// Times it went out by failures without being forgiven in between.
    outs: u32,
    /// When it last came back.
    back_at: Instant,
    /// Failures in a row as they were counted last.
    counted: u32,
    /// How many of them no longer speak against it. The count is the edge's and starts anew only when a request
    /// succeeds, which may come long after the endpoint is back.
    forgiven: u32,
    /// What was counted before then does not speak against it either.
    forgiving_until: Instant,
    /// What was last said about it.
    verdict: Verdict,
}

/// Up until something is said.
#[derive(Clone, Copy, Debug)]
struct Verdict(Health);

impl Default for Verdict {
    fn default() -> Self {
        Self(Health::Up)
    }
}

impl Rules {
    /// The rules of a pool.
    pub fn of(pool: &Pool) -> Self {
        let failures_max = pool.failures_max.max(1);
        let slots = pool.fleet.is_some();
        match &pool.health {
            Some(check) => Self {
                healthy_after: check.healthy_after.max(1),
                unhealthy_after: Some(check.unhealthy_after.max(1)),
                failures_max,
                slots,
            },
            None => Self { healthy_after: 1, unhealthy_after: None, failures_max, slots },
        }
    }
}

impl Judge {
    /// All endpoints up until something speaks against it: an edge that starts must serve at once. None has an
    /// address yet.
    pub fn new(rules: Rules, endpoints: usize) -> Self {
        Self { rules, endpoints: vec![Standing::default(); endpoints] }
    }

    /// Takes note of whether an endpoint's name has an address.
    pub fn resolved(&mut self, endpoint: usize, has_address: bool) {
        self.endpoints[endpoint].has_address = has_address;
    }

    /// Goes on from what was published before this judge began, so that a control process that was started again puts
    /// nobody back whom it did not ask. Which probe or failure it was is not known any more: what brings it back does
    /// not depend on it.
    pub fn restored(&mut self, endpoint: usize, now: Instant, health: Health) {
        let standing = &mut self.endpoints[endpoint];
        standing.verdict = Verdict(health);
        standing.forgiving_until = now.after(OUT_MIN);
        match health {
            Health::Up | Health::Down(DownReason::NoAddress) | Health::LastOne(DownReason::NoAddress) => {}
            Health::Down(DownReason::Probe) | Health::LastOne(DownReason::Probe) => {
                standing.probes_say_down = self.rules.unhealthy_after.is_some();
            }
            Health::Down(DownReason::Failures) | Health::LastOne(DownReason::Failures) => {
                standing.go_out(now)
            }
        }
    }

    /// Goes on with what another judge knew of one of its endpoints.
    pub fn take_over(&mut self, endpoint: usize, other: &Self, its: usize) {
        if let (Some(standing), Some(known)) = (self.endpoints.get_mut(endpoint), other.endpoints.get(its)) {
            *standing = known.clone();
            // Who is not asked any more is not held down by what it once answered.
            standing.probes_say_down &= self.rules.unhealthy_after.is_some();
        }
    }

    /// Somebody else is there: nothing that was seen so far is about him.
    pub fn replaced(&mut self, endpoint: usize, has_address: bool) {
        let standing = &mut self.endpoints[endpoint];
        let (counted, verdict) = (standing.counted, standing.verdict);
        *standing = Standing { has_address, counted, forgiven: counted, verdict, ..Standing::default() };
    }

    /// Takes note of a probe. Returns whether it brought the endpoint back from counted failures: those that were
    /// counted so far no longer speak against it.
    pub fn probed(&mut self, endpoint: usize, now: Instant, good: bool) -> bool {
        let Self { rules, endpoints } = self;
        let standing = &mut endpoints[endpoint];
        if !good {
            standing.good_in_a_row = 0;
            standing.bad_in_a_row = standing.bad_in_a_row.saturating_add(1);
            standing.probes_say_down |= rules.unhealthy_after.is_some_and(|bad| standing.bad_in_a_row >= bad);
            return false;
        }
        standing.bad_in_a_row = 0;
        standing.good_in_a_row = standing.good_in_a_row.saturating_add(1);
        if standing.good_in_a_row < rules.healthy_after {
            return false;
        }
        standing.probes_say_down = false;
        let comes_back = standing.out_until.is_some_and(|until| now >= until);
        if comes_back {
            standing.come_back(now);
            standing.forgiven = standing.counted;
        }
        comes_back
    }

    /// Takes note of how many requests failed in a row.
    pub fn failed(&mut self, endpoint: usize, now: Instant, in_a_row: u32) {
        let standing = &mut self.endpoints[endpoint];
        standing.counted = in_a_row;
        if !standing.has_address || now < standing.forgiving_until {
            standing.forgiven = in_a_row;
        }
        if in_a_row < standing.forgiven {
            // A request succeeded.
            standing.forgiven = 0;
        }
        let too_many = in_a_row - standing.forgiven >= self.rules.failures_max;
        match standing.out_until {
            None if too_many => standing.go_out(now),
            // It stayed in traffic as the last one and a request succeeded: nothing proves more than that.
            Some(_) if !too_many && standing.verdict.0.takes_traffic() => standing.come_back(now),
            None | Some(_) => {}
        }
    }

    /// Whether failures took the endpoint out, so that somebody must find out when it is back.
    pub fn is_out_by_failures(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].out_until.is_some()
    }

    /// Bad probes in a row.
    pub fn bad_probes(&self, endpoint: usize) -> u32 {
        self.endpoints[endpoint].bad_in_a_row
    }

    /// What each endpoint is now. `weights` are those in force; missing ones count as 1.
    pub fn verdict(&mut self, weights: &[u32]) -> Vec<Health> {
        let weight = |endpoint: usize| weights.get(endpoint).copied().unwrap_or(1);
        let all_drained = (0..self.endpoints.len()).all(|endpoint| weight(endpoint) == 0);
        let may_serve = |endpoint: usize| all_drained || weight(endpoint) > 0;
        let standings = || self.endpoints.iter().enumerate().filter(|(endpoint, _)| may_serve(*endpoint));
        let nobody_left = standings().all(|(_, standing)| standing.down().is_some());
        // Those without an address stay only where no other can: nobody could be sent there.
        let nobody_has_an_address =
            !self.rules.slots && standings().all(|(_, standing)| !standing.has_address);
        for (endpoint, standing) in self.endpoints.iter_mut().enumerate() {
            let stays = nobody_left && may_serve(endpoint) && (standing.has_address || nobody_has_an_address);
            standing.verdict = Verdict(match standing.down() {
                None => Health::Up,
                Some(reason) if stays => Health::LastOne(reason),
                Some(reason) => Health::Down(reason),
            });
        }
        self.endpoints.iter().map(|standing| standing.verdict.0).collect()
    }
}

impl Standing {
    fn down(&self) -> Option<DownReason> {
        if !self.has_address {
            Some(DownReason::NoAddress)
        } else if self.probes_say_down {
            Some(DownReason::Probe)
        } else if self.out_until.is_some() {
            Some(DownReason::Failures)
        } else {
            None
        }
    }

    fn go_out(&mut self, now: Instant) {
        if now.since(self.back_at) >= FORGIVEN_AFTER {
            self.outs = 0;
        }
        let out = OUT_MIN.saturating_mul(1u32.checked_shl(self.outs).unwrap_or(u32::MAX)).min(OUT_MAX);
        self.out_until = Some(now.after(out));
        self.outs = (self.outs + 1).min(31);
        // What it answered before does not count.
        self.good_in_a_row = 0;
    }

    fn come_back(&mut self, now: Instant) {
        self.out_until = None;
        self.back_at = now;
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
