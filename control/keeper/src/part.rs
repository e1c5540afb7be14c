//! A part that is kept: the edge or the control process, whichever process has the place now, and what is to happen when
//! it dies. A first one that cannot start is hopeless; later ones are started again and again.

use crate::backoff::Backoff;
use crate::child::{Child, ChildState, Event, Spoken, Who};
use crate::hand_over;
use crate::program::Program;
use serde::{Deserialize, Serialize};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tentpole_runtime::{Instant, clock};
use tokio::sync::mpsc;

/// A part as one keeper leaves it to the next.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct PartState {
    /// `None` while there is none, and one is to be started.
    pub child: Option<ChildState>,
    pub was_ready: bool,
    pub deaths: u64,
    pub died: Option<String>,
}

/// Deaths of a part that never was ready, until it is taken to be broken.
const NEVER_READY_MAX: u64 = 5;

/// The edge or the control process, whichever has the place now.
pub(crate) struct Part<T> {
    who: Who,
    pub child: Option<Child<T>>,
    /// When the next one is started.
    pub start_due: Option<Instant>,
    backoff: Backoff,
    /// One of them was ready.
    pub was_ready: bool,
    pub deaths: u64,
    /// Why the present one cannot start, by its own account.
    failed: Option<String>,
    /// How the last one ended, while the next has not been started.
    pub died: Option<String>,
    /// The present one shall end, for another to take its place: that is no death.
    pub is_replaced: bool,
}

impl<T: Spoken> Part<T> {
    /// Not started yet.
    pub fn new(who: Who) -> Self {
        Self {
            who,
            child: None,
            start_due: None,
            backoff: Backoff::default(),
            was_ready: false,
            deaths: 0,
            failed: None,
            died: None,
            is_replaced: false,
        }
    }

    /// Takes over one that another keeper left, with the channel of its process.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn adopt(
        who: Who,
        state: PartState,
        channel: Option<OwnedFd>,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let PartState { child, was_ready, deaths, died } = state;
        let child = child.zip(channel).map(|(child, channel)| Child::adopt(child, channel, who, events));
        let child = child.transpose()?;
        let start_due = child.is_none().then(clock::now);
        Ok(Self { child, start_due, was_ready, deaths, died, ..Self::new(who) })
    }

    /// Lets go of it, for the next keeper.
    pub async fn pack(&mut self) -> (PartState, Option<OwnedFd>) {
        let (child, channel) = hand_over::pack(self.child.take()).await;
        let (was_ready, deaths, died) = (self.was_ready, self.deaths, self.died.clone());
        (PartState { child, was_ready, deaths, died }, channel)
    }

    /// Starts the next one; false when that has to be tried again.
    pub fn start(&mut self, program: &Program, events: &mpsc::Sender<Event>) -> bool {
        (self.start_due, self.failed) = (None, None);
        match Child::start(program, self.who, events) {
            Ok(child) => self.child = Some(child),
            Err(error) => {
                self.deaths += 1;
                self.died = Some(format!("cannot start {}: {error}", program.path.display()));
                self.start_due = Some(clock::now().after(self.backoff.died(Duration::ZERO)));
            }
        }
        self.child.is_some()
    }

    /// Tells the present one. A descriptor that could not be copied costs it its life: the next one gets it.
    pub fn tell(&self, message: T, descriptor: Option<io::Result<OwnedFd>>) {
        let Some(child) = &self.child else { return };
        match descriptor.transpose() {
            Ok(descriptor) => child.tell(message, descriptor),
            Err(_) => child.kill(),
        }
    }

    /// Kills the present one, which is not yet its end.
    pub fn kill(&self) {
        self.child.iter().for_each(Child::kill);
    }

    /// The present one's process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(|child| child.pid)
    }

    /// Is this the present one's process?
    pub fn is(&self, pid: u32) -> bool {
        self.pid() == Some(pid)
    }

    /// Has its process not ended?
    pub fn is_running(&self) -> bool {
        self.child.as_ref().is_some_and(|child| child.ended.is_none())
    }

    /// It cannot start, and ends.
    pub fn has_failed(&mut self, reason: String) {
        self.failed = Some(reason);
        // It has said all that it had to say.
        self.child.iter_mut().for_each(Child::has_closed);
    }

    /// Its channel closed.
    pub fn closed(&mut self, pid: u32) {
        self.child.iter_mut().filter(|child| child.pid == pid).for_each(Child::has_closed);
    }

    /// A process ended; true when it was this one's.
    pub fn reaped(&mut self, pid: u32, how: &str) -> bool {
        let mine = self.child.iter_mut().find(|child| child.pid == pid && child.ended.is_none());
        mine.map(|child| child.has_ended(how.to_owned())).is_some()
    }

    /// When [`Part::give_up`] or the next start is due.
    pub fn due(&self) -> Option<Instant> {
        self.start_due.or_else(|| self.child.as_ref()?.given_up)
    }

    /// Gives up what is left of one that is half gone, if that is due.
    pub fn give_up(&mut self, now: Instant) {
        let late = |child: &&mut Child<T>| child.given_up.is_some_and(|due| due <= now);
        self.child.iter_mut().filter(late).for_each(Child::give_up);
    }

    /// Takes leave of the present one if it is gone; `again` plans the next. Returns the reason when there is no point in
    /// a next one.
    pub fn bury(&mut self, again: bool) -> Option<String> {
        let child = self.child.take_if(|child| child.is_gone().is_some());
        let how = child.as_ref().and_then(Child::is_gone).map(str::to_owned);
        if child.is_some() && std::mem::take(&mut self.is_replaced) {
            self.start_due = Some(clock::now());
        } else if let (Some(child), Some(how)) = (child, how) {
            self.deaths += 1;
            let lived = clock::now().since(child.started);
            self.start_due = Some(clock::now().after(self.backoff.died(lived)));
            match self.failed.take() {
                Some(reason) if !self.was_ready => return Some(reason),
                Some(reason) => self.died = Some(format!("cannot start: {reason}")),
                None => self.died = Some(how),
            }
        }
        if !again {
            self.start_due = None;
        }
        let hopeless = !self.was_ready && self.deaths >= NEVER_READY_MAX;
        let part = T::PART;
        hopeless.then(|| {
            let how = self.died.take().unwrap_or_default();
            format!("the {part} process ended {} times before it was ready, at last with: {how}", self.deaths)
        })
    }
}
