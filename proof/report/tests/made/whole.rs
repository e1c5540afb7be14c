//! A run with every section that a page may have: a search by several agents behind resolvers, over TLS, with tags and a run
//! before it. No real run has all of them.

use super::{With, breaks, short, times};
use tentpole_load::Run;
use tentpole_load::found::{Ended, Found, FoundObjective, Scaling};
use tentpole_load::result::*;

const ADDRESSES: [&str; 8] = [
    "192.0.2.1",
    "192.0.2.2",
    "192.0.2.3",
    "192.0.2.4",
    "2001:db8:85a3:8d3:1319:8a2e:370:7348",
    "192.0.2.6",
    "192.0.2.7",
    "192.0.2.8",
];

/// Breaks between 1,200 and 1,280 visitors.
pub fn whole() -> Run {
    breaks().with(|run| {
        run.url = "https://shop.example.com/".to_owned();
        run.found = Some(found());
        run.since = vec![
            "Since the run of 2026-08-01 12:00 UTC:".to_owned(),
            "It carries more: it breaks between 1,200 and 1,280 visitors, before between 640 and 700 (at least 71 % more)."
                .to_owned(),
            "Look next at \u{201c}check out\u{201d}: its p99 is 2.4 s at 1,280 visitors, the longest of the journey."
                .to_owned(),
        ];
        run.spread = Some(spread(run.seconds.len()));
        run.agents = ["load-1.example.com:7000", "load-2.example.com:7000"].map(agent).into();
        for step in &mut run.steps {
            (step.http2, step.connect_time, step.handshake_time) =
                (step.requests, Some(times(step.connects, 0.4)), Some(times(step.connects, 3.1)));
            step.tags = step.journey_steps.iter().take(3).cloned().collect();
        }
    })
}

fn found() -> Found {
    let sought = |objective, holds, estimate, breaks| FoundObjective { objective, holds, breaks, estimate };
    Found {
        holds: Some(1200.0),
        breaks: Some(1280.0),
        estimate: Some(1240.0),
        confidence: 0.95,
        first: Some(Objective::P99),
        with_it: vec![Objective::P50],
        objectives: vec![
            sought(Objective::P50, Some(1200.0), Some(1300.0), None),
            sought(Objective::P99, Some(1200.0), Some(1240.0), Some(1280.0)),
            // Never near its limit.
            sought(Objective::Errors, None, None, None),
        ],
        seems_to_hold: Some(1200.0),
        seems_to_break: Some(1280.0),
        drift: None,
        trials: 11,
        repeated: 2,
        trial_time_s: 110.0,
        ended: Ended::TimeIsUp,
        scaling: Some(Scaling {
            alpha: 0.023,
            alpha_within: (0.01, 0.04),
            beta: 1.4e-4,
            beta_within: (1e-4, 2e-4),
            peak: Some(1100.0),
            peak_within: Some((990.0, 1300.0)),
            r_squared: 0.98,
        }),
    }
}

/// One address after the other has nearly everybody.
fn spread(seconds: usize) -> Spread {
    let all = ADDRESSES.len();
    let sessions = |second: usize| {
        (0..all).map(|nth| if second / 5 % all == nth { 300 } else { 20 }).collect::<Vec<u64>>()
    };
    let of = |nth: usize| (0..seconds).map(|second| sessions(second)[nth]).sum::<u64>();
    Spread {
        name: "shop.example.com".to_owned(),
        name_servers: vec!["192.0.2.53:53".to_owned(), "[2001:db8::53]:53".to_owned()],
        resolvers: 500,
        sizes: "zipf:1.1".to_owned(),
        policies: "first:0.2,random:0.4,rotate:0.4".to_owned(),
        clients: "first".to_owned(),
        largest_share: 0.18,
        ttl_s: Some(5),
        answer_addresses: 1,
        questions: 12_345,
        look_ups_failed: 3,
        trouble: Some("the name server did not answer within 5 s".to_owned()),
        edges: ADDRESSES
            .iter()
            .enumerate()
            .map(|(nth, address)| Edge {
                address: (*address).to_owned(),
                sessions: of(nth),
                requests: of(nth) * 4,
                failed: nth as u64,
            })
            .collect(),
        seconds: (0..seconds)
            .map(|second| SpreadSecond {
                at_s: short(second as f64 + 1.0),
                sessions: sessions(second),
                requests: sessions(second).iter().map(|one| one * 4).collect(),
            })
            .collect(),
    }
}

fn agent(name: &str) -> AgentResult {
    AgentResult {
        name: name.to_owned(),
        threads: 4,
        cores: 8,
        offset_us: 1200,
        round_trip_us: 240,
        sources: Vec::new(),
        pinned: Vec::new(),
        moved_us: 0,
        lost_at_s: None,
        lost_because: None,
    }
}
