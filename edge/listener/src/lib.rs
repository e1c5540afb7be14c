//! Where visitors come in: sockets, connection limits, and a visitor's connection as requests to read and bytes
//! to write. Knows no site, no cache and no endpoint.

mod accept;
mod bind;
mod handshake;
mod proxy_protocol;
mod visitor;

pub use accept::{Doors, Handover, Open, Port, accept, take_over};
pub use bind::{BindError, bind};
pub use handshake::{Begun, Handshakes, shake_hands};
pub use visitor::{BodyError, Next, RequestBody, Visitor};
