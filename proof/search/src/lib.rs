//! Where does it break? Trials of load in, the next trial or the answer out. Pure: no clock, no sockets, no randomness but a
//! seed, so that how often the answer is right is tested by the thousand against simulated servers.

pub mod answer;
pub mod confidence;
pub mod curve;
pub mod draw;
pub mod search;
mod special;
pub mod tail;
pub mod trial;
pub mod usl;
pub mod warm_up;

pub use answer::{Answer, Drift, GoalAnswer, Why};
pub use search::{Next, Search, Settings, Step};
pub use trial::{Evidence, Goal, Page, Trial, Verdict};
