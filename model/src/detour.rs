//! Why a request went to another endpoint than its pool's rules would have it: the reason, and no choice.

use crate::labels::labels;

/// Why an attempt went to another endpoint than the pool's rules would have it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Detour {
    /// To another zone than the edge's own, which the pool prefers.
    OtherZone,
    /// The endpoint that the visitor comes back to gets no traffic, is no more, or has just failed him.
    StickyGone,
    /// The endpoint that the visitor comes back to has no room.
    StickyFull,
}

labels!(Detour { OtherZone = "other_zone", StickyGone = "sticky_gone", StickyFull = "sticky_full" });
