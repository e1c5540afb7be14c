//! The one thread that writes. Takes what data threads hand over, writes purges down before anything else, and switches
//! the tier off and on again with its directory. Never says a word to a visitor.

use crate::append::{Appender, Record};
use crate::counts::count;
use crate::directory::{self, Manner, OpenError};
use crate::meta::PartAt;
use crate::purges::{Named, Order, Purges, Standing, What};
use crate::queue::Next;
use crate::record::{KEY_BYTES_MAX, Kind, META_BYTES_MAX, PART_BYTES};
use crate::segment::Segment;
use crate::shared::{Ordered, PENDING_MAX, Shared};
use crate::writing::{Job, NewObject, Stream};
use bytes::Bytes;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::SyncSender;
use std::time::Duration;
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::ledger::Account;
use tentpole_runtime::notice;

/// How often it looks after itself when nothing comes.
const TURN: Duration = Duration::from_secs(1);
/// How often it looks whether the process that holds the directory has let go of it, and for how long so often.
const HELD_TURN: Duration = Duration::from_millis(50);
const HELD_USUALLY: Duration = Duration::from_secs(60);
/// How long what waits is still written when another process gets the directory.
const LEAVE_MAX: Duration = Duration::from_secs(1);
/// After a write that failed nothing is written for this long, twice as long each time.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Writer {
    shared: Arc<Shared>,
    /// None while the directory cannot be used.
    appender: Option<Appender>,
    /// Nothing is written, or the directory not tried again, before.
    paused_until: Instant,
    /// The next pause; zero while all goes well.
    pause: Duration,
    /// Set while another process holds the directory.
    held: Option<Held>,
    /// It is another process's now.
    is_given: bool,
}

/// Another process has the directory, and will let go of it.
struct Held {
    since: Instant,
    is_said: bool,
    /// What was purged meanwhile. It is written down there too, by who holds it; here it is done again, for what that
    /// process may not have heard any more.
    orders: Vec<Order>,
    /// Who looks through what will be found.
    found: SyncSender<Vec<Arc<Segment>>>,
}

impl Writer {
    /// With `found` another process holds the directory.
    pub(crate) fn new(
        shared: Arc<Shared>,
        appender: Option<Appender>,
        found: Option<SyncSender<Vec<Arc<Segment>>>>,
    ) -> Self {
        let now = clock::now();
        let pause = if appender.is_some() { Duration::ZERO } else { PAUSE_MIN };
        shared.on.store(appender.is_some(), Ordering::Release);
        let held = found.map(|found| Held { since: now, is_said: false, orders: Vec::new(), found });
        Self { shared, appender, paused_until: now.after(pause), pause, held, is_given: false }
    }

    /// Writes until the queue is closed.
    pub(crate) fn run(mut self) {
        loop {
            let next = self.shared.writes.next(Some(self.turn()));
            if self.shared.leaving.load(Ordering::Acquire) && !self.is_given {
                self.give_to_another(next);
                continue;
            }
            if self.shared.failing.swap(false, Ordering::AcqRel) {
                self.give_up(&io::ErrorKind::Other.into());
            }
            match next {
                Next::Job(job) => {
                    self.take(job);
                    if self.shared.writes.is_empty() {
                        self.flush();
                    }
                }
                Next::Called => self.write_orders(),
                Next::Nothing => self.look_after(),
                Next::Closed => {
                    self.flush();
                    self.write_orders();
                    return;
                }
            }
        }
    }

    fn turn(&self) -> Duration {
        match &self.held {
            Some(held) if clock::now().since(held.since) < HELD_USUALLY => HELD_TURN,
            _ => TURN,
        }
    }

    fn take(&mut self, job: Job) {
        let bytes = job.bytes();
        self.write(job);
        self.shared.ledger.release(Account::Disk, bytes);
    }

    /// Writes what waits, and lets go of the directory.
    fn give_to_another(&mut self, mut next: Next<Job>) {
        let due = clock::now().after(LEAVE_MAX);
        loop {
            match next {
                Next::Job(job) => self.take(job),
                Next::Called => {}
                Next::Nothing | Next::Closed => break,
            }
            if clock::now() >= due {
                break;
            }
            next = self.shared.writes.next(Some(Duration::ZERO));
        }
        // One that has not come to have it takes it no more.
        self.is_given = self.held.take().is_some();
        self.flush();
        self.write_orders();
        self.is_given = true;
        self.nothing_is_there();
    }

    /// What was found there is found no more.
    fn nothing_is_there(&mut self) -> bool {
        let was = self.appender.take().is_some();
        if was {
            self.shared.on.store(false, Ordering::Release);
            self.shared.segments_mut().clear();
            self.shared.index.clear();
            self.shared.counts.bytes.store(0, Ordering::Relaxed);
        }
        was
    }

    fn write(&mut self, job: Job) {
        let hash = match &job {
            Job::Object(object, _) | Job::Commit(_, object) => Some(self.shared.seed.hash(&object.key)),
            Job::Part(..) => None,
        };
        let written = if self.is_paused() { Ok(false) } else { self.try_write(&job, hash.unwrap_or(0)) };
        if !matches!(written, Ok(true)) {
            match &job {
                Job::Part(stream, _) => stream.breaks(),
                Job::Object(..) | Job::Commit(..) => count(&self.shared.counts.writes_dropped),
            }
            // What lies there is older than what is not written.
            hash.into_iter().for_each(|hash| self.shared.forget(hash));
        }
        if let Err(error) = written {
            self.failed(&error);
        }
    }

    fn is_paused(&self) -> bool {
        self.pause > Duration::ZERO && clock::now() < self.paused_until
    }

    fn try_write(&mut self, job: &Job, key_hash: u64) -> io::Result<bool> {
        let Some(appender) = &mut self.appender else { return Ok(false) };
        match job {
            Job::Part(stream, body) => {
                if stream.is_broken() {
                    return Ok(false);
                }
                appender.part(stream, body).map(|()| true)
            }
            Job::Commit(stream, object) => {
                let parts = stream.take();
                if stream.is_broken() {
                    return Ok(false);
                }
                // One small part needs no record of its own, but it has one already.
                put_object(&self.shared, appender, object, key_hash, &parts, &[])
            }
            Job::Object(object, body) => {
                if body.iter().map(Bytes::len).sum::<usize>() <= PART_BYTES {
                    return put_object(&self.shared, appender, object, key_hash, &[], body);
                }
                let stream = Stream::new();
                for part in parts_of(body) {
                    appender.part(&stream, &part)?;
                }
                // They are written with the object that names them or before it, never without.
                put_object(&self.shared, appender, object, key_hash, &stream.take(), &[])
            }
        }
    }

    fn flush(&mut self) {
        match self.appender.as_mut().map(Appender::flush) {
            Some(Ok(true)) if self.pause > Duration::ZERO => {
                self.pause = Duration::ZERO;
                notice("the disk cache writes again");
            }
            Some(Err(error)) => self.failed(&error),
            _ => {}
        }
    }

    /// Writes purges down, and tells who waits for it.
    fn write_orders(&mut self) {
        self.open_held();
        let (orders, waiting) = {
            let mut ordered = self.shared.ordered_mut();
            (std::mem::take(&mut ordered.pending), std::mem::take(&mut ordered.waiting))
        };
        if orders.is_empty() && waiting.is_empty() {
            return;
        }
        let written = match &mut self.appender {
            Some(appender) => appender.journal.append(&orders, !waiting.is_empty()),
            // Who has the directory hears of every purge too, and writes it down.
            None if self.is_given => Ok(()),
            None if let Some(held) = &mut self.held => {
                held.keep(orders);
                Ok(())
            }
            // Whatever lies there must not come back without these purges.
            None => directory::disown(&self.shared.settings.directory),
        };
        let safe = match written {
            Ok(()) => true,
            // What cannot be written down must not matter: everything on disk goes.
            Err(error) => self.give_up(&error),
        };
        for waits in waiting {
            let _ = waits.send(safe);
        }
    }

    fn look_after(&mut self) {
        self.flush();
        self.write_orders();
        if self.appender.is_none() && self.held.is_none() && !self.is_given && !self.is_paused() {
            self.open_again();
        }
        self.forget_orders();
    }

    /// Purges that nothing on disk is older than are forgotten, and the journal is written anew when it is long.
    fn forget_orders(&mut self) {
        let Some(appender) = &mut self.appender else { return };
        if self.shared.scanned.load(Ordering::Acquire) && self.shared.writes.is_empty() {
            let lowest = self.shared.segments().values().map(|segment| segment.sequence_min()).min();
            let mut ordered = self.shared.ordered_mut();
            if ordered.purges.len() > 0 {
                ordered.purges.collapse(lowest.unwrap_or(u64::MAX));
            }
        }
        if appender.journal.is_long() {
            // No lock is held while files are written: data threads take it.
            let purges = self.shared.ordered().purges.clone();
            if let Err(error) = appender.journal.rewrite(&purges) {
                self.failed(&error);
            }
        }
    }

    /// A write failed: for a while nothing is written, and what lies there can still be read.
    fn failed(&mut self, error: &io::Error) {
        count(&self.shared.counts.errors);
        if error.kind() == io::ErrorKind::NotFound {
            self.give_up(error);
            return;
        }
        if self.pause.is_zero() {
            let directory = self.shared.settings.directory.display();
            notice(format_args!(
                "the disk cache in {directory} cannot be written: {error}; it is tried again"
            ));
        }
        self.pause_longer();
    }

    fn pause_longer(&mut self) {
        self.pause = (self.pause * 2).clamp(PAUSE_MIN, PAUSE_MAX);
        self.paused_until = clock::now().after(self.pause);
    }

    /// The directory cannot be used: everything in it is given up. Returns whether it is certain that nothing in it is
    /// used again.
    fn give_up(&mut self, error: &io::Error) -> bool {
        if self.is_given {
            return true;
        }
        count(&self.shared.counts.errors);
        let directory = self.shared.settings.directory.clone();
        let disowned = directory::disown(&directory);
        if self.nothing_is_there() {
            let directory = directory.display();
            notice(format_args!(
                "the disk cache in {directory} is switched off: {error}; it is tried again, empty"
            ));
        }
        self.pause_longer();
        disowned.is_ok()
    }

    /// Takes the directory if the process that holds it has let go of it. What that has stored goes on, without what was
    /// purged here meanwhile.
    fn open_held(&mut self) {
        let Some(held) = &mut self.held else { return };
        let purges = self.shared.ordered().purges.clone();
        let opened = match directory::open(&self.shared.settings, Manner::Of(self.shared.seed, &purges)) {
            Ok(opened) => opened,
            Err(error @ OpenError::Held { .. }) => {
                if !held.is_said && clock::now().since(held.since) >= HELD_USUALLY {
                    held.is_said = true;
                    notice(format_args!("{error}; until it is let go of, nothing is kept on disk"));
                }
                return;
            }
            Err(error) => {
                notice(format_args!("{error}; it is tried again, and until then nothing is kept on disk"));
                self.held = None;
                // What lies there must not come back without these purges.
                let _ = directory::disown(&self.shared.settings.directory);
                return self.pause_longer();
            }
        };
        let Some(held) = self.held.take() else { return };
        self.go_on_with(opened, held);
    }

    fn go_on_with(&mut self, mut opened: directory::Opened, held: Held) {
        let Held { orders: mut kept, found, .. } = held;
        if opened.goes_on {
            let (orders, waiting) = {
                let mut ordered = self.shared.ordered_mut();
                let Ordered { purges, pending, waiting } = &mut *ordered;
                kept.append(pending);
                let mut there: Purges = std::mem::take(&mut opened.purges);
                // Fetches that are under way have lower numbers: what was purged since they began is purged for them too.
                let again = |order: Order| there.purge(order.what, order.soft);
                let orders: Vec<Order> = kept.into_iter().map(again).collect();
                *purges = there;
                (orders, std::mem::take(waiting))
            };
            let written = opened.journal.append(&orders, true);
            if let Err(error) = &written {
                self.give_up(error);
            }
            waiting.into_iter().for_each(|waits| _ = waits.send(written.is_ok()));
            if written.is_err() {
                return;
            }
        }
        let (appender, segments) = Appender::new(self.shared.clone(), opened);
        self.appender = Some(appender);
        (self.pause, self.paused_until) = (Duration::ZERO, clock::now());
        self.shared.on.store(true, Ordering::Release);
        // It has room for one, and only one is sent.
        let _ = found.send(segments);
    }

    fn open_again(&mut self) {
        let purges = self.shared.ordered().purges.clone();
        let opened = directory::open(&self.shared.settings, Manner::Anew(self.shared.seed, &purges));
        let Ok(opened) = opened else { return self.pause_longer() };
        // The journal was begun with all that was known; what was ordered since is still pending.
        self.appender = Some(Appender::new(self.shared.clone(), opened).0);
        self.shared.scanned.store(true, Ordering::Release);
        self.shared.read_errors.store(0, Ordering::Release);
        self.shared.on.store(true, Ordering::Release);
        self.pause = Duration::ZERO;
        notice(format_args!(
            "the disk cache in {} is in use again",
            self.shared.settings.directory.display()
        ));
    }
}

impl Held {
    /// Remembers purges; more than can be become one of everything.
    fn keep(&mut self, orders: Vec<Order>) {
        self.orders.extend(orders);
        if self.orders.len() > PENDING_MAX {
            self.orders = vec![Order { sequence: 0, soft: false, what: What::All }];
        }
    }
}

/// Puts the record that makes an object findable. False when a purge came, or it holds more than is written.
fn put_object(
    shared: &Shared,
    appender: &mut Appender,
    object: &NewObject,
    key_hash: u64,
    parts: &[PartAt],
    body: &[Bytes],
) -> io::Result<bool> {
    let NewObject { key, meta, sequence } = object;
    let named = Named { sequence: *sequence, key_hash, key, tags: &meta.tags, site: meta.site };
    let encoded = meta.encode(parts).filter(|encoded| encoded.len() <= META_BYTES_MAX);
    let Some(encoded) = encoded.filter(|_| key.len() <= KEY_BYTES_MAX) else { return Ok(false) };
    let oldest = parts.iter().map(|part| part.segment).min();
    let torn = oldest.is_some_and(|oldest| shared.segment(oldest).is_none());
    if torn || shared.standing(&named) == Standing::Gone {
        return Ok(false);
    }
    let useful_until = u32::try_from(meta.useful_until()).unwrap_or(u32::MAX);
    let variant = variant(shared, meta);
    let (kind, sequence) = (Kind::Object, *sequence);
    let record =
        Record { kind, key_hash, variant, sequence, useful_until, oldest, key, meta: &encoded, body };
    appender.object(&record).map(|()| true)
}

/// Tells the variants of a key apart; 0 varies by nothing.
fn variant(shared: &Shared, meta: &crate::Meta) -> u32 {
    if meta.vary.is_empty() {
        return 0;
    }
    let mut selects = Vec::new();
    for (name, value) in &meta.vary {
        for text in [Some(name), value.as_ref()] {
            selects.extend_from_slice(&text.map_or(u64::MAX, |text| text.len() as u64).to_le_bytes());
            selects.extend_from_slice(text.map_or(&[], |text| text));
        }
    }
    (shared.seed.hash(&selects) as u32).max(1)
}

/// A body cut into parts.
fn parts_of(body: &[Bytes]) -> Vec<Vec<Bytes>> {
    let (mut parts, mut room) = (Vec::<Vec<Bytes>>::new(), 0);
    for piece in body {
        let mut piece = piece.clone();
        while !piece.is_empty() {
            if room == 0 {
                parts.push(Vec::new());
                room = PART_BYTES;
            }
            let taken = piece.split_to(piece.len().min(room));
            room -= taken.len();
            parts.last_mut().into_iter().for_each(|part| part.push(taken.clone()));
        }
    }
    parts
}

impl Job {
    fn bytes(&self) -> u64 {
        let (Self::Object(_, pieces) | Self::Part(_, pieces)) = self else { return 0 };
        pieces.iter().map(|piece| piece.len() as u64).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_cut_where_parts_end() {
        let body = [
            Bytes::from(vec![1; PART_BYTES - 1]),
            Bytes::from(vec![2; PART_BYTES + 3]),
            Bytes::from(vec![3; 5]),
        ];
        let parts: Vec<Vec<u8>> = parts_of(&body).iter().map(|part| part.concat()).collect();
        assert_eq!(parts.iter().map(Vec::len).collect::<Vec<_>>(), [PART_BYTES, PART_BYTES, 7]);
        assert_eq!(parts.concat(), body.concat());
        assert!(parts_of(&[]).is_empty());
    }
}
