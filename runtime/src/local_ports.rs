//! How many local ports are in use towards one endpoint, by the address of this machine that they belong to. What the
//! kernel still keeps after a close (TIME_WAIT) and what other programs use is not counted.

use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Addresses that are told apart: as many as a pool may name, and as many again that it named before.
const ADDRESSES_MAX: usize = 128;

/// The ports towards one endpoint.
#[derive(Debug, Default)]
pub struct LocalPorts(Mutex<Vec<(IpAddr, Arc<AtomicU32>)>>);

/// One port that is in use until this is dropped.
#[derive(Debug)]
pub struct LocalPort(Arc<AtomicU32>);

impl LocalPorts {
    /// One more is in use at this address. `None` where too many addresses are known: it is not counted then.
    pub fn taken(&self, at: IpAddr) -> Option<LocalPort> {
        let mut all = self.all();
        if all.len() >= ADDRESSES_MAX && !all.iter().any(|(address, _)| *address == at) {
            all.retain(|(_, ports)| ports.load(Ordering::Relaxed) > 0);
        }
        let known = all.iter().find(|(address, _)| *address == at).map(|(_, ports)| ports.clone());
        let ports = match known {
            Some(ports) => ports,
            None if all.len() >= ADDRESSES_MAX => return None,
            None => {
                all.push((at, Arc::default()));
                all.last()?.1.clone()
            }
        };
        // Under the lock: what has none in use may be forgotten.
        ports.fetch_add(1, Ordering::Relaxed);
        Some(LocalPort(ports))
    }

    /// How many are in use at each address that ever had one, in the order of the addresses.
    pub fn in_use(&self) -> Vec<(IpAddr, u32)> {
        let mut all: Vec<_> =
            self.all().iter().map(|(address, ports)| (*address, ports.load(Ordering::Relaxed))).collect();
        all.sort_unstable();
        all
    }

    fn all(&self) -> MutexGuard<'_, Vec<(IpAddr, Arc<AtomicU32>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for LocalPort {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(number: usize) -> IpAddr {
        [10, 0, (number / 256) as u8, (number % 256) as u8].into()
    }

    #[test]
    fn ports_are_counted_by_their_address_until_they_are_free() {
        let ports = LocalPorts::default();
        let (first, second, other) = (ports.taken(at(1)), ports.taken(at(1)), ports.taken(at(0)));
        assert_eq!(ports.in_use(), [(at(0), 1), (at(1), 2)]);
        drop((first, other));
        assert_eq!(ports.in_use(), [(at(0), 0), (at(1), 1)]);
        drop(second);
    }

    #[test]
    fn addresses_that_are_used_no_more_make_room_and_others_do_not() {
        let ports = LocalPorts::default();
        let mut held: Vec<_> = (0..ADDRESSES_MAX).map(|number| ports.taken(at(number))).collect();
        assert!(ports.taken(at(1_000)).is_none());
        held.pop();
        assert!(ports.taken(at(1_000)).is_some());
        assert_eq!(ports.in_use().len(), ADDRESSES_MAX);
    }
}
