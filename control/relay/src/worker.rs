//! One content network's thread: takes what waits, plans the calls, makes them, tries again a few times. A queue that is
//! full costs the newest purge, which is counted and said.

use crate::RelayParts;
use crate::calls::{self, Call, Group, NotToldOf};
use crate::http::{self, Again, Trouble};
use crate::terms::{Front, Told};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tentpole_model::{ContentNetwork, PurgeOrder, RelayStatus};
use tentpole_runtime::clock::{self, Instant};
use tentpole_sigv4::basic_time;
use ureq::Agent;

/// Purges that wait at most.
const WAITING_MAX: usize = 1_024;
/// Purges that are told together.
const TOGETHER_MAX: usize = 256;
/// Attempts at one call.
const ATTEMPTS_MAX: u32 = 5;
/// The longest pause before another attempt.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// How often trouble that goes on is said.
const SAID_EVERY: Duration = Duration::from_secs(60);

/// The end that others hold. When it is dropped, its thread ends with what it is about to send.
pub(crate) struct Worker {
    name: String,
    service: &'static str,
    front: Front,
    queue: SyncSender<Told>,
    counts: Arc<Counts>,
}

/// How it goes.
struct Counts {
    waiting: AtomicU64,
    passed_on: AtomicU64,
    failed: AtomicU64,
    /// What is wrong, since the last success: when it was said last, and in milliseconds since 1970.
    trouble: Mutex<Option<(Instant, u64, String)>>,
    /// `front (fastly)`
    title: String,
    on_event: Arc<dyn Fn(String) + Send + Sync>,
}

impl Worker {
    pub(crate) fn start(parts: &Arc<RelayParts>, at: usize) -> io::Result<Self> {
        let network = parts.snapshot.content_networks[at].clone();
        let (queue, waiting) = sync_channel(WAITING_MAX);
        let (name, service) = (network.name.clone(), network.service.label());
        let counts = Arc::new(Counts {
            waiting: AtomicU64::new(0),
            passed_on: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            trouble: Mutex::new(None),
            title: format!("{name} ({service})"),
            on_event: parts.on_event.clone(),
        });
        let front = Front::new(&parts.snapshot, &network);
        let teller = Teller { network, counts: counts.clone(), patience: parts.patience };
        // Detached: a call under way must not hold up the end of the process.
        std::thread::Builder::new().name(format!("relay-{at}")).spawn(move || teller.run(&waiting))?;
        Ok(Self { name, service, front, queue, counts })
    }

    /// Takes note of a purge; does not wait.
    pub(crate) fn pass_on(&self, order: &PurgeOrder) {
        let Some(told) = self.front.told(order) else { return };
        self.counts.waiting.fetch_add(1, Relaxed);
        if let Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) = self.queue.try_send(told) {
            self.counts.waiting.fetch_sub(1, Relaxed);
            self.counts.failed(
                1,
                &format!("{WAITING_MAX} purges wait already; purge everything there once it goes again"),
            );
        }
    }

    pub(crate) fn status(&self) -> RelayStatus {
        let trouble = self.counts.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        RelayStatus {
            name: self.name.clone(),
            service: self.service.to_owned(),
            waiting: self.counts.waiting.load(Relaxed),
            passed_on: self.counts.passed_on.load(Relaxed),
            failed: self.counts.failed.load(Relaxed),
            trouble: trouble.as_ref().map(|(_, at_unix_ms, what)| (*at_unix_ms, what.clone())),
        }
    }
}

impl Counts {
    /// Counts purges that were not told of, and says so unless it was said a moment ago.
    fn failed(&self, purges: u64, why: &str) {
        self.failed.fetch_add(purges, Relaxed);
        let now = clock::now();
        let mut trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
        let is_known =
            trouble.as_ref().is_some_and(|(said, _, known)| known == why && now.since(*said) < SAID_EVERY);
        let said = match &*trouble {
            Some((said, ..)) if is_known => *said,
            _ => now,
        };
        *trouble = Some((said, now.unix_us() / 1_000, why.to_owned()));
        drop(trouble);
        if !is_known {
            (self.on_event)(format!("{} was not told of a purge: {why}", self.title));
        }
    }

    /// Counts purges that it was told of.
    fn passed_on(&self, purges: u64) {
        self.passed_on.fetch_add(purges, Relaxed);
        let had_trouble = self.trouble.lock().unwrap_or_else(PoisonError::into_inner).take();
        if had_trouble.is_some() {
            (self.on_event)(format!("{} is told of purges again", self.title));
        }
    }
}

/// What the thread works with.
struct Teller {
    network: ContentNetwork,
    counts: Arc<Counts>,
    patience: Duration,
}

impl Teller {
    fn run(&self, waiting: &Receiver<Told>) {
        let agent = http::agent();
        if let Err(why) = http::check(&self.network) {
            (self.counts.on_event)(format!("{} cannot be told of purges: {why}", self.counts.title));
        }
        while let Ok(first) = waiting.recv() {
            let mut batch = vec![first];
            batch.extend(waiting.try_iter().take(TOGETHER_MAX - 1));
            let reference = format!("tentpole-{}-{}", std::process::id(), clock::now().unix_us());
            for group in calls::plan(&self.network.service, &batch, &reference) {
                self.tell(&agent, group);
            }
            self.counts.waiting.fetch_sub(batch.len() as u64, Relaxed);
        }
    }

    fn tell(&self, agent: &Agent, group: Group) {
        let Group { purges, calls, not_told } = group;
        for call in &calls {
            if let Err(why) = self.call(agent, call) {
                return self.counts.failed(purges, &why);
            }
        }
        match not_told.into_iter().next() {
            Some(NotToldOf(why)) => self.counts.failed(purges, &why),
            None => self.counts.passed_on(purges),
        }
    }

    /// Makes one call, with a few attempts.
    fn call(&self, agent: &Agent, call: &Call) -> Result<(), String> {
        let mut attempt = 1;
        loop {
            let time = basic_time(clock::now().unix_seconds());
            let Err(Trouble { what, again }) = http::send(agent, &self.network, call, &time) else {
                return Ok(());
            };
            let pause = match again {
                Again::No => return Err(what),
                _ if attempt == ATTEMPTS_MAX => return Err(format!("{what} ({attempt} attempts)")),
                Again::Yes => self.patience.saturating_mul(1 << (attempt - 1)),
                Again::After(pause) => pause,
            };
            std::thread::sleep(pause.min(PAUSE_MAX));
            attempt += 1;
        }
    }
}
