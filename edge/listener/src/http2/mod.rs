//! HTTP/2 to visitors (RFC 9113): a connection that carries many requests, each of which looks like a connection of its
//! own. The only place that knows the `h2` crate: whatever reads frames, everything outside sees [`Connection`] and
//! [`Stream`]. Decides nothing about a request beyond whether it is one.

mod account;
mod budget;
mod connection;
mod frames;
mod gather;
mod request;
mod response;
mod stream;
mod wire;

pub use connection::{Connection, Ended};
pub(crate) use stream::Came;
pub use stream::Stream;

/// How a connection begins that speaks HTTP/2 without having been asked (RFC 9113 section 3.4): as far as no request of
/// HTTP/1 does.
pub(crate) const PREFACE_BEGINS: &[u8] = b"PRI * HTTP/2";
