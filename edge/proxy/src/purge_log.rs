//! The last purges, for people, and how many there were. Bounded; no request touches it but one that purges.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tentpole_model::{PurgeRecord, PurgedBy};
use tentpole_runtime::clock;

/// Purges that are remembered.
const RECENT_MAX: usize = 12;
/// Those of them that visitors' changes led to: anybody who can send a POST could push all others out.
const ROUTES_MAX: usize = 4;

/// What was purged lately.
#[derive(Debug, Default)]
pub struct PurgeLog {
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    counts: [u64; PurgedBy::ALL.len()],
    recent: VecDeque<PurgeRecord>,
}

impl PurgeLog {
    /// Notes a purge that is in force.
    pub fn add(&self, by: PurgedBy, what: String, why: Option<&str>, soft: bool, objects: u64) {
        let at_unix_ms = clock::now().unix_us() / 1_000;
        let why = why.map(str::to_owned);
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.counts[by as usize] += 1;
        if by == PurgedBy::Route {
            kept.make_room_for_route(&what);
        }
        kept.recent.push_front(PurgeRecord { at_unix_ms, by, what, why, soft, objects });
        kept.recent.truncate(RECENT_MAX);
    }

    /// How many there were by each, and the last ones, newest first.
    pub fn figures(&self) -> ([u64; PurgedBy::ALL.len()], Vec<PurgeRecord>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.counts, kept.recent.iter().cloned().collect())
    }
}

impl Kept {
    /// The same once more replaces what was remembered of it.
    fn make_room_for_route(&mut self, what: &str) {
        let mut others = 0;
        self.recent.retain(|record| {
            let is_of_route = record.by == PurgedBy::Route;
            let stays = !is_of_route || (record.what != what && others + 1 < ROUTES_MAX);
            others += usize::from(is_of_route && stays);
            stays
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_last_are_kept() {
        let log = PurgeLog::default();
        for at in 0..100 {
            log.add(PurgedBy::Request, format!("tag {at}"), None, at % 2 == 0, at);
        }
        log.add(PurgedBy::Admin, "everything".into(), None, false, 7);
        let (counts, recent) = log.figures();
        assert_eq!(counts, [1, 100, 0, 0]);
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!((recent[0].what.as_str(), recent[1].what.as_str()), ("everything", "tag 99"));
    }

    #[test]
    fn changes_by_visitors_push_nothing_else_out() {
        let log = PurgeLog::default();
        log.add(PurgedBy::Admin, "everything".into(), None, false, 7);
        for at in 0..100 {
            log.add(PurgedBy::Route, format!("shop.example/{}", at % 50), None, false, at);
        }
        for _ in 0..2 {
            log.add(PurgedBy::Route, "shop.example/48".into(), None, false, 1);
        }
        let (counts, recent) = log.figures();
        assert_eq!(counts, [1, 0, 0, 102]);
        let whats: Vec<_> = recent.iter().map(|record| &record.what[..]).collect();
        let routes = ["shop.example/48", "shop.example/49", "shop.example/47", "shop.example/46"];
        assert_eq!(whats, [&routes[..], &["everything"]].concat());
        assert_eq!(recent[0].objects, 1);
    }
}
