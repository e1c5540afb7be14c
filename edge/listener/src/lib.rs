//! Where visitors come in: sockets, connection limits, and a visitor's connection as requests to read and bytes
//! to write. Knows no site, no cache and no endpoint.

mod accept;
mod bind;
mod discard;
mod handshake;
mod http2;
mod pace;
mod per_address;
mod proxy_protocol;
mod visitor;

pub use accept::{Doors, Handover, Open, Port, accept, take_over};
pub use bind::{BindError, bind};
pub use handshake::{Begun, Handshakes, shake_hands};
pub use http2::{Connection as Http2, Ended};
pub use visitor::{BodyError, Guise, Next, RequestBody, Visitor, limits_of_heads};
