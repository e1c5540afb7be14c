//! What visitors see of the edge, over each protocol: what they may send, who they say they are, how long they may take, and
//! who waits or is refused before anything is looked up.

mod common;
#[path = "common/frames.rs"]
#[allow(dead_code, reason = "not every test needs every helper")]
mod frames;

#[path = "visitors/filters.rs"]
mod filters;
#[path = "visitors/front.rs"]
mod front;
#[path = "visitors/http2.rs"]
mod http2;
#[path = "visitors/http2_attacks.rs"]
mod http2_attacks;
#[path = "visitors/http2_tunnels.rs"]
mod http2_tunnels;
#[path = "visitors/https.rs"]
mod https;
#[path = "visitors/interim.rs"]
mod interim;
#[path = "visitors/slow.rs"]
mod slow;
#[path = "visitors/smuggling.rs"]
mod smuggling;
#[path = "visitors/standard.rs"]
mod standard;
#[path = "visitors/waiting.rs"]
mod waiting;
