//! HTTP/1.1 for both sides: bytes to heads and bodies, and back (RFC 9112). Owns no socket, no clock and no
//! buffer of its own beyond trailers. Refuses every message that two parties could read in two ways; never
//! repairs one.
//!
//! What is refused does not depend on how the bytes arrive: any split of the input gives the same messages and
//! the same refusal, and a head is refused at the first byte that makes it wrong.

mod authority;
mod body;
mod framing;
mod head;
mod persist;
mod request;
mod response;
mod size_line;
mod trailer;
mod write;

pub use authority::split_authority;
pub use body::{BodyDecoder, BodyLimits, ChunkError, Decoded, Piece};
pub use framing::{Framing, request_framing, response_framing};
pub use head::{FIELDS_MAX, Limits, Parsed};
pub use persist::{expects_continue, keeps_alive_request, keeps_alive_response, upgrade, upgraded};
pub use request::{Target, check_request, host, parse_request, split_target};
pub use response::{Malformed, parse_response};
pub use write::{
    CHUNK_END, write_chunk_start, write_decimal, write_field, write_fields, write_framing, write_last_chunk,
    write_request_line, write_status_line,
};
