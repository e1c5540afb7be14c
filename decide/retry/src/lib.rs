//! Whether a request is sent once more, and after how long a second copy of it goes out. Sends nothing, reads no clock
//! and draws nothing at random.

mod budget;
mod slowest;
mod whether;

pub use budget::{Allowance, Budget};
pub use slowest::Slowest;
pub use whether::{After, Asked, after_failure, after_status, may_hedge, pause};
