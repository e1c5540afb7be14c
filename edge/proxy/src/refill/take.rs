//! The end of the new edge: asks for what the edge before has stored, and puts it into memory. Never waited for but for a
//! moment before the doors open, and by nobody afterwards.

use super::wire::{self, Record};
use crate::learn::CARRIED_BYTES_MAX;
use crate::on_disk;
use crate::thread::Shared;
use std::io::{self, BufReader};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tentpole_cache::{Brought, Coding, Content, Refilled, Tag};
use tentpole_message::StoredHead;
use tokio::sync::watch;

/// Read at once.
const BUFFER_BYTES: usize = 64 * 1024;
/// How long the other end may say nothing.
const SILENT_MAX: Duration = Duration::from_secs(5);
/// So many in a row that do not fit, and there is no room any more.
const FULL_MAX: usize = 64;

/// What comes from the edge before. Goes on by itself when this is dropped.
pub struct Refill {
    over: watch::Receiver<bool>,
}

impl Refill {
    /// Returns when all has come, or the rest will not.
    pub async fn ended(&mut self) {
        // The sender goes with its thread.
        let _ = self.over.wait_for(|&over| over).await;
    }
}

/// Takes what the edge at the other end has stored. [`tentpole_cache::Cache::remember_purges`] was called before any purge
/// could come. Where the system refuses a thread nothing comes.
pub fn take(shared: Arc<Shared>, from: UnixStream) -> Refill {
    let (tell, over) = watch::channel(false);
    let work = move || {
        tentpole_compress::give_way();
        // What came so far is of use without the rest.
        let _ = try_take(&shared, &from);
        shared.cache.forget_purges();
        tell.send_replace(true);
    };
    // Without a thread the sender is gone, which is an end too.
    let _ = std::thread::Builder::new().name("edge-refill".into()).spawn(work);
    Refill { over }
}

fn try_take(shared: &Arc<Shared>, from: &UnixStream) -> io::Result<()> {
    from.set_nonblocking(false)?;
    from.set_read_timeout(Some(SILENT_MAX))?;
    from.set_write_timeout(Some(SILENT_MAX))?;
    wire::write_greeting(&mut &*from, shared.prepared.get().version)?;
    let mut reader = BufReader::with_capacity(BUFFER_BYTES, from);
    let learned = wire::read_learned(&mut reader, CARRIED_BYTES_MAX)?;
    shared.learning.goes_on(&learned, &shared.observations);
    drop(learned);
    let mut full = 0;
    while let Some(record) = wire::read_record(&mut reader, shared.cache.object_bytes_max())? {
        match put(shared, record) {
            Refilled::Stored => {
                shared.refilled.fetch_add(1, Ordering::Relaxed);
                full = 0;
            }
            Refilled::Full if full == FULL_MAX => return Ok(()),
            Refilled::Full => full += 1,
            Refilled::Known | Refilled::Purged => {}
        }
    }
    Ok(())
}

fn put(shared: &Shared, record: Record) -> Refilled {
    let Record { key, meta, uses, is_stale, content, forms } = record;
    let tags: Vec<Tag> = meta.tags.iter().map(|tag| Tag::from_bytes(tag.to_le_bytes())).collect();
    let brought = Brought {
        vary: on_disk::vary_of(&meta),
        head: StoredHead { lines: meta.head, status: meta.status },
        facts: meta.facts,
        etag: meta.etag,
        last_modified: meta.last_modified,
        tags: &tags,
        content: Content::Pieces(content),
        assembles: meta.assembles,
        purged_softly: is_stale,
        for_all: false,
    };
    shared.cache.refill(&key, brought, uses, |object| {
        for (coding, form) in Coding::ALL.into_iter().zip(forms).filter(|(_, form)| !form.is_empty()) {
            shared.forms.bring(object, coding, form);
        }
    })
}
