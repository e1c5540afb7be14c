//! Whether the other end of a connection of HTTP/2 is there still: when it is asked for a sign of life (PING, RFC 9113 section
//! 6.7), and when it is given up. Knows no connection, reads no clock.

use std::time::Duration;
use tentpole_runtime::clock::Instant;

/// What a PING's answer alone brings: the head of a frame, and eight bytes.
const ANSWER_BYTES: u64 = 9 + 8;
/// Servers of gRPC end a connection that brings more than two PINGs within 5 minutes each without anything else (gRPC
/// proposal A8): each one that only its answer followed makes the next one wait longer, up to this.
const AFTER_MAX: Duration = Duration::from_secs(310);
const AFTER_GROWS: u32 = 4;

/// What was seen of a connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Signs {
    /// When something came last, or the other end took what had stood before it.
    pub alive_at: Instant,
    /// Bytes that came in all.
    pub bytes_read: u64,
    /// Since when requests are under way, if any are.
    pub busy_since: Option<Instant>,
    /// The PING was answered.
    pub answered: bool,
}

/// What follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beat {
    /// Nothing before this time.
    Until(Instant),
    /// Nothing at all: no request is under way.
    Rest,
    /// A PING is sent.
    Ask,
    /// Nobody is there.
    Gone,
}

/// One connection's.
#[derive(Debug)]
pub(crate) struct Pulse {
    silence: Duration,
    after: Duration,
    asked_at: Option<Instant>,
    bytes_read: u64,
}

impl Pulse {
    /// Of a connection that may be silent for so long.
    pub fn new(silence: Duration) -> Self {
        Self { silence, after: silence / 3, asked_at: None, bytes_read: 0 }
    }

    /// Looks once. After [`Beat::Ask`] the PING is under way.
    pub fn look(&mut self, now: Instant, signs: Signs) -> Beat {
        if signs.answered && self.asked_at.take().is_some() {
            let came = signs.bytes_read.saturating_sub(self.bytes_read);
            if came <= ANSWER_BYTES {
                self.after = (self.after * AFTER_GROWS).min(AFTER_MAX.max(self.silence / 3));
                self.bytes_read = signs.bytes_read;
            }
        }
        if let Some(asked_at) = self.asked_at {
            let until = asked_at.max(signs.alive_at).after(self.silence - self.silence / 3);
            return if now >= until { Beat::Gone } else { Beat::Until(until) };
        }
        if signs.bytes_read != self.bytes_read {
            self.bytes_read = signs.bytes_read;
            self.after = self.silence / 3;
        }
        let Some(busy_since) = signs.busy_since else { return Beat::Rest };
        let until = busy_since.max(signs.alive_at).after(self.after);
        if now < until {
            return Beat::Until(until);
        }
        self.asked_at = Some(now);
        Beat::Ask
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: u64 = 1_000_000;

    fn at(seconds: u64) -> Instant {
        Instant::from_micros(seconds * S)
    }

    fn signs(alive_at: u64, bytes_read: u64) -> Signs {
        Signs { alive_at: at(alive_at), bytes_read, busy_since: Some(at(0)), answered: false }
    }

    #[test]
    fn who_says_nothing_is_asked_and_then_given_up() {
        let mut pulse = Pulse::new(Duration::from_secs(15));
        assert_eq!(pulse.look(at(1), signs(0, 0)), Beat::Until(at(5)));
        assert_eq!(pulse.look(at(5), signs(0, 0)), Beat::Ask);
        assert_eq!(pulse.look(at(6), signs(0, 0)), Beat::Until(at(15)));
        assert_eq!(pulse.look(at(15), signs(0, 0)), Beat::Gone);
    }

    #[test]
    fn whatever_comes_is_a_sign_of_life_and_who_waits_for_nothing_asks_for_none() {
        let mut pulse = Pulse::new(Duration::from_secs(15));
        assert_eq!(pulse.look(at(60), Signs { busy_since: None, ..signs(0, 0) }), Beat::Rest);
        assert_eq!(
            pulse.look(at(60), Signs { busy_since: Some(at(59)), ..signs(0, 0) }),
            Beat::Until(at(64))
        );
        assert_eq!(pulse.look(at(64), signs(0, 0)), Beat::Ask);
        assert_eq!(pulse.look(at(70), signs(69, 100)), Beat::Until(at(79)), "content, before the answer");
        assert_eq!(pulse.look(at(71), Signs { answered: true, ..signs(71, 117) }), Beat::Until(at(76)));
    }

    #[test]
    fn who_answers_and_says_nothing_else_is_asked_ever_less_often() {
        let mut pulse = Pulse::new(Duration::from_secs(15));
        let (mut now, mut bytes, mut asked) = (0, 0, Vec::new());
        while asked.len() < 6 {
            now += 1;
            match pulse.look(at(now), signs(asked.last().copied().unwrap_or(0), bytes)) {
                Beat::Ask => {
                    asked.push(now);
                    bytes += ANSWER_BYTES;
                    let answered = Signs { answered: true, ..signs(now, bytes) };
                    assert!(matches!(pulse.look(at(now), answered), Beat::Until(_)));
                }
                beat => assert!(matches!(beat, Beat::Until(_)), "{beat:?}"),
            }
        }
        assert_eq!(asked, [5, 25, 105, 415, 725, 1_035]);
        let content = signs(now, bytes + 1);
        assert_eq!(pulse.look(at(now), content), Beat::Until(at(now + 5)), "and often again after content");
    }
}
