//! What one generator thread has counted: distributions in HDR histograms (1 µs to 120 s, three significant digits)
//! and failures by cause. A failure is in no distribution. Judges nothing.
//!
//! Times are counted from the moment at which a request was due, whether or not the generator or an earlier response
//! was in the way then: no coordinated omission (Tene, "How NOT to Measure Latency").

use crate::result::{FailureCause, JourneyStepResult, Times};
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use tentpole_runtime::Instant;

/// Longest time that is told apart, in µs. The time-out is below it.
pub const MICROS_MAX: u64 = 120_000_000;
/// Steps of all journeys together at most: each has a histogram a thread.
pub const JOURNEY_STEPS_MAX: usize = 256;

/// Times in µs.
#[derive(Clone, Debug)]
pub struct Distribution(Histogram<u32>);

/// As pairs of a time in µs and how often it was counted; read back, it is the same to the last digit, for each pair falls into
/// the bucket that it came from.
impl Serialize for Distribution {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_seq(self.0.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())))
    }
}

impl<'de> Deserialize<'de> for Distribution {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let mut distribution = Self::default();
        for (value, count) in Vec::<(u64, u32)>::deserialize(from)? {
            distribution.0.saturating_record_n(value, count);
        }
        Ok(distribution)
    }
}

impl Default for Distribution {
    fn default() -> Self {
        // Never fails: the bounds are right.
        let bounds = Histogram::new_with_bounds(1, MICROS_MAX, 3);
        Self(bounds.unwrap_or_else(|_| unreachable!("1 µs to 120 s with 3 digits are bounds of a histogram")))
    }
}

impl Distribution {
    /// Counts one time; what is longer than [`MICROS_MAX`] counts as that.
    pub fn count(&mut self, time: Duration) {
        self.0.saturating_record(u64::try_from(time.as_micros()).unwrap_or(u64::MAX).max(1));
    }

    /// Adds everything that another one counted.
    pub fn add(&mut self, other: &Self) {
        // Fails only for other bounds, and all have the same.
        let _ = self.0.add(&other.0);
    }

    /// A quantile (0 to 1) in ms; `None` when nothing was counted.
    pub fn quantile_ms(&self, quantile: f64) -> Option<f64> {
        (!self.0.is_empty()).then(|| ms(self.0.value_at_quantile(quantile).min(self.0.max())))
    }

    /// The 99th percentile in µs; 0 when nothing was counted.
    pub fn p99_us(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.value_at_quantile(0.99).min(self.0.max()) }
    }

    /// Everything about it; `None` when nothing was counted.
    pub fn times(&self) -> Option<Times> {
        if self.0.is_empty() {
            return None;
        }
        let at = |quantile| ms(self.0.value_at_quantile(quantile).min(self.0.max()));
        Some(Times {
            count: self.0.len(),
            min: ms(self.0.min()),
            p50: at(0.5),
            p90: at(0.9),
            p95: at(0.95),
            p99: at(0.99),
            p999: at(0.999),
            max: ms(self.0.max()),
            mean: (self.0.mean()).round() / 1_000.0,
        })
    }
}

fn ms(micros: u64) -> f64 {
    micros as f64 / 1_000.0
}

/// One page load, redirects included, as it ended.
#[derive(Clone, Debug)]
pub struct Ended {
    /// Number of the step, over all journeys.
    pub step: usize,
    /// When it was due.
    pub due: Instant,
    /// When it was really begun.
    pub begun: Instant,
    /// When it ended.
    pub ended: Instant,
    /// Why it failed.
    pub failure: Option<FailureCause>,
    /// What it cost on the way.
    pub wire: Wire,
}

/// What happened on the wire for one page load.
#[derive(Clone, Debug, Default)]
pub struct Wire {
    /// The statuses of its responses, redirects first; 0 beyond them.
    pub statuses: [u16; crate::visitor::HOPS_MAX + 1],
    /// When the first response began to come.
    pub first_byte: Option<Instant>,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Connections opened.
    pub connects: u32,
    /// Kept connections that were found closed.
    pub reconnects: u32,
    /// Time for connections of TCP.
    pub connect: Duration,
    /// Time for handshakes of TLS on them; none in the clear.
    pub handshake: Duration,
    /// Whether it went over HTTP/2.
    pub http2: bool,
}

/// Counts of a step of load, or of one thread's part of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Tally {
    steps: Vec<StepTally>,
    service: Distribution,
    lag: Distribution,
    connect: Distribution,
    handshake: Distribution,
    messages: Distribution,
    /// Page loads over HTTP/2.
    pub http2: u64,
    /// By cause.
    pub failures: BTreeMap<FailureCause, u64>,
    /// By status.
    pub statuses: BTreeMap<u16, u64>,
    /// Bytes of bodies.
    pub bytes: u64,
    /// Connections opened.
    pub connects: u64,
    /// Kept connections that were found closed.
    pub reconnects: u64,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct StepTally {
    count: u64,
    failed: u64,
    response: Distribution,
}

impl Tally {
    /// Nothing counted yet, for so many steps of journeys.
    pub fn new(steps: usize) -> Self {
        Self { steps: vec![StepTally::default(); steps], ..Self::default() }
    }

    /// Counts a page load.
    pub fn count(&mut self, ended: &Ended) {
        let step = &mut self.steps[ended.step];
        step.count += 1;
        match ended.failure {
            None => {
                step.response.count(ended.ended.since(ended.due));
                self.service.count(ended.ended.since(ended.begun));
            }
            Some(cause) => {
                step.failed += 1;
                *self.failures.entry(cause).or_default() += 1;
            }
        }
        for status in ended.wire.statuses.iter().take_while(|status| **status != 0) {
            *self.statuses.entry(*status).or_default() += 1;
        }
        self.bytes += ended.wire.bytes;
        self.connects += u64::from(ended.wire.connects);
        self.http2 += u64::from(ended.wire.http2);
        if !ended.wire.connect.is_zero() {
            self.connect.count(ended.wire.connect);
        }
        if !ended.wire.handshake.is_zero() {
            self.handshake.count(ended.wire.handshake);
        }
        self.reconnects += u64::from(ended.wire.reconnects);
    }

    /// Counts how late the generator itself was.
    pub fn count_lag(&mut self, lag: Duration) {
        self.lag.count(lag);
    }

    /// Adds another thread's part.
    pub fn add(&mut self, other: &Self) {
        for (ours, theirs) in self.steps.iter_mut().zip(&other.steps) {
            ours.add(theirs);
        }
        self.service.add(&other.service);
        self.lag.add(&other.lag);
        self.connect.add(&other.connect);
        self.handshake.add(&other.handshake);
        self.messages.add(&other.messages);
        self.http2 += other.http2;
        for (cause, count) in &other.failures {
            *self.failures.entry(*cause).or_default() += count;
        }
        for (status, count) in &other.statuses {
            *self.statuses.entry(*status).or_default() += count;
        }
        self.bytes += other.bytes;
        self.connects += other.connects;
        self.reconnects += other.reconnects;
    }

    /// Page loads, well or badly ended.
    pub fn requests(&self) -> u64 {
        self.steps.iter().map(|step| step.count).sum()
    }

    /// The failed ones.
    pub fn failed(&self) -> u64 {
        self.steps.iter().map(|step| step.failed).sum()
    }

    /// Load times of all steps together.
    pub fn response(&self) -> Distribution {
        let mut all = Distribution::default();
        self.steps.iter().for_each(|step| all.add(&step.response));
        all
    }

    /// Service times.
    pub fn service(&self) -> &Distribution {
        &self.service
    }

    /// Times for connections of TCP.
    pub fn connect(&self) -> &Distribution {
        &self.connect
    }

    /// Times for handshakes of TLS.
    pub fn handshake(&self) -> &Distribution {
        &self.handshake
    }

    /// Times from a message over a WebSocket to its answer.
    pub fn messages(&self) -> &Distribution {
        &self.messages
    }

    /// Groups of steps together: the names of tags, and which of them each step has.
    pub fn tags(&self, names: &[String], of_steps: &[Vec<usize>]) -> Vec<JourneyStepResult> {
        let group = |(tag, name): (usize, &String)| {
            let mut all = StepTally::default();
            for (step, tags) in self.steps.iter().zip(of_steps) {
                if tags.contains(&tag) {
                    all.add(step);
                }
            }
            all.result(name)
        };
        names.iter().enumerate().map(group).collect()
    }

    /// How late the generator was.
    pub fn lag(&self) -> &Distribution {
        &self.lag
    }

    /// Each step of the journeys.
    pub fn journey_steps(&self, names: &[String]) -> Vec<JourneyStepResult> {
        names.iter().zip(&self.steps).map(|(name, step)| step.result(name)).collect()
    }
}

impl StepTally {
    fn add(&mut self, other: &Self) {
        self.count += other.count;
        self.failed += other.failed;
        self.response.add(&other.response);
    }

    fn result(&self, name: &str) -> JourneyStepResult {
        JourneyStepResult {
            name: name.to_owned(),
            count: self.count,
            failed: self.failed,
            p50_ms: self.response.quantile_ms(0.5),
            p95_ms: self.response.quantile_ms(0.95),
            p99_ms: self.response.quantile_ms(0.99),
        }
    }
}

/// Counts of one second.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Moment {
    /// Page loads that ended.
    pub requests: u64,
    /// The failed ones.
    pub failed: u64,
    /// Load times of the others.
    pub response: Distribution,
}

impl Moment {
    /// Adds another thread's part.
    pub fn add(&mut self, other: &Self) {
        self.requests += other.requests;
        self.failed += other.failed;
        self.response.add(&other.response);
    }
}

/// From when to when requests must have been due to be judged; the end is not in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window {
    /// The beginning.
    pub from: Instant,
    /// The end.
    pub to: Instant,
}

impl Window {
    /// Whether a request that was due then is judged.
    pub fn has(self, due: Instant) -> bool {
        due >= self.from && due < self.to
    }
}

/// The record of one thread: written by it, taken by the conductor.
#[derive(Debug)]
pub struct Record {
    /// What is judged.
    pub window: Window,
    /// Requests that were due in the window and have not ended.
    pub pending: u32,
    /// Requests that were due before it and have not ended.
    early: u32,
    /// Requests that are due after it and have not ended.
    late: u32,
    /// Whether those that outlast the window are judged.
    stuck: bool,
    /// What is judged of the step at hand.
    pub step: Tally,
    /// What ended since this was last taken.
    pub moment: Moment,
    /// When the last request was begun.
    pub last_begun: Option<Instant>,
    /// Whatever was due before this has begun: a thread that is held up begins later, and what it has yet to begin is awaited too.
    pub begun_until: Instant,
}

impl Record {
    /// Nothing recorded yet, for so many steps of journeys.
    pub fn new(steps: usize) -> Self {
        let never = Window { from: Instant::from_micros(u64::MAX), to: Instant::from_micros(u64::MAX) };
        let (step, moment) = (Tally::new(steps), Moment::default());
        Self {
            window: never,
            pending: 0,
            early: 0,
            late: 0,
            stuck: false,
            step,
            moment,
            last_begun: None,
            begun_until: never.from,
        }
    }

    /// Another step begins. What is under way now was due before it, and is judged only with `stuck`: visitors of the
    /// closed model who are in the middle of it are the same who would ask in it.
    pub fn open(&mut self, window: Window, step: Tally, stuck: bool) {
        self.stuck = stuck;
        self.early += self.pending + self.late;
        (self.window, self.pending, self.late, self.step) = (window, 0, 0, step);
    }

    /// A page load has begun.
    pub fn begin(&mut self, due: Instant, begun: Instant) {
        *self.under_way(due) += 1;
        self.last_begun = Some(begun);
        if self.window.has(due) {
            self.step.count_lag(begun.since(due));
        }
    }

    /// And ended.
    pub fn end(&mut self, ended: &Ended) {
        self.moment.requests += 1;
        match ended.failure {
            None => self.moment.response.count(ended.ended.since(ended.due)),
            Some(_) => self.moment.failed += 1,
        }
        let under_way = self.under_way(ended.due);
        *under_way = under_way.saturating_sub(1);
        // Who was stuck the whole time asked for nothing else in it, and would otherwise be in no step at all: a server
        // that stops answering during a ramp would pass for one that nobody asked.
        let is_stuck = self.stuck && ended.due < self.window.from && ended.ended >= self.window.to;
        if self.window.has(ended.due) || is_stuck {
            self.step.count(ended);
        }
    }

    /// A message over a WebSocket was answered, of a conversation that was due then.
    pub fn message(&mut self, due: Instant, time: Duration) {
        if self.window.has(due) {
            self.step.messages.count(time);
        }
    }

    /// All requests that have not ended.
    pub fn under_way_now(&self) -> u32 {
        self.early + self.pending + self.late
    }

    /// Requests whose end decides what is judged; those that have yet to begin count as one.
    pub fn awaited(&self) -> u32 {
        let unbegun = u32::from(self.begun_until < self.window.to);
        self.pending + unbegun + if self.stuck { self.early } else { 0 }
    }

    fn under_way(&mut self, due: Instant) -> &mut u32 {
        match due {
            due if due < self.window.from => &mut self.early,
            due if due < self.window.to => &mut self.pending,
            _ => &mut self.late,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Instant {
        Instant::from_micros(ms * 1_000)
    }

    fn ended(due: u64, begun: u64, ended: u64, failure: Option<FailureCause>) -> Ended {
        let (due, begun, ended) = (at(due), at(begun), at(ended));
        Ended { step: 0, due, begun, ended, failure, wire: Wire::default() }
    }

    #[test]
    fn load_time_counts_from_when_it_was_due_and_service_time_from_when_it_began() {
        let mut tally = Tally::new(1);
        tally.count(&ended(100, 150, 350, None));
        let times = tally.response().times().expect("one");
        assert!((times.p50 - 250.0).abs() < 0.5 && times.max >= times.p50, "{times:?}");
        let service = tally.service().times().expect("one");
        assert!((service.mean - 200.0).abs() < 0.5, "{service:?}");
    }

    #[test]
    fn a_failure_is_in_no_distribution() {
        let mut record = Record::new(1);
        record.window = Window { from: at(0), to: at(1_000) };
        for n in 0..10 {
            record.begin(at(n), at(n));
            record.end(&ended(n, n, n + 1, Some(FailureCause::Refused)));
        }
        assert_eq!((record.step.requests(), record.step.failed(), record.pending), (10, 10, 0));
        assert_eq!((record.step.response().times(), record.step.service().times()), (None, None));
        assert_eq!(record.moment.response.quantile_ms(0.5), None);
        assert_eq!(record.step.failures[&FailureCause::Refused], 10);
    }

    #[test]
    fn only_what_was_due_in_the_window_is_judged_however_late_it_ends() {
        let mut record = Record::new(1);
        record.window = Window { from: at(1_000), to: at(2_000) };
        for due in [999, 1_000, 1_999, 2_000] {
            record.begin(at(due), at(due));
        }
        assert_eq!(record.pending, 2);
        for due in [999, 1_000, 1_999, 2_000] {
            record.end(&ended(due, due, due + 30_000, None));
        }
        assert_eq!((record.pending, record.step.requests(), record.moment.requests), (0, 2, 4));
    }

    #[test]
    fn what_a_late_thread_has_yet_to_begin_is_awaited() {
        let mut record = Record::new(1);
        record.window = Window { from: at(1_000), to: at(2_000) };
        assert_eq!(record.awaited(), 0, "nobody says how far it is");
        record.begun_until = at(1_999);
        assert_eq!(record.awaited(), 1);
        record.begun_until = at(2_000);
        assert_eq!(record.awaited(), 0);
    }

    #[test]
    fn who_is_stuck_for_the_whole_time_is_judged_with_his_whole_wait() {
        let mut record = Record::new(1);
        // Asked in the step before, and asked in the ramp of this one.
        record.begin(at(500), at(500));
        record.open(Window { from: at(1_000), to: at(2_000) }, Tally::new(1), true);
        record.begin(at(900), at(900));
        record.begin(at(950), at(950));
        assert_eq!((record.early, record.pending), (3, 0));
        record.end(&ended(900, 900, 1_500, None));
        assert_eq!(record.step.requests(), 0, "he has time to ask again in what is judged");
        record.end(&ended(500, 500, 2_000, None));
        record.end(&ended(950, 950, 5_000, Some(FailureCause::TimedOut)));
        assert_eq!((record.early, record.step.requests(), record.step.failed()), (0, 2, 1));
        assert_eq!(record.step.response().times().map(|times| times.max.round()), Some(1_500.0));
    }

    #[test]
    fn threads_parts_add_up() {
        let (mut one, mut two) = (Tally::new(2), Tally::new(2));
        one.count(&ended(0, 0, 10, None));
        two.count(&Ended { step: 1, ..ended(0, 0, 30, Some(FailureCause::Check)) });
        two.count_lag(Duration::from_micros(70));
        one.add(&two);
        assert_eq!((one.requests(), one.failed(), one.lag().p99_us()), (2, 1, 70));
        let steps = one.journey_steps(&["a".into(), "b".into()]);
        assert_eq!((steps[0].count, steps[1].failed, steps[1].p50_ms), (1, 1, None));
    }
}
