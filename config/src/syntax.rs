//! From text to TOML tables with their places, and the parser's complaints in our words.

use crate::problem::Problem;
use crate::report::{Place, Problems};
use toml::Spanned;
use toml::de::DeTable;

/// Complaints that are passed on: after the first ones a parser mostly complains of its own confusion.
const TOLD_MAX: usize = 5;

/// Parses; tells what is not TOML and returns `None` then, for the rest of the file cannot be trusted.
pub(crate) fn read<'t>(text: &'t str, problems: &Problems<'_>) -> Option<Spanned<DeTable<'t>>> {
    let (file, errors) = DeTable::parse_recoverable(text);
    if errors.is_empty() {
        return Some(file);
    }
    let mut lines_told = Vec::new();
    for error in errors {
        let span = error.span().unwrap_or(0..0);
        let line = text.as_bytes()[..span.start.min(text.len())].iter().filter(|b| **b == b'\n').count();
        if lines_told.contains(&line) || lines_told.len() == TOLD_MAX {
            continue;
        }
        lines_told.push(line);
        problems.add(Problem::Syntax { says: in_our_words(error.message()) }, &Place::Bytes(span));
    }
    None
}

/// The complaints that people meet most, with what to do.
fn in_our_words(message: &str) -> String {
    let cure = match message {
        m if m.starts_with("duplicate key") => {
            return "this is already set above; keep one of them.".to_owned();
        }
        m if m.starts_with("string values must be quoted") => {
            return "a value is missing here, or a text without quotes; texts stand in \"quotes\"."
                .to_owned();
        }
        m if m.starts_with("invalid basic string") => {
            return "this text has no end; close it with `\"`.".to_owned();
        }
        m if m.starts_with("missing escaped value") => {
            return "no such escape; for a text with backslashes use 'single quotes'.".to_owned();
        }
        m if m.starts_with("unclosed table") => "A section's header ends with `]`.",
        m if m.contains("expected newline") => "One setting a line.",
        _ => "",
    };
    format!("this is not TOML: {message}. {cure}").trim_end().to_owned()
}
