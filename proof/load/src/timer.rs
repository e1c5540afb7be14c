//! Wakes tasks of one thread at exact moments: a timerfd and a heap.
//!
//! Why not the runtime's own timer: it counts in whole milliseconds and rounds up, so that every request would begin
//! up to 1 ms late. That lateness would be in each load time, and in the generator's own lag, where it would look like
//! a want of CPU. The kernel's timer is exact to some tens of microseconds; what is later than that is the CPU's
//! doing and is to be seen.

use rustix::fd::OwnedFd;
use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use std::cell::RefCell;
use std::cmp::{Ordering, Reverse};
use std::collections::BinaryHeap;
use std::future::poll_fn;
use std::io;
use std::task::{Poll, Waker};
use std::time::Duration;
use tentpole_runtime::clock::{self, Instant};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// The timer of one thread.
#[derive(Debug)]
pub struct Timer {
    file: AsyncFd<OwnedFd>,
    waiting: RefCell<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    heap: BinaryHeap<Reverse<Sleeper>>,
    /// When the kernel is to wake us; `None` when it is not.
    armed: Option<Instant>,
}

#[derive(Debug)]
struct Sleeper {
    at: Instant,
    waker: Waker,
}

impl Timer {
    /// One for this thread's runtime, in which it must be made. Errors are the system's.
    #[allow(
        deprecated,
        reason = "its successor is unsafe, for types whose descriptor may change; an OwnedFd's never does"
    )]
    pub fn new() -> io::Result<Self> {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let file = timerfd_create(TimerfdClockId::Monotonic, flags)?;
        Ok(Self { file: AsyncFd::with_interest(file, Interest::READABLE)?, waiting: RefCell::default() })
    }

    /// Waits until then; returns at once when it is past.
    pub async fn until(&self, at: Instant) {
        let mut is_waiting = false;
        poll_fn(|context| {
            if clock::now() >= at {
                return Poll::Ready(());
            }
            // A task that is woken for another reason is still in the heap and is not entered again.
            if !is_waiting {
                is_waiting = true;
                self.enter(Sleeper { at, waker: context.waker().clone() });
            }
            Poll::Pending
        })
        .await;
    }

    /// Wakes those whose time has come; runs as long as the thread does.
    pub async fn drive(&self) -> io::Result<()> {
        loop {
            let mut ready = self.file.readable().await?;
            let _ = ready
                .try_io(|file| rustix::io::read(file.get_ref(), &mut [0_u8; 8]).map_err(io::Error::from));
            let now = clock::renew();
            let mut due = Vec::new();
            {
                let mut waiting = self.waiting.borrow_mut();
                waiting.armed = None;
                while waiting.heap.peek().is_some_and(|Reverse(first)| first.at <= now) {
                    due.extend(waiting.heap.pop().map(|Reverse(sleeper)| sleeper.waker));
                }
                self.arm(&mut waiting);
            }
            due.into_iter().for_each(Waker::wake);
        }
    }

    fn enter(&self, sleeper: Sleeper) {
        let mut waiting = self.waiting.borrow_mut();
        waiting.heap.push(Reverse(sleeper));
        self.arm(&mut waiting);
    }

    /// Has the kernel wake us for the first one, unless it does already.
    fn arm(&self, waiting: &mut Waiting) {
        let Some(Reverse(first)) = waiting.heap.peek() else { return };
        if waiting.armed.is_some_and(|armed| armed <= first.at) {
            return;
        }
        // 0 would disarm it.
        let wait = first.at.since(clock::now()).max(Duration::from_micros(1));
        let never = Timespec { tv_sec: 0, tv_nsec: 0 };
        let in_time = Timespec { tv_sec: wait.as_secs() as i64, tv_nsec: wait.subsec_nanos().into() };
        let spec = Itimerspec { it_interval: never, it_value: in_time };
        // Fails only for times that are none.
        if timerfd_settime(self.file.get_ref(), TimerfdTimerFlags::empty(), &spec).is_ok() {
            waiting.armed = Some(first.at);
        }
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> Ordering {
        self.at.cmp(&other.at)
    }
}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.at == other.at
    }
}

impl Eq for Sleeper {}

#[cfg(test)]
mod tests {
    use super::*;
    use std::rc::Rc;

    fn on_runtime<T>(work: impl Future<Output = T>) -> T {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build_local(Default::default());
        runtime.expect("a runtime").block_on(work)
    }

    /// How long this thread was ready to run and did not, so far: the second figure of `schedstat`, in ns.
    fn waited_for_cpu_us() -> u64 {
        let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
        text.split(' ').nth(1).and_then(|ns| ns.parse::<u64>().ok()).unwrap_or(0) / 1_000
    }

    #[test]
    fn moments_between_milliseconds_are_met() {
        let mut late: Vec<u64> = on_runtime(async {
            let timer = Rc::new(Timer::new().expect("a timer"));
            let driving = timer.clone();
            tokio::task::spawn_local(async move { driving.drive().await });
            let mut late = Vec::new();
            for n in 0..200_u64 {
                let at = clock::now().after(Duration::from_micros(1_000 + n * 7));
                let waited = waited_for_cpu_us();
                timer.until(at).await;
                let now = clock::now();
                assert!(now >= at, "woke too early");
                let waited = waited_for_cpu_us() - waited;
                late.push((now.since(at).as_micros() as u64).saturating_sub(waited));
            }
            late
        });
        late.sort_unstable();
        // The runtime's own timer is 500 µs late on average and never below its rounding. The best quarter, without the
        // time in which others had the CPU, tells the timer's own exactness, whatever else the machine does.
        assert!(late[50] < 300, "{late:?}");
    }

    #[test]
    fn sleepers_wake_in_their_order_whatever_order_they_came_in() {
        let order = on_runtime(async {
            let timer = Rc::new(Timer::new().expect("a timer"));
            let driving = timer.clone();
            tokio::task::spawn_local(async move { driving.drive().await });
            let woken = Rc::new(RefCell::new(Vec::new()));
            let start = clock::now();
            let tasks: Vec<_> = [30_u64, 10, 20, 0, 10]
                .into_iter()
                .map(|ms| {
                    let (timer, woken) = (timer.clone(), woken.clone());
                    tokio::task::spawn_local(async move {
                        timer.until(start.after(Duration::from_millis(ms))).await;
                        woken.borrow_mut().push(ms);
                    })
                })
                .collect();
            for task in tasks {
                task.await.expect("it wakes");
            }
            woken.take()
        });
        assert_eq!(order, [0, 10, 10, 20, 30]);
    }
}
