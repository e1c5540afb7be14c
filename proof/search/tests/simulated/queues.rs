//! Queues whose response times are known in closed form: visitors who think and come again, and arrivals at a rate.

use super::{Server, crossing, exponential};
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use tentpole_search::draw::Draw;
use tentpole_search::{Goal, Page};

/// Who waits for one of several workers, first come, first served.
#[derive(Clone, Debug)]
pub struct Queue {
    /// Workers.
    pub workers: usize,
    /// Mean time of work, in s, exponentially distributed.
    pub work_s: f64,
    /// Requests inside at most; one more is refused.
    pub inside_max: usize,
    /// The share of requests that a cache answers in 2 ms.
    pub cached: f64,
    /// By how much work becomes slower in a second.
    pub slower: f64,
}

/// How long the cache takes.
const CACHE_S: f64 = 0.002;

impl Queue {
    pub fn of(workers: usize, work_s: f64) -> Self {
        Self { workers, work_s, inside_max: usize::MAX, cached: 0.0, slower: 0.0 }
    }
}

/// Visitors who think for exponentially distributed times between two requests.
pub struct Visitors {
    pub queue: Queue,
    pub think_s: f64,
    pub goals: Vec<Goal>,
}

/// Arrivals at random (Poisson).
pub struct Arrivals {
    pub queue: Queue,
    pub goals: Vec<Goal>,
}

/// A moment that can be ordered.
#[derive(Clone, Copy, PartialEq)]
struct At(f64);

impl Eq for At {}

impl PartialOrd for At {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for At {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.total_cmp(&other.0)
    }
}

/// The workers while they work: when each is free again, and when those inside leave.
struct Floor {
    free: BinaryHeap<Reverse<At>>,
    leave: BinaryHeap<Reverse<At>>,
}

impl Floor {
    fn new(queue: &Queue) -> Self {
        Self { free: (0..queue.workers).map(|_| Reverse(At(0.0))).collect(), leave: BinaryHeap::new() }
    }

    /// Requests come in the order of time; says when this one has its answer, or that it is refused.
    fn ask(&mut self, queue: &Queue, now: f64, at_s: f64, draw: &mut Draw) -> Option<f64> {
        if draw.unit() < queue.cached {
            return Some(now + CACHE_S);
        }
        if queue.inside_max < usize::MAX {
            while self.leave.peek().is_some_and(|left| left.0.0 <= now) {
                self.leave.pop();
            }
            if self.leave.len() >= queue.inside_max {
                return None;
            }
        }
        let work = exponential(queue.work_s * (1.0 + queue.slower * (at_s + now)), draw);
        let Reverse(At(free)) = self.free.pop().expect("there are workers");
        let done = free.max(now) + work;
        self.free.push(Reverse(At(done)));
        if queue.inside_max < usize::MAX {
            self.leave.push(Reverse(At(done)));
        }
        Some(done)
    }
}

impl Server for Visitors {
    fn pages(&self, load: f64, time_s: f64, at_s: f64, draw: &mut Draw) -> Vec<Page> {
        let mut floor = Floor::new(&self.queue);
        let mut due: BinaryHeap<Reverse<At>> =
            (0..load as usize).map(|_| Reverse(At(exponential(self.think_s, draw)))).collect();
        let mut pages = Vec::new();
        while let Some(Reverse(At(now))) = due.pop() {
            if now >= time_s {
                break;
            }
            let done = floor.ask(&self.queue, now, at_s, draw);
            pages.push(Page { took_ms: done.map(|done| (done - now) * 1_000.0) });
            due.push(Reverse(At(done.unwrap_or(now) + exponential(self.think_s, draw))));
        }
        pages
    }

    fn truth(&self) -> (f64, f64) {
        let at = |slower: f64| {
            let queue = Queue { work_s: self.queue.work_s * slower, ..self.queue.clone() };
            let one = |goal: &Goal| {
                // The first whole number beyond the limit, from below: shares of thousands take long to compute.
                let of = |visitors: usize| closed(&queue, self.think_s, visitors, goal);
                let (mut low, mut high) = (1, 2);
                while of(high) < goal.share() && high < 4_096 {
                    (low, high) = (high, high * 2);
                }
                while high - low > 1 {
                    let middle = usize::midpoint(low, high);
                    if of(middle) < goal.share() { low = middle } else { high = middle }
                }
                // Between two whole numbers, the share grows evenly.
                let (below, above) = (of(low), of(high));
                low as f64 + ((goal.share() - below) / (above - below)).clamp(0.0, 1.0)
            };
            self.goals.iter().map(one).fold(f64::INFINITY, f64::min)
        };
        (at(1.0 + self.queue.slower * 300.0), at(1.0))
    }
}

/// The share over the limit for one of so many visitors. Who arrives sees the others as if he were not there (Sevcik and
/// Mitrani, JACM 28, 1981); how long the others think is of no matter but for its mean (Baskett, Chandy, Muntz and
/// Palacios, JACM 22, 1975), so that cached requests are part of it.
fn closed(queue: &Queue, think_s: f64, visitors: usize, goal: &Goal) -> f64 {
    let others = visitors.saturating_sub(1);
    let away = think_s / (1.0 - queue.cached) + CACHE_S * queue.cached / (1.0 - queue.cached);
    let (workers, ratio) = (queue.workers, queue.work_s / away);
    // Weights of 0, 1, 2, … inside, on a scale that does not overflow.
    let mut weights = vec![1.0_f64];
    for inside in 1..=others.min(queue.inside_max) {
        let last = weights[inside - 1];
        let next = last * (others - inside + 1) as f64 * ratio / inside.min(workers) as f64;
        weights.push(next);
        if next > 1e200 {
            weights.iter_mut().for_each(|weight| *weight /= 1e200);
        }
    }
    let total: f64 = weights.iter().sum();
    let asked = 1.0 - queue.cached;
    match goal {
        Goal::Failures { .. } if queue.inside_max > others => 0.0,
        Goal::Failures { .. } => asked * weights[queue.inside_max] / total,
        Goal::Quantile { under_ms, .. } => {
            let limit = under_ms / 1_000.0;
            // Who is refused has no load time.
            let served = if others >= queue.inside_max { queue.inside_max } else { others + 1 };
            let taken: f64 = weights[..served].iter().sum();
            let longer: f64 = weights[..served]
                .iter()
                .enumerate()
                .map(|(inside, weight)| weight * tail(queue, inside, limit))
                .sum();
            asked * longer / taken
        }
    }
}

/// The chance that someone who finds so many inside is there for longer than the limit.
fn tail(queue: &Queue, inside: usize, limit: f64) -> f64 {
    let (workers, each) = (queue.workers as f64, 1.0 / queue.work_s);
    let alone = (-each * limit).exp();
    if inside < queue.workers {
        return alone;
    }
    let before = inside - queue.workers + 1;
    if queue.workers == 1 {
        return erlang_tail(before + 1, each * limit);
    }
    // Waiting for so many departures, then work of his own.
    let waits = erlang_tail(before, workers * each * limit);
    let rest = 1.0 - erlang_tail(before, (workers - 1.0) * each * limit);
    let factor = (before as f64 * (workers / (workers - 1.0)).ln() - each * limit).exp();
    (waits + factor * rest).min(1.0)
}

/// The chance that the sum of so many exponential times of mean 1 is longer than this: that fewer events happened.
fn erlang_tail(count: usize, time: f64) -> f64 {
    let (mut term, mut sum) = (-time, f64::NEG_INFINITY);
    for n in 0..count {
        if n > 0 {
            term += (time / n as f64).ln();
        }
        // Logarithms: a term alone would vanish.
        let (high, low) = if sum > term { (sum, term) } else { (term, sum) };
        sum = high + (low - high).exp().ln_1p();
    }
    sum.exp().min(1.0)
}

impl Server for Arrivals {
    fn pages(&self, load: f64, time_s: f64, at_s: f64, draw: &mut Draw) -> Vec<Page> {
        let mut floor = Floor::new(&self.queue);
        let (mut now, mut pages) = (0.0, Vec::new());
        loop {
            now += exponential(1.0 / load, draw);
            if now >= time_s {
                return pages;
            }
            let done = floor.ask(&self.queue, now, at_s, draw);
            pages.push(Page { took_ms: done.map(|done| (done - now) * 1_000.0) });
        }
    }

    fn truth(&self) -> (f64, f64) {
        let top = self.queue.workers as f64 / self.queue.work_s;
        let one = |goal: &Goal| match goal {
            // Lost calls (Erlang, 1917), where nobody waits.
            Goal::Failures { .. } => {
                assert_eq!(self.queue.inside_max, self.queue.workers, "nobody waits");
                let lost = |load: f64| {
                    let busy = load * self.queue.work_s;
                    (1..=self.queue.workers).fold(1.0, |lost: f64, n| busy * lost / (n as f64 + busy * lost))
                };
                crossing(lost, goal.share(), 1e-6, top * 4.0)
            }
            Goal::Quantile { under_ms, .. } => {
                let share = |load: f64| open(&self.queue, load, under_ms / 1_000.0);
                crossing(share, goal.share(), 1e-6, top * (1.0 - 1e-9))
            }
        };
        let truth = self.goals.iter().map(one).fold(f64::INFINITY, f64::min);
        (truth, truth)
    }
}

/// The share over the limit at a rate (Erlang's delay formula, 1917).
fn open(queue: &Queue, load: f64, limit: f64) -> f64 {
    let (workers, each) = (queue.workers as f64, 1.0 / queue.work_s);
    let busy = load * queue.work_s;
    let lost = (1..=queue.workers).fold(1.0, |lost: f64, n| busy * lost / (n as f64 + busy * lost));
    let waits = lost / (1.0 - busy / workers * (1.0 - lost));
    let spare = workers * each - load;
    let spare = if (spare - each).abs() < 1e-9 * each { spare * (1.0 + 1e-6) } else { spare };
    let alone = (-each * limit).exp();
    let both = (spare * alone - each * (-spare * limit).exp()) / (spare - each);
    alone * (1.0 - waits) + waits * both
}
