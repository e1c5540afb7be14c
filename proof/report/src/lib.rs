//! What a run found, as a page and as data. A page is one file that needs nobody: styles, script and figures are in
//! it, and headline and tables are there without the script. Judges nothing: the verdict is the run's. A failure is
//! never drawn as a load time.

pub mod baseline;
pub mod compared;
mod curves;
pub mod found;
mod markup;
mod page;
mod parts;
mod read;
pub mod spread;
pub mod wire;
pub mod words;

pub use compared::compare;
pub use page::html;
pub use read::{Unreadable, read};
pub use words::verdict;

use tentpole_load::Run;

/// The run as JSON for programs: pretty, fields in the order of [`Run`], ends with a line break. [`read`] reads it.
///
/// # Panics
/// Never for a run: all its keys are text or numbers.
pub fn json(run: &Run) -> String {
    let mut text = serde_json::to_string_pretty(run).expect("a run has only keys that JSON can have");
    text.push('\n');
    text
}
