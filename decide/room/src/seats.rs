//! Who is inside. One seat a visitor, whose ticket changes as he goes: of two who hold copies of one, one stays.

use std::collections::HashMap;

/// Seats that are kept at most, whatever the limit.
pub(crate) const SEATS_MAX: usize = 1 << 20;
/// How long a ticket is good before another one takes its place, in milliseconds; a fifth of a session that is shorter than five
/// minutes.
const RENEWED_MS: u64 = 60_000;
/// The same for the first one, those are the ones that are passed on; a thirtieth.
const FIRST_RENEWED_MS: u64 = 10_000;
/// After so long without a sign of the new ticket, another one is handed out: the first was lost on the way.
const OFFERED_MS: u64 = 10_000;
/// How long requests may be under way with the ticket before, once the new one was seen; a fifteenth.
const BEFORE_MS: u64 = 20_000;
/// How long one who came in and did not hear of it is told so again.
const JUST_MS: u64 = 10_000;
/// How long a seat is kept for one who may have come in just before a crash, in milliseconds.
const UNSURE_MS: u64 = 60_000;
/// Requests of one visitor in a row, and in each second after that.
const REQUESTS_MAX: f64 = 300.0;
const REQUESTS_PER_SECOND: f64 = 20.0;

#[derive(Debug, Default)]
pub(crate) struct Seats {
    seats: HashMap<u64, Seat>,
    /// Seats that were taken before this process began, of which nothing is known but their number.
    unknown: u32,
    /// Until when they count, in milliseconds.
    unknown_until_ms: u64,
    /// Seats that may have been taken then, and until when they count.
    unsure: u32,
    unsure_until_ms: u64,
    swept_ms: u64,
}

#[derive(Debug)]
struct Seat {
    seen_ms: u64,
    entered_ms: u64,
    /// The ticket that the visitor has shown.
    nonce: u32,
    /// From when on another one is handed out.
    renewed_at_ms: u64,
    /// One that he was handed and has not shown.
    offered: Option<(u32, u64)>,
    /// The one before, and until when it is good.
    before: Option<(u32, u64)>,
    requests_left: f64,
}

/// What a ticket of one who is inside comes to.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Stay {
    /// He stays; with a new nonce for his ticket, when it is time.
    Stays(Option<u32>),
    /// He asks more than one visitor does.
    TooFast,
    /// Another one stays on this ticket.
    Copied,
    /// He was away for too long.
    Over,
}

impl Seats {
    /// After a restart: so many were inside.
    pub(crate) fn expect(&mut self, count: u32, until_ms: u64) {
        (self.unknown, self.unknown_until_ms) = (count, until_ms);
    }

    /// After a crash: so many more may have been. Who was ends to be waited for after a minute.
    pub(crate) fn suspect(&mut self, count: u32, now_ms: u64) {
        (self.unsure, self.unsure_until_ms) = (count, now_ms + UNSURE_MS);
    }

    /// Visitors inside.
    pub(crate) fn active(&self) -> u32 {
        let known = u32::try_from(self.seats.len()).unwrap_or(u32::MAX);
        known.saturating_add(self.unknown).saturating_add(self.unsure)
    }

    pub(crate) fn is_full(&self) -> bool {
        self.seats.len() >= SEATS_MAX
    }

    /// Gives a seat.
    pub(crate) fn take(&mut self, visitor: u64, nonce: u32, session_ms: u64, now_ms: u64) {
        let seat = Seat {
            seen_ms: now_ms,
            entered_ms: now_ms,
            nonce,
            renewed_at_ms: now_ms + FIRST_RENEWED_MS.min(session_ms / 30),
            offered: None,
            before: None,
            requests_left: REQUESTS_MAX,
        };
        self.seats.insert(visitor, seat);
    }

    /// The nonce of one who came in within the last moments, and whose answer may have been lost.
    pub(crate) fn just_entered(&self, visitor: u64, now_ms: u64) -> Option<u32> {
        let seat = self.seats.get(&visitor)?;
        let fresh = now_ms.saturating_sub(seat.entered_ms) < JUST_MS && seat.before.is_none();
        fresh.then_some(seat.nonce)
    }

    /// Looks at the ticket of one who is inside.
    pub(crate) fn look(
        &mut self,
        visitor: u64,
        nonce: u32,
        issued_ms: u64,
        session_ms: u64,
        now_ms: u64,
        fresh: u32,
    ) -> Stay {
        if !self.seats.contains_key(&visitor) {
            let is_recent = now_ms.saturating_sub(issued_ms) < session_ms + RENEWED_MS;
            if !is_recent || self.is_full() {
                return Stay::Over;
            }
            if self.unknown > 0 && now_ms < self.unknown_until_ms {
                self.unknown -= 1;
            } else if self.unsure > 0 && now_ms < self.unsure_until_ms {
                self.unsure -= 1;
            } else {
                return Stay::Over;
            }
            self.take(visitor, nonce, session_ms, now_ms);
        }
        let Some(seat) = self.seats.get_mut(&visitor) else { return Stay::Over };
        if now_ms.saturating_sub(seat.seen_ms) >= session_ms {
            self.seats.remove(&visitor);
            return Stay::Over;
        }
        let offered = seat.offered.is_some_and(|(offered, _)| offered == nonce);
        if offered {
            seat.before = Some((seat.nonce, now_ms + BEFORE_MS.min(session_ms / 15)));
            let renewed_at_ms = now_ms + RENEWED_MS.min(session_ms / 5);
            (seat.nonce, seat.renewed_at_ms, seat.offered) = (nonce, renewed_at_ms, None);
        } else if nonce != seat.nonce && !seat.before.is_some_and(|(n, until)| n == nonce && now_ms < until) {
            return Stay::Copied;
        }
        let passed = now_ms.saturating_sub(seat.seen_ms) as f64 / 1_000.0;
        seat.requests_left = (seat.requests_left + passed * REQUESTS_PER_SECOND).min(REQUESTS_MAX);
        seat.seen_ms = seat.seen_ms.max(now_ms);
        if seat.requests_left < 1.0 {
            return Stay::TooFast;
        }
        seat.requests_left -= 1.0;
        let is_due = nonce == seat.nonce
            && now_ms >= seat.renewed_at_ms
            && seat.offered.is_none_or(|(_, at)| now_ms.saturating_sub(at) >= OFFERED_MS);
        if !is_due {
            return Stay::Stays(None);
        }
        seat.offered = Some((fresh, now_ms));
        Stay::Stays(Some(fresh))
    }

    /// Frees the seats of those who have gone; at most once a second.
    pub(crate) fn sweep(&mut self, session_ms: u64, now_ms: u64) {
        if now_ms.saturating_sub(self.swept_ms) < 1_000 {
            return;
        }
        self.swept_ms = now_ms;
        self.seats.retain(|_, seat| now_ms.saturating_sub(seat.seen_ms) < session_ms);
        if now_ms >= self.unknown_until_ms {
            self.unknown = 0;
        }
        if now_ms >= self.unsure_until_ms {
            self.unsure = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: u64 = 300_000;

    fn look(seats: &mut Seats, nonce: u32, now: u64, fresh: u32) -> Stay {
        seats.look(1, nonce, now, SESSION, now, fresh)
    }

    #[test]
    fn of_two_with_one_ticket_one_stays() {
        let mut seats = Seats::default();
        seats.take(1, 10, SESSION, 0);
        // Both ask; one of them gets the next ticket.
        assert_eq!(look(&mut seats, 10, 5_000, 11), Stay::Stays(None));
        assert_eq!(look(&mut seats, 10, 11_000, 12), Stay::Stays(Some(12)));
        assert_eq!(look(&mut seats, 10, 11_500, 13), Stay::Stays(None));
        assert_eq!(look(&mut seats, 12, 14_000, 14), Stay::Stays(None));
        // What was under way is served, what comes later is not.
        assert_eq!(look(&mut seats, 10, 15_000, 15), Stay::Stays(None));
        assert_eq!(look(&mut seats, 10, 35_000, 16), Stay::Copied);
        assert_eq!(look(&mut seats, 12, 35_000, 17), Stay::Stays(None));
    }

    #[test]
    fn a_lost_answer_costs_nobody_his_seat() {
        let mut seats = Seats::default();
        seats.take(1, 10, SESSION, 0);
        assert_eq!(look(&mut seats, 10, 11_000, 12), Stay::Stays(Some(12)));
        // The new ticket never arrived.
        assert_eq!(look(&mut seats, 10, 100_000, 13), Stay::Stays(Some(13)));
        assert_eq!(look(&mut seats, 13, 101_000, 14), Stay::Stays(None));
        // It did arrive, at somebody else's.
        assert_eq!(look(&mut seats, 12, 102_000, 15), Stay::Copied);
    }

    #[test]
    fn who_was_away_for_too_long_has_no_seat() {
        let mut seats = Seats::default();
        seats.take(1, 10, SESSION, 0);
        assert_eq!(look(&mut seats, 10, SESSION - 1, 12), Stay::Stays(Some(12)));
        seats.sweep(SESSION, 3 * SESSION);
        assert_eq!((seats.active(), look(&mut seats, 10, 3 * SESSION, 13)), (0, Stay::Over));
    }

    #[test]
    fn a_ticket_asks_no_more_than_one_visitor_does() {
        let mut seats = Seats::default();
        seats.take(1, 10, SESSION, 0);
        let served = (0..2_000).filter(|_| look(&mut seats, 10, 1_000, 11) != Stay::TooFast).count();
        assert_eq!(served, REQUESTS_MAX as usize);
        assert_eq!(look(&mut seats, 10, 2_000, 11), Stay::Stays(None));
    }

    #[test]
    fn after_a_restart_those_inside_find_their_seats_and_no_more() {
        let mut seats = Seats::default();
        seats.expect(2, SESSION);
        assert_eq!(seats.active(), 2);
        for visitor in [1, 2] {
            assert_eq!(seats.look(visitor, 9, 0, SESSION, 1_000, 3), Stay::Stays(None));
        }
        assert_eq!(seats.look(3, 9, 0, SESSION, 1_000, 3), Stay::Over);
        assert_eq!(seats.active(), 2);
        // One may have come in just before.
        seats.suspect(2, 1_000);
        assert_eq!(seats.look(3, 9, 0, SESSION, 1_000, 3), Stay::Stays(None));
        assert_eq!(seats.active(), 4);
        seats.sweep(SESSION, 61_000);
        assert_eq!((seats.active(), seats.look(4, 9, 0, SESSION, 61_000, 3)), (3, Stay::Over));
    }
}
