//! Gates: places in an answer where it waits until the test says go. They take the place of sleeping.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, watch};

/// How long a test waits for something that is expected before it fails. Only a test that fails takes so long: what must be
/// there sooner is asserted where it is.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// A gate that is shut until released. Clones are the same gate.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    passes: Semaphore,
    waiting: watch::Sender<usize>,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new()
    }
}

impl Gate {
    /// A shut gate.
    pub fn new() -> Self {
        Self(Arc::new(Inner { passes: Semaphore::new(0), waiting: watch::Sender::new(0) }))
    }

    /// Opens it for good: everyone who waits and everyone who comes.
    pub fn release(&self) {
        self.0.passes.close();
    }

    /// Lets one pass: the first who waits, or the next who comes.
    pub fn release_one(&self) {
        self.0.passes.add_permits(1);
    }

    /// How many wait at it now.
    pub fn waiting(&self) -> usize {
        *self.0.waiting.borrow()
    }

    /// Waits until at least `count` wait at it.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub async fn until_waiting(&self, count: usize) {
        let mut waiting = self.0.waiting.subscribe();
        let enough = waiting.wait_for(|waiting| *waiting >= count);
        if tokio::time::timeout(PATIENCE, enough).await.is_err() {
            panic!("waited {PATIENCE:?} for {count} at the gate; there are {}", self.waiting());
        }
    }

    /// Waits until let through.
    pub async fn pass(&self) {
        let _waiting = Waiting::at(&self.0.waiting);
        if let Ok(permit) = self.0.passes.acquire().await {
            permit.forget();
        }
    }
}

/// Counts one waiter, also when it gives up.
struct Waiting<'a>(&'a watch::Sender<usize>);

impl<'a> Waiting<'a> {
    fn at(count: &'a watch::Sender<usize>) -> Self {
        count.send_modify(|count| *count += 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count -= 1);
    }
}

/// A gate that opens when this is dropped.
#[derive(Debug)]
#[must_use = "dropping it releases what it holds"]
pub struct Hold(pub(crate) Gate);

impl Deref for Hold {
    type Target = Gate;

    fn deref(&self) -> &Gate {
        &self.0
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_gate_lets_one_pass_and_then_everyone() {
        let gate = Gate::new();
        let walkers: Vec<_> = (0..3)
            .map(|_| {
                let gate = gate.clone();
                tokio::spawn(async move { gate.pass().await })
            })
            .collect();
        gate.until_waiting(3).await;
        gate.release_one();
        gate.0.waiting.subscribe().wait_for(|waiting| *waiting == 2).await.unwrap();
        gate.release();
        for walker in walkers {
            walker.await.unwrap();
        }
        assert_eq!(gate.waiting(), 0);
        gate.pass().await;
    }
}
