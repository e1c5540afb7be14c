//! The totals of an edge as one value, for the control process: the same counters that the metrics show, fewer of
//! them, cheap enough for several times a second. Reads, never writes them.

use crate::certificates::ending;
use crate::exposition::Threads;
use crate::histogram::Distribution;
use crate::metrics::{CACHE_OUTCOMES, STATUS_SLOTS, STATUSES, cache_slot};
use crate::observed::Observed;
use crate::rungs::Rung;
use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tentpole_model::{
    CacheFigures, EdgeReport, Endpoint, EndpointReport, Files, LimitFrom, LimitStart, LimitWhy, Priority,
    Refused, Snapshot,
};
use tentpole_runtime::ledger::Account;
use tentpole_runtime::{Cell, Cells, Instant, Ledger, clock};

/// What is counted at the edge, and since when.
#[derive(Clone, Copy, Debug)]
pub struct Counted<'a> {
    /// When the edge started.
    pub started: Instant,
    /// What its data threads counted.
    pub observed: &'a Observed,
    /// What memory is held for.
    pub ledger: &'a Ledger,
    /// Its pools and their endpoints.
    pub snapshot: &'a Snapshot,
    /// What was counted of each endpoint.
    pub cells: &'a Cells,
}

impl Counted<'_> {
    /// All totals as they are now. `queued` is how many requests wait in each pool.
    pub fn report(&self, queued: Vec<u32>) -> EdgeReport {
        let threads = Threads(self.observed.metrics());
        let classes = classes(&threads);
        // Closed ones first: a connection that opens and closes in between must not make the difference negative.
        let closed = threads.sum(|thread| &thread.connections_closed);
        let accepted = threads.sum(|thread| &thread.connections_accepted);
        EdgeReport {
            started_unix_ms: self.started.unix_us() / 1_000,
            at_unix_ms: clock::now().unix_us() / 1_000,
            requests: classes.iter().sum(),
            classes,
            cache: CACHE_OUTCOMES
                .iter()
                .map(|&outcome| {
                    (outcome.label().to_owned(), threads.sum(|thread| &thread.cache[cache_slot(outcome)]))
                })
                .collect(),
            refused: refused(&threads),
            ladder: ladder(&threads),
            failures: threads
                .0
                .iter()
                .flat_map(|thread| &thread.failures)
                .map(|f| f.load(Ordering::Relaxed))
                .sum(),
            retries: threads.sum(|thread| &thread.retries),
            bytes_in: threads.sum(|thread| &thread.bytes_in),
            bytes_out: threads.sum(|thread| &thread.bytes_out),
            connections_open: accepted.saturating_sub(closed),
            connections_accepted: accepted,
            cpu_us: clock::process_cpu().as_micros() as u64,
            durations: durations(&threads).buckets().collect(),
            memory: Account::ALL
                .iter()
                .map(|&account| (account.label().to_owned(), self.ledger.held(account)))
                .collect(),
            memory_max: self.ledger.bytes_max(),
            queued,
            waited: waited(&threads),
            endpoints: self.endpoints(),
            figures: self.figures(&threads),
            certificates: ending(self.observed.certificates(), clock::now().unix_seconds()),
        }
    }

    fn figures(&self, threads: &Threads) -> CacheFigures {
        let mut figures = self.observed.cache().unwrap_or_default();
        figures.learning.served = threads.sum(|thread| &thread.learned);
        figures
    }

    /// Those of the Snapshot, with files in the place of one, and those that are gone from it while something is under way there.
    fn endpoints(&self) -> Vec<EndpointReport> {
        let pools = self.snapshot.pools.iter();
        let mut cells: Vec<_> = pools
            .flat_map(|pool| {
                let files = pool.files.iter().map(|_| Files::CALLED.to_owned());
                let called = pool.endpoints.iter().map(Endpoint::authority).chain(files);
                called.map(|called| self.cells.of(&pool.name, &called))
            })
            .collect();
        let known: HashSet<u32> = cells.iter().map(|cell| cell.slot).collect();
        let is_leaving = |cell: &Arc<Cell>| {
            let busy = [&cell.in_flight, &cell.open].iter().any(|count| count.load(Ordering::Relaxed) > 0);
            busy && !known.contains(&cell.slot)
        };
        cells.extend(self.cells.all().into_iter().filter(is_leaving));
        let report = |cell: &Arc<Cell>| EndpointReport {
            pool: cell.pool.clone(),
            authority: cell.authority.clone(),
            in_flight: cell.in_flight.load(Ordering::Relaxed),
            open: cell.open.load(Ordering::Relaxed),
            requests: cell.requests.load(Ordering::Relaxed),
            connects: cell.connects.load(Ordering::Relaxed),
            failures: cell.failures.load(Ordering::Relaxed),
            failures_in_a_row: cell.failures_in_a_row.load(Ordering::Relaxed),
            errors_5xx: cell.errors_5xx.load(Ordering::Relaxed),
            errors_in_a_row: cell.errors_in_a_row.load(Ordering::Relaxed),
            latencies: cell.latencies.trimmed(),
            idle_limit_ms: cell.idle_limit_ms(),
            local_ports: cell.local_ports.in_use(),
            limit: cell.limit_found().map(|(limit, why)| (limit, LimitWhy::at(why))),
            limit_start: cell.limit_start().map(|(limit, from, found_unix_s)| LimitStart {
                limit,
                from: LimitFrom::at(from),
                found_unix_s,
            }),
        };
        cells.iter().map(report).collect()
    }
}

/// None sent, 1xx, 2xx, 3xx, 4xx, 5xx.
fn classes(threads: &Threads) -> [u64; 6] {
    let mut classes = [0; 6];
    for slot in 0..STATUS_SLOTS {
        let class = match STATUSES.get(slot) {
            Some(status) => usize::from(status / 100),
            // Behind the listed ones: the rest of each class, and then "nothing was sent".
            None => (slot - STATUSES.len() + 1) % classes.len(),
        };
        classes[class] += threads.sum(|thread| &thread.statuses[slot]);
    }
    classes
}

fn refused(threads: &Threads) -> Vec<(String, u64)> {
    let counted = Refused::ALL
        .iter()
        .enumerate()
        .map(|(slot, refused)| (refused.label().to_owned(), threads.sum(|thread| &thread.refused[slot])));
    counted.filter(|&(_, count)| count > 0).collect()
}

/// Requests by step of the ladder and rank, where there were any.
fn ladder(threads: &Threads) -> Vec<(String, String, u64)> {
    let all = Rung::ALL.iter().flat_map(|&rung| Priority::ALL.iter().map(move |&priority| (rung, priority)));
    let counted = all.map(|(rung, priority)| {
        let count = threads.sum(|thread| thread.rungs.requests(rung, priority));
        (rung.label().to_owned(), priority.label().to_owned(), count)
    });
    counted.filter(|&(.., count)| count > 0).collect()
}

/// Attempts that did not get their permit at once.
fn waited(threads: &Threads) -> u64 {
    let mut all = Distribution::default();
    threads.0.iter().for_each(|thread| all.merge(&thread.queue_waits));
    all.count() - all.below_power_of_two(0)
}

fn durations(threads: &Threads) -> Distribution {
    let mut all = Distribution::default();
    for histogram in threads.0.iter().flat_map(|thread| &thread.durations) {
        all.merge(histogram);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{CacheOutcome, End, LogSettings, Why};

    #[test]
    fn a_report_holds_what_was_counted_on_all_threads() {
        let observed = Observed::new(&LogSettings::default());
        let snapshot = crate::testing::snapshot();
        let (cells, ledger) = (Cells::new(), Ledger::new(1_000));
        ledger.charge(Account::Fills, 7);
        let (first, _) = observed.register();
        let (second, _) = observed.register();
        let why = |status, took_us| Why { status, took_us, bytes_out: 10, end: End::Complete, ..Why::new() };
        first.record(&Why { cache: CacheOutcome::Hit, ..why(200, 100) });
        first.record(&why(299, 100));
        second.record(&why(404, 100));
        second.record(&why(0, 3_000));
        second.connection_opened();
        second.connection_refused(Refused::TooManyConnections);
        let pool = &snapshot.pools[0];
        cells.of(&pool.name, &pool.endpoints[0].authority()).failed();

        let started = clock::now();
        let counted =
            Counted { started, observed: &observed, ledger: &ledger, snapshot: &snapshot, cells: &cells };
        let report = counted.report(vec![3]);
        assert_eq!((report.requests, report.classes), (4, [1, 0, 2, 0, 1, 0]));
        assert!(report.cache.contains(&("hit".into(), 1)), "{:?}", report.cache);
        assert_eq!(report.refused, [("too_many_connections".into(), 1)]);
        assert_eq!((report.bytes_out, report.connections_open, report.queued), (40, 1, vec![3]));
        assert_eq!(report.durations, [(112, 3), (3_072, 1)]);
        assert!(report.memory.contains(&("fills".into(), 7)) && report.memory_max == 1_000);
        assert_eq!((report.endpoints[0].failures, report.endpoints[0].failures_in_a_row), (1, 1));
        assert!(report.at_unix_ms >= report.started_unix_ms && report.cpu_us > 0);
    }

    #[test]
    fn files_are_reported_like_an_endpoint() {
        let observed = Observed::new(&LogSettings::default());
        let mut snapshot = Snapshot::clone(&crate::testing::snapshot());
        snapshot.pools[0].files = Some(Files::at("/srv"));
        let (cells, ledger) = (Cells::new(), Ledger::new(1_000));
        cells.of(&snapshot.pools[0].name, Files::CALLED).requests.store(5, Ordering::Relaxed);
        let snapshot = Arc::new(snapshot);
        let started = clock::now();
        let counted =
            Counted { started, observed: &observed, ledger: &ledger, snapshot: &snapshot, cells: &cells };
        let report = counted.report(Vec::new());
        let files: Vec<_> =
            report.endpoints.iter().filter(|known| known.authority == Files::CALLED).collect();
        assert_eq!((files.len(), files[0].requests), (1, 5));
    }
}
