//! `[cache.disk]`: the cache's part on disk.

use crate::forms::{Size, Text};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use crate::words::show_size;
use std::path::PathBuf;
use tentpole_model::DiskSettings;

pub(crate) static SECTION: Section = Section {
    header: "[cache.disk]",
    also: None,
    about: "The cache's part on disk: what memory has no room for, and what a restart would lose.",
    settings: &[&DIRECTORY, &SIZE, &OBJECT],
};

static DIRECTORY: Setting<Text> = Setting {
    name: "directory",
    form: Text { what: "a directory's path in quotes" },
    default: Fallback::Required,
    about: "Where it lies; made when it is not there. A relative path begins at the folder that Tentpole is started in.",
    example: "\"/var/cache/tentpole\"",
};

static SIZE: Setting<Size> = Setting {
    name: "size",
    form: Size::new(64 << 20, 1 << 46),
    default: Fallback::Value(|| 10 << 30),
    about: "Bytes that it may hold.",
    example: "\"10GiB\"",
};

static OBJECT: Setting<Size> = Setting {
    name: "object",
    form: Size::new(1, 1 << 40),
    default: Fallback::Value(|| 1 << 30),
    about: "The largest response that is kept there. When it is left out, never more than `size`.",
    example: "\"1GiB\"",
};

/// Reads `[cache.disk]`; `None` when it has no directory.
pub(crate) fn read(table: &Table<'_>) -> Option<DiskSettings> {
    let directory = table.required(&DIRECTORY);
    let bytes_max = table.value(&SIZE);
    let object_bytes_max = match table.optional(&OBJECT) {
        Some(object) if object.value > bytes_max => {
            let (object_said, size) = (show_size(object.value), show_size(bytes_max));
            table.tell(Problem::ObjectAboveDisk { object: object_said, size }, &object.place);
            object.value
        }
        Some(object) => object.value,
        // A small `size` alone must not complain of an `object` that nobody wrote.
        None => OBJECT.usual().min(bytes_max),
    };
    let directory = directory?;
    if directory.value.is_empty() {
        let cure = "name a directory, or leave [cache.disk] out to cache in memory only.";
        table.tell(Problem::Empty { name: DIRECTORY.name, cure }, &directory.place);
        return None;
    }
    Some(DiskSettings { directory: PathBuf::from(directory.value), bytes_max, object_bytes_max })
}
