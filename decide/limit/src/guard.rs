//! The guard: no limit at all, until an endpoint piles up more than it answers; then, and only when visitors are harmed by it,
//! a limit. Made for pools of which nobody has said how much they carry.
//!
//! # How
//! - **Off.** No limit. It learns what an answer usually takes, and how many are usually in flight.
//! - **Holds.** At least twice as many are sent as the endpoint ever finished lately, it finishes no more for that, and nearly all
//!   that it finishes took several times as long as usual. More sent there now would only wait inside, where no order can be
//!   chosen and those who have left are still worked for. So it gets as many as it answers in a second, and the others wait
//!   outside. *Nobody is refused.* A hold that was wrong shows itself: when fewer are answered for it, it ends at once;
//!   and in any case after [`HOLDS_MAX`].
//! - **Guards.** Visitors leave before their first byte, or the endpoint times out or answers 503: at least [`LATE_MIN`] in a second and
//!   a tenth of all, while it holds or while answers take several times as long as usual. From here on it is an [`Adaptive`]
//!   limit, which begins with what is answered in a second. It ends when long nobody has waited, or when it does harm.
//!
//! Streams (events, WebSockets) hold their places for long and have answered at once: they are part of what is usually in flight,
//! and never of what makes it hold.

use crate::adaptive::{Adaptive, Seen};
use std::time::Duration;
use tentpole_model::{AdaptiveLimit, LimitWhy};

/// Classes of answers by what they took: the first is below a millisecond, and each begins at √2 of the one before.
pub const CLASSES: usize = 32;
/// Visitors harmed in a second, at least.
pub const LATE_MIN: u32 = 5;
/// A hold that saw nobody harmed ends after this.
pub const HOLDS_MAX: Duration = Duration::from_secs(8);
/// Looks that are remembered; ten a second.
const LOOKS: usize = 10;
/// How many classes above the usual one are much longer: about twice as long.
const SLOW_CLASSES: f64 = 2.0;
/// What is below the class of 362 ms makes nobody leave.
const SLOW_CLASS_MIN: f64 = 18.0;
/// From this class on, 2.9 s, an answer was slow before a peak began that is to be held up in time.
const SLOWER_BELOW: f64 = 24.0;
/// Where this share of answers is always slow, slow ones say nothing.
const USUALLY_SLOW: f64 = 0.2;
/// Answers from which the usual is learned, at first and later.
const USUAL_ANSWERS_FIRST: u64 = 8;
const USUAL_ANSWERS: u64 = 20;
/// In classes a second: what is usual doubles in ten minutes at most, so that an overload does not soon become usual.
const USUAL_UP: f64 = 2.0 / 600.0;
/// More sent than finished in a second, at least, before it holds.
const PILED_MIN: u32 = 20;
/// Never fewer than these.
const LEAST: f64 = 8.0;
/// How much of what was answered must go on being answered, while it holds and while it guards.
const HOLDS_RATE: f64 = 0.6;
const GUARDS_RATE: f64 = 0.4;
/// For so long after it was wrong, it does not hold again.
const PAUSE: Duration = Duration::from_secs(60);
/// And it guards no more when nobody has waited for this long, but for a moment.
const QUIET: Duration = Duration::from_secs(30);
/// So long after a hold nobody is refused.
const LETS_GO: Duration = Duration::from_secs(2);
/// Fewer are answered for this long: it does harm.
const HARM: Duration = Duration::from_secs(5);

/// What is seen of an endpoint at one moment. Totals only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuardSeen {
    /// Requests in flight there.
    pub in_flight: u32,
    /// Requests that wait for any endpoint of its pool.
    pub waiting: u32,
    /// Requests sent.
    pub sent: u64,
    /// Answers, whatever their status, and failures.
    pub ended: u64,
    /// Answers that visitors could use.
    pub good: u64,
    /// Time-outs and answers with 503.
    pub overloaded: u64,
    /// Visitors who had left when their answer came.
    pub left: u64,
    /// Visitors who left the queue of its pool.
    pub left_queue: u64,
    /// Answers by what they took to their first byte; not all are counted here.
    pub took: [u64; CLASSES],
}

/// What one endpoint gets at once: everything, until that does harm.
#[derive(Clone, Debug)]
pub struct Guard {
    before: Option<(Duration, GuardSeen)>,
    steps: [Step; LOOKS],
    at: usize,
    usual: Usual,
    /// Answers a second at most, lately.
    rate_most: f64,
    /// For how many looks in a row visitors were harmed.
    harmed: u32,
    not_before: Duration,
    /// Until when nobody is refused, though it holds no more: those who waited go to the endpoint.
    lets_go_until: Duration,
    stage: Stage,
}

/// Between two looks.
#[derive(Clone, Copy, Debug, Default)]
struct Step {
    seconds: f64,
    sent: u32,
    ended: u32,
    late: u32,
    left: u32,
    timed: u32,
    slow: u32,
    /// Of the slow ones, those that can be so because of what came in the last seconds.
    slower: u32,
    /// Somebody waited at its end.
    waited: u32,
}

#[derive(Clone, Debug)]
enum Stage {
    Off,
    Holds(Hold),
    Guards(Box<Guarding>),
}

#[derive(Clone, Copy, Debug)]
struct Hold {
    since: Duration,
    limit: u32,
    /// Answers a second when it began.
    rate: f64,
    /// No more are in flight than may be, since then.
    reached: Option<Duration>,
}

#[derive(Clone, Debug)]
struct Guarding {
    limit: Adaptive,
    min: u32,
    max: u32,
    rate: f64,
    has_moved: bool,
    reached: bool,
    overloaded: u64,
    quiet_since: Option<Duration>,
    fewer_since: Option<Duration>,
    /// When it was halved last, or began with what is in flight.
    halved: Option<Duration>,
}

/// What is so while all is well.
#[derive(Clone, Copy, Debug)]
struct Usual {
    /// The class of the median answer.
    class: Option<f64>,
    in_flight: f64,
    /// The share of answers that take much longer than the median: long polls, reports.
    slow: f64,
    since: Duration,
    counted: [u64; CLASSES],
}

impl Default for Guard {
    fn default() -> Self {
        let counted = [0; CLASSES];
        Self {
            before: None,
            steps: [Step::default(); LOOKS],
            at: 0,
            usual: Usual { class: None, in_flight: 0.0, slow: 0.0, since: Duration::ZERO, counted },
            rate_most: 0.0,
            harmed: 0,
            not_before: Duration::ZERO,
            lets_go_until: Duration::ZERO,
            stage: Stage::Off,
        }
    }
}

impl Guard {
    /// Requests that it may have in flight now; `None` is no limit.
    pub fn limit(&self) -> Option<u32> {
        match &self.stage {
            Stage::Off => None,
            Stage::Holds(hold) => Some(hold.limit),
            Stage::Guards(guarding) => Some(guarding.limit.limit()),
        }
    }

    /// The same for people: without the steps aside by which it is found.
    pub fn shown(&self) -> Option<u32> {
        match &self.stage {
            Stage::Guards(guarding) => Some(guarding.limit.upper_level()),
            _ => self.limit(),
        }
    }

    /// Why it is so.
    pub fn why(&self) -> LimitWhy {
        match &self.stage {
            Stage::Off => LimitWhy::Start,
            Stage::Holds(_) => LimitWhy::PilesUp,
            Stage::Guards(guarding) if guarding.has_moved => guarding.limit.why(),
            Stage::Guards(_) => LimitWhy::VisitorsLeft,
        }
    }

    /// It only holds, or has just ceased to: nobody was harmed yet, so nobody may be refused.
    pub fn refuses_nobody(&self) -> bool {
        let lets_go = || self.before.is_some_and(|(now, _)| now < self.lets_go_until);
        match self.stage {
            Stage::Off => lets_go(),
            Stage::Holds(_) => true,
            Stage::Guards(_) => false,
        }
    }

    /// Takes what is seen at `now`, a time that only grows; to be called ten times a second. [`Guard::limit`] holds from here on.
    pub fn look(&mut self, now: Duration, seen: &GuardSeen) {
        let Some((then, before)) = self.before.replace((now, *seen)) else {
            (self.usual.since, self.usual.counted) = (now, seen.took);
            self.usual.in_flight = f64::from(seen.in_flight);
            return;
        };
        self.at = (self.at + 1) % LOOKS;
        self.steps[self.at] = self.usual.step(now.saturating_sub(then), &before, seen);
        let (second, is_harmed) = (self.last(LOOKS), self.is_harmed(seen));
        self.harmed = if is_harmed { self.harmed + 1 } else { 0 };
        match &self.stage {
            Stage::Off => {
                if !second.piles_up() || self.usual.class.is_none() {
                    self.usual.learn(now, seen, &self.steps[self.at]);
                }
                self.rate_most = (self.rate_most * 0.995).max(self.last(LOOKS / 2).rate());
                let limit = self.carries();
                if self.harmed > LOOKS as u32 && seen.in_flight > limit {
                    self.guard(limit);
                } else if now >= self.not_before && seen.in_flight > limit && self.is_piling_up() {
                    let rate = second.rate();
                    self.stage = Stage::Holds(Hold { since: now, limit, rate, reached: None });
                }
            }
            Stage::Holds(hold) => self.hold(now, seen, *hold),
            Stage::Guards(_) => self.guarded(now, seen, &before),
        }
    }

    fn hold(&mut self, now: Duration, seen: &GuardSeen, hold: Hold) {
        let (second, carries) = (self.last(LOOKS), self.carries());
        if self.harmed > 0 {
            self.guard(hold.limit);
            return;
        }
        let reached = hold.reached.or((seen.in_flight <= hold.limit).then_some(now));
        let settled = reached.is_some_and(|at| now.saturating_sub(at) > Duration::from_millis(1_200));
        let costs = settled && second.waited > 0 && second.rate() < HOLDS_RATE * hold.rate;
        self.lets_go_until = now + LETS_GO;
        if costs || now.saturating_sub(hold.since) > HOLDS_MAX {
            // It carries more at once than it seemed, or those who wait are patient.
            (self.stage, self.not_before) = (Stage::Off, now + PAUSE);
        } else if settled && second.waited == 0 {
            self.stage = Stage::Off;
        } else {
            // What is answered faster than in a second gets more.
            self.stage = Stage::Holds(Hold { limit: hold.limit.max(carries), reached, ..hold });
        }
    }

    fn guard(&mut self, limit: u32) {
        // At its usual speed it had so many in hand for what it answers now.
        let usually = (self.last(LOOKS).rate() * self.usual.seconds()).max(self.usual.in_flight * 0.75);
        let min = (usually.ceil() as u32).clamp(1, limit);
        let max = limit.saturating_mul(2).max(1_000);
        let bounds = AdaptiveLimit { start: limit, is_start_told: false, min, max };
        self.stage = Stage::Guards(Box::new(Guarding {
            limit: Adaptive::new(bounds),
            min,
            max,
            rate: self.last(LOOKS).rate(),
            has_moved: false,
            reached: false,
            overloaded: 0,
            quiet_since: None,
            fewer_since: None,
            halved: None,
        }));
    }

    fn guarded(&mut self, now: Duration, seen: &GuardSeen, before: &GuardSeen) {
        let second = self.last(LOOKS);
        let Stage::Guards(guarding) = &mut self.stage else { return };
        let limit = guarding.limit.limit();
        if seen.in_flight <= limit && !guarding.reached {
            (guarding.reached, guarding.halved) = (true, Some(now));
        }
        // What was sent before was late whatever the limit is now, and so is what waited inside since.
        let settled = Duration::from_millis(1_000 + 1_000 * u64::from(limit) / (second.rate() as u64).max(1));
        if guarding.halved.is_some_and(|at| now.saturating_sub(at) > settled)
            && second.left * 2 > second.ended
        {
            // Most leave: they wait inside for what they could not wait for outside.
            let start = (limit / 2).max(guarding.min);
            let bounds = AdaptiveLimit { start, is_start_told: false, min: guarding.min, max: guarding.max };
            (guarding.limit, guarding.halved) = (Adaptive::new(bounds), Some(now));
        }
        if guarding.reached {
            // What was sent there before is late whatever the limit is.
            guarding.overloaded += seen.overloaded.saturating_sub(before.overloaded);
        }
        let (in_flight, waiting, good) = (seen.in_flight, seen.waiting, seen.good);
        guarding.limit.look(now, Seen { in_flight, waiting, good, overloaded: guarding.overloaded });
        guarding.has_moved |= guarding.limit.why() != LimitWhy::Start;
        let is_quiet = second.waited < LOOKS as u32 / 2;
        let is_less = guarding.reached && second.waited > 0 && second.rate() < GUARDS_RATE * guarding.rate;
        guarding.quiet_since = guarding.quiet_since.or(Some(now)).filter(|_| is_quiet);
        guarding.fewer_since = guarding.fewer_since.or(Some(now)).filter(|_| is_less);
        let over = |since: Option<Duration>, long| since.is_some_and(|at| now.saturating_sub(at) >= long);
        if over(guarding.quiet_since, QUIET) {
            self.stage = Stage::Off;
        } else if over(guarding.fewer_since, HARM) {
            (self.stage, self.not_before) = (Stage::Off, now + PAUSE);
        }
    }

    /// What it answers in a second, or in twice the usual time, besides what is usually there.
    fn carries(&self) -> u32 {
        let more = self.last(LOOKS).rate() * (2.0 * self.usual.seconds()).max(1.0);
        (self.usual.in_flight + more).clamp(LEAST, 1e6).ceil() as u32
    }

    fn is_piling_up(&self) -> bool {
        let (second, half, newest) = (self.last(LOOKS), self.last(LOOKS / 2), self.last(3));
        let more = f64::from(half.sent) >= 2.0 * half.seconds * self.rate_most.max(half.rate());
        more && second.sent.saturating_sub(second.ended) >= PILED_MIN
            && half.ended >= 5
            && newest.sent > newest.ended
            && newest.timed >= 3
            && newest.slower * 2 >= newest.timed
            && self.usual.slow < USUALLY_SLOW
    }

    fn is_harmed(&self, seen: &GuardSeen) -> bool {
        let second = self.last(LOOKS);
        let late = second.late >= LATE_MIN && second.late * 10 >= second.ended.max(second.late);
        let slow = match second.timed {
            0 => f64::from(seen.in_flight) > 4.0 * (self.usual.in_flight + 1.0),
            timed => second.slow * 2 >= timed,
        };
        late && (slow || matches!(self.stage, Stage::Holds(_)))
    }

    /// All of the last looks together.
    fn last(&self, looks: usize) -> Step {
        let mut all = Step::default();
        for back in 0..looks {
            let step = &self.steps[(self.at + LOOKS - back) % LOOKS];
            all.seconds += step.seconds;
            all.sent += step.sent;
            all.ended += step.ended;
            all.late += step.late;
            all.left += step.left;
            all.timed += step.timed;
            all.slow += step.slow;
            all.slower += step.slower;
            all.waited += step.waited;
        }
        all
    }
}

impl Step {
    /// Answers and failures a second.
    fn rate(&self) -> f64 {
        f64::from(self.ended) / self.seconds.max(0.1)
    }

    fn piles_up(&self) -> bool {
        self.sent * 2 >= self.ended * 3 + 10
    }
}

impl Usual {
    /// What an answer takes; 0 where that is not known.
    fn seconds(&self) -> f64 {
        // Its class begins at √2 for each one, and the first but one at a millisecond.
        self.class.map_or(0.0, |class| 0.001 * 2f64.powf((class - 1.0).max(0.0) / 2.0))
    }

    fn step(&self, passed: Duration, before: &GuardSeen, seen: &GuardSeen) -> Step {
        let more = |now: u64, then: u64| now.saturating_sub(then).min(u64::from(u32::MAX / 64)) as u32;
        let slow_from = self.class.map_or(f64::MAX, |class| (class + SLOW_CLASSES).max(SLOW_CLASS_MIN));
        let (mut timed, mut slow, mut slower) = (0, 0, 0);
        for (class, (&now, &then)) in seen.took.iter().zip(&before.took).enumerate() {
            timed += more(now, then);
            slow += if class as f64 >= slow_from { more(now, then) } else { 0 };
            let can_be = (slow_from..SLOWER_BELOW).contains(&(class as f64));
            slower += if can_be { more(now, then) } else { 0 };
        }
        Step {
            seconds: passed.as_secs_f64(),
            sent: more(seen.sent, before.sent),
            ended: more(seen.ended, before.ended),
            late: more(
                seen.overloaded + seen.left + seen.left_queue,
                before.overloaded + before.left + before.left_queue,
            ),
            left: more(seen.left, before.left),
            timed,
            slow,
            slower,
            waited: u32::from(seen.waiting > 0),
        }
    }

    fn learn(&mut self, now: Duration, seen: &GuardSeen, step: &Step) {
        self.in_flight += (f64::from(seen.in_flight) - self.in_flight) * (step.seconds / 5.0).min(1.0);
        if step.timed > 0 {
            let share = f64::from(step.slow) / f64::from(step.timed);
            self.slow += (share - self.slow) * (step.seconds / 10.0).min(1.0);
        }
        let of = |class: usize| seen.took[class].saturating_sub(self.counted[class]);
        let all: u64 = (0..CLASSES).map(of).sum();
        let passed = now.saturating_sub(self.since);
        let enough = match self.class {
            None => all >= USUAL_ANSWERS_FIRST,
            Some(_) => all >= USUAL_ANSWERS && passed >= Duration::from_secs(1),
        };
        if !enough {
            return;
        }
        let mut left = all / 2;
        let median = (0..CLASSES).find(|&class| {
            let is_here = left < of(class);
            left = left.saturating_sub(of(class));
            is_here
        });
        let median = median.unwrap_or(CLASSES - 1) as f64;
        self.class = Some(match self.class {
            None => median,
            Some(class) if median < class => (class + median) / 2.0,
            Some(class) => class + (median - class).min(USUAL_UP * passed.as_secs_f64()),
        });
        (self.since, self.counted) = (now, seen.took);
    }
}
