//! Whether a value fits the Snapshot: one entry for each endpoint of each pool. What does not fit is from another
//! configuration and must not be published.

use tentpole_model::{Dials, Membership, Snapshot};

/// Whether there is a member for each endpoint of each pool.
pub(crate) fn membership_fits(snapshot: &Snapshot, membership: &Membership) -> bool {
    fits(snapshot, membership.pools.iter().map(|pool| pool.members.len()))
}

/// Whether there is a weight for each endpoint of each pool.
pub(crate) fn dials_fit(snapshot: &Snapshot, dials: &Dials) -> bool {
    fits(snapshot, dials.weights.iter().map(Vec::len))
}

fn fits(snapshot: &Snapshot, lengths: impl Iterator<Item = usize>) -> bool {
    snapshot.pools.iter().map(|pool| pool.endpoints.len()).eq(lengths)
}
