//! Samples are differences of reports: rates, restarts, gaps, merging.

use super::*;
use serde_json::{Value, json};
use tentpole_model::{InstanceId, InstanceStatus};

fn report(started: u64, at: u64, requests: u64) -> EdgeReport {
    EdgeReport {
        started_unix_ms: started,
        at_unix_ms: at,
        requests,
        classes: [requests / 100, 0, requests / 2, 0, 0, requests / 10],
        cache: vec![
            ("hit".into(), requests / 2),
            ("joined".into(), requests / 4),
            ("stored".into(), requests / 4),
        ],
        refused: vec![("queue_full".into(), requests / 20), ("too_many_connections".into(), requests / 20)],
        connections_open: 7,
        cpu_us: requests * 500,
        durations: vec![(1_280, requests)],
        memory: vec![("cache".into(), 10), ("buffers".into(), 5)],
        queued: vec![3, 4],
        endpoints: vec![EndpointReport {
            pool: "app".into(),
            authority: "app-1".into(),
            in_flight: 9,
            requests,
            connects: requests / 20,
            failures: requests / 10,
            errors_5xx: requests / 10,
            ..EndpointReport::default()
        }],
        ..EdgeReport::default()
    }
}

fn shown(sample: &Sample) -> Value {
    serde_json::to_value(sample).unwrap()
}

#[test]
fn rates_are_differences_over_the_time_between_the_reports() {
    let (before, now) = (report(1, 10_000, 1_000), report(1, 12_000, 3_000));
    let sample = shown(&Sample::between(Some(&before), Some(&now), &[]));
    for (figure, value) in [
        ("requests_per_s", json!(1_000)),
        ("status_2xx_per_s", json!(500)),
        ("errors_per_s", json!(110)),
        ("refused_per_s", json!(100)),
        ("hits_per_s", json!(750)),
        ("hit_share", json!(0.75)),
        ("edge_cpu_share", json!(0.5)),
        ("p50_ms", json!(1.152)),
        ("connections_open", json!(7)),
        ("queued", json!(7)),
        ("in_flight", json!(9)),
        ("memory_held_bytes", json!(15)),
        ("instances", Value::Null),
        ("fleet_cpu_share", Value::Null),
    ] {
        assert_eq!(sample[figure], value, "{figure}");
    }
    let rates = endpoint_rates(&before, &now)[&("app".into(), "app-1".into())];
    assert_eq!(
        rates,
        EndpointRates { requests_per_s: 1_000.0, errors_per_s: 200.0, reused_share: Some(0.95) }
    );
}

#[test]
fn another_edge_began_at_nought_when_it_started() {
    let (old, new) = (report(1, 10_000, 1_000_000), report(11_000, 11_500, 50));
    let sample = shown(&Sample::between(Some(&old), Some(&new), &[]));
    assert_eq!(sample["requests_per_s"], 100);
    assert_eq!(endpoint_rates(&old, &new)[&("app".into(), "app-1".into())].requests_per_s, 100.0);
}

#[test]
fn without_news_there_is_a_gap_and_no_nought() {
    let told = report(1, 10_000, 1_000);
    let back = report(1, 9_000, 1_000);
    for (before, now) in
        [(None, Some(&told)), (Some(&told), Some(&told)), (Some(&told), None), (Some(&told), Some(&back))]
    {
        let sample = Sample::between(before, now, &[]);
        assert!(sample.is_gap());
        assert!(shown(&sample).as_object().unwrap().values().all(Value::is_null));
    }
}

#[test]
fn a_second_in_which_nothing_finished_has_rates_of_nought_and_no_percentile() {
    let (before, now) = (report(1, 10_000, 1_000), report(1, 11_000, 1_000));
    let sample = shown(&Sample::between(Some(&before), Some(&now), &[]));
    assert_eq!(
        (&sample["requests_per_s"], &sample["p99_ms"], &sample["hit_share"]),
        (&json!(0), &Value::Null, &Value::Null)
    );
}

#[test]
fn merged_seconds_average_rates_keep_the_highest_of_what_stands_and_ignore_gaps() {
    let reports = [report(1, 1_000, 0), report(1, 2_000, 100), report(1, 3_000, 400)];
    let mut reports = reports.to_vec();
    reports[1].connections_open = 90;
    reports[2].durations = vec![(1_280, 100), (81_920, 300)];
    let mut point = Sample::between(Some(&reports[0]), Some(&reports[1]), &[]);
    point.merge(&Sample::default());
    point.merge(&Sample::between(Some(&reports[1]), Some(&reports[2]), &[]));
    let point = shown(&point);
    assert_eq!((&point["requests_per_s"], &point["connections_open"]), (&json!(200), &json!(90)));
    // 400 requests, 100 of them quick: the median is a slow one, which no average of two medians would say.
    assert!(point["p50_ms"].as_f64().unwrap() > 65.0, "{point}");
}

#[test]
fn fleets_are_counted_by_phase_also_while_the_edge_is_away() {
    let instance = |slot: u64, phase| InstanceStatus {
        id: InstanceId(slot),
        name: format!("app-{slot}"),
        phase,
        address: ([127, 0, 0, 1], 9_000).into(),
        pid: None,
        started_unix_ms: 0,
        cpu_share: None,
        in_flight: 0,
        weight_share: 1.0,
    };
    let fleet = |share, phases: &[InstancePhase]| FleetStatus {
        wanted: 3,
        cpu_share: share,
        instances: phases.iter().map(|&phase| instance(1, phase)).collect(),
        ..FleetStatus::default()
    };
    let fleets = [
        fleet(Some(0.9), &[InstancePhase::Serving, InstancePhase::Serving, InstancePhase::Starting]),
        fleet(Some(0.3), &[InstancePhase::Serving]),
        fleet(None, &[InstancePhase::Draining]),
    ];
    let mut sample = Sample::between(None, None, &fleets);
    let expected = |sample: &Value| {
        assert_eq!(
            (&sample["instances"], &sample["instances_serving"], &sample["instances_wanted"]),
            (&json!(5), &json!(3), &json!(9))
        );
        assert_eq!(sample["instances_starting"], 1);
        assert_eq!((&sample["fleet_cpu_share"], &sample["requests_per_s"]), (&json!(0.7), &Value::Null));
    };
    expected(&shown(&sample));
    sample.merge(&sample.clone());
    expected(&shown(&sample));
}
