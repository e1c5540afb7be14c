//! Another program in the place of this one, while everything runs. In this order, so that until the last step every
//! failure leaves all as it was:
//!
//! ```text
//! the new program is asked whether it can read what would be handed over     (`part check`, a process of its own)
//!   → its edge is started beside ours, with the same listening sockets, and accepts
//!   → the keeper becomes the new program (`hand_over.rs`)
//!   → which lets the edge before leave, and replaces the control process
//! ```

use crate::child::Who;
use crate::hand_over::{self, HandOver};
use crate::keeper::Keeper;
use crate::kill;
use crate::part::Part;
use crate::signals::with_usual;
use crate::{KeeperEvent, Program};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::process::{Signal, kill_process};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use tentpole_model::link::{ToControl, ToEdge};
use tentpole_model::{EdgeLeaving, Trigger, UpgradeEnd, UpgradeProgress, UpgradeStep, UpgradeUnderWay};
use tentpole_runtime::{Instant, channel, clock};

/// How long the new program may take to say whether it can.
const CHECK_MAX: Duration = Duration::from_secs(10);
/// How long its edge may take until it accepts connections. It opens its doors with what lies on disk.
const OPEN_MAX: Duration = Duration::from_secs(40);
/// How long an edge may take to answer that it leaves; one that does not hangs, and is ended.
const LEAVE_ANSWER_MAX: Duration = Duration::from_secs(10);
/// How long it may take beyond the time that its connections have.
const LEAVE_MARGIN: Duration = Duration::from_secs(5);
/// How long the control process before may take to end.
const CONTROL_REPLACED_MAX: Duration = Duration::from_secs(4);
/// Edges that may be leaving at once: each holds memory of its own.
const LEAVING_MAX: usize = 16;
/// Bytes of what a program says of itself.
const SAID_BYTES_MAX: u64 = 4_096;

/// How far an upgrade is.
pub(crate) struct Upgrading {
    /// Where this program lies.
    pub own: PathBuf,
    /// Who wished for it.
    pub by: Vec<Trigger>,
    step: Step,
    /// When a control process that was told to end is killed.
    pub control_due: Option<Instant>,
    /// When it was wished for, in milliseconds since 1970.
    since_unix_ms: u64,
    /// How those before ended.
    pub counts: Counts,
    /// What control was told last.
    pub told: Option<UpgradeProgress>,
}

/// How upgrades ended, since Tentpole was started.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Counts {
    done: u64,
    refused: u64,
    given_back: u64,
}

enum Step {
    None,
    /// A reload ends first.
    Waiting {
        program: PathBuf,
    },
    Checking {
        program: PathBuf,
        check: Check,
        due: Instant,
    },
    /// Its edge starts.
    Opening {
        program: PathBuf,
        due: Instant,
    },
    /// Its edge accepts: the keeper's loop hands over.
    Ready {
        program: PathBuf,
    },
}

/// The new program's process that looks at what would be handed over.
struct Check {
    pid: u32,
    said: File,
}

/// An edge that another one has taken the place of.
pub(crate) struct Leaving {
    pub part: Part<ToEdge>,
    /// In milliseconds since 1970.
    pub since_unix_ms: u64,
    kill_due: Instant,
    /// Until it has answered that it leaves.
    answer_due: Option<Instant>,
}

impl Leaving {
    /// Has it leave within this time.
    pub fn new(part: Part<ToEdge>, within: Duration, since_unix_ms: u64) -> Self {
        part.tell(ToEdge::Leave, None);
        let now = clock::now();
        Self {
            part,
            since_unix_ms,
            kill_due: now.after(within + LEAVE_MARGIN),
            answer_due: Some(now.after(LEAVE_ANSWER_MAX)),
        }
    }

    /// How long it still has.
    pub fn time_left(&self) -> Duration {
        self.kill_due.since(clock::now()).saturating_sub(LEAVE_MARGIN)
    }

    /// Takes leave of it if it is gone.
    pub fn is_there(&mut self) -> bool {
        // Its reason was told, or is its own.
        let _ = self.part.bury(false);
        self.part.child.is_some()
    }

    /// It said that it leaves.
    pub fn has_answered(&mut self) {
        self.answer_due = None;
    }

    /// When [`Leaving::on_time`] has something to do.
    pub fn due(&self) -> Option<Instant> {
        [Some(self.kill_due), self.answer_due, self.part.due()].into_iter().flatten().min()
    }

    /// Ends one that takes too long. Returns what people should know.
    pub fn on_time(&mut self, now: Instant) -> Option<&'static str> {
        self.part.give_up(now);
        if self.answer_due.is_some_and(|due| due <= now) {
            self.answer_due = None;
            self.part.kill();
            return Some("the edge before the upgrade hung, and was ended with its connections");
        }
        if self.kill_due <= now {
            self.kill_due = now.after(LEAVE_MARGIN);
            self.part.kill();
        }
        None
    }
}

impl Upgrading {
    /// None under way.
    pub fn new(own: PathBuf) -> Self {
        Self {
            own,
            by: Vec::new(),
            step: Step::None,
            control_due: None,
            since_unix_ms: 0,
            counts: Counts::default(),
            told: None,
        }
    }

    /// Whether one is under way: no reload begins then.
    pub fn is_under_way(&self) -> bool {
        !matches!(self.step, Step::None | Step::Waiting { .. })
    }

    /// Whether the keeper is to become another program now.
    pub fn is_ready(&self) -> bool {
        matches!(self.step, Step::Ready { .. })
    }

    /// The program that the keeper is to become now.
    pub fn take_ready(&mut self) -> Option<PathBuf> {
        match std::mem::replace(&mut self.step, Step::None) {
            Step::Ready { program } => Some(program),
            other => {
                self.step = other;
                None
            }
        }
    }

    /// The one under way.
    fn under_way(&self) -> Option<UpgradeUnderWay> {
        let (step, program) = match &self.step {
            Step::None => return None,
            Step::Waiting { program } => (UpgradeStep::Waiting, program),
            Step::Checking { program, .. } => (UpgradeStep::Checking, program),
            Step::Opening { program, .. } => (UpgradeStep::Opening, program),
            Step::Ready { program } => (UpgradeStep::TakingOver, program),
        };
        Some(UpgradeUnderWay { step, program: program.clone(), since_unix_ms: self.since_unix_ms })
    }

    /// The process that checks.
    pub fn check_pid(&self) -> Option<u32> {
        match &self.step {
            Step::Checking { check, .. } => Some(check.pid),
            _ => None,
        }
    }

    /// When a step has taken too long.
    pub fn due(&self) -> Option<Instant> {
        let of_step = match &self.step {
            Step::None | Step::Waiting { .. } | Step::Ready { .. } => None,
            Step::Checking { due, .. } | Step::Opening { due, .. } => Some(*due),
        };
        of_step.into_iter().chain(self.control_due).min()
    }
}

impl Keeper {
    /// Somebody wishes for an upgrade: to this program, or to the one that lies where this one does.
    pub(crate) fn wish_upgrade(&mut self, by: Trigger, program: Option<PathBuf>) {
        let refused =
            |keeper: &Self, why: &str| keeper.answer_upgrade(by, &UpgradeEnd::Refused(why.to_owned()));
        if !self.is_serving() {
            return refused(self, "Tentpole is ending");
        }
        if !matches!(self.upgrading.step, Step::None) {
            return refused(self, "another upgrade is under way");
        }
        if self.leaving.len() >= LEAVING_MAX {
            let why = format!(
                "{LEAVING_MAX} edges of earlier programs still have connections; limits.drain_time_upgrade says how long \
                 they may"
            );
            return refused(self, &why);
        }
        let program = program.unwrap_or_else(|| self.upgrading.own.clone());
        self.upgrading.by = vec![by];
        self.upgrading.since_unix_ms = unix_ms();
        self.upgrading.step = Step::Waiting { program };
        self.next_upgrade();
    }

    /// Begins with the one that waits, once no reload is under way.
    pub(crate) fn next_upgrade(&mut self) {
        if !self.reloading.is_at_rest() {
            return;
        }
        let Step::Waiting { program } = &self.upgrading.step else { return };
        let program = program.clone();
        match self.begin_check(&program) {
            Ok(check) => {
                let due = clock::now().after(CHECK_MAX);
                self.upgrading.step = Step::Checking { program, check, due };
            }
            Err(error) => {
                self.end_upgrade(UpgradeEnd::Refused(format!(
                    "{} cannot be run: {error}",
                    program.display()
                )));
            }
        }
    }

    /// Starts the new program to look at what it would get. It says what it thinks into a file.
    fn begin_check(&self, program: &Path) -> io::Result<Check> {
        let file = || memfd_create("check", MemfdFlags::CLOEXEC).map(File::from);
        let (mut document, said) = (file()?, file()?);
        document.write_all(&serde_json::to_vec(&self.rehearsal())?)?;
        document.rewind()?;
        let mut command = Command::new(program);
        command.args(&self.program.arguments).arg("check").arg("--");
        command.args(hand_over::arguments()).stdin(document);
        command.stdout(said.try_clone()?).stderr(said.try_clone()?).process_group(0);
        // The keeper takes notice of all children at one place.
        Ok(Check { pid: with_usual(|| command.spawn())?.id(), said })
    }

    /// What would be handed over, but for what only becomes clear then.
    fn rehearsal(&self) -> HandOver {
        HandOver { instances: self.instances.rehearsal(), ..self.document() }
    }

    /// A process ended; true when it was the one that checked.
    pub(crate) fn check_ended(&mut self, pid: u32, how: &str) -> bool {
        let Step::Checking { program, check, .. } = &mut self.upgrading.step else { return false };
        if check.pid != pid {
            return false;
        }
        let mut said = String::new();
        // What cannot be read was not said.
        let _ =
            check.said.rewind().and_then(|()| (&check.said).take(SAID_BYTES_MAX).read_to_string(&mut said));
        let (program, said) = (program.clone(), said.trim().to_owned());
        if !self.is_serving() {
            self.end_upgrade(UpgradeEnd::Refused("Tentpole is ending".into()));
        } else if how == "exit status 0" && said.starts_with("can take over") {
            self.open_next(program);
        } else {
            let said = if said.is_empty() { String::new() } else { format!(": {said}") };
            let why = format!("{} cannot take over ({how}){said}", program.display());
            self.end_upgrade(UpgradeEnd::Refused(why));
        }
        true
    }

    /// Starts the new program's edge beside ours.
    fn open_next(&mut self, program: PathBuf) {
        self.restore_state();
        let arguments = self.program.arguments.clone();
        let mut next = Part::new(Who::Edge);
        if !next.start(&Program { path: program.clone(), arguments }, &self.events) {
            let why = next.died.take().unwrap_or_default();
            return self.end_upgrade(UpgradeEnd::Refused(why));
        }
        self.hand_on_objects(&next);
        self.introduce_edge(&next);
        self.next = Some(next);
        self.link_beside(|keeper| keeper.next.as_ref());
        self.upgrading.step = Step::Opening { program, due: clock::now().after(OPEN_MAX) };
    }

    /// The new program's edge accepts connections.
    pub(crate) fn next_is_open(&mut self) {
        if let Some(next) = &mut self.next {
            next.was_ready = true;
        }
        if let Step::Opening { program, .. } = &self.upgrading.step {
            self.upgrading.step = Step::Ready { program: program.clone() };
        }
    }

    /// The new program's edge may be gone.
    pub(crate) fn bury_next(&mut self) {
        let Some(next) = &mut self.next else { return };
        let reason = next.bury(false);
        if next.child.is_some() {
            return;
        }
        let why = reason.or_else(|| next.died.take()).unwrap_or_default();
        self.next = None;
        self.end_upgrade(UpgradeEnd::Refused(format!("its edge does not come up: {why}")));
    }

    /// Gives up a step that takes too long.
    pub(crate) fn upgrade_on_time(&mut self, now: Instant) {
        if self.upgrading.control_due.is_some_and(|due| due <= now) {
            self.upgrading.control_due = None;
            if self.control.is_replaced {
                self.control.kill();
            }
        }
        let why = match &self.upgrading.step {
            Step::Checking { due, check, program } if *due <= now => {
                if let Some(pid) = kill::pid(check.pid) {
                    let _ = kill_process(pid, Signal::KILL);
                }
                format!(
                    "{} did not say within {} s whether it can take over",
                    program.display(),
                    CHECK_MAX.as_secs()
                )
            }
            Step::Opening { due, .. } if *due <= now => {
                format!("its edge did not open its doors within {} s", OPEN_MAX.as_secs())
            }
            _ => return,
        };
        self.end_upgrade(UpgradeEnd::Refused(why));
    }

    /// The keeper has become the new program: its edge takes the place of the one before, which leaves, and the control
    /// process is replaced.
    pub(crate) fn has_taken_over(&mut self, before: String) {
        let Some(next) = self.next.take() else { return };
        let earlier = std::mem::replace(&mut self.edge, next);
        self.let_leave(earlier);
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.end_upgrade(UpgradeEnd::Done { version, before });
        self.control.tell(ToControl::End, None);
        self.control.is_replaced = true;
        self.upgrading.control_due = Some(clock::now().after(CONTROL_REPLACED_MAX));
    }

    /// The new program could not be started, or could not read what it was given.
    pub(crate) fn hand_over_failed(&mut self, why: String) {
        let counts = self.upgrading.counts;
        self.end_upgrade(UpgradeEnd::Refused(why));
        self.upgrading.counts = Counts { given_back: counts.given_back + 1, ..counts };
    }

    fn let_leave(&mut self, edge: Part<ToEdge>) {
        if edge.child.is_some() {
            let time = self.file.snapshot.visitors.drain_time_upgrade;
            self.leaving.push(Leaving::new(edge, time, unix_ms()));
        }
    }

    fn end_upgrade(&mut self, end: UpgradeEnd) {
        self.upgrading.step = Step::None;
        match &end {
            UpgradeEnd::Done { .. } => self.upgrading.counts.done += 1,
            UpgradeEnd::Refused(_) => self.upgrading.counts.refused += 1,
        }
        // It may have visitors already.
        if let Some(next) = self.next.take() {
            self.let_leave(next);
        }
        for by in std::mem::take(&mut self.upgrading.by) {
            self.answer_upgrade(by, &end);
        }
        if matches!(end, UpgradeEnd::Done { .. }) {
            // For the control process that comes: nobody there has asked.
            self.untold.push_back(ToControl::Upgraded { by: Trigger::Signal, end });
        }
        self.next_reload();
    }

    /// Tells control how far it is, if that has changed.
    pub(crate) fn tell_upgrading(&mut self) {
        let Counts { done, refused, given_back } = self.upgrading.counts;
        let leaving = self.leaving.iter().filter_map(|leaving| {
            let left = u64::try_from(leaving.time_left().as_millis()).unwrap_or(u64::MAX);
            let known = self.upgrading.told.iter().flat_map(|told| &told.leaving);
            let pid = leaving.part.pid()?;
            // Not the same moment again and again, by a few milliseconds.
            let until_unix_ms = known.clone().find(|known| known.pid == pid);
            let until_unix_ms = until_unix_ms.map_or_else(|| unix_ms() + left, |known| known.until_unix_ms);
            Some(EdgeLeaving { pid, since_unix_ms: leaving.since_unix_ms, until_unix_ms })
        });
        let leaving = leaving.collect();
        let progress =
            UpgradeProgress { under_way: self.upgrading.under_way(), leaving, done, refused, given_back };
        if self.control.is_running() && self.upgrading.told.as_ref() != Some(&progress) {
            self.control.tell(ToControl::Upgrading(progress.clone()), None);
            self.upgrading.told = Some(progress);
        }
    }

    fn answer_upgrade(&self, by: Trigger, end: &UpgradeEnd) {
        (self.tell)(KeeperEvent::Upgraded { by, end: end.clone() });
        self.control.tell(ToControl::Upgraded { by, end: end.clone() }, None);
    }

    /// Lets the edge that serves give what it has stored to the next one. Without it that begins empty.
    fn hand_on_objects(&self, next: &Part<ToEdge>) {
        if self.edge.is_running()
            && let Ok((one, other)) = channel::pair()
        {
            next.tell(ToEdge::Take, Some(Ok(one.into())));
            self.edge.tell(ToEdge::Give, Some(Ok(other.into())));
        }
    }

    /// Gives an edge what it needs to start.
    pub(crate) fn introduce_edge(&self, edge: &Part<ToEdge>) {
        use std::os::fd::AsFd;
        for (thread, listeners) in self.listeners.iter().enumerate() {
            for listener in listeners {
                edge.tell(ToEdge::Listener { thread }, Some(listener.as_fd().try_clone_to_owned()));
            }
        }
        edge.tell(ToEdge::Start { state: self.state.path().to_owned() }, None);
    }

    /// Lets an edge beside the other and the control process speak to one another.
    pub(crate) fn link_beside(&self, edge: impl Fn(&Self) -> Option<&Part<ToEdge>>) {
        let Some(edge) = edge(self).filter(|edge| edge.is_running()) else { return };
        if !self.control.is_running() {
            return;
        }
        match channel::pair() {
            Ok((one, other)) => {
                edge.tell(ToEdge::Link, Some(Ok(one.into())));
                self.control.tell(ToControl::LinkBeside, Some(Ok(other.into())));
            }
            Err(error) => {
                let why = format!("an edge and the control process cannot speak to one another: {error}");
                (self.tell)(KeeperEvent::Trouble(why));
            }
        }
    }
}

/// This moment, in milliseconds since 1970.
pub(crate) fn unix_ms() -> u64 {
    clock::now().unix_us() / 1_000
}

/// Becomes the program with all that was packed; returns why that was not possible.
pub(crate) fn become_program(
    program: &Path,
    document: &HandOver,
    descriptors: &[std::os::fd::BorrowedFd<'_>],
) -> String {
    let given = || -> io::Result<io::Error> {
        let document = serde_json::to_vec(document)?;
        let own = File::open("/proc/self/exe")?;
        Ok(hand_over::give(&own, program, &document, descriptors))
    };
    let error = given().unwrap_or_else(|error| error);
    format!("{} cannot be executed: {error}", program.display())
}
