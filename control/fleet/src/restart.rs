//! A rolling restart: which instances are old, when one more is started, and when an old one may leave. A part of `slots`,
//! and as pure.

use crate::mark;
use crate::slots::{Act, Held, Slots, World, at};
use std::time::Duration;
use tentpole_model::{FleetRestart, InstancePhase};

/// New instances that may fail in a row until a restart stops.
const SUCCESSORS_FAILED_MAX: u32 = 3;

/// New instances take the place of old ones: one starts, and once it carries its share, an old one leaves.
#[derive(Debug, Default)]
pub(crate) enum Restart {
    #[default]
    None,
    /// So many new ones in a row have failed.
    UnderWay { failed: u32 },
    /// Old ones stay.
    Stopped { why: String },
}

impl Slots {
    /// Lets new instances take the place of all that there are, one by one.
    pub(crate) fn restart(&mut self) -> Vec<Act> {
        for held in self.slots.iter_mut().flatten().filter(|held| held.stays()) {
            held.old = true;
            self.acts.push(Act::Mark(held.instance.id, mark::of(held.phase, true)));
        }
        let old = self.old();
        self.restart = if old > 0 { Restart::UnderWay { failed: 0 } } else { Restart::None };
        self.acts
            .push(Act::Tell(format!("{}: new instances take the place of {old}, one by one", self.pool)));
        std::mem::take(&mut self.acts)
    }

    /// How far that is, where so many are wanted; `None` when nothing of it is to be told. Knows no clock: since when is for
    /// others to say.
    pub(crate) fn restarting(&self, wanted: u32) -> Option<FleetRestart> {
        let stopped = match &self.restart {
            Restart::None => return None,
            Restart::UnderWay { .. } => None,
            Restart::Stopped { why } => Some(why.clone()),
        };
        let old = self.old();
        let of = wanted.max(old);
        let is_new = |held: &Held| !held.old && held.stays() && held.phase == InstancePhase::Serving;
        let serving = self.held().filter(|(_, held)| is_new(held)).count() as u32;
        // The one more that serves until an old one has left is not yet in its place.
        Some(FleetRestart { old, new: serving.min(of - old), of, since_unix_ms: 0, stopped })
    }

    /// Old instances that have not begun to leave.
    pub(crate) fn old(&self) -> u32 {
        self.held().filter(|(_, held)| held.old && held.stays()).count() as u32
    }

    /// How many there shall be while new instances take the place of old ones: one more than wanted until the newest carries
    /// its share, then as many as wanted, for an old one to leave. So there are never fewer that serve than without it.
    pub(crate) fn with_successor(&mut self, now: Duration, wanted: u32, world: &World<'_>) -> u32 {
        let Restart::UnderWay { .. } = self.restart else { return wanted };
        if self.old() == 0 {
            let carries = |held: &Held| held.phase == InstancePhase::Serving || !held.stays();
            if self.held().all(|(_, held)| carries(held)) {
                self.restart = Restart::None;
                let now = self.staying();
                self.acts.push(Act::Tell(format!("{}: all {now} instances are new", self.pool)));
            }
            return wanted;
        }
        let is_sick = |slot: u32| world.sick.get(slot as usize) == Some(&true);
        let new = || self.held().filter(|(_, held)| !held.old && held.stays());
        let patience = self.fleet.slow_start + self.fleet.start_time;
        let hopeless = new().find(|(slot, held)| is_sick(*slot) && held.ready_for(now) >= patience);
        if let Some((slot, _)) = hopeless {
            let why = format!("{} is up, but does not answer visitors well", self.name(slot));
            self.stop_restart(why);
            return wanted;
        }
        let carries = |(slot, held): (u32, &Held)| {
            held.phase == InstancePhase::Serving && !is_sick(slot) && at(world.weights, slot) > 0
        };
        match new().all(carries) && self.staying() > wanted {
            true => wanted,
            false => wanted + 1,
        }
    }

    /// A new instance that should have taken an old one's place did not come up.
    pub(crate) fn successor_failed(&mut self, why: &str) {
        let Restart::UnderWay { failed } = &mut self.restart else { return };
        *failed += 1;
        if *failed >= SUCCESSORS_FAILED_MAX {
            self.stop_restart(why.to_owned());
        }
    }

    fn stop_restart(&mut self, why: String) {
        let (old, pool) = (self.old(), &self.pool);
        let trouble = format!("the restart of {pool} has stopped, {old} old instances stay: {why}");
        self.acts.push(Act::Trouble(trouble));
        self.restart = Restart::Stopped { why };
    }
}
