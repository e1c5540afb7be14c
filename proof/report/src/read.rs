//! Reads runs back: from the JSON or from the page, which carries the same. Says what is wrong and how to mend it.

use serde::Deserialize;
use serde::de::IgnoredAny;
use std::fmt;
use tentpole_load::Run;
use tentpole_load::result::FORMAT;

/// What stands right before the run in a page; its end is the script's.
pub(crate) const RUN_BEGINS: &str = "<script type=\"application/json\" id=\"run\">";
const RUN_ENDS: &str = "</script>";

/// Why something is not the report of a run.
#[derive(Debug, PartialEq, Eq)]
pub enum Unreadable {
    /// A web page, but none that holds a run.
    OtherPage,
    /// A page that compares several runs.
    Comparison,
    /// Not JSON.
    NotJson {
        /// What the parser says, with line and column.
        why: String,
    },
    /// JSON, but not of a run.
    NotARun {
        /// What the parser misses, with line and column.
        why: String,
    },
    /// A run in a form that this version of Tentpole does not know.
    OtherFormat {
        /// Its form.
        found: u64,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherPage => write!(
                f,
                "this is a web page, but not the report of a run. Give the JSON or the page that `tentpole load --out` wrote."
            ),
            Self::Comparison => {
                write!(f, "this page compares several runs. Give their own reports instead.")
            }
            Self::NotJson { why } => write!(
                f,
                "this is not JSON ({why}). Give the JSON or the page that `tentpole load --out` wrote; if it is \
                 one, it was cut off: make it again."
            ),
            Self::NotARun { why } => write!(
                f,
                "this is JSON, but not the report of a run ({why}). Give what `tentpole load --out` wrote."
            ),
            Self::OtherFormat { found } => write!(
                f,
                "this report has form {found}; this Tentpole ({}) reads form {FORMAT}. Read it with the Tentpole \
                 that made it (its `version` says which), or make the run again.",
                env!("CARGO_PKG_VERSION")
            ),
        }
    }
}

impl std::error::Error for Unreadable {}

/// Reads a run from the text of [`crate::json`] or of [`crate::html`].
///
/// # Errors
/// When the text is neither, or has another form.
pub fn read(text: &str) -> Result<Run, Unreadable> {
    let text = text.trim_start_matches('\u{feff}').trim();
    if text.starts_with('<') {
        let Some((_, rest)) = text.split_once(RUN_BEGINS) else {
            let comparison = text.contains("<body data-compared>");
            return Err(if comparison { Unreadable::Comparison } else { Unreadable::OtherPage });
        };
        let (run, _) = rest.split_once(RUN_ENDS).ok_or_else(|| Unreadable::NotJson {
            why: "the page ends in the middle of the figures".to_owned(),
        })?;
        return from_json(run);
    }
    from_json(text)
}

fn from_json(text: &str) -> Result<Run, Unreadable> {
    /// The one field that every form has.
    #[derive(Deserialize)]
    struct Form {
        format: u64,
    }
    let wrong = |error: serde_json::Error| match error.classify() {
        serde_json::error::Category::Data => Unreadable::NotARun { why: error.to_string() },
        _ => Unreadable::NotJson { why: error.to_string() },
    };
    if !text.starts_with('{') {
        let _: IgnoredAny = serde_json::from_str(text).map_err(wrong)?;
        return Err(Unreadable::NotARun { why: "it is no object".to_owned() });
    }
    let Form { format } = serde_json::from_str(text).map_err(wrong)?;
    if format != u64::from(FORMAT) {
        return Err(Unreadable::OtherFormat { found: format });
    }
    let mut run: Run = serde_json::from_str(text).map_err(wrong)?;
    // Reports of earlier versions had one also where the generator was in the way.
    run.breaking_point = run.breaking_point.filter(|_| run.trusted);
    Ok(run)
}
