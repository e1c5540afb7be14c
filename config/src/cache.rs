//! `[cache]`: the shared cache in memory, its part on disk, and how responses of all sites are cached.

use crate::caching::{self, Typed};
use crate::disk;
use crate::forms::{Shaped, Size, Span, Whole};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::words::show_size;
use std::time::Duration;
use tentpole_model::{CacheSettings, DiskSettings};

pub(crate) static SECTION: Section = Section {
    header: "[cache]",
    also: Some(&caching::SECTION),
    about: "The shared cache. What is stored, and for how long, the application's `Cache-Control` decides (RFC 9111).",
    settings: &[&MEMORY, &OBJECT, &WAITERS, &WAIT, &DISK],
};

static MEMORY: Setting<Size> = Setting {
    name: "memory",
    form: Size::new(0, 1 << 44),
    default: Fallback::Value(|| CacheSettings::default().memory_bytes_max),
    about: "Memory for stored responses, their overhead included. 0 switches the cache off.",
    example: "\"256MiB\"",
};

static OBJECT: Setting<Size> = Setting {
    name: "object",
    form: Size::new(1, 1 << 40),
    default: Fallback::Value(|| CacheSettings::default().object_bytes_max),
    about: "The largest response that is stored; larger ones pass through. When it is left out, never more than `memory`.",
    example: "\"16MiB\"",
};

static WAITERS: Setting<Whole> = Setting {
    name: "waiters",
    form: Whole::new(0, 1_000_000),
    default: Fallback::Value(|| u64::from(CacheSettings::default().waiters_max)),
    about: "Requests that may wait together for one response that is on its way into the cache. One more goes to an \
            endpoint itself.",
    example: "10000",
};

static WAIT: Setting<Span> = Setting {
    name: "wait",
    form: Span::new(Duration::from_millis(1), Duration::from_secs(600)),
    default: Fallback::Value(|| CacheSettings::default().wait_max),
    about: "How long such a request waits for the response's head before it goes to an endpoint itself.",
    example: "\"10s\"",
};

static DISK: Setting<Shaped> = Setting {
    name: "disk",
    form: Shaped { what: "a table with a directory", inside: Some(&disk::SECTION) },
    default: Fallback::Absent("memory only"),
    about: "The cache's part on disk.",
    example: "{ directory = \"/var/cache/tentpole\", size = \"10GiB\" }",
};

/// `[cache]` as typed.
#[derive(Default)]
pub(crate) struct TypedSection {
    pub(crate) settings: CacheSettings,
    pub(crate) disk: Option<DiskSettings>,
    /// For all sites.
    pub(crate) caching: Typed,
}

/// Reads `[cache]`.
pub(crate) fn read(table: &Table<'_>) -> TypedSection {
    TypedSection {
        settings: read_memory(table),
        disk: table.table(&DISK).and_then(|disk| disk::read(&disk)),
        caching: Typed::read(table),
    }
}

fn read_memory(table: &Table<'_>) -> CacheSettings {
    let memory_bytes_max = table.value(&MEMORY);
    let object = table.optional(&OBJECT);
    let object_bytes_max = match object {
        Some(object) if memory_bytes_max > 0 && object.value > memory_bytes_max => {
            let problem = Problem::ObjectAboveMemory {
                object: show_size(object.value),
                memory: show_size(memory_bytes_max),
            };
            table.tell(problem, &object.place);
            object.value
        }
        Some(object) => object.value,
        // A small `memory` alone must not complain of an `object` that nobody wrote.
        None => match CacheSettings::default().object_bytes_max {
            usual if memory_bytes_max > 0 => usual.min(memory_bytes_max),
            usual => usual,
        },
    };
    CacheSettings {
        memory_bytes_max,
        object_bytes_max,
        waiters_max: table.value(&WAITERS) as u32,
        wait_max: table.value(&WAIT),
    }
}
