//! Whose turn it is when several ranks wait: the best, but each sixteenth turn the next rank's, so that nobody stands before a
//! site for ever because others keep coming. Crawlers have no such share: they come again by themselves.

use tentpole_model::Priority;

/// Each how many turns one is given away. Of a pool that checkouts alone would fill, visitors without one get 6 %.
const GIVEN_EACH: u32 = 16;
/// The part of a pool's pace that no rank but the last loses to better ones.
pub const SHARE: f64 = 1.0 / GIVEN_EACH as f64;

/// Counts turns.
#[derive(Clone, Copy, Debug, Default)]
pub struct Turns(u32);

impl Turns {
    /// The rank whose first is next, when so many wait in each; `None` when nobody does.
    pub fn next(self, waiting: &[usize; Priority::COUNT]) -> Option<Priority> {
        let mut ranks = Priority::ALL.iter().copied().filter(|&rank| waiting[rank as usize] > 0);
        let best = ranks.next()?;
        let gives = self.0 % GIVEN_EACH == GIVEN_EACH - 1;
        let other = ranks.next().filter(|&other| gives && other < Priority::Crawler);
        Some(other.unwrap_or(best))
    }

    /// Somebody had his turn.
    pub fn taken(&mut self) {
        self.0 = self.0.wrapping_add(1);
    }
}

/// The rank of which the youngest leaves a full queue for somebody of this rank; `None` when nobody there is worth less.
pub fn outranked(by: Priority, waiting: &[usize; Priority::COUNT]) -> Option<Priority> {
    let worst = Priority::ALL.iter().copied().rev().find(|&rank| waiting[rank as usize] > 0)?;
    (worst > by).then_some(worst)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_come_first_and_a_sixteenth_is_the_next_ones() {
        let waiting = [0, 0, 9, 0, 9, 9];
        let mut turns = Turns::default();
        let mut given = [0; Priority::COUNT];
        for _ in 0..160 {
            given[turns.next(&waiting).unwrap() as usize] += 1;
            turns.taken();
        }
        assert_eq!(given, [0, 0, 150, 0, 10, 0]);
        assert_eq!(turns.next(&[0; 6]), None);
    }

    #[test]
    fn crawlers_wait_until_nobody_else_does() {
        let mut turns = Turns::default();
        for _ in 0..64 {
            assert_eq!(turns.next(&[0, 0, 0, 0, 1, 1]), Some(Priority::Normal));
            turns.taken();
        }
        assert_eq!(turns.next(&[0, 0, 0, 0, 0, 1]), Some(Priority::Crawler));
    }

    #[test]
    fn only_who_is_worth_less_leaves_a_full_queue() {
        let waiting = [0, 0, 5, 0, 2, 0];
        assert_eq!(outranked(Priority::Checkout, &waiting), Some(Priority::Normal));
        assert_eq!(outranked(Priority::Normal, &waiting), None);
        assert_eq!(outranked(Priority::Crawler, &waiting), None);
        assert_eq!(outranked(Priority::Health, &[0, 0, 5, 0, 0, 0]), Some(Priority::Checkout));
    }
}
