//! Which stored responses an order is about, in a form that memory, disk and whoever else stores can keep and ask.
//! Changes nothing.

use crate::{Tag, TagSet};
use std::fmt;
use std::sync::Arc;

/// Whether a key is meant.
pub type KeyTest = Arc<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// Which stored responses a purge is about.
#[derive(Clone)]
pub enum Selector {
    /// All variants of one key.
    Key(Box<[u8]>),
    /// Keys that begin with these bytes.
    Prefix(Box<[u8]>),
    /// Keys that pass a test: those of a site's hosts.
    Where(KeyTest),
    /// What carries one of these tags, and whose key passes the test, if there is one.
    Tags {
        /// The tags.
        tags: TagSet,
        /// The test.
        within: Option<KeyTest>,
    },
    /// What any of these names.
    Any(Arc<[Selector]>),
    /// Everything.
    All,
}

impl Selector {
    /// Whether a response stored under this key and with these tags is meant.
    pub fn selects(&self, key: &[u8], tags: impl IntoIterator<Item = Tag> + Clone) -> bool {
        match self {
            Self::Key(wanted) => **wanted == *key,
            Self::Prefix(prefix) => key.starts_with(prefix),
            Self::Where(test) => test(key),
            Self::Tags { tags: wanted, within } => {
                wanted.names_one_of(tags) && within.as_ref().is_none_or(|test| test(key))
            }
            Self::Any(each) => each.iter().any(|one| one.selects(key, tags.clone())),
            Self::All => true,
        }
    }
}

impl fmt::Debug for Selector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key) => write!(f, "Key({})", key.escape_ascii()),
            Self::Prefix(prefix) => write!(f, "Prefix({})", prefix.escape_ascii()),
            Self::Where(_) => f.write_str("Where"),
            Self::Tags { tags, within } => write!(f, "Tags({:?}, within: {})", tags.all(), within.is_some()),
            Self::Any(each) => f.debug_list().entries(each.iter()).finish(),
            Self::All => f.write_str("All"),
        }
    }
}
