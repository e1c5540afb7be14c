//! Learned caching, the edge's side: tells the learner what endpoints answer, takes its rules over, and purges what they
//! withdraw. What may be learned is `decide/learn`; that no rule can give one visitor's page to another is held here:
//! by `stripped.rs` (what the endpoint is told), `fetch.rs` (what is stored) and [`OfThread::may_use`] (who gets it).

mod advice;
mod carry;
mod fetch;
mod figures;
mod head;
mod keys;
mod stripped;
mod watch;

pub use carry::BYTES_MAX as CARRIED_BYTES_MAX;
pub use fetch::{Plan, is_only_witness, start};
pub use watch::{Told, Watch};

use crate::asked::Asked;
use crate::fetch::Attempts;
use crate::key::HTTPS;
use crate::prepare::Prepared;
use crate::purge_log::PurgeLog;
use std::cell::{Cell, RefCell};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tentpole_cache::{Cache, Selector, StoredFacts};
use tentpole_http1::Framing;
use tentpole_learn::{Change, Learner, Limits, Observation, Rule, Rules, says_nothing};
use tentpole_message::{Fields, Name};
use tentpole_model::{Bypass, Method};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::{Published, Random};

/// Observations that wait for the learner; further ones are dropped and counted.
const WAITING_MAX: usize = 1_024;
/// How long a new rule may wait for others, so that a burst of them is published once. A withdrawal never waits.
const PUBLISH_EVERY: Duration = Duration::from_millis(20);
/// Answers that one data thread hashes in a second: what comes beyond is not looked at. (At 200 a second and 64 KiB
/// each, hashing takes about 1 % of a core.)
const SAMPLES_A_SECOND: u32 = 200;
/// Bytes that one data thread hashes in a second.
const BYTES_A_SECOND: u64 = 16 << 20;
/// Of so many requests that the cache could serve by a rule, one on average goes to the endpoint, whole.
const PROBE_EVERY: u32 = 50;
/// One goes after so many seconds too, if at least a few were served meanwhile.
const PROBE_SECONDS: u64 = 4;
/// These few.
const PROBE_SERVED_MIN: u32 = 4;
/// Pages whose probes one thread counts at a time; another page takes the place of one.
const PROBED_PAGES: usize = 256;

/// What data threads, learner and API share.
pub struct Learning {
    rules: Arc<Published<Rules>>,
    learner: Mutex<Learner>,
    keys: keys::Keys,
    dropped: AtomicU64,
    counts: figures::Counts,
    /// Microseconds that endpoints worked in all, learned from or not.
    origin_us: AtomicU64,
}

/// What one data thread has.
pub struct OfThread {
    learning: Arc<Learning>,
    observations: SyncSender<Heard>,
    /// The second that is counted for, and what of it is used up.
    second: Cell<u64>,
    samples: Cell<u32>,
    bytes: Cell<u64>,
    /// Requests that could have been looked at since the last that was.
    skipped: Cell<u32>,
    probed: RefCell<Box<[Probed]>>,
    random: RefCell<Random>,
    /// Requests that the probe under way stands for.
    probe_served: Cell<u32>,
}

/// How often one page was served by its rule since somebody went to see.
#[derive(Clone, Copy, Default)]
struct Probed {
    url: u64,
    since: u64,
    served: u32,
    /// The one that goes to see, drawn by lot: nobody can tell which, and no rhythm of visitors can keep one of them
    /// from ever being it.
    due: u32,
}

/// What the learner hears.
pub enum Heard {
    /// An answer of an endpoint.
    Answer(Observation),
    /// This was purged.
    Purged(Selector),
    /// This another edge knew.
    Carried(Box<carry::Carried>),
}

/// A time on the learner's clock. It runs an hour ahead, so that it reaches back to what was seen before this process began.
fn millis(at: Instant) -> u64 {
    at.as_micros() / 1_000 + 3_600_000
}

/// Tells the learner of a purge. Nobody waits for it: it explains why an answer comes back, and is dropped like an answer
/// when too much waits.
pub fn tell_purged(observations: &SyncSender<Heard>, selector: &Selector) {
    let _ = observations.try_send(Heard::Purged(selector.clone()));
}

/// Starts the learner on a thread of its own; it ends when the last data thread is gone.
pub fn start_learner(
    cache: Arc<Cache>,
    limits: Limits,
    purges: Arc<PurgeLog>,
) -> io::Result<(Arc<Learning>, SyncSender<Heard>)> {
    let (observations, coming) = sync_channel(WAITING_MAX);
    let learning = Arc::new(Learning {
        rules: Published::new(Rules::default()),
        learner: Mutex::new(Learner::new(limits)),
        keys: keys::Keys::default(),
        dropped: AtomicU64::new(0),
        counts: figures::Counts::new(purges),
        origin_us: AtomicU64::new(0),
    });
    let here = learning.clone();
    std::thread::Builder::new().name("edge-learn".into()).spawn(move || here.learn(&coming, &cache))?;
    Ok((learning, observations))
}

impl Learning {
    /// Takes observations in until nobody sends any.
    fn learn(&self, coming: &Receiver<Heard>, cache: &Cache) {
        let mut rules = Rules::default();
        // Since when there is something to publish, and keys of rules that are new.
        let (mut unpublished, mut set) = (None, Vec::new());
        loop {
            let seen = match unpublished {
                Some(since) => coming.recv_timeout(PUBLISH_EVERY.saturating_sub(clock::now().since(since))),
                None => coming.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let changes = match seen {
                Ok(Heard::Answer(seen)) => {
                    self.counts.observed();
                    self.learner().observe(&seen)
                }
                Ok(Heard::Purged(selector)) => {
                    self.purged(&selector);
                    Vec::new()
                }
                Ok(Heard::Carried(carried)) => self.recall(&carried),
                Err(RecvTimeoutError::Disconnected) => return,
                Err(RecvTimeoutError::Timeout) => Vec::new(),
            };
            for change in &changes {
                rules.take(change);
                if let Change::Set { key, .. } = change {
                    set.push(key.clone());
                }
            }
            let withdraws = changes.iter().any(|change| matches!(change, Change::Withdraw { .. }));
            if !changes.is_empty() {
                unpublished = unpublished.or_else(|| Some(clock::now()));
            }
            let is_time = unpublished.is_some_and(|since| clock::now().since(since) >= PUBLISH_EVERY);
            if is_time || withdraws {
                self.rules.publish(rules.clone());
                unpublished = None;
                // Those who come now may share what had to be asked for by each a moment ago.
                set.drain(..).for_each(|key| cache.clear_mark(&cache.key(&key)));
            }
            // After the rules: whoever stores now has seen that he may not, or is under way and is purged.
            for change in &changes {
                if let Change::Withdraw { key, .. } | Change::Outdated { key } = change {
                    let purged = cache.purge(&cache.key(key), false);
                    self.counts.changed(change, purged.objects);
                }
            }
        }
    }

    /// Which tags a page carries, the learner does not know: a purge by tag explains nothing to it.
    fn purged(&self, selector: &Selector) {
        match selector {
            Selector::Key(key) => self.learner().purged(self.hash(key)),
            Selector::Any(each) => each.iter().for_each(|one| self.purged(one)),
            Selector::Tags { .. } => {}
            _ => self.learner().purged_where(|key| selector.selects(key, [])),
        }
    }

    /// The rule in force for a URL.
    fn rule(&self, url: u64) -> Option<Rule> {
        self.rules.get().of(url).cloned()
    }

    fn learner(&self) -> MutexGuard<'_, Learner> {
        self.learner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn hash(&self, bytes: &[u8]) -> u64 {
        self.keys.hash(bytes)
    }
}

impl OfThread {
    /// What a data thread needs.
    pub fn new(learning: Arc<Learning>, observations: SyncSender<Heard>, seed: u64) -> Self {
        Self {
            learning,
            observations,
            second: Cell::new(0),
            samples: Cell::new(0),
            bytes: Cell::new(0),
            skipped: Cell::new(0),
            probed: RefCell::new(vec![Probed::default(); PROBED_PAGES].into()),
            random: RefCell::new(Random::from_seed(seed)),
            probe_served: Cell::new(0),
        }
    }

    /// Why an object that was learned to be shared is not for this request, if it is not: the request may say who asks,
    /// or is the one that goes to see. Costs nothing for other objects, and allocates nothing.
    #[inline]
    pub fn may_use(
        &self,
        facts: &StoredFacts,
        hash: impl FnOnce() -> u64,
        asked: &Asked,
        fields: &Fields,
        prepared: &Prepared,
    ) -> Option<Bypass> {
        match facts.learned {
            false => None,
            true if !is_anonymous(asked, fields, prepared) => Some(Bypass::SaysWho),
            // What the answer to any other says cannot be compared: a probe would be lost.
            true if !is_comparable(asked) => None,
            true => self.probe_is_due(hash(), asked.now).then_some(Bypass::Probe),
        }
    }

    /// Whether a rule holds for a key now.
    pub fn has_rule(&self, key: &[u8]) -> bool {
        let rules = self.learning.rules.get();
        // Most often there are none: then the key need not be hashed.
        !rules.is_empty() && rules.of(self.learning.hash(key)).is_some()
    }

    /// Counts what endpoints worked for one request.
    pub fn count_origin(&self, attempts: &Attempts) {
        if attempts[0].is_some() {
            self.learning.origin_us.fetch_add(u64::from(took_us(attempts)), Ordering::Relaxed);
        }
    }

    fn probe_is_due(&self, hash: u64, now: u64) -> bool {
        let mut probed = self.probed.borrow_mut();
        let page = &mut probed[hash as usize % PROBED_PAGES];
        let begun = |due| Probed { url: hash, since: now, served: 0, due };
        if page.url != hash {
            *page = begun(self.draw());
        }
        page.served += 1;
        let old = now.saturating_sub(page.since) >= PROBE_SECONDS && page.served >= PROBE_SERVED_MIN;
        if page.served < page.due && !old {
            return false;
        }
        self.probe_served.set(page.served - 1);
        *page = begun(self.draw());
        true
    }

    /// 1 to twice [`PROBE_EVERY`] less one.
    fn draw(&self) -> u32 {
        1 + (self.random.borrow_mut().next_u64() % u64::from(2 * PROBE_EVERY - 1)) as u32
    }

    /// Whether there is time to hash one more answer in this second.
    fn has_time(&self) -> bool {
        let second = clock::coarse().as_micros() / 1_000_000;
        if self.second.replace(second) != second {
            self.samples.set(0);
            self.bytes.set(0);
        }
        self.samples.get() < SAMPLES_A_SECOND && self.bytes.get() < BYTES_A_SECOND
    }

    fn tell(&self, seen: Observation) {
        if self.observations.try_send(Heard::Answer(seen)).is_err() {
            self.learning.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Microseconds that endpoints worked for one request, as far as the first byte tells.
pub fn took_us(attempts: &Attempts) -> u32 {
    attempts.iter().flatten().fold(0, |sum: u32, attempt| sum.saturating_add(attempt.first_byte_us))
}

/// Whether a key is a host and what an endpoint is asked for, and nothing else: no group of visitors, whose cookie would
/// have to be told, and no query of which a part is left out only here.
pub fn is_plain(key: &[u8]) -> bool {
    // Whether it was https is told, too.
    let key = key.strip_suffix(HTTPS).unwrap_or(key);
    let host_ends = key.iter().position(|&byte| byte == 0);
    host_ends.is_some_and(|end| !key[end + 1..].contains(&0))
}

/// Whether the answer to a request is a whole page for what it asks, and nothing else.
fn is_comparable(asked: &Asked) -> bool {
    asked.method == Method::Get && asked.framing == Framing::None && !asked.facts.range
}

/// Whether a request says nothing about who asks: no `Authorization`, no cookie but ignored ones, and no field but those
/// that everybody sends.
pub fn is_anonymous(asked: &Asked, fields: &Fields, prepared: &Prepared) -> bool {
    !asked.facts.cookie && !asked.facts.authorization && has_only_everybodys(fields, prepared)
}

/// Fields beside `Cookie` and `Authorization`. Those by which a proxy in front is known, and in which it names the
/// visitor's address, are on all requests that come by it.
fn has_only_everybodys(fields: &Fields, prepared: &Prepared) -> bool {
    let of_front = |name: &[u8]| {
        let address = prepared.snapshot.front.address_field.as_deref();
        prepared.require.names().chain(address).any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
    };
    fields.iter().all(|field| match field.id {
        Name::Cookie | Name::Authorization => true,
        _ => says_nothing(field.name) || of_front(field.name),
    })
}
