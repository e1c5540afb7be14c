//! The shell: one task a fleet that looks four times a second, asks the decision once a second, performs what `slots`
//! says, and publishes addresses, weights and status. All tasks end when [`Running`] is dropped; instances go on.

use crate::measure::Measure;
use crate::ready;
use crate::retire;
use crate::slots::{Act, Slots, World};
use std::collections::{HashMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tentpole_model::{
    Dials, DownReason, Fleet, FleetAddresses, FleetDecision, FleetRestart, FleetStatus, Health, Instance,
    InstanceId, InstancePhase, InstanceStatus, Member, Membership, Provider, RestartError, RestartPort,
    Snapshot,
};
use tentpole_runtime::{Cell, Cells, Published, clock, secret};
use tentpole_scale::{Rules, Scaler, Seen};
use tokio::sync::{mpsc, oneshot};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

/// Time between two looks at the instances.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// Time between two decisions, samples of the CPU and words about the status.
const DECIDE_EVERY: Duration = Duration::from_secs(1);
/// Time between two questions to an instance that is starting.
const ASK_EVERY: Duration = Duration::from_millis(100);
/// Decisions that are kept for people to see.
const DECISIONS_MAX: usize = 100;
/// Answers on their way to the fleet's task; more wait.
const ANSWERS_MAX: usize = 64;
/// Where the fleet's time begins, so that what was before it can be said.
const BEGINNING: Duration = Duration::from_secs(30 * 24 * 3_600);

/// Everything that the fleets need.
pub struct FleetParts {
    /// The pools, some of which have a fleet.
    pub snapshot: Arc<Snapshot>,
    /// Where instances are made.
    pub provider: Arc<dyn Provider>,
    /// What the edge counts of each slot.
    pub cells: Arc<Cells>,
    /// Who is in traffic, as health judges.
    pub membership: Arc<Published<Membership>>,
    /// The weights in force: those of fleets' slots are turned here.
    pub dials: Arc<Published<Dials>>,
    /// Where instances take traffic; written here, read by health.
    pub addresses: Arc<Published<FleetAddresses>>,
    /// What the fleets do, in the order of their pools; written here, read by the admin API.
    pub status: Arc<Published<Vec<FleetStatus>>>,
    /// What fleets did before these, in the same process: what they decided stays to be seen, and nobody need be told that
    /// instances were there already.
    pub before: Option<Vec<FleetStatus>>,
    /// Is told in a sentence what happened; must not block.
    pub on_event: Box<dyn Fn(String) + Send + Sync>,
}

/// The fleets as they run; dropping it ends their care and leaves the instances as they are.
#[derive(Debug)]
pub struct Running {
    _tasks: JoinSet<()>,
    restarts: Arc<Restarts>,
}

/// Where a restart of each fleet is asked for.
#[derive(Debug)]
struct Restarts(Vec<(String, mpsc::Sender<oneshot::Sender<()>>)>);

impl RestartPort for Restarts {
    fn restart(&self, pool: &str) -> Pin<Box<dyn Future<Output = Result<(), RestartError>> + Send>> {
        let fleet = self.0.iter().find(|(name, _)| name == pool).map(|(_, fleet)| fleet.clone());
        Box::pin(async move {
            let (begun, begins) = oneshot::channel();
            fleet.ok_or(RestartError::NoFleet)?.try_send(begun).map_err(|_| RestartError::Busy)?;
            begins.await.map_err(|_| RestartError::Busy)
        })
    }
}

impl Running {
    /// Restarts their instances.
    pub fn restarts(&self) -> Arc<dyn RestartPort> {
        self.restarts.clone()
    }
}

/// One fleet's task.
struct Care {
    parts: Arc<FleetParts>,
    /// The pool's place in the Snapshot, and the fleet's among the fleets.
    pool: usize,
    place: usize,
    fleet: Fleet,
    slots: Slots,
    scaler: Scaler,
    cells: Vec<Arc<Cell>>,
    measures: HashMap<InstanceId, Measure>,
    decisions: VecDeque<FleetDecision>,
    weights_taken: Arc<AtomicU64>,
    asking: JoinSet<()>,
    asked: Vec<(u32, InstanceId, AbortHandle)>,
    answers: mpsc::Sender<Answer>,
    began: Instant,
    decided: Option<Duration>,
}

type Answer = (u32, InstanceId, Result<(), String>);

impl FleetParts {
    /// Takes over the instances that are there and publishes where they take traffic; then cares for the fleets on the
    /// calling tokio runtime, which needs its time and network drivers.
    pub fn start(self) -> Running {
        let parts = Arc::new(self);
        let mut tasks = JoinSet::new();
        let pools = &parts.snapshot.pools;
        parts.addresses.update(|now| {
            let slots = |pool: &tentpole_model::Pool| match &pool.fleet {
                Some(_) => vec![None; pool.endpoints.len()],
                None => Vec::new(),
            };
            let empty = FleetAddresses { pools: pools.iter().map(slots).collect() };
            (*now != empty).then_some(empty)
        });
        let weights_taken = Arc::new(AtomicU64::new(0));
        tasks.spawn(follow_weights(parts.dials.clone(), weights_taken.clone()));
        tasks.spawn(retire::go_on(parts.clone()));
        let fleets = pools.iter().enumerate().filter_map(|(at, pool)| Some((at, pool.fleet.as_ref()?)));
        parts.status.publish(fleets.clone().map(|(pool, fleet)| first_status(&parts, pool, fleet)).collect());
        let mut restarts = Vec::new();
        for (place, (pool, fleet)) in fleets.enumerate() {
            let (answers, answered) = mpsc::channel(ANSWERS_MAX);
            let mut care = Care::new(parts.clone(), pool, place, fleet, weights_taken.clone(), answers);
            care.adopt();
            let (restart, asked) = mpsc::channel(1);
            restarts.push((parts.snapshot.pools[pool].name.clone(), restart));
            tasks.spawn(care.go_on(answered, asked));
        }
        Running { _tasks: tasks, restarts: Arc::new(Restarts(restarts)) }
    }
}

/// Keeps the version of the weights that every data thread has taken.
async fn follow_weights(dials: Arc<Published<Dials>>, taken: Arc<AtomicU64>) {
    loop {
        let version = dials.version();
        dials.taken_by_all(version).await;
        taken.store(version, Ordering::Relaxed);
        dials.changed_since(version).await;
    }
}

/// Asks an instance until it answers; tells each answer.
async fn ask(slot: u32, instance: Instance, path: String, own_lines: String, answers: mpsc::Sender<Answer>) {
    loop {
        let answer =
            ready::ask(instance.address, &path, &own_lines).await.map_err(|not_ready| not_ready.to_string());
        let ready = answer.is_ok();
        if answers.send((slot, instance.id, answer)).await.is_err() || ready {
            return;
        }
        sleep(ASK_EVERY).await;
    }
}

impl Care {
    fn new(
        parts: Arc<FleetParts>,
        pool: usize,
        place: usize,
        fleet: &Fleet,
        weights_taken: Arc<AtomicU64>,
        answers: mpsc::Sender<Answer>,
    ) -> Self {
        let endpoints = &parts.snapshot.pools[pool].endpoints;
        let name = &parts.snapshot.pools[pool].name;
        let cells = endpoints.iter().map(|endpoint| parts.cells.of(name, &endpoint.authority())).collect();
        let before = parts.before.iter().flatten().find(|status| status.pool == *name);
        let decisions = before.map(|status| status.decisions.iter().cloned().collect()).unwrap_or_default();
        let slots = Slots::new(name, fleet, endpoints.iter().map(|endpoint| endpoint.weight).collect());
        Self {
            pool,
            place,
            fleet: fleet.clone(),
            slots,
            scaler: Scaler::new(Rules::of(fleet), 0),
            cells,
            measures: HashMap::new(),
            decisions,
            weights_taken,
            asking: JoinSet::new(),
            asked: Vec::new(),
            answers,
            began: Instant::now(),
            decided: None,
            parts,
        }
    }

    fn adopt(&mut self) {
        let (now, unix_ms) = (self.now(), unix_ms());
        let (instances, in_flight) = (self.instances(), self.in_flight());
        let (_, weights) = self.weights();
        let world = World {
            instances: &instances,
            in_flight: &in_flight,
            sick: &[],
            weights: &weights,
            weights_version: 0,
            weights_taken: 0,
        };
        let mut acts = self.slots.adopt(now, unix_ms, &world);
        if self.parts.before.is_some() {
            acts.retain(|act| !matches!(act, Act::Tell(_)));
        }
        let there_are = self.slots.staying();
        if there_are > 0 {
            self.scaler = Scaler::new(Rules::of(&self.fleet), there_are);
        }
        self.perform(acts);
        // Before anybody asks: whoever took traffic goes on taking it.
        self.publish_addresses();
        self.look();
    }

    async fn go_on(
        mut self,
        mut answered: mpsc::Receiver<Answer>,
        mut restarts: mpsc::Receiver<oneshot::Sender<()>>,
    ) {
        let mut turns = interval(LOOK_EVERY);
        turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = turns.tick() => self.look(),
                Some(begun) = restarts.recv() => {
                    let acts = self.slots.restart();
                    self.perform(acts);
                    self.look();
                    self.show();
                    // Who asked may have left.
                    let _ = begun.send(());
                }
                Some((slot, id, answer)) = answered.recv() => {
                    let ready = answer.is_ok();
                    self.slots.answered(slot, id, answer);
                    if ready {
                        self.look();
                    }
                }
            }
            // Those that have ended would be kept for their results.
            while self.asking.try_join_next().is_some() {}
        }
    }

    /// Looks at everything once, decides when it is time, and does what follows.
    fn look(&mut self) {
        let now = self.now();
        let (instances, in_flight) = (self.instances(), self.in_flight());
        let decides = self.decided.is_none_or(|decided| now >= decided + DECIDE_EVERY);
        for (slot, held) in self.slots.held() {
            let measure = self.measures.entry(held.instance.id).or_default();
            measure.looked(in_flight[slot as usize]);
        }
        if decides {
            self.decided = Some(now);
            self.decide(now);
        }
        let (weights_version, weights) = self.weights();
        let sick = self.sick();
        let world = World {
            instances: &instances,
            in_flight: &in_flight,
            sick: &sick,
            weights: &weights,
            weights_version,
            weights_taken: self.weights_taken.load(Ordering::Relaxed),
        };
        let acts = self.slots.tick(now, self.scaler.wanted(), &world);
        self.perform(acts);
        self.publish_addresses();
        self.end_old_questions();
        if decides {
            self.publish_status(&in_flight);
        }
    }

    fn decide(&mut self, now: Duration) {
        let cpus = self.fleet.cpus;
        let (_, weights) = self.weights();
        let sick = self.sick();
        let Self { slots, measures, parts, .. } = self;
        measures.retain(|id, _| slots.held().any(|(_, held)| held.instance.id == *id));
        let seen: Vec<Seen> = slots
            .held()
            .map(|(slot, held)| {
                let measure = measures.entry(held.instance.id).or_default();
                let takes = matches!(held.phase, InstancePhase::WarmingUp | InstancePhase::Serving);
                let at = slot as usize;
                let carries_nothing = weights.get(at) == Some(&0) || sick.get(at) == Some(&true);
                Seen {
                    phase: held.phase,
                    ready_for: held.ready_for(now),
                    cpu_share: measure.cpu(now, parts.provider.cpu_time(held.instance.id), cpus),
                    in_flight: measure.in_flight(),
                    set_aside: takes && carries_nothing,
                }
            })
            .collect();
        let from = self.scaler.wanted();
        let decision = self.scaler.step(now, &seen);
        if let Some(why) = decision.why {
            let to = decision.wanted;
            let many = if to == 1 { "instance" } else { "instances" };
            self.tell(match from {
                0 => format!("starts with {to} {many}: {why}"),
                _ if from == to => format!("stays at {to}: {why}"),
                _ => format!("{from} → {to} {many}: {why}"),
            });
            self.note(from, to, why.to_string());
        }
    }

    fn perform(&mut self, acts: Vec<Act>) {
        let provider = self.parts.provider.clone();
        // Starting answers with more to do, none of which starts anything.
        let mut acts = VecDeque::from(acts);
        while let Some(act) = acts.pop_front() {
            match act {
                Act::Start { slot } => {
                    let pool = self.parts.snapshot.pools[self.pool].name.clone();
                    let came = provider.start(&pool, slot, &self.fleet.launch);
                    let now = self.now();
                    acts.extend(self.slots.started(slot, now, came));
                }
                Act::Ask { slot, instance } => self.ask(slot, instance),
                Act::Mark(id, word) => provider.mark(id, word),
                Act::Weigh { slot, from, to } => self.weigh(slot, from, to),
                Act::Terminate(id) => provider.terminate(id),
                Act::Kill(id) => provider.kill(id),
                Act::Forget(id) => provider.forget(id),
                Act::Tell(text) => self.tell(text),
                Act::Trouble(text) => {
                    self.tell(text.clone());
                    let wanted = self.scaler.wanted();
                    self.note(wanted, wanted, text);
                }
            }
        }
    }

    fn ask(&mut self, slot: u32, instance: Instance) {
        let (id, path) = (instance.id, self.fleet.ready_path.clone());
        let own_lines = secret::lines(&self.parts.snapshot.pools[self.pool].send);
        let asking = self.asking.spawn(ask(slot, instance, path, own_lines, self.answers.clone()));
        self.asked.push((slot, id, asking));
    }

    fn end_old_questions(&mut self) {
        let slots = &self.slots;
        self.asked.retain(|(slot, id, asking)| {
            let goes_on = slots.is_starting(*slot, *id);
            if !goes_on {
                asking.abort();
            }
            goes_on
        });
    }

    /// Turns one weight; not when somebody else turned it meanwhile.
    fn weigh(&self, slot: u32, from: Option<u32>, to: u32) {
        self.parts.dials.update(|dials| {
            let now = *dials.weights.get(self.pool)?.get(slot as usize)?;
            if now == to || from.is_some_and(|from| from != now) {
                return None;
            }
            let mut next = dials.clone();
            next.weights[self.pool][slot as usize] = to;
            Some(next)
        });
    }

    fn publish_addresses(&self) {
        let mine = self.slots.addresses();
        self.parts.addresses.update(|now| {
            if now.pools.get(self.pool)? == &mine {
                return None;
            }
            let mut next = now.clone();
            next.pools[self.pool] = mine;
            Some(next)
        });
    }

    /// Since it was first told; one that is asked for after another has stopped begins anew.
    fn with_since(&self, restart: FleetRestart) -> FleetRestart {
        let told = self.parts.status.get().get(self.place).and_then(|status| status.restart.clone());
        let same = told.filter(|told| told.stopped.is_none() || restart.stopped.is_some());
        let since_unix_ms = same.map_or_else(|| clock::now().unix_us() / 1_000, |told| told.since_unix_ms);
        FleetRestart { since_unix_ms, ..restart }
    }

    fn publish_status(&self, in_flight: &[u32]) {
        let (_, weights) = self.weights();
        let status = |slot: u32, held: &crate::slots::Held| InstanceStatus {
            id: held.instance.id,
            name: self.slots.name(slot),
            phase: held.phase,
            address: held.instance.address,
            pid: held.instance.pid,
            started_unix_ms: held.instance.started_unix_ms,
            cpu_share: self.measures.get(&held.instance.id).and_then(Measure::shown),
            in_flight: in_flight[slot as usize],
            weight_share: match weights.get(slot as usize) {
                Some(weight) if held.takes_traffic() => f64::from(*weight) / f64::from(self.slots.full(slot)),
                _ => 0.0,
            },
        };
        let instances: Vec<_> = self.slots.held().map(|(slot, held)| status(slot, held)).collect();
        let serving = instances.iter().filter(|it| it.phase == InstancePhase::Serving);
        let shares: Vec<f64> = serving.filter_map(|it| it.cpu_share).collect();
        let restart = self.slots.restarting(self.scaler.wanted()).map(|restart| self.with_since(restart));
        let next = FleetStatus {
            wanted: self.scaler.wanted(),
            cpu_share: (!shares.is_empty()).then(|| shares.iter().sum::<f64>() / shares.len() as f64),
            instances,
            restart,
            decisions: self.decisions.iter().cloned().collect(),
            ..first_status(&self.parts, self.pool, &self.fleet)
        };
        self.parts.status.update(|now| {
            if now.get(self.place)? == &next {
                return None;
            }
            let mut all = now.clone();
            all[self.place] = next;
            Some(all)
        });
    }

    /// Shows what is now, without waiting for the next decision.
    fn show(&self) {
        self.publish_status(&self.in_flight());
    }

    fn note(&mut self, from: u32, to: u32, why: String) {
        if self.decisions.len() == DECISIONS_MAX {
            self.decisions.pop_front();
        }
        self.decisions.push_back(FleetDecision { at_unix_ms: unix_ms(), from, to, why });
    }

    fn tell(&self, text: String) {
        (self.parts.on_event)(format!("fleet {}: {text}", self.parts.snapshot.pools[self.pool].name));
    }

    fn instances(&self) -> Vec<Instance> {
        let pool = &self.parts.snapshot.pools[self.pool].name;
        // Those beyond the last slot leave (`retire`).
        let mine = |it: &Instance| it.pool == *pool && (it.slot as usize) < self.cells.len();
        self.parts.provider.instances().into_iter().filter(mine).collect()
    }

    fn in_flight(&self) -> Vec<u32> {
        self.cells.iter().map(|cell| cell.in_flight.load(Ordering::Relaxed)).collect()
    }

    /// Who is out of traffic because it does not answer well; a slot without an instance is nobody.
    fn sick(&self) -> Vec<bool> {
        let membership = self.parts.membership.get();
        let is_sick = |member: &Member| {
            !matches!(member.health, Health::Up | Health::LastOne(_) | Health::Down(DownReason::NoAddress))
        };
        membership.pools.get(self.pool).map_or(Vec::new(), |pool| pool.members.iter().map(is_sick).collect())
    }

    fn weights(&self) -> (u64, Vec<u32>) {
        let (version, dials) = self.parts.dials.versioned();
        (version, dials.weights.get(self.pool).cloned().unwrap_or_default())
    }

    /// Time on tokio's clock, which tests can turn.
    fn now(&self) -> Duration {
        BEGINNING + self.began.elapsed()
    }
}

fn first_status(parts: &FleetParts, pool: usize, fleet: &Fleet) -> FleetStatus {
    FleetStatus {
        pool: parts.snapshot.pools[pool].name.clone(),
        min: fleet.min,
        max: fleet.max,
        wanted: fleet.min,
        cpu_target: fleet.cpu_target,
        requests_target: fleet.requests_target,
        ..FleetStatus::default()
    }
}

fn unix_ms() -> u64 {
    clock::now().unix_us() / 1_000
}
