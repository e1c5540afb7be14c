//! The shell around the decision: one task an endpoint that probes, one that takes over where names and instances are, one
//! that reads what the edge counted. Each tells the Ward, which judges and publishes. All of them end when the [`Watching`] is dropped.

mod counted;

use crate::event::Event;
use crate::local;
use crate::names::{self, Group, Service};
use crate::outliers::Window;
use crate::probe::{self, Bad};
use crate::ramp::Ramp;
use crate::secure::Begin;
use crate::verdict::{Judge, Rules};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_model::{
    Dials, DownReason, Endpoint, FleetAddresses, Health, HealthCheck, HealthDetails, Lookup, Member,
    Membership, NameAnswers, Pool, PoolMembers, Snapshot,
};
use tentpole_runtime::{Cell, Cells, Instant, Published, Random, clock, secret};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};

/// How long the first answers of all names may take together.
const FIRST_NAMES_MAX: Duration = Duration::from_secs(5);
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
    /// Where names lead: the endpoints of all other pools.
    pub names: Arc<Published<NameAnswers>>,
    /// Where it says why endpoints are out.
    pub details: Arc<Published<HealthDetails>>,
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

    /// Puts the weights that names of services say in force where they are as configured: for whoever replaced the dials.
    pub fn weigh_services(&self) {
        self.ward.weigh_services();
    }
}

/// What is known, and who is told.
pub(crate) struct Ward {
    pub(crate) watch: Watch,
    /// The names of endpoints.
    pub(crate) groups: Vec<Group>,
    pub(crate) pools: Mutex<Vec<Watched>>,
}

/// One pool.
pub(crate) struct Watched {
    pub(crate) judge: Judge,
    pub(crate) endpoints: Vec<Known>,
}

/// One endpoint.
pub(crate) struct Known {
    pub(crate) cell: Arc<Cell>,
    /// It is a slot: of a fleet, or of a name. Who stands at a new address is somebody else.
    pub(crate) slot: bool,
    pub(crate) addresses: Vec<SocketAddr>,
    /// What the name of a service says of it.
    pub(crate) service: Option<Service>,
    /// Addresses of its name for which there is no place.
    pub(crate) too_many: usize,
    /// The last thing that went wrong.
    pub(crate) trouble: String,
    /// What was last published.
    health: Health,
    /// Since when it is not up.
    down_since: Instant,
    /// Its requests of the last interval.
    window: Window,
    /// Its way to its full weight.
    ramp: Ramp,
}

/// Which endpoint: its pool's place and its own.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) pool: usize,
    pub(crate) endpoint: usize,
}

impl Watch {
    /// Resolves all names once (at most 5 s), publishes a first Membership with every endpoint up that has an address
    /// and was not down in `initial`, and goes on watching. Runs on the calling tokio runtime, which needs its time and network drivers.
    pub async fn start(self) -> Watching {
        let mut this = self;
        let before = this.before.take();
        let ward = Arc::new(Ward::new(this));
        let mut tasks = JoinSet::new();
        ward.restore();
        match before {
            Some(Before(before)) => ward.go_on_from(&before),
            None => ward.resume_ramps(),
        }
        let fleets_seen = ward.follow_fleets();
        ward.take_literals();
        let names_seen = timeout(FIRST_NAMES_MAX, ward.first_answers()).await;
        let names_seen = names_seen.unwrap_or_else(|_| ward.follow_names());
        ward.publish();
        for place in ward.places() {
            tasks.spawn(ask(ward.clone(), place));
        }
        tasks.spawn(follow(ward.clone(), fleets_seen));
        tasks.spawn(follow_names(ward.clone(), names_seen));
        tasks.spawn(count(ward.clone()));
        Watching { ward, _tasks: tasks }
    }
}

/// Takes over where names lead, for ever.
async fn follow_names(ward: Arc<Ward>, mut seen: u64) {
    loop {
        ward.watch.names.changed_since(seen).await;
        seen = ward.follow_names();
        ward.publish();
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
    let endpoint = ward.endpoint(place);
    let named = ward.pool(place).fleet.is_none() && endpoint.lookup == Lookup::Addresses;
    let named = named.then(|| endpoint.name());
    // Spread over the interval, so that many endpoints are not asked at once.
    let spread = Random::from_seed(ward.number(place)).next_u64() % 1_000;
    sleep(check.interval.mul_f64(spread as f64 / 1_000.0).min(CONNECT_EVERY)).await;
    let begin = Begin::default();
    let mut random = Random::from_seed(clock::now().as_micros() ^ ward.number(place));
    loop {
        let addresses = ward.addresses(place);
        if let Some(first) = addresses.first() {
            // The name of a fleet's slot means nothing to the application, nor does that of a service.
            let authority = named.clone().unwrap_or_else(|| first.to_string());
            let (pool, endpoint) = (ward.pool(place), ward.endpoint(place));
            let asked = local::ask(pool, endpoint, &addresses, check, &authority, &own_lines);
            let result = match asked.await {
                Some(result) => result,
                None => match begin.session(pool, endpoint) {
                    Ok(session) => {
                        probe::ask(&addresses, session, pool.http2, check, &authority, &own_lines).await
                    }
                    Err(files) => Err(Bad::Io(files)),
                },
            };
            ward.probed(place, &addresses, result);
        }
        // A little more or less each time: probes that have fallen together part again.
        let pause = check.interval.max(Duration::from_millis(1));
        sleep(pause.mul_f64(0.9 + (random.next_u64() % 1_000) as f64 / 5_000.0)).await;
    }
}

/// Without active probes nobody is asked but those that failures took out.
async fn ask_while_out(ward: Arc<Ward>, place: Place) {
    let (begin, time) = (Begin::default(), ward.pool(place).timeouts.connect);
    let mut turns = interval(CONNECT_EVERY);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        let addresses = ward.addresses(place);
        if ward.is_out_by_requests(place) && !addresses.is_empty() {
            let (pool, endpoint) = (ward.pool(place), ward.endpoint(place));
            let result = match local::connect(endpoint, time).await {
                Some(result) => result,
                None => match begin.session(pool, endpoint) {
                    Ok(session) => probe::connect(&addresses, session, time).await,
                    Err(files) => Err(Bad::Io(files)),
                },
            };
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
        let named = watch.snapshot.pools.iter().enumerate().filter(|(_, pool)| pool.fleet.is_none());
        let groups = named.flat_map(|(at, pool)| names::groups(at, &pool.endpoints)).collect();
        Self { watch, groups, pools }
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

    pub(crate) fn pools(&self) -> MutexGuard<'_, Vec<Watched>> {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The number of its cell, which no other endpoint has.
    fn number(&self, place: Place) -> u64 {
        u64::from(self.pools()[place.pool].endpoints[place.endpoint].cell.slot)
    }

    pub(crate) fn addresses(&self, place: Place) -> Vec<SocketAddr> {
        self.pools()[place.pool].endpoints[place.endpoint].addresses.clone()
    }

    fn is_out_by_requests(&self, place: Place) -> bool {
        self.pools()[place.pool].judge.is_out_by_requests(place.endpoint)
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
                known.down_since = now;
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
                let Some((was, its, other)) = by_cell.get(&known.cell.slot) else {
                    known.ramp.begin(clock::now());
                    continue;
                };
                if other.slot != known.slot {
                    continue;
                }
                judge.take_over(at, &was.judge, *its);
                known.addresses.clone_from(&other.addresses);
                known.trouble.clone_from(&other.trouble);
                known.service = other.service;
                known.health = other.health;
                known.down_since = other.down_since;
                known.ramp = other.ramp;
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
                    known.window.forget();
                    judge.replaced(slot, address.is_some());
                }
            }
        }
        version
    }

    /// Endpoints whose hosts are addresses.
    fn take_literals(&self) {
        let mut pools = self.pools();
        for (pool, watched) in self.watch.snapshot.pools.iter().zip(pools.iter_mut()) {
            if pool.fleet.is_some() {
                continue;
            }
            for (at, endpoint) in pool.endpoints.iter().enumerate() {
                if let Some(address) = names::literal(&endpoint.host, endpoint.port) {
                    watched.endpoints[at].addresses = vec![address];
                    watched.judge.resolved(at, true);
                }
            }
        }
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
            let unreachable = result.as_ref().is_err_and(Bad::is_unreachable);
            watched.judge.reached(place.endpoint, !unreachable);
            if watched.judge.probed(place.endpoint, clock::now(), result.is_ok()) {
                known.window.forget();
            }
            // What took it out is said until it is back, unless probes say more.
            if let Err(bad) = result
                && !watched.judge.is_out_by_requests(place.endpoint)
            {
                let probes = watched.judge.bad_probes(place.endpoint);
                known.trouble = format!("{probes} bad probes in a row, the last one: {bad}");
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
            let mut details = Vec::with_capacity(pools.len());
            for (at, watched) in pools.iter_mut().enumerate() {
                let verdict = watched.judge.verdict(weights.weights.get(at).map_or(&[], Vec::as_slice));
                let up = verdict.iter().filter(|health| **health == Health::Up).count();
                for (known, &health) in watched.endpoints.iter_mut().zip(&verdict) {
                    events.extend(known.became(health, up - usize::from(health == Health::Up)));
                }
                details.push(watched.details());
                let member = |known: &Known| Member {
                    addresses: known.addresses.clone(),
                    health: known.health,
                    tier: known.service.map_or(0, |service| service.tier),
                };
                members.push(PoolMembers { members: watched.endpoints.iter().map(member).collect() });
            }
            // Under the lock, so that an older verdict cannot overtake this one.
            let next = Membership { pools: members };
            self.watch.membership.update(|now| (*now != next).then_some(next));
            let next = HealthDetails { pools: details };
            self.watch.details.update(|now| (*now != next).then_some(next));
        }
        events.into_iter().for_each(&self.watch.on_event);
    }
}

impl Known {
    pub(crate) fn has_address(&self) -> bool {
        !self.addresses.is_empty()
    }

    fn new(pool: &Pool, endpoint: &Endpoint, cells: &Cells) -> Self {
        let cell = cells.of(&pool.name, &endpoint.authority());
        let slot = pool.fleet.is_some() || endpoint.slot.is_some();
        Self {
            cell,
            slot,
            addresses: Vec::new(),
            service: None,
            too_many: 0,
            trouble: String::new(),
            health: Health::Up,
            down_since: clock::now(),
            window: Window::default(),
            ramp: Ramp::default(),
        }
    }

    /// Takes the verdict; returns what to tell when it is another one.
    fn became(&mut self, health: Health, others_up: usize) -> Option<Event> {
        if self.health == health {
            return None;
        }
        let before = std::mem::replace(&mut self.health, health);
        if before == Health::Up {
            self.down_since = clock::now();
        }
        // Who took traffic all the time is warm.
        if health == Health::Up && !before.takes_traffic() {
            self.ramp.begin(clock::now());
        }
        let nobody = Health::Down(DownReason::NoAddress);
        if self.slot && (before == nobody || health == nobody) {
            // Instances that come and go are the fleet's to tell, addresses that do are those of names to tell.
            return None;
        }
        let because = match health {
            Health::Up => "it answers again".to_owned(),
            Health::Down(down) | Health::LastOne(down) => self.because(down),
        };
        let Cell { pool, authority, .. } = &*self.cell;
        Some(Event { pool: pool.clone(), authority: authority.clone(), health, others_up, because })
    }
}
