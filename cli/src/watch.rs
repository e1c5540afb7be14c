//! Looks whether a file changed, for `tentpole up --watch`. Looks by its name, so that editors that put another file in
//! its place are seen; tells of a change once the file has been still for a moment, and only when it reads otherwise.

use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tokio::sync::mpsc;

/// Time between two looks.
const LOOK_EVERY: Duration = Duration::from_millis(200);
/// Looks in a row that must find it unchanged, so that nothing is read that is being written.
const STILL_LOOKS: u32 = 2;

/// What tells a changed file without reading it: device, number, time, length.
type Mark = (u64, u64, i64, i64, u64);

/// Looks for as long as the process lives, on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn start(file: PathBuf) -> std::io::Result<mpsc::Receiver<()>> {
    // One that waits stands for all.
    let (changed, changes) = mpsc::channel(1);
    let mut watch = Watch::new(&file);
    std::thread::Builder::new().name("watch".into()).spawn(move || {
        loop {
            std::thread::sleep(LOOK_EVERY);
            if watch.look(mark(&file), || content(&file)) && changed.blocking_send(()).is_err() {
                return;
            }
        }
    })?;
    Ok(changes)
}

struct Watch {
    seen: Option<Mark>,
    still: u32,
    content: Option<u64>,
}

impl Watch {
    fn new(file: &Path) -> Self {
        Self { seen: mark(file), still: STILL_LOOKS, content: content(file) }
    }

    /// Whether it reads otherwise than when that was told last. A file that is gone is about to come back.
    fn look(&mut self, mark: Option<Mark>, content: impl FnOnce() -> Option<u64>) -> bool {
        if mark != self.seen {
            (self.seen, self.still) = (mark, 0);
            return false;
        }
        if self.still >= STILL_LOOKS {
            return false;
        }
        self.still += 1;
        if self.still < STILL_LOOKS || mark.is_none() {
            return false;
        }
        let content = content();
        let differs = content.is_some() && content != self.content;
        if differs {
            self.content = content;
        }
        differs
    }
}

fn mark(file: &Path) -> Option<Mark> {
    let found = fs::metadata(file).ok()?;
    Some((found.dev(), found.ino(), found.mtime(), found.mtime_nsec(), found.len()))
}

fn content(file: &Path) -> Option<u64> {
    let mut hasher = DefaultHasher::new();
    fs::read(file).ok()?.hash(&mut hasher);
    Some(hasher.finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(number: u64) -> Option<Mark> {
        Some((1, number, 0, 0, 10))
    }

    #[test]
    fn a_change_is_told_once_when_the_file_is_still() {
        let mut watch = Watch { seen: mark(1), still: STILL_LOOKS, content: Some(1) };
        assert!(!watch.look(mark(1), || panic!("nothing changed")));
        // Written, gone, there again, written again.
        for seen in [mark(2), None, mark(3), mark(4)] {
            assert!(!watch.look(seen, || panic!("it is not still")));
        }
        assert!(!watch.look(mark(4), || panic!("it is not still for long")));
        assert!(watch.look(mark(4), || Some(2)));
        assert!(!watch.look(mark(4), || panic!("it was told")));
    }

    #[test]
    fn what_reads_the_same_is_no_change() {
        let mut watch = Watch { seen: mark(1), still: STILL_LOOKS, content: Some(1) };
        assert!(!watch.look(mark(2), || Some(1)));
        assert!(!watch.look(mark(2), || Some(1)));
        assert!(!watch.look(mark(2), || Some(1)), "touched, and nothing else");
        assert!(!watch.look(mark(2), || Some(2)), "not read again");
    }
}
