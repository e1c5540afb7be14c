//! One link, from the edge's hello to its end. The reader takes what comes; the writer sends the newest of what is
//! published, wishes and questions. An edge that stands still holds up the writer and nobody else.

use crate::passes::Passes;
use crate::{Link, lock};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use tentpole_model::link::{LinkDown, LinkUp, Question};
use tentpole_model::{Dials, Membership};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::published::Reader;
use tentpole_runtime::{InForce, notice};
use tokio::sync::{Notify, mpsc};

/// Ends the questions of a link with it, however it ends.
struct Over<'a>(&'a Link);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.asking.end();
    }
}

/// The same for a link to an edge beside the other.
struct OverBeside<'a>(&'a Link, u64);

impl Drop for OverBeside<'_> {
    fn drop(&mut self) {
        self.0.asking.end_beside(self.1);
        lock(&self.0.beside).forget(self.1);
    }
}

/// Questions to the edge, and answers to what it had passed on.
type Asked = (mpsc::Receiver<(u64, Question)>, mpsc::Receiver<LinkDown>);

/// Serves the link until it ends or breaks.
pub(crate) async fn serve(link: &Link, stream: UnixStream) {
    let _over = Over(link);
    say(try_serve(link, stream).await);
}

/// Serves a link to an edge beside the other until it ends or breaks.
pub(crate) async fn serve_beside(link: &Link, stream: UnixStream) {
    let (number, questions) = link.asking.beside();
    let _over = OverBeside(link, number);
    say(try_serve_beside(link, stream, number, questions).await);
}

fn say(ended: io::Result<()>) {
    if let Err(error) = ended {
        // An edge that ended in the middle of a word: the keeper says that better.
        let is_end =
            [io::ErrorKind::BrokenPipe, io::ErrorKind::ConnectionReset, io::ErrorKind::UnexpectedEof];
        if !is_end.contains(&error.kind()) {
            notice(format_args!("control's link to the edge broke: {error}"));
        }
    }
}

async fn try_serve(link: &Link, stream: UnixStream) -> io::Result<()> {
    let (sender, mut receiver) = channel::open(stream)?;
    let theirs = match receiver.receive::<LinkUp>().await? {
        Some(LinkUp::Hello { published, snapshot, .. }) => {
            link.adopt(&published);
            link.hello.send_if_modified(|said| {
                let is_first = said.is_none();
                if is_first {
                    *said = Some(published);
                }
                is_first
            });
            snapshot
        }
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "its first word is not Hello")),
        None => return Ok(()),
    };
    {
        // This edge has nothing of ours until it says so.
        let mut now = link.now();
        if now.in_force.membership_fits(&now.in_force.membership.get()) {
            now.membership.took(0);
        }
        now.dials.took(0);
    }
    if theirs == link.in_force().version {
        // It found it on disk.
        link.taken.send_replace(Some((theirs, Ok(()))));
    }
    let questions = link.asking.over();
    let wished = Notify::new();
    let (passes, passed) = Passes::new(&link.asking, None);
    tokio::select! {
        ended = read(link, receiver, &wished, &passes) => ended,
        ended = write(link, sender, theirs, (questions, passed), &wished, |_| {}) => ended,
    }
}

async fn read(link: &Link, mut receiver: Receiver, wished: &Notify, passes: &Passes) -> io::Result<()> {
    while let Some(message) = receiver.receive::<LinkUp>().await? {
        match message {
            LinkUp::Hello { .. } => {}
            LinkUp::SnapshotTaken(version) => {
                link.taken.send_replace(Some((version, Ok(()))));
            }
            LinkUp::SnapshotRefused { version, why } => {
                link.taken.send_replace(Some((version, Err(why))));
            }
            LinkUp::MembershipTaken { of, version } => {
                let mut now = link.now();
                if now.in_force.version == of {
                    now.membership.took(version);
                }
            }
            LinkUp::DialsTaken { of, version } => {
                let mut now = link.now();
                if now.in_force.version == of {
                    now.dials.took(version);
                }
            }
            LinkUp::Forgiven(number) => link.mirror().forgiven(number),
            LinkUp::Report(report) => {
                let endpoints = lock(&link.beside).with(&report.endpoints);
                if !link.mirror().take(&endpoints).is_empty() {
                    wished.notify_one();
                }
                *lock(&link.report) = Some(Arc::from(report));
            }
            LinkUp::Answer { id, answer } => link.asking.answered(id, answer),
            LinkUp::Purged { id, order } => {
                (link.parts.on_purge)(&order);
                passes.heard(id);
            }
            LinkUp::Pass { id, by, orders } => passes.pass(id, by, orders),
        }
    }
    Ok(())
}

async fn try_serve_beside(
    link: &Link,
    stream: UnixStream,
    number: u64,
    questions: mpsc::Receiver<(u64, Question)>,
) -> io::Result<()> {
    let (sender, mut receiver) = channel::open(stream)?;
    let (pid, theirs) = match receiver.receive::<LinkUp>().await? {
        Some(LinkUp::Hello { pid, snapshot, .. }) => (pid, snapshot),
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "its first word is not Hello")),
        None => return Ok(()),
    };
    let taking = Mutex::new(Taking::new(link.in_force()));
    // Wishes are for the other one: its count is the one that decides.
    let wished = Notify::new();
    let (passes, passed) = Passes::new(&link.asking, Some(number));
    let asked = (questions, passed);
    tokio::select! {
        ended = read_beside(link, receiver, (number, pid, &passes), &taking) => ended,
        ended = write(link, sender, theirs, asked, &wished, |now| *lock(&taking) = Taking::new(now.clone())) => ended,
    }
}

/// What an edge beside the other has taken of what is published. Nothing waits for it once it is gone.
struct Taking {
    of: u64,
    membership: Reader<Membership>,
    dials: Reader<Dials>,
}

impl Taking {
    /// It has nothing yet.
    fn new(in_force: InForce) -> Self {
        let (mut membership, mut dials) = (in_force.membership.reader(), in_force.dials.reader());
        if in_force.membership_fits(&in_force.membership.get()) {
            membership.took(0);
        }
        dials.took(0);
        Self { of: in_force.version, membership, dials }
    }
}

async fn read_beside(
    link: &Link,
    mut receiver: Receiver,
    (number, pid, passes): (u64, u32, &Passes),
    taking: &Mutex<Taking>,
) -> io::Result<()> {
    while let Some(message) = receiver.receive::<LinkUp>().await? {
        match message {
            LinkUp::MembershipTaken { of, version } => {
                let mut taking = lock(taking);
                if taking.of == of {
                    taking.membership.took(version);
                }
            }
            LinkUp::DialsTaken { of, version } => {
                let mut taking = lock(taking);
                if taking.of == of {
                    taking.dials.took(version);
                }
            }
            LinkUp::Report(report) => {
                let mut beside = lock(&link.beside);
                beside.has_open(number, pid, report.connections_open);
                beside.take(number, report.endpoints);
            }
            LinkUp::Answer { id, answer } => link.asking.answered(id, answer),
            LinkUp::Purged { id, order } => {
                (link.parts.on_purge)(&order);
                passes.heard(id);
            }
            LinkUp::Pass { id, by, orders } => passes.pass(id, by, orders),
            // What is in force is what the other one says.
            LinkUp::Hello { .. }
            | LinkUp::SnapshotTaken(_)
            | LinkUp::SnapshotRefused { .. }
            | LinkUp::Forgiven(_) => {}
        }
    }
    Ok(())
}

/// `theirs` is the version of the Snapshot that the edge serves.
async fn write(
    link: &Link,
    sender: Sender,
    mut theirs: u64,
    (mut questions, mut passed): Asked,
    wished: &Notify,
    on_snapshot: impl Fn(&InForce),
) -> io::Result<()> {
    // What the edge was sent last; versions begin at 1.
    let mut forgive = 0;
    let mut replaced = link.replaced.subscribe();
    wished.notify_one();
    let mut edges = link.asking.edges();
    edges.mark_changed();
    loop {
        replaced.mark_unchanged();
        let now = link.in_force();
        on_snapshot(&now);
        let (of, mut membership, mut dials) = (now.version, 0, 0);
        if theirs != of {
            let last = now.published();
            // Health may not have spoken yet.
            let (members, weights) = match now.membership_fits(&last.membership) {
                true => (last.membership, last.dials),
                false => last.fitted(&now.snapshot),
            };
            let snapshot =
                LinkDown::Snapshot { file: Box::new(now.file()), membership: members, dials: weights };
            sender.send(&snapshot, None).await?;
            theirs = of;
        }
        loop {
            tokio::select! {
                changed = replaced.changed() => {
                    if changed.is_err() {
                        return Ok(());
                    }
                    break;
                }
                () = now.membership.changed_since(membership) => {
                    let (version, value) = now.membership.versioned();
                    membership = version;
                    // Health has not spoken yet: the edge keeps what it has.
                    if now.membership_fits(&value) {
                        let value = (*value).clone();
                        sender.send(&LinkDown::Membership { of, version, value }, None).await?;
                    }
                }
                () = now.dials.changed_since(dials) => {
                    let (version, value) = now.dials.versioned();
                    dials = version;
                    if now.dials_fit(&value) {
                        let value = (*value).clone();
                        sender.send(&LinkDown::Dials { of, version, value }, None).await?;
                    }
                }
                () = wished.notified() => {
                    let wishes = link.mirror().wishes();
                    for wish in wishes {
                        let LinkDown::Forgive { number, .. } = wish else { continue };
                        if number > forgive {
                            sender.send(&wish, None).await?;
                        }
                        forgive = forgive.max(number);
                    }
                }
                Some((id, question)) = questions.recv() => {
                    sender.send(&LinkDown::Ask { id, question }, None).await?;
                }
                Some(word) = passed.recv() => sender.send(&word, None).await?,
                Ok(()) = edges.changed() => {
                    let others = edges.borrow_and_update().saturating_sub(1);
                    sender.send(&LinkDown::Beside { others }, None).await?;
                }
            }
        }
    }
}
