//! Purges by tag that came while a fill did not know its own tags yet. Once its head is there, it is known whether one
//! of them was about it: so a purge keeps out what it names, and nothing else. Bounded; stores nothing when in doubt.

use crate::charge::Charge;
use crate::{Tag, TagSet};
use std::sync::Arc;
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;

/// Purges that one fill remembers; one more, and it counts as meant.
const DOUBTS_MAX: usize = 256;

/// A purge by tag, remembered by any number of fills; on the Ledger once.
#[derive(Debug)]
pub(crate) struct TagPurge {
    tags: TagSet,
    _charge: Charge,
}

#[derive(Debug, Default)]
pub(crate) struct Doubts {
    purges: Vec<Arc<TagPurge>>,
    /// The first that was about it, once that is known.
    came_true: Option<usize>,
}

impl TagPurge {
    pub(crate) fn new(ledger: &Arc<Ledger>, tags: &TagSet) -> Arc<Self> {
        let charge = Charge::new(ledger, Account::Fills, size_of_val(tags.all()) as u64);
        Arc::new(Self { tags: tags.clone(), _charge: charge })
    }

    /// Whether it names one of these.
    pub(crate) fn is_about(&self, tags: impl IntoIterator<Item = Tag>) -> bool {
        self.tags.names_one_of(tags)
    }
}

impl Doubts {
    /// Remembers a purge; false when there are too many.
    pub(crate) fn remember(&mut self, purge: &Arc<TagPurge>) -> bool {
        if self.purges.len() == DOUBTS_MAX {
            return false;
        }
        self.purges.push(purge.clone());
        true
    }

    /// How many purges are remembered.
    pub(crate) fn count(&self) -> usize {
        self.purges.len()
    }

    /// The tags are known; whether one of the purges was about them.
    pub(crate) fn settle(&mut self, tags: impl Iterator<Item = Tag> + Clone) -> bool {
        let mut purges = std::mem::take(&mut self.purges).into_iter();
        let came_true = purges.position(|purge| purge.is_about(tags.clone()));
        self.came_true = self.came_true.or(came_true);
        self.came_true.is_some()
    }

    /// Whether one of the first `count` purges was about it.
    pub(crate) fn came_true_before(&self, count: usize) -> bool {
        self.came_true.is_some_and(|at| at < count)
    }

    /// Bytes held for it alone.
    pub(crate) fn cost(&self) -> u64 {
        (self.purges.len() * size_of::<Arc<TagPurge>>()) as u64
    }
}
