//! A value that many threads read on every request and one writer replaces now and then. Reading costs one
//! atomic load. The writer can wait until every thread has taken the new value.

use arc_swap::ArcSwap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Notify;

/// A published value with a version.
pub struct Published<T> {
    value: ArcSwap<Versioned<T>>,
    version: AtomicU64,
    writing: Mutex<()>,
    readers: Mutex<Vec<Arc<Taken>>>,
    changed: Notify,
    taken: Notify,
}

struct Versioned<T> {
    version: u64,
    value: Arc<T>,
}

struct Taken {
    version: AtomicU64,
}

/// One thread's view of a published value.
pub struct Reader<T> {
    published: Arc<Published<T>>,
    taken: Arc<Taken>,
    version: u64,
    value: Arc<T>,
}

impl<T> Published<T> {
    /// Publishes the first value, as version 1.
    pub fn new(value: T) -> Arc<Self> {
        Arc::new(Self {
            value: ArcSwap::from_pointee(Versioned { version: 1, value: Arc::new(value) }),
            version: AtomicU64::new(1),
            writing: Mutex::new(()),
            readers: Mutex::new(Vec::new()),
            changed: Notify::new(),
            taken: Notify::new(),
        })
    }

    /// Replaces the value; returns its version.
    pub fn publish(&self, value: T) -> u64 {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        self.replace(value)
    }

    /// Replaces the value by what `change` makes of it, unless it makes `None`. Writers do not overtake one
    /// another.
    pub fn update(&self, change: impl FnOnce(&T) -> Option<T>) -> Option<u64> {
        let _one_writer = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let next = change(&self.value.load().value)?;
        Some(self.replace(next))
    }

    fn replace(&self, value: T) -> u64 {
        let version = self.version.load(Ordering::Relaxed) + 1;
        self.value.store(Arc::new(Versioned { version, value: Arc::new(value) }));
        self.version.store(version, Ordering::Release);
        self.changed.notify_waiters();
        version
    }

    /// The value now.
    pub fn get(&self) -> Arc<T> {
        self.value.load().value.clone()
    }

    /// The value now and its version.
    pub fn versioned(&self) -> (u64, Arc<T>) {
        let now = self.value.load();
        (now.version, now.value.clone())
    }

    /// The version now.
    #[inline]
    pub fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Returns once the version is higher than `seen`.
    pub async fn changed_since(&self, seen: u64) {
        loop {
            let changed = self.changed.notified();
            if self.version() > seen {
                return;
            }
            changed.await;
        }
    }

    /// Returns once every reader has taken `version` or a later one.
    pub async fn taken_by_all(&self, version: u64) {
        loop {
            let taken = self.taken.notified();
            tokio::pin!(taken);
            taken.as_mut().enable();
            let readers = self.readers.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if readers.iter().all(|reader| reader.version.load(Ordering::Acquire) >= version) {
                return;
            }
            taken.await;
        }
    }

    /// A thread's own view. Counts for [`Published::taken_by_all`] until it is dropped.
    pub fn reader(self: &Arc<Self>) -> Reader<T> {
        let now = self.value.load_full();
        let taken = Arc::new(Taken { version: AtomicU64::new(now.version) });
        self.readers.lock().unwrap_or_else(PoisonError::into_inner).push(taken.clone());
        Reader { published: self.clone(), taken, version: now.version, value: now.value.clone() }
    }
}

impl<T> Reader<T> {
    /// Takes the newest value if there is a newer one; returns whether there was.
    #[inline]
    pub fn renew(&mut self) -> bool {
        if self.published.version() == self.version {
            return false;
        }
        let now = self.published.value.load_full();
        self.version = now.version;
        self.value = now.value.clone();
        self.taken.version.store(now.version, Ordering::Release);
        self.published.taken.notify_waiters();
        true
    }

    /// Notes that `version` is in force: for a reader that hands values on (to another process) and learns later that
    /// they were taken there. [`Published::versioned`] gives it the values.
    pub fn took(&mut self, version: u64) {
        self.version = version;
        self.taken.version.store(version, Ordering::Release);
        self.published.taken.notify_waiters();
    }

    /// The value last taken by [`Reader::renew`].
    pub fn value(&self) -> &Arc<T> {
        &self.value
    }

    /// The version last taken.
    pub fn seen(&self) -> u64 {
        self.version
    }
}

impl<T> std::fmt::Debug for Published<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Published").field("version", &self.version()).finish_non_exhaustive()
    }
}

impl<T> Drop for Reader<T> {
    fn drop(&mut self) {
        let mut readers = self.published.readers.lock().unwrap_or_else(PoisonError::into_inner);
        readers.retain(|reader| !Arc::ptr_eq(reader, &self.taken));
        drop(readers);
        self.published.taken.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_writer_learns_when_every_reader_has_taken_its_value() {
        let published = Published::new(1);
        let mut first = published.reader();
        let second = published.reader();
        let version = published.publish(2);
        assert_eq!(**first.value(), 1);
        assert!(first.renew());
        assert!(!first.renew());
        assert_eq!(**first.value(), 2);
        let waiting = tokio::spawn({
            let published = published.clone();
            async move { published.taken_by_all(version).await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(second);
        waiting.await.unwrap();
    }

    #[tokio::test]
    async fn a_reader_that_hands_values_on_tells_when_they_were_taken_there() {
        let published = Published::new(1);
        let mut reader = published.reader();
        let version = published.publish(2);
        assert_eq!(published.versioned(), (version, Arc::new(2)));
        reader.took(version);
        published.taken_by_all(version).await;
    }

    #[test]
    fn update_sees_the_value_it_replaces() {
        let published = Published::new(1);
        assert_eq!(published.update(|value| Some(value + 1)), Some(2));
        assert_eq!(published.update(|_| None), None);
        assert_eq!(*published.get(), 2);
    }
}
