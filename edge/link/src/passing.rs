//! Purges on their way to the edges beside this one. They wait here until control says that they were carried out, over
//! however many links that takes; who wanted to know may have left long before. Bounded.

use crate::Passing;
use std::collections::BTreeMap;
use tentpole_model::link::LinkUp;
use tentpole_model::{PurgeOrder, PurgedBy};
use tokio::sync::oneshot;

/// Purges that wait; of more the oldest is given up, and who waits for it learns that.
const WAITING_MAX: usize = 1_024;

/// Those that wait.
#[derive(Default)]
pub(crate) struct Passes {
    last: u64,
    waiting: BTreeMap<u64, (PurgedBy, Vec<PurgeOrder>, oneshot::Sender<bool>)>,
}

impl Passes {
    /// One more; returns what control is told.
    pub(crate) fn add(&mut self, (by, orders, done): Passing) -> LinkUp {
        if self.waiting.len() >= WAITING_MAX {
            self.waiting.pop_first();
        }
        self.last += 1;
        self.waiting.insert(self.last, (by, orders.clone(), done));
        LinkUp::Pass { id: self.last, by, orders }
    }

    /// What a new control process is told.
    pub(crate) fn all(&self) -> Vec<LinkUp> {
        let word = |(&id, (by, orders, _)): (&u64, &(PurgedBy, Vec<PurgeOrder>, _))| LinkUp::Pass {
            id,
            by: *by,
            orders: orders.clone(),
        };
        self.waiting.iter().map(word).collect()
    }

    /// One was carried out by all others, or not by all.
    pub(crate) fn passed(&mut self, id: u64, everywhere: bool) {
        if let Some((_, _, done)) = self.waiting.remove(&id) {
            // Who wanted to know may have left.
            let _ = done.send(everywhere);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::PurgeWhat;

    #[test]
    fn what_was_not_answered_is_told_again_and_more_than_fits_is_given_up() {
        let mut passes = Passes::default();
        let mut waiting = Vec::new();
        for _ in 0..=WAITING_MAX {
            let (done, passed) = oneshot::channel();
            let _ = passes.add((PurgedBy::Request, vec![PurgeOrder::hard(PurgeWhat::All)], done));
            waiting.push(passed);
        }
        assert!(waiting[0].try_recv().is_err(), "given up");
        assert_eq!(passes.all().len(), WAITING_MAX);
        passes.passed(2, true);
        assert_eq!(waiting[1].try_recv(), Ok(true));
        assert!(!passes.all().iter().any(|word| matches!(word, LinkUp::Pass { id: 2, .. })));
        passes.passed(2, true);
    }
}
