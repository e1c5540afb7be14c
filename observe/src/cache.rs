//! How the cache is doing, as metrics show it. Asks when a page is made; knows no cache.

use crate::exposition::Exposition;
use crate::names;
use std::fmt;
use tentpole_model::{
    CacheFigures, CompressionFigures, DiskFigures, LearningFigures, MemoryFigures, PurgedBy, ScreenFigures,
};

/// Asks for the figures.
pub(crate) struct Ask(pub Box<dyn Fn() -> CacheFigures + Send + Sync>);

impl fmt::Debug for Ask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Ask")
    }
}

impl Exposition {
    pub(crate) fn cache(&mut self, figures: &CacheFigures) {
        self.memory(&figures.memory);
        self.family(&names::PURGES);
        for (by, count) in PurgedBy::ALL.iter().zip(figures.purges) {
            self.sample(&names::PURGES, &[("by", by.label())], count);
        }
        self.screen(&figures.screen);
        self.compression(&figures.compression);
        self.learning(&figures.learning);
        if let Some(disk) = &figures.disk {
            self.disk(disk);
        }
    }

    fn screen(&mut self, figures: &ScreenFigures) {
        self.single(&names::CONNECTIONS_REPORTED, &[], figures.connections_reported);
        self.family(&names::FILTER_REQUESTS);
        for filter in &figures.filters {
            let passed = filter.matched.saturating_sub(filter.refused + filter.reported);
            let results = [("passed", passed), ("refused", filter.refused), ("reported", filter.reported)];
            for (result, count) in results {
                let labels = [("filter", filter.name.as_str()), ("result", result)];
                self.sample(&names::FILTER_REQUESTS, &labels, count);
            }
        }
    }

    fn memory(&mut self, figures: &MemoryFigures) {
        self.single(&names::CACHE_OBJECTS, &[], figures.objects);
        self.single(&names::CACHE_BYTES, &[], figures.bytes);
        self.single(&names::CACHE_BYTES_MAX, &[], figures.bytes_max);
        self.single(&names::CACHE_COMPRESSED, &[], figures.compressed_bytes);
        self.single(&names::CACHE_TAGS, &[], figures.tags);
        self.single(&names::CACHE_EVICTIONS, &[], figures.evictions);
        self.single(&names::CACHE_FILLS_NOW, &[], figures.fills);
        self.single(&names::CACHE_FILLS, &[], figures.fills_started);
        self.single(&names::CACHE_JOINED, &[], figures.joined);
        self.single(&names::CACHE_SOFTLY_PURGED, &[], figures.softly_purged);
    }

    fn compression(&mut self, figures: &CompressionFigures) {
        self.single(&names::COMPRESSION_WAITING, &[], figures.waiting);
        self.single(&names::COMPRESSION_WAITING_BYTES, &[], figures.waiting_bytes);
        self.family(&names::COMPRESSION_JOBS);
        for (result, count) in
            [("made", figures.made), ("not_smaller", figures.not_smaller), ("dropped", figures.dropped)]
        {
            self.sample(&names::COMPRESSION_JOBS, &[("result", result)], count);
        }
        self.single(&names::COMPRESSION_IN, &[], figures.bytes_in);
        self.single(&names::COMPRESSION_OUT, &[], figures.bytes_out);
    }

    fn learning(&mut self, figures: &LearningFigures) {
        self.single(&names::LEARNING_RULES, &[], figures.rules);
        self.family(&names::LEARNING_OBSERVATIONS);
        for (result, count) in [("seen", figures.observed), ("dropped", figures.dropped)] {
            self.sample(&names::LEARNING_OBSERVATIONS, &[("result", result)], count);
        }
        self.family(&names::LEARNING_WITHDRAWN);
        for (reason, count) in &figures.withdrawn {
            self.sample(&names::LEARNING_WITHDRAWN, &[("reason", reason)], count);
        }
    }

    fn disk(&mut self, figures: &DiskFigures) {
        self.single(&names::DISK_IN_USE, &[], u8::from(figures.on));
        self.single(&names::DISK_OBJECTS, &[], figures.objects);
        self.single(&names::DISK_BYTES, &[], figures.bytes);
        self.single(&names::DISK_BYTES_MAX, &[], figures.bytes_max);
        self.family(&names::DISK_LOOKUPS);
        for (result, count) in
            [("hit", figures.hits), ("miss", figures.misses), ("overloaded", figures.overloaded)]
        {
            self.sample(&names::DISK_LOOKUPS, &[("result", result)], count);
        }
        self.family(&names::DISK_WRITES);
        for (result, count) in [("written", figures.writes), ("dropped", figures.writes_dropped)] {
            self.sample(&names::DISK_WRITES, &[("result", result)], count);
        }
        self.single(&names::DISK_EVICTIONS, &[], figures.evictions);
        self.single(&names::DISK_PURGES, &[], figures.purges);
        self.family(&names::DISK_ERRORS);
        for (kind, count) in [("io", figures.errors), ("damaged", figures.damaged)] {
            self.sample(&names::DISK_ERRORS, &[("kind", kind)], count);
        }
    }
}
