//! Purges that one edge has carried out and that the others are to carry out too. A few at a time, each on a thread that
//! may wait for them.

use crate::asking::{Asking, Over};
use std::sync::Arc;
use tentpole_model::link::{LinkDown, Question};
use tentpole_model::{PurgeOrder, PurgedBy};
use tokio::sync::{Semaphore, mpsc};

/// Purges of one edge that are passed on at once; further ones wait.
const AT_ONCE_MAX: usize = 2;
/// Those that wait to be answered.
const ANSWERS_MAX: usize = 64;

/// Passes on what the edge at the other end of one link says.
pub(crate) struct Passes {
    asking: Arc<Asking>,
    from: Over,
    places: Arc<Semaphore>,
    done: mpsc::Sender<LinkDown>,
}

impl Passes {
    /// For the edge of this link; with what it is to be answered.
    pub(crate) fn new(asking: &Arc<Asking>, from: Over) -> (Self, mpsc::Receiver<LinkDown>) {
        let (done, passed) = mpsc::channel(ANSWERS_MAX);
        let places = Arc::new(Semaphore::new(AT_ONCE_MAX));
        (Self { asking: asking.clone(), from, places, done }, passed)
    }

    /// Passes one on. Returns at once.
    pub(crate) fn pass(&self, id: u64, by: PurgedBy, orders: Vec<PurgeOrder>) {
        let Self { asking, from, places, done } = self;
        let (asking, from, places, done) = (asking.clone(), *from, places.clone(), done.clone());
        tokio::spawn(async move {
            // As many wait as the edge lets wait. It is never closed.
            let _place = places.acquire_owned().await;
            let question = Question::PurgeBeside { by, orders };
            let asked = tokio::task::spawn_blocking(move || asking.ask_all(&question, Some(from)).is_ok());
            // The link may have ended.
            let _ = done.send(LinkDown::Passed { id, everywhere: asked.await.unwrap_or(false) }).await;
        });
    }

    /// Content networks are told of everything up to this number. Where too much waits to be said the edge says it once more
    /// on the next link, or hears of a later one.
    pub(crate) fn heard(&self, id: u64) {
        let _ = self.done.try_send(LinkDown::Heard { id });
    }
}
