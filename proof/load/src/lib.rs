//! Load that can be believed: virtual users over real connections, load times from the moment a visitor wanted to
//! ask, and a verdict. Never judges its own lateness as the server's, never drops a failure. Knows no report page.

pub mod agents;
pub mod arrivals;
pub mod climb;
pub mod conductor;
pub mod connection;
pub mod cookies;
pub mod crew;
pub mod data;
pub mod duration;
pub mod effects;
pub mod extract;
pub mod found;
pub mod generator;
pub mod hosts;
mod http2;
pub mod journey;
pub mod mark;
pub mod means;
pub mod order;
pub mod plan;
pub mod ports;
pub mod probe;
pub mod read;
pub mod real;
pub mod record;
pub mod replay;
pub mod result;
pub mod samples;
pub mod template;
pub mod think;
pub mod timer;
mod toml_table;
pub mod transport;
pub mod url;
pub mod verdict;
pub mod visitor;
mod way;
mod websocket;

pub use conductor::{Event, Live, Stop, run, run_with};
pub use plan::Plan;
pub use result::Run;
