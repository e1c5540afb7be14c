//! One child process and the channel to it. What it says arrives in the keeper's one queue; what it is told waits in a
//! bounded queue of its own, so that a child that stands still holds up nobody else.

use crate::instance::{FromShim, ToShim};
use crate::program::Program;
use crate::signals::with_usual;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;
use tentpole_model::InstanceId;
use tentpole_model::link::{FromControl, FromEdge, ToControl, ToEdge};
use tentpole_runtime::{Instant, channel, clock};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// How long a child may live on after its channel closed, and the channel after its process.
const GOING_MAX: Duration = Duration::from_secs(1);

/// How long a child may take to receive what it was told, when another keeper takes over.
const FLUSH_MAX: Duration = Duration::from_secs(1);

/// Whom a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Who {
    Edge,
    Control,
    Shim(InstanceId),
}

/// Something came over a child's channel.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Event {
    pub who: Who,
    /// Which of those that had this place.
    pub pid: u32,
    pub said: Said,
}

/// What a child said.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Said {
    Edge(FromEdge),
    Control(FromControl),
    Shim(FromShim),
    /// Nothing more: its end of the channel is closed. Everything that it said has been heard before this.
    Closed,
}

/// What a child hears and says.
pub(crate) trait Spoken: Serialize + Send + Sync + 'static {
    type Answer: DeserializeOwned + Send;
    /// The name of the part in its arguments.
    const PART: &'static str;
    /// Messages that may wait; one more, and the child is taken to hang.
    const WAITING_MAX: usize;
    fn said(answer: Self::Answer) -> Said;
}

impl Spoken for ToEdge {
    type Answer = FromEdge;
    const PART: &'static str = "edge";
    // A listener for each address and data thread, and links after that.
    const WAITING_MAX: usize = 8_192;
    fn said(answer: FromEdge) -> Said {
        Said::Edge(answer)
    }
}

impl Spoken for ToControl {
    type Answer = FromControl;
    const PART: &'static str = "control";
    // Two words for each instance that there may be, and more.
    const WAITING_MAX: usize = 4_096;
    fn said(answer: FromControl) -> Said {
        Said::Control(answer)
    }
}

impl Spoken for ToShim {
    type Answer = FromShim;
    const PART: &'static str = "instance";
    const WAITING_MAX: usize = 16;
    fn said(answer: FromShim) -> Said {
        Said::Shim(answer)
    }
}

/// A child as one keeper leaves it to the next; its channel goes beside this.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct ChildState {
    pub pid: u32,
    /// How its process ended, when notice was taken of that.
    pub ended: Option<String>,
    /// What has come of a message that is not whole yet.
    pub rest: Vec<u8>,
}

/// A child process, from its start until nothing of it is left.
pub(crate) struct Child<T> {
    pub pid: u32,
    pub started: Instant,
    waiting: mpsc::Sender<(T, Option<OwnedFd>)>,
    /// The channel once more, for who takes the child over.
    channel: OwnedFd,
    writing: JoinHandle<()>,
    /// Ends when told so, with what has come of a message that is not whole yet.
    reading: JoinHandle<Vec<u8>>,
    still: oneshot::Sender<()>,
    /// How its process ended, once notice was taken of that. Until then its id is nobody else's.
    pub ended: Option<String>,
    closed: bool,
    /// When what is left of it is given up.
    pub given_up: Option<Instant>,
}

impl<T: Spoken> Child<T> {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no process or descriptor left, or the program is not there.
    pub fn start(program: &Program, who: Who, events: &mpsc::Sender<Event>) -> io::Result<Self> {
        let (ours, theirs) = channel::pair()?;
        let mut command = program.command(T::PART);
        // Its own group: Ctrl-C is for the keeper alone.
        command.stdin(OwnedFd::from(theirs)).process_group(0);
        if matches!(who, Who::Shim(_)) {
            command.stdout(Stdio::null());
        }
        // Not waited for by std: the keeper takes notice of all children at one place.
        let pid = with_usual(|| command.spawn())?.id();
        Self::adopt(ChildState { pid, ended: None, rest: Vec::new() }, ours.into(), who, events)
    }

    /// Takes over one that another keeper started, in this very process.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn adopt(
        state: ChildState,
        channel: OwnedFd,
        who: Who,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let ChildState { pid, ended, rest } = state;
        let (sender, receiver) = channel::open_again(channel.try_clone()?.into(), rest)?;
        let (waiting, queue) = mpsc::channel(T::WAITING_MAX);
        let (still, stop) = oneshot::channel();
        let writing = tokio::spawn(write(sender, queue));
        let reading = tokio::spawn(read::<T>(receiver, who, pid, events.clone(), stop));
        let (started, given_up) = (clock::now(), ended.as_ref().map(|_| clock::now().after(GOING_MAX)));
        Ok(Self { pid, started, waiting, channel, writing, reading, still, ended, closed: false, given_up })
    }

    /// Stops to listen and to talk, between two messages: everything that it was told has been sent, and what it says
    /// from now on waits in the channel. One that does not take what it is told is killed.
    pub async fn pack(self) -> (ChildState, OwnedFd) {
        let Self { pid, waiting, channel, writing, reading, still, ended, .. } = self;
        drop(waiting);
        if timeout(FLUSH_MAX, writing).await.is_err()
            && ended.is_none()
            && let Some(pid) = crate::kill::pid(pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
        // One whose channel has closed has stopped by itself.
        let _ = still.send(());
        let rest = reading.await.unwrap_or_default();
        (ChildState { pid, ended, rest }, channel)
    }

    /// Tells it something. One that has not read for so long that there is no room any more is killed.
    pub fn tell(&self, message: T, descriptor: Option<OwnedFd>) {
        if let Err(mpsc::error::TrySendError::Full(_)) = self.waiting.try_send((message, descriptor)) {
            self.kill();
        }
    }

    /// Kills its process, which is not yet its end.
    pub fn kill(&self) {
        if self.ended.is_none()
            && let Some(pid) = crate::kill::pid(self.pid)
        {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// Its process has ended.
    pub fn has_ended(&mut self, how: String) {
        self.ended = Some(how);
        self.given_up = Some(clock::now().after(GOING_MAX));
    }

    /// Its channel has closed.
    pub fn has_closed(&mut self) {
        self.closed = true;
        self.given_up = Some(clock::now().after(GOING_MAX));
    }

    /// When its process has ended and everything that it said has been heard: how it ended.
    pub fn is_gone(&self) -> Option<&str> {
        self.ended.as_deref().filter(|_| self.closed)
    }

    /// Gives up what is left of it: a process without a channel is killed, a channel without its process is dropped.
    pub fn give_up(&mut self) {
        self.kill();
        self.closed = true;
        self.given_up = None;
    }
}

async fn write<T: Serialize>(sender: channel::Sender, mut queue: mpsc::Receiver<(T, Option<OwnedFd>)>) {
    while let Some((message, descriptor)) = queue.recv().await {
        if sender.send(&message, descriptor.as_ref().map(OwnedFd::as_fd)).await.is_err() {
            // It is gone, which shows elsewhere.
            return;
        }
    }
}

async fn read<T: Spoken>(
    mut receiver: channel::Receiver,
    who: Who,
    pid: u32,
    events: mpsc::Sender<Event>,
    mut stop: oneshot::Receiver<()>,
) -> Vec<u8> {
    loop {
        let answer = tokio::select! {
            biased;
            Ok(()) = &mut stop => return receiver.rest(),
            answer = receiver.receive::<T::Answer>() => answer,
        };
        let Ok(Some(answer)) = answer else { break };
        if events.send(Event { who, pid, said: T::said(answer) }).await.is_err() {
            return Vec::new();
        }
    }
    let _ = events.send(Event { who, pid, said: Said::Closed }).await;
    Vec::new()
}
