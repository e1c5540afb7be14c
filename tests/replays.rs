//! What people have lived through, once more: each scenario fails first behind stock nginx or HAProxy, set up as in the
//! story, and then holds behind Tentpole's defaults, under the same load before the same application. One file below
//! `replays/` a scenario of docs/scenarios.md. Times are those of the story divided by a number that each file names.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

#[path = "replays/evening.rs"]
mod evening;
#[path = "replays/s1_2.rs"]
mod s1_2;
#[path = "replays/s1_4.rs"]
mod s1_4;
#[path = "replays/s2_4.rs"]
mod s2_4;
#[path = "replays/s2_6.rs"]
mod s2_6;
#[path = "replays/s2_7.rs"]
mod s2_7;
#[path = "replays/s4_1.rs"]
mod s4_1;
#[path = "replays/s4_6.rs"]
mod s4_6;
#[path = "replays/s5_5.rs"]
mod s5_5;
