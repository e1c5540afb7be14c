//! The ring of an hour: gaps, steps that fit together, its bounds.

use super::*;
use serde_json::{Value, json};
use tentpole_model::EdgeReport;

/// A second with so many requests.
fn second(requests: u64) -> Sample {
    let before = EdgeReport { at_unix_ms: 1_000, ..EdgeReport::default() };
    let now = EdgeReport { at_unix_ms: 2_000, requests, connections_open: requests, ..EdgeReport::default() };
    Sample::between(Some(&before), Some(&now), &[])
}

fn shown(history: &History, since: u64, step: u64) -> (Vec<u64>, Value) {
    let series = serde_json::to_value(history.series(since, step)).unwrap();
    assert_eq!(series["step_s"], step);
    let columns = series["columns"].as_object().unwrap();
    assert_eq!(columns.len(), COLUMNS.len());
    let times: Vec<u64> =
        series["at_unix_ms"].as_array().unwrap().iter().map(|at| at.as_u64().unwrap() / 1_000).collect();
    for (name, column) in columns {
        assert_eq!(column.as_array().unwrap().len(), times.len(), "{name}");
    }
    (times, columns["requests_per_s"].clone())
}

#[test]
fn what_was_never_recorded_is_an_empty_series() {
    assert_eq!(shown(&History::default(), 0, 1), (vec![], json!([])));
    assert_eq!(shown(&History::default(), u64::MAX / 1_000, 60), (vec![], json!([])));
}

#[test]
fn seconds_left_out_are_gaps_and_the_same_second_is_not_taken_twice() {
    let mut history = History::default();
    for (at, requests) in [(100, 1), (101, 2), (104, 5), (104, 99), (103, 99)] {
        history.push(at, second(requests));
    }
    assert_eq!(shown(&history, 0, 1), ((100..=104).collect(), json!([1, 2, null, null, 5])));
    assert_eq!(shown(&history, 101, 1), (vec![102, 103, 104], json!([null, null, 5])));
    assert_eq!(shown(&history, 104, 1), (vec![], json!([])));
    assert_eq!(history.newest().unwrap().0, 104);
}

#[test]
fn steps_end_at_their_multiples_so_that_two_answers_fit_together() {
    let mut history = History::default();
    (98..=113).for_each(|at| history.push(at, second(at)));
    let (times, rates) = shown(&history, 0, 5);
    assert_eq!(times, [100, 105, 110], "113 is not the end of a step yet");
    assert_eq!(rates, json!([99, 103, 108]), "the first step has three seconds");
    (114..=120).for_each(|at| history.push(at, second(at)));
    assert_eq!(shown(&history, 110, 5), (vec![115, 120], json!([113, 118])));
    assert_eq!(shown(&history, 112, 5).0, [115, 120], "the step that holds the moment comes whole");
    assert_eq!(shown(&history, 0, 60), (vec![120], json!([109])));
}

#[test]
fn an_hour_is_kept_and_no_more() {
    let mut history = History::default();
    (1..=5_000).for_each(|at| history.push(at, second(at)));
    let (times, rates) = shown(&history, 0, 1);
    assert_eq!((times.len(), times[0], times[SECONDS_MAX - 1]), (SECONDS_MAX, 1_401, 5_000));
    assert_eq!(rates[0], 1_401);
    // The machine slept for a day: what is left is nothing but gaps, and the second after it.
    history.push(91_400, second(7));
    let (times, rates) = shown(&history, 0, 1);
    assert_eq!((times.len(), &rates[SECONDS_MAX - 1], &rates[0]), (SECONDS_MAX, &json!(7), &Value::Null));
    assert!(history.samples.len() <= SECONDS_MAX);
}

#[test]
fn a_clock_set_back_begins_a_new_history() {
    let mut history = History::default();
    (1_000..1_010).for_each(|at| history.push(at, second(1)));
    history.push(500, second(2));
    history.push(501, second(3));
    assert_eq!(shown(&history, 0, 1), (vec![500, 501], json!([2, 3])));
}
