//! Questions to the edge and those who wait for their answers. Bounded in number and time; when the link ends,
//! everybody who waits learns it at once.

use crate::lock;
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;
use tentpole_model::EdgeGone;
use tentpole_model::link::{Answer, Question};
use tentpole_runtime::clock;
use tokio::sync::{mpsc, watch};

/// How long an answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(3);
/// Questions that wait to be sent.
const QUESTIONS_MAX: usize = 16;

/// Questions of all links; there is one at a time.
#[derive(Default)]
pub(crate) struct Asking {
    inner: Mutex<Inner>,
    edges: watch::Sender<usize>,
}

/// Over which link: one of those beside, by its number, or the other.
pub(crate) type Over = Option<u64>;

#[derive(Default)]
struct Inner {
    link: Option<mpsc::Sender<(u64, Question)>>,
    /// Those to edges that serve beside the other, by number.
    beside: HashMap<u64, mpsc::Sender<(u64, Question)>>,
    last: u64,
    /// As many as there are threads that wait, for each edge; each leaves after [`ANSWER_MAX`].
    waiting: HashMap<u64, Waiting>,
}

/// Who waits for an answer, and over which link it comes.
struct Waiting {
    beside: Option<u64>,
    answer: SyncSender<Answer>,
}

impl Inner {
    /// Sends a question over a link: one of those beside, or the other.
    fn send(&mut self, beside: Option<u64>, question: Question) -> Result<(u64, Receiver<Answer>), EdgeGone> {
        let link = match beside {
            Some(number) => self.beside.get(&number),
            None => self.link.as_ref(),
        };
        let (answer, answered) = sync_channel(1);
        self.last += 1;
        let id = self.last;
        link.ok_or(EdgeGone)?.try_send((id, question)).map_err(|_| EdgeGone)?;
        self.waiting.insert(id, Waiting { beside, answer });
        Ok((id, answered))
    }

    /// A link ended: who waits for its answers learns it.
    fn forget(&mut self, beside: Option<u64>) {
        self.waiting.retain(|_, waiting| waiting.beside != beside);
    }
}

impl Asking {
    /// Asks over the link that there is and waits.
    pub(crate) fn ask(&self, question: Question) -> Result<Answer, EdgeGone> {
        let (id, answered) = lock(&self.inner).send(None, question)?;
        self.wait(id, &answered, ANSWER_MAX)
    }

    /// Asks all edges but one, and those that come meanwhile, and waits for all of them within the same time; returns the
    /// answer of the one that takes new visitors, if it was asked. An edge beside it that ends meanwhile is none any more.
    pub(crate) fn ask_all(&self, question: &Question, but: Option<Over>) -> Result<Option<Answer>, EdgeGone> {
        let due = clock::now().after(ANSWER_MAX);
        let (mut asked, mut first): (Vec<Over>, _) = (but.into_iter().collect(), None);
        loop {
            let answers = {
                let mut inner = lock(&self.inner);
                let all = std::iter::once(None).chain(inner.beside.keys().copied().map(Some));
                let more: Vec<Over> = all.filter(|over| !asked.contains(over)).collect();
                let ask = |over| inner.send(over, question.clone()).map(|asked| (over, asked));
                more.into_iter().map(ask).collect::<Result<Vec<_>, _>>()?
            };
            if answers.is_empty() {
                return Ok(first);
            }
            for (over, (id, answered)) in answers {
                asked.push(over);
                match (answered.recv_timeout(due.since(clock::now())), over) {
                    (Ok(answer), None) => first = Some(answer),
                    (Ok(_) | Err(RecvTimeoutError::Disconnected), Some(_)) => {}
                    (Err(_), _) => {
                        lock(&self.inner).waiting.remove(&id);
                        return Err(EdgeGone);
                    }
                }
            }
        }
    }

    /// How many edges there are, now and whenever that changes.
    pub(crate) fn edges(&self) -> watch::Receiver<usize> {
        self.edges.subscribe()
    }

    fn count(&self, inner: &Inner) {
        let count = inner.beside.len() + usize::from(inner.link.is_some());
        self.edges.send_if_modified(|edges| std::mem::replace(edges, count) != count);
    }

    fn wait(&self, id: u64, answered: &Receiver<Answer>, most: Duration) -> Result<Answer, EdgeGone> {
        let answer = answered.recv_timeout(most);
        lock(&self.inner).waiting.remove(&id);
        answer.map_err(|_| EdgeGone)
    }

    /// A new link: questions go there from now on. Those who asked over the old one learn that it is gone.
    pub(crate) fn over(&self) -> mpsc::Receiver<(u64, Question)> {
        let (link, questions) = mpsc::channel(QUESTIONS_MAX);
        let mut inner = lock(&self.inner);
        inner.link = Some(link);
        inner.forget(None);
        self.count(&inner);
        questions
    }

    /// One more link; its number is for [`Asking::end_beside`].
    pub(crate) fn beside(&self) -> (u64, mpsc::Receiver<(u64, Question)>) {
        let (link, questions) = mpsc::channel(QUESTIONS_MAX);
        let mut inner = lock(&self.inner);
        inner.last += 1;
        let number = inner.last;
        inner.beside.insert(number, link);
        self.count(&inner);
        (number, questions)
    }

    /// One of these ended.
    pub(crate) fn end_beside(&self, number: u64) {
        let mut inner = lock(&self.inner);
        inner.beside.remove(&number);
        inner.forget(Some(number));
        self.count(&inner);
    }

    /// The link ended.
    pub(crate) fn end(&self) {
        let mut inner = lock(&self.inner);
        inner.link = None;
        inner.forget(None);
        self.count(&inner);
    }

    /// Passes an answer on to whom it is for, if he still waits.
    pub(crate) fn answered(&self, id: u64, answer: Answer) {
        if let Some(waiting) = lock(&self.inner).waiting.remove(&id) {
            // It has room for one, and only one is sent.
            let _ = waiting.answer.try_send(answer);
        }
    }
}
