//! How many requests an endpoint gets at once, found from what it answers. Holds no connection, reads no clock, delays no
//! request: it is told what is seen, and says a number.
//!
//! # How
//! While requests wait, an endpoint has as many in flight as its limit says. The limit then goes back and forth between two
//! levels, a third apart, and what is answered on each is counted. Below the knee more at once brings as much more; above it, it
//! brings nothing but waiting inside the endpoint. The *gain* is the share that was brought: the slope of the logarithm of
//! throughput over that of concurrency, which by Little's law is 1 minus the slope of latency. The limit is moved to where
//! it is [`GAIN_WANTED`].
//!
//! Two measurements side by side say how latency grows *here* and *now*. That is why nothing has to be remembered of how fast the
//! endpoint once was without load, and so nothing can go stale or drift, and the limit is never cut to a few to find out:
//! the lower level is a quarter below the upper one. While no request waits, nothing is measured, and the limit stays.
//!
//! What was found is where the next one begins: [`begins`] says when it counts, [`fair`] what an endpoint gets that has found nothing.
//!
//! Where nobody has asked for a limit, [`Guard`] gives none until there is harm, and this one from then on.
//!
//! What others do: Gradient2 (Netflix, `concurrency-limits`) compares with a long average of latency, which a slowly rising
//! load takes along; Envoy's `adaptive_concurrency` compares with the least latency, measured each minute with three requests
//! at once. `tests/compared.rs` has both.

mod adaptive;
mod found;
mod gain;
mod guard;
mod measure;

pub use adaptive::{Adaptive, Seen};
pub use found::{EXPIRES, Found, LIMIT_MAX, begins, fair};
pub use gain::GAIN_WANTED;
pub use guard::{CLASSES, Guard, GuardSeen, HOLDS_MAX, LATE_MIN};
