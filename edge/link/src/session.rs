//! One link, from its first word to its end. Three parties that never wait for one another: the reader publishes and
//! hands questions on, the confirmers wait for the data threads, the writer says what there is to say. What waits to
//! be said is the last number of its kind, or a bounded number of answers; what cannot be said is left out.

use crate::{LinkParts, Passing, QUESTIONS_MAX, Shared, answer};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_model::link::{Answer, LinkDown, LinkUp, Question};
use tentpole_model::{Dials, Membership, PurgeOrder};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::{InForce, Published, notice};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Time between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The last numbers that control is to hear of.
#[derive(Clone, Default)]
struct Said {
    /// The Snapshot that was to be served last, and what came of it.
    snapshot: Option<(u64, Result<(), String>)>,
    membership: Number,
    dials: Number,
    forgiven: u64,
}

/// A published value that the data threads are to take: where it is, its version on the link, and its version there.
type Wanted<T> = Option<(Arc<Published<T>>, Number, u64)>;

/// The version of the Snapshot that it belongs to, and the value's version on the link.
type Number = (u64, u64);

/// What the reader passes on.
struct Reading<'a> {
    shared: &'a Arc<Shared>,
    said: watch::Sender<Said>,
    membership: watch::Sender<Wanted<Membership>>,
    dials: watch::Sender<Wanted<Dials>>,
    asked: Arc<Semaphore>,
    answers: mpsc::Sender<(u64, Answer)>,
}

/// Serves the link until it ends or breaks.
pub(crate) async fn serve(shared: &Arc<Shared>, link: UnixStream) {
    if let Err(error) = try_serve(shared, link).await {
        // A control process that was killed leaves a broken pipe: the keeper says that better.
        let is_end =
            [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof];
        if !is_end.contains(&error.kind()) {
            notice(format_args!("the edge's link to the control process broke: {error}"));
        }
    }
}

async fn try_serve(shared: &Arc<Shared>, link: UnixStream) -> io::Result<()> {
    let (sender, receiver) = channel::open(link)?;
    let (said, saying) = watch::channel(Said::default());
    let (answers, answered) = mpsc::channel(QUESTIONS_MAX);
    let reading = Reading {
        shared,
        said: said.clone(),
        membership: watch::Sender::new(None),
        dials: watch::Sender::new(None),
        asked: Arc::new(Semaphore::new(QUESTIONS_MAX)),
        answers,
    };
    let (membership, dials) = (reading.membership.subscribe(), reading.dials.subscribe());
    tokio::select! {
        ended = read(reading, receiver) => ended,
        ended = write(shared, sender, saying, answered) => ended,
        () = confirm(membership, |number| said.send_modify(|said| said.membership = number)) => Ok(()),
        () = confirm(dials, |number| said.send_modify(|said| said.dials = number)) => Ok(()),
    }
}

async fn read(mut reading: Reading<'_>, mut receiver: Receiver) -> io::Result<()> {
    while let Some(message) = receiver.receive::<LinkDown>().await? {
        match message {
            LinkDown::Snapshot { file, membership, dials } => {
                reading.reload(InForce::new(*file, membership, dials)).await;
            }
            other => reading.take(other),
        }
    }
    Ok(())
}

impl Reading<'_> {
    /// Serves another Snapshot. What comes behind it on the link is about it, and waits.
    async fn reload(&mut self, next: InForce) {
        let version = next.version;
        // What was to be taken of the old one is taken with the new one, or never.
        self.membership.send_replace(None);
        self.dials.send_replace(None);
        let shared = self.shared.clone();
        let done = tokio::task::spawn_blocking(move || shared.reload(next)).await;
        let done = done.unwrap_or_else(|_| Err("a fault of ours, which standard error tells of".to_owned()));
        self.said.send_modify(|said| said.snapshot = Some((version, done)));
    }

    fn take(&mut self, message: LinkDown) {
        let (parts, now) = (&self.shared.parts, self.shared.in_force());
        match message {
            LinkDown::Membership { of, version, value }
                if of == now.version && now.membership_fits(&value) =>
            {
                publish(&now.membership, value, (of, version), &self.membership);
                self.shared.changed(true);
            }
            LinkDown::Dials { of, version, value } if of == now.version && now.dials_fit(&value) => {
                publish(&now.dials, value, (of, version), &self.dials);
                self.shared.changed(false);
            }
            LinkDown::Snapshot { .. } => {}
            LinkDown::Membership { .. } => ignored("endpoints"),
            LinkDown::Dials { .. } => ignored("weights"),
            LinkDown::Forgive { number, pool, authority } => {
                if let Some(cell) = parts.cells.get(&pool, &authority) {
                    cell.failures_in_a_row.store(0, Ordering::Relaxed);
                }
                self.said.send_modify(|said| said.forgiven = number);
            }
            LinkDown::Beside { others } => {
                (parts.beside)(others);
                self.shared.is_known.send_replace(true);
            }
            LinkDown::Heard { id } => lock(&self.shared.untold).heard(id),
            LinkDown::Passed { id, everywhere } => lock(&self.shared.passes).passed(id, everywhere),
            LinkDown::Ask { id, question } => self.ask(id, question),
        }
    }

    /// Answers on a thread of its own. One question too many gets no answer: who asked gives up in time.
    fn ask(&self, id: u64, question: Question) {
        let Ok(place) = self.asked.clone().try_acquire_owned() else { return };
        let (shared, answers) = (self.shared.clone(), self.answers.clone());
        tokio::task::spawn_blocking(move || {
            let answer = answer::answer(&shared, question);
            // There is room for as many as may be under way. Nobody listens when the link ended meanwhile.
            let _ = answers.blocking_send((id, answer));
            drop(place);
        });
    }
}

fn publish<T: PartialEq>(
    to: &Arc<Published<T>>,
    value: T,
    number: Number,
    wanted: &watch::Sender<Wanted<T>>,
) {
    // What is in force already stays: no thread has to take it again.
    let here = to.update(|now| (*now != value).then_some(value)).unwrap_or_else(|| to.version());
    wanted.send_replace(Some((to.clone(), number, here)));
}

fn ignored(what: &str) {
    notice(format_args!(
        "control sent {what} that do not fit the configuration that the edge serves; it goes on with what it \
         has"
    ));
}

/// Tells which version every data thread has taken, always the newest that came. Ends with the link.
async fn confirm<T>(mut wanted: watch::Receiver<Wanted<T>>, tell: impl Fn(Number)) {
    while wanted.changed().await.is_ok() {
        let Some((published, number, here)) = wanted.borrow_and_update().clone() else { continue };
        tokio::select! {
            () = published.taken_by_all(here) => tell(number),
            // A newer one came: only that one matters, and the loop takes it.
            Ok(()) = wanted.changed() => wanted.mark_changed(),
        }
    }
    // The reader is gone, and with it the link.
    std::future::pending().await
}

/// The next purge to tell of.
async fn purged(parts: &LinkParts) -> Option<PurgeOrder> {
    match &parts.purged {
        Some(purged) => purged.lock().await.recv().await,
        None => std::future::pending().await,
    }
}

/// The next purge to pass on.
async fn passing(parts: &LinkParts) -> Option<Passing> {
    match &parts.passing {
        Some(passing) => passing.lock().await.recv().await,
        None => std::future::pending().await,
    }
}

fn lock<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Says hello, and from then on what there is to say. While control does not read, this waits, and reports are left
/// out.
async fn write(
    shared: &Arc<Shared>,
    sender: Sender,
    mut saying: watch::Receiver<Said>,
    mut answered: mpsc::Receiver<(u64, Answer)>,
) -> io::Result<()> {
    let hello = LinkUp::Hello {
        pid: std::process::id(),
        snapshot: shared.in_force().version,
        published: shared.published(),
    };
    sender.send(&hello, None).await?;
    let waiting = [lock(&shared.passes).all(), lock(&shared.untold).all()].concat();
    for word in waiting {
        sender.send(&word, None).await?;
    }
    let report = || LinkUp::Report(Box::new(answer::report(shared)));
    let mut turns = interval(REPORT_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut said = Said::default();
    loop {
        tokio::select! {
            changed = saying.changed() => {
                if changed.is_err() {
                    return Ok(());
                }
                let now = saying.borrow_and_update().clone();
                if now.snapshot != said.snapshot
                    && let Some((version, done)) = now.snapshot.clone()
                {
                    let word = match done {
                        Ok(()) => LinkUp::SnapshotTaken(version),
                        Err(why) => LinkUp::SnapshotRefused { version, why },
                    };
                    sender.send(&word, None).await?;
                }
                if now.membership != said.membership {
                    let (of, version) = now.membership;
                    sender.send(&LinkUp::MembershipTaken { of, version }, None).await?;
                }
                if now.dials != said.dials {
                    let (of, version) = now.dials;
                    sender.send(&LinkUp::DialsTaken { of, version }, None).await?;
                }
                if now.forgiven != said.forgiven {
                    sender.send(&LinkUp::Forgiven(now.forgiven), None).await?;
                }
                said = now;
            }
            Some((id, answer)) = answered.recv() => {
                if answer == Answer::Reported {
                    sender.send(&report(), None).await?;
                }
                sender.send(&LinkUp::Answer { id, answer }, None).await?;
            }
            Some(order) = purged(&shared.parts) => {
                let word = lock(&shared.untold).add(order);
                sender.send(&word, None).await?;
            }
            Some(pass) = passing(&shared.parts) => {
                let word = lock(&shared.passes).add(pass);
                sender.send(&word, None).await?;
            }
            _ = turns.tick() => sender.send(&report(), None).await?,
        }
    }
}
