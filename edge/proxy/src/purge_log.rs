//! The last purges, for people, and how many there were. Bounded; no request touches it but one that purges.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use tentpole_model::{PurgeRecord, PurgedBy};
use tentpole_runtime::clock;

/// Purges that are remembered.
const RECENT_MAX: usize = 12;

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
        kept.recent.push_front(PurgeRecord { at_unix_ms, by, what, why, soft, objects });
        kept.recent.truncate(RECENT_MAX);
    }

    /// How many there were by each, and the last ones, newest first.
    pub fn figures(&self) -> ([u64; PurgedBy::ALL.len()], Vec<PurgeRecord>) {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        (kept.counts, kept.recent.iter().cloned().collect())
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
        assert_eq!(counts, [1, 100, 0]);
        assert_eq!(recent.len(), RECENT_MAX);
        assert_eq!((recent[0].what.as_str(), recent[1].what.as_str()), ("everything", "tag 99"));
    }
}
