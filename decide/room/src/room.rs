//! One room: what a visitor is told who shows this ticket at this moment. Each call is one decision; whoever calls keeps
//! them one after the other, so that no two visitors get the same seat.

use crate::limits::Limits;
use crate::line::{Line, Place};
use crate::lottery::{permuted, unpermuted};
use crate::pace::Pace;
use crate::seats::{Seats, Stay};
use crate::ticket::{Kind, Ticket};
use estimate::Measured;
use std::collections::VecDeque;

/// Those who wait ask again after this time at least, in milliseconds.
const REFRESH_MIN_MS: u64 = 3_000;
/// And after this time at most, but for very long lines.
const REFRESH_MAX_MS: u64 = 60_000;
/// One whose turn has come asks again after this time.
const REFRESH_CALLED_MS: u64 = 2_000;
/// Questions a second of those in a long line whose turn is far. Each may need a new connection and a handshake of TLS, up to 1 ms of
/// CPU on a slow machine: 100,000 who wait are to cost less than a tenth of a core, those whose turn is near and who ask more often
/// included.
const QUESTIONS_PER_SECOND: u64 = 50;
/// The same at the moment when doors open: all are to know their places soon.
const QUESTIONS_PER_SECOND_OPENING: u64 = 1_500;
/// From this time on a turn is far, in seconds.
const FAR_S: u64 = 600;
/// How long one who waits may be late before he counts as gone.
const LATE_MS: u64 = 30_000;
/// How long those who waited before a restart have to show themselves.
const AFTER_RESTART_MS: u64 = 150_000;
/// How long it may take until an entry is written down, in milliseconds: half a second, and the writing. If it takes longer,
/// nobody comes in meanwhile.
const WRITTEN_WITHIN_MS: u64 = 1_000;
/// Numbers that are written down ahead of those that were given.
const WRITTEN_AHEAD: u64 = 10_000;
/// As many are on their way in as come in within this time, in seconds.
const CALLED_S: f64 = 3.0;
/// Called at once at most.
const CALLED_MAX: u64 = 100_000;
/// Length of one sample of the history, in milliseconds, and how many are kept: an hour.
const SAMPLE_MS: u64 = 10_000;
const SAMPLES: usize = 360;

/// What a room keeps to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// How many come in.
    pub limits: Limits,
    /// After how long without a request a visitor has gone, in milliseconds.
    pub session_ms: u64,
    /// How long a called number keeps its place, in milliseconds.
    pub keeps_ms: u64,
    /// When the doors open, in milliseconds since 1970.
    pub opens_ms: Option<u64>,
    /// When they close for good.
    pub closes_ms: Option<u64>,
}

/// What an operator has said over the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hand {
    /// The doors are open, whatever the time.
    Open,
    /// Nobody new comes in; those who wait keep their places.
    Closed,
    /// There is no room: all come in.
    Off,
}

/// What the doors are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// They have not opened yet.
    Early,
    /// They let in as many as the limits say.
    Open,
    /// An operator lets nobody in.
    Closed,
    /// It is over.
    Over,
    /// There are none.
    Off,
}

/// What a visitor is told.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Verdict {
    /// He is inside. With a ticket when he is to keep another one.
    Inside(Option<Ticket>),
    /// He waits.
    Waits(Waiting),
    /// It is over: nobody comes in any more.
    Over,
    /// He asks more than one visitor does.
    TooFast,
    /// No more can wait.
    Full,
}

/// How one waits.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Waiting {
    /// What he is to keep.
    pub ticket: Ticket,
    /// What the doors are like.
    pub phase: Phase,
    /// His place, from 1; 0 while places are not drawn.
    pub place: u64,
    /// Those who wait with him.
    pub waiting: u64,
    /// In how many seconds he comes in, as it goes now; `None` when nobody can say.
    pub estimate_s: Option<u64>,
    /// When he is to ask again, in milliseconds.
    pub refresh_ms: u64,
}

/// How a room is.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// What the doors are like.
    pub phase: Phase,
    /// The limits in force.
    pub limits: Limits,
    /// Visitors inside.
    pub active: u32,
    /// Those who wait.
    pub waiting: u64,
    /// Entries in the last 60 s.
    pub entries_last_minute: u32,
    /// In how many seconds one comes in who comes now; `None` when nobody can say.
    pub estimate_s: Option<u64>,
    /// Who came in since the process began.
    pub entered: u64,
    /// Tickets that were refused because another one stays on them.
    pub copied: u64,
    /// Numbers given.
    pub issued: u64,
    /// The last one called.
    pub called: u64,
    /// The last hour, oldest first.
    pub history: Vec<Sample>,
}

/// Ten seconds of a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Its beginning, in milliseconds since 1970.
    pub at_ms: u64,
    /// Visitors inside.
    pub active: u32,
    /// Those who wait.
    pub waiting: u64,
    /// Who came in.
    pub entered: u32,
    /// Some had to wait, though the doors were open.
    pub had_line: bool,
    /// Hardly a seat was free at its beginning, so that one came in for one who had gone.
    pub was_full: bool,
}

/// One room.
#[derive(Debug)]
pub struct Room {
    rules: Rules,
    hand: Option<Hand>,
    /// Visitors whom an operator lets in beyond all limits.
    extra: u32,
    round: u32,
    pace: Pace,
    line: Line,
    seats: Seats,
    /// For those who were early, by their index: until when they are expected, in milliseconds.
    early: Vec<u64>,
    early_count: u64,
    early_from: Option<u64>,
    samples: VecDeque<Sample>,
    entered: u64,
    copied: u64,
    now_ms: u64,
    /// Since when hardly a seat is free for those who wait, in milliseconds.
    full_from_ms: Option<u64>,
    measured: Measured,
    /// How many may come in before something is written down; `None` where nothing is.
    unwritten: Option<u32>,
    /// Who could not for that reason.
    held: u32,
}

/// What chance and secrets a decision takes.
pub struct Chance<'a> {
    /// A number by chance, another one at each call.
    pub fresh: u64,
    /// A keyed function that nobody else can compute: it draws the places of those who were early.
    pub secret: &'a dyn Fn(u64) -> u64,
}

impl Room {
    /// A room that goes on where it stood.
    pub fn new(rules: Rules, hand: Option<Hand>, kept: Kept, now_ms: u64) -> Self {
        let mut pace = Pace::new(now_ms);
        pace.set(rules.limits.entries_per_minute, now_ms);
        pace.remember(&kept.entries, kept.unwritten, now_ms);
        let mut seats = Seats::default();
        seats.expect(kept.active, now_ms + rules.session_ms);
        // Never more than there were seats for.
        let free = rules.limits.active_max.map_or(u32::MAX, |max| max.saturating_sub(kept.active));
        seats.suspect(kept.unwritten.min(free.saturating_add(kept.extra)), now_ms);
        let known = if kept.early_from.is_none() { kept.early } else { 0 };
        Self {
            rules,
            hand,
            // After a crash, those may have come in.
            extra: if kept.unwritten == 0 { kept.extra } else { 0 },
            round: kept.round,
            pace,
            line: Line::new(kept.base, kept.called, kept.given, kept.issued, now_ms, AFTER_RESTART_MS),
            seats,
            early: vec![now_ms + AFTER_RESTART_MS; known as usize],
            early_count: kept.early,
            early_from: kept.early_from,
            samples: VecDeque::new(),
            entered: 0,
            copied: 0,
            now_ms,
            // Those who are inside have been for long.
            full_from_ms: (kept.active > 0).then_some(0),
            measured: Measured::default(),
            unwritten: None,
            held: 0,
        }
    }

    /// Other rules from now on.
    pub fn set_rules(&mut self, rules: Rules, now_ms: u64) {
        if rules != self.rules {
            self.pace.set(rules.limits.entries_per_minute, now_ms);
            self.rules = rules;
        }
    }

    /// An operator's word; `None` takes it back.
    pub fn set_hand(&mut self, hand: Option<Hand>) {
        self.hand = hand;
    }

    /// Lets so many in beyond all limits.
    pub fn let_in(&mut self, count: u32) {
        self.extra = self.extra.saturating_add(count);
    }

    /// What the doors are like.
    pub fn phase(&self, now_ms: u64) -> Phase {
        match self.hand {
            Some(Hand::Off) => Phase::Off,
            Some(Hand::Open) => Phase::Open,
            Some(Hand::Closed) => Phase::Closed,
            None if self.rules.closes_ms.is_some_and(|at| now_ms >= at) => Phase::Over,
            // Doors that have opened do not become early again.
            None if self.early_from.is_none() && self.rules.opens_ms.is_some_and(|at| now_ms < at) => {
                Phase::Early
            }
            None => Phase::Open,
        }
    }

    /// What a visitor is told who shows this ticket.
    pub fn ask(&mut self, shown: Option<Ticket>, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        let now_ms = now_ms.max(self.now_ms);
        let phase = self.renew(now_ms, chance.secret);
        if phase == Phase::Off {
            return Verdict::Inside(None);
        }
        let shown = shown.filter(|ticket| ticket.round == self.round);
        if let Some(ticket) = shown.filter(|ticket| ticket.kind == Kind::Inside) {
            let (visitor, nonce) = (ticket.visitor, ticket.nonce);
            let issued_ms = u64::from(ticket.issued_s) * 1_000;
            let fresh = chance.fresh as u32;
            match self.seats.look(visitor, nonce, issued_ms, self.rules.session_ms, now_ms, fresh) {
                Stay::Stays(nonce) => {
                    return Verdict::Inside(nonce.map(|nonce| self.inside(visitor, nonce, now_ms)));
                }
                Stay::TooFast => return Verdict::TooFast,
                Stay::Copied => self.copied += 1,
                Stay::Over => {}
            }
        }
        match (phase, shown) {
            (Phase::Over, _) => Verdict::Over,
            (Phase::Early, Some(ticket)) if ticket.kind == Kind::Early => self.early(ticket, now_ms),
            (Phase::Early, _) => self.arrives_early(now_ms, chance),
            (_, Some(ticket)) if ticket.kind == Kind::Waiting => self.comes_back(ticket, now_ms, chance),
            (_, Some(ticket)) if ticket.kind == Kind::Early => match self.drawn(ticket.number, chance.secret)
            {
                Some(number) => {
                    let ticket = Ticket { kind: Kind::Waiting, number, ..ticket };
                    self.comes_back(ticket, now_ms, chance)
                }
                None => self.arrives(now_ms, chance),
            },
            _ => self.arrives(now_ms, chance),
        }
    }

    /// Whether nobody waits, and whoever comes now comes in.
    pub fn is_quiet(&self, now_ms: u64) -> bool {
        match self.phase(now_ms) {
            Phase::Off => true,
            Phase::Open => self.line.is_quiet() && self.free() != Some(0),
            Phase::Early | Phase::Closed | Phase::Over => false,
        }
    }

    /// How it is.
    pub fn status(&mut self, now_ms: u64, secret: &dyn Fn(u64) -> u64) -> Status {
        let now_ms = now_ms.max(self.now_ms);
        let phase = self.renew(now_ms, secret);
        let behind = self.line.issued - self.line.called + 1;
        let last_minute = self.samples.iter().rev().take_while(|s| now_ms.saturating_sub(s.at_ms) < 60_000);
        Status {
            phase,
            limits: self.rules.limits,
            active: self.seats.active(),
            waiting: self.waiting(),
            entries_last_minute: last_minute.map(|sample| sample.entered).sum(),
            estimate_s: match phase {
                Phase::Early => self.rules.opens_ms.map(|at| at.saturating_sub(now_ms).div_ceil(1_000)),
                Phase::Closed | Phase::Over => None,
                Phase::Off => Some(0),
                Phase::Open if self.is_quiet(now_ms) => Some(0),
                Phase::Open => self.estimate(behind),
            },
            entered: self.entered,
            copied: self.copied,
            issued: self.line.issued,
            called: self.line.called,
            history: self.samples.iter().copied().collect(),
        }
    }

    fn waiting(&self) -> u64 {
        if self.early_from.is_none() {
            self.early.len() as u64 + self.line.present()
        } else {
            self.line.present()
        }
    }

    fn renew(&mut self, now_ms: u64, secret: &dyn Fn(u64) -> u64) -> Phase {
        self.now_ms = now_ms;
        let phase = self.phase(now_ms);
        if phase == Phase::Open && self.early_from.is_none() {
            self.early_from = Some(self.line.issued);
            self.line.give_all(self.line.issued + self.early_count);
        }
        self.seats.sweep(self.rules.session_ms, now_ms);
        let unknown_are_there = self.early_count > 0;
        self.line.renew(self.rules.keeps_ms, now_ms, unknown_are_there);
        if phase == Phase::Open {
            let (coming_max, called_max) = self.coming_max();
            let (early, from, count) = (&self.early, self.early_from.unwrap_or_default(), self.early_count);
            let is_there = |number: u64| {
                let place = number.checked_sub(from + 1).filter(|place| *place < count);
                let index = place.map(|place| unpermuted(place, count, secret) as usize);
                index.and_then(|index| early.get(index)).is_some_and(|until| now_ms < *until)
            };
            self.line.call(coming_max, called_max, now_ms, &is_there);
        }
        if self.line.is_quiet() {
            self.full_from_ms = None;
        } else if self.full_from_ms.is_none() && self.is_nearly_full() {
            self.full_from_ms = Some(now_ms);
        }
        let begun = now_ms / SAMPLE_MS * SAMPLE_MS;
        let (active, waiting) = (self.seats.active(), self.waiting());
        if self.samples.back().is_none_or(|sample| sample.at_ms < begun) {
            let was_full = self.is_nearly_full();
            self.samples.push_back(Sample { at_ms: begun, was_full, ..Sample::default() });
            if self.samples.len() > SAMPLES {
                self.samples.pop_front();
            }
            self.measure();
        }
        if let Some(sample) = self.samples.back_mut() {
            (sample.active, sample.waiting) = (active, waiting);
            sample.had_line |= phase == Phase::Open && waiting > 0;
        }
        phase
    }

    /// How many may really be on their way in, as many as come in within three seconds; and how many may be called for that,
    /// not many more than there are seats for.
    fn coming_max(&self) -> (u64, u64) {
        if self.unwritten == Some(0) {
            // Nor is anybody called, for a crash would forget that too.
            return (0, 0);
        }
        let by_pace = self.pace.per_second().map_or(u64::MAX, |each| (each * CALLED_S + 2.0) as u64);
        let by_seats = self.free().map_or(u64::MAX, |free| u64::from(free) * 2);
        let by_hand = u64::from(self.extra) * 2;
        (by_pace.min(CALLED_MAX) + by_hand, by_seats.min(CALLED_MAX) + by_hand)
    }

    /// Seats that are free; `None` when they are not limited.
    fn free(&self) -> Option<u32> {
        self.rules.limits.active_max.map(|max| max.saturating_sub(self.seats.active()))
    }

    /// Takes an entry for one who may come in.
    fn enters(&mut self, visitor: u64, nonce: u32, now_ms: u64) -> bool {
        if self.seats.is_full() {
            return false;
        }
        let some_wait = !self.line.is_quiet();
        let by_rule = self.free() != Some(0) && self.pace.allowed(now_ms, some_wait) > 0;
        let by_hand = !by_rule && self.extra > 0;
        if !by_rule && !by_hand {
            return false;
        }
        match &mut self.unwritten {
            Some(0) => {
                self.held += 1;
                return false;
            }
            Some(left) => *left -= 1,
            None => {}
        }
        if by_hand {
            self.extra -= 1;
        } else {
            self.pace.count();
        }
        self.seats.take(visitor, nonce, self.rules.session_ms, now_ms);
        self.entered += 1;
        if let Some(sample) = self.samples.back_mut() {
            sample.entered += 1;
        }
        true
    }

    fn inside(&self, visitor: u64, nonce: u32, now_ms: u64) -> Ticket {
        Ticket {
            kind: Kind::Inside,
            round: self.round,
            visitor,
            number: 0,
            nonce,
            issued_s: (now_ms / 1_000) as u32,
        }
    }

    fn early(&mut self, ticket: Ticket, now_ms: u64) -> Verdict {
        let opens_ms = self.rules.opens_ms.unwrap_or(now_ms);
        let left = opens_ms.saturating_sub(now_ms);
        let spread = (self.early_count * 1_000 / QUESTIONS_PER_SECOND_OPENING).max(REFRESH_MIN_MS);
        let seldom = (self.early_count * 1_000 / QUESTIONS_PER_SECOND).max(REFRESH_MAX_MS);
        let refresh_ms = if left > seldom {
            seldom
        } else {
            // All of them ask when the doors open, and not all at once.
            left + ticket.visitor % spread
        };
        if let Some(until) = self.early.get_mut(ticket.number as usize) {
            *until = now_ms + 2 * refresh_ms + LATE_MS;
        }
        let estimate_s = Some(left.div_ceil(1_000));
        let waiting = self.waiting();
        Verdict::Waits(Waiting { ticket, phase: Phase::Early, place: 0, waiting, estimate_s, refresh_ms })
    }

    fn arrives_early(&mut self, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        if self.early_count >= crate::line::KEPT_MAX {
            return Verdict::Full;
        }
        let number = self.early_count;
        self.early_count += 1;
        self.early.push(now_ms);
        let ticket = self.waiting_ticket(Kind::Early, number, now_ms, chance);
        self.early(ticket, now_ms)
    }

    /// The number of one who was early.
    fn drawn(&self, index: u64, secret: &dyn Fn(u64) -> u64) -> Option<u64> {
        let from = self.early_from?;
        (index < self.early_count).then(|| from + 1 + permuted(index, self.early_count, secret))
    }

    fn arrives(&mut self, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        if self.phase(now_ms) == Phase::Open && self.line.is_quiet() {
            let nonce = (chance.fresh >> 32) as u32;
            if self.enters(chance.fresh, nonce, now_ms) {
                return Verdict::Inside(Some(self.inside(chance.fresh, nonce, now_ms)));
            }
        }
        self.lines_up(now_ms, chance)
    }

    fn lines_up(&mut self, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        if self.line.is_full() {
            return Verdict::Full;
        }
        let number = self.line.give();
        let ticket = self.waiting_ticket(Kind::Waiting, number, now_ms, chance);
        self.waits(ticket, now_ms)
    }

    fn waiting_ticket(&self, kind: Kind, number: u64, now_ms: u64, chance: &Chance<'_>) -> Ticket {
        let issued_s = (now_ms / 1_000) as u32;
        Ticket { kind, round: self.round, visitor: chance.fresh, number, nonce: 0, issued_s }
    }

    fn comes_back(&mut self, ticket: Ticket, now_ms: u64, chance: &Chance<'_>) -> Verdict {
        if ticket.number > self.line.issued {
            // It was given by one who could not write that down any more.
            self.line.give_all(ticket.number);
        }
        match self.line.place(ticket.number) {
            Place::Waiting(_) => self.waits(ticket, now_ms),
            Place::Called if self.phase(now_ms) == Phase::Open => {
                let nonce = chance.fresh as u32;
                // Who was called earlier comes in earlier; twice as many may as there are entries, for not all ask at
                // once.
                let left = self.pace.allowed(now_ms, true).min(self.free().unwrap_or(u32::MAX));
                let first = left.saturating_add(self.extra).saturating_mul(2).saturating_add(2);
                let is_first = self.line.before(ticket.number) < first as usize;
                if !is_first || !self.enters(ticket.visitor, nonce, now_ms) {
                    return self.waits(ticket, now_ms);
                }
                self.line.entered(ticket.number);
                Verdict::Inside(Some(self.inside(ticket.visitor, nonce, now_ms)))
            }
            Place::Called => self.waits(ticket, now_ms),
            Place::Entered => match self.seats.just_entered(ticket.visitor, now_ms) {
                Some(nonce) => Verdict::Inside(Some(self.inside(ticket.visitor, nonce, now_ms))),
                None => {
                    self.copied += 1;
                    self.arrives(now_ms, chance)
                }
            },
            Place::Lost => self.arrives(now_ms, chance),
        }
    }

    fn waits(&mut self, ticket: Ticket, now_ms: u64) -> Verdict {
        let phase = self.phase(now_ms);
        let ahead = match self.line.place(ticket.number) {
            Place::Waiting(ahead) => ahead,
            _ => 0,
        };
        // Behind closed doors, too: those in front stand ready when they open.
        let left_s = self.estimate(ahead);
        let estimate_s = left_s.filter(|_| phase == Phase::Open);
        let refresh_ms = match (ahead, left_s) {
            (0, _) if phase == Phase::Open => REFRESH_CALLED_MS,
            (_, left_s) => {
                let most = (self.line.present() * 1_000 / QUESTIONS_PER_SECOND).max(REFRESH_MAX_MS);
                // Twice as often in a short line where a seat may come free at any time.
                let full = if most > REFRESH_MAX_MS { most } else { REFRESH_MAX_MS / 2 };
                let most = if self.free() == Some(0) { full } else { most };
                // Again after two fifths of what is left, so that no seat waits for them, and three where much is. Where nobody can say
                // what is left, those in front ask sooner, too.
                let refresh_ms = match left_s {
                    Some(s) => s * if s < FAR_S { 400 } else { 600 },
                    None => (ahead * 2_000 / QUESTIONS_PER_SECOND).min(full),
                };
                refresh_ms.clamp(REFRESH_MIN_MS, most)
            }
        };
        self.line.seen(ticket.number, 2 * refresh_ms + LATE_MS, now_ms);
        let waiting = self.line.present().max(1);
        Verdict::Waits(Waiting { ticket, phase, place: ahead.max(1), waiting, estimate_s, refresh_ms })
    }
}

mod estimate;
mod kept;
mod without_cookie;

pub use kept::Kept;

#[cfg(test)]
#[path = "room_tests.rs"]
mod tests;
