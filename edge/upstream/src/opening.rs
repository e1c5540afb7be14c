//! The right to have one more connection to an endpoint open: taken before it is dialed, given back when it is closed. So
//! `connections_max` holds at any moment, whatever threads do at once. Dials nothing.

use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;
use tentpole_runtime::Cell;
use tentpole_runtime::local_ports::LocalPort;
use tokio::net::TcpStream;

/// One connection that counts as open.
#[derive(Debug)]
pub struct Opening {
    cell: Arc<Cell>,
    max: Option<u32>,
    /// The port of this machine that it uses, once it stands.
    port: Option<LocalPort>,
}

impl Opening {
    /// For one more connection to the cell's endpoint, unless `connections_max` are open.
    pub fn reserve(cell: &Arc<Cell>, connections_max: Option<u32>) -> Option<Self> {
        match connections_max {
            None => {
                cell.open.fetch_add(1, SeqCst);
            }
            Some(max) => {
                let more = |open: u32| (open < max).then_some(open + 1);
                cell.open.fetch_update(SeqCst, SeqCst, more).ok()?;
            }
        }
        Some(Self { cell: cell.clone(), max: connections_max, port: None })
    }

    /// For another one to the same endpoint.
    pub(crate) fn another(&self) -> Option<Self> {
        Self::reserve(&self.cell, self.max)
    }

    /// It stands, from the address of this machine that its socket says.
    pub(crate) fn stands(mut self, stream: &TcpStream) -> Self {
        let from = stream.local_addr().ok();
        self.port = from.and_then(|from| self.cell.local_ports.taken(from.ip()));
        self
    }

    /// Whose it is.
    pub fn cell(&self) -> &Arc<Cell> {
        &self.cell
    }

    /// Whether no other connection may be opened now.
    pub fn is_last(&self) -> bool {
        self.max.is_some_and(|max| self.cell.open.load(SeqCst) >= max)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.cell.open.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_runtime::Cells;

    #[test]
    fn threads_that_open_at_once_never_open_one_too_many() {
        let cells = Cells::new();
        let cell = cells.of("app", "a:1");
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        if let Some(opening) = Opening::reserve(&cell, Some(3)) {
                            assert!(cell.open.load(SeqCst) <= 3);
                            drop(opening);
                        }
                    }
                });
            }
        });
        assert_eq!(cell.open.load(SeqCst), 0);
    }

    #[test]
    fn it_counts_until_it_is_dropped() {
        let cells = Cells::new();
        let cell = cells.of("app", "a:1");
        let first = Opening::reserve(&cell, Some(2)).unwrap();
        assert!(!first.is_last());
        let second = first.another().unwrap();
        assert!(first.is_last() && first.another().is_none());
        drop(second);
        assert!(first.another().is_some());
        assert!(Opening::reserve(&cell, None).is_some_and(|free| !free.is_last()));
    }
}
