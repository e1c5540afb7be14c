//! Where instances are made: processes of this machine, which the keeper owns. Chooses their ports and numbers, passes
//! words to the keeper and remembers what it says. Starts and ends no process itself, and decides nothing: a fleet does.

mod cpu;
mod local;
mod ports;

pub use local::{LocalProvider, OUTBOX_MAX};
