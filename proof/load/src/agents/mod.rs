//! Several generators as one: a coordinator that decides, and agents on other machines that make the load, each a part of it
//! as another machine's threads would be. One clock (the coordinator's, by round trips), one division of visitors, rates and
//! rows, one sum of what was counted. Both sides know one secret; nothing of what they say is secret itself.

mod clock;
mod division;
mod key;
mod link;
mod message;
mod names;
mod rows;
mod serve;
mod told;
mod wire;

pub use division::{Part, parts};
pub use key::{KEY_BYTES_MIN, Key};
pub use link::{AGENTS_MAX, Agent, Missing, connect, leave, prepare};
pub(crate) use link::{Links, start};
pub use serve::{Settings, serve};
