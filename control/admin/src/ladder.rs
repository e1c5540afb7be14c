//! How far down the ladder requests went in the last second: from the cache, stale, from an endpoint at once, after a wait in
//! the queue, to the waiting room, or away. Pure sums over two reports; what the edge does not report yet is not there.

use crate::State;
use crate::sample::{Number, counted, rate, span};
use serde::Serialize;
use tentpole_model::{EdgeReport, Endpoint, EndpointReport, Files, Pool, Priority, Refused};

/// From the cache, and fresh.
const FRESH: [&str; 4] = ["hit", "hit_disk", "hit_partial", "joined"];
/// From the cache, in place of something newer.
const STALE: [&str; 2] = ["stale", "stale_if_error"];
/// An endpoint was asked.
const ASKED: [&str; 3] = ["stored", "revalidated", "bypass"];
/// The steps that are counted by rank, best first.
const BY_RANK: [&str; 5] = ["stale", "endpoint", "queue", "room", "overload"];
/// Who waits before the doors is not refused.
const ROOM: &str = "waiting_room";
/// Reasons that are shown.
const REASONS_MAX: usize = 12;

/// Requests per second on each step, best first, and why some were refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Ladder {
    steps: Vec<Rung>,
    /// The same by rank, best first; without what the cache served, which is for all alike.
    priorities: Vec<Rank>,
    /// Most frequent first.
    refused: Vec<Reason>,
    /// Who was refused most often by filters in the last minutes.
    clients: Vec<Client>,
}

/// Whom filters refused.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Client {
    /// An address, or the network that counts as one.
    address: String,
    filter: String,
    refused: u64,
}

/// One step.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rung {
    step: &'static str,
    per_s: Number,
}

/// One rank.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Rank {
    priority: &'static str,
    per_s: Number,
    /// Those on which anybody stands.
    steps: Vec<Rung>,
}

/// One reason.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Reason {
    reason: String,
    /// There was more than could be carried.
    overload: bool,
    per_s: Number,
    /// Since the edge started.
    total: u64,
}

impl Ladder {
    /// What came between two reports; `None` when they say nothing about a rate.
    pub(crate) fn between(before: &EdgeReport, now: &EdgeReport) -> Option<Self> {
        let (since, elapsed_ms) = span(before, now)?;
        let grown = |total: &dyn Fn(&EdgeReport) -> u64| {
            Number(rate(total(now).saturating_sub(since.map_or(0, total)), elapsed_ms))
        };
        let refused = |report: &EdgeReport, wanted: &dyn Fn(&str) -> bool| -> u64 {
            report.refused.iter().filter(|(reason, _)| wanted(reason)).map(|(_, count)| count).sum()
        };
        // The others are said of a request that would be refused at any time.
        let overload: Vec<&str> = Refused::ALL
            .iter()
            .filter(|refused| refused.is_overload())
            .map(|refused| refused.label())
            .collect();
        let is_overload = |reason: &str| overload.contains(&reason);
        let waited = grown(&|report| report.waited);
        let asked = grown(&|report| counted(report, &ASKED));
        let steps = [
            ("cache", grown(&|report| counted(report, &FRESH))),
            ("stale", grown(&|report| counted(report, &STALE))),
            ("endpoint", Number((asked.0 - waited.0).max(0.0))),
            ("queue", waited),
            ("room", grown(&|report| refused(report, &|reason| reason == ROOM))),
            ("overload", grown(&|report| refused(report, &is_overload))),
            ("denied", grown(&|report| refused(report, &|reason| reason != ROOM && !is_overload(reason)))),
        ];
        let priorities = Priority::ALL.iter().map(|priority| {
            let on = |report: &EdgeReport, step: &str| -> u64 {
                let of = report.ladder.iter().filter(|(on, of, _)| on == step && of == priority.label());
                of.map(|(.., count)| count).sum()
            };
            let rung = |step| Rung { step, per_s: grown(&|report| on(report, step)) };
            let steps = BY_RANK.map(rung).into_iter().filter(|rung| rung.per_s.0 > 0.0);
            let steps = Vec::from_iter(steps);
            let per_s = Number(steps.iter().map(|rung| rung.per_s.0).sum());
            Rank { priority: priority.label(), per_s, steps }
        });
        let priorities = priorities.filter(|rank| rank.per_s.0 > 0.0).collect();
        let reason = |(reason, total): &(String, u64)| Reason {
            overload: is_overload(reason),
            per_s: grown(&|report| refused(report, &|other| other == reason)),
            total: *total,
            reason: reason.clone(),
        };
        let mut reasons: Vec<Reason> =
            now.refused.iter().filter(|(reason, _)| reason != ROOM).map(reason).collect();
        reasons.sort_by(|one, other| other.per_s.0.total_cmp(&one.per_s.0).then(other.total.cmp(&one.total)));
        reasons.truncate(REASONS_MAX);
        let clients = now.figures.screen.top.iter().take(REASONS_MAX).map(|top| Client {
            address: if top.address.is_ipv6() {
                format!("{}/64", top.address)
            } else {
                top.address.to_string()
            },
            filter: top.filter.clone(),
            refused: top.refused,
        });
        let clients = clients.collect();
        Some(Self {
            clients,
            steps: steps.map(|(step, per_s)| Rung { step, per_s }).into(),
            priorities,
            refused: reasons,
        })
    }
}

/// Where a limit that follows what its endpoint carries began.
#[derive(Serialize)]
pub(crate) struct LimitStart {
    limit: u32,
    from: &'static str,
    found_unix_ms: Option<u64>,
}

impl LimitStart {
    /// `None` where there is no such limit.
    pub(crate) fn of(counted: Option<&EndpointReport>) -> Option<Self> {
        let start = counted?.limit_start?;
        let found_unix_ms = Some(start.found_unix_s.saturating_mul(1_000)).filter(|&found_ms| found_ms > 0);
        Some(Self { limit: start.limit, from: start.from.label(), found_unix_ms })
    }
}

/// Requests in flight at the endpoints of a pool; what its files answer never waits.
pub(crate) fn in_flight(report: &EdgeReport, pool: &str) -> u32 {
    let of_pool =
        report.endpoints.iter().filter(|known| known.pool == pool && known.authority != Files::CALLED);
    of_pool.map(|known| known.in_flight).sum()
}

/// How many there may be, at those that take requests now; `None` where one of them has no limit, or one that follows what it
/// carries and is not told yet.
pub(crate) fn limit(pool: &Pool, report: Option<&EdgeReport>, state: &State, place: usize) -> Option<u32> {
    let (membership, dials) = (state.parts.membership.get(), state.parts.dials.get());
    let members = membership.pools.get(place).map_or(&[][..], |pool| &pool.members);
    let weights = dials.weights.get(place).map_or(&[][..], Vec::as_slice);
    let serves = |at: usize| {
        let there = members.get(at).is_some_and(|it| it.health.takes_traffic() && !it.addresses.is_empty());
        there && weights.get(at).is_some_and(|&weight| weight > 0)
    };
    let serving = pool.endpoints.iter().enumerate().filter(|(at, _)| serves(*at));
    let found = |endpoint: &Endpoint| {
        let authority = endpoint.authority();
        let mut known = report?.endpoints.iter().filter(|known| known.pool == pool.name);
        known.find(|known| known.authority == authority)?.limit.map(|(limit, _)| limit)
    };
    let follows = pool.adaptive.is_some() || pool.guard;
    let of = |endpoint: &Endpoint| if follows { found(endpoint) } else { endpoint.requests_max };
    let limits: Option<Vec<u32>> = serving.map(|(_, endpoint)| of(endpoint)).collect();
    limits.filter(|limits| !limits.is_empty()).map(|limits| limits.into_iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(at_s: u64, cache: &[(&str, u64)], waited: u64, refused: &[(&str, u64)]) -> EdgeReport {
        let own = |all: &[(&str, u64)]| all.iter().map(|&(word, count)| (word.to_owned(), count)).collect();
        EdgeReport {
            started_unix_ms: 1,
            at_unix_ms: at_s * 1_000,
            cache: own(cache),
            refused: own(refused),
            waited,
            ..EdgeReport::default()
        }
    }

    #[test]
    fn each_request_stands_on_one_step() {
        let before = report(10, &[("hit", 100), ("bypass", 40)], 0, &[("queue_full", 1)]);
        let now = report(
            12,
            &[("hit", 120), ("joined", 4), ("stale", 2), ("stored", 10), ("bypass", 50)],
            6,
            &[("queue_full", 5), ("no_route", 2), ("waiting_room", 8)],
        );
        let rank = |step: &str, rank: &str, count| (step.to_owned(), rank.to_owned(), count);
        let before = EdgeReport { ladder: vec![rank("queue", "checkout", 2)], ..before };
        let ladder = vec![
            rank("queue", "checkout", 8),
            rank("overload", "normal", 4),
            rank("endpoint", "checkout", 1),
        ];
        let now = EdgeReport { ladder, ..now };
        let ladder = Ladder::between(&before, &now).unwrap();
        let ranks: Vec<_> = ladder.priorities.iter().map(|one| (one.priority, one.per_s.0)).collect();
        assert_eq!(ranks, [("checkout", 3.5), ("normal", 2.0)]);
        let steps: Vec<_> = ladder.priorities[0].steps.iter().map(|on| (on.step, on.per_s.0)).collect();
        assert_eq!(steps, [("endpoint", 0.5), ("queue", 3.0)]);
        let steps: Vec<_> = ladder.steps.iter().map(|rung| (rung.step, rung.per_s.0)).collect();
        let wanted = [
            ("cache", 12.0),
            ("stale", 1.0),
            ("endpoint", 7.0),
            ("queue", 3.0),
            ("room", 4.0),
            ("overload", 2.0),
            ("denied", 1.0),
        ];
        assert_eq!(steps, wanted);
        let reasons: Vec<_> =
            ladder.refused.iter().map(|one| (&*one.reason, one.overload, one.per_s.0, one.total)).collect();
        assert_eq!(reasons, [("queue_full", true, 2.0, 5), ("no_route", false, 1.0, 2)]);
        assert_eq!(Ladder::between(&now, &now), None);
    }
}
