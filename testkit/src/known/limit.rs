//! What a server of a known limit does with a request that comes at a moment: which status, and when. Pure, with a time of its own:
//! the server that is really asked and the simulation that computes its truth make the same decisions. Never looks at a clock.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

/// Where a server's strength ends.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// So many requests at once, each for this time; whoever finds no place gets 503 at once.
    Places {
        /// How many.
        places: usize,
        /// How long a request takes.
        work: Duration,
    },
    /// So many workers, each with one request for exactly this time, and one queue in front of all of them.
    Workers {
        /// How many.
        workers: usize,
        /// How long a request takes.
        work: Duration,
        /// Whoever would wait longer than this gets 503 when it is over.
        patience: Option<Duration>,
    },
    /// A bucket of tokens: so many requests a second, whoever finds none gets 429 at once. The others are answered at once.
    Tokens {
        /// Requests a second in the long run.
        per_s: f64,
        /// Tokens that the bucket holds, full at first.
        at_once: f64,
    },
}

/// What a request gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// 200, 429 or 503.
    pub status: u16,
    /// When it is answered, in µs of the same time as the question.
    pub at_us: u64,
}

/// A limit with what is under way. Requests are told in the order in which they come.
#[derive(Clone, Debug)]
pub struct State {
    limit: Limit,
    /// When places or workers become free, the first one on top. No more of them than there are.
    ends: BinaryHeap<Reverse<u64>>,
    tokens: f64,
    filled_us: u64,
}

impl State {
    /// Nothing is under way.
    pub fn new(limit: Limit) -> Self {
        let tokens = if let Limit::Tokens { at_once, .. } = limit { at_once } else { 0.0 };
        Self { limit, ends: BinaryHeap::new(), tokens, filled_us: 0 }
    }

    /// What a request gets that comes now. Whatever the clock of the asker does, work ends to the microsecond: a server that is
    /// held up answers late and carries no less.
    pub fn ask(&mut self, now_us: u64) -> Verdict {
        while self.ends.peek().is_some_and(|Reverse(end)| *end <= now_us) {
            self.ends.pop();
        }
        match self.limit {
            Limit::Places { places, work } => {
                if self.ends.len() >= places {
                    return Verdict { status: 503, at_us: now_us };
                }
                self.work_from(now_us, work)
            }
            Limit::Workers { workers, work, patience } => {
                let from = match self.ends.peek() {
                    Some(Reverse(first)) if self.ends.len() >= workers => *first,
                    _ => return self.work_from(now_us, work),
                };
                if let Some(leaves) =
                    patience.map(|time| now_us + micros(time)).filter(|leaves| from > *leaves)
                {
                    return Verdict { status: 503, at_us: leaves };
                }
                self.ends.pop();
                self.work_from(from, work)
            }
            Limit::Tokens { per_s, at_once } => {
                let passed_s = now_us.saturating_sub(self.filled_us) as f64 / 1e6;
                self.filled_us = self.filled_us.max(now_us);
                self.tokens = (self.tokens + passed_s * per_s).min(at_once);
                let has_one = self.tokens >= 1.0;
                self.tokens -= if has_one { 1.0 } else { 0.0 };
                Verdict { status: if has_one { 200 } else { 429 }, at_us: now_us }
            }
        }
    }

    fn work_from(&mut self, from_us: u64, work: Duration) -> Verdict {
        let at_us = from_us + micros(work);
        self.ends.push(Reverse(at_us));
        Verdict { status: 200, at_us }
    }
}

fn micros(time: Duration) -> u64 {
    time.as_micros() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    const WORK: Duration = Duration::from_micros(100);

    fn answers(limit: Limit, asked: &[u64]) -> Vec<(u16, u64)> {
        let mut state = State::new(limit);
        let told = asked.iter().map(|now_us| state.ask(*now_us));
        told.map(|verdict| (verdict.status, verdict.at_us)).collect()
    }

    #[test]
    fn whoever_finds_no_place_is_refused_at_once() {
        let places = Limit::Places { places: 2, work: WORK };
        let told = answers(places, &[0, 10, 20, 99, 100]);
        assert_eq!(told, [(200, 100), (200, 110), (503, 20), (503, 99), (200, 200)]);
    }

    #[test]
    fn workers_take_one_after_the_other_in_the_order_in_which_they_came() {
        let workers = |patience| Limit::Workers { workers: 2, work: WORK, patience };
        let told = answers(workers(None), &[0, 10, 20, 30, 40]);
        assert_eq!(told, [(200, 100), (200, 110), (200, 200), (200, 210), (200, 300)]);
        let told = answers(workers(Some(Duration::from_micros(150))), &[0, 10, 20, 30, 40, 50]);
        assert_eq!(told, [(200, 100), (200, 110), (200, 200), (200, 210), (503, 190), (200, 300)]);
    }

    #[test]
    fn a_bucket_fills_while_nobody_asks_and_no_higher_than_it_is() {
        let tokens = Limit::Tokens { per_s: 10.0, at_once: 2.0 };
        let told = answers(tokens, &[0, 0, 0, 100_000, 100_000, 9_000_000, 9_000_000, 9_000_000]);
        let statuses: Vec<u16> = told.iter().map(|(status, _)| *status).collect();
        assert_eq!(statuses, [200, 200, 429, 200, 429, 200, 200, 429]);
    }
}
