//! The drain thread: empties the rings of all data threads a few times a second, keeps the last requests and writes
//! the access log. A slow or full disk costs lines, which are counted, and never holds up a data thread.

use crate::log::{self, Names};
use crate::observed::Observed;
use crate::record;
use crate::sink::{Chunk, Sink};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tentpole_model::AccessLog;
use tentpole_runtime::clock;

/// Pause between two rounds.
const PAUSE: Duration = Duration::from_millis(100);
/// Pause while the rings fill quickly.
const PAUSE_BUSY: Duration = Duration::from_millis(10);
/// A ring this full (in percent) at a round's start makes the next pause short.
const BUSY_PERCENT: u8 = 20;
/// Bytes of lines that go to the writer at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that wait for the writer; further ones are dropped.
const CHUNKS_MAX: usize = 32;
/// How long [`Drain::stop`] waits for a log that does not take its last lines.
const STOP_MAX: Duration = Duration::from_secs(2);

/// The running drain thread; ends it when dropped.
#[derive(Debug)]
pub struct Drain {
    shared: Arc<Shared>,
    drainer: Option<JoinHandle<()>>,
    written: Option<Receiver<()>>,
}

#[derive(Debug)]
struct Shared {
    observed: Arc<Observed>,
    names: Names,
    stop: AtomicBool,
}

/// Lines on their way to the writer.
struct Lines {
    form: AccessLog,
    chunk: Chunk,
    chunks: SyncSender<Chunk>,
}

impl Drain {
    /// Opens the access log (if one is wanted) and starts the thread.
    ///
    /// # Errors
    /// When the log's file cannot be opened or no thread can be made.
    pub fn start(observed: Arc<Observed>, names: Names) -> io::Result<Self> {
        let (lines, written) = match observed.log().access {
            AccessLog::Off => (None, None),
            form => {
                let sink = Sink::open(observed.log().file.as_deref())?;
                let (chunks, inbox) = sync_channel(CHUNKS_MAX);
                let (done, written) = sync_channel(1);
                let observed = observed.clone();
                thread::Builder::new().name("access-log".into()).spawn(move || {
                    sink.write_all(&inbox, &observed.log_counts);
                    // Nobody listens when stopping took too long.
                    let _ = done.send(());
                })?;
                (Some(Lines { form, chunk: Chunk::default(), chunks }), Some(written))
            }
        };
        let shared = Arc::new(Shared { observed, names, stop: AtomicBool::new(false) });
        let drainer = thread::Builder::new().name("drain".into());
        let drainer = drainer.spawn({
            let shared = shared.clone();
            move || shared.run(lines)
        })?;
        Ok(Self { shared, drainer: Some(drainer), written })
    }

    /// Drains once more, writes what is left and ends. Waits at most some seconds for a log that takes nothing.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let Some(drainer) = self.drainer.take() else { return };
        self.shared.stop.store(true, Ordering::Release);
        drainer.thread().unpark();
        // A drain thread that panicked has said so already.
        let _ = drainer.join();
        if let Some(written) = self.written.take() {
            let _ = written.recv_timeout(STOP_MAX);
        }
    }
}

impl Drop for Drain {
    fn drop(&mut self) {
        self.end();
    }
}

impl Shared {
    fn run(&self, mut lines: Option<Lines>) {
        loop {
            // Asked first: what was pushed before the wish to stop is drained after it.
            let last = self.stop.load(Ordering::Acquire);
            let fullest = self.observed.drain(|bytes| {
                if let Some(lines) = &mut lines {
                    lines.add(bytes, self);
                }
            });
            if let Some(lines) = &mut lines {
                lines.hand_over(self, last);
            }
            if last {
                return;
            }
            thread::park_timeout(if fullest >= BUSY_PERCENT { PAUSE_BUSY } else { PAUSE });
        }
    }
}

impl Lines {
    fn add(&mut self, bytes: &[u8], shared: &Shared) {
        let Some(record) = record::decode(bytes) else {
            debug_assert!(false, "a ring holds only records");
            return;
        };
        log::write_line(&mut self.chunk.bytes, self.form, &record, &shared.names);
        self.chunk.lines += 1;
        if self.chunk.bytes.len() >= CHUNK_BYTES {
            self.hand_over(shared, false);
        }
    }

    /// Gives the lines so far to the writer, or drops and counts them when it does not keep up. Only the `last` ones
    /// wait for it, and not for long.
    fn hand_over(&mut self, shared: &Shared, last: bool) {
        if self.chunk.lines == 0 {
            return;
        }
        let lines = self.chunk.lines;
        let capacity = self.chunk.bytes.capacity();
        let mut chunk = std::mem::replace(&mut self.chunk, Chunk::with_capacity(capacity));
        let until = clock::now().after(STOP_MAX);
        loop {
            chunk = match self.chunks.try_send(chunk) {
                Ok(()) => return,
                Err(TrySendError::Full(back)) if last && clock::now() < until => back,
                Err(_) => break,
            };
            thread::park_timeout(PAUSE_BUSY);
        }
        shared.observed.log_counts.lines_dropped.fetch_add(lines, Ordering::Relaxed);
    }
}

#[cfg(test)]
#[path = "drain_tests.rs"]
mod tests;
