//! What every thread stands on: time, published values, the byte Ledger, bounded rings, endpoint cells,
//! randomness from a seed, a socket with a deadline, words for the terminal. Knows no message and decides nothing.

pub mod buffer;
pub mod cells;
pub mod channel;
pub mod clock;
pub mod deadline;
pub mod descriptors;
mod in_force;
pub mod latencies;
pub mod ledger;
pub mod local_ports;
pub mod notice;
pub mod processes;
pub mod published;
pub mod random;
pub mod ring;
pub mod secret;
pub mod secure;
pub mod socket;
pub mod unix;

pub use cells::{Cell, Cells};
pub use clock::Instant;
pub use in_force::InForce;
pub use ledger::Ledger;
pub use notice::notice;
pub use published::Published;
pub use random::Random;
