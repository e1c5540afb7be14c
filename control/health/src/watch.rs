//! The shell around the decision: one task an endpoint that probes, one a name that resolves, one that reads what the
//! edge counted. Each tells the Ward, which judges and publishes. All of them end when the [`Watching`] is dropped.

use crate::event::{self, Event};
use crate::names;
use crate::probe::{self, Bad};
use crate::verdict::{Judge, Rules};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_model::{
    Dials, DownReason, Endpoint, FleetAddresses, Health, HealthCheck, Member, Membership, Pool, PoolMembers,
    Snapshot,
};
use tentpole_runtime::{Cell, Cells, Published, Random, clock, secret};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How long the first answers of all names may take together.
const FIRST_NAMES_MAX: Duration = Duration::from_secs(5);
/// Time between two questions for a name.
const RESOLVE_EVERY: Duration = Duration::from_secs(30);
/// Time between two questions for a name that never had an answer.
const RESOLVE_MISSING_EVERY: Duration = Duration::from_secs(2);
/// Time between two looks at what the edge counted.
const COUNTS_EVERY: Duration = Duration::from_millis(200);
/// Without active probes: time between two attempts to connect to an endpoint that failures took out.
const CONNECT_EVERY: Duration = Duration::from_secs(1);

/// Everything that watching the endpoints needs.
pub struct Watch {
    /// The pools and their endpoints.
    pub snapshot: Arc<Snapshot>,
    /// Where the verdicts go.
    pub membership: Arc<Published<Membership>>,
    /// The weights in force: a drained endpoint does not count as one that is left.
    pub dials: Arc<Published<Dials>>,
    /// What the edge counts of each endpoint.
    pub cells: Arc<Cells>,
    /// Where the instances of fleets are: the endpoints of such a pool have no names to look up.
    pub fleets: Arc<Published<FleetAddresses>>,
    /// What an edge already works with: it goes on from there. Ignored where it does not fit the Snapshot.
    pub initial: Option<Membership>,
    /// The watch that this one takes the place of: what it knew of endpoints that stay is known on.
    pub before: Option<Before>,
    /// Is told each change; must not block.
    pub on_event: Box<dyn Fn(Event) + Send + Sync>,
}

/// The watch as it runs; dropping it ends it.
pub struct Watching {
    ward: Arc<Ward>,
    _tasks: JoinSet<()>,
}

/// What a watch knew.
#[derive(Clone)]
pub struct Before(Arc<Ward>);

impl Watching {
    /// What it knows, for the one that takes its place.
    pub fn knowledge(&self) -> Before {
        Before(self.ward.clone())
    }
}

/// What is known, and who is told.
struct Ward {
    watch: Watch,
    pools: Mutex<Vec<Watched>>,
}

/// One pool.
struct Watched {
    judge: Judge,
    endpoints: Vec<Known>,
}

/// One endpoint.
struct Known {
    cell: Arc<Cell>,
    /// It is a slot of a fleet.
    slot: bool,
    addresses: Vec<SocketAddr>,
    /// The last thing that went wrong.
    trouble: String,
    /// What was last published.
    health: Health,
}

/// Which endpoint: its pool's place and its own.
#[derive(Clone, Copy)]
struct Place {
    pool: usize,
    endpoint: usize,
}

impl Watch {
    /// Resolves all names once (at most 5 s), publishes a first Membership with every endpoint up that has an address
    /// and was not down in `initial`, and goes on watching. Runs on the calling tokio runtime, which needs its time and network drivers.
    pub async fn start(self) -> Watching {
        let mut this = self;
        let before = this.before.take();
        let ward = Arc::new(Ward::new(this));
        let mut tasks = JoinSet::new();
        let mut first_answers = JoinSet::new();
        ward.restore();
        if let Some(Before(before)) = before {
            ward.go_on_from(&before);
        }
        let fleets_seen = ward.follow_fleets();
        for place in ward.places().into_iter().filter(|place| !ward.is_slot(*place)) {
            let endpoint = ward.endpoint(place);
            if let Some(address) = names::literal(&endpoint.host, endpoint.port) {
                ward.resolved(place, Ok(vec![address]));
                continue;
            }
            let (answered, first_answer) = tokio::sync::oneshot::channel();
            // Who stood somewhere before can be asked there meanwhile.
            if ward.addresses(place).is_empty() {
                first_answers.spawn(first_answer);
            }
            tasks.spawn(resolve(ward.clone(), place, answered));
        }
        let _ = timeout(FIRST_NAMES_MAX, first_answers.join_all()).await;
        ward.publish();
        for place in ward.places() {
            tasks.spawn(ask(ward.clone(), place));
        }
        tasks.spawn(follow(ward.clone(), fleets_seen));
        tasks.spawn(count(ward.clone()));
        Watching { ward, _tasks: tasks }
    }
}

/// Resolves one name for ever; tells `answered` once, whatever the first answer was.
async fn resolve(ward: Arc<Ward>, place: Place, answered: tokio::sync::oneshot::Sender<()>) {
    let (host, port) = (ward.endpoint(place).host.clone(), ward.endpoint(place).port);
    let mut answered = Some(answered);
    loop {
        // Without a time-out: the system's has one, and giving up early would leave one of its threads behind.
        ward.resolved(place, names::look_up(&host, port).await);
        let waited_for = answered.take().is_some_and(|answered| answered.send(()).is_ok());
        if !waited_for {
            ward.publish();
        }
        let missing = ward.addresses(place).is_empty();
        sleep(if missing { RESOLVE_MISSING_EVERY } else { RESOLVE_EVERY }).await;
    }
}

/// Takes over where instances are, for ever.
async fn follow(ward: Arc<Ward>, mut seen: u64) {
    loop {
        ward.watch.fleets.changed_since(seen).await;
        seen = ward.follow_fleets();
        ward.publish();
    }
}

/// Probes one endpoint for ever.
async fn ask(ward: Arc<Ward>, place: Place) {
    match ward.pool(place).health.clone() {
        Some(check) => ask_actively(ward, place, &check).await,
        None => ask_while_out(ward, place).await,
    }
}

async fn ask_actively(ward: Arc<Ward>, place: Place, check: &HealthCheck) {
    let own_lines = secret::lines(&ward.pool(place).send);
    let named = (!ward.is_slot(place)).then(|| ward.endpoint(place).authority());
    // Spread over the interval, so that many endpoints are not asked at once.
    let spread = Random::from_seed(ward.number(place)).next_u64() % 1_000;
    sleep(check.interval.mul_f64(spread as f64 / 1_000.0).min(CONNECT_EVERY)).await;
    let mut turns = interval(check.interval.max(Duration::from_millis(1)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let addresses = ward.addresses(place);
        if let Some(first) = addresses.first() {
            // A slot's name means nothing to the application.
            let authority = named.clone().unwrap_or_else(|| first.to_string());
            let result = probe::get(&addresses, &authority, &check.path, &own_lines, check.timeout).await;
            ward.probed(place, &addresses, result);
        }
    }
}

/// Without active probes nobody is asked but those that failures took out.
async fn ask_while_out(ward: Arc<Ward>, place: Place) {
    let time = ward.pool(place).timeouts.connect;
    let mut turns = interval(CONNECT_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let addresses = ward.addresses(place);
        if ward.is_out_by_failures(place) && !addresses.is_empty() {
            let result = probe::connect(&addresses, time).await;
            ward.probed(place, &addresses, result);
        }
    }
}

/// Reads what the edge counted, and what the weights are, for ever.
async fn count(ward: Arc<Ward>) {
    let mut turns = interval(COUNTS_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        ward.counted();
    }
}

impl Ward {
    fn new(watch: Watch) -> Self {
        let pools = watch.snapshot.pools.iter().map(|pool| Watched {
            judge: Judge::new(Rules::of(pool), pool.endpoints.len()),
            endpoints: pool
                .endpoints
                .iter()
                .map(|endpoint| Known::new(pool, endpoint, &watch.cells))
                .collect(),
        });
        let pools = Mutex::new(pools.collect());
        Self { watch, pools }
    }

    fn places(&self) -> Vec<Place> {
        let pools = self.watch.snapshot.pools.iter().enumerate();
        pools
            .flat_map(|(pool, p)| (0..p.endpoints.len()).map(move |endpoint| Place { pool, endpoint }))
            .collect()
    }

    fn pool(&self, place: Place) -> &Pool {
        &self.watch.snapshot.pools[place.pool]
    }

    fn endpoint(&self, place: Place) -> &Endpoint {
        &self.pool(place).endpoints[place.endpoint]
    }

    fn pools(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of its cell, which no other endpoint has.
    fn number(&self, place: Place) -> u64 {
        u64::from(self.pools()[place.pool].endpoints[place.endpoint].cell.slot)
    }

    fn addresses(&self, place: Place) -> Vec<SocketAddr> {
        self.pools()[place.pool].endpoints[place.endpoint].addresses.clone()
    }

    fn is_out_by_failures(&self, place: Place) -> bool {
        self.pools()[place.pool].judge.is_out_by_failures(place.endpoint)
    }

    fn is_slot(&self, place: Place) -> bool {
        self.pool(place).fleet.is_some()
    }

    /// Goes on from what was published before.
    fn restore(&self) {
        let Some(initial) = &self.watch.initial else { return };
        let now = clock::now();
        for (watched, before) in self.pools().iter_mut().zip(&initial.pools) {
            if watched.endpoints.len() != before.members.len() {
                continue;
            }
            let Watched { judge, endpoints } = watched;
            for (at, (known, member)) in endpoints.iter_mut().zip(&before.members).enumerate() {
                known.addresses = member.addresses.clone();
                known.health = member.health;
                judge.resolved(at, !known.addresses.is_empty());
                judge.restored(at, now, member.health);
            }
        }
    }

    /// Takes over what another watch knew of endpoints that are here too: half a series of probes, and trouble.
    fn go_on_from(&self, before: &Self) {
        let before = before.pools();
        let known =
            before.iter().flat_map(|watched| (0..).zip(&watched.endpoints).map(move |it| (watched, it)));
        let by_cell: HashMap<u32, _> =
            known.map(|(watched, (at, known))| (known.cell.slot, (watched, at, known))).collect();
        for watched in self.pools().iter_mut() {
            let Watched { judge, endpoints } = watched;
            for (at, known) in endpoints.iter_mut().enumerate() {
                let Some((was, its, other)) = by_cell.get(&known.cell.slot) else { continue };
                if other.slot != known.slot {
                    continue;
                }
                judge.take_over(at, &was.judge, *its);
                known.addresses.clone_from(&other.addresses);
                known.trouble.clone_from(&other.trouble);
                known.health = other.health;
                judge.resolved(at, !known.addresses.is_empty());
            }
        }
    }

    /// Takes over where instances are; returns the version of that. Who stands at a new address is judged anew.
    fn follow_fleets(&self) -> u64 {
        let (version, now) = self.watch.fleets.versioned();
        let mut pools = self.pools();
        let pools = self.watch.snapshot.pools.iter().zip(pools.iter_mut()).enumerate();
        for (at, (_, watched)) in pools.filter(|(_, (pool, _))| pool.fleet.is_some()) {
            let Watched { judge, endpoints } = watched;
            for (slot, known) in endpoints.iter_mut().enumerate() {
                let address = now.pools.get(at).and_then(|slots| *slots.get(slot)?);
                if !known.addresses.iter().eq(&address) {
                    known.addresses = address.into_iter().collect();
                    known.trouble.clear();
                    judge.replaced(slot, address.is_some());
                }
            }
        }
        version
    }

    /// Takes note of an answer; publishes nothing, for at the start many come together.
    fn resolved(&self, place: Place, answer: std::io::Result<Vec<SocketAddr>>) {
        let pools = &mut *self.pools();
        let watched = &mut pools[place.pool];
        let known = &mut watched.endpoints[place.endpoint];
        match answer {
            Ok(addresses) => {
                if let Some(addresses) = names::settle(&known.addresses, addresses) {
                    known.addresses = addresses;
                }
            }
            // The last good answer stays.
            Err(error) if known.addresses.is_empty() => {
                known.trouble = format!("its name has no address: {error}")
            }
            Err(_) => {}
        }
        watched.judge.resolved(place.endpoint, !known.addresses.is_empty());
    }

    /// Takes note of what was heard from these addresses.
    fn probed(&self, place: Place, addresses: &[SocketAddr], result: Result<(), Bad>) {
        {
            let watched = &mut self.pools()[place.pool];
            let known = &mut watched.endpoints[place.endpoint];
            if known.slot && known.addresses != addresses {
                // Another instance is there by now.
                return;
            }
            watched.judge.probed(place.endpoint, clock::now(), result.is_ok());
            if let Err(bad) = result {
                let probes = watched.judge.bad_probes(place.endpoint);
                known.trouble = format!("{probes} bad probes in a row, the last one: {bad}");
            }
        }
        self.publish();
    }

    fn counted(&self) {
        for watched in self.pools().iter_mut() {
            for (at, known) in watched.endpoints.iter_mut().enumerate() {
                let in_a_row = known.cell.failures_in_a_row.load(Ordering::Relaxed);
                let was_out = watched.judge.is_out_by_failures(at);
                watched.judge.failed(at, clock::now(), in_a_row);
                if watched.judge.is_out_by_failures(at) && !was_out {
                    known.trouble = format!("{in_a_row} requests failed in a row");
                }
            }
        }
        self.publish();
    }

    /// Judges all pools; publishes and tells what changed.
    fn publish(&self) {
        let mut events = Vec::new();
        {
            let weights = self.watch.dials.get();
            let mut pools = self.pools();
            let mut members = Vec::with_capacity(pools.len());
            for (at, watched) in pools.iter_mut().enumerate() {
                let verdict = watched.judge.verdict(weights.weights.get(at).map_or(&[], Vec::as_slice));
                for (known, &health) in watched.endpoints.iter_mut().zip(&verdict) {
                    events.extend(known.became(health));
                }
                let member =
                    |known: &Known| Member { addresses: known.addresses.clone(), health: known.health };
                members.push(PoolMembers { members: watched.endpoints.iter().map(member).collect() });
            }
            // Under the lock, so that an older verdict cannot overtake this one.
            let next = Membership { pools: members };
            self.watch.membership.update(|now| (*now != next).then_some(next));
        }
        events.into_iter().for_each(&self.watch.on_event);
    }
}

impl Known {
    fn new(pool: &Pool, endpoint: &Endpoint, cells: &Cells) -> Self {
        let cell = cells.of(&pool.name, &endpoint.authority());
        let slot = pool.fleet.is_some();
        Self { cell, slot, addresses: Vec::new(), trouble: String::new(), health: Health::Up }
    }

    /// Takes the verdict; returns what to tell when it is another one.
    fn became(&mut self, health: Health) -> Option<Event> {
        if self.health == health {
            return None;
        }
        let before = std::mem::replace(&mut self.health, health);
        let nobody = Health::Down(DownReason::NoAddress);
        if self.slot && (before == nobody || health == nobody) {
            // Instances that come and go are the fleet's to tell.
            return None;
        }
        let because = match health {
            Health::Up => "it answers again".to_owned(),
            Health::Down(down) | Health::LastOne(down) if self.trouble.is_empty() => {
                event::reason(down).to_owned()
            }
            Health::Down(_) | Health::LastOne(_) => self.trouble.clone(),
        };
        let Cell { pool, authority, .. } = &*self.cell;
        Some(Event { pool: pool.clone(), authority: authority.clone(), health, because })
    }
}
