//! All names that somebody wants, each with a task of its own that looks it up when it is time. One name is one task,
//! whoever wants it: that is what keeps it at one look-up per TTL.

use crate::look_up::{Found, NotFound, Worked, look_up};
use crate::system::{Files, System};
use crate::tell::{self, Event};
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tentpole_model::{
    Asked, Lookup, NameAnswer, NameAnswers, NameStatus, NamesPort, NamesSettings, NamesStatus, Snapshot,
    Target,
};
use tentpole_runtime::{Instant, Published, clock};
use tokio::sync::{Semaphore, watch};
use tokio::task::AbortHandle;

/// Look-ups under way at once.
const AT_ONCE_MAX: usize = 64;
/// Time between two looks at the files of this machine.
const FILES_EVERY: Duration = Duration::from_secs(2);
/// Time until a look-up that failed is tried again, the first time; twice as long each time after it.
const RETRY_MIN: Duration = Duration::from_secs(1);
/// And at most; also the longest that a name server may say that there is nothing.
const RETRY_MAX: Duration = Duration::from_secs(30);
/// At most for a name that never had an answer.
const MISSING_MAX: Duration = Duration::from_secs(2);
/// Targets of one service that are followed.
const SERVICES_MAX: usize = 32;
/// Seconds over which look-ups are counted.
const SECONDS: usize = 60;

/// Looks up what is wanted. Lives as long as its process.
pub struct Names {
    inner: Arc<Inner>,
}

/// The wish for some names; dropping it takes it back.
pub struct Followed {
    inner: Weak<Inner>,
    names: Vec<Asked>,
}

struct Inner {
    files: Files,
    answers: Arc<Published<NameAnswers>>,
    known: Mutex<Known>,
    /// By what names are looked up, with a number that counts up when it changes and all are looked up anew.
    by: watch::Sender<Arc<By>>,
    slots: Semaphore,
    counts: Counts,
    on_event: Box<dyn Fn(String) + Send + Sync>,
}

struct By {
    settings: NamesSettings,
    system: System,
}

struct Known {
    names: HashMap<Asked, Entry>,
    /// Look-ups in each of the last seconds, and which second that was.
    seconds: [(u64, u64); SECONDS],
}

#[derive(Default)]
struct Counts {
    found: AtomicU64,
    absent: AtomicU64,
    failed: AtomicU64,
    questions: AtomicU64,
}

/// What is known of one name.
struct Entry {
    wanted_by: usize,
    task: Option<AbortHandle>,
    /// It was looked up at least once.
    tried: bool,
    lookups: u64,
    /// The last good answer, and when it came.
    found: Option<(Found, Instant)>,
    /// The addresses of a service's targets.
    targets: Option<Followed>,
    ttl: Duration,
    /// Since when name servers say that there is no such name.
    absent_since: Option<Instant>,
    failures: u32,
    trouble: Option<String>,
}

impl Names {
    /// Nothing is wanted yet. `on_event` is told what changed, in words; it must not block. Runs on the calling tokio
    /// runtime, which needs its time and network drivers.
    pub fn start(settings: NamesSettings, files: Files, on_event: Box<dyn Fn(String) + Send + Sync>) -> Self {
        let system = files.read();
        let mark = files.mark();
        let inner = Arc::new(Inner {
            files,
            answers: Published::new(NameAnswers::default()),
            known: Mutex::new(Known { names: HashMap::new(), seconds: [(0, 0); SECONDS] }),
            by: watch::Sender::new(Arc::new(By { settings, system })),
            slots: Semaphore::new(AT_ONCE_MAX),
            counts: Counts::default(),
            on_event,
        });
        let look = Arc::downgrade(&inner);
        tokio::spawn(async move {
            let mut mark = mark;
            loop {
                tokio::time::sleep(FILES_EVERY).await;
                let Some(inner) = look.upgrade() else { return };
                // Two calls that wait for no disk as a rule; nothing else of this process hurries.
                let now = inner.files.mark();
                if now != mark {
                    mark = now;
                    let system = inner.files.read();
                    inner.change_by(|by| By { settings: by.settings.clone(), system });
                }
            }
        });
        Self { inner }
    }

    /// Where names lead.
    pub fn answers(&self) -> Arc<Published<NameAnswers>> {
        self.inner.answers.clone()
    }

    /// Looks up the names of a Snapshot's endpoints from now on, by its settings, until what is returned is dropped.
    pub fn follow(&self, snapshot: &Snapshot) -> Followed {
        let settings = snapshot.names.clone();
        self.inner.change_by(|by| By { settings, system: by.system.clone() });
        let pools = snapshot.pools.iter().filter(|pool| pool.fleet.is_none());
        let names: HashSet<Asked> =
            pools.flat_map(|pool| &pool.endpoints).filter_map(|e| e.asked()).collect();
        Inner::want(&self.inner, names.into_iter().collect())
    }
}

impl NamesPort for Names {
    fn status(&self) -> NamesStatus {
        let now = clock::now();
        let known = self.inner.known();
        let counts = &self.inner.counts;
        let answers = self.inner.answers.get();
        let mut names: Vec<NameStatus> =
            known.names.iter().map(|(asked, entry)| entry.status(asked, &answers, now)).collect();
        names.sort_by(|one, other| one.name.cmp(&other.name));
        NamesStatus {
            found: counts.found.load(Relaxed),
            absent: counts.absent.load(Relaxed),
            failed: counts.failed.load(Relaxed),
            questions: counts.questions.load(Relaxed),
            last_minute: known.last_minute(now),
            names,
        }
    }
}

impl Drop for Followed {
    fn drop(&mut self) {
        let Some(inner) = self.inner.upgrade() else { return };
        let mut gone = Vec::new();
        {
            let mut known = inner.known();
            for asked in &self.names {
                let Some(entry) = known.names.get_mut(asked) else { continue };
                entry.wanted_by -= 1;
                if entry.wanted_by == 0 {
                    gone.extend(known.names.remove(asked));
                }
            }
            if !gone.is_empty() {
                inner.publish(&known);
            }
        }
        // Outside the lock: a service's wish for its targets is taken back with it.
        for entry in gone {
            entry.task.iter().for_each(AbortHandle::abort);
        }
    }
}

impl Inner {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change_by(&self, change: impl FnOnce(&By) -> By) {
        self.by.send_if_modified(|by| {
            let next = change(by);
            let differs = next.settings != by.settings || next.system != by.system;
            *by = Arc::new(next);
            differs
        });
    }

    fn want(this: &Arc<Self>, names: Vec<Asked>) -> Followed {
        let mut known = this.known();
        for asked in &names {
            let entry = known.names.entry(asked.clone()).or_insert_with(Entry::new);
            entry.wanted_by += 1;
            if entry.task.is_none() {
                let task = tokio::spawn(keep(Arc::downgrade(this), this.by.subscribe(), asked.clone()));
                entry.task = Some(task.abort_handle());
            }
        }
        drop(known);
        Followed { inner: Arc::downgrade(this), names }
    }

    /// Takes note of how a look-up ended; returns when to look again.
    fn came(this: &Arc<Self>, asked: &Asked, by: &By, came: Result<Found, NotFound>) -> Option<Duration> {
        let now = clock::now();
        let counted = match &came {
            Ok(_) => &this.counts.found,
            Err(not) if not.why.is_absence() => &this.counts.absent,
            Err(_) => &this.counts.failed,
        };
        counted.fetch_add(1, Relaxed);
        // Before the lock is taken, for it takes it too.
        let targets = came.as_ref().ok().filter(|_| asked.lookup == Lookup::Services).map(|found| {
            let hosts: HashSet<&String> = found.services.iter().take(SERVICES_MAX).map(|s| &s.host).collect();
            let asked = |host: &String| Asked { host: host.clone(), lookup: Lookup::Addresses };
            Self::want(this, hosts.into_iter().map(asked).collect())
        });
        let (again, before, events) = {
            let mut known = this.known();
            known.count(now);
            let entry = known.names.get_mut(asked)?;
            let before = match targets {
                Some(targets) => entry.targets.replace(targets),
                None => None,
            };
            let mut events = Vec::new();
            let again = entry.came(&by.settings, now, came, |event| events.push(event));
            let led_to = this.answers.get();
            this.publish(&known);
            let leads_to = this.answers.get();
            events.extend(tell::changes(&led_to, &leads_to));
            (again, before, events)
        };
        drop(before);
        events.into_iter().for_each(|event| (this.on_event)(event.in_words(asked)));
        Some(again)
    }

    /// Publishes where all names lead, when that has changed. Called under the lock, so that nothing older overtakes it.
    fn publish(&self, known: &Known) {
        let hold = self.by.borrow().settings.absent_hold;
        let now = clock::now();
        let answered = known.names.iter().filter_map(|(asked, entry)| {
            let targets = match asked.lookup {
                Lookup::Addresses => entry.addresses(),
                Lookup::Services => known.services(entry)?,
            };
            let gone = entry.absent_since.is_some_and(|since| now.since(since) >= hold);
            let one_machine = entry.found.as_ref().is_some_and(|(found, _)| found.one_machine);
            let answer = NameAnswer { targets, one_machine, gone, trouble: entry.trouble.clone() };
            entry.tried.then(|| (asked.clone(), answer))
        });
        let next = NameAnswers { names: answered.collect() };
        self.answers.update(|now| (*now != next).then_some(next));
    }
}

/// Looks one name up for ever.
async fn keep(inner: Weak<Inner>, mut by: watch::Receiver<Arc<By>>, asked: Asked) {
    let mut worked: Worked = None;
    loop {
        let Some(inner) = inner.upgrade() else { return };
        let now_by = by.borrow_and_update().clone();
        let came = {
            // Never closed.
            let _slot = inner.slots.acquire().await;
            let By { settings, system } = &*now_by;
            look_up(&asked, system, settings, &mut worked, &inner.counts.questions).await
        };
        let Some(again) = Inner::came(&inner, &asked, &now_by, came) else { return };
        drop(inner);
        tokio::select! {
            () = tokio::time::sleep(again) => {}
            changed = by.changed() => if changed.is_err() { return },
        }
    }
}

impl Known {
    fn count(&mut self, now: Instant) {
        let second = now.as_micros() / 1_000_000;
        let place = &mut self.seconds[second as usize % SECONDS];
        *place = if place.0 == second { (second, place.1 + 1) } else { (second, 1) };
    }

    fn last_minute(&self, now: Instant) -> u64 {
        let now = now.as_micros() / 1_000_000;
        self.seconds.iter().filter(|(second, _)| second + SECONDS as u64 > now).map(|(_, count)| count).sum()
    }

    /// Where a service leads; `None` while its targets' names were not looked up.
    fn services(&self, entry: &Entry) -> Option<Vec<Target>> {
        let Some((found, _)) = &entry.found else { return Some(Vec::new()) };
        let mut targets = Vec::new();
        for service in found.services.iter().take(SERVICES_MAX) {
            let asked = Asked { host: service.host.clone(), lookup: Lookup::Addresses };
            let host = self.names.get(&asked).filter(|host| host.tried)?;
            let addresses = host.addresses();
            // The weight is the target's: its addresses share it. In thousandths, so that it can be shared.
            let weight = u32::from(service.weight) * 1_000 / (addresses.len() as u32).max(1);
            targets.extend(addresses.into_iter().map(|target| Target {
                port: Some(service.port),
                priority: service.priority,
                weight,
                ..target
            }));
        }
        Some(targets)
    }
}

impl Entry {
    fn new() -> Self {
        Self {
            wanted_by: 0,
            task: None,
            tried: false,
            lookups: 0,
            found: None,
            targets: None,
            ttl: Duration::ZERO,
            absent_since: None,
            failures: 0,
            trouble: None,
        }
    }

    fn addresses(&self) -> Vec<Target> {
        let addresses = self.found.as_ref().map_or(&[][..], |(found, _)| &found.addresses);
        addresses.iter().map(|&ip| Target { ip, port: None, priority: 0, weight: 0 }).collect()
    }

    /// Takes an answer, or keeps the last good one; returns how long what is known now counts.
    fn came(
        &mut self,
        settings: &NamesSettings,
        now: Instant,
        came: Result<Found, NotFound>,
        mut tell: impl FnMut(Event),
    ) -> Duration {
        (self.tried, self.lookups) = (true, self.lookups + 1);
        let (why, words) = match came {
            Ok(found) => {
                let ttl = found.ttl.unwrap_or(settings.ttl_max).clamp(settings.ttl_min, settings.ttl_max);
                (self.found, self.ttl) = (Some((found, now)), ttl);
                (self.failures, self.absent_since) = (0, None);
                if self.trouble.take().is_some() {
                    tell(Event::Well);
                }
                return ttl;
            }
            Err(NotFound { why, words }) => (why, words),
        };
        if self.trouble.is_none() {
            let age = self.found.as_ref().map(|(_, came)| now.since(*came));
            tell(Event::Trouble { words: words.clone(), age });
        }
        self.trouble = Some(words);
        let missing = self.found.is_none();
        if why.is_absence() {
            self.failures = 0;
            let since = *self.absent_since.get_or_insert(now);
            let left = settings.absent_hold.saturating_sub(now.since(since));
            let negative = why.negative_ttl().unwrap_or(RETRY_MIN).clamp(RETRY_MIN, RETRY_MAX);
            return match (missing, left > Duration::ZERO) {
                (true, _) => negative.min(MISSING_MAX),
                (false, true) => negative.min(left),
                (false, false) => negative,
            };
        }
        // Nobody could say: that there was no such name counts no longer either.
        self.absent_since = None;
        let retry = RETRY_MIN.saturating_mul(1 << self.failures.min(8)).min(RETRY_MAX);
        self.failures = self.failures.saturating_add(1);
        if missing { retry.min(MISSING_MAX) } else { retry }
    }

    fn status(&self, asked: &Asked, answers: &NameAnswers, now: Instant) -> NameStatus {
        let leads_to = answers.names.get(asked).map_or(&[][..], |answer| &answer.targets);
        NameStatus {
            name: asked.to_string(),
            addresses: leads_to.iter().map(tell::target).collect(),
            from: self.found.as_ref().map(|(found, _)| found.from.clone()),
            ttl_ms: self.ttl.as_millis() as u64,
            age_ms: self.found.as_ref().map(|(_, came)| now.since(*came).as_millis() as u64),
            lookups: self.lookups,
            trouble: self.trouble.clone(),
        }
    }
}
