//! `[log]`: where the access log goes and what its lines look like.

use crate::forms::{Text, Word};
use crate::problem::Problem;
use crate::setting::{Fallback, Section, Setting};
use crate::table::Table;
use std::path::PathBuf;
use tentpole_model::{AccessLog, LogSettings};

pub(crate) static SECTION: Section = Section {
    header: "[log]",
    also: None,
    about: "The access log: one line for each request, with what the cache did and why.",
    settings: &[&ACCESS, &FILE],
};

static ACCESS: Setting<Word<AccessLog>> = Setting {
    name: "access",
    form: Word {
        words: &[
            ("off", AccessLog::Off, "No access log."),
            ("json", AccessLog::Json, "One JSON object a line."),
            ("combined", AccessLog::Combined, "Apache's combined format, with cache and reason appended."),
        ],
    },
    default: Fallback::Value(|| LogSettings::default().access),
    about: "The form of a line.",
    example: "\"json\"",
};

static FILE: Setting<Text> = Setting {
    name: "file",
    form: Text { what: "a file's path in quotes" },
    default: Fallback::Absent("standard output"),
    about: "The file that lines are appended to. A relative path begins at the folder that Tentpole is started in.",
    example: "\"/var/log/tentpole/access.log\"",
};

/// Reads `[log]`.
pub(crate) fn read(table: &Table<'_>) -> LogSettings {
    let access = table.value(&ACCESS);
    let file = table.optional(&FILE).and_then(|file| {
        if file.value.is_empty() {
            let cure = "leave it out to write to standard output.";
            table.tell(Problem::Empty { name: FILE.name, cure }, &file.place);
            return None;
        }
        Some(PathBuf::from(file.value))
    });
    LogSettings { access, file }
}
