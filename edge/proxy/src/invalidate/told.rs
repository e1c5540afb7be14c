//! Tells content networks what changes by route made stale: each URL at once, and then once a second at most, however
//! many changes there are. The last one is always told.

use crate::thread::Thread;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tentpole_model::{PurgeOrder, PurgeWhat};
use tentpole_runtime::deadline::Deadline;

/// Time between two tellings of one URL.
const PAUSE: Duration = Duration::from_secs(1);
/// URLs that are remembered; further ones are told at once, and the relay's own limits hold.
const REMEMBERED_MAX: usize = 1_024;

/// What was told a moment ago, and whether it has to be told again.
#[derive(Debug, Default)]
pub struct Told {
    lately: Mutex<HashMap<PurgeWhat, bool>>,
}

/// What is to be done with something that has to be told.
#[derive(Debug, PartialEq, Eq)]
enum Now {
    /// Tell it.
    Tell,
    /// Tell it, and then wait a while.
    TellAndPause,
    /// Somebody will, in a while.
    Nothing,
}

impl Told {
    fn changed(&self, what: &PurgeWhat) -> Now {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(again) = lately.get_mut(what) {
            *again = true;
            return Now::Nothing;
        }
        if lately.len() >= REMEMBERED_MAX {
            return Now::Tell;
        }
        lately.insert(what.clone(), false);
        Now::TellAndPause
    }

    /// The pause is over: whether it has to be told again, which begins another one. Otherwise it is forgotten.
    fn paused(&self, what: &PurgeWhat) -> bool {
        let mut lately = self.lately.lock().unwrap_or_else(PoisonError::into_inner);
        let again = lately.get_mut(what).is_some_and(std::mem::take);
        if !again {
            lately.remove(what);
        }
        again
    }
}

/// What a path that a route names means: itself under any query, or all that begins so.
pub fn whats(host: &str, path: &str) -> impl Iterator<Item = PurgeWhat> {
    let (exact, prefix) = match path.strip_suffix('*') {
        Some(beginning) => (None, format!("http://{host}{beginning}")),
        None => (Some(format!("http://{host}{path}")), format!("http://{host}{path}?")),
    };
    exact.map(PurgeWhat::Url).into_iter().chain(std::iter::once(PurgeWhat::Prefix(prefix)))
}

/// Tells of a change that is in force here.
pub fn tell(thread: &Rc<Thread>, what: PurgeWhat) {
    let shared = &thread.shared;
    if !shared.purging.tells() {
        return;
    }
    let now = shared.told.changed(&what);
    if now == Now::Nothing {
        return;
    }
    shared.purging.tell(&PurgeOrder::hard(what.clone()));
    if now == Now::TellAndPause {
        let pausing = Pausing { thread: thread.clone(), what, is_over: false };
        tokio::task::spawn_local(pausing.run());
    }
}

/// Between two tellings. What has to be told still is told when the thread ends.
struct Pausing {
    thread: Rc<Thread>,
    what: PurgeWhat,
    is_over: bool,
}

impl Pausing {
    async fn run(mut self) {
        let deadline = Deadline::new();
        loop {
            deadline.set_in(PAUSE);
            let _ = deadline.guard(|_| std::task::Poll::<()>::Pending).await;
            if !self.tell_again() {
                self.is_over = true;
                return;
            }
        }
    }

    fn tell_again(&self) -> bool {
        let shared = &self.thread.shared;
        let again = shared.told.paused(&self.what);
        if again {
            shared.purging.tell(&PurgeOrder::hard(self.what.clone()));
        }
        again
    }
}

impl Drop for Pausing {
    fn drop(&mut self) {
        if !self.is_over {
            self.tell_again();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn what(path: &str) -> PurgeWhat {
        PurgeWhat::Url(format!("http://a{path}"))
    }

    #[test]
    fn many_changes_are_told_at_once_and_once_more() {
        let told = Told::default();
        assert_eq!(told.changed(&what("/")), Now::TellAndPause);
        assert_eq!(told.changed(&what("/")), Now::Nothing);
        assert_eq!(told.changed(&what("/")), Now::Nothing);
        assert_eq!(told.changed(&what("/x")), Now::TellAndPause, "another is another");
        assert!(told.paused(&what("/")), "the last ones");
        assert_eq!(told.changed(&what("/")), Now::Nothing, "which begins another pause");
        assert!(told.paused(&what("/")));
        assert!(!told.paused(&what("/")));
        assert_eq!(told.changed(&what("/")), Now::TellAndPause);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let told = Told::default();
        for number in 0..REMEMBERED_MAX {
            told.changed(&what(&format!("/{number}")));
        }
        assert_eq!(told.changed(&what("/one more")), Now::Tell);
        assert!(!told.paused(&what("/0")));
        assert_eq!(told.changed(&what("/one more")), Now::TellAndPause);
    }
}
