//! Purges that content networks in front are to hear of. They wait here until a control process says that it has them,
//! over however many links that takes: one that died may have read them or not, and told twice they do no harm. Bounded.

use std::collections::VecDeque;
use tentpole_model::link::LinkUp;
use tentpole_model::{PurgeOrder, PurgeWhat};

/// Purges that wait; more become one of everything.
const WAITING_MAX: usize = 1_024;

/// Those that wait.
#[derive(Debug, Default)]
pub(crate) struct Untold {
    last: u64,
    waiting: VecDeque<(u64, PurgeOrder)>,
}

impl Untold {
    /// One more; returns what control is told.
    pub(crate) fn add(&mut self, order: PurgeOrder) -> LinkUp {
        self.last += 1;
        let order = if self.waiting.len() < WAITING_MAX {
            order
        } else {
            // Nothing of what was purged may stay in front; that more goes than had to is the lesser evil.
            self.waiting.clear();
            PurgeOrder::hard(PurgeWhat::All)
        };
        self.waiting.push_back((self.last, order.clone()));
        LinkUp::Purged { id: self.last, order }
    }

    /// What a new control process is told.
    pub(crate) fn all(&self) -> Vec<LinkUp> {
        let word = |(id, order): &(u64, PurgeOrder)| LinkUp::Purged { id: *id, order: order.clone() };
        self.waiting.iter().map(word).collect()
    }

    /// Control has all up to this number.
    pub(crate) fn heard(&mut self, id: u64) {
        while self.waiting.front().is_some_and(|(first, _)| *first <= id) {
            self.waiting.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(number: u64) -> PurgeOrder {
        PurgeOrder::hard(PurgeWhat::Url(format!("http://a/{number}")))
    }

    #[test]
    fn what_nobody_has_taken_is_told_again_in_its_order() {
        let mut untold = Untold::default();
        let told: Vec<LinkUp> = (1..=3).map(|number| untold.add(of(number))).collect();
        assert_eq!(untold.all(), told);
        untold.heard(2);
        assert_eq!(untold.all(), told[2..]);
        untold.heard(1);
        assert_eq!(untold.all(), told[2..], "late news");
        untold.heard(3);
        assert_eq!(untold.all(), []);
    }

    #[test]
    fn more_than_can_wait_become_one_of_everything() {
        let mut untold = Untold::default();
        (0..WAITING_MAX as u64).for_each(|number| _ = untold.add(of(number)));
        let all = untold.add(of(9_999));
        assert_eq!(all, LinkUp::Purged { id: 1_025, order: PurgeOrder::hard(PurgeWhat::All) });
        assert_eq!(untold.all(), [all]);
    }
}
