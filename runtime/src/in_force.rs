//! A Snapshot with what is published beside it. Membership and weights are lists parallel to the Snapshot's pools, so
//! each Snapshot has its own: whoever takes a new Snapshot takes its lists with it, and can never read one by the other.

use crate::Published;
use std::sync::Arc;
use tentpole_model::{Dials, LastPublished, Membership, Snapshot, SnapshotFile};

/// What one process works on.
#[derive(Clone)]
pub struct InForce {
    /// The Snapshot's version: counts up with each reload.
    pub version: u64,
    /// When it was read, in milliseconds since 1970.
    pub read_unix_ms: u64,
    /// The structure.
    pub snapshot: Arc<Snapshot>,
    /// Where its endpoints and their health are published.
    pub membership: Arc<Published<Membership>>,
    /// Where its weights are published.
    pub dials: Arc<Published<Dials>>,
}

impl InForce {
    /// A Snapshot with these lists to begin with.
    pub fn new(file: SnapshotFile, membership: Membership, dials: Dials) -> Self {
        let SnapshotFile { version, read_unix_ms, snapshot } = file;
        Self {
            version,
            read_unix_ms,
            snapshot: Arc::new(snapshot),
            membership: Published::new(membership),
            dials: Published::new(dials),
        }
    }

    /// A Snapshot of which nothing is known yet: nobody is in its pools, weights are as configured.
    pub fn at_first(file: SnapshotFile) -> Self {
        let dials = Dials::from_snapshot(&file.snapshot);
        Self::new(file, Membership::default(), dials)
    }

    /// The Snapshot as it lies on disk.
    pub fn file(&self) -> SnapshotFile {
        let Self { version, read_unix_ms, ref snapshot, .. } = *self;
        SnapshotFile { version, read_unix_ms, snapshot: Snapshot::clone(snapshot) }
    }

    /// What is published beside it now.
    pub fn published(&self) -> LastPublished {
        LastPublished::of(&self.snapshot, (*self.membership.get()).clone(), (*self.dials.get()).clone())
    }

    /// Whether there is a member for each endpoint of each pool: before health has spoken there is not.
    pub fn membership_fits(&self, membership: &Membership) -> bool {
        self.fits(membership.pools.iter().map(|pool| pool.members.len()))
    }

    /// Whether there is a weight for each endpoint of each pool.
    pub fn dials_fit(&self, dials: &Dials) -> bool {
        self.fits(dials.weights.iter().map(Vec::len))
    }

    fn fits(&self, lengths: impl Iterator<Item = usize>) -> bool {
        self.snapshot.pools.iter().map(|pool| pool.endpoints.len()).eq(lengths)
    }
}

impl std::fmt::Debug for InForce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("InForce").field("version", &self.version).finish_non_exhaustive()
    }
}
