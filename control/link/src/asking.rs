//! Questions to the edge and those who wait for their answers. Bounded in number and time; when the link ends,
//! everybody who waits learns it at once.

use crate::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::Duration;
use tentpole_model::EdgeGone;
use tentpole_model::link::{Answer, Question};
use tokio::sync::mpsc;

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Questions that wait to be sent.
const QUESTIONS_MAX: usize = 16;

/// Questions of all links; there is one at a time.
#[derive(Default)]
pub(crate) struct Asking {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    link: Option<mpsc::Sender<(u64, Question)>>,
    last: u64,
    /// As many as there are threads that wait; each leaves after [`ANSWER_MAX`].
    waiting: HashMap<u64, SyncSender<Answer>>,
}

impl Asking {
    /// Asks over the link that there is and waits.
    pub(crate) fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        let (answer, answered) = sync_channel(1);
        let id = {
            let mut inner = lock(&self.inner);
            inner.last += 1;
            let id = inner.last;
            inner.link.as_ref().ok_or(EdgeGone)?.try_send((id, question)).map_err(|_| EdgeGone)?;
            inner.waiting.insert(id, answer);
            id
        };
        let answer = answered.recv_timeout(ANSWER_MAX);
        lock(&self.inner).waiting.remove(&id);
        answer.map_err(|_| EdgeGone)
    }

    /// A new link: questions go there from now on. Those who asked over the old one learn that it is gone.
    pub(crate) fn over(&self) -> mpsc::Receiver<(u64, Question)> {
        let (link, questions) = mpsc::channel(QUESTIONS_MAX);
        let mut inner = lock(&self.inner);
        inner.link = Some(link);
        inner.waiting.clear();
        questions
    }

    /// The link ended.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.link = None;
        inner.waiting.clear();
    }

    /// Passes an answer on to whom it is for, if he still waits.
    pub(crate) fn answered(&self, id: u64, answer: Answer) {
        if let Some(waiting) = lock(&self.inner).waiting.remove(&id) {
            // It has room for one, and only one is sent.
            let _ = waiting.try_send(answer);
        }
    }
}
