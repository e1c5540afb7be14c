//! Idle connections on their way from one data thread to another: where an endpoint's connections are used up, one that has become
//! idle goes to whoever waits for it, on whatever thread, and is neither closed nor made anew. Bounded; whoever comes
//! first takes one. Knows no request.

use crate::connection::Connection;
use crate::opening::Opening;
use crate::watch::Watch;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Connections of one pool that may be on their way at once.
const PARKED_MAX: usize = 1_024;

/// A connection that belongs to no thread.
#[derive(Debug)]
pub(crate) struct Parked {
    pub(crate) stream: TcpStream,
    pub(crate) opening: Opening,
    pub(crate) address: SocketAddr,
    pub(crate) served: u32,
    pub(crate) watch: Watch,
}

/// Those of one pool.
#[derive(Debug, Default)]
pub(crate) struct Parking {
    /// Mirrors `parked.len()`, so that a look takes no lock while there are none.
    count: AtomicUsize,
    parked: Mutex<Vec<Parked>>,
}

impl Parking {
    /// Puts a connection there; one that cannot leave its thread comes back.
    #[allow(clippy::result_large_err, reason = "it is handed back, not an error that travels")]
    pub(crate) fn put(&self, connection: Connection) -> Result<(), Connection> {
        let mut parked = self.lock();
        if parked.len() >= PARKED_MAX {
            return Err(connection);
        }
        parked.push(connection.detached()?);
        self.count.store(parked.len(), SeqCst);
        Ok(())
    }

    /// A connection to the endpoint of this cell's slot, from now on this thread's.
    pub(crate) fn take(&self, slot: u32) -> Option<Connection> {
        loop {
            let found = self.remove(|parked| parked.opening.cell().slot == slot)?;
            if let Some(connection) = Connection::attached(found) {
                return Some(connection);
            }
        }
    }

    /// Any connection, from now on this thread's.
    pub(crate) fn take_any(&self) -> Option<Connection> {
        loop {
            if let Some(connection) = Connection::attached(self.remove(|_| true)?) {
                return Some(connection);
            }
        }
    }

    /// Whether there is one to that endpoint.
    pub(crate) fn has(&self, slot: u32) -> bool {
        self.count() > 0 && self.lock().iter().any(|parked| parked.opening.cell().slot == slot)
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.count.load(SeqCst)
    }

    fn remove(&self, is_it: impl Fn(&Parked) -> bool) -> Option<Parked> {
        if self.count() == 0 {
            return None;
        }
        let mut parked = self.lock();
        let at = parked.iter().position(is_it)?;
        let found = parked.remove(at);
        self.count.store(parked.len(), SeqCst);
        Some(found)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Parked>> {
        self.parked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::Sources;
    use std::sync::atomic::AtomicU32;
    use std::time::Duration;
    use tentpole_model::Endpoint;
    use tentpole_runtime::deadline::Deadline;
    use tentpole_runtime::{Cell, Cells, clock};
    use tokio::net::TcpListener;

    async fn connect(cell: &std::sync::Arc<Cell>, to: SocketAddr) -> Connection {
        let (opening, sources) = (Opening::reserve(cell, Some(2)).unwrap(), Sources::default());
        let (with, deadline) = ((&sources, None), Deadline::new());
        let (endpoint, addresses) = (Endpoint::default(), [to]);
        let to = (&endpoint, &addresses[..]);
        Connection::dial(opening, to, with, Duration::from_secs(60), &deadline).await.unwrap()
    }

    fn on_another_thread<T: Send>(run: impl FnOnce() -> T + Send) -> T {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
            let _inside = runtime.enter();
            clock::renew();
            run()
        };
        std::thread::scope(|scope| scope.spawn(run).join().unwrap())
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_connection_goes_to_another_thread_and_counts_as_open_all_the_time() {
        clock::renew();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cells = Cells::new();
        let cell = cells.of("app", "a:1");
        let connection = connect(&cell, listener.local_addr().unwrap()).await;
        let parking = Parking::default();
        parking.put(connection).unwrap();
        assert!(parking.has(cell.slot) && !parking.has(cell.slot + 1));
        let open: &AtomicU32 = &cell.open;
        assert_eq!(open.load(SeqCst), 1);
        on_another_thread(|| {
            let mut taken = parking.take(cell.slot).unwrap();
            assert!(taken.is_clean() && parking.count() == 0);
            assert_eq!(open.load(SeqCst), 1);
        });
        assert_eq!((open.load(SeqCst), cell.connects.load(SeqCst)), (0, 1));
    }

    #[tokio::test(flavor = "current_thread")]
    async fn one_that_is_closed_on_its_way_is_not_used() {
        clock::renew();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let cells = Cells::new();
        let cell = cells.of("app", "a:1");
        let parking = Parking::default();
        for _ in 0..2 {
            parking.put(connect(&cell, listener.local_addr().unwrap()).await).unwrap();
        }
        let (first, _) = listener.accept().await.unwrap();
        let (_second, _) = listener.accept().await.unwrap();
        drop(first);
        on_another_thread(|| {
            assert!(parking.take(cell.slot).is_some(), "the second one");
            assert!(parking.take(cell.slot).is_none());
        });
        assert_eq!(cell.open.load(SeqCst), 0);
    }
}
