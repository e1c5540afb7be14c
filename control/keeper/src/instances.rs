//! The instances' records and their shims. Does what the control process says, remembers what it needs to know when it
//! is new, and adds only one thing of its own: who was told to end and does not is killed.

use crate::child::{Child, ChildState, Event, Who};
use crate::hand_over;
use crate::instance::{FromShim, ToShim};
use crate::program::Program;
use crate::{KeeperEvent, kill};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashSet, VecDeque};
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;
use tentpole_model::link::ToControl;
use tentpole_model::{Instance, InstanceId, Launch};
use tentpole_runtime::{Instant, clock};
use tokio::sync::mpsc;

/// Records at most, of running and ended instances.
const INSTANCES_MAX: usize = 1_000;
/// Bytes of a mark; the rest is cut off.
const MARK_BYTES_MAX: usize = 1_024;
/// How long a shim may take to kill everything below it, until it is taken to hang: longer than it gives itself.
const SHIM_KILLS_MAX: Duration = Duration::from_secs(8);
/// Between two looks for processes that lost their shim.
const ORPHANS_LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long they may take to go.
const ORPHANS_MAX: Duration = Duration::from_secs(5);
/// So often nobody must be found: one look at all processes is not one moment.
const ORPHANS_NONE_TIMES: u32 = 2;

/// All of them.
#[derive(Default)]
pub(crate) struct Instances {
    /// The limit on open files that they get.
    open_files: Option<u64>,
    kept: BTreeMap<InstanceId, Kept>,
    orphans: Option<Orphans>,
    /// What is to be told, in order; taken by the keeper after each call.
    pub to_control: Vec<ToControl>,
    pub to_people: Vec<KeeperEvent>,
}

/// All of them as one keeper leaves them to the next; their shims' channels go beside this, in order.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct InstancesState {
    kept: Vec<KeptState>,
    /// Those whose processes lost their shim and are being ended.
    orphans: Option<Vec<(InstanceId, String)>>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptState {
    instance: Instance,
    shim: Option<ChildState>,
    asked: bool,
    forgotten: bool,
    stop_in: Option<Duration>,
    kill_in: Option<Duration>,
}

struct Kept {
    instance: Instance,
    shim: Option<Child<ToShim>>,
    /// Its end was asked for.
    asked: bool,
    /// Its record goes as soon as its shim has.
    forgotten: bool,
    /// When it is killed if it has not ended by itself.
    stop_due: Option<Instant>,
    /// When its shim is.
    kill_due: Option<Instant>,
}

/// Processes whose shim was killed: they have come to the keeper.
struct Orphans {
    /// Whose end is told when they are gone.
    of: Vec<(InstanceId, String)>,
    look_due: Instant,
    given_up: Instant,
    found_none: u32,
}

impl Instances {
    /// None yet; each will get this limit on open files.
    pub fn new(open_files: Option<u64>) -> Self {
        Self { open_files, ..Self::default() }
    }

    /// Takes over those that another keeper left.
    ///
    /// # Errors
    /// When the system has no descriptor left.
    pub fn adopt(
        open_files: Option<u64>,
        state: InstancesState,
        channels: &mut VecDeque<OwnedFd>,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<Self> {
        let now = clock::now();
        let mut all = Self::new(open_files);
        for KeptState { instance, shim, asked, forgotten, stop_in, kill_in } in state.kept {
            let id = instance.id;
            let shim = shim.and_then(|shim| Some((shim, channels.pop_front()?)));
            let shim = shim.map(|(shim, channel)| Child::adopt(shim, channel, Who::Shim(id), events));
            let due = |time: Option<Duration>| time.map(|time| now.after(time));
            let kept = Kept {
                instance,
                shim: shim.transpose()?,
                asked,
                forgotten,
                stop_due: due(stop_in),
                kill_due: due(kill_in),
            };
            all.kept.insert(id, kept);
        }
        all.orphans = state.orphans.map(|of| Orphans {
            of,
            look_due: now,
            given_up: now.after(ORPHANS_MAX),
            found_none: 0,
        });
        Ok(all)
    }

    /// What a next keeper would get, but for what shims have half said.
    pub fn rehearsal(&self) -> InstancesState {
        let state = |kept: &Kept| KeptState {
            instance: kept.instance.clone(),
            shim: kept.shim.as_ref().map(|shim| ChildState { pid: shim.pid, ended: None, rest: Vec::new() }),
            asked: kept.asked,
            forgotten: kept.forgotten,
            stop_in: None,
            kill_in: None,
        };
        InstancesState { kept: self.kept.values().map(state).collect(), orphans: None }
    }

    /// Lets go of all, for the next keeper.
    pub async fn pack(&mut self) -> (InstancesState, Vec<OwnedFd>) {
        let now = clock::now();
        let (mut all, mut channels) = (Vec::new(), Vec::new());
        for (_, kept) in std::mem::take(&mut self.kept) {
            let Kept { instance, shim, asked, forgotten, stop_due, kill_due } = kept;
            let (shim, channel) = hand_over::pack(shim).await;
            channels.extend(channel);
            let left = |due: Option<Instant>| due.map(|due| due.since(now));
            let (stop_in, kill_in) = (left(stop_due), left(kill_due));
            all.push(KeptState { instance, shim, asked, forgotten, stop_in, kill_in });
        }
        let orphans = self.orphans.take().map(|orphans| orphans.of);
        (InstancesState { kept: all, orphans }, channels)
    }

    /// Starts one, or says why not.
    pub fn start(
        &mut self,
        instance: Instance,
        launch: Launch,
        program: &Program,
        events: &mpsc::Sender<Event>,
    ) {
        let id = instance.id;
        if self.kept.contains_key(&id) {
            let trouble = format!("instance {} was to be started twice; the second start was left out", id.0);
            return self.to_people.push(KeeperEvent::Trouble(trouble));
        }
        if self.kept.len() >= INSTANCES_MAX {
            let how = format!("not started: there are {INSTANCES_MAX} instances already");
            return self.to_control.push(ToControl::Exited { id, how });
        }
        let told = ToShim::Launch {
            name: name(&instance),
            launch,
            port: instance.address.port(),
            program: program.clone(),
            open_files: self.open_files,
        };
        let started = Child::start(program, Who::Shim(id), events);
        let mut kept =
            Kept { instance, shim: None, asked: false, forgotten: false, stop_due: None, kill_due: None };
        match started {
            Ok(shim) => {
                shim.tell(told, None);
                kept.shim = Some(shim);
                self.kept.insert(id, kept);
            }
            Err(error) => {
                self.kept.insert(id, kept);
                self.over(id, format!("cannot start a process: {error}"));
            }
        }
    }

    /// Leaves a word with one.
    pub fn mark(&mut self, id: InstanceId, mut mark: String) {
        if let Some(kept) = self.kept.get_mut(&id) {
            let length = (0..=mark.len().min(MARK_BYTES_MAX)).rev().find(|&at| mark.is_char_boundary(at));
            mark.truncate(length.unwrap_or(0));
            kept.instance.mark = mark;
        }
    }

    /// Asks one to end.
    pub fn terminate(&mut self, id: InstanceId) {
        self.ask(id, ToShim::Terminate);
    }

    /// Asks all to end, and kills those that take longer than their stop time.
    pub fn terminate_all(&mut self, stop_time: impl Fn(&str) -> Duration) {
        let ids: Vec<InstanceId> = self.kept.keys().copied().collect();
        for id in ids {
            self.terminate(id);
            if let Some(kept) = self.kept.get_mut(&id) {
                kept.stop_due = Some(clock::now().after(stop_time(&kept.instance.pool)));
            }
        }
    }

    /// Ends one with all its processes.
    pub fn kill(&mut self, id: InstanceId) {
        self.ask(id, ToShim::Kill);
        if let Some(kept) = self.kept.get_mut(&id) {
            kept.kill_due.get_or_insert(clock::now().after(SHIM_KILLS_MAX));
        }
    }

    /// Drops the record of one that ended.
    pub fn forget(&mut self, id: InstanceId) {
        let Some(kept) = self.kept.get_mut(&id).filter(|kept| kept.instance.ended.is_some()) else { return };
        kept.forgotten = true;
        if kept.shim.is_none() {
            self.kept.remove(&id);
        }
    }

    /// One's shim said something.
    pub fn heard(&mut self, id: InstanceId, pid: u32, said: FromShim) {
        let Some(kept) = self.kept.get_mut(&id).filter(|kept| is_of(kept, pid)) else { return };
        match said {
            FromShim::Started { pid } => {
                kept.instance.pid = Some(pid);
                self.to_control.push(ToControl::Started { id, pid });
            }
            FromShim::Exited { how } => self.over(id, how),
        }
    }

    /// One's channel closed.
    pub fn closed(&mut self, id: InstanceId, pid: u32) {
        if let Some(kept) = self.kept.get_mut(&id).filter(|kept| is_of(kept, pid)) {
            kept.shim.iter_mut().for_each(Child::has_closed);
            self.settle(id);
        }
    }

    /// A process ended; true when it was a shim.
    pub fn reaped(&mut self, pid: u32, how: &str) -> bool {
        let found = self.kept.iter_mut().find(|(_, kept)| is_of(kept, pid));
        let Some((&id, kept)) = found else { return false };
        kept.shim.iter_mut().for_each(|shim| shim.has_ended(how.to_owned()));
        self.settle(id);
        true
    }

    /// Those that there are, as the next control process gets to know them.
    pub fn records(&self) -> Vec<Instance> {
        let known = self.kept.values().filter(|kept| !kept.forgotten);
        known.map(|kept| kept.instance.clone()).collect()
    }

    /// Is anything of them left?
    pub fn is_any_running(&self) -> bool {
        self.orphans.is_some() || self.kept.values().any(|kept| kept.shim.is_some())
    }

    /// The shims' processes.
    pub fn shims(&self) -> impl Iterator<Item = u32> {
        self.kept.values().filter_map(|kept| kept.shim.as_ref()).map(|shim| shim.pid)
    }

    /// When [`Instances::on_time`] has to be called.
    pub fn due(&self) -> Option<Instant> {
        let of_each = self.kept.values().filter_map(|kept| {
            let shim = kept.shim.as_ref()?;
            [kept.stop_due, kept.kill_due, shim.given_up].into_iter().flatten().min()
        });
        of_each.chain(self.orphans.as_ref().map(|orphans| orphans.look_due)).min()
    }

    /// Does what has become due. `own` are the keeper's children that are nobody's orphans.
    pub fn on_time(&mut self, now: Instant, own: impl Fn() -> HashSet<u32>) {
        let past = |due: Option<Instant>| due.is_some_and(|due| due <= now);
        let ids: Vec<InstanceId> =
            self.kept.iter().filter(|(_, kept)| kept.shim.is_some()).map(|(&id, _)| id).collect();
        for id in ids {
            let Some(kept) = self.kept.get_mut(&id) else { continue };
            let stop = past(kept.stop_due);
            if stop {
                kept.stop_due = None;
            }
            let Some(shim) = &mut kept.shim else { continue };
            if past(kept.kill_due) {
                kept.kill_due = None;
                shim.kill();
            }
            if past(shim.given_up) {
                shim.give_up();
                self.settle(id);
            }
            if stop {
                self.kill(id);
            }
        }
        if self.orphans.as_ref().is_some_and(|orphans| orphans.look_due <= now) {
            let mut spared = own();
            spared.extend(self.shims());
            self.end_orphans(now, &spared);
        }
    }

    fn ask(&mut self, id: InstanceId, word: ToShim) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        kept.asked = true;
        if let Some(shim) = &kept.shim {
            shim.tell(word, None);
        }
    }

    /// Its shim may be gone.
    fn settle(&mut self, id: InstanceId) {
        let Some(kept) = self.kept.get_mut(&id) else { return };
        let Some(how) = kept.shim.as_ref().and_then(Child::is_gone).map(str::to_owned) else { return };
        kept.shim = None;
        if kept.instance.ended.is_some() {
            if kept.forgotten {
                self.kept.remove(&id);
            }
            return;
        }
        // It had no last word, so what it watched over is ours now.
        let now = clock::now();
        let orphans = self.orphans.get_or_insert_with(|| Orphans {
            of: Vec::new(),
            look_due: now,
            given_up: now,
            found_none: 0,
        });
        orphans.of.push((id, format!("the process that watched over it ended: {how}")));
        (orphans.look_due, orphans.given_up, orphans.found_none) = (now, now.after(ORPHANS_MAX), 0);
    }

    fn end_orphans(&mut self, now: Instant, spared: &HashSet<u32>) {
        let Some(orphans) = &mut self.orphans else { return };
        // Without /proc nobody can be found.
        let found = kill::kill_below(spared).unwrap_or(0);
        orphans.found_none = if found == 0 { orphans.found_none + 1 } else { 0 };
        orphans.look_due = now.after(ORPHANS_LOOK_EVERY);
        if orphans.found_none < ORPHANS_NONE_TIMES && now < orphans.given_up {
            return;
        }
        if found > 0 {
            let trouble =
                format!("{found} processes of ended instances do not end, although they were killed");
            self.to_people.push(KeeperEvent::Trouble(trouble));
        }
        for (id, how) in std::mem::take(&mut orphans.of) {
            self.over(id, how);
        }
        self.orphans = None;
    }

    /// It has ended, with all its processes.
    fn over(&mut self, id: InstanceId, how: String) {
        let Some(kept) = self.kept.get_mut(&id).filter(|kept| kept.instance.ended.is_none()) else { return };
        kept.instance.ended = Some(how.clone());
        kept.stop_due = None;
        kept.kill_due.get_or_insert(clock::now().after(SHIM_KILLS_MAX));
        if !kept.asked {
            let name = name(&kept.instance);
            self.to_people.push(KeeperEvent::InstanceEnded { name, how: how.clone(), told: false });
        }
        self.to_control.push(ToControl::Exited { id, how });
    }
}

fn is_of(kept: &Kept, pid: u32) -> bool {
    kept.shim.as_ref().is_some_and(|shim| shim.pid == pid)
}

/// The endpoint's name.
fn name(instance: &Instance) -> String {
    format!("{}-{}", instance.pool, instance.slot + 1)
}
