//! HTTP/2 to endpoints (RFC 9113), by the `h2` crate: few connections, many requests on each.

mod account;
mod carriers;
mod head;
mod pulse;
mod stream;
mod wire;

pub use carriers::{Carriers, Dial};
pub use stream::Stream;
