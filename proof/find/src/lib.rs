//! What journeys look for in the text of a response: regular expressions and paths in JSON. Bounded in time and memory, whatever the
//! pattern, the path and the text. Knows no responses and no journeys.

mod json_path;
mod pattern;

pub use json_path::JsonPath;
pub use pattern::{Pattern, escape};
