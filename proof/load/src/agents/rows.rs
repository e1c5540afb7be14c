//! Requests of a log that is played by agents: the coordinator reads it, once for each agent, and hands on the requests of that
//! agent's visitors, some ahead of those that it has taken. So neither side holds the log in memory, and a log that is larger
//! than memory can be played.

use crate::agents::division::Part;
use crate::replay::{Request, Requests, Source};
use std::io;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tentpole_runtime::clock;

/// Requests that an agent was handed and has not taken, at most.
const AHEAD_MAX: u64 = 8_192;
/// Of one message.
const ROWS_MAX: usize = 512;
/// How long the first ones are waited for before the run begins.
const FIRST_MAX: Duration = Duration::from_secs(1);

/// The coordinator's end, for one agent.
pub(crate) struct Feed {
    requests: Receiver<Request>,
    handed: u64,
    /// What the agent says that it has taken.
    taken: Arc<AtomicU64>,
    is_over: bool,
}

/// What is handed on: requests, and whether these are the last.
pub(crate) type Rows = (Vec<Request>, bool);

impl Feed {
    /// Begins to read the requests of this part; `taken` is how many the agent says that it has taken.
    pub(crate) fn begin(source: &Source, part: Part, taken: Arc<AtomicU64>) -> io::Result<Self> {
        let (to, requests) = sync_channel(ROWS_MAX);
        let source = source.clone();
        // It ends with the requests, or when nobody takes them any more.
        std::thread::Builder::new().name(format!("replay-{}", part.place.0)).spawn(move || {
            let Ok(all) = (source.0)(part.first) else { return };
            for request in all.filter(|request| part.has(request.visitor)) {
                if to.send(request).is_err() {
                    return;
                }
            }
        })?;
        Ok(Self { requests, handed: 0, taken, is_over: false })
    }

    /// The next to hand on; nothing while the agent has enough of them, or none has been read, or after the last.
    pub(crate) fn next(&mut self) -> Option<Rows> {
        self.rows(Duration::ZERO)
    }

    /// The same at the beginning, when it is worth waiting for the first.
    pub(crate) fn first(&mut self) -> Option<Rows> {
        self.rows(FIRST_MAX)
    }

    fn rows(&mut self, patience: Duration) -> Option<Rows> {
        let room = AHEAD_MAX.saturating_sub(self.handed.saturating_sub(self.taken.load(Relaxed)));
        if self.is_over || room == 0 {
            return None;
        }
        let (mut rows, until) = (Vec::new(), clock::now().after(patience));
        while rows.len() < ROWS_MAX.min(room as usize) {
            match self.requests.recv_timeout(until.since(clock::now())) {
                Ok(request) => rows.push(request),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => {
                    self.is_over = true;
                    break;
                }
            }
        }
        self.handed += rows.len() as u64;
        (self.is_over || !rows.is_empty()).then_some((rows, self.is_over))
    }
}

/// An agent's end: a queue for each of its threads.
#[derive(Debug)]
pub(crate) struct Fed {
    part: Part,
    /// Empty after the last.
    to: Vec<SyncSender<Request>>,
    taken: Arc<AtomicU64>,
}

impl Fed {
    /// The queues, and where the threads find them.
    pub(crate) fn new(part: Part) -> (Self, Source) {
        let (to, from): (Vec<_>, Vec<_>) =
            (0..part.threads).map(|_| sync_channel::<Request>(AHEAD_MAX as usize)).unzip();
        let queues = Mutex::new(from.into_iter().map(Some).collect::<Vec<_>>());
        let taken = Arc::new(AtomicU64::new(0));
        let counted = taken.clone();
        let source = Source(Arc::new(move |number| {
            let mut queues = queues.lock().unwrap_or_else(PoisonError::into_inner);
            let queue = queues.get_mut(number.wrapping_sub(part.first) as usize).and_then(Option::take);
            let queue = queue.ok_or(io::ErrorKind::NotFound)?;
            let counted = counted.clone();
            Ok(Box::new(queue.into_iter().inspect(move |_| {
                counted.fetch_add(1, Relaxed);
            })) as Requests)
        }));
        (Self { part, to, taken }, source)
    }

    /// How many the threads have taken.
    pub(crate) fn taken(&self) -> u64 {
        self.taken.load(Relaxed)
    }

    /// Takes what was handed on.
    ///
    /// # Errors
    /// When they are more than was asked for, another's, or no request of this host.
    pub(crate) fn take(&mut self, (rows, is_last): Rows) -> io::Result<()> {
        let wrong = |says: &str| io::Error::new(io::ErrorKind::InvalidData, says);
        for request in rows {
            if !request.target.starts_with('/') {
                return Err(wrong("a request of a log does not begin with /"));
            }
            let thread = (request.visitor % u64::from(self.part.of.max(1))) as u32;
            let queue = self.to.get(thread.wrapping_sub(self.part.first) as usize);
            let queue = queue.ok_or_else(|| wrong("a request of a log is another agent's"))?;
            // A thread that is gone takes no more, and is found out elsewhere.
            if let Err(std::sync::mpsc::TrySendError::Full(_)) = queue.try_send(request) {
                return Err(wrong("more requests of a log than were asked for"));
            }
        }
        if is_last {
            self.to.clear();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::agents::division::parts;
    use crate::journey::Verb;

    fn request(visitor: u64) -> Request {
        let after = Duration::from_millis(visitor);
        let (target, user_agent) = ("/".to_owned(), String::new());
        Request { after, visitor, verb: Verb::Get, target, user_agent, status: 200 }
    }

    fn log(count: u64) -> Source {
        Source(Arc::new(move |_| Ok(Box::new((0..count).map(request)) as Requests)))
    }

    #[test]
    fn each_request_is_handed_to_one_thread_and_none_waits_beyond_the_bound() {
        let (count, mut seen) = (30_000, Vec::new());
        for part in parts(&[1, 2]) {
            let taken = Arc::new(AtomicU64::new(0));
            let mut feed = Feed::begin(&log(count), part, taken.clone()).expect("a thread");
            let (mut fed, source) = Fed::new(part);
            let thread = |number| {
                let queue = (source.0)(number).expect("a queue");
                std::thread::spawn(move || queue.map(|request| request.visitor).collect::<Vec<_>>())
            };
            let threads: Vec<_> = (part.first..part.first + part.threads).map(thread).collect();
            assert!((source.0)(part.first).is_err(), "it is somebody's already");
            let (mut handed, mut is_over) = (0, false);
            while !is_over {
                // Nothing is told of what was taken meanwhile.
                while let Some(rows) = feed.first() {
                    (handed, is_over) = (handed + rows.0.len() as u64, rows.1);
                    fed.take(rows).expect("room");
                }
                assert!(handed - taken.load(Relaxed) <= AHEAD_MAX);
                while fed.taken() < handed {
                    std::thread::yield_now();
                }
                taken.store(handed, Relaxed);
            }
            threads.into_iter().for_each(|thread| seen.extend(thread.join().expect("no panic")));
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..count).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_not_an_agents_is_refused() {
        let part = parts(&[1, 1])[0];
        let (mut fed, _source) = Fed::new(part);
        assert!(fed.take((vec![request(2)], false)).is_ok());
        assert!(fed.take((vec![request(1)], false)).is_err(), "another's");
        let elsewhere = Request { target: "http://shop.test/".to_owned(), ..request(2) };
        assert!(fed.take((vec![elsewhere], false)).is_err());
        let many = (0..=AHEAD_MAX).map(|_| request(2)).collect();
        assert!(fed.take((many, false)).is_err(), "more than was asked for");
    }
}
