//! What one second was like: the difference between two reports of the edge, and how the fleets stood. Pure; the
//! recorder takes the samples, the history keeps and merges them.

use crate::quantile::Buckets;
use serde::ser::{Serialize, SerializeMap, Serializer};
use std::collections::HashMap;
use tentpole_model::{EdgeReport, EndpointReport, FleetStatus, InstancePhase};

/// Outcomes of the cache for which no endpoint was asked on behalf of this request.
pub(crate) const HITS: [&str; 5] = ["hit", "hit_disk", "hit_partial", "stale", "joined"];
/// Two reports closer together than this say nothing about a rate.
const ELAPSED_MIN_MS: u64 = 100;

/// One second, or several merged.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Sample {
    /// `None` is a gap: no edge told anything new.
    edge: Option<EdgePart>,
    /// `None` while there is no fleet.
    fleets: Option<FleetPart>,
}

/// What the edge did between two reports, and what stood at the second one.
#[derive(Clone, Debug, Default, PartialEq)]
struct EdgePart {
    elapsed_ms: u64,
    requests: u64,
    classes: [u64; 6],
    hits: u64,
    /// Of these, those that the disk answered, and those that got something stale.
    disk: u64,
    stale: u64,
    /// Requests that got what was learned to be shared.
    learned: u64,
    refused: u64,
    retries: u64,
    accepted: u64,
    bytes_in: u64,
    bytes_out: u64,
    cpu_us: u64,
    durations: Buckets,
    connections_open: u64,
    queued: u64,
    in_flight: u64,
    memory_held: u64,
}

/// All fleets together.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct FleetPart {
    phases: [u32; 5],
    wanted: u32,
    /// Sum over those that know one, weighed by instances, and the instances.
    cpu_share: f64,
    cpu_known: f64,
}

/// What an endpoint did in the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct EndpointRates {
    pub(crate) requests_per_s: f64,
    pub(crate) errors_per_s: f64,
    /// Share of the requests that went over a connection which was open already; `None` without requests.
    pub(crate) reused_share: Option<f64>,
}

/// The rates of all endpoints, by pool and authority.
pub(crate) type Rates = HashMap<(String, String), EndpointRates>;

/// A figure of a sample; `None` is a gap.
type Figure = fn(&Sample) -> Option<f64>;

/// The figures of a sample, in the order in which they are written: name, and value.
pub(crate) const COLUMNS: [(&str, Figure); 33] = [
    ("requests_per_s", |s| s.rate(|edge| edge.requests)),
    ("status_2xx_per_s", |s| s.rate(|edge| edge.classes[2])),
    ("status_3xx_per_s", |s| s.rate(|edge| edge.classes[3])),
    ("status_4xx_per_s", |s| s.rate(|edge| edge.classes[4])),
    ("status_5xx_per_s", |s| s.rate(|edge| edge.classes[5])),
    ("broken_per_s", |s| s.rate(|edge| edge.classes[0])),
    ("errors_per_s", |s| s.rate(|edge| edge.classes[5] + edge.classes[0])),
    ("hits_per_s", |s| s.rate(|edge| edge.hits)),
    ("hit_share", |s| s.share(|edge| edge.hits)),
    ("disk_share", |s| s.share(|edge| edge.disk)),
    ("stale_share", |s| s.share(|edge| edge.stale)),
    ("learned_share", |s| s.share(|edge| edge.learned)),
    ("p50_ms", |s| s.quantile_ms(0.5)),
    ("p90_ms", |s| s.quantile_ms(0.9)),
    ("p99_ms", |s| s.quantile_ms(0.99)),
    ("connections_open", |s| s.stands(|edge| edge.connections_open)),
    ("accepted_per_s", |s| s.rate(|edge| edge.accepted)),
    ("refused_per_s", |s| s.rate(|edge| edge.refused)),
    ("retries_per_s", |s| s.rate(|edge| edge.retries)),
    ("queued", |s| s.stands(|edge| edge.queued)),
    ("in_flight", |s| s.stands(|edge| edge.in_flight)),
    ("bytes_in_per_s", |s| s.rate(|edge| edge.bytes_in)),
    ("bytes_out_per_s", |s| s.rate(|edge| edge.bytes_out)),
    ("edge_cpu_share", |s| s.rate(|edge| edge.cpu_us).map(|us| us / 1e6)),
    ("memory_held_bytes", |s| s.stands(|edge| edge.memory_held)),
    ("instances_starting", |s| s.instances(InstancePhase::Starting)),
    ("instances_warming_up", |s| s.instances(InstancePhase::WarmingUp)),
    ("instances_serving", |s| s.instances(InstancePhase::Serving)),
    ("instances_draining", |s| s.instances(InstancePhase::Draining)),
    ("instances_stopping", |s| s.instances(InstancePhase::Stopping)),
    ("instances", |s| s.fleets.map(|fleets| f64::from(fleets.phases.iter().sum::<u32>()))),
    ("instances_wanted", |s| s.fleets.map(|fleets| f64::from(fleets.wanted))),
    ("fleet_cpu_share", |s| s.fleets.and_then(FleetPart::cpu_share)),
];

impl Sample {
    /// What came between two reports, and how the fleets stand. No second report, or one that tells nothing that
    /// `before` did not, makes a gap; so does a first one, for nobody knows over which time its totals came.
    pub(crate) fn between(
        before: Option<&EdgeReport>,
        now: Option<&EdgeReport>,
        fleets: &[FleetStatus],
    ) -> Self {
        let edge = before.zip(now).and_then(|(before, now)| EdgePart::between(before, now));
        Self { edge, fleets: FleetPart::of(fleets) }
    }

    /// Whether the edge told nothing.
    pub(crate) fn is_gap(&self) -> bool {
        self.edge.is_none()
    }

    /// Takes a later sample in: totals add up, of what stands the highest is kept, of fleets the last.
    pub(crate) fn merge(&mut self, later: &Self) {
        match (&mut self.edge, &later.edge) {
            (Some(edge), Some(later)) => edge.merge(later),
            (edge @ None, later) => edge.clone_from(later),
            (Some(_), None) => {}
        }
        if let Some(later) = later.fleets {
            let earlier = self.fleets.unwrap_or_default();
            self.fleets = Some(FleetPart {
                cpu_share: earlier.cpu_share + later.cpu_share,
                cpu_known: earlier.cpu_known + later.cpu_known,
                ..later
            });
        }
    }

    fn rate(&self, total: impl Fn(&EdgePart) -> u64) -> Option<f64> {
        self.edge.as_ref().map(|edge| rate(total(edge), edge.elapsed_ms))
    }

    /// Of all finished requests; `None` when none finished.
    fn share(&self, part: impl Fn(&EdgePart) -> u64) -> Option<f64> {
        let edge = self.edge.as_ref().filter(|edge| edge.requests > 0)?;
        Some(part(edge) as f64 / edge.requests as f64)
    }

    fn stands(&self, value: impl Fn(&EdgePart) -> u64) -> Option<f64> {
        self.edge.as_ref().map(|edge| value(edge) as f64)
    }

    fn quantile_ms(&self, part: f64) -> Option<f64> {
        self.edge.as_ref()?.durations.quantile_us(part).map(|us| us / 1e3)
    }

    fn instances(&self, phase: InstancePhase) -> Option<f64> {
        self.fleets.map(|fleets| f64::from(fleets.phases[phase as usize]))
    }
}

/// All columns with their values; those of a gap are null.
impl Serialize for Sample {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(COLUMNS.len()))?;
        for (name, figure) in COLUMNS {
            map.serialize_entry(name, &figure(self).map(Number))?;
        }
        map.end()
    }
}

impl EdgePart {
    fn between(before: &EdgeReport, now: &EdgeReport) -> Option<Self> {
        let (since, elapsed_ms) = span(before, now)?;
        let grown = |total: fn(&EdgeReport) -> u64| total(now).saturating_sub(since.map_or(0, total));
        Some(Self {
            elapsed_ms,
            requests: grown(|report| report.requests),
            classes: std::array::from_fn(|class| {
                now.classes[class].saturating_sub(since.map_or(0, |since| since.classes[class]))
            }),
            hits: grown(|report| counted(report, &HITS)),
            disk: grown(|report| counted(report, &["hit_disk"])),
            stale: grown(|report| counted(report, &["stale", "stale_if_error"])),
            learned: grown(|report| report.figures.learning.served),
            refused: grown(|report| report.refused.iter().map(|(_, count)| count).sum()),
            retries: grown(|report| report.retries),
            accepted: grown(|report| report.connections_accepted),
            bytes_in: grown(|report| report.bytes_in),
            bytes_out: grown(|report| report.bytes_out),
            cpu_us: grown(|report| report.cpu_us),
            durations: Buckets::between(since.map_or(&[], |since| &since.durations), &now.durations),
            connections_open: now.connections_open,
            queued: now.queued.iter().map(|&queued| u64::from(queued)).sum(),
            in_flight: now.endpoints.iter().map(|endpoint| u64::from(endpoint.in_flight)).sum(),
            memory_held: now.memory.iter().map(|(_, bytes)| bytes).sum(),
        })
    }

    fn merge(&mut self, later: &Self) {
        self.elapsed_ms += later.elapsed_ms;
        self.requests += later.requests;
        self.classes.iter_mut().zip(later.classes).for_each(|(sum, more)| *sum += more);
        self.hits += later.hits;
        self.disk += later.disk;
        self.stale += later.stale;
        self.learned += later.learned;
        self.refused += later.refused;
        self.retries += later.retries;
        self.accepted += later.accepted;
        self.bytes_in += later.bytes_in;
        self.bytes_out += later.bytes_out;
        self.cpu_us += later.cpu_us;
        self.durations.merge(&later.durations);
        self.connections_open = self.connections_open.max(later.connections_open);
        self.queued = self.queued.max(later.queued);
        self.in_flight = self.in_flight.max(later.in_flight);
        self.memory_held = self.memory_held.max(later.memory_held);
    }
}

impl FleetPart {
    fn of(fleets: &[FleetStatus]) -> Option<Self> {
        if fleets.is_empty() {
            return None;
        }
        let mut all = Self::default();
        for fleet in fleets {
            all.wanted += fleet.wanted;
            let mut busy = 0.0;
            for instance in &fleet.instances {
                all.phases[instance.phase as usize] += 1;
                busy += f64::from(u8::from(instance.phase == InstancePhase::Serving));
            }
            if let Some(share) = fleet.cpu_share {
                let weight = f64::max(busy, 1.0);
                all.cpu_share += share * weight;
                all.cpu_known += weight;
            }
        }
        Some(all)
    }

    fn cpu_share(self) -> Option<f64> {
        (self.cpu_known > 0.0).then(|| self.cpu_share / self.cpu_known)
    }
}

/// Finished requests with these outcomes of the cache.
pub(crate) fn counted(report: &EdgeReport, outcomes: &[&str]) -> u64 {
    report.cache.iter().filter(|(word, _)| outcomes.contains(&word.as_str())).map(|(_, count)| count).sum()
}

/// What each endpoint did between two reports; empty when they say nothing about a rate.
pub(crate) fn endpoint_rates(before: &EdgeReport, now: &EdgeReport) -> Rates {
    let Some((since, elapsed_ms)) = span(before, now) else { return Rates::new() };
    let errors = |endpoint: &EndpointReport| endpoint.failures + endpoint.errors_5xx;
    let totals = |endpoint: &EndpointReport| (endpoint.requests, errors(endpoint), endpoint.connects);
    let earlier: HashMap<_, _> = since
        .into_iter()
        .flat_map(|since| &since.endpoints)
        .map(|endpoint| ((&endpoint.pool, &endpoint.authority), totals(endpoint)))
        .collect();
    let rates = now.endpoints.iter().map(|endpoint| {
        let had = earlier.get(&(&endpoint.pool, &endpoint.authority)).copied().unwrap_or_default();
        let requests = endpoint.requests.saturating_sub(had.0);
        let connects = endpoint.connects.saturating_sub(had.2);
        let rates = EndpointRates {
            requests_per_s: rate(requests, elapsed_ms),
            errors_per_s: rate(errors(endpoint).saturating_sub(had.1), elapsed_ms),
            // A connection may be made for a request of the second after.
            reused_share: (requests > 0).then(|| requests.saturating_sub(connects) as f64 / requests as f64),
        };
        ((endpoint.pool.clone(), endpoint.authority.clone()), rates)
    });
    rates.collect()
}

/// What the second report's totals are to be compared with (`None`: with 0), and the time in between. An edge that was
/// started meanwhile began at 0 when it started.
pub(crate) fn span<'a>(before: &'a EdgeReport, now: &EdgeReport) -> Option<(Option<&'a EdgeReport>, u64)> {
    let same_edge = before.started_unix_ms == now.started_unix_ms;
    let from = if same_edge { before.at_unix_ms } else { now.started_unix_ms };
    let elapsed_ms = now.at_unix_ms.checked_sub(from).filter(|elapsed| *elapsed >= ELAPSED_MIN_MS)?;
    Some((same_edge.then_some(before), elapsed_ms))
}

pub(crate) fn rate(total: u64, elapsed_ms: u64) -> f64 {
    total as f64 * 1e3 / elapsed_ms.max(1) as f64
}

/// A figure as JSON: three digits behind the point are enough for everybody, whole numbers have none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let value = (self.0 * 1e3).round() / 1e3;
        if value.fract() == 0.0 && (0.0..1e15).contains(&value) {
            serializer.serialize_u64(value as u64)
        } else {
            serializer.serialize_f64(value)
        }
    }
}

#[cfg(test)]
#[path = "sample_tests.rs"]
mod tests;
