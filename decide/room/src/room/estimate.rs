//! How long those in the line wait, as it goes now. Free seats are taken as fast as visitors may come in; once all are taken,
//! what counts is how fast others go. Says what is measured, not what is hoped for.

use super::{Room, SAMPLE_MS, Sample};

/// Samples over which it is measured how fast free seats are taken.
const MEASURED: usize = 12;
/// How fast visitors go is measured over two sessions, this many samples at most: those who came together go together.
const MEASURED_MAX: usize = 120;
/// While all seats are taken, what is known of how long visitors stay counts like this time of measuring, in seconds.
const ASSUMED_S: f64 = 60.0;
/// One seat of so many may be free in a house that counts as full: whoever is called needs a moment to come.
const FULL_PARTS: u32 = 20;

/// What the last samples said: over how many seconds, and how many came in within one of them.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Measured {
    /// While seats were free and some waited.
    coming: (f64, f64),
    /// While all were taken.
    going: (f64, f64),
}

impl Room {
    /// Whether hardly a seat is free.
    pub(super) fn is_nearly_full(&self) -> bool {
        self.rules.limits.active_max.zip(self.free()).is_some_and(|(max, free)| free <= max / FULL_PARTS)
    }

    /// In how many seconds the one comes in before whom so many are called: those of them who are there take the seats that
    /// are free, as fast as they may come in, and the others those of visitors who go.
    pub(super) fn estimate(&self, ahead: u64) -> Option<u64> {
        let numbers = (self.line.issued - self.line.called).max(1);
        let there = self.line.present().min(numbers).max(1);
        let before = (ahead as f64 * there as f64 / numbers as f64).max(ahead.min(1) as f64);
        // Those who are called and not here yet will take some of them.
        let called = self.line.coming() as f64;
        let free = self.free().map_or(f64::INFINITY, |free| (f64::from(free) - called).max(0.0));
        let (at_once, later) = (before.min(free), (before - free).max(0.0));
        let part = |many: f64, rate: Option<f64>| match (many > 0.0, rate) {
            (false, _) => Some(0.0),
            (true, Some(rate)) if rate > 0.0 => Some(many / rate),
            (true, _) => None,
        };
        let seconds = part(at_once, self.coming_rate())?
            + part(later, self.going_rate())?
            + self.until_first_goes(later);
        Some(seconds.ceil() as u64)
    }

    /// How many come in within a second while seats are free.
    fn coming_rate(&self) -> Option<f64> {
        let (time_s, measured) = self.measured.coming;
        // Never faster than allowed: half of the capacity may have gone this moment.
        match (time_s >= 20.0, self.pace.per_second()) {
            (true, Some(allowed)) => Some(measured.min(allowed)),
            (true, None) => Some(measured),
            (false, allowed) => allowed,
        }
    }

    /// When the first of those who have filled it can have gone, in milliseconds; 0 where they have for long.
    fn goes_from(&self) -> u64 {
        self.full_from_ms.map_or(0, |from| from + self.rules.session_ms)
    }

    /// How long that is from now, in seconds, for so many who need the seat of one who goes.
    fn until_first_goes(&self, later: f64) -> f64 {
        let from_ms = self.full_from_ms.unwrap_or(self.now_ms);
        let left_ms = (from_ms + self.rules.session_ms).saturating_sub(self.now_ms);
        if later > 0.0 { left_ms as f64 / 1_000.0 } else { 0.0 }
    }

    /// How many seats come free within a second, once all are taken. Nobody's does before he has asked for nothing during a
    /// session: that is all that is known before any has gone, and it counts less the longer it is measured.
    fn going_rate(&self) -> Option<f64> {
        let max = self.rules.limits.active_max?;
        let assumed = f64::from(max) * 1_000.0 / self.rules.session_ms.max(1) as f64;
        let (time_s, measured) = self.measured.going;
        let rate = (measured * time_s + assumed * ASSUMED_S) / (time_s + ASSUMED_S);
        Some(self.pace.per_second().map_or(rate, |allowed| rate.min(allowed)))
    }

    /// Measures anew, when a sample has begun.
    pub(super) fn measure(&mut self) {
        let two_sessions = usize::try_from(2 * self.rules.session_ms / SAMPLE_MS).unwrap_or(MEASURED_MAX);
        let goes_from_ms = self.goes_from();
        let coming = self.rate(MEASURED, |sample| sample.had_line && !sample.was_full);
        let going = self.rate(two_sessions.clamp(MEASURED, MEASURED_MAX), |sample| {
            sample.was_full && sample.at_ms >= goes_from_ms
        });
        self.measured = Measured { coming, going };
    }

    /// Over whole samples of this kind.
    fn rate(&self, samples: usize, of_kind: impl Fn(&Sample) -> bool) -> (f64, f64) {
        let whole = self.samples.iter().rev().skip(1).take(samples).filter(|sample| of_kind(sample));
        let (count, entered) = whole.fold((0_u32, 0_u32), |(n, sum), sample| (n + 1, sum + sample.entered));
        let time_s = f64::from(count) * SAMPLE_MS as f64 / 1_000.0;
        (time_s, if count > 0 { f64::from(entered) / time_s } else { 0.0 })
    }
}
