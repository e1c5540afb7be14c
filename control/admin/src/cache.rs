//! How the cache is doing, for status and console: the edge's figures in the words of the API.

use crate::sample::{HITS, Number, counted};
use serde::Serialize;
use tentpole_model::{
    CompressionFigures, DiskFigures, EdgeReport, LearningFigures, MemoryFigures, PurgeRecord,
};

/// All of it. Counts are since the edge started.
#[derive(Serialize)]
pub(crate) struct CacheStatus {
    /// Finished requests.
    requests: u64,
    /// Share of them for which no endpoint was asked; `None` before the first.
    hit_share: Option<Number>,
    /// Finished requests by what the cache did; those that never happened are left out.
    outcomes: Vec<Outcome>,
    memory: MemoryFigures,
    disk: Option<DiskFigures>,
    compression: CompressionFigures,
    learning: LearningFigures,
    purges: Vec<PurgeRecord>,
}

#[derive(Serialize)]
struct Outcome {
    outcome: String,
    requests: u64,
}

impl CacheStatus {
    pub(crate) fn of(report: &EdgeReport) -> Self {
        let hits = counted(report, &HITS);
        let share = |requests: u64| Number(hits as f64 / requests as f64);
        let happened = report.cache.iter().filter(|(_, count)| *count > 0);
        let figures = report.figures.clone();
        Self {
            requests: report.requests,
            hit_share: (report.requests > 0).then(|| share(report.requests)),
            outcomes: happened
                .map(|(word, count)| Outcome { outcome: word.clone(), requests: *count })
                .collect(),
            memory: figures.memory,
            disk: figures.disk,
            compression: figures.compression,
            learning: figures.learning,
            purges: figures.purges_recent,
        }
    }
}
