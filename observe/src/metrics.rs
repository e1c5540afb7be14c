//! The counters of one data thread. Only that thread writes them, with a plain load and store each (no locked
//! instruction); the scraper reads them whenever it likes. A scrape may see one request half counted, never lose it.

use crate::histogram::Histogram;
use crate::rungs::Rungs;
use std::sync::atomic::{AtomicU64, Ordering};
use tentpole_model::{
    Assembly, AssemblyFault, Bypass, CacheOutcome, Cause, Detour, End, HandshakeFault, NotAgain, Outcome,
    Phase, Refused, Side, Tls, TlsVersion, Version, Why,
};

/// Statuses that have a counter of their own; the rest share one for each class.
pub const STATUSES: [u16; 36] = [
    101, 200, 201, 202, 204, 206, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 405, 408, 409, 410, 412,
    413, 414, 416, 417, 421, 422, 425, 429, 431, 500, 501, 502, 503, 504, 505,
];
/// Slots of [`EdgeMetrics::statuses`]: one a listed status, then one a class (1xx to 5xx), then "nothing was sent".
pub const STATUS_SLOTS: usize = STATUSES.len() + 6;
const STATUS_NONE: usize = STATUS_SLOTS - 1;
/// Values of [`CacheOutcome`].
pub const CACHE_SLOTS: usize = 10;
/// Values of [`Side`] times values of [`Phase`].
pub const FAILURE_SLOTS: usize = Side::ALL.len() * Phase::ALL.len();
/// Values of [`Cause`] as far as its label tells them apart.
pub const CAUSES: [&str; 27] = [
    "refused",
    "reset",
    "broken_pipe",
    "unreachable",
    "no_local_address",
    "io",
    "timed_out",
    "closed",
    "malformed",
    "too_large",
    "too_slow",
    "no_endpoint",
    "queue_full",
    "fill_aborted",
    "no_local_port",
    "silent",
    "tls_untrusted",
    "tls_wrong_name",
    "tls_expired",
    "tls_not_yet_valid",
    "tls_bad_certificate",
    "tls_not_spoken",
    "tls_nothing_in_common",
    "tls_client_certificate",
    "tls_refused",
    "tls_misbehaved",
    "tls_no_files",
];

/// The counters of one data thread.
#[derive(Debug)]
#[repr(align(128))]
pub struct EdgeMetrics {
    /// Finished requests by status; slots as in [`STATUS_SLOTS`].
    pub statuses: [AtomicU64; STATUS_SLOTS],
    /// Finished requests by what the cache did; slots as in [`cache_slot`].
    pub cache: [AtomicU64; CACHE_SLOTS],
    /// Requests that bypassed the cache; parallel to [`Bypass::ALL`].
    pub bypasses: [AtomicU64; Bypass::ALL.len()],
    /// Requests that got what was learned to be shared.
    pub learned: AtomicU64,
    /// Fragments that pages were put together of.
    pub fragments: AtomicU64,
    /// Those of them that were left out.
    pub fragments_failed: AtomicU64,
    /// Pages that were not put together, or had a fragment left out, by the first reason; parallel to
    /// [`AssemblyFault::ALL`].
    pub assembly_faults: [AtomicU64; AssemblyFault::ALL.len()],
    /// Requests (and connections) that the edge refused; parallel to [`Refused::ALL`].
    pub refused: [AtomicU64; Refused::ALL.len()],
    /// How far down the ladder requests went, by rank.
    pub rungs: Rungs,
    /// Requests that ended by a failure: side times phase.
    pub failures: [AtomicU64; FAILURE_SLOTS],
    /// Attempts that failed, by phase; parallel to [`Phase::ALL`].
    pub attempts_failed: [AtomicU64; Phase::ALL.len()],
    /// Attempts that failed, by cause; parallel to [`CAUSES`].
    pub attempts_failed_by_cause: [AtomicU64; CAUSES.len()],
    /// Attempts at endpoints on a new connection.
    pub attempts_fresh: AtomicU64,
    /// Attempts at endpoints on a kept connection.
    pub attempts_reused: AtomicU64,
    /// Attempts after the first of a request.
    pub retries: AtomicU64,
    /// Second copies of requests that were slow.
    pub hedges: AtomicU64,
    /// Those of them that were answered first.
    pub hedges_won: AtomicU64,
    /// Requests that were not sent once more; parallel to [`NotAgain::ALL`].
    pub not_again: [AtomicU64; NotAgain::ALL.len()],
    /// Attempts that went to another endpoint than they should; parallel to [`Detour::ALL`].
    pub detours: [AtomicU64; Detour::ALL.len()],
    /// Bytes of request bodies.
    pub bytes_in: AtomicU64,
    /// Bytes sent to visitors, heads included.
    pub bytes_out: AtomicU64,
    /// Finished requests by the version that the visitor spoke; parallel to [`Version::ALL`].
    pub versions: [AtomicU64; Version::ALL.len()],
    /// Requests on connections that had served before.
    pub keepalive_reuses: AtomicU64,
    /// Connections that became tunnels and have closed.
    pub upgrades: AtomicU64,
    /// Connections accepted.
    pub connections_accepted: AtomicU64,
    /// Connections closed; accepted ones less these are open.
    pub connections_closed: AtomicU64,
    /// Connections refused before a request was read.
    pub connections_refused: AtomicU64,
    /// TLS handshakes: for each version the full ones, then the resumed ones.
    pub handshakes: [AtomicU64; 2 * TlsVersion::ALL.len()],
    /// Those that failed; parallel to [`HandshakeFault::ALL`].
    pub handshake_faults: [AtomicU64; HandshakeFault::ALL.len()],
    /// Arrival to last byte, by [`AnsweredBy`].
    pub durations: [Histogram; AnsweredBy::ALL.len()],
    /// Arrival to the response's head, by [`AnsweredBy`].
    pub head_durations: [Histogram; AnsweredBy::ALL.len()],
    /// Time each attempt waited for a permit.
    pub queue_waits: Histogram,
    /// Requests with the mark of a load test, and those of them that got a status of 500 and above.
    pub load: [AtomicU64; 2],
    /// Their times, from arrival to last byte. They are in all other counters too.
    pub load_durations: Histogram,
}

/// Who gave the answer: their times have nothing in common, so they are counted apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AnsweredBy {
    /// The cache, out of what was stored and fresh.
    Cache,
    /// An endpoint, for this request or for the fill that it joined.
    Endpoint,
    /// The edge itself: refusals, redirects, its own errors before an endpoint was tried.
    Edge,
}

impl AnsweredBy {
    /// All of them, in the order of their declaration.
    pub const ALL: [Self; 3] = [Self::Cache, Self::Endpoint, Self::Edge];

    /// Who answered this request.
    pub fn of(why: &Why) -> Self {
        match why.cache {
            CacheOutcome::Hit | CacheOutcome::HitPartial | CacheOutcome::Stale => Self::Cache,
            CacheOutcome::StaleIfError | CacheOutcome::HitDisk => Self::Cache,
            CacheOutcome::Joined | CacheOutcome::Stored | CacheOutcome::Revalidated => Self::Endpoint,
            CacheOutcome::NotAsked | CacheOutcome::Bypass(_) if why.attempts[0].is_some() => Self::Endpoint,
            CacheOutcome::NotAsked | CacheOutcome::Bypass(_) => Self::Edge,
        }
    }

    /// The word in metrics.
    pub fn label(self) -> &'static str {
        match self {
            Self::Cache => "cache",
            Self::Endpoint => "endpoint",
            Self::Edge => "edge",
        }
    }
}

/// Adds to a counter that only this thread writes.
#[inline]
pub(crate) fn add(counter: &AtomicU64, by: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
}

impl Default for EdgeMetrics {
    fn default() -> Self {
        fn zeros<const N: usize>() -> [AtomicU64; N] {
            std::array::from_fn(|_| AtomicU64::new(0))
        }
        Self {
            statuses: zeros(),
            cache: zeros(),
            bypasses: zeros(),
            learned: AtomicU64::new(0),
            fragments: AtomicU64::new(0),
            fragments_failed: AtomicU64::new(0),
            assembly_faults: zeros(),
            refused: zeros(),
            rungs: Rungs::default(),
            failures: zeros(),
            attempts_failed: zeros(),
            attempts_failed_by_cause: zeros(),
            attempts_fresh: AtomicU64::new(0),
            attempts_reused: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            hedges: AtomicU64::new(0),
            hedges_won: AtomicU64::new(0),
            not_again: zeros(),
            detours: zeros(),
            bytes_in: AtomicU64::new(0),
            bytes_out: AtomicU64::new(0),
            versions: zeros(),
            keepalive_reuses: AtomicU64::new(0),
            upgrades: AtomicU64::new(0),
            connections_accepted: AtomicU64::new(0),
            connections_closed: AtomicU64::new(0),
            connections_refused: AtomicU64::new(0),
            handshakes: zeros(),
            handshake_faults: zeros(),
            durations: Default::default(),
            head_durations: Default::default(),
            queue_waits: Histogram::default(),
            load: zeros(),
            load_durations: Histogram::default(),
        }
    }
}

impl EdgeMetrics {
    /// Counts a finished request, everything about it.
    pub fn record(&self, why: &Why) {
        add(&self.statuses[status_slot(why.status)], 1);
        add(&self.cache[cache_slot(why.cache)], 1);
        if let CacheOutcome::Bypass(bypass) = why.cache {
            add(&self.bypasses[bypass as usize], 1);
        }
        if why.learned {
            add(&self.learned, 1);
        }
        if why.load {
            add(&self.load[0], 1);
            add(&self.load[1], u64::from(why.status >= 500));
            self.load_durations.record(why.took_us);
        }
        if why.assembly != Assembly::default() {
            self.record_assembly(&why.assembly);
        }
        self.record_end(why);
        self.rungs.record(why);
        if why.attempts[0].is_some() {
            self.record_attempts(why);
        }
        add(&self.bytes_in, why.bytes_in);
        add(&self.bytes_out, why.bytes_out);
        add(&self.versions[why.version as usize], 1);
        add(&self.keepalive_reuses, u64::from(why.connection_reused));
        let answered = AnsweredBy::of(why) as usize;
        // A tunnel lasts as long as people talk: that says nothing about how fast anything was.
        if why.end != End::Tunnelled {
            self.durations[answered].record(why.took_us);
        }
        if why.status != 0 {
            self.head_durations[answered].record(why.head_us);
        }
    }

    /// Counts an accepted connection.
    #[inline]
    pub fn connection_opened(&self) {
        add(&self.connections_accepted, 1);
    }

    /// Counts the end of a connection that was counted as opened. May be called on another data thread's counters
    /// than the opening was (a socket handed over): the sums are right.
    #[inline]
    pub fn connection_closed(&self) {
        add(&self.connections_closed, 1);
    }

    /// Counts a connection that was turned away before a request was read.
    #[inline]
    pub fn connection_refused(&self, refused: Refused) {
        add(&self.connections_refused, 1);
        add(&self.refused[refused as usize], 1);
    }

    /// Counts a TLS handshake.
    pub fn handshake(&self, tls: Tls) {
        add(&self.handshakes[2 * tls.version as usize + usize::from(tls.resumed)], 1);
    }

    /// Counts one that failed.
    pub fn handshake_failed(&self, fault: HandshakeFault) {
        add(&self.handshake_faults[fault as usize], 1);
    }

    fn record_assembly(&self, assembly: &Assembly) {
        add(&self.fragments, u64::from(assembly.fragments));
        add(&self.fragments_failed, u64::from(assembly.failed));
        if let Some(fault) = assembly.fault {
            add(&self.assembly_faults[fault as usize], 1);
        }
    }

    #[inline]
    fn record_end(&self, why: &Why) {
        match why.end {
            End::Complete | End::Open => {}
            End::Refused(refused) => add(&self.refused[refused as usize], 1),
            End::Failed(failure) => add(&self.failures[failure_slot(failure.side, failure.phase)], 1),
            End::Tunnelled => add(&self.upgrades, 1),
        }
    }

    fn record_attempts(&self, why: &Why) {
        for (nth, attempt) in why.attempts.iter().flatten().enumerate() {
            add(if attempt.connection_reused { &self.attempts_reused } else { &self.attempts_fresh }, 1);
            add(&self.retries, u64::from(nth > 0));
            if attempt.hedged {
                add(&self.hedges, 1);
                add(&self.hedges_won, u64::from(matches!(attempt.outcome, Outcome::Status(_))));
            }
            if let Some(not_again) = attempt.not_again {
                add(&self.not_again[not_again as usize], 1);
            }
            if let Some(detour) = attempt.detour {
                add(&self.detours[detour as usize], 1);
            }
            self.queue_waits.record(attempt.queued_us);
            if let Outcome::Failed(failure) = attempt.outcome {
                add(&self.attempts_failed[failure.phase as usize], 1);
                add(&self.attempts_failed_by_cause[cause_slot(failure.source)], 1);
            }
        }
    }
}

/// The slot of a status in [`EdgeMetrics::statuses`].
#[inline]
pub fn status_slot(status: u16) -> usize {
    const TABLE: [u8; 600] = status_table();
    TABLE.get(status as usize).map_or(STATUS_NONE, |&slot| slot as usize)
}

const fn status_table() -> [u8; 600] {
    let mut table = [STATUS_NONE as u8; 600];
    let mut status = 100;
    while status < 600 {
        table[status] = (STATUSES.len() + status / 100 - 1) as u8;
        status += 1;
    }
    let mut slot = 0;
    while slot < STATUSES.len() {
        table[STATUSES[slot] as usize] = slot as u8;
        slot += 1;
    }
    table
}

/// The slot of a cache outcome in [`EdgeMetrics::cache`].
#[inline]
pub fn cache_slot(outcome: CacheOutcome) -> usize {
    match outcome {
        CacheOutcome::NotAsked => 0,
        CacheOutcome::Hit => 1,
        CacheOutcome::HitPartial => 2,
        CacheOutcome::Revalidated => 3,
        CacheOutcome::Stored => 4,
        CacheOutcome::Joined => 5,
        CacheOutcome::Bypass(_) => 6,
        CacheOutcome::Stale => 7,
        CacheOutcome::StaleIfError => 8,
        CacheOutcome::HitDisk => 9,
    }
}

/// One outcome for each slot of [`EdgeMetrics::cache`]; the bypass's reason means nothing here.
pub const CACHE_OUTCOMES: [CacheOutcome; CACHE_SLOTS] = [
    CacheOutcome::NotAsked,
    CacheOutcome::Hit,
    CacheOutcome::HitPartial,
    CacheOutcome::Revalidated,
    CacheOutcome::Stored,
    CacheOutcome::Joined,
    CacheOutcome::Bypass(Bypass::SwitchedOff),
    CacheOutcome::Stale,
    CacheOutcome::StaleIfError,
    CacheOutcome::HitDisk,
];

/// The slot of a failure in [`EdgeMetrics::failures`].
#[inline]
pub fn failure_slot(side: Side, phase: Phase) -> usize {
    side as usize * Phase::ALL.len() + phase as usize
}

/// The slot of a cause in [`EdgeMetrics::attempts_failed_by_cause`]. Only failures come here: it may search.
fn cause_slot(cause: Cause) -> usize {
    let label = cause.label();
    CAUSES.iter().position(|&known| known == label).unwrap_or(5)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use tentpole_model::{Attempt, Failure, Retry};

    fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    #[test]
    fn every_value_of_the_model_has_the_slot_of_its_place_in_the_list() {
        assert!(Bypass::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(Refused::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(Side::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(Phase::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(HandshakeFault::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(TlsVersion::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(AnsweredBy::ALL.iter().enumerate().all(|(at, &value)| value as usize == at));
        assert!(CACHE_OUTCOMES.iter().enumerate().all(|(at, &value)| cache_slot(value) == at));
        assert!(STATUSES.is_sorted());
        for cause in [Cause::Io(ErrorKind::ConnectionRefused), Cause::NoEndpoint, Cause::FillAborted] {
            assert_eq!(CAUSES[cause_slot(cause)], cause.label());
        }
    }

    #[test]
    fn listed_statuses_count_alone_others_by_class_and_nonsense_as_none() {
        assert_eq!(STATUSES[status_slot(200)], 200);
        assert_eq!(STATUSES[status_slot(505)], 505);
        assert_eq!(status_slot(299), STATUSES.len() + 1);
        assert_eq!(status_slot(418), status_slot(499));
        assert_eq!(status_slot(599), STATUSES.len() + 4);
        for nothing in [0, 99, 600, u16::MAX] {
            assert_eq!(status_slot(nothing), STATUS_NONE);
        }
    }

    #[test]
    fn one_call_counts_everything_about_a_request() {
        let metrics = EdgeMetrics::default();
        let failure = Failure::upstream(Phase::Connect, Retry::Unsent, Cause::TimedOut);
        let attempt = |outcome, connection_reused| Attempt {
            endpoint: 1,
            connection_reused,
            queued_us: 10,
            connect_us: 0,
            first_byte_us: 0,
            hedged: false,
            not_again: None,
            detour: None,
            outcome,
        };
        let mut why =
            Why { status: 200, bytes_in: 3, bytes_out: 500, took_us: 900, head_us: 700, ..Why::new() };
        why.cache = CacheOutcome::Bypass(Bypass::SetCookie);
        why.learned = true;
        why.end = End::Complete;
        why.attempted(attempt(Outcome::Failed(failure), false));
        why.attempted(attempt(Outcome::Status(200), true));
        metrics.record(&why);
        assert_eq!(get(&metrics.statuses[status_slot(200)]), 1);
        assert_eq!(get(&metrics.cache[cache_slot(why.cache)]), 1);
        assert_eq!(get(&metrics.bypasses[Bypass::SetCookie as usize]), 1);
        assert_eq!(get(&metrics.learned), 1);
        assert_eq!(
            (get(&metrics.attempts_fresh), get(&metrics.attempts_reused), get(&metrics.retries)),
            (1, 1, 1)
        );
        assert_eq!(get(&metrics.attempts_failed[Phase::Connect as usize]), 1);
        assert_eq!((get(&metrics.bytes_in), get(&metrics.bytes_out)), (3, 500));

        why.attempts = [None; 3];
        why.cache = CacheOutcome::NotAsked;
        why.status = 504;
        why.end = End::Failed(failure);
        metrics.record(&why);
        assert_eq!(get(&metrics.failures[failure_slot(Side::Upstream, Phase::Connect)]), 1);

        why.end = End::Refused(Refused::QueueFull);
        metrics.record(&why);
        metrics.connection_refused(Refused::TooManyConnections);
        assert_eq!(get(&metrics.refused[Refused::QueueFull as usize]), 1);
        assert_eq!(get(&metrics.refused[Refused::TooManyConnections as usize]), 1);
    }
}
