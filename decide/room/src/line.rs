//! The line: one number each, in the order of arrival, and how far it has been called. Of those who wait it keeps two bytes
//! each: until when they are expected to show themselves. Who does not is called without a seat being kept for him, and
//! finds his place for some minutes when he comes back.

mod coming;

use coming::Coming;
use std::collections::VecDeque;

/// Numbers that are kept, waiting or called lately: 8 MB.
pub(crate) const KEPT_MAX: u64 = 4 << 20;
/// Grain of what is remembered of one who waits, in milliseconds.
const TICK_MS: u64 = 4_000;
/// Ticks that fit, below the two that mean something else.
const TICK_MAX: u64 = 65_000;
/// Not heard of.
const UNKNOWN: u16 = 0;
/// Came in.
const ENTERED: u16 = u16::MAX;
/// How often is noted how far it has been called, in milliseconds.
const NOTED_MS: u64 = 10_000;
/// How often those who wait are counted, in milliseconds.
const COUNTED_MS: u64 = 1_000;

#[derive(Debug)]
pub(crate) struct Line {
    /// The last number that was called.
    pub(crate) called: u64,
    /// The last number that was given.
    pub(crate) issued: u64,
    /// The last number of which nothing is kept any more.
    pub(crate) base: u64,
    /// For each number behind `base`.
    expected: VecDeque<u16>,
    /// When tick 1 was, in milliseconds.
    epoch_ms: u64,
    /// Called, and expected to come in at any moment.
    coming: Coming,
    /// How far it had been called, and when.
    notes: VecDeque<(u64, u64)>,
    /// Those who wait and are there, at the last count.
    present: u64,
    /// The last numbers called and given then.
    counted: (u64, u64),
    counted_ms: u64,
    looked_ms: u64,
}

/// What a number stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Its turn has come.
    Called,
    /// So many are called before it, itself included.
    Waiting(u64),
    /// It came in.
    Entered,
    /// It was called too long ago.
    Lost,
}

impl Line {
    /// Goes on where it stood. Those behind `given` may not exist: nobody waits for them until they show themselves.
    pub(crate) fn new(
        base: u64,
        called: u64,
        given: u64,
        issued: u64,
        now_ms: u64,
        expected_in_ms: u64,
    ) -> Self {
        let mut line = Self {
            called,
            issued: base,
            base,
            expected: VecDeque::new(),
            epoch_ms: now_ms.saturating_sub(TICK_MS),
            coming: Coming::default(),
            notes: VecDeque::from([(now_ms, called)]),
            present: 0,
            counted: (called, called),
            counted_ms: 0,
            looked_ms: now_ms,
        };
        line.give_until(given.min(issued), line.tick(now_ms + expected_in_ms));
        line.give_until(issued, UNKNOWN);
        line
    }

    /// Whether nobody waits.
    pub(crate) fn is_quiet(&self) -> bool {
        self.called == self.issued && self.coming.is_empty()
    }

    /// Whether no more numbers can be kept.
    pub(crate) fn is_full(&self) -> bool {
        self.issued - self.base >= KEPT_MAX
    }

    /// Gives the next number.
    pub(crate) fn give(&mut self) -> u64 {
        self.give_until(self.issued + 1, UNKNOWN);
        self.issued
    }

    /// Gives all numbers up to this one, of which nothing is known.
    pub(crate) fn give_all(&mut self, last: u64) {
        self.give_until(last, UNKNOWN);
    }

    fn give_until(&mut self, last: u64, expected: u16) {
        let last = last.min(self.base + KEPT_MAX);
        while self.issued < last {
            self.issued += 1;
            self.expected.push_back(expected);
        }
    }

    pub(crate) fn place(&self, number: u64) -> Place {
        match number.checked_sub(self.base + 1).and_then(|at| self.expected.get(at as usize)) {
            None => Place::Lost,
            Some(&ENTERED) => Place::Entered,
            Some(_) if number <= self.called => Place::Called,
            Some(_) => Place::Waiting(number - self.called),
        }
    }

    /// One who waits was there, and comes again within this time.
    pub(crate) fn seen(&mut self, number: u64, again_in_ms: u64, now_ms: u64) {
        let tick = self.tick(now_ms + again_in_ms);
        if let Some(expected) = self.slot(number).filter(|expected| **expected != ENTERED) {
            *expected = tick;
        }
        if number <= self.called {
            self.coming.shows(number, now_ms);
        }
    }

    /// One keeps his place and cannot come in: when he is called, nobody waits for him.
    pub(crate) fn away(&mut self, number: u64) {
        if let Some(expected) = self.slot(number).filter(|expected| **expected != ENTERED) {
            *expected = 1;
        }
        self.coming.remove(number);
    }

    /// One came in.
    pub(crate) fn entered(&mut self, number: u64) {
        if let Some(expected) = self.slot(number) {
            *expected = ENTERED;
        }
        self.coming.remove(number);
    }

    /// How many are called and have not come yet.
    pub(crate) fn coming(&self) -> usize {
        self.coming.len()
    }

    /// Calls numbers until so many are really on their way in, or `called_max` in all. `is_there` says of a number of which nothing else is known
    /// whether its visitor was there before the doors opened.
    pub(crate) fn call(
        &mut self,
        coming_max: u64,
        called_max: u64,
        now_ms: u64,
        is_there: &dyn Fn(u64) -> bool,
    ) {
        let now = self.tick(now_ms);
        while self.called < self.issued
            && self.coming.expected() < coming_max as f64
            && (self.coming.len() as u64) < called_max
        {
            self.called += 1;
            let at = (self.called - self.base - 1) as usize;
            let expected = self.expected.get(at).copied().unwrap_or(UNKNOWN);
            if (expected >= now && expected != ENTERED) || (expected == UNKNOWN && is_there(self.called)) {
                self.coming.call(self.called, now_ms);
            }
        }
    }

    /// Those on their way in who were called before this number and are there: who has gone is in nobody's way.
    pub(crate) fn before(&self, number: u64) -> usize {
        self.coming.there_before(number)
    }

    /// Those who wait and are there.
    pub(crate) fn present(&self) -> u64 {
        let (called, issued) = self.counted;
        let behind = (self.present + self.issued - issued).saturating_sub(self.called - called);
        behind.min(self.issued - self.called) + self.coming.len() as u64
    }

    /// What happens by itself as time passes. `unknown_are_there` counts those of whom nothing is known as there.
    pub(crate) fn renew(&mut self, keeps_ms: u64, now_ms: u64, unknown_are_there: bool) {
        if now_ms.saturating_sub(self.looked_ms) >= 250 {
            self.looked_ms = now_ms;
            self.coming.renew(now_ms);
        }
        if self.notes.back().is_none_or(|(at, _)| now_ms.saturating_sub(*at) >= NOTED_MS) {
            self.notes.push_back((now_ms, self.called));
            while let Some(&(at, called)) = self.notes.front()
                && now_ms.saturating_sub(at) > keeps_ms
            {
                self.notes.pop_front();
                self.forget(called, now_ms);
            }
        }
        if now_ms.saturating_sub(self.counted_ms) >= COUNTED_MS {
            self.counted_ms = now_ms;
            let now = self.tick(now_ms);
            let from = (self.called - self.base) as usize;
            let there =
                |&&tick: &&u16| (tick >= now && tick != ENTERED) || (tick == UNKNOWN && unknown_are_there);
            self.present = self.expected.iter().skip(from).filter(there).count() as u64;
            self.counted = (self.called, self.issued);
        }
        if (now_ms.saturating_sub(self.epoch_ms)) / TICK_MS > TICK_MAX - 2_000 {
            let back = TICK_MAX / 2;
            self.epoch_ms += back * TICK_MS;
            for tick in self.expected.iter_mut().filter(|tick| !matches!(**tick, UNKNOWN | ENTERED)) {
                *tick = tick.saturating_sub(back as u16).max(1);
            }
        }
    }

    /// Not those who are still there, however long ago they were called: the doors may be closed for a while.
    fn forget(&mut self, until: u64, now_ms: u64) {
        let now = self.tick(now_ms);
        let is_there = |expected: Option<&u16>| expected.is_some_and(|at| *at >= now && *at != ENTERED);
        while self.base < until.min(self.called)
            && (!is_there(self.expected.front()) || self.issued - self.base > KEPT_MAX / 2)
        {
            self.base += 1;
            self.expected.pop_front();
            self.coming.remove(self.base);
        }
    }

    fn slot(&mut self, number: u64) -> Option<&mut u16> {
        number.checked_sub(self.base + 1).and_then(|at| self.expected.get_mut(at as usize))
    }

    fn tick(&self, at_ms: u64) -> u16 {
        (at_ms.saturating_sub(self.epoch_ms) / TICK_MS).clamp(1, TICK_MAX) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        Line::new(0, 0, 0, 0, 0, 0)
    }

    #[test]
    fn a_place_only_ever_gets_better() {
        let mut line = line();
        for number in 1..=10 {
            assert_eq!(line.give(), number);
            line.seen(number, 60_000, 0);
        }
        assert_eq!(line.place(10), Place::Waiting(10));
        line.call(3, 3, 0, &|_| false);
        assert_eq!((line.place(3), line.place(10)), (Place::Called, Place::Waiting(7)));
        line.entered(1);
        line.call(3, 3, 0, &|_| false);
        assert_eq!((line.place(1), line.place(10)), (Place::Entered, Place::Waiting(6)));
    }

    #[test]
    fn who_is_not_there_keeps_nobody_waiting_and_finds_his_place_again() {
        let mut line = line();
        for _ in 0..1_000 {
            line.give();
        }
        line.seen(1_000, 60_000, 0);
        line.call(1, 1, 1_000, &|_| false);
        assert_eq!(line.place(1_000), Place::Called);
        assert_eq!(line.place(5), Place::Called);
        line.renew(600_000, 700_000, false);
        line.renew(600_000, 1_400_000, false);
        assert_eq!(line.place(5), Place::Lost);
    }

    #[test]
    fn a_day_is_not_too_long_to_wait() {
        let mut line = line();
        line.give();
        for minute in 1..5_000 {
            let now = minute * 60_000;
            line.seen(1, 90_000, now);
            line.renew(600_000, now, false);
            assert_eq!(line.present(), 1, "minute {minute}");
        }
        line.renew(600_000, 5_010 * 60_000, false);
        assert_eq!(line.present(), 0);
    }
}
