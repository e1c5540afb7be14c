//! One child process and the channel to it. What it says arrives in the keeper's one queue; what it is told waits in a
//! bounded queue of its own, so that a child that stands still holds up nobody else.

use crate::instance::{FromShim, ToShim};
use crate::program::Program;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;
use tentpole_model::InstanceId;
use tentpole_model::link::{FromControl, FromEdge, ToControl, ToEdge};
use tentpole_runtime::{Instant, channel, clock};
use tokio::sync::mpsc;

/// How long a child may live on after its channel closed, and the channel after its process.
const GOING_MAX: Duration = Duration::from_secs(1);

/// Whom a child is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    Edge,
    Control,
    Shim(InstanceId),
}

/// Something came over a child's channel.
#[derive(Debug)]
pub(crate) struct Event {
    pub who: Who,
    /// Which of those that had this place.
    pub pid: u32,
    pub said: Said,
}

/// What a child said.
#[derive(Debug)]
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

/// A child process, from its start until nothing of it is left.
pub(crate) struct Child<T> {
    pub pid: u32,
    pub started: Instant,
    waiting: mpsc::Sender<(T, Option<OwnedFd>)>,
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
        let pid = command.spawn()?.id();
        let (sender, receiver) = channel::open(ours)?;
        let (waiting, queue) = mpsc::channel(T::WAITING_MAX);
        tokio::spawn(write(sender, queue));
        tokio::spawn(read::<T>(receiver, who, pid, events.clone()));
        let started = clock::now();
        Ok(Self { pid, started, waiting, ended: None, closed: false, given_up: None })
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

async fn read<T: Spoken>(mut receiver: channel::Receiver, who: Who, pid: u32, events: mpsc::Sender<Event>) {
    while let Ok(Some(answer)) = receiver.receive::<T::Answer>().await {
        if events.send(Event { who, pid, said: T::said(answer) }).await.is_err() {
            return;
        }
    }
    let _ = events.send(Event { who, pid, said: Said::Closed }).await;
}
