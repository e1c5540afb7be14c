//! Load that can be believed: virtual users over real connections, load times from the moment a visitor wanted to
//! ask, and a verdict. Never judges its own lateness as the server's, never drops a failure. Knows no report page.

pub mod arrivals;
pub mod climb;
pub mod conductor;
pub mod connection;
pub mod cookies;
pub mod duration;
pub mod extract;
pub mod generator;
pub mod hosts;
pub mod journey;
pub mod plan;
pub mod probe;
pub mod read;
pub mod record;
pub mod result;
pub mod template;
pub mod timer;
mod toml_table;
pub mod url;
pub mod verdict;
pub mod visitor;

pub use conductor::{Event, Live, Stop, run};
pub use plan::Plan;
pub use result::Run;
