//! How many connections each address has open, over all threads, in memory that does not grow. Takes no lock; who finds no
//! room is not counted, and comes in.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock};
use tentpole_model::{Front, Snapshot};
use tentpole_screen::{Networks, client};

/// Slots among which an address is looked for.
const WAYS: usize = 8;
/// Slots for each connection that may be open.
const SLOTS_PER_CONNECTION: usize = 4;
const SLOTS_MIN: usize = 1 << 10;
const SLOTS_MAX: usize = 1 << 22;
/// Bits of a slot that count; the others say whose it is. More than a setting can ask for.
const COUNT_BITS: u32 = 20;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
/// Addresses of IPv6 that are one.
const IPV6_BITS: u8 = 64;

/// Open connections by address.
#[derive(Debug)]
pub(crate) struct PerAddress {
    slots: Box<[AtomicU64]>,
    hash: RandomState,
    most: AtomicU32,
    refuses: AtomicBool,
    reported: AtomicU64,
    /// Addresses that stand for many visitors.
    spared: RwLock<Networks>,
}

/// What an address has with one connection more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Counted {
    /// A place in the table, to be given back; `None` where there was none, or the address is not counted.
    In(Option<usize>),
    /// Too many; nothing is to be given back.
    TooMany,
}

impl PerAddress {
    /// For so many connections over all addresses; counts for nobody before [`PerAddress::set`].
    pub(crate) fn new(connections_max: usize) -> Self {
        let slots = connections_max.saturating_mul(SLOTS_PER_CONNECTION).clamp(SLOTS_MIN, SLOTS_MAX);
        Self {
            slots: (0..slots.next_power_of_two()).map(|_| AtomicU64::new(0)).collect(),
            hash: RandomState::new(),
            most: AtomicU32::new(u32::MAX),
            refuses: AtomicBool::new(false),
            reported: AtomicU64::new(0),
            spared: RwLock::default(),
        }
    }

    /// From now on, what this Snapshot says.
    pub(crate) fn set(&self, snapshot: &Snapshot) {
        let Front { trusted, shared, .. } = &snapshot.front;
        let spared: Vec<_> = trusted.iter().chain(shared).copied().collect();
        *self.spared.write().unwrap_or_else(PoisonError::into_inner) = Networks::new(&spared);
        self.refuses.store(snapshot.visitors.per_address_refuses, Ordering::Relaxed);
        self.most.store(snapshot.visitors.per_address_max, Ordering::Relaxed);
    }

    /// Connections above the limit that were let in, because it only reports.
    pub(crate) fn reported(&self) -> u64 {
        self.reported.load(Ordering::Relaxed)
    }

    /// Counts one more.
    pub(crate) fn enter(&self, address: IpAddr) -> Counted {
        let most = self.most.load(Ordering::Relaxed);
        if most == u32::MAX || self.spared.read().unwrap_or_else(PoisonError::into_inner).contains(address) {
            return Counted::In(None);
        }
        let (place, count) = self.add(client(address, IPV6_BITS));
        if count <= u64::from(most) {
            return Counted::In(place);
        }
        if self.refuses.load(Ordering::Relaxed) {
            self.leave(place);
            return Counted::TooMany;
        }
        self.reported.fetch_add(1, Ordering::Relaxed);
        Counted::In(place)
    }

    /// Gives a place back.
    pub(crate) fn leave(&self, place: Option<usize>) {
        let Some(slot) = place.map(|place| &self.slots[place]) else { return };
        let less = |held: u64| Some(if held & COUNT <= 1 { 0 } else { held - 1 });
        // Never fails: the function always answers.
        let _ = slot.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
    }

    /// The slot of an address, and how many it has now. Threads that meet a new address in the same instant may give it two
    /// slots; each then counts its own.
    fn add(&self, address: IpAddr) -> (Option<usize>, u64) {
        let hash = self.hash.hash_one(address);
        let first = (hash as usize) & (self.slots.len() - 1) & !(WAYS - 1);
        let tag = hash & !COUNT;
        let places = first..first + WAYS;
        let is_mine = |held: u64| held != 0 && held & !COUNT == tag;
        let more = |held: u64| (is_mine(held) && held & COUNT < COUNT).then(|| held + 1);
        for place in places.clone() {
            if is_mine(self.slots[place].load(Ordering::Relaxed))
                && let Ok(held) = self.slots[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
            {
                return (Some(place), (held & COUNT) + 1);
            }
        }
        for place in places {
            let taken = self.slots[place].compare_exchange(0, tag | 1, Ordering::Relaxed, Ordering::Relaxed);
            match taken {
                Ok(_) => return (Some(place), 1),
                Err(held) if is_mine(held) => {
                    let counted = self.slots[place].fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
                    if let Ok(held) = counted {
                        return (Some(place), (held & COUNT) + 1);
                    }
                }
                Err(_) => {}
            }
        }
        (None, 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Network, VisitorLimits};

    fn of(most: u32, refuses: bool) -> PerAddress {
        let per_address = PerAddress::new(100);
        let visitors =
            VisitorLimits { per_address_max: most, per_address_refuses: refuses, ..VisitorLimits::default() };
        let trusted = vec![Network { address: "198.51.100.0".parse().unwrap(), bits: 24 }];
        let front = Front { trusted, ..Front::default() };
        per_address.set(&Snapshot { visitors, front, ..Snapshot::default() });
        per_address
    }

    fn enters(per_address: &PerAddress, address: &str) -> Option<Option<usize>> {
        match per_address.enter(address.parse().unwrap()) {
            Counted::In(place) => Some(place),
            Counted::TooMany => None,
        }
    }

    #[test]
    fn each_address_has_its_own_count_and_a_place_given_back_serves_again() {
        let doors = of(2, true);
        let places: Vec<_> = (0..2).filter_map(|_| enters(&doors, "192.0.2.1")).collect();
        assert_eq!(places.len(), 2);
        assert_eq!(enters(&doors, "::ffff:192.0.2.1"), None);
        assert!(enters(&doors, "192.0.2.2").is_some());
        doors.leave(places[0]);
        assert!(enters(&doors, "192.0.2.1").is_some() && enters(&doors, "192.0.2.1").is_none());
        for host in 1..=2 {
            assert!(enters(&doors, &format!("2001:db8::{host}")).is_some());
        }
        assert!(enters(&doors, "2001:db8::3").is_none() && enters(&doors, "2001:db8:0:1::3").is_some());
    }

    #[test]
    fn by_default_it_only_says_what_it_would_do() {
        let doors = of(2, false);
        assert!((0..5).all(|_| enters(&doors, "192.0.2.1").is_some()));
        assert_eq!(doors.reported(), 3);
    }

    #[test]
    fn what_many_share_is_not_counted_and_carriers_are_such_without_a_word() {
        let doors = of(1, true);
        for spared in ["100.64.0.1", "100.127.255.254", "::ffff:100.64.0.1", "198.51.100.7"] {
            assert!((0..50).all(|_| enters(&doors, spared) == Some(None)), "{spared}");
        }
        for counted in ["100.63.255.255", "100.128.0.1", "198.51.101.7", "2001:db8::1"] {
            assert!(enters(&doors, counted).is_some() && enters(&doors, counted).is_none(), "{counted}");
        }
    }

    #[test]
    fn all_that_comes_goes_and_a_crowd_of_addresses_keeps_nobody_out() {
        let doors = of(1, true);
        let places: Vec<_> =
            (0..20_000u32).map(|number| doors.enter(std::net::Ipv4Addr::from(number).into())).collect();
        assert!(places.iter().all(|counted| *counted != Counted::TooMany));
        for counted in places {
            let Counted::In(place) = counted else { continue };
            doors.leave(place);
        }
        assert!(doors.slots.iter().all(|slot| slot.load(Ordering::Relaxed) == 0));
    }
}
