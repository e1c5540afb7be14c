//! Other edges that serve beside this one, while one program takes another's place. What is purged here must be purged
//! there before it is answered for: control passes it on. Alone, which an edge nearly always is, this costs a load.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tentpole_model::{PurgeOrder, PurgedBy};
use tokio::sync::{mpsc, oneshot};

/// Purges that wait to be passed on.
const WAITING_MAX: usize = 1_024;
/// How long the others may take. (Control gives them 3 s.)
const PASSED_MAX: Duration = Duration::from_secs(4);
/// Orders that are passed on one by one; more of one change become one that empties the cache.
const ORDERS_MAX: usize = 256;

/// A purge that the others are to carry out too: who wanted it, what, and whom to tell whether all of them did.
pub type Passing = (PurgedBy, Vec<PurgeOrder>, oneshot::Sender<bool>);

/// Who else serves.
pub struct Company {
    /// As control says.
    others: AtomicUsize,
    /// There is one, whatever control says: it has been told of objects of ours, or has begun just now.
    certain: AtomicBool,
    passing: mpsc::Sender<Passing>,
}

impl Company {
    /// Nobody, and the way to control.
    pub fn new() -> (Self, mpsc::Receiver<Passing>) {
        let (passing, passed) = mpsc::channel(WAITING_MAX);
        (Self { others: AtomicUsize::new(0), certain: AtomicBool::new(false), passing }, passed)
    }

    /// Control says how many others there are.
    pub fn are(&self, others: usize) {
        self.others.store(others, Ordering::Release);
    }

    /// Another edge gets what is stored here.
    pub fn gives(&self) {
        self.certain.store(true, Ordering::Release);
    }

    /// It does no more: now control's word counts.
    pub fn gives_no_more(&self) {
        self.certain.store(false, Ordering::Release);
    }

    /// Whether there are others.
    pub fn is_there(&self) -> bool {
        self.certain.load(Ordering::Acquire) || self.others.load(Ordering::Acquire) > 0
    }

    /// Has the others carry out what was carried out here; whether all of them have, which takes some seconds at most.
    /// What they could not be told in time they are told when control is there again.
    pub async fn pass(&self, by: PurgedBy, mut orders: Vec<PurgeOrder>) -> bool {
        if !self.is_there() || orders.is_empty() {
            return true;
        }
        if orders.len() > ORDERS_MAX {
            orders = vec![PurgeOrder::hard(tentpole_model::PurgeWhat::All)];
        }
        let (done, passed) = oneshot::channel();
        if self.passing.try_send((by, orders, done)).is_err() {
            return false;
        }
        matches!(tokio::time::timeout(PASSED_MAX, passed).await, Ok(Ok(true)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::PurgeWhat;

    #[tokio::test]
    async fn alone_nothing_is_passed_and_with_others_their_answer_counts() {
        let (company, mut passed) = Company::new();
        let order = || vec![PurgeOrder::hard(PurgeWhat::All)];
        assert!(company.pass(PurgedBy::Request, order()).await);
        assert!(passed.try_recv().is_err());
        company.are(1);
        for all in [true, false] {
            let asked = company.pass(PurgedBy::Request, order());
            let answers = async {
                let (by, orders, done) = passed.recv().await.unwrap();
                assert_eq!((by, orders), (PurgedBy::Request, order()));
                done.send(all).unwrap();
            };
            assert_eq!(tokio::join!(asked, answers).0, all);
        }
        let leaves = async { drop(passed.recv().await.unwrap()) };
        assert!(!tokio::join!(company.pass(PurgedBy::Route, order()), leaves).0);
    }
}
