//! What the edge counted, taken over: who goes by it, in words, and whose weight grows.

use super::{Known, Ward, Watched};
use crate::event;
use crate::outliers::{self, Totals};
use crate::verdict::Judge;
use std::sync::atomic::Ordering;
use tentpole_model::{DownReason, HealthDetail, Pool};
use tentpole_runtime::clock;

impl Ward {
    /// Takes over what was counted so far, publishes what comes of it and turns weights.
    pub(super) fn counted(&self) {
        let weights = self.watch.dials.get();
        for (at, watched) in self.pools().iter_mut().enumerate() {
            let pool = &self.watch.snapshot.pools[at];
            watched.counted(pool, weights.weights.get(at).map_or(&[], Vec::as_slice));
        }
        self.publish();
        self.turn_ramps();
    }

    /// Goes on with the weights that another process was letting grow.
    pub(super) fn resume_ramps(&self) {
        let (now, weights) = (clock::now(), self.watch.dials.get());
        self.each_plain(&mut |pool, at, endpoint, known| {
            let weight = weights.weights.get(at).and_then(|pool| pool.get(endpoint)).copied();
            let full = pool.endpoints[endpoint].weight;
            known.ramp.resume(now, pool.slow_start, full, weight.unwrap_or(full));
        });
    }

    /// Lets the weights grow of those who start slowly.
    fn turn_ramps(&self) {
        let now = clock::now();
        self.watch.dials.update(|dials| {
            let mut next = dials.clone();
            self.each_plain(&mut |pool, at, endpoint, known| {
                let weight = next.weights.get_mut(at).and_then(|pool| pool.get_mut(endpoint));
                let full = pool.endpoints[endpoint].weight;
                if let Some(weight) = weight
                    && let Some(step) = known.ramp.step(now, pool.slow_start, full, *weight)
                {
                    *weight = step;
                }
            });
            (next != *dials).then_some(next)
        });
    }

    /// Every endpoint of pools whose endpoints start slowly: the pool and its place, the endpoint's place and what is
    /// known of it.
    fn each_plain(&self, care: &mut dyn FnMut(&Pool, usize, usize, &mut Known)) {
        let mut pools = self.pools();
        for (at, (pool, watched)) in self.watch.snapshot.pools.iter().zip(pools.iter_mut()).enumerate() {
            if pool.fleet.is_some() || pool.slow_start.is_zero() {
                continue;
            }
            let endpoints = watched.endpoints.iter_mut().enumerate();
            endpoints.for_each(|(endpoint, known)| care(pool, at, endpoint, known));
        }
    }
}

impl Watched {
    /// Takes over what the edge counted.
    fn counted(&mut self, pool: &Pool, weights: &[u32]) {
        let (now, Self { judge, endpoints }) = (clock::now(), self);
        let mut seen = Vec::with_capacity(endpoints.len());
        for (at, known) in endpoints.iter_mut().enumerate() {
            let totals = known.window.take(now, pool.outliers.interval, known.totals());
            let full = pool.endpoints.get(at).map_or(1, |endpoint| endpoint.weight);
            // Whoever starts slowly is slow, and who is drained or out is not asked.
            let warm = weights.get(at).copied().unwrap_or(full) >= full;
            seen.push((warm && known.health.takes_traffic()).then_some(totals));
        }
        let odd = outliers::compare(&pool.outliers, &seen);
        for (at, (known, odd)) in endpoints.iter_mut().zip(odd).enumerate() {
            let failures = known.cell.failures_in_a_row.load(Ordering::Relaxed);
            let errors = known.cell.errors_in_a_row.load(Ordering::Relaxed);
            known.seen(judge, at, format_args!("{failures} requests failed in a row"), |judge| {
                judge.failed(at, now, failures);
            });
            known.seen(judge, at, format_args!("{errors} responses in a row with a 5xx"), |judge| {
                judge.errored(at, now, errors);
            });
            let differs = odd.map(|odd| odd.to_string()).unwrap_or_default();
            known.seen(judge, at, format_args!("{differs}"), |judge| judge.compared(at, now, odd));
        }
    }

    pub(super) fn details(&self) -> Vec<Option<HealthDetail>> {
        let detail = |(at, known): (usize, &Known)| {
            let reason = known.health.reason()?;
            let back = self.judge.out_until(at).filter(|_| !known.health.takes_traffic());
            Some(HealthDetail {
                since_unix_ms: known.down_since.unix_us() / 1_000,
                because: known.because(reason),
                back_unix_ms: back.map(|back| back.unix_us() / 1_000),
            })
        };
        self.endpoints.iter().enumerate().map(detail).collect()
    }
}

impl Known {
    /// Lets the judge see something; when that takes the endpoint out, these words say why.
    fn seen(
        &mut self,
        judge: &mut Judge,
        at: usize,
        why: std::fmt::Arguments<'_>,
        see: impl FnOnce(&mut Judge),
    ) {
        let was_out = judge.is_out_by_requests(at);
        see(judge);
        match (was_out, judge.is_out_by_requests(at)) {
            (false, true) => self.trouble = why.to_string(),
            (true, false) => self.window.forget(),
            _ => {}
        }
    }

    fn totals(&self) -> Totals {
        let cell = &*self.cell;
        let failures = cell.failures.load(Ordering::Relaxed);
        Totals {
            requests: cell.requests.load(Ordering::Relaxed),
            failed: failures + cell.errors_5xx.load(Ordering::Relaxed),
            latencies: cell.latencies.counts(),
        }
    }

    pub(super) fn because(&self, reason: DownReason) -> String {
        if self.trouble.is_empty() { event::reason(reason).to_owned() } else { self.trouble.clone() }
    }
}
