//! How Tentpole starts, says what it does and ends: what it refuses to start with, what happens to requests in flight,
//! and the access log to its last line. One file below `ending/` for each.

#[path = "ending/log.rs"]
mod log;
#[path = "ending/signals.rs"]
mod signals;
#[path = "ending/start.rs"]
mod start;
