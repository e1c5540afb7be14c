//! A pool's limit shared between several edges by what each has to do now, never in equal parts: the busy edge may use all of it
//! while the others idle. Sends nothing, reads no clock: messages and times are told.
//!
//! # How
//! A [`Broker`] holds the pool's total. Each edge is a [`Holder`]: it asks several times a second, says what it could use, and is
//! granted a *lease*: so many requests in flight, until a time. The edge counts that time from when it *sent* the question,
//! the broker from when it *got* it, so the edge's ends first, whatever the way takes. With each question the edge says what
//! it keeps until it is answered, and takes no older answer from then on: what it gives back is free as soon as the broker
//! reads it. The broker counts what an edge keeps or what it was granted, whichever is more. So the sum of what all edges may
//! use never exceeds the total: with messages lost, late or out of order, with edges that die, and with clocks of different
//! hours. Only their pace must agree, to [`PACE_PERCENT`].
//!
//! One thing is outside: an edge that is cut off lets nothing more through when its lease is over, but what it has in flight
//! then still ends in its own time.
//!
//! Who idles keeps next to nothing. Where edges want more than there is, each gets an equal part, and what one leaves of it the others
//! get (max-min fairness).

mod broker;
mod holder;
mod share;

pub use broker::Broker;
pub use holder::Holder;
pub use share::fair_shares;

/// How far two clocks may differ in pace, in percent: the broker counts a lease that much longer than the edge.
pub const PACE_PERCENT: u32 = 1;
