//! Servers that exist only as arithmetic, with their true breaking points: what a search finds is compared with these. No
//! clock: a trial of half a minute takes some milliseconds.

#![allow(dead_code, reason = "each test file uses a part of it")]

pub mod curves;
pub mod queues;

use std::f64::consts::PI;
use tentpole_search::draw::Draw;
use tentpole_search::{Answer, Next, Page, Search, Settings, Trial};

/// A server that can be tried, and whose truth is known.
pub trait Server {
    /// What happens in so many seconds at a load. `at_s`: when it begins, in seconds of trials before it.
    fn pages(&self, load: f64, time_s: f64, at_s: f64, draw: &mut Draw) -> Vec<Page>;

    /// Where it breaks: the lowest and the highest such load during the search; the same for all that do not drift.
    fn truth(&self) -> (f64, f64);
}

/// A server with what is asked of it.
pub struct Case {
    pub name: &'static str,
    pub server: Box<dyn Server>,
    pub settings: Settings,
    /// The goal that goes first, where one surely does.
    pub first: Option<usize>,
}

/// Performs a whole search.
pub fn search(case: &Case, seed: u64) -> (Answer, usize) {
    let mut draw = Draw::new(seed);
    let mut search = Search::new(case.settings.clone());
    let (mut at_s, mut trials) = (0.0, 0);
    loop {
        match search.next() {
            Next::Done(why) => return (search.answer(why), trials),
            Next::Try { load, time_s, step } => {
                let pages = case.server.pages(load, time_s, at_s, &mut draw);
                if std::env::var_os("SEARCH_SHOWN").is_some() {
                    println!("{step:?} {load} for {time_s:.0} s: {} pages", pages.len());
                }
                search.tell(&Trial { load, time_s, pages });
                at_s += time_s;
                trials += 1;
                assert!(trials <= tentpole_search::search::TRIALS_MAX, "{}: it does not end", case.name);
            }
        }
    }
}

/// An exponentially distributed time.
pub fn exponential(mean: f64, draw: &mut Draw) -> f64 {
    -mean * (1.0 - draw.unit()).ln()
}

/// A normally distributed number (Box and Muller, 1958).
pub fn normal(draw: &mut Draw) -> f64 {
    (-2.0 * (1.0 - draw.unit()).ln()).sqrt() * (2.0 * PI * draw.unit()).cos()
}

/// The load at which a growing share crosses a limit.
pub fn crossing(share: impl Fn(f64) -> f64, limit: f64, low: f64, high: f64) -> f64 {
    let (mut low, mut high) = (low, high);
    for _ in 0..80 {
        let middle = f64::midpoint(low, high);
        if share(middle) < limit { low = middle } else { high = middle }
    }
    f64::midpoint(low, high)
}
