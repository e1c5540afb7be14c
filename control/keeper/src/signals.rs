//! Signals to the keeper's process. One thread takes them, all others block them: so they can be held back for the moment
//! in which another program takes this process over (exec), where one would otherwise end it or be lost. What came
//! meanwhile waits in the kernel, for the program that goes on (POSIX: exec keeps the signal mask and what is pending).

use nix::sys::signal::{SigSet, Signal};
use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

/// The thread that takes signals; ends with this.
pub(crate) struct Signals {
    /// Whether they are to be let in.
    wish: SyncSender<bool>,
    done: Receiver<()>,
}

/// Blocks signals on this thread and on all that it starts: what comes waits for `Signals::start`. Processes that are
/// started inherit it but for `with_usual`.
pub fn hold() {
    // It fails for numbers that are no signals.
    let _ = ours().thread_block();
}

/// Those that the keeper heeds.
fn ours() -> SigSet {
    [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGUSR2].into_iter().collect()
}

/// Starts a process, with the signals blocked that this program was started with: none. It inherits what its starter blocks,
/// and most programs never look. What comes in this moment is heard like any other.
pub(crate) fn with_usual<T>(start: impl FnOnce() -> T) -> T {
    let _ = ours().thread_unblock();
    let started = start();
    let _ = ours().thread_block();
    started
}

impl Signals {
    /// Lets signals in. Whoever hears them must be ready: without a handler they end the process.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub(crate) fn start() -> io::Result<Self> {
        hold();
        let (wish, wishes) = sync_channel(1);
        let (tell, done) = sync_channel(1);
        std::thread::Builder::new().name("signals".into()).spawn(move || {
            let let_in = |is_let_in: bool| match is_let_in {
                true => ours().thread_unblock(),
                false => ours().thread_block(),
            };
            let mut is_let_in = true;
            loop {
                let _ = let_in(is_let_in);
                if tell.send(()).is_err() {
                    return;
                }
                match wishes.recv() {
                    Ok(wish) => is_let_in = wish,
                    Err(_) => return,
                }
            }
        })?;
        // Its first word.
        let _ = done.recv();
        Ok(Self { wish, done })
    }

    /// Holds them back from now on, or lets them in again; what was held back comes then.
    pub(crate) fn let_in(&self, are_let_in: bool) {
        // The thread lives as long as this.
        if self.wish.send(are_let_in).is_ok() {
            let _ = self.done.recv();
        }
    }
}
