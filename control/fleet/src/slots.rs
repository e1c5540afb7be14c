//! What each slot of one fleet does next: a function of what was seen and when. Performs nothing: it answers with acts,
//! which `fleets` performs in their order. So a whole life is tested without a process or a clock.

use crate::mark;
use crate::restart::Restart;
use std::net::SocketAddr;
use std::time::Duration;
use tentpole_model::{Fleet, Instance, InstanceId, InstancePhase, ProviderError};

/// Pause after the first instance that ended too soon; twice as long after each further one.
const PAUSE_MIN: Duration = Duration::from_secs(1);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// Whoever took traffic this long was no failed start.
const FORGIVEN_AFTER: Duration = Duration::from_secs(30);
/// Whoever does not answer for this long is worth a word: it may listen elsewhere.
const SILENT_MAX: Duration = Duration::from_secs(10);
/// Steps of the slow start; the first is a tenth of the full weight.
const STEPS: u32 = 10;
/// Looks in a row that must find nothing in flight: counts of the edge are up to a fifth of a second old.
const EMPTY_LOOKS: u32 = 2;
/// Time between two attempts to kill what does not go.
const KILL_EVERY: Duration = Duration::from_secs(5);

/// What the shell is to do.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Act {
    /// Start an instance in this slot, and tell [`Slots::started`] what came of it.
    Start { slot: u32 },
    /// Ask it until it answers; tell [`Slots::answered`].
    Ask { slot: u32, instance: Instance },
    /// Leave this word with it.
    Mark(InstanceId, &'static str),
    /// Turn the slot's weight; only from `from`, when that is said.
    Weigh { slot: u32, from: Option<u32>, to: u32 },
    /// SIGTERM.
    Terminate(InstanceId),
    /// End it with all its processes.
    Kill(InstanceId),
    /// Drop its record.
    Forget(InstanceId),
    /// Something that people may want to know.
    Tell(String),
    /// Something that went wrong.
    Trouble(String),
}

/// What the world looks like; lists by slot.
#[derive(Clone, Copy, Debug)]
pub(crate) struct World<'a> {
    /// The pool's instances, as the provider knows them.
    pub(crate) instances: &'a [Instance],
    /// Requests in flight.
    pub(crate) in_flight: &'a [u32],
    /// Who is out of traffic because it does not answer well.
    pub(crate) sick: &'a [bool],
    /// The weights in force.
    pub(crate) weights: &'a [u32],
    /// The version of the weights.
    pub(crate) weights_version: u64,
    /// The version that every data thread has taken.
    pub(crate) weights_taken: u64,
}

/// The slots of one fleet.
pub(crate) struct Slots {
    pub(crate) pool: String,
    pub(crate) fleet: Fleet,
    /// The weights as configured.
    full: Vec<u32>,
    pub(crate) slots: Vec<Option<Held>>,
    /// Failed starts in a row.
    failures: u32,
    failed_at: Option<Duration>,
    /// Nothing is started before.
    pause_until: Duration,
    pub(crate) restart: Restart,
    pub(crate) acts: Vec<Act>,
}

/// An instance in its slot.
#[derive(Clone, Debug)]
pub(crate) struct Held {
    pub(crate) instance: Instance,
    pub(crate) phase: InstancePhase,
    /// Another one is to take its place.
    pub(crate) old: bool,
    /// When it was started, as far as is known.
    started: Duration,
    /// When it began to take traffic.
    ready: Option<Duration>,
    /// When its phase has taken too long; what that means depends on the phase.
    until: Duration,
    /// What it answered last while it is starting.
    answer: Option<Result<(), String>>,
    /// It was said that it does not answer yet.
    silence_said: bool,
    /// The provider has shown it.
    shown: bool,
    /// The weight that the slow start wrote last.
    written: u32,
    /// Looks in a row that found nothing in flight.
    empty: u32,
    /// The version of the weights that it waits for while it drains.
    needs: Option<u64>,
}

impl Slots {
    /// Empty slots, one for each weight in `full`.
    pub(crate) fn new(pool: &str, fleet: &Fleet, full: Vec<u32>) -> Self {
        Self {
            pool: pool.to_owned(),
            fleet: fleet.clone(),
            slots: full.iter().map(|_| None).collect(),
            full,
            failures: 0,
            failed_at: None,
            pause_until: Duration::ZERO,
            restart: Restart::None,
            acts: Vec::new(),
        }
    }

    /// Takes over the instances that a control process before this one left. Those that took traffic go on taking it.
    pub(crate) fn adopt(&mut self, now: Duration, unix_ms: u64, world: &World<'_>) -> Vec<Act> {
        for instance in world.instances.iter().filter(|instance| instance.ended.is_none()) {
            let slot = instance.slot;
            let Some(place @ None) = self.slots.get_mut(slot as usize) else { continue };
            let age = Duration::from_millis(unix_ms.saturating_sub(instance.started_unix_ms));
            let started = now.saturating_sub(age);
            let mut held = Held::new(instance.clone(), started);
            held.shown = true;
            let fleet = &self.fleet;
            (held.phase, held.old) = mark::read(&instance.mark);
            held.until = match held.phase {
                InstancePhase::Serving => now,
                InstancePhase::WarmingUp => now + fleet.slow_start,
                InstancePhase::Draining => now + fleet.drain_time,
                InstancePhase::Stopping => now + fleet.stop_time,
                InstancePhase::Starting => started + fleet.start_time,
            };
            let is_other = instance.launch.is_some_and(|launch| launch != fleet.launch.mark());
            if is_other && !std::mem::replace(&mut held.old, true) {
                self.acts.push(Act::Mark(instance.id, mark::of(held.phase, true)));
            }
            match held.phase {
                InstancePhase::Starting => self.acts.push(Act::Ask { slot, instance: instance.clone() }),
                InstancePhase::WarmingUp => {
                    held.ready = Some(now);
                    held.written = at(world.weights, slot);
                }
                InstancePhase::Serving => held.ready = Some(started),
                InstancePhase::Draining => {
                    held.ready = Some(started);
                    self.acts.push(Act::Weigh { slot, from: None, to: 0 });
                }
                InstancePhase::Stopping => self.acts.push(Act::Terminate(instance.id)),
            }
            let (pool, name) = (&self.pool, slot + 1);
            self.acts.push(Act::Tell(format!("{pool}-{name} was there already, {}", held.phase)));
            *place = Some(held);
        }
        if let old @ 1.. = self.old() {
            self.restart = Restart::UnderWay { failed: 0 };
            self.acts
                .push(Act::Tell(format!("{}: new instances take the place of {old}, one by one", self.pool)));
        }
        std::mem::take(&mut self.acts)
    }

    /// What is to be done now, when there shall be `wanted`.
    pub(crate) fn tick(&mut self, now: Duration, wanted: u32, world: &World<'_>) -> Vec<Act> {
        self.forget_strangers(world);
        for slot in 0..self.slots.len() as u32 {
            // Its end first: nothing else matters then.
            self.notice_end(slot, now, world);
            let Some(held) = &self.slots[slot as usize] else { continue };
            match held.phase {
                InstancePhase::Starting => self.starting(slot, now, world),
                InstancePhase::WarmingUp => self.warming_up(slot, now, world),
                InstancePhase::Serving => self.serving(slot, now),
                InstancePhase::Draining => self.draining(slot, now, world),
                InstancePhase::Stopping => self.stopping(slot, now),
            }
        }
        let wanted = self.with_successor(now, wanted, world);
        self.let_go(now, wanted, world);
        self.fill(now, wanted);
        std::mem::take(&mut self.acts)
    }

    /// What came of [`Act::Start`].
    pub(crate) fn started(
        &mut self,
        slot: u32,
        now: Duration,
        came: Result<Instance, ProviderError>,
    ) -> Vec<Act> {
        match came {
            Ok(instance) => {
                self.acts.push(Act::Mark(instance.id, mark::of(InstancePhase::Starting, false)));
                self.acts.push(Act::Ask { slot, instance: instance.clone() });
                let mut held = Held::new(instance, now);
                held.until = now + self.fleet.start_time;
                self.slots[slot as usize] = Some(held);
            }
            Err(error) => {
                let name = self.name(slot);
                let again = self.failed(now, now);
                self.acts.push(Act::Trouble(format!("{name} cannot be started: {error}; {again}")));
                self.successor_failed(&format!("{name} cannot be started: {error}"));
            }
        }
        std::mem::take(&mut self.acts)
    }

    /// What an instance that is starting said to [`Act::Ask`].
    pub(crate) fn answered(&mut self, slot: u32, id: InstanceId, answer: Result<(), String>) {
        let held = self.slots.get_mut(slot as usize).and_then(Option::as_mut);
        if let Some(held) = held.filter(|held| held.instance.id == id) {
            held.answer = Some(answer);
        }
    }

    /// The instances in their slots.
    pub(crate) fn held(&self) -> impl Iterator<Item = (u32, &Held)> {
        (0..).zip(&self.slots).filter_map(|(slot, held)| Some((slot, held.as_ref()?)))
    }

    /// Instances that are there and do not leave.
    pub(crate) fn staying(&self) -> u32 {
        self.held().filter(|(_, held)| held.stays()).count() as u32
    }

    /// Whether this instance is still asked whether it answers.
    pub(crate) fn is_starting(&self, slot: u32, id: InstanceId) -> bool {
        let held = self.slots.get(slot as usize).and_then(Option::as_ref);
        held.is_some_and(|held| held.instance.id == id && held.phase == InstancePhase::Starting)
    }

    /// Where traffic goes, by slot.
    pub(crate) fn addresses(&self) -> Vec<Option<SocketAddr>> {
        self.slots
            .iter()
            .map(|held| held.as_ref()?.takes_traffic().then_some(held.as_ref()?.instance.address))
            .collect()
    }

    /// `POOL-1` for slot 0.
    pub(crate) fn name(&self, slot: u32) -> String {
        format!("{}-{}", self.pool, slot + 1)
    }

    /// The configured weight of a slot.
    pub(crate) fn full(&self, slot: u32) -> u32 {
        at(&self.full, slot).max(1)
    }

    /// Records of instances that are in no slot: ended ones are dropped, others ended.
    fn forget_strangers(&mut self, world: &World<'_>) {
        for instance in world.instances {
            if self.held().all(|(_, held)| held.instance.id != instance.id) {
                let act = if instance.ended.is_some() { Act::Forget } else { Act::Kill };
                self.acts.push(act(instance.id));
            }
        }
    }

    fn notice_end(&mut self, slot: u32, now: Duration, world: &World<'_>) {
        let Some(held) = &mut self.slots[slot as usize] else { return };
        let id = held.instance.id;
        let how = match world.instances.iter().find(|instance| instance.id == id) {
            Some(Instance { ended: None, pid, .. }) => {
                held.shown = true;
                held.instance.pid = *pid;
                return;
            }
            Some(Instance { ended: Some(how), .. }) => how.clone(),
            // Its provider may not have taken note of it yet.
            None if !held.shown => return,
            None => "nobody knows how".to_owned(),
        };
        let (phase, started, ready, old) = (held.phase, held.started, held.ready, held.old);
        self.slots[slot as usize] = None;
        self.acts.push(Act::Forget(id));
        let name = self.name(slot);
        match phase {
            InstancePhase::Stopping => self.acts.push(Act::Tell(format!("{name} has ended"))),
            InstancePhase::Draining => {
                self.acts.push(Act::Trouble(format!("{name} ended by itself while it drained ({how})")));
            }
            _ => {
                let again = match ready {
                    Some(ready) if now.saturating_sub(ready) >= FORGIVEN_AFTER => self.again(now),
                    _ => self.failed(now, started),
                };
                let after = seconds(now.saturating_sub(started));
                self.acts
                    .push(Act::Trouble(format!("{name} ended by itself after {after} ({how}); {again}")));
                if !old && ready.is_none_or(|ready| now.saturating_sub(ready) < FORGIVEN_AFTER) {
                    self.successor_failed(&format!("{name} ended by itself after {after} ({how})"));
                }
            }
        }
    }

    fn starting(&mut self, slot: u32, now: Duration, world: &World<'_>) {
        let somebody_is_warm = self.held().any(|(other, held)| {
            held.phase == InstancePhase::Serving
                && held.ready_for(now) >= self.fleet.slow_start
                && at(world.weights, other) > 0
        });
        let (name, full) = (self.name(slot), self.full(slot));
        let Some(held) = &mut self.slots[slot as usize] else { return };
        let (id, old) = (held.instance.id, held.old);
        if let Some(Ok(())) = held.answer {
            let took = seconds(now.saturating_sub(held.started));
            held.ready = Some(now);
            if somebody_is_warm && !self.fleet.slow_start.is_zero() {
                held.turn(InstancePhase::WarmingUp, now + self.fleet.slow_start);
                held.written = share_of(full, 1);
                let grows = seconds(self.fleet.slow_start);
                self.acts.extend([
                    Act::Mark(id, mark::of(InstancePhase::WarmingUp, old)),
                    Act::Weigh { slot, from: None, to: held.written },
                    Act::Tell(format!(
                        "{name} answers after {took}; its share of the traffic grows for {grows}"
                    )),
                ]);
            } else {
                // Nobody could carry the rest of its share.
                held.turn(InstancePhase::Serving, now);
                self.acts.extend([
                    Act::Mark(id, mark::of(InstancePhase::Serving, old)),
                    Act::Weigh { slot, from: None, to: full },
                    Act::Tell(format!("{name} answers after {took} and takes traffic")),
                ]);
            }
        } else if now >= held.until {
            let last = match &held.answer {
                Some(Err(last)) => format!(", the last time: {last}"),
                _ => String::new(),
            };
            let started = held.started;
            held.turn(InstancePhase::Stopping, now + KILL_EVERY);
            let (path, time) = (self.fleet.ready_path.clone(), seconds(self.fleet.start_time));
            let again = self.failed(now, started);
            let trouble =
                format!("{name} did not answer GET {path} within {time}{last}; it is killed, {again}");
            let word = mark::of(InstancePhase::Stopping, old);
            self.acts.extend([Act::Mark(id, word), Act::Kill(id), Act::Trouble(trouble)]);
            if !old {
                self.successor_failed(&format!("{name} did not answer GET {path} within {time}{last}"));
            }
        } else if now.saturating_sub(held.started) >= SILENT_MAX
            && !std::mem::replace(&mut held.silence_said, true)
        {
            let last = match &held.answer {
                Some(Err(last)) => format!(" ({last})"),
                _ => String::new(),
            };
            let (address, path) = (held.instance.address, &self.fleet.ready_path);
            let more = seconds(held.until.saturating_sub(now));
            self.acts.push(Act::Tell(format!(
                "{name} does not answer GET {path} at {address} yet{last}; it has {more} more"
            )));
        }
    }

    fn warming_up(&mut self, slot: u32, now: Duration, world: &World<'_>) {
        let full = self.full(slot);
        let Some(held) = &mut self.slots[slot as usize] else { return };
        let share = match self.fleet.slow_start.as_secs_f64() {
            whole if whole > 0.0 => held.ready_for(now).as_secs_f64() / whole,
            _ => 1.0,
        };
        let step = 1 + (share * f64::from(STEPS - 1)).clamp(0.0, f64::from(STEPS - 1)) as u32;
        let weight = if now >= held.until { full } else { share_of(full, step) };
        // Never back: a new control process begins where the one before it was.
        if weight > held.written {
            // Somebody else turned it: it is theirs now.
            if at(world.weights, slot) == held.written {
                self.acts.push(Act::Weigh { slot, from: Some(held.written), to: weight });
                held.written = weight;
            }
        }
        if now >= held.until {
            held.turn(InstancePhase::Serving, now);
            if let Restart::UnderWay { failed } = &mut self.restart
                && !held.old
            {
                *failed = 0;
            }
            self.acts.push(Act::Mark(held.instance.id, mark::of(InstancePhase::Serving, held.old)));
        }
    }

    fn serving(&mut self, slot: u32, now: Duration) {
        let Some(held) = &self.slots[slot as usize] else { return };
        let after_the_last = self.failed_at.is_some_and(|failed| held.started >= failed);
        if after_the_last && held.ready_for(now) >= FORGIVEN_AFTER {
            (self.failures, self.failed_at) = (0, None);
        }
    }

    fn draining(&mut self, slot: u32, now: Duration, world: &World<'_>) {
        let name = self.name(slot);
        let Some(held) = &mut self.slots[slot as usize] else { return };
        let in_flight = at(world.in_flight, slot);
        // The version at this look holds the weight of 0 that was written after the look before.
        let needs = *held.needs.get_or_insert(world.weights_version);
        held.empty = if world.weights_taken >= needs && in_flight == 0 { held.empty + 1 } else { 0 };
        let late = now >= held.until;
        if late || held.empty >= EMPTY_LOOKS {
            let id = held.instance.id;
            if late && in_flight > 0 {
                let time = seconds(self.fleet.drain_time);
                let cut = format!(
                    "{name} still has {in_flight} requests in flight after {time}; it is ended all the same"
                );
                self.acts.push(Act::Trouble(cut));
            }
            held.turn(InstancePhase::Stopping, now + self.fleet.stop_time);
            let word = mark::of(InstancePhase::Stopping, held.old);
            self.acts.extend([Act::Mark(id, word), Act::Terminate(id)]);
        }
    }

    fn stopping(&mut self, slot: u32, now: Duration) {
        let name = self.name(slot);
        let Some(held) = &mut self.slots[slot as usize] else { return };
        if now >= held.until {
            held.until = now + KILL_EVERY;
            let id = held.instance.id;
            self.acts.extend([
                Act::Kill(id),
                Act::Trouble(format!("{name} does not end by itself; it is killed")),
            ]);
        }
    }

    /// Those beyond `wanted` leave. First the old ones of a restart, then who takes no traffic yet or any more, for nobody misses it; then the highest slot, so
    /// that the low ones keep their warm caches for long and names on charts do not jump. Not the one with the fewest
    /// requests: least-requests balancing makes them all alike, and the drain waits for them anyway.
    fn let_go(&mut self, now: Duration, wanted: u32, world: &World<'_>) {
        let is_sick = |slot: u32| world.sick.get(slot as usize) == Some(&true);
        let restarts = matches!(self.restart, Restart::UnderWay { .. });
        for _ in wanted..self.staying() {
            let leaves = self.held().filter(|(_, held)| held.stays());
            let Some(slot) = leaves
                .max_by_key(|(slot, held)| {
                    (held.old && restarts, !held.takes_traffic(), is_sick(*slot), *slot)
                })
                .map(|(slot, _)| slot)
            else {
                return;
            };
            let name = self.name(slot);
            let Some(held) = &mut self.slots[slot as usize] else { return };
            let id = held.instance.id;
            if held.takes_traffic() {
                held.turn(InstancePhase::Draining, now + self.fleet.drain_time);
                (held.empty, held.needs) = (0, None);
                let in_flight = at(world.in_flight, slot);
                let time = seconds(self.fleet.drain_time);
                self.acts.extend([
                    Act::Mark(id, mark::of(InstancePhase::Draining, held.old)),
                    Act::Weigh { slot, from: None, to: 0 },
                    Act::Tell(format!(
                        "{name} gets no new requests; {in_flight} in flight may finish within {time}"
                    )),
                ]);
            } else {
                held.turn(InstancePhase::Stopping, now + self.fleet.stop_time);
                self.acts.extend([
                    Act::Mark(id, mark::of(InstancePhase::Stopping, held.old)),
                    Act::Terminate(id),
                    Act::Tell(format!("{name} is ended before it answered")),
                ]);
            }
        }
    }

    /// Those that are missing come: who still drains turns round, warm as it is; others are started, the lowest free
    /// slot first. Failed starts make all of them wait, for they run the same program.
    fn fill(&mut self, now: Duration, wanted: u32) {
        let restarts = matches!(self.restart, Restart::UnderWay { .. });
        let mut missing = wanted.saturating_sub(self.staying());
        for slot in 0..self.slots.len() as u32 {
            let (name, full) = (self.name(slot), self.full(slot));
            let Some(held) = &mut self.slots[slot as usize] else { continue };
            if missing == 0 || held.phase != InstancePhase::Draining || (held.old && restarts) {
                continue;
            }
            missing -= 1;
            held.turn(InstancePhase::Serving, now);
            self.acts.extend([
                Act::Mark(held.instance.id, mark::of(InstancePhase::Serving, held.old)),
                Act::Weigh { slot, from: None, to: full },
                Act::Tell(format!("{name} is wanted again and stays")),
            ]);
        }
        if now < self.pause_until {
            return;
        }
        // The last one is for a successor.
        let slots =
            if restarts { self.slots.len() as u32 } else { self.fleet.max.min(self.slots.len() as u32) };
        let free = (0..slots).filter(|slot| self.slots[*slot as usize].is_none());
        self.acts.extend(free.take(missing as usize).map(|slot| Act::Start { slot }));
    }

    /// Counts a failed start of an instance started then; says when the next one comes. Several that were started
    /// together and failed together count once.
    fn failed(&mut self, now: Duration, started: Duration) -> String {
        if self.failed_at.is_none_or(|failed| started >= failed) {
            let pause =
                PAUSE_MIN.saturating_mul(1u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(PAUSE_MAX);
            self.failures = (self.failures + 1).min(31);
            self.failed_at = Some(now);
            self.pause_until = now + pause;
        }
        self.again(now)
    }

    fn again(&self, now: Duration) -> String {
        match self.pause_until.saturating_sub(now) {
            Duration::ZERO => "another one is started".to_owned(),
            pause => {
                format!("another one is started in {} (failed starts: {})", seconds(pause), self.failures)
            }
        }
    }
}

impl Held {
    fn new(instance: Instance, started: Duration) -> Self {
        Self {
            instance,
            phase: InstancePhase::Starting,
            old: false,
            started,
            ready: None,
            until: started,
            answer: None,
            silence_said: false,
            shown: false,
            written: 0,
            empty: 0,
            needs: None,
        }
    }

    /// How long it has taken traffic.
    pub(crate) fn ready_for(&self, now: Duration) -> Duration {
        self.ready.map_or(Duration::ZERO, |ready| now.saturating_sub(ready))
    }

    /// It is one of those that are wanted.
    pub(crate) fn stays(&self) -> bool {
        !matches!(self.phase, InstancePhase::Draining | InstancePhase::Stopping)
    }

    /// Its address is published. While it drains too, for requests that chose it just before.
    pub(crate) fn takes_traffic(&self) -> bool {
        matches!(self.phase, InstancePhase::WarmingUp | InstancePhase::Serving | InstancePhase::Draining)
    }

    fn turn(&mut self, phase: InstancePhase, until: Duration) {
        (self.phase, self.until) = (phase, until);
    }
}

pub(crate) fn at(list: &[u32], slot: u32) -> u32 {
    list.get(slot as usize).copied().unwrap_or(0)
}

/// So many tenths of a weight, at least 1.
fn share_of(full: u32, tenths: u32) -> u32 {
    (full * tenths / STEPS).max(1)
}

/// `1.2 s`, `30 s`.
fn seconds(duration: Duration) -> String {
    let tenths = duration.as_millis() / 100;
    if tenths.is_multiple_of(10) {
        format!("{} s", tenths / 10)
    } else {
        format!("{}.{} s", tenths / 10, tenths % 10)
    }
}

#[cfg(test)]
#[path = "restart_tests.rs"]
mod restart_tests;
#[cfg(test)]
#[path = "slots_tests.rs"]
mod tests;
