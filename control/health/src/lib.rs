//! Says which endpoints take traffic: asks them, counts what the edge met, takes over where their names lead,
//! and publishes `Membership` when something changed. The decision itself (`verdict`) is pure. Never takes the last
//! endpoint of a pool out of traffic, never touches a request.

mod event;
mod follow;
mod http2;
mod local;
mod names;
pub mod outliers;
mod probe;
mod ramp;
mod secure;
pub mod verdict;
mod watch;

pub use event::Event;
pub use watch::{Before, Watch, Watching};
