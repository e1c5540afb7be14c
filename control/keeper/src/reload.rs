//! Another configuration while everything runs: read whole, compared with what cannot change, prepared by the control
//! process, written to the state directory, put in force. Until it is written every failure leaves the old one
//! everywhere; from then on every part that starts finds the new one. One at a time; wishes that come meanwhile are
//! fulfilled together by one more.

use crate::fixed;
use crate::keeper::Keeper;
use crate::{KeeperEvent, Read, ReloadParts};
use std::collections::VecDeque;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tentpole_model::link::{ToControl, ToEdge};
use tentpole_model::{Refusal, ReloadEnd, Reloaded, SnapshotFile, Trigger};
use tentpole_runtime::channel::MESSAGE_BYTES_MAX;
use tentpole_runtime::{Instant, clock};
use tokio::sync::mpsc;

/// Wishes that wait for the next reload.
const WISHES_MAX: usize = 64;
/// How long reading the file may take.
const READ_MAX: Duration = Duration::from_secs(10);
/// How long the control process may take to make all ready: names are looked up first.
const PREPARE_MAX: Duration = Duration::from_secs(10);
/// How long it may take until every data thread has it.
const COMMIT_MAX: Duration = Duration::from_secs(8);

/// What came of reading: for which attempt, and what.
pub(crate) type ReadEnd = (u64, Result<Read, Refusal>);

/// How far a reload is.
pub(crate) struct Reloading {
    parts: Option<ReloadParts>,
    /// Those who wish for the next one.
    wishes: VecDeque<Trigger>,
    /// Those for whom the present one is.
    of: Vec<Trigger>,
    step: Step,
    attempts: u64,
    reads: mpsc::Sender<ReadEnd>,
}

enum Step {
    None,
    Reading { due: Instant },
    Preparing { next: Box<Next>, due: Instant },
    Committing { reloaded: Reloaded, due: Instant },
}

struct Next {
    file: SnapshotFile,
    /// For each data thread: the sockets of all addresses, in their order; `None` is one that there is already.
    bound: Vec<Vec<Option<TcpListener>>>,
    notes: String,
}

impl Reloading {
    /// Nobody wishes for anything.
    pub fn new(parts: Option<ReloadParts>) -> (Self, mpsc::Receiver<ReadEnd>) {
        let (reads, read) = mpsc::channel(4);
        let (wishes, of) = (VecDeque::new(), Vec::new());
        (Self { parts, wishes, of, step: Step::None, attempts: 0, reads }, read)
    }

    /// The file that is read again.
    pub fn file(&self) -> Option<PathBuf> {
        self.parts.as_ref()?.file.clone()
    }

    /// Whether there is anything to read again.
    pub fn is_possible(&self) -> bool {
        self.parts.is_some()
    }

    /// Whether none is under way.
    pub fn is_at_rest(&self) -> bool {
        matches!(self.step, Step::None)
    }

    /// Wishes that wait, for another keeper to fulfil: nobody at the admin API waits for these.
    pub fn wishes_of_nobody(&self) -> Vec<Trigger> {
        self.wishes.iter().copied().filter(|by| !matches!(by, Trigger::Asked(_))).collect()
    }

    /// When the present step has taken too long.
    pub fn due(&self) -> Option<Instant> {
        match &self.step {
            Step::None => None,
            Step::Reading { due } | Step::Preparing { due, .. } | Step::Committing { due, .. } => Some(*due),
        }
    }

    /// What a new control process has to be told.
    pub fn word_to_new_control(&self) -> Option<ToControl> {
        match &self.step {
            Step::Preparing { next, .. } => Some(ToControl::Prepare(Box::new(next.file.clone()))),
            // It finds the new one on disk.
            Step::None | Step::Reading { .. } | Step::Committing { .. } => None,
        }
    }
}

impl Keeper {
    /// Somebody wishes for a reload.
    pub(crate) fn wish(&mut self, by: Trigger) {
        let reloading = &mut self.reloading;
        let is_asked = matches!(by, Trigger::Asked(_));
        if reloading.wishes.len() >= WISHES_MAX {
            return self.answer(by, &refused("too many reloads wait already"));
        }
        if is_asked || !reloading.wishes.contains(&by) {
            reloading.wishes.push_back(by);
        }
        self.next_reload();
    }

    pub(crate) fn next_reload(&mut self) {
        if self.upgrading.is_under_way() {
            return;
        }
        let reloading = &mut self.reloading;
        if !matches!(reloading.step, Step::None) || reloading.wishes.is_empty() {
            return;
        }
        reloading.of = reloading.wishes.drain(..).collect();
        let Some(parts) = &reloading.parts else {
            return self.end_reload(refused("this Tentpole has nothing to read again"));
        };
        reloading.attempts += 1;
        reloading.step = Step::Reading { due: clock::now().after(READ_MAX) };
        let (read, reads, attempt) = (parts.read.clone(), reloading.reads.clone(), reloading.attempts);
        // A file may lie where reading hangs: not on this thread.
        let started = std::thread::Builder::new().name("reload".into()).spawn(move || {
            let _ = reads.blocking_send((attempt, read()));
        });
        if let Err(error) = started {
            self.end_reload(refused(&format!("the system refused a thread: {error}")));
        }
    }

    /// The file was read.
    pub(crate) fn was_read(&mut self, (attempt, read): ReadEnd) {
        if !matches!(self.reloading.step, Step::Reading { .. }) || attempt != self.reloading.attempts {
            return;
        }
        let Read { snapshot, notes, places } = match read {
            Ok(read) => read,
            Err(refusal) => return self.end_reload(ReloadEnd::Refused(refusal)),
        };
        let (now, version) = (&self.file.snapshot, self.file.version);
        if snapshot == *now {
            let (sites, pools) = (now.sites.len(), now.pools.len());
            let same = Reloaded { version, changed: false, sites, pools, notes };
            return self.end_reload(ReloadEnd::InForce(same));
        }
        if let Some(why) = fixed::differs(now, &snapshot, &places) {
            return self.end_reload(refused(&why));
        }
        let bound = match self.bind(&snapshot.addresses()) {
            Ok(bound) => bound,
            Err(why) => return self.end_reload(refused(&why)),
        };
        // One that was prepared in vain had the number too: each is given once.
        let version = version.max(self.version_tried) + 1;
        self.version_tried = version;
        let file = SnapshotFile { version, read_unix_ms: clock::now().unix_us() / 1_000, snapshot };
        let bytes = serde_json::to_vec(&file).map_or(usize::MAX, |bytes| bytes.len());
        if bytes > MESSAGE_BYTES_MAX / 2 {
            let why =
                "it is too large to be handed over while Tentpole runs; end Tentpole and start it again";
            return self.end_reload(refused(why));
        }
        self.control.tell(ToControl::Prepare(Box::new(file.clone())), None);
        let (next, due) = (Box::new(Next { file, bound, notes }), clock::now().after(PREPARE_MAX));
        self.reloading.step = Step::Preparing { next, due };
    }

    /// Sockets for the addresses that are new.
    fn bind(&self, listen: &[std::net::SocketAddr]) -> Result<Vec<Vec<Option<TcpListener>>>, String> {
        let now = self.file.snapshot.addresses();
        let new: Vec<_> = listen.iter().copied().filter(|address| !now.contains(address)).collect();
        let threads = self.listeners.len();
        let fresh = match &self.reloading.parts {
            Some(parts) if !new.is_empty() => (parts.bind)(&new, threads)?,
            _ => (0..threads).map(|_| Vec::new()).collect(),
        };
        let in_order = |fresh: Vec<TcpListener>| {
            let mut fresh = fresh.into_iter();
            listen.iter().map(|address| if now.contains(address) { None } else { fresh.next() }).collect()
        };
        Ok(fresh.into_iter().map(in_order).collect())
    }

    /// The control process has made all ready for this version: from here on there is no way back.
    pub(crate) fn was_prepared(&mut self, version: u64) {
        let is_it =
            |step: &Step| matches!(step, Step::Preparing { next, .. } if next.file.version == version);
        if !is_it(&self.reloading.step) {
            return;
        }
        let Step::Preparing { next, .. } = std::mem::replace(&mut self.reloading.step, Step::None) else {
            return;
        };
        let Next { file, bound, notes } = *next;
        if let Err(why) = self.state.replace(&file) {
            // What it made ready is not wanted.
            self.control.tell(ToControl::Commit(0), None);
            return self.end_reload(refused(&why));
        }
        let before = std::mem::replace(&mut self.file, file);
        self.take_addresses(&before.snapshot.addresses(), bound);
        self.control.tell(ToControl::Commit(version), None);
        let snapshot = &self.file.snapshot;
        let (sites, pools) = (snapshot.sites.len(), snapshot.pools.len());
        let reloaded = Reloaded { version, changed: true, sites, pools, notes };
        self.reloading.step = Step::Committing { reloaded, due: clock::now().after(COMMIT_MAX) };
    }

    /// Gives the edge its new sockets, and closes those that go.
    fn take_addresses(&mut self, before: &[std::net::SocketAddr], bound: Vec<Vec<Option<TcpListener>>>) {
        let listen = &self.file.snapshot.addresses();
        if before == listen {
            return;
        }
        for (thread, bound) in bound.into_iter().enumerate() {
            let mut old: Vec<_> = before
                .iter()
                .zip(std::mem::take(&mut self.listeners[thread]))
                .map(|it| (it.0, Some(it.1)))
                .collect();
            for (address, bound) in listen.iter().zip(bound) {
                let is_it = |known: &&mut (&std::net::SocketAddr, Option<TcpListener>)| known.0 == address;
                let kept = old.iter_mut().find(is_it).and_then(|known| known.1.take());
                let Some(listener) = bound.or(kept) else { continue };
                if !before.contains(address) {
                    use std::os::fd::AsFd;
                    let copy = listener.as_fd().try_clone_to_owned();
                    self.edge.tell(ToEdge::Listener { thread }, Some(copy));
                }
                self.listeners[thread].push(listener);
            }
        }
        let first = self.listeners.first().into_iter().flatten();
        let addresses = first.filter_map(|listener| listener.local_addr().ok()).collect();
        self.edge.tell(ToEdge::Listen(addresses), None);
    }

    /// The control process cannot make it ready.
    pub(crate) fn was_not_prepared(&mut self, version: u64, why: &str) {
        if matches!(&self.reloading.step, Step::Preparing { next, .. } if next.file.version == version) {
            self.end_reload(refused(why));
        }
    }

    /// Every data thread has this version.
    pub(crate) fn is_in_force(&mut self, version: u64) {
        if let Step::Committing { reloaded, .. } = &self.reloading.step
            && reloaded.version == version
        {
            let reloaded = reloaded.clone();
            self.end_reload(ReloadEnd::InForce(reloaded));
        }
    }

    /// Gives up a step that takes too long.
    pub(crate) fn reload_on_time(&mut self, now: Instant) {
        if self.reloading.due().is_none_or(|due| due > now) {
            return;
        }
        let seconds = |time: Duration| time.as_secs();
        let end = match &self.reloading.step {
            Step::None => return,
            Step::Reading { .. } => {
                refused(&format!("the file could not be read within {} s", seconds(READ_MAX)))
            }
            Step::Preparing { .. } => refused(&format!(
                "the control process did not make it ready within {} s; it hangs, or is being started again",
                seconds(PREPARE_MAX)
            )),
            Step::Committing { reloaded, .. } => ReloadEnd::Late { version: reloaded.version },
        };
        self.end_reload(end);
    }

    fn end_reload(&mut self, end: ReloadEnd) {
        self.reloading.step = Step::None;
        for by in std::mem::take(&mut self.reloading.of) {
            self.answer(by, &end);
        }
        self.next_upgrade();
        self.next_reload();
    }

    fn answer(&self, by: Trigger, end: &ReloadEnd) {
        (self.tell)(KeeperEvent::Reloaded { by, end: end.clone() });
        self.control.tell(ToControl::Reloaded { by, end: end.clone() }, None);
    }
}

fn refused(why: &str) -> ReloadEnd {
    ReloadEnd::Refused(Refusal { why: why.to_owned(), report: String::new() })
}

impl ReloadParts {
    /// What is read, and how new addresses are bound.
    pub fn new(
        read: impl Fn() -> Result<Read, Refusal> + Send + Sync + 'static,
        bind: impl Fn(&[std::net::SocketAddr], usize) -> Result<Vec<Vec<TcpListener>>, String> + 'static,
    ) -> Self {
        Self { read: Arc::new(read), bind: Box::new(bind), file: None, changed: None }
    }
}
