//! The end of the edge before: sends what it has stored, hottest first. Holds a shard's lock for some hundred places at a
//! time, and a few objects while they are sent. Changes nothing that is stored.

use super::pace::{Pace, Rate};
use super::wire;
use crate::on_disk;
use crate::thread::Shared;
use std::io::{self, BufWriter, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_cache::{Coding, Object};
use tentpole_runtime::clock;

/// What goes over in a second at most: a core's tenth, and what the loopback of a small machine hardly notices.
const RATE: Rate = Rate { bytes: 64 << 20, objects: 20_000 };
/// Gathered before it is written.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long the new edge may take until it asks.
const ASKED_MAX: Duration = Duration::from_secs(60);
/// How long it may take to read what waits for it; then it hangs.
const READ_MAX: Duration = Duration::from_secs(5);
/// What is stale so soon is not worth sending, in seconds.
const USEFUL_MIN: u64 = 2;

/// A thread that sends.
pub struct Giving(Option<JoinHandle<()>>);

impl Giving {
    /// Whether it has come to its end.
    pub fn is_over(&self) -> bool {
        self.0.as_ref().is_none_or(JoinHandle::is_finished)
    }
}

/// Gives what is stored to the edge at the other end, once it asks. Where the system refuses a thread nothing is given.
pub fn give(shared: Arc<Shared>, to: UnixStream) -> Giving {
    let work = move || {
        tentpole_compress::give_way();
        // Who is gone, or hangs, has no use for the rest.
        let _ = try_give(&shared, &to);
        shared.company.gives_no_more();
    };
    Giving(std::thread::Builder::new().name("edge-refill".into()).spawn(work).ok())
}

fn try_give(shared: &Arc<Shared>, to: &UnixStream) -> io::Result<()> {
    to.set_nonblocking(false)?;
    to.set_read_timeout(Some(ASKED_MAX))?;
    to.set_write_timeout(Some(READ_MAX))?;
    if !wire::read_greeting(&mut &*to, shared.prepared.get().version)? {
        return Ok(());
    }
    // Before the first object is read: from here on what is purged here is purged there.
    shared.company.gives();
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, to);
    // First: only an edge that has hashed nothing yet can go on with it.
    wire::write_learned(&mut out, &shared.learning.carried())?;
    out.flush()?;
    let mut walk = shared.cache.hottest();
    let mut pace = Pace::new(RATE, clock::now());
    while let Some(batch) = walk.next_batch() {
        for (object, uses) in batch {
            if !is_worth_it(&object) {
                continue;
            }
            let wait = pace.wait(clock::now(), 1, object.cost());
            if !wait.is_zero() {
                std::thread::sleep(wait);
            }
            let meta = on_disk::meta_to_give(&object);
            let how = (uses, object.is_softly_purged());
            let form = |coding| object.derived(coding).map_or(&[][..], |form| form.chunks());
            wire::write_record(&mut out, object.key(), &meta, how, object.chunks(), Coding::ALL.map(form))?;
        }
        std::thread::yield_now();
    }
    wire::write_end(&mut out)
}

/// What lies on disk is there for the new edge too. A guess does not outlive the process. What is stored by a learned rule lives
/// a minute at most and what spoke against it here meanwhile is not known there: the rule goes over, and one request fetches
/// it anew.
fn is_worth_it(object: &Object) -> bool {
    let facts = object.own_facts();
    object.place().is_none() && !facts.learned && on_disk::is_worth_it(&facts, USEFUL_MIN)
}
