//! What learning did, counted for people. Decides nothing.

use super::Learning;
use crate::purge_log::PurgeLog;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tentpole_learn::{Change, Withdrawn};
use tentpole_model::{LearningFigures, PurgedBy};

/// What the learner's thread counts.
pub struct Counts {
    observed: AtomicU64,
    /// Parallel to [`Withdrawn::ALL`].
    withdrawn: [AtomicU64; Withdrawn::ALL.len()],
    purges: Arc<PurgeLog>,
}

impl Counts {
    /// Nothing yet.
    pub fn new(purges: Arc<PurgeLog>) -> Self {
        let withdrawn = std::array::from_fn(|_| AtomicU64::new(0));
        Self { observed: AtomicU64::new(0), withdrawn, purges }
    }

    /// One more answer was looked at.
    pub fn observed(&self) {
        self.observed.fetch_add(1, Ordering::Relaxed);
    }

    /// A change purged so many objects. What nobody asks for any more, and what is merely old, is no news to anybody.
    pub fn changed(&self, change: &Change, objects: u64) {
        let Change::Withdraw { key, why, .. } = change else { return };
        self.withdrawn[*why as usize].fetch_add(1, Ordering::Relaxed);
        if *why != Withdrawn::Forgotten {
            self.purges.add(PurgedBy::Learning, page_of(key), Some(why.label()), false, objects);
        }
    }
}

impl Learning {
    /// What was learned and lost.
    pub fn figures(&self) -> LearningFigures {
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let withdrawn = Withdrawn::ALL.iter().zip(&self.counts.withdrawn);
        LearningFigures {
            // Those who serve count it.
            served: 0,
            rules: self.rules.get().len() as u64,
            observed: read(&self.counts.observed),
            dropped: read(&self.dropped),
            withdrawn: withdrawn
                .map(|(why, count)| (why.word().to_owned(), read(count)))
                .filter(|&(_, count)| count > 0)
                .collect(),
        }
    }
}

/// Host and path of a key.
fn page_of(key: &[u8]) -> String {
    let key = String::from_utf8_lossy(key);
    let mut parts = key.split('\0');
    let host = parts.next().unwrap_or_default();
    let target = parts.next().unwrap_or_default();
    format!("{host}{}", target.split('?').next().unwrap_or_default()).chars().take(160).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_withdrawn_is_counted_by_its_reason_and_told() {
        let purges = Arc::new(PurgeLog::default());
        let counts = Counts::new(purges.clone());
        let gone = |why| Change::Withdraw { url: 1, key: (*b"shop.example\0/a?t=secret").into(), why };
        counts.changed(&gone(Withdrawn::Alternates), 3);
        counts.changed(&gone(Withdrawn::Forgotten), 1);
        counts.changed(&Change::Outdated { key: (*b"shop.example\0/b").into() }, 1);
        assert_eq!(counts.withdrawn[Withdrawn::Alternates as usize].load(Ordering::Relaxed), 1);
        assert_eq!(counts.withdrawn[Withdrawn::Forgotten as usize].load(Ordering::Relaxed), 1);
        let (told, recent) = purges.figures();
        assert_eq!((told, recent.len()), ([0, 0, 1, 0], 1));
        assert_eq!((recent[0].what.as_str(), recent[0].objects), ("shop.example/a", 3));
        assert_eq!(recent[0].why.as_deref(), Some(Withdrawn::Alternates.label()));
        assert!(Withdrawn::ALL.iter().enumerate().all(|(at, &why)| why as usize == at));
    }
}
