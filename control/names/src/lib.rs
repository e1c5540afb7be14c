//! Looks up the names of endpoints: each once for all who want it, again when its answer's time is over, in the background,
//! and publishes where they lead. Keeps the last good answer when nobody answers. Knows nothing of pools, health or
//! requests: none ever waits for a look-up.

mod ask;
mod look_up;
mod names;
mod system;
mod tell;
mod trouble;
mod wire;

pub use names::{Followed, Names};
pub use system::Files;
