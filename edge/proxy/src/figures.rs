//! How the cache is doing, and which certificates are in use, put together from those who know. Takes no lock but for moments.

use crate::thread::Shared;
use std::sync::Arc;
use tentpole_model::{CacheFigures, CompressionFigures, DiskFigures, MemoryFigures, ScreenFigures};
use tentpole_observe::Observed;

/// Says whom metrics and reports are to ask.
pub fn observe(shared: &Arc<Shared>, observed: &Observed) {
    // Metrics are not what keeps a cache alive.
    let shared = Arc::downgrade(shared);
    let weak = shared.clone();
    observed.ask_certificates(move || {
        let secure = weak.upgrade().and_then(|shared| shared.secure.clone());
        secure.map_or_else(Vec::new, |secure| secure.in_use())
    });
    observed.ask_cache(move || shared.upgrade().map(|shared| figures(&shared)).unwrap_or_default());
}

fn figures(shared: &Shared) -> CacheFigures {
    let (purges, purges_recent) = shared.purges.figures();
    CacheFigures {
        memory: memory(shared.cache.stats()),
        disk: shared.disk.as_ref().map(|disk| on_disk(disk.stats())),
        compression: compression(shared.forms.stats()),
        learning: shared.learning.figures(),
        screen: ScreenFigures {
            connections_reported: shared.doors.get().map_or(0, |doors| doors.reported()),
            ..shared.prepared.get().screen.figures()
        },
        purges,
        purges_recent,
    }
}

fn memory(stats: tentpole_cache::Stats) -> MemoryFigures {
    MemoryFigures {
        objects: stats.objects,
        bytes: stats.bytes,
        bytes_max: stats.bytes_max,
        compressed_bytes: stats.derived_bytes,
        tags: stats.tags,
        softly_purged: stats.softly_purged,
        evictions: stats.evictions,
        fills: stats.fills,
        fills_started: stats.fills_started,
        joined: stats.joined,
    }
}

fn compression(stats: tentpole_compress::Stats) -> CompressionFigures {
    CompressionFigures {
        waiting: stats.waiting,
        waiting_bytes: stats.waiting_bytes,
        made: stats.made,
        not_smaller: stats.not_smaller,
        dropped: stats.dropped,
        bytes_in: stats.bytes_in,
        bytes_out: stats.bytes_out,
    }
}

fn on_disk(stats: tentpole_disk::Stats) -> DiskFigures {
    DiskFigures {
        on: stats.on,
        objects: stats.objects,
        bytes: stats.bytes,
        bytes_max: stats.bytes_max,
        hits: stats.hits,
        misses: stats.misses,
        overloaded: stats.overloaded,
        writes: stats.writes,
        writes_dropped: stats.writes_dropped,
        evictions: stats.evictions,
        purges: stats.purges,
        errors: stats.errors,
        damaged: stats.damaged,
    }
}
