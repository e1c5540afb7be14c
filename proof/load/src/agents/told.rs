//! Page loads as an agent tells them: as short rows, with the agent's own time, so many in a message. Pure.

use crate::result::FailureCause;
use crate::samples::Sample;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rows of one message.
pub(crate) const ROWS_MAX: usize = 2_048;

/// One page load: when it was due, how long it took, when the first byte came and how long connecting took (µs; the first of
/// the agent's clock), step, visitor, status, bytes, why it failed, how many were under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row(u64, u64, Option<u64>, u64, usize, u64, u16, u64, Option<FailureCause>, u32);

/// `base_unix_us` is when the agent's clock began, in µs since 1970.
pub(crate) fn row(sample: &Sample, base_unix_us: u64) -> Row {
    let micros = |time: Duration| time.as_micros() as u64;
    Row(
        sample.due_unix_us.saturating_sub(base_unix_us),
        micros(sample.took),
        sample.first_byte.map(micros),
        micros(sample.connect),
        sample.step,
        sample.visitor,
        sample.status,
        sample.bytes,
        sample.failure,
        sample.under_way,
    )
}

/// `unix_us` says when a moment of the agent's clock was, in µs since 1970.
pub(crate) fn sample(row: &Row, unix_us: impl Fn(u64) -> u64) -> Sample {
    let Row(due, took, first_byte, connect, step, visitor, status, bytes, failure, under_way) = *row;
    Sample {
        due_unix_us: unix_us(due),
        took: Duration::from_micros(took),
        first_byte: first_byte.map(Duration::from_micros),
        connect: Duration::from_micros(connect),
        step,
        visitor,
        status,
        bytes,
        failure,
        under_way,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_load_is_the_same_on_both_sides_but_for_the_clock() {
        let made = Sample {
            due_unix_us: 1_000_250,
            took: Duration::from_micros(1_234),
            first_byte: Some(Duration::from_micros(900)),
            connect: Duration::from_micros(7),
            step: 3,
            visitor: u64::MAX,
            status: 503,
            bytes: 11,
            failure: Some(FailureCause::TimedOut),
            under_way: 2,
        };
        let text = serde_json::to_string(&row(&made, 1_000_000)).expect("text");
        let told: Row = serde_json::from_str(&text).expect("the same row");
        let heard = sample(&told, |at| at + 5_000_000);
        assert_eq!(heard, Sample { due_unix_us: 5_000_250, ..made });
    }
}
