//! One link, from its first word to its end. Three parties that never wait for one another: the reader publishes and
//! hands questions on, the confirmers wait for the data threads, the writer says what there is to say. What waits to
//! be said is the last number of its kind, or a bounded number of answers; what cannot be said is left out.

use crate::{LinkParts, QUESTIONS_MAX, Shared, answer, shape};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tentpole_model::PurgeOrder;
use tentpole_model::link::{Answer, LinkDown, LinkUp, Question};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::{Published, notice};
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::time::{MissedTickBehavior, interval};

/// Time between two reports.
const REPORT_EVERY: Duration = Duration::from_millis(200);

/// The last numbers that control is to hear of.
#[derive(Clone, Copy, Default)]
struct Said {
    membership: u64,
    dials: u64,
    forgiven: u64,
}

/// A published value that the data threads are to take: its version on the link, and here.
type Wanted = Option<(u64, u64)>;

/// What the reader passes on.
struct Reading<'a> {
    shared: &'a Arc<Shared>,
    said: watch::Sender<Said>,
    membership: watch::Sender<Wanted>,
    dials: watch::Sender<Wanted>,
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
    let parts = &shared.parts;
    let (membership, dials) = (reading.membership.subscribe(), reading.dials.subscribe());
    tokio::select! {
        ended = read(reading, receiver) => ended,
        ended = write(shared, sender, saying, answered) => ended,
        () = confirm(&parts.membership, membership, |version| said.send_modify(|said| said.membership = version)) => Ok(()),
        () = confirm(&parts.dials, dials, |version| said.send_modify(|said| said.dials = version)) => Ok(()),
    }
}

async fn read(mut reading: Reading<'_>, mut receiver: Receiver) -> io::Result<()> {
    while let Some(message) = receiver.receive::<LinkDown>().await? {
        reading.take(message);
    }
    Ok(())
}

impl Reading<'_> {
    fn take(&mut self, message: LinkDown) {
        let parts = &self.shared.parts;
        match message {
            LinkDown::Membership { version, value } if shape::membership_fits(&parts.snapshot, &value) => {
                publish(&parts.membership, value, version, &self.membership);
                self.shared.changed(true);
            }
            LinkDown::Dials { version, value } if shape::dials_fit(&parts.snapshot, &value) => {
                publish(&parts.dials, value, version, &self.dials);
                self.shared.changed(false);
            }
            LinkDown::Membership { .. } => ignored("endpoints"),
            LinkDown::Dials { .. } => ignored("weights"),
            LinkDown::Forgive { number, pool, endpoint } => {
                let pool = parts.snapshot.pools.get(pool);
                if let Some((pool, endpoint)) =
                    pool.and_then(|pool| Some((pool, pool.endpoints.get(endpoint)?)))
                {
                    let cell = parts.cells.of(&pool.name, &endpoint.authority());
                    cell.failures_in_a_row.store(0, Ordering::Relaxed);
                }
                self.said.send_modify(|said| said.forgiven = number);
            }
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

fn publish<T: PartialEq>(to: &Published<T>, value: T, version: u64, wanted: &watch::Sender<Wanted>) {
    // What is in force already stays: no thread has to take it again.
    let here = to.update(|now| (*now != value).then_some(value)).unwrap_or_else(|| to.version());
    wanted.send_replace(Some((version, here)));
}

fn ignored(what: &str) {
    notice(format_args!(
        "control sent {what} that do not fit the configuration that the edge serves; it goes on with what it \
         has"
    ));
}

/// Tells which version every data thread has taken, always the newest that came. Ends with the link.
async fn confirm<T>(published: &Published<T>, mut wanted: watch::Receiver<Wanted>, tell: impl Fn(u64)) {
    while wanted.changed().await.is_ok() {
        let Some((version, here)) = *wanted.borrow_and_update() else { continue };
        tokio::select! {
            () = published.taken_by_all(here) => tell(version),
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

/// Says hello, and from then on what there is to say. While control does not read, this waits, and reports are left
/// out.
async fn write(
    shared: &Arc<Shared>,
    sender: Sender,
    mut saying: watch::Receiver<Said>,
    mut answered: mpsc::Receiver<(u64, Answer)>,
) -> io::Result<()> {
    let hello = LinkUp::Hello { pid: std::process::id(), published: shared.published() };
    sender.send(&hello, None).await?;
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
                let now = *saying.borrow_and_update();
                if now.membership != said.membership {
                    sender.send(&LinkUp::MembershipTaken(now.membership), None).await?;
                }
                if now.dials != said.dials {
                    sender.send(&LinkUp::DialsTaken(now.dials), None).await?;
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
                let told = sender.send(&LinkUp::Purged(order), None).await;
                if told.is_err() {
                    notice("control ended before it heard of a purge: content networks were not told of it");
                }
                told?;
            }
            _ = turns.tick() => sender.send(&report(), None).await?,
        }
    }
}
