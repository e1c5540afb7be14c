//! What one resolver remembers of one name: the answer as long as its TTL says, counted from this resolver's own look-up.
//! Pure; whoever has it says what time it is.

use crate::trouble::Trouble;
use std::net::IpAddr;
use std::time::Duration;
use tentpole_runtime::Instant;

/// Longest time that an answer is kept, in seconds (RFC 2181 section 8 allows more; nobody needs it).
pub const TTL_MAX: u32 = 86_400;
/// How long it counts that nobody could say: at least 1 s (RFC 9520 section 3.2).
const FAILURE: Duration = Duration::from_secs(1);
/// How long it counts at most that there is nothing.
const ABSENCE_MAX: Duration = Duration::from_secs(30);

/// Of one name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cache {
    known: Option<(Result<Vec<IpAddr>, Trouble>, Instant)>,
    /// How often it was asked.
    turn: u64,
}

impl Cache {
    /// What is known now, and how often it was told before; `None` when the name server must be asked. Counts.
    pub fn tell(&mut self, now: Instant) -> Option<(Result<&[IpAddr], &Trouble>, u64)> {
        let (known, until) = self.known.as_ref()?;
        if now >= *until {
            return None;
        }
        let turn = self.turn;
        self.turn += 1;
        Some((known.as_deref(), turn))
    }

    /// Keeps an answer from now on. A TTL of 0 counts for who has asked and nobody else: see [`Self::told`].
    pub fn keep(&mut self, answer: Vec<IpAddr>, ttl_s: u32, now: Instant) {
        let until = now.after(Duration::from_secs(ttl_s.min(TTL_MAX).into()));
        self.known = Some((Ok(answer), until));
    }

    /// Keeps that there was none.
    pub fn keep_trouble(&mut self, trouble: Trouble, now: Instant) {
        let time = trouble.negative_ttl().unwrap_or(FAILURE).clamp(FAILURE, ABSENCE_MAX);
        self.known = Some((Err(trouble), now.after(time)));
    }

    /// What was just kept, for who has asked for it, whatever its TTL. Counts.
    pub fn told(&mut self) -> Option<(Result<&[IpAddr], &Trouble>, u64)> {
        let turn = self.turn;
        self.turn += 1;
        let (known, _) = self.known.as_ref()?;
        Some((known.as_deref(), turn))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    #[test]
    fn an_answer_counts_for_its_ttl_from_the_resolvers_own_look_up() {
        let mut cache = Cache::default();
        assert_eq!(cache.tell(at(0)), None);
        let one = vec![IpAddr::from([127, 0, 0, 1])];
        cache.keep(one.clone(), 60, at(5_000));
        assert_eq!(cache.told(), Some((Ok(&one[..]), 0)));
        assert_eq!(cache.tell(at(64_999)), Some((Ok(&one[..]), 1)));
        assert_eq!(cache.tell(at(65_000)), None);
        cache.keep(one.clone(), 0, at(65_000));
        assert_eq!(cache.told(), Some((Ok(&one[..]), 2)), "who has asked hears it");
        assert_eq!(cache.tell(at(65_000)), None, "and nobody after him");
    }

    #[test]
    fn that_there_is_nothing_is_kept_too_and_not_for_long() {
        let mut cache = Cache::default();
        let gone = Trouble::NoSuchName { negative_ttl_s: Some(3_600) };
        cache.keep_trouble(gone.clone(), at(0));
        assert_eq!(cache.tell(at(29_999)), Some((Err(&gone), 0)));
        assert_eq!(cache.tell(at(30_000)), None);
        cache.keep_trouble(Trouble::Malformed, at(30_000));
        assert!(cache.tell(at(30_999)).is_some());
        assert_eq!(cache.tell(at(31_000)), None);
    }
}
