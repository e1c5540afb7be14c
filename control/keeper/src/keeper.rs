//! The keeper's one loop: signals, children that ended, what children say, and what has become due. Starts a dead part
//! again, introduces edge and control process to one another, and ends everything in its order: the edge, the control
//! process, the instances. Never waits for a child.

use crate::child::{Event, Said, Spoken, Who};
use crate::ends::{Ends, Heard};
use crate::instances::Instances;
use crate::kill::{self, Reaped, kill_below, reap};
use crate::part::Part;
use crate::reload::Reloading;
use crate::signals::Signals;
use crate::state::StateDirectory;
use crate::upgrade::{Leaving, Upgrading};
use crate::{KeeperEnd, KeeperEvent, KeeperParts, Program};
use rustix::process::{getpid, set_child_subreaper};
use std::collections::{HashSet, VecDeque};
use std::io;
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::path::PathBuf;
use std::time::Duration;
use tentpole_model::link::{FromControl, FromEdge, ToControl, ToEdge};
use tentpole_model::{STATE_VARIABLE, SnapshotFile, Trigger};
use tentpole_runtime::{Instant, channel, clock};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

/// Things that children said and that wait for the keeper; more wait in their channels.
const EVENTS_MAX: usize = 256;
/// How long the edge may take beyond the drain time.
const EDGE_END_MARGIN: Duration = Duration::from_secs(2);
/// How long people wait to be told that it ends, when the edge does not say how many connections are open.
const ENDING_SAID_MAX: Duration = Duration::from_secs(1);
/// How long the edge may take to say that, when everything shall end at once.
const LAST_COUNT_MAX: Duration = Duration::from_millis(200);
/// How long the control process may take to end.
const CONTROL_END_MAX: Duration = Duration::from_secs(3);
/// How long a signal that has come already may take to be heard.
const LAST_SIGNAL_MAX: Duration = Duration::from_millis(2);
/// How long killed processes may take to go at the very end.
const KILLED_MAX: Duration = Duration::from_secs(5);
/// Between two looks at them.
const KILLED_LOOK_EVERY: Duration = Duration::from_millis(2);
/// Restarts that a control process has not been told of.
const UNTOLD_MAX: usize = 32;
/// How long an instance gets whose pool has no fleet (any more).
const STOP_TIME_USUAL: Duration = Duration::from_secs(10);

/// Keeps everything running until a signal ends it (SIGINT, SIGTERM, or the end of its terminal) or it cannot start.
/// SIGHUP has it read its configuration again. Blocks. The calling
/// process becomes a subreaper for good, and children that it has for other purposes must have been started before: all
/// later ones are taken for the keeper's own, which it takes notice of and ends.
pub fn run(parts: KeeperParts) -> KeeperEnd {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let kept = runtime.map_err(|error| error.to_string()).and_then(|runtime| runtime.block_on(keep(parts)));
    kept.unwrap_or_else(KeeperEnd::Failed)
}

async fn keep(mut parts: KeeperParts) -> Result<KeeperEnd, String> {
    let system = |error: io::Error| format!("cannot keep processes: {error}");
    // Before there is anything that a signal would have to end.
    let (mut ends, mut died) = (Ends::new().map_err(system)?, signal(SignalKind::child()).map_err(system)?);
    let signals = Signals::start().map_err(system)?;
    set_child_subreaper(Some(getpid())).map_err(|error| system(error.into()))?;
    let mut changed = parts.reload.as_mut().and_then(|reload| reload.changed.take());
    let (reloading, mut read) = Reloading::new(parts.reload.take());
    let (events, mut heard) = mpsc::channel(EVENTS_MAX);
    let mut keeper = match parts.taken_over.take() {
        Some(taken) => Keeper::take_over(parts, taken, reloading, events).map_err(system)?,
        None => Keeper::begin(parts, reloading, events)?,
    };
    let end = loop {
        keeper.on_time(clock::now());
        if let Some(end) = keeper.advance() {
            break end;
        }
        keeper.tell_upgrading();
        if keeper.is_serving() && keeper.upgrading.is_ready() {
            // What came before is heeded here, and what comes from now on by who goes on.
            signals.let_in(false);
            while let Ok(signal) = timeout(LAST_SIGNAL_MAX, ends.next()).await {
                keeper.signalled_by(&signal);
            }
            if keeper.is_serving()
                && let Some(program) = keeper.upgrading.take_ready()
            {
                keeper.hand_over(&program, &mut heard).await.map_err(system)?;
            }
            signals.let_in(true);
            continue;
        }
        let due = keeper.due().map(|due| due.since(clock::now()));
        tokio::select! {
            signal = ends.next() => keeper.signalled_by(&signal),
            Some(()) = next(&mut changed) => keeper.wish(Trigger::Watch),
            Some(end) = read.recv() => keeper.was_read(end),
            _ = died.recv() => keeper.take_notice(),
            Some(event) = heard.recv() => keeper.heard(event),
            () = sleep(due.unwrap_or_default()), if due.is_some() => {}
        }
    };
    keeper.kill_all().await;
    Ok(end)
}

pub(crate) struct Keeper {
    /// What is served.
    pub(crate) file: SnapshotFile,
    /// The highest version that was ever tried.
    pub(crate) version_tried: u64,
    pub(crate) reloading: Reloading,
    pub(crate) upgrading: Upgrading,
    pub(crate) state: StateDirectory,
    pub(crate) program: Program,
    pub(crate) tell: Box<dyn Fn(KeeperEvent)>,
    /// Empty once it ends: nobody shall wait in their backlogs then.
    pub(crate) listeners: Vec<Vec<TcpListener>>,
    pub(crate) admin: Option<TcpListener>,
    /// Children that were there before.
    pub(crate) strangers: HashSet<u32>,
    pub(crate) edge: Part<ToEdge>,
    /// The edge of the program that is about to take over.
    pub(crate) next: Option<Part<ToEdge>>,
    /// Edges of programs before.
    pub(crate) leaving: Vec<Leaving>,
    pub(crate) control: Part<ToControl>,
    pub(crate) instances: Instances,
    /// The limit on open files that instances get.
    pub(crate) open_files: Option<u64>,
    /// Restarts that no control process has been told of.
    pub(crate) untold: VecDeque<ToControl>,
    pub(crate) phase: Phase,
    /// What the edge last said.
    pub(crate) connections: Option<usize>,
    pub(crate) cut: Option<usize>,
    pub(crate) events: mpsc::Sender<Event>,
}

/// How far the end is.
pub(crate) enum Phase {
    Serving,
    /// Requests in flight finish.
    Edge {
        kill_due: Instant,
        /// When people are told that it ends, with or without a number.
        say_due: Option<Instant>,
    },
    Control {
        kill_due: Instant,
    },
    Instances,
    /// A second signal came: only the number of connections is waited for.
    AtOnce {
        due: Instant,
        counted: bool,
    },
    Over(KeeperEnd),
}

impl Keeper {
    /// A keeper that starts everything.
    fn begin(parts: KeeperParts, reloading: Reloading, events: mpsc::Sender<Event>) -> Result<Self, String> {
        let strangers = kill::children().map_err(|error| format!("cannot keep processes: {error}"))?;
        let state = match &parts.state {
            Some(path) => StateDirectory::given(path)?,
            None => StateDirectory::temporary()?,
        };
        let file = SnapshotFile::first(parts.snapshot.clone(), clock::now().unix_us() / 1_000);
        state.begin(&file)?;
        let KeeperParts { listeners, admin, program, open_files, tell, .. } = parts;
        let mut keeper = Self {
            version_tried: file.version,
            file,
            reloading,
            upgrading: Upgrading::new(own_program()),
            state,
            program,
            tell,
            listeners,
            admin,
            strangers,
            edge: Part::new(Who::Edge),
            next: None,
            leaving: Vec::new(),
            control: Part::new(Who::Control),
            instances: Instances::new(open_files),
            open_files,
            untold: VecDeque::new(),
            phase: Phase::Serving,
            connections: None,
            cut: None,
            events,
        };
        keeper.start_edge();
        keeper.start_control();
        Ok(keeper)
    }

    /// Heeds a signal.
    fn signalled_by(&mut self, signal: &Heard) {
        match signal {
            Heard::Reload if self.reloading.is_possible() => self.wish(Trigger::Signal),
            Heard::Upgrade => self.wish_upgrade(Trigger::Signal, None),
            Heard::Reload | Heard::End => self.signalled(),
        }
    }

    /// Whether nobody has asked it to end.
    pub(crate) fn is_serving(&self) -> bool {
        matches!(self.phase, Phase::Serving)
    }

    /// Parts that start again find what the first ones found.
    pub(crate) fn restore_state(&mut self) {
        if let Err(what) = self.state.restore(&self.file) {
            self.trouble(what);
        }
    }

    fn start_edge(&mut self) {
        self.restore_state();
        if !self.edge.start(&self.program, &self.events) {
            return;
        }
        self.introduce_edge(&self.edge);
        self.say_restarted(Who::Edge);
        self.link();
    }

    fn start_control(&mut self) {
        self.restore_state();
        if !self.control.start(&self.program, &self.events) {
            return;
        }
        let admin = self.admin.as_ref().map(|admin| admin.as_fd().try_clone_to_owned());
        let (state, instances) = (self.state.path().to_owned(), self.instances.records());
        self.control.tell(ToControl::Start { state, admin: admin.is_some(), instances }, admin);
        self.say_restarted(Who::Control);
        self.upgrading.told = None;
        self.tell_untold();
        if let Some(word) = self.reloading.word_to_new_control() {
            self.control.tell(word, None);
        }
        self.link();
        for at in 0..self.leaving.len() {
            self.link_beside(|keeper| keeper.leaving.get(at).map(|leaving| &leaving.part));
        }
        self.link_beside(|keeper| keeper.next.as_ref());
    }

    /// Lets edge and control process speak to one another, over a new link.
    fn link(&mut self) {
        if !self.edge.is_running() || !self.control.is_running() {
            return;
        }
        match channel::pair() {
            Ok((one, other)) => {
                self.edge.tell(ToEdge::Link, Some(Ok(one.into())));
                self.control.tell(ToControl::Link, Some(Ok(other.into())));
            }
            Err(error) => {
                self.trouble(format!("edge and control process cannot speak to one another: {error}"));
                // It gets a new try with the next one.
                self.control.kill();
            }
        }
    }

    fn say_restarted(&mut self, who: Who) {
        let (part, died, deaths) = match who {
            Who::Edge => (ToEdge::PART, self.edge.died.take(), self.edge.deaths),
            _ => (ToControl::PART, self.control.died.take(), self.control.deaths),
        };
        let Some(how) = died else { return };
        (self.tell)(KeeperEvent::PartRestarted { part, how: how.clone(), times: deaths });
        if self.untold.len() == UNTOLD_MAX {
            self.untold.pop_front();
        }
        self.untold.push_back(ToControl::Restarted { part: part.into(), how });
        self.tell_untold();
    }

    fn tell_untold(&mut self) {
        while self.control.is_running()
            && let Some(word) = self.untold.pop_front()
        {
            self.control.tell(word, None);
        }
    }

    /// A child said something.
    pub(crate) fn heard(&mut self, event: Event) {
        let Event { who, pid, said } = event;
        match (who, said) {
            (Who::Edge, Said::Edge(said)) if self.edge.is(pid) => self.heard_edge(said),
            (Who::Control, Said::Control(said)) if self.control.is(pid) => self.heard_control(said),
            (Who::Shim(id), Said::Shim(said)) => self.instances.heard(id, pid, said),
            (Who::Edge, Said::Edge(said)) => self.heard_other_edge(pid, said),
            (Who::Edge, Said::Closed) => self.edges().for_each(|edge| edge.closed(pid)),
            (Who::Control, Said::Closed) => self.control.closed(pid),
            (Who::Shim(id), Said::Closed) => self.instances.closed(id, pid),
            // Of a child that was given up, or not its language.
            _ => {}
        }
    }

    fn heard_edge(&mut self, said: FromEdge) {
        match said {
            FromEdge::Open => {
                if !std::mem::replace(&mut self.edge.was_ready, true) {
                    (self.tell)(KeeperEvent::Open);
                }
            }
            FromEdge::Failed(reason) => self.edge.has_failed(reason),
            FromEdge::Ending { connections } => {
                self.connections = Some(connections);
                match &mut self.phase {
                    Phase::Edge { say_due, .. } if say_due.is_some() => {
                        *say_due = None;
                        (self.tell)(KeeperEvent::Ending { connections: Some(connections) });
                    }
                    Phase::AtOnce { counted, .. } => *counted = true,
                    _ => {}
                }
            }
            FromEdge::Ended { cut } => self.cut = Some(cut),
        }
    }

    /// An edge beside the one that has the place said something.
    fn heard_other_edge(&mut self, pid: u32, said: FromEdge) {
        if let Some(next) = self.next.as_mut().filter(|next| next.is(pid)) {
            match said {
                FromEdge::Open => self.next_is_open(),
                FromEdge::Failed(reason) => next.has_failed(reason),
                FromEdge::Ending { .. } | FromEdge::Ended { .. } => {}
            }
            return;
        }
        let Some(leaving) = self.leaving.iter_mut().find(|leaving| leaving.part.is(pid)) else { return };
        match said {
            FromEdge::Ending { .. } => leaving.has_answered(),
            FromEdge::Ended { cut } => (self.tell)(KeeperEvent::EdgeLeft { cut }),
            FromEdge::Failed(reason) => leaving.part.has_failed(reason),
            FromEdge::Open => {}
        }
    }

    /// All edges there are.
    fn edges(&mut self) -> impl Iterator<Item = &mut Part<ToEdge>> {
        let leaving = self.leaving.iter_mut().map(|leaving| &mut leaving.part);
        std::iter::once(&mut self.edge).chain(&mut self.next).chain(leaving)
    }

    fn heard_control(&mut self, said: FromControl) {
        match said {
            FromControl::Ready => self.control.was_ready = true,
            FromControl::Failed(reason) => self.control.has_failed(reason),
            FromControl::StartInstance { instance, mut launch } => match self.phase {
                Phase::Serving => {
                    // For whoever keeps something there for as long as we do.
                    launch.env.push((STATE_VARIABLE.to_owned(), self.state.path().display().to_string()));
                    self.instances.start(instance, launch, &self.program, &self.events);
                }
                _ => {
                    let how = "not started: Tentpole is ending".into();
                    self.control.tell(ToControl::Exited { id: instance.id, how }, None);
                }
            },
            FromControl::Mark { id, mark } => self.instances.mark(id, mark),
            FromControl::Terminate(id) => self.instances.terminate(id),
            FromControl::Kill(id) => self.instances.kill(id),
            FromControl::Forget(id) => self.instances.forget(id),
            FromControl::Reload(number) => self.wish(Trigger::Asked(number)),
            FromControl::Upgrade { number, program } => self.wish_upgrade(Trigger::Asked(number), program),
            FromControl::Prepared(version) => self.was_prepared(version),
            FromControl::NotPrepared { version, why } => self.was_not_prepared(version, &why),
            FromControl::InForce(version) => self.is_in_force(version),
        }
    }

    /// Takes notice of every child that has ended.
    pub(crate) fn take_notice(&mut self) {
        while let Reaped::Ended(pid, status) = reap() {
            let how = kill::how(status);
            let known = self.instances.reaped(pid, &how)
                || self.edges().any(|edge| edge.reaped(pid, &how))
                || self.check_ended(pid, &how);
            if !known && !self.control.reaped(pid, &how) {
                self.strangers.remove(&pid);
            }
        }
    }

    /// A signal that ends everything: in order at first, at once the second time.
    fn signalled(&mut self) {
        let now = clock::now();
        // Who connects from now on shall be refused, not wait for nobody.
        self.listeners.clear();
        self.admin = None;
        (self.edge.start_due, self.control.start_due) = (None, None);
        match self.phase {
            Phase::Serving => {
                self.edges().for_each(|edge| edge.tell(ToEdge::End, None));
                let drain_time = self.file.snapshot.visitors.drain_time;
                self.phase = Phase::Edge {
                    kill_due: now.after(drain_time + EDGE_END_MARGIN),
                    say_due: Some(now.after(ENDING_SAID_MAX)),
                };
            }
            Phase::Over(_) => {}
            _ => {
                // It answers again with the connections that are open now.
                self.edge.tell(ToEdge::End, None);
                self.phase = Phase::AtOnce { due: now.after(LAST_COUNT_MAX), counted: false };
            }
        }
    }

    /// Goes one step on with a restart or the end, as far as what has happened allows. Returns how it ended.
    fn advance(&mut self) -> Option<KeeperEnd> {
        self.bury();
        for word in std::mem::take(&mut self.instances.to_control) {
            self.control.tell(word, None);
        }
        for mut event in std::mem::take(&mut self.instances.to_people) {
            if let KeeperEvent::InstanceEnded { told, .. } = &mut event {
                *told = self.control.is_running();
            }
            (self.tell)(event);
        }
        if let Phase::Edge { say_due, .. } = &mut self.phase
            && self.edge.child.is_none()
            && self.next.is_none()
            && self.leaving.is_empty()
        {
            if say_due.take().is_some() {
                (self.tell)(KeeperEvent::Ending { connections: self.connections });
            }
            self.control.tell(ToControl::End, None);
            self.phase = Phase::Control { kill_due: clock::now().after(CONTROL_END_MAX) };
        }
        if matches!(self.phase, Phase::Control { .. }) && self.control.child.is_none() {
            let pools = &self.file.snapshot.pools;
            self.instances.terminate_all(|name| {
                let fleet = pools.iter().find(|pool| pool.name == name).and_then(|pool| pool.fleet.as_ref());
                fleet.map_or(STOP_TIME_USUAL, |fleet| fleet.stop_time)
            });
            self.phase = Phase::Instances;
        }
        match &self.phase {
            Phase::Instances if !self.instances.is_any_running() => Some(KeeperEnd::Ended { cut: self.cut }),
            Phase::AtOnce { counted: true, .. } => Some(KeeperEnd::AtOnce { connections: self.connections }),
            Phase::AtOnce { .. } if self.edge.child.is_none() => {
                Some(KeeperEnd::AtOnce { connections: self.connections })
            }
            Phase::Over(end) => Some(end.clone()),
            _ => None,
        }
    }

    /// Takes leave of parts that are gone, and decides about the next ones.
    fn bury(&mut self) {
        let serving = matches!(self.phase, Phase::Serving);
        let gone = [self.edge.bury(serving), self.control.bury(serving)];
        self.bury_next();
        self.leaving.retain_mut(Leaving::is_there);
        if let Some(reason) = gone.into_iter().flatten().next()
            && serving
        {
            self.phase = Phase::Over(KeeperEnd::Failed(reason));
        }
    }

    fn due(&self) -> Option<Instant> {
        let of_phase = match &self.phase {
            Phase::Edge { kill_due, say_due } => [Some(*kill_due), *say_due],
            Phase::Control { kill_due } => [Some(*kill_due), None],
            Phase::AtOnce { due, .. } => [Some(*due), None],
            Phase::Serving | Phase::Instances | Phase::Over(_) => [None, None],
        };
        let dues = [self.edge.due(), self.control.due(), self.instances.due(), self.reloading.due()];
        let next = self.next.as_ref().and_then(Part::due);
        let others = self.leaving.iter().map(Leaving::due).chain([self.upgrading.due(), next]);
        dues.into_iter().chain(others).chain(of_phase).flatten().min()
    }

    fn on_time(&mut self, now: Instant) {
        let past = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        if past(self.edge.start_due) {
            self.start_edge();
        }
        if past(self.control.start_due) {
            self.start_control();
        }
        self.reload_on_time(now);
        self.upgrade_on_time(now);
        self.edge.give_up(now);
        self.next.iter_mut().for_each(|next| next.give_up(now));
        let said: Vec<_> = self.leaving.iter_mut().filter_map(|leaving| leaving.on_time(now)).collect();
        said.into_iter().for_each(|what| self.trouble(what.into()));
        self.control.give_up(now);
        let mut own: Vec<u32> = self.edges().filter_map(|edge| edge.pid()).collect();
        own.extend(self.control.pid());
        own.extend(self.upgrading.check_pid());
        let strangers = &self.strangers;
        self.instances.on_time(now, || strangers.iter().copied().chain(own.iter().copied()).collect());
        match &mut self.phase {
            Phase::Edge { kill_due, say_due } => {
                if past(*say_due) {
                    *say_due = None;
                    (self.tell)(KeeperEvent::Ending { connections: None });
                }
                if *kill_due <= now {
                    // Its end is seen like any other.
                    *kill_due = now.after(KILLED_MAX);
                    self.edge.kill();
                    self.next.iter().for_each(Part::kill);
                    self.leaving.iter().for_each(|leaving| leaving.part.kill());
                }
            }
            Phase::Control { kill_due } if *kill_due <= now => {
                *kill_due = now.after(KILLED_MAX);
                self.control.kill();
            }
            Phase::AtOnce { due, .. } if *due <= now => {
                self.phase = Phase::Over(KeeperEnd::AtOnce { connections: None });
            }
            _ => {}
        }
    }

    /// Ends everything that is left, without asking.
    async fn kill_all(&mut self) {
        let give_up = clock::now().after(KILLED_MAX);
        loop {
            match reap() {
                Reaped::Ended(..) => continue,
                Reaped::NoneEnded => {}
                Reaped::Childless => return,
            }
            // Those that were there before may stay.
            if kill_below(&self.strangers).is_ok_and(|found| found == 0) && !self.strangers.is_empty() {
                return;
            }
            if clock::now() >= give_up {
                return self.trouble("some processes do not end, although they were killed".into());
            }
            sleep(KILLED_LOOK_EVERY).await;
        }
    }

    fn trouble(&self, what: String) {
        (self.tell)(KeeperEvent::Trouble(what));
    }
}

/// Where this program lies: another one may lie there by the time of an upgrade.
pub(crate) fn own_program() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "/proc/self/exe".into())
}

/// The next word that the file changed; never where nobody looks.
async fn next(changed: &mut Option<mpsc::Receiver<()>>) -> Option<()> {
    match changed {
        Some(changed) => changed.recv().await,
        None => std::future::pending().await,
    }
}
