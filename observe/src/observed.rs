//! Where data threads register what they count and record, and where scraper, drain thread and admin API find it.
//! Holds the last requests. Never touched by a request except through its thread's own [`EdgeMetrics`] and
//! [`Recorder`].

use crate::cache::Ask;
use crate::certificates::{AskCertificates, Certificate};
use crate::metrics::EdgeMetrics;
use crate::record::{self, RECORD_BYTES_MAX, Record, Texts};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use tentpole_model::{AccessLog, CacheFigures, End, LogSettings, Why};
use tentpole_runtime::ring::{self, Consumer, Producer};

/// Requests that the recent list holds.
pub const RECENT_MAX: usize = 256;
/// Bytes of one data thread's ring: at 100,000 requests a second and 150 bytes each, more than a quarter of a second.
pub const RING_BYTES: usize = 4 << 20;
/// Data threads that may register: `Why::thread` has no more numbers.
pub const THREADS_MAX: usize = 256;

/// What the process observed.
#[derive(Debug)]
pub struct Observed {
    log: LogSettings,
    threads: Mutex<Vec<Thread>>,
    /// What the access log lost and met.
    pub log_counts: LogCounts,
    cache: OnceLock<Ask>,
    certificates: OnceLock<AskCertificates>,
}

/// What the access log lost and met.
#[derive(Debug, Default)]
pub struct LogCounts {
    /// Lines dropped because the log was slow, full or failed.
    pub lines_dropped: AtomicU64,
    /// Errors while opening or writing it.
    pub errors: AtomicU64,
}

#[derive(Debug)]
struct Thread {
    metrics: Arc<EdgeMetrics>,
    consumer: Consumer,
    credit: Arc<Credit>,
    /// Its last records, as they came from the ring.
    recent: VecDeque<Vec<u8>>,
}

/// How many more records the recent list takes from a thread until the drain thread comes by again. Refreshed by the
/// drain thread, used up by the data thread; a lost update costs a few records more or less, and nothing else.
#[derive(Debug)]
struct Credit {
    ordinary: AtomicU32,
    /// Apart, so that under load the failures are not crowded out.
    troubled: AtomicU32,
}

/// A data thread's way to the drain thread.
#[derive(Debug)]
pub struct Recorder {
    producer: Producer,
    credit: Arc<Credit>,
    logs: bool,
}

impl Observed {
    /// Nothing observed yet.
    pub fn new(log: &LogSettings) -> Arc<Self> {
        let (log, log_counts) = (log.clone(), LogCounts::default());
        Arc::new(Self {
            log,
            threads: Mutex::new(Vec::new()),
            log_counts,
            cache: OnceLock::new(),
            certificates: OnceLock::new(),
        })
    }

    /// Gives a data thread its counters and its recorder. Called once by each at its start.
    ///
    /// # Panics
    /// At the 257th thread.
    pub fn register(&self) -> (Arc<EdgeMetrics>, Recorder) {
        let mut threads = self.threads();
        assert!(threads.len() < THREADS_MAX, "at most {THREADS_MAX} data threads");
        let (producer, consumer) = ring::ring(RING_BYTES, RECORD_BYTES_MAX);
        let metrics = Arc::new(EdgeMetrics::default());
        let credit = Arc::new(Credit { ordinary: AtomicU32::new(0), troubled: AtomicU32::new(0) });
        credit.renew();
        let recent = VecDeque::with_capacity(RECENT_MAX);
        threads.push(Thread { metrics: metrics.clone(), consumer, credit: credit.clone(), recent });
        (metrics, Recorder { producer, credit, logs: self.log.access != AccessLog::Off })
    }

    /// Says whom to ask which certificates are in use. Only the first one is asked.
    pub fn ask_certificates(&self, ask: impl Fn() -> Vec<Certificate> + Send + Sync + 'static) {
        let _ = self.certificates.set(AskCertificates(Box::new(ask)));
    }

    /// The certificates in use; none when nobody knows any.
    pub fn certificates(&self) -> Vec<Certificate> {
        self.certificates.get().map_or_else(Vec::new, |ask| (ask.0)())
    }

    /// Says whom to ask how the cache is doing. Only the first one is asked.
    pub fn ask_cache(&self, ask: impl Fn() -> CacheFigures + Send + Sync + 'static) {
        let _ = self.cache.set(Ask(Box::new(ask)));
    }

    /// How the cache is doing, when there is one to ask.
    pub fn cache(&self) -> Option<CacheFigures> {
        self.cache.get().map(|ask| (ask.0)())
    }

    /// How the access log was asked for.
    pub fn log(&self) -> &LogSettings {
        &self.log
    }

    /// The counters of all threads.
    pub fn metrics(&self) -> Vec<Arc<EdgeMetrics>> {
        self.threads().iter().map(|thread| thread.metrics.clone()).collect()
    }

    /// Records dropped because a ring was full.
    pub fn records_dropped(&self) -> u64 {
        self.threads().iter().map(|thread| thread.consumer.dropped()).sum()
    }

    /// The newest requests of all threads first, [`RECENT_MAX`] and `limit` at most.
    pub fn recent(&self, limit: usize, each: impl FnMut(Record<'_>)) {
        let records: Vec<_> =
            self.threads().iter().flat_map(|thread| thread.recent.iter().cloned()).collect();
        let mut records: Vec<_> = records.iter().filter_map(|bytes| record::decode(bytes)).collect();
        // By their ends, for that is when they were recorded; a sort that keeps the order of one thread.
        records
            .sort_by_key(|record| record.why.arrived_unix_us.saturating_add(u64::from(record.why.took_us)));
        records.into_iter().rev().take(limit.min(RECENT_MAX)).for_each(each);
    }

    /// Empties all rings once: hands every record to `each` and keeps the newest. Returns how full the fullest ring
    /// was, in percent. Only the drain thread calls this.
    pub(crate) fn drain(&self, mut each: impl FnMut(&[u8])) -> u8 {
        let mut fullest = 0;
        for Thread { consumer, credit, recent, .. } in self.threads().iter_mut() {
            fullest = fullest.max(consumer.percent_full());
            consumer.drain(|bytes| {
                keep(recent, bytes);
                each(bytes);
            });
            credit.renew();
        }
        fullest
    }

    fn threads(&self) -> MutexGuard<'_, Vec<Thread>> {
        self.threads.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Keeps a record among the newest; the memory of the oldest one serves again.
fn keep(recent: &mut VecDeque<Vec<u8>>, bytes: &[u8]) {
    let mut kept = if recent.len() < RECENT_MAX { None } else { recent.pop_front() }.unwrap_or_default();
    kept.clear();
    kept.extend_from_slice(bytes);
    recent.push_back(kept);
}

impl Credit {
    fn renew(&self) {
        self.ordinary.store(RECENT_MAX as u32 / 2, Ordering::Relaxed);
        self.troubled.store(RECENT_MAX as u32 / 2, Ordering::Relaxed);
    }

    fn of(&self, why: &Why) -> &AtomicU32 {
        match why.end {
            End::Refused(_) | End::Failed(_) => &self.troubled,
            End::Open | End::Complete | End::Tunnelled => &self.ordinary,
        }
    }
}

impl Recorder {
    /// Whether [`Recorder::record`] has a use for this request's texts. Cheap: ask before they are put together.
    /// Without an access log that is a few hundred requests until the drain thread comes by again, those that failed
    /// or were refused counted apart.
    #[inline]
    pub fn wants_texts(&self, why: &Why) -> bool {
        self.logs || self.credit.of(why).load(Ordering::Relaxed) > 0
    }

    /// Records a finished request for the access log and the recent list. Does nothing when neither wants it, never
    /// waits, and drops (and counts) the record when the ring is full. Does not count the request: that is
    /// [`EdgeMetrics::record`].
    #[inline]
    pub fn record(&mut self, why: &Why, texts: Option<&Texts<'_>>) {
        let credit = self.credit.of(why);
        let left = credit.load(Ordering::Relaxed);
        if left == 0 && !self.logs {
            return;
        }
        credit.store(left.saturating_sub(1), Ordering::Relaxed);
        self.producer.push(&record::encode(why, texts).parts(texts));
    }
}
