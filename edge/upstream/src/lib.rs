//! Connections to endpoints: dialing, reuse, permits and the queue before them. Knows no visitor and no cache, and
//! does not choose an endpoint.

mod connection;
mod dial;
mod idle;
mod permit;
mod watch;

pub use connection::{Connection, ResponseBody};
pub use idle::Idle;
pub use permit::{Gate, Gates, Permit, QueueError};
