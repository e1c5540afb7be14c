//! A simulated application behind a limit: requests that come at random, a bounded queue before the limit, a server that is
//! one of several kinds. Seeded: the same run each time. Times in seconds.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod crowds;

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::time::Duration;

/// How often a limiter looks.
pub const LOOK_EVERY: f64 = 0.1;
/// Requests that wait before the limit at most; one more is refused.
const QUEUE_MAX: usize = 2_000;

/// Pseudo-random numbers (splitmix64, Steele, Lea and Flood 2014).
pub struct Random(pub u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Above 0, up to 1.
    pub fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 1.0) / (1u64 << 53) as f64
    }

    /// Exponential with mean 1.
    pub fn exponential(&mut self) -> f64 {
        -self.unit().ln()
    }
}

/// How long a request works.
#[derive(Clone, Copy)]
pub enum Work {
    Constant,
    Exponential,
    /// Nine of ten take a tenth, one takes nine times as long (mean 0.99): static files beside a search.
    Mixed,
}

/// What serves.
#[derive(Clone, Copy)]
pub struct Server {
    /// Requests worked on at once; others wait inside, in order. For `shared`: CPUs that all share.
    pub workers: u32,
    pub shared: bool,
    /// Mean work, in seconds.
    pub takes: f64,
    pub work: Work,
    /// Each request above the workers makes all work slower by this share.
    pub thrash: f64,
    /// A pause of everything: how often and how long.
    pub pause: Option<(f64, f64)>,
    /// From this second on: `takes` by this factor, workers by this factor.
    pub change: Option<(f64, f64, f64)>,
}

impl Server {
    pub fn of(workers: u32, takes: f64) -> Self {
        let work = Work::Exponential;
        Self { workers, shared: false, takes, work, thrash: 0.0, pause: None, change: None }
    }

    fn workers_at(&self, now: f64) -> u32 {
        match self.change {
            Some((from, _, factor)) if now >= from => {
                ((f64::from(self.workers) * factor).round() as u32).max(1)
            }
            _ => self.workers,
        }
    }
}

/// What is being tried.
pub trait Limiter {
    fn limit(&self) -> u32;
    /// Once each [`LOOK_EVERY`]; `latencies` are those of the answers since the last time.
    fn look(&mut self, now: Duration, in_flight: u32, waiting: u32, good: u64, latencies: &[f64]);
}

/// Always the same.
pub struct Fixed(pub u32);

impl Limiter for Fixed {
    fn limit(&self) -> u32 {
        self.0
    }

    fn look(&mut self, _: Duration, _: u32, _: u32, _: u64, _: &[f64]) {}
}

/// What was seen in one run.
pub struct Run {
    /// Answers in each whole second.
    pub answers: Vec<u32>,
    /// The limit at each look.
    pub limits: Vec<u32>,
    /// Latencies inside the endpoint with the second of their end.
    pub latencies: Vec<(f64, f64)>,
}

impl Run {
    /// Answers a second from this second on.
    pub fn rate(&self, from: usize) -> f64 {
        let of = &self.answers[from..];
        of.iter().map(|&count| f64::from(count)).sum::<f64>() / of.len() as f64
    }

    /// The least rate over `span` seconds that follow one another, from this second on.
    pub fn worst(&self, from: usize, span: usize) -> f64 {
        let sums = self.answers[from..].windows(span).map(|window| window.iter().sum::<u32>());
        f64::from(sums.min().unwrap()) / span as f64
    }

    /// The median and the greatest limit from this second on.
    pub fn limits(&self, from: usize) -> (u32, u32) {
        let mut of = self.limits[(from as f64 / LOOK_EVERY) as usize..].to_vec();
        of.sort_unstable();
        (of[of.len() / 2], *of.last().unwrap())
    }

    /// The latency that this share of the requests does not exceed, from this second on.
    pub fn latency(&self, from: usize, share: f64) -> f64 {
        let late = self.latencies.iter().filter(|(end, _)| *end >= from as f64);
        let mut of: Vec<f64> = late.map(|(_, took)| *took).collect();
        of.sort_unstable_by(f64::total_cmp);
        of[((of.len() - 1) as f64 * share) as usize]
    }
}

/// Events in the order of their time; equal ones in the order in which they were made.
type Heap = BinaryHeap<Reverse<(u64, u64, Kind)>>;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Arrives,
    /// Of a server with workers: the request with this number.
    Ends(u64),
    /// Of a shared one: what was planned as of this change.
    Least(u64),
    Look,
}

const NANOS: f64 = 1e9;

struct World<'a> {
    server: Server,
    random: Random,
    events: Heap,
    made: u64,
    now: f64,
    /// Began inside, work left.
    inside: Vec<(f64, f64)>,
    /// With workers: began inside, waiting for a worker; those at work, by number.
    line: VecDeque<f64>,
    at_work: std::collections::HashMap<u64, f64>,
    numbers: u64,
    changes: u64,
    updated: f64,
    waiting: usize,
    limiter: &'a mut dyn Limiter,
    good: u64,
    recent: Vec<f64>,
    run: Run,
}

/// Lets requests come at `rate(now)` a second for so long.
pub fn run(
    server: Server,
    limiter: &mut dyn Limiter,
    seconds: usize,
    rate: impl Fn(f64) -> f64,
    seed: u64,
) -> Run {
    let run = Run { answers: vec![0; seconds], limits: Vec::new(), latencies: Vec::new() };
    let mut world = World {
        server,
        random: Random(seed),
        events: Heap::new(),
        made: 0,
        now: 0.0,
        inside: Vec::new(),
        line: VecDeque::new(),
        at_work: Default::default(),
        numbers: 0,
        changes: 0,
        updated: 0.0,
        waiting: 0,
        limiter,
        good: 0,
        recent: Vec::new(),
        run,
    };
    world.at(0.0, Kind::Arrives);
    world.at(LOOK_EVERY, Kind::Look);
    while let Some(Reverse((at, _, kind))) = world.events.pop() {
        world.now = at as f64 / NANOS;
        if world.now >= seconds as f64 {
            break;
        }
        match kind {
            Kind::Arrives => {
                world.waiting = (world.waiting + 1).min(QUEUE_MAX);
                let gap = world.random.exponential() / rate(world.now).max(1e-3);
                world.at(world.now + gap, Kind::Arrives);
            }
            Kind::Ends(number) => {
                let began = world.at_work.remove(&number).unwrap();
                world.answered(began);
                world.employ();
            }
            Kind::Least(changes) if changes == world.changes => {
                world.progress();
                let done = |(_, left): &(f64, f64)| *left <= 1e-9;
                if let Some(at) = world.inside.iter().position(done) {
                    let (began, _) = world.inside.swap_remove(at);
                    world.answered(began);
                }
                world.plan();
            }
            Kind::Least(_) => {}
            Kind::Look => world.look(),
        }
        world.let_in();
    }
    world.run
}

impl World<'_> {
    fn at(&mut self, at: f64, kind: Kind) {
        self.made += 1;
        self.events.push(Reverse(((at * NANOS) as u64, self.made, kind)));
    }

    fn in_flight(&self) -> u32 {
        (self.inside.len() + self.line.len() + self.at_work.len()) as u32
    }

    fn let_in(&mut self) {
        while self.waiting > 0 && self.in_flight() < self.limiter.limit() {
            self.waiting -= 1;
            if self.server.shared {
                self.progress();
                let work = self.work();
                self.inside.push((self.now, work));
                self.plan();
            } else {
                self.line.push_back(self.now);
                self.employ();
            }
        }
    }

    /// What one request has to work, as of now.
    fn work(&mut self) -> f64 {
        let takes = match self.server.change {
            Some((from, factor, _)) if self.now >= from => self.server.takes * factor,
            _ => self.server.takes,
        };
        let over = self.in_flight().saturating_sub(self.server.workers_at(self.now));
        takes
            * (1.0 + self.server.thrash * f64::from(over))
            * match self.server.work {
                Work::Constant => 1.0,
                Work::Exponential => self.random.exponential(),
                Work::Mixed if self.random.unit() < 0.1 => 9.0,
                Work::Mixed => 0.1,
            }
    }

    fn employ(&mut self) {
        while self.at_work.len() < self.server.workers_at(self.now) as usize {
            let Some(began) = self.line.pop_front() else { return };
            let mut ends = self.now + self.work();
            if let Some((every, long)) = self.server.pause {
                // Each pause that begins before it ends makes it longer.
                let mut pause = (self.now / every).floor() * every + every;
                if self.now % every < long && self.now >= every {
                    ends += long - self.now % every;
                }
                while pause < ends {
                    ends += long;
                    pause += every;
                }
            }
            self.numbers += 1;
            self.at_work.insert(self.numbers, began);
            self.at(ends, Kind::Ends(self.numbers));
        }
    }

    /// What each gets of the shared CPUs.
    fn share(&self) -> f64 {
        (f64::from(self.server.workers_at(self.now)) / self.inside.len().max(1) as f64).min(1.0)
    }

    fn progress(&mut self) {
        let done = (self.now - self.updated) * self.share();
        self.inside.iter_mut().for_each(|(_, left)| *left -= done);
        self.updated = self.now;
    }

    fn plan(&mut self) {
        self.changes += 1;
        let least = self.inside.iter().map(|(_, left)| *left).min_by(f64::total_cmp);
        if let Some(least) = least {
            // A nanosecond more: rounded down, nothing would have ended.
            let at = self.now + least.max(0.0) / self.share() + 1e-9;
            self.at(at, Kind::Least(self.changes));
        }
    }

    fn answered(&mut self, began: f64) {
        self.good += 1;
        self.run.answers[self.now as usize] += 1;
        self.run.latencies.push((self.now, self.now - began));
        self.recent.push(self.now - began);
    }

    fn look(&mut self) {
        let (now, in_flight) = (Duration::from_secs_f64(self.now), self.in_flight());
        let recent = std::mem::take(&mut self.recent);
        self.limiter.look(now, in_flight, self.waiting as u32, self.good, &recent);
        self.run.limits.push(self.limiter.limit());
        self.at(self.now + LOOK_EVERY, Kind::Look);
    }
}
