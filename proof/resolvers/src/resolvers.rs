//! The population at work: leads each session to the address that its own resolver gives it, asks name servers where a
//! resolver does not know, and counts where everybody went. One for all threads of a generator.
//!
//! A resolver's clock is the schedule's: what a visitor asks, he asks at the moment at which he is due, and an answer counts
//! from then (with the whole seconds that it took, since TTLs are whole seconds). So a generator that is late for a moment
//! sends nobody elsewhere.

use crate::ask::ask;
use crate::cache::Cache;
use crate::population::Population;
use crate::spread::{Counted, Counts, Spread};
use crate::trouble::Trouble;
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tentpole_runtime::{Instant, clock};

/// Look-ups under way at once; more wait.
const AT_ONCE_MAX: usize = 256;

/// The resolvers of a run.
#[derive(Debug)]
pub struct Resolvers {
    population: Population,
    servers: Vec<SocketAddr>,
    /// Whether only this machine may be loaded.
    stays_here: bool,
    /// What each one knows, by the number of the name; a look-up holds it, so that others who ask wait for the answer.
    known: Vec<tokio::sync::Mutex<HashMap<usize, Cache>>>,
    under_way: tokio::sync::Semaphore,
    sessions: AtomicU64,
    questions: AtomicU64,
    counts: Mutex<Own>,
    /// When the run began, and how many seconds an entry of its timeline stands for.
    began: OnceLock<(Instant, u32)>,
    /// Of that timeline, the entry in which the run at hand began: several may follow one another.
    first_entry: AtomicUsize,
    /// Our place among several generators, and how many there are.
    place: (usize, usize),
}

#[derive(Debug, Default)]
struct Own {
    counts: Counts,
    ttl_s: Option<u32>,
    answer_addresses: u32,
    failed: u64,
    trouble: Option<String>,
}

/// Where a session was led.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Led {
    /// Behind which resolver, by number of the visitor.
    pub who: u64,
    /// In the order in which they are tried. Never empty.
    pub addresses: Vec<IpAddr>,
}

impl Resolvers {
    /// Nobody has asked yet. With `stays_here` an address that is not this machine is a failed look-up, whatever a name
    /// server says.
    pub fn new(population: Population, servers: Vec<SocketAddr>, stays_here: bool) -> Self {
        let known = (0..population.count()).map(|_| tokio::sync::Mutex::default()).collect();
        Self {
            population,
            servers,
            stays_here,
            known,
            under_way: tokio::sync::Semaphore::new(AT_ONCE_MAX),
            sessions: AtomicU64::new(0),
            questions: AtomicU64::new(0),
            counts: Mutex::default(),
            began: OnceLock::new(),
            first_entry: AtomicUsize::new(0),
            place: (0, 1),
        }
    }

    /// The run begins; `width` is how many seconds an entry of its timeline stands for.
    pub fn begin(&self, now: Instant, width: u32) {
        let _ = self.began.set((now, width.max(1)));
        self.first_entry.store(self.entry(now), Relaxed);
    }

    /// The same as one of several generators: numbers of newcomers are no other's.
    #[must_use]
    pub fn at_place(self, place: usize, of: usize) -> Self {
        Self { place: (place, of.max(1)), ..self }
    }

    /// The population.
    pub fn population(&self) -> &Population {
        &self.population
    }

    /// Whom its resolvers ask.
    pub fn servers(&self) -> &[SocketAddr] {
        &self.servers
    }

    /// What was counted since the last time, for who adds it all up.
    pub fn take(&self) -> Counted {
        let mut own = self.counted();
        Counted {
            ttl_s: own.ttl_s,
            answer_addresses: own.answer_addresses,
            questions: self.questions.swap(0, Relaxed),
            failed: std::mem::take(&mut own.failed),
            trouble: own.trouble.clone(),
            ..own.counts.take()
        }
    }

    /// Adds what another generator has counted of the run at hand.
    pub fn add(&self, other: &Counted) {
        let mut own = self.counted();
        own.counts.add(other, self.first_entry.load(Relaxed));
        own.failed += other.failed;
        if other.ttl_s.is_some() {
            (own.ttl_s, own.answer_addresses) = (other.ttl_s, other.answer_addresses);
        }
        own.trouble = own.trouble.take().or_else(|| other.trouble.clone());
        self.questions.fetch_add(other.questions, Relaxed);
    }

    /// A number for a visitor who comes now.
    pub fn newcomer(&self) -> u64 {
        let (place, of) = self.place;
        self.sessions.fetch_add(1, Relaxed) * of as u64 + place as u64
    }

    /// Leads a visitor who is due now. `host` is the number of the name among those of the run. A look-up is answered or
    /// given up within seconds. Counts the session.
    ///
    /// # Errors
    /// Why his resolver has no address for him.
    pub async fn lead(&self, who: u64, host: usize, name: &str, due: Instant) -> Result<Led, Trouble> {
        let resolver = self.population.resolver_of(who);
        let mut known = self.known[resolver].lock().await;
        let cache = known.entry(host).or_default();
        let order = |told: &[IpAddr], turn| self.population.order(resolver, turn, who, told);
        let told = match cache.tell(due) {
            Some((told, turn)) => told.map(|told| order(told, turn)).map_err(Clone::clone),
            None => {
                self.look_up(cache, name, due).await;
                let told = cache.told().ok_or(Trouble::Malformed)?;
                told.0.map(|addresses| order(addresses, told.1)).map_err(Clone::clone)
            }
        };
        drop(known);
        match told {
            Ok(addresses) => {
                let entry = self.entry(due);
                let mut counted = self.counted();
                if let Some(first) = addresses.first() {
                    let place = counted.counts.place(*first);
                    counted.counts.session(place, entry);
                }
                Ok(Led { who, addresses })
            }
            Err(trouble) => {
                let mut counted = self.counted();
                counted.failed += 1;
                counted.trouble.get_or_insert_with(|| trouble.to_string());
                Err(trouble)
            }
        }
    }

    async fn look_up(&self, cache: &mut Cache, name: &str, due: Instant) {
        let began = clock::now();
        let answer = {
            // Never closed.
            let _turn = self.under_way.acquire().await;
            ask(&self.servers, name, &self.questions).await
        };
        let took = Duration::from_secs(clock::now().since(began).as_secs());
        let answer = answer.and_then(|answer| {
            let is_elsewhere = |address: &IpAddr| !address.to_canonical().is_loopback();
            if self.stays_here && answer.addresses.iter().any(is_elsewhere) {
                return Err(Trouble::Elsewhere);
            }
            Ok(answer)
        });
        match answer {
            Ok(answer) => {
                let mut counted = self.counted();
                counted.ttl_s = Some(answer.ttl_s);
                counted.answer_addresses = answer.addresses.len() as u32;
                drop(counted);
                cache.keep(answer.addresses, answer.ttl_s, due.after(took));
            }
            Err(trouble) => cache.keep_trouble(trouble, due.after(took)),
        }
    }

    /// A request to this address has ended that was due then.
    pub fn ended(&self, to: IpAddr, due: Instant, failed: bool) {
        let entry = self.entry(due);
        let mut counted = self.counted();
        let place = counted.counts.place(to);
        counted.counts.request(place, entry, failed);
    }

    /// What was counted until now.
    pub fn spread(&self, name: &str) -> Spread {
        let settings = self.population.settings();
        let counted = self.counted();
        let mut spread = Spread {
            name: name.to_owned(),
            name_servers: self.servers.iter().map(ToString::to_string).collect(),
            resolvers: self.population.count() as u32,
            sizes: settings.sizes.to_string(),
            policies: settings.policies.to_string(),
            clients: settings.clients.to_string(),
            largest_share: self.population.share_of(0),
            ttl_s: counted.ttl_s,
            answer_addresses: counted.answer_addresses,
            questions: self.questions.load(Relaxed),
            look_ups_failed: counted.failed,
            trouble: counted.trouble.clone(),
            ..Spread::default()
        };
        counted.counts.fill(&mut spread, self.began.get().map_or(1, |(_, width)| *width));
        spread
    }

    fn entry(&self, due: Instant) -> usize {
        let Some((began, width)) = self.began.get() else { return 0 };
        (due.since(*began).as_secs() / u64::from(*width)) as usize
    }

    fn counted(&self) -> MutexGuard<'_, Own> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One look-up before anything else: where does the name lead now? Blocks for some seconds at most.
///
/// # Errors
/// Why nowhere.
pub fn first_look(servers: &[SocketAddr], name: &str) -> Result<Vec<IpAddr>, Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(ask(servers, name, &AtomicU64::new(0)))?.addresses)
}
