//! Says which endpoints take traffic: asks them, counts what the edge met, resolves their names, and publishes
//! `Membership` when something changed. The decision itself (`verdict`) is pure. Never takes the last endpoint of a
//! pool out of traffic, never touches a request.

mod event;
mod names;
mod probe;
pub mod verdict;
mod watch;

pub use event::Event;
pub use watch::{Before, Watch, Watching};
