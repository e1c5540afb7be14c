//! A page that is put together: its places, and the fragments on their way to them, all of which are fetched at the same
//! time. Sends nothing.

use crate::fragment::{Around, At, Chain, Fragment, begin, fragment};
use bytes::Bytes;
use std::future::poll_fn;
use std::ops::Range;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use tentpole_cache::Object;
use tentpole_esi::{Piece, Plan};
use tentpole_runtime::Ledger;
use tentpole_runtime::ledger::Account;
use tokio::task::JoinHandle;

/// A page whose fragments are on their way. Dropped, it ends those that are fetched for its visitor alone; what goes
/// into the cache arrives.
pub struct Page {
    /// Its template.
    pub content: Rc<Content>,
    /// Its places, in order.
    pub slots: Vec<Slot>,
}

/// The bytes of a template.
pub enum Content {
    /// Stored.
    Object(Arc<Object>),
    /// Just read, and on the Ledger.
    Chunks {
        /// All of it.
        chunks: Vec<Bytes>,
        /// Its bytes on the Ledger.
        _held: Held,
    },
}

/// Bytes on the Ledger, given back when dropped.
pub struct Held {
    ledger: Arc<Ledger>,
    bytes: u64,
}

/// One place in a page.
pub enum Slot {
    /// Text of the template.
    Text(Range<u64>),
    /// An include. Whether it may fail, in a `try`.
    Include(Waiting, bool),
    /// What is tried, and what takes its place.
    Try {
        /// What is tried; its fragments are on their way.
        attempt: Vec<Slot>,
        /// What takes its place.
        except: Box<[Piece]>,
        /// Where it stands.
        chain: Rc<Chain>,
    },
}

/// A fragment, there or on its way.
pub enum Waiting {
    /// There, or known to be missing.
    Ready(Option<Fragment>),
    /// On its way.
    Task(Task),
}

/// A fragment that is fetched. Ended when dropped.
pub struct Task(JoinHandle<Option<Fragment>>);

/// What is known of a page all of whose pieces are at hand.
#[derive(Default)]
pub struct AtHand {
    /// Bytes of content.
    pub bytes: u64,
    /// What is stored and makes it up, without the template.
    pub objects: Vec<Arc<Object>>,
}

impl Page {
    /// Begins to fetch all fragments of a template that stands there.
    pub fn begin(around: &Rc<Around>, chain: &Rc<Chain>, content: Content, plan: &Plan) -> Self {
        Self { content: Rc::new(content), slots: slots(around, chain, plan.pieces()) }
    }
}

/// Begins to fetch what these pieces include. Of a `try` only what is tried.
pub fn slots(around: &Rc<Around>, chain: &Rc<Chain>, pieces: &[Piece]) -> Vec<Slot> {
    let slot = |piece: &Piece| match piece {
        Piece::Text(range) => Slot::Text(range.clone()),
        Piece::Include(include) => {
            let waiting = match begin(around, chain, include) {
                At::Hand(fragment) => Waiting::Ready(fragment),
                At::Way(next) => {
                    let on_its_way = fragment(around.clone(), chain.clone(), (**include).clone(), next);
                    Waiting::Task(Task(tokio::task::spawn_local(on_its_way)))
                }
            };
            Slot::Include(waiting, include.may_fail)
        }
        Piece::Try { attempt, except } => {
            Slot::Try { attempt: slots(around, chain, attempt), except: except.clone(), chain: chain.clone() }
        }
    };
    pieces.iter().map(slot).collect()
}

impl Page {
    /// All its pieces, if none has to be waited for.
    pub fn at_hand(&self) -> Option<AtHand> {
        let mut at_hand = AtHand::default();
        self.add_to(&mut at_hand).then_some(at_hand)
    }

    fn add_to(&self, at_hand: &mut AtHand) -> bool {
        self.slots.iter().all(|slot| slot.add_to(at_hand))
    }
}

impl Slot {
    fn add_to(&self, at_hand: &mut AtHand) -> bool {
        match self {
            Self::Text(range) => {
                at_hand.bytes += range.end - range.start;
                true
            }
            Self::Include(Waiting::Ready(Some(fragment)), _) => match fragment {
                Fragment::Object(object) => {
                    at_hand.bytes += object.body_bytes();
                    at_hand.objects.push(object.clone());
                    true
                }
                Fragment::Page(page) => {
                    if let Content::Object(object) = &*page.content {
                        at_hand.objects.push(object.clone());
                    }
                    matches!(*page.content, Content::Object(_)) && page.add_to(at_hand)
                }
                Fragment::Body { .. } => false,
            },
            // A piece is missing: the next visitor's page may have it.
            Self::Include(..) => false,
            Self::Try { attempt, .. } => attempt.iter().all(|slot| slot.add_to(at_hand)),
        }
    }
}

impl Waiting {
    /// Whether it has to be waited for.
    pub async fn is_pending(&mut self) -> bool {
        let Self::Task(task) = self else { return false };
        let ready = poll_fn(|context| match Pin::new(&mut task.0).poll(context) {
            Poll::Ready(fragment) => Poll::Ready(Some(fragment)),
            Poll::Pending => Poll::Ready(None),
        });
        match ready.await {
            Some(fragment) => {
                *self = Self::Ready(fragment.ok().flatten());
                false
            }
            None => true,
        }
    }

    /// A task that panicked brought nothing: it has said so on standard error.
    pub async fn fragment(self) -> Option<Fragment> {
        match self {
            Self::Ready(fragment) => fragment,
            Self::Task(mut task) => (&mut task.0).await.ok().flatten(),
        }
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Content {
    /// Its bytes.
    pub fn chunks(&self) -> &[Bytes] {
        match self {
            Self::Object(object) => object.chunks(),
            Self::Chunks { chunks, .. } => chunks,
        }
    }
}

impl Held {
    /// Charges bytes.
    pub fn new(ledger: Arc<Ledger>, bytes: u64) -> Self {
        ledger.charge(Account::Buffers, bytes);
        Self { ledger, bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.ledger.release(Account::Buffers, self.bytes);
    }
}
