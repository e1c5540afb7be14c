//! What visitors send and listen to for long, by both versions of HTTP, without TLS and with it, as curl does it. One file below
//! `visitors/` for each kind.

#[path = "visitors/events.rs"]
mod events;
#[path = "visitors/uploads.rs"]
mod uploads;
