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
//! **The share that is out is bounded.** Of those that answer, badly or slowly, at most `eject_percent` are out for it; the
//! rest stay as `LastOne`. Below `panic_percent` of well endpoints all that can be reached get traffic, whatever took
//! them out: those that are left would not carry the load of all (Envoy's panic threshold). Who does not even take a
//! connection is not called back while another serves: unlike in Envoy, whose panic sends requests there too.
//!
//! **Flapping is bounded.** Probes need `unhealthy_after` and `healthy_after` in a row. An endpoint that requests took
//! out stays out for a second, twice as long each time it goes again soon after it came back, up to half a minute.

use crate::outliers::Odd;
use std::time::Duration;
use tentpole_model::{DownReason, Health, Outliers, Pool};
use tentpole_runtime::Instant;

/// An endpoint that stayed in traffic this long after it came back starts at the shortest time again.
pub const FORGIVEN_AFTER: Duration = Duration::from_secs(60);

/// What it takes to change an endpoint's standing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Good probes in a row until an endpoint comes back.
    pub healthy_after: u32,
    /// Bad probes in a row until it goes; `None` when probes only ever bring back what requests took out.
    pub unhealthy_after: Option<u32>,
    /// Failed requests in a row until it goes; at least 1.
    pub failures_max: u32,
    /// What else speaks against it, and how many may be out.
    pub outliers: Outliers,
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
    /// The last probe could not even connect.
    unreachable: bool,
    good_in_a_row: u32,
    bad_in_a_row: u32,
    probes_say_down: bool,
    /// Requests took it out.
    out: Option<Out>,
    /// Times it went out by requests without being forgiven in between.
    outs: u32,
    /// When it last came back.
    back_at: Instant,
    failures: Run,
    errors: Run,
    /// What was counted before then does not speak against it.
    forgiving_until: Instant,
    /// What was last said about it.
    verdict: Verdict,
}

/// Requests took an endpoint out.
#[derive(Clone, Copy, Debug)]
struct Out {
    because: DownReason,
    since: Instant,
    /// It may come back from then on.
    until: Instant,
}

/// Events in a row, as the edge counts them.
#[derive(Clone, Copy, Debug, Default)]
struct Run {
    /// As they were counted last.
    counted: u32,
    /// How many of them no longer speak against it. The count is the edge's and starts anew only when a request
    /// succeeds, which may come long after the endpoint is back.
    forgiven: u32,
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
        let (slots, outliers) = (pool.fleet.is_some(), pool.outliers);
        let (healthy_after, unhealthy_after) = match &pool.health {
            Some(check) => (check.healthy_after.max(1), Some(check.unhealthy_after.max(1))),
            None => (1, None),
        };
        Self { healthy_after, unhealthy_after, failures_max, outliers, slots }
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
        let Self { rules, endpoints } = self;
        let standing = &mut endpoints[endpoint];
        standing.verdict = Verdict(health);
        standing.forgiving_until = now.after(rules.outliers.out_min);
        match health.reason() {
            None | Some(DownReason::NoAddress) => {}
            Some(DownReason::Probe) => standing.probes_say_down = rules.unhealthy_after.is_some(),
            Some(because) => standing.go_out(now, because, &rules.outliers),
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
        let Standing { failures, errors, verdict, .. } = *standing;
        let (failures, errors) = (failures.all_forgiven(), errors.all_forgiven());
        *standing = Standing { has_address, failures, errors, verdict, ..Standing::default() };
    }

    /// Takes note of a probe. Returns whether it brought the endpoint back from what requests met: that which was
    /// counted so far no longer speaks against it.
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
        let comes_back = standing.out.is_some_and(|out| now >= out.until);
        if comes_back {
            standing.come_back(now);
        }
        comes_back
    }

    /// Takes note of whether the last probe could connect.
    pub fn reached(&mut self, endpoint: usize, reached: bool) {
        self.endpoints[endpoint].unreachable = !reached;
    }

    /// Takes note of how many requests failed in a row.
    pub fn failed(&mut self, endpoint: usize, now: Instant, in_a_row: u32) {
        let standing = &mut self.endpoints[endpoint];
        let against = standing.failures.take(in_a_row, standing.forgives(now));
        let too_many = against >= self.rules.failures_max;
        self.weigh(endpoint, now, DownReason::Failures, too_many);
    }

    /// Takes note of how many responses in a row had a status of 500 and above.
    pub fn errored(&mut self, endpoint: usize, now: Instant, in_a_row: u32) {
        let standing = &mut self.endpoints[endpoint];
        let against = standing.errors.take(in_a_row, standing.forgives(now));
        let Some(most) = self.rules.outliers.errors_max else { return };
        self.weigh(endpoint, now, DownReason::Errors, against >= most.max(1));
    }

    /// Takes note of in what it differs from the others.
    pub fn compared(&mut self, endpoint: usize, now: Instant, odd: Option<Odd>) {
        let forgives = self.endpoints[endpoint].forgives(now);
        let is = |odd: bool| odd && !forgives;
        self.weigh(endpoint, now, DownReason::Slow, is(matches!(odd, Some(Odd::Slow { .. }))));
        if !self.endpoints[endpoint].errors_in_a_row_alone(&self.rules) {
            self.weigh(endpoint, now, DownReason::Errors, is(matches!(odd, Some(Odd::Errors { .. }))));
        }
    }

    fn weigh(&mut self, endpoint: usize, now: Instant, because: DownReason, speaks_against_it: bool) {
        let Self { rules, endpoints } = self;
        let standing = &mut endpoints[endpoint];
        match standing.out {
            None if speaks_against_it => standing.go_out(now, because, &rules.outliers),
            // It stayed in traffic and does well: nothing proves more than that.
            Some(out)
                if out.because == because && !speaks_against_it && standing.verdict.0.takes_traffic() =>
            {
                standing.come_back(now);
            }
            None | Some(_) => {}
        }
    }

    /// Whether requests took the endpoint out, so that somebody must find out when it is back.
    pub fn is_out_by_requests(&self, endpoint: usize) -> bool {
        self.endpoints[endpoint].out.is_some()
    }

    /// When what requests took out may come back at the earliest.
    pub fn out_until(&self, endpoint: usize) -> Option<Instant> {
        self.endpoints[endpoint].out.map(|out| out.until)
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
        let called_back = self.called_back(may_serve);
        for (endpoint, standing) in self.endpoints.iter_mut().enumerate() {
            let stays = match nobody_left {
                true => may_serve(endpoint) && (standing.has_address || nobody_has_an_address),
                false => called_back.contains(&endpoint),
            };
            standing.verdict = Verdict(match standing.down() {
                None => Health::Up,
                Some(reason) if stays => Health::LastOne(reason),
                Some(reason) => Health::Down(reason),
            });
        }
        self.endpoints.iter().map(|standing| standing.verdict.0).collect()
    }

    /// Who gets traffic although something speaks against it, while others are well: too many would be out.
    fn called_back(&self, may_serve: impl Fn(usize) -> bool) -> Vec<usize> {
        let Self { rules, endpoints } = self;
        let counts = |(endpoint, standing): &(usize, &Standing)| {
            may_serve(*endpoint) && (standing.has_address || !rules.slots)
        };
        let all: Vec<(usize, &Standing)> = endpoints.iter().enumerate().filter(counts).collect();
        let reached = |standing: &Standing| standing.has_address && !standing.unreachable;
        let well = all.iter().filter(|(_, standing)| standing.down().is_none()).count();
        if well * 100 < rules.outliers.panic_percent as usize * all.len() {
            let back = all.iter().filter(|(_, standing)| standing.down().is_some() && reached(standing));
            return back.map(|(endpoint, _)| *endpoint).collect();
        }
        let mut answering: Vec<(Instant, usize)> = all
            .iter()
            .filter(|(_, standing)| reached(standing))
            .filter(|(_, standing)| matches!(standing.down(), Some(DownReason::Errors | DownReason::Slow)))
            .filter_map(|(endpoint, standing)| Some((standing.out?.since, *endpoint)))
            .collect();
        // Who went first stays out.
        answering.sort_unstable();
        let most = (all.len() * rules.outliers.eject_percent as usize / 100).max(1);
        answering.into_iter().skip(most).map(|(_, endpoint)| endpoint).collect()
    }
}

impl Standing {
    fn down(&self) -> Option<DownReason> {
        if !self.has_address {
            Some(DownReason::NoAddress)
        } else if self.probes_say_down {
            Some(DownReason::Probe)
        } else {
            self.out.map(|out| out.because)
        }
    }

    fn forgives(&self, now: Instant) -> bool {
        !self.has_address || now < self.forgiving_until
    }

    /// Whether it is out for errors in a row, which the comparison must not undo.
    fn errors_in_a_row_alone(&self, rules: &Rules) -> bool {
        let in_a_row = self.errors.counted.saturating_sub(self.errors.forgiven);
        rules.outliers.errors_max.is_some_and(|most| in_a_row >= most.max(1))
    }

    fn go_out(&mut self, now: Instant, because: DownReason, rules: &Outliers) {
        if now.since(self.back_at) >= FORGIVEN_AFTER {
            self.outs = 0;
        }
        let longer = 1u32.checked_shl(self.outs).unwrap_or(u32::MAX);
        let until = now.after(rules.out_min.saturating_mul(longer).min(rules.out_max.max(rules.out_min)));
        self.out = Some(Out { because, since: now, until });
        self.outs = (self.outs + 1).min(31);
        // What it answered before does not count.
        self.good_in_a_row = 0;
    }

    fn come_back(&mut self, now: Instant) {
        self.out = None;
        self.back_at = now;
        self.failures = self.failures.all_forgiven();
        self.errors = self.errors.all_forgiven();
    }
}

impl Run {
    /// Takes the count over; returns how many speak against it.
    fn take(&mut self, in_a_row: u32, forgive: bool) -> u32 {
        self.counted = in_a_row;
        if forgive {
            self.forgiven = in_a_row;
        }
        if in_a_row < self.forgiven {
            // A request succeeded.
            self.forgiven = 0;
        }
        in_a_row - self.forgiven
    }

    fn all_forgiven(self) -> Self {
        Self { forgiven: self.counted, ..self }
    }
}

#[cfg(test)]
#[path = "verdict_tests.rs"]
mod tests;
