//! Learned caching against applications that try to have one visitor's page given to another. Each test asserts that
//! nobody got what was made for somebody else, and that something *was* learned: a cache that never serves proves nothing.

#![allow(clippy::unwrap_used, reason = "tests, with helpers outside their functions")]

#[path = "learned/attacks.rs"]
mod attacks;
#[path = "learned/crowd.rs"]
mod crowd;
#[path = "learned/serving.rs"]
mod serving;
#[path = "learned/strangers.rs"]
mod strangers;
