//! Connections to endpoints: dialing, reuse, permits and the queue before them. Knows no visitor and no cache, and
//! does not choose an endpoint.

mod carried;
mod connection;
mod dial;
mod fastcgi;
mod http1;
mod http2;
mod idle;
mod local;
mod opening;
mod parked;
mod permit;
mod queue;
mod secure;
mod send;
mod source;
mod stderr;
mod watch;

pub use carried::Connection;
pub use connection::{Connection as Line, ResponseBody};
pub use http2::{Carriers, Dial, Stream};
pub use idle::Idle;
pub use opening::Opening;
pub use permit::{Gate, Gates, Permit, QueueError, Wish};
pub use send::{Framed, Part, Request, Runs};
pub use source::Sources;
