//! Which of several edges lets visitors in: the one that holds the lock on a file in the state directory. It lets go of it
//! when it leaves, once all that it knows is written, or when it dies (the kernel does it then).

use std::fs::{File, TryLockError};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use tentpole_runtime::notice;

/// The file; it stays empty.
const NAME: &str = "rooms.lock";

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Another edge's.
    Theirs = 0,
    /// Ours.
    Ours = 1,
    /// It was ours.
    Over = 2,
}

/// The turn of this process.
#[derive(Debug)]
pub(crate) struct Turns {
    state: Option<PathBuf>,
    /// Read with each question, written under `held` alone.
    turn: AtomicU8,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    begun: bool,
    file: Option<File>,
}

impl Turns {
    /// Without a directory there is nobody else.
    pub(crate) fn new(state: Option<PathBuf>) -> Self {
        let turn = AtomicU8::new(if state.is_some() { Turn::Theirs } else { Turn::Ours } as u8);
        Self { state, turn, held: Mutex::default() }
    }

    /// Whose turn it is.
    pub(crate) fn now(&self) -> Turn {
        match self.turn.load(Ordering::Acquire) {
            0 => Turn::Theirs,
            1 => Turn::Ours,
            _ => Turn::Over,
        }
    }

    /// Tries for the first time; `true` when somebody is to look after it from now on.
    pub(crate) fn begin(&self) -> bool {
        if self.state.is_none() || std::mem::replace(&mut self.held().begun, true) {
            return false;
        }
        self.take(|| ());
        true
    }

    /// Takes it if it is free; `first` is done before anybody comes in.
    pub(crate) fn take(&self, first: impl FnOnce()) {
        let mut held = self.held();
        let Some(state) = self.state.as_ref().filter(|_| self.now() == Turn::Theirs) else { return };
        if held.file.is_none() {
            match File::create(state.join(NAME)) {
                Ok(file) => held.file = Some(file),
                Err(error) => notice(format_args!(
                    "{}: {error}; during an upgrade more visitors than allowed may come into a waiting room",
                    state.join(NAME).display()
                )),
            }
        }
        let is_theirs =
            held.file.as_ref().is_some_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)));
        if !is_theirs {
            first();
            self.turn.store(Turn::Ours as u8, Ordering::Release);
        }
    }

    /// Does something while it is ours; it does not end meanwhile.
    pub(crate) fn while_ours(&self, done: impl FnOnce()) {
        let _held = self.held();
        if self.now() == Turn::Ours {
            done();
        }
    }

    /// Ends it. `last` is done before another edge may begin, if it was ours.
    pub(crate) fn end(&self, last: impl FnOnce()) {
        let mut held = self.held();
        if self.state.is_none() {
            return;
        }
        let was = self.now();
        self.turn.store(Turn::Over as u8, Ordering::Release);
        if was == Turn::Ours {
            last();
        }
        held.file = None;
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_edges_one_lets_in_and_the_other_one_when_all_is_written() {
        let state = tempfile::tempdir().unwrap();
        let (first, second) = (Turns::new(Some(state.path().into())), Turns::new(Some(state.path().into())));
        assert!(first.begin() && !first.begin());
        assert!(second.begin());
        assert_eq!((first.now(), second.now()), (Turn::Ours, Turn::Theirs));
        first.end(|| {
            second.take(|| panic!("not yet"));
            std::fs::write(state.path().join("written"), "").unwrap();
        });
        second.take(|| assert!(state.path().join("written").exists()));
        assert_eq!((first.now(), second.now()), (Turn::Over, Turn::Ours));
        first.end(|| panic!("it is over"));
        // One that dies lets go of it.
        let third = Turns::new(Some(state.path().into()));
        third.begin();
        assert_eq!(third.now(), Turn::Theirs);
        drop(second);
        third.take(|| ());
        assert_eq!(third.now(), Turn::Ours);
    }
}
