//! The last hour, second by second: a ring of samples without holes. A second for which there is no sample is there as
//! a gap. Knows no clock; whoever pushes says which second it was.

use crate::sample::{COLUMNS, Number, Sample};
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::VecDeque;

/// Seconds that are kept.
pub(crate) const SECONDS_MAX: usize = 3_600;
/// Seconds that may be merged into one point.
pub(crate) const STEP_MAX: u64 = 60;
/// How far the wall clock may be set back before the series begins anew.
const BACK_MAX_S: u64 = 5;

/// The samples, oldest first.
#[derive(Debug, Default)]
pub(crate) struct History {
    samples: VecDeque<Sample>,
    /// The newest sample's second: it ended at this many seconds since 1970.
    last_s: u64,
}

/// A piece of the history, in columns.
#[derive(Debug)]
pub(crate) struct Series {
    step_s: u64,
    /// The end of the first point, in seconds since 1970.
    first_s: u64,
    points: Vec<Sample>,
}

impl History {
    /// Adds the sample of the second that ended at `second`. Seconds left out since the last one are gaps; one that is
    /// there already keeps its sample. A clock that was set back far begins a new history.
    pub(crate) fn push(&mut self, second: u64, sample: Sample) {
        if !self.samples.is_empty() && second <= self.last_s {
            if self.last_s - second <= BACK_MAX_S {
                return;
            }
            self.samples.clear();
        }
        let left_out = if self.samples.is_empty() { 0 } else { second - self.last_s - 1 };
        for _ in 0..left_out.min(SECONDS_MAX as u64) {
            self.add(Sample::default());
        }
        self.add(sample);
        self.last_s = second;
    }

    fn add(&mut self, sample: Sample) {
        if self.samples.len() == SECONDS_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    /// The newest sample, and when its second ended.
    pub(crate) fn newest(&self) -> Option<(u64, &Sample)> {
        self.samples.back().map(|sample| (self.last_s, sample))
    }

    /// All whole steps that ended after `since_s`. Steps end at multiples of `step_s`, so that those of two calls fit
    /// together; the first one merges what there is.
    pub(crate) fn series(&self, since_s: u64, step_s: u64) -> Series {
        let step_s = step_s.clamp(1, STEP_MAX);
        let held = self.samples.len() as u64;
        // The samples' seconds are first..=last.
        let first = self.last_s + 1 - held.min(self.last_s + 1);
        let begin = first.max((since_s / step_s).saturating_mul(step_s).saturating_add(1));
        let last_whole = self.last_s / step_s * step_s;
        let mut points: Vec<Sample> = Vec::new();
        let first_s = begin.div_ceil(step_s) * step_s;
        for second in begin..=last_whole.min(self.last_s) {
            let Some(sample) = self.samples.get((second - first) as usize) else { break };
            let starts_a_step = points.is_empty() || (second - 1) % step_s == 0;
            match points.last_mut() {
                Some(point) if !starts_a_step => point.merge(sample),
                _ => points.push(sample.clone()),
            }
        }
        Series { step_s, first_s, points }
    }
}

impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("step_s", &self.step_s)?;
        let times: Vec<u64> =
            (0..self.points.len() as u64).map(|nth| (self.first_s + nth * self.step_s) * 1_000).collect();
        map.serialize_entry("at_unix_ms", &times)?;
        map.serialize_entry("columns", &Columns(&self.points))?;
        map.end()
    }
}

struct Columns<'a>(&'a [Sample]);

impl Serialize for Columns<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COLUMNS.len()))?;
        for (name, figure) in COLUMNS {
            let column: Vec<Option<Number>> = self.0.iter().map(|point| figure(point).map(Number)).collect();
            map.serialize_entry(name, &column)?;
        }
        map.end()
    }
}

#[cfg(test)]
#[path = "history_tests.rs"]
mod tests;
