//! What another edge beside this one has to do with it: during an upgrade one leaves, and gives the next what it has stored.

use crate::refill::{self, Giving, Refill};
use crate::thread::Shared;
use std::os::unix::net::UnixStream;
use std::sync::Arc;

/// The other edge's side of this one.
#[derive(Clone)]
pub struct Beside(Arc<Shared>);

impl Beside {
    pub(crate) fn of(shared: Arc<Shared>) -> Self {
        Self(shared)
    }

    /// So many others serve.
    pub fn are(&self, others: usize) {
        self.0.company.are(others);
    }

    /// This edge takes the place of another, and will get what that has stored. Before any purge can come.
    pub fn expects_refill(&self) {
        self.0.cache.remember_purges();
        self.0.company.gives();
    }

    /// Control has said who else serves; now takes what the edge at the other end of this has stored, or nothing.
    pub fn take(&self, from: Option<UnixStream>) -> Option<Refill> {
        let refill = from.map(|from| refill::take(self.0.clone(), from));
        if refill.is_none() {
            self.0.cache.forget_purges();
        }
        self.0.company.gives_no_more();
        refill
    }

    /// Gives what is stored to the edge at the other end of this, once it asks.
    pub fn give(&self, to: UnixStream) -> Giving {
        refill::give(self.0.clone(), to)
    }
}
