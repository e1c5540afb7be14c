//! Who comes first where not all can be served at once, and who works here. Recognises nobody: `decide/admit` does.

use crate::front::SecretField;
use crate::labels::labels;
use crate::purging::{Network, Secret};
use serde::{Deserialize, Serialize};

/// A request's rank, best first: a smaller one is served before a greater one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// A health probe: without its answer, what stands in front takes the whole site out.
    Health,
    /// Somebody who works here ([`Staff`]).
    Staff,
    /// A visitor in a checkout.
    Checkout,
    /// A visitor whom the application knows by a cookie of its own.
    Returning,
    /// Anybody else.
    #[default]
    Normal,
    /// A program that reads all pages and can come back later.
    Crawler,
}

labels!(Priority {
    Health = "health",
    Staff = "staff",
    Checkout = "checkout",
    Returning = "returning",
    Normal = "normal",
    Crawler = "crawler",
});

impl Priority {
    /// How many there are.
    pub const COUNT: usize = Self::ALL.len();
}

/// Who works here: they pass waiting rooms and filters, and come before all visitors. Nobody by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Staff {
    /// Addresses that are believed.
    pub from: Vec<Network>,
    /// Whoever sends this is believed from wherever; endpoints do not get it.
    pub field: Option<SecretField>,
    /// The key that signs the marks of load tests: such requests are counted apart from visitors'. Allows nothing.
    #[serde(default)]
    pub load_key: Option<Secret>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_comes_first() {
        assert!(Priority::ALL.is_sorted());
        assert!(Priority::Health < Priority::Staff && Priority::Checkout < Priority::Normal);
    }
}
