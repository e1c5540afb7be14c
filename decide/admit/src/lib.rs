//! The ladder's decisions: who comes first, whose turn it is, how long somebody will wait, and when he may come again. Holds
//! no queue, reads no clock, draws nothing at random.

mod pace;
mod recognise;
mod turns;
mod wait;

pub use pace::Pace;
pub use recognise::{Rank, Seen, recognise};
pub use turns::{Turns, outranked};
pub use wait::{RETRY_AFTER_MAX, expected_wait, retry_after, wait_max};
