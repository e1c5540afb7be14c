//! One link, from the edge's hello to its end. The reader takes what comes; the writer sends the newest of what is
//! published, wishes and questions. An edge that stands still holds up the writer and nobody else.

use crate::{Link, dials_fit, lock, membership_fits};
use std::io;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use tentpole_model::link::{LinkDown, LinkUp, Question};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::notice;
use tokio::sync::{Notify, mpsc};

/// Ends the questions of a link with it, however it ends.
struct Over<'a>(&'a Link);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.asking.end();
    }
}

/// Serves the link until it ends or breaks.
pub(crate) async fn serve(link: &Link, stream: UnixStream) {
    let _over = Over(link);
    if let Err(error) = try_serve(link, stream).await {
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
    match receiver.receive::<LinkUp>().await? {
        Some(LinkUp::Hello { published, .. }) => {
            link.adopt(&published);
            link.hello.send_if_modified(|said| {
                let is_first = said.is_none();
                if is_first {
                    *said = Some(published);
                }
                is_first
            });
        }
        Some(_) => return Err(io::Error::new(io::ErrorKind::InvalidData, "its first word is not Hello")),
        None => return Ok(()),
    }
    {
        // This edge has nothing of ours until it says so.
        let mut readers = link.readers();
        if membership_fits(&link.parts.snapshot, &link.parts.membership.get()) {
            readers.membership.took(0);
        }
        readers.dials.took(0);
    }
    let questions = link.asking.over();
    let wished = Notify::new();
    tokio::select! {
        ended = read(link, receiver, &wished) => ended,
        ended = write(link, sender, questions, &wished) => ended,
    }
}

async fn read(link: &Link, mut receiver: Receiver, wished: &Notify) -> io::Result<()> {
    while let Some(message) = receiver.receive::<LinkUp>().await? {
        match message {
            LinkUp::Hello { .. } => {}
            LinkUp::MembershipTaken(version) => link.readers().membership.took(version),
            LinkUp::DialsTaken(version) => link.readers().dials.took(version),
            LinkUp::Forgiven(number) => link.mirror().forgiven(number),
            LinkUp::Report(report) => {
                if !link.mirror().take(&report.endpoints).is_empty() {
                    wished.notify_one();
                }
                *lock(&link.report) = Some(Arc::from(report));
            }
            LinkUp::Answer { id, answer } => link.asking.answered(id, answer),
            LinkUp::Purged(order) => (link.parts.on_purge)(&order),
        }
    }
    Ok(())
}

async fn write(
    link: &Link,
    sender: Sender,
    mut questions: mpsc::Receiver<(u64, Question)>,
    wished: &Notify,
) -> io::Result<()> {
    let parts = &link.parts;
    // What the edge was sent last; versions begin at 1.
    let (mut membership, mut dials, mut forgive) = (0, 0, 0);
    wished.notify_one();
    loop {
        tokio::select! {
            () = parts.membership.changed_since(membership) => {
                let (version, value) = parts.membership.versioned();
                membership = version;
                // Health has not spoken yet: the edge keeps what it has.
                if membership_fits(&parts.snapshot, &value) {
                    sender.send(&LinkDown::Membership { version, value: (*value).clone() }, None).await?;
                }
            }
            () = parts.dials.changed_since(dials) => {
                let (version, value) = parts.dials.versioned();
                dials = version;
                if dials_fit(&parts.snapshot, &value) {
                    sender.send(&LinkDown::Dials { version, value: (*value).clone() }, None).await?;
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
        }
    }
}
