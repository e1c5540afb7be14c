//! What the threads have counted, as the run's seconds, the results of its steps, and the run's own when it is over. Orders nothing and
//! waits for nobody but the threads that were told to end.

use super::{Conductor, Event, Live, SECONDS_MAX, Step, lock};
use crate::agents::Links;
use crate::generator::Orders;
use crate::real::{self, Suffering};
use crate::record::{Moment, Tally};
use crate::result::{Distrust, FORMAT, JourneyOutline, Machine, Model, Run, Second, StepResult};
use crate::verdict::{self, Seen};
use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::Ordering::Relaxed;
use tentpole_runtime::clock::{self, Instant};

impl Conductor {
    pub(super) fn close_second(&mut self, ends: Instant, step: &mut Step, watch: &mut dyn FnMut(&Event<'_>)) {
        let (second, moment) = self.second(ends, step.orders);
        if ends > step.window.from {
            step.so_far.add(&moment);
        }
        let left = step.window.to.as_micros() as f64 - ends.as_micros() as f64;
        let lag_p99_us = self.threads.iter().map(|(shared, _)| lock(shared).step.lag().p99_us()).max();
        let seen = Seen {
            requests: step.so_far.requests,
            failed: step.so_far.failed,
            p50_ms: step.so_far.response.quantile_ms(0.5),
            p99_ms: step.so_far.response.quantile_ms(0.99),
        };
        watch(&Event::Second(Live {
            number: step.number,
            load: step.next.stage.load,
            left_s: left / 1e6,
            is_ramp: ends <= step.window.from,
            second: &second,
            seen,
            lag_p99_us: lag_p99_us.unwrap_or(0),
        }));
    }

    /// What ended since the last second did, as the next one.
    fn second(&mut self, ends: Instant, orders: Orders) -> (Second, Moment) {
        self.second_began = ends;
        let mut moment = Moment::default();
        for (shared, _) in &self.threads {
            // Made before the lock is taken, so that it is held only to exchange.
            let fresh = Moment::default();
            let taken = std::mem::replace(&mut lock(shared).moment, fresh);
            moment.add(&taken);
        }
        let second = Second {
            at_s: self.since_start(ends),
            visitors: match self.plan.model {
                Model::Closed => orders.load_at(ends).round() as u32,
                Model::Open => self.threads.iter().map(|(shared, _)| shared.under_way.load(Relaxed)).sum(),
            },
            requests: moment.requests,
            failed: moment.failed,
            p50_ms: moment.response.quantile_ms(0.5),
            p99_ms: moment.response.quantile_ms(0.99),
        };
        if self.seconds.len() < SECONDS_MAX as usize * 2 {
            self.seconds.push(second);
        }
        (second, moment)
    }

    /// The part of a second in which the run ended: that is when the last time-outs come.
    fn close_last_second(&mut self, now: Instant) {
        if now > self.second_began {
            let orders = *self.orders.borrow();
            self.second(now, orders);
        }
    }

    pub(super) fn result(&self, step: &Step, cpu_us: u64) -> StepResult {
        let (mut tally, mut lag) = (Tally::new(self.names.len()), 0);
        for (shared, _) in &self.threads {
            let fresh = Tally::new(self.names.len());
            let counted = std::mem::replace(&mut lock(shared).step, fresh);
            lag = lag.max(counted.lag().p99_us());
            tally.add(&counted);
        }
        let took_s = step.window.to.since(step.window.from).as_secs_f64();
        let response = tally.response();
        let (requests, failed) = (tally.requests(), tally.failed());
        let seen =
            Seen { requests, failed, p50_ms: response.quantile_ms(0.5), p99_ms: response.quantile_ms(0.99) };
        let broke = verdict::broke(&self.plan.objectives, &seen);
        // What a part of the load leaves standing is not held.
        let is_whole = !self.links.as_ref().is_some_and(Links::has_lost);
        StepResult {
            number: step.number,
            phase: step.next.phase,
            load: step.next.stage.load,
            began_s: self.since_start(step.window.from),
            took_s,
            requests,
            failed,
            requests_per_s: rounded(requests as f64 / took_s),
            bytes: tally.bytes,
            response_time: response.times(),
            service_time: tally.service().times(),
            reconnects: tally.reconnects,
            connects: tally.connects,
            connect_time: tally.connect().times(),
            handshake_time: tally.handshake().times(),
            http2: tally.http2,
            message_time: tally.messages().times(),
            tags: tally.tags(&self.tags.0, &self.tags.1),
            // One late agent among many is late enough.
            lag_p99_us: if self.links.is_some() { lag } else { tally.lag().p99_us() },
            generator_cpu_share: rounded(cpu_us as f64 / 1e6 / took_s / f64::from(self.plan.threads.max(1)))
                .min(1.0),
            journey_steps: tally.journey_steps(&self.names),
            failures: tally.failures,
            statuses: tally.statuses,
            held: requests > 0 && broke.is_none() && is_whole,
            broke,
        }
    }

    pub(super) fn end(
        mut self,
        steps: Vec<StepResult>,
        interrupted: bool,
        stays_down: bool,
        cores: u32,
        suffering: Option<Suffering>,
    ) -> io::Result<Run> {
        let now = clock::now();
        let took_s = self.since_start(now);
        self.close_last_second(now);
        self.orders.send_modify(|orders| orders.is_end = true);
        let waited_for_cpu = real::waited_for_cpu();
        let (began, shared) =
            (self.began, self.threads.iter().map(|(shared, _)| shared.clone()).collect::<Vec<_>>());
        for (_, thread) in std::mem::take(&mut self.threads) {
            // What a thread that panicked has to say, it has said on standard error.
            thread.join().unwrap_or_else(|_| Err(io::Error::other("a generator thread panicked")))?;
        }
        let last = shared.iter().filter_map(|shared| lock(shared).last_begun).max();
        let spared = suffering.as_ref().map(|suffering| suffering.spared(began, last, waited_for_cpu));
        let (agents, lost) =
            self.links.as_ref().map(|links| links.merge(&mut self.seconds)).unwrap_or_default();
        let plan = &self.plan;
        let distrust: Vec<Distrust> =
            lost.into_iter().chain(verdict::distrust(&steps, &plan.objectives)).collect();
        let accounts: BTreeSet<_> = plan.journeys.all.iter().filter_map(|one| one.account.clone()).collect();
        Ok(Run {
            format: FORMAT,
            version: plan.version.clone(),
            started_unix_ms: self.began.unix_us() / 1_000,
            took_s,
            url: plan.url.to_string(),
            command: plan.command.clone(),
            model: plan.model,
            objectives: plan.objectives,
            journey: JourneyOutline { name: plan.journeys.name.clone(), steps: self.names },
            machine: Machine {
                cores,
                threads: plan.threads,
                pinned: plan.cpus.clone(),
                same_machine: plan.hosts.are_loopback(),
            },
            seed: plan.seed,
            think_ms: plan.think.as_secs_f64() * 1_000.0,
            breaking_point: verdict::breaking_point(&steps, &distrust),
            highest_held: verdict::highest_held(&steps),
            steps,
            seconds: self.seconds,
            second_width: self.width,
            stays_down,
            trusted: distrust.is_empty(),
            distrust,
            mark: self.plan.mark.run.clone(),
            accounts: accounts.into_iter().collect(),
            sources: plan.transport.sources.iter().map(ToString::to_string).collect(),
            stopped_for: suffering.map(|suffering| suffering.why),
            spared,
            unverified: self.plan.transport.is_unverified(),
            spread: self.plan.resolvers.as_ref().map(|resolvers| resolvers.spread(&plan.url.host)),
            agents,
            found: None,
            since: Vec::new(),
            interrupted,
        })
    }
}

/// Four digits behind the point: more would only pretend.
fn rounded(figure: f64) -> f64 {
    (figure * 1e4).round() / 1e4
}
