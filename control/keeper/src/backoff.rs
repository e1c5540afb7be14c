//! How long a part that died waits until it is started again. Pure: is told how long it lived.

use std::time::Duration;

/// A part that lived this long was not broken from the start.
const LIVED: Duration = Duration::from_secs(2);
const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(1);

/// The waits of one part: none after a long life, then longer and longer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Backoff {
    next: Duration,
}

impl Backoff {
    /// It died after this time; returns how long to wait.
    pub fn died(&mut self, lived: Duration) -> Duration {
        let wait = if lived >= LIVED { Duration::ZERO } else { self.next };
        self.next = (wait * 2).clamp(FIRST, LONGEST);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waits(lives_ms: &[u64]) -> Vec<u64> {
        let mut backoff = Backoff::default();
        let wait = |&lived| backoff.died(Duration::from_millis(lived)).as_millis() as u64;
        lives_ms.iter().map(wait).collect()
    }

    #[test]
    fn the_first_death_is_answered_at_once_and_quick_ones_after_it_more_and_more_slowly() {
        assert_eq!(waits(&[5, 5, 5, 5, 5, 5, 5, 5]), [0, 100, 200, 400, 800, 1000, 1000, 1000]);
    }

    #[test]
    fn a_long_life_begins_anew() {
        assert_eq!(waits(&[5_000, 5_000, 2_000]), [0, 0, 0]);
        assert_eq!(waits(&[5, 5, 5, 2_000, 1_999, 5]), [0, 100, 200, 0, 100, 200]);
    }
}
