//! Decides which endpoints of a pool take traffic, from probes, counted failures, addresses and weights. A pure
//! function of what was observed and when: no socket, no clock, no randomness.
//!
//! **The last one stays (S1.4).** When every endpoint that could take traffic is judged down, *all* of them stay in
//! traffic as `LastOne`, not one chosen among them. Either the judgement is wrong (a probe path that broke, a
//! time-out shorter than an honest answer) and all of them work, or all are overloaded and one alone would be finished
//! by the load of the rest. Requests then fail one at a time, by their own time-outs, instead of all at once.
//! An endpoint with weight 0 is drained: it counts neither as one that could take traffic nor as one that is left.
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
}

/// The standing of all endpoints of one pool.
#[derive(Clone, Debug)]
pub struct Judge {
    rules: Rules,
    endpoints: Vec<Standing>,
}

#[derive(Clone, Debug)]
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
    /// What was last said about it.
    verdict: Health,
}

impl Rules {
    /// The rules of a pool.
    pub fn of(pool: &Pool) -> Self {
        let failures_max = pool.failures_max.max(1);
        match &pool.health {
            Some(check) => Self {
                healthy_after: check.healthy_after.max(1),
                unhealthy_after: Some(check.unhealthy_after.max(1)),
                failures_max,
            },
            None => Self { healthy_after: 1, unhealthy_after: None, failures_max },
        }
    }
}

impl Judge {
    /// All endpoints up until something speaks against it: an edge that starts must serve at once. None has an
    /// address yet.
    pub fn new(rules: Rules, endpoints: usize) -> Self {
        let standing = Standing {
            has_address: false,
            good_in_a_row: 0,
            bad_in_a_row: 0,
            probes_say_down: false,
            out_until: None,
            outs: 0,
            back_at: Instant::default(),
            verdict: Health::Up,
        };
        Self { rules, endpoints: vec![standing; endpoints] }
    }

    /// Takes note of whether an endpoint's name has an address.
    pub fn resolved(&mut self, endpoint: usize, has_address: bool) {
        self.endpoints[endpoint].has_address = has_address;
    }

    /// Takes note of a probe. Returns whether it brought the endpoint back from counted failures: then its count
    /// starts anew, and the caller sets it to zero.
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
        }
        comes_back
    }

    /// Takes note of how many requests failed in a row.
    pub fn failed(&mut self, endpoint: usize, now: Instant, in_a_row: u32) {
        let standing = &mut self.endpoints[endpoint];
        let too_many = in_a_row >= self.rules.failures_max;
        match standing.out_until {
            None if too_many => standing.go_out(now),
            // It stayed in traffic as the last one and a request succeeded: nothing proves more than that.
            Some(_) if !too_many && standing.verdict.takes_traffic() => standing.come_back(now),
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
        let nobody_has_an_address = standings().all(|(_, standing)| !standing.has_address);
        for (endpoint, standing) in self.endpoints.iter_mut().enumerate() {
            let stays = nobody_left && may_serve(endpoint) && (standing.has_address || nobody_has_an_address);
            standing.verdict = match standing.down() {
                None => Health::Up,
                Some(reason) if stays => Health::LastOne(reason),
                Some(reason) => Health::Down(reason),
            };
        }
        self.endpoints.iter().map(|standing| standing.verdict).collect()
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
