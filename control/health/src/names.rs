//! From where a name leads to the addresses of its endpoints. A name has several places in its pool, its slots: each
//! address is an endpoint of its own. An address keeps its slot while it is in the answer, so that what was learned of it
//! stays its own; who leaves gets no further request, and those in flight finish. Pure; looks up nothing.

use std::net::{IpAddr, SocketAddr};
use tentpole_model::{AT_UNIX_SOCKET, Asked, Endpoint, NameAnswer, Target};

/// Addresses that an endpoint without slots is dialed at.
const ADDRESSES_MAX: usize = 8;
/// The largest weight that a service's target gets.
const WEIGHT_MAX: u64 = 100;

/// The places of one name in its pool.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Group {
    pub(crate) pool: usize,
    /// The first of its endpoints; the others follow.
    pub(crate) first: usize,
    pub(crate) count: usize,
    pub(crate) asked: Asked,
    port: u16,
    /// Each address is an endpoint of its own.
    pub(crate) slots: bool,
}

/// What a slot holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) addresses: Vec<SocketAddr>,
    /// What the name of a service says of it.
    pub(crate) service: Option<Service>,
}

/// What the name of a service says of one of its targets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Service {
    pub(crate) tier: u32,
    pub(crate) weight: u32,
}

/// The address of an endpoint whose host is one, or what stands for that of a Unix socket.
pub(crate) fn literal(host: &str, port: u16) -> Option<SocketAddr> {
    if host.starts_with('/') {
        return Some(AT_UNIX_SOCKET);
    }
    host.parse::<IpAddr>().ok().map(|address| SocketAddr::new(address, port))
}

/// The names of a pool's endpoints.
pub(crate) fn groups(pool: usize, endpoints: &[Endpoint]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for (at, endpoint) in endpoints.iter().enumerate() {
        let Some(asked) = endpoint.asked() else { continue };
        if endpoint.is_further()
            && let Some(group) = groups.last_mut()
        {
            group.count += 1;
            continue;
        }
        let (port, slots) = (endpoint.port, endpoint.slot.is_some());
        groups.push(Group { pool, first: at, count: 1, asked, port, slots });
    }
    groups
}

impl Group {
    /// What the slots hold from now on; `before` is what they held. How many addresses found no place comes with it.
    pub(crate) fn take(&self, before: &[Vec<SocketAddr>], answer: &NameAnswer) -> (Vec<Held>, usize) {
        let service = services(&answer.targets);
        let mut left: Vec<(SocketAddr, Option<Service>)> = Vec::new();
        for (target, service) in answer.targets.iter().zip(service) {
            let address = SocketAddr::new(target.ip, target.port.unwrap_or(self.port));
            if !left.iter().any(|(known, _)| *known == address) {
                left.push((address, service));
            }
        }
        let mut held = vec![Held::default(); self.count];
        if !self.slots || answer.one_machine {
            let mut all: Vec<_> = left.into_iter().map(|(address, _)| address).collect();
            let too_many = all.len().saturating_sub(ADDRESSES_MAX);
            all.truncate(ADDRESSES_MAX);
            held[0].addresses = settle(&before[0], all);
            return (held, too_many);
        }
        // Who stays, stays in its place.
        for (held, before) in held.iter_mut().zip(before) {
            if let Some(at) = left.iter().position(|(address, _)| before.contains(address)) {
                let (address, service) = left.remove(at);
                *held = Held { addresses: vec![address], service };
            }
        }
        // Who comes takes a place that is empty already, before one that somebody is just leaving.
        let was_empty = |at: &usize| before[*at].is_empty();
        let (empty, leaving): (Vec<usize>, Vec<usize>) =
            (0..self.count).filter(|&at| held[at].addresses.is_empty()).partition(was_empty);
        let mut left = left.into_iter();
        for at in empty.into_iter().chain(leaving) {
            let Some((address, service)) = left.next() else { break };
            held[at] = Held { addresses: vec![address], service };
        }
        (held, left.count())
    }
}

/// What the name says of each target: priorities become tiers from 0 on, weights stay what they are up to
/// [`WEIGHT_MAX`] and become a share of that beyond.
fn services(targets: &[Target]) -> Vec<Option<Service>> {
    let mut priorities: Vec<u16> =
        targets.iter().filter(|it| it.port.is_some()).map(|it| it.priority).collect();
    priorities.sort_unstable();
    priorities.dedup();
    let most = targets.iter().map(|target| u64::from(target.weight)).max().unwrap_or(0);
    let of = |target: &Target| {
        target.port?;
        let tier = priorities.iter().position(|priority| *priority == target.priority)?;
        // RFC 2782: a weight of 0 is a small share where others have some, and an equal one where nobody has.
        let weight = match most {
            0 => 1,
            // As they are where they fit, so that shares are exact.
            most if most <= WEIGHT_MAX * 1_000 => (u64::from(target.weight) / 1_000).max(1),
            most => (u64::from(target.weight) * WEIGHT_MAX / most).max(1),
        };
        Some(Service { tier: tier as u32, weight: weight as u32 })
    };
    targets.iter().map(of).collect()
}

/// The old order when the addresses are the same. Resolvers turn the order around with every answer, and that must not
/// publish a new Membership each time.
fn settle(old: &[SocketAddr], new: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let same = old.len() == new.len() && new.iter().all(|address| old.contains(address));
    if same { old.to_vec() } else { new }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::Lookup;

    fn address(last: u8) -> SocketAddr {
        SocketAddr::from(([10, 0, 0, last], 80))
    }

    fn target(last: u8) -> Target {
        Target { ip: address(last).ip(), port: None, priority: 0, weight: 0 }
    }

    fn answer(lasts: &[u8]) -> NameAnswer {
        NameAnswer { targets: lasts.iter().copied().map(target).collect(), ..NameAnswer::default() }
    }

    fn group(count: usize, slots: bool) -> Group {
        let asked = Asked { host: "app.internal".into(), lookup: Lookup::Addresses };
        Group { pool: 0, first: 0, count, asked, port: 80, slots }
    }

    /// Who is where after this answer, 0 for nobody.
    fn after(before: &[u8], lasts: &[u8]) -> (Vec<u8>, usize) {
        let held = |&last: &u8| if last == 0 { vec![] } else { vec![address(last)] };
        let before: Vec<_> = before.iter().map(held).collect();
        let (held, too_many) = group(before.len(), true).take(&before, &answer(lasts));
        let last = |held: &Held| match held.addresses.first() {
            Some(SocketAddr::V4(address)) => address.ip().octets()[3],
            _ => 0,
        };
        (held.iter().map(last).collect(), too_many)
    }

    #[test]
    fn an_address_keeps_its_slot_while_it_is_in_the_answer() {
        assert_eq!(after(&[0, 0, 0], &[1, 2]), (vec![1, 2, 0], 0));
        assert_eq!(after(&[1, 2, 0], &[2, 1]), (vec![1, 2, 0], 0), "in another order");
        assert_eq!(after(&[1, 2, 0], &[2, 3]), (vec![0, 2, 3], 0), "not where somebody is just leaving");
        assert_eq!(after(&[1, 2, 4], &[2, 3]), (vec![3, 2, 0], 0), "unless there is no other place");
        assert_eq!(after(&[1, 2, 4], &[]), (vec![0, 0, 0], 0));
        assert_eq!(after(&[0, 0], &[1, 1, 2, 3, 4]), (vec![1, 2], 2), "more than there are places");
        assert_eq!(after(&[3, 4], &[1, 2, 3, 4]), (vec![3, 4], 2), "who is there stays");
    }

    #[test]
    fn addresses_of_one_machine_are_one_endpoint() {
        let six: SocketAddr = "[::1]:80".parse().unwrap();
        let both = NameAnswer {
            targets: vec![target(1), Target { ip: six.ip(), ..target(1) }],
            one_machine: true,
            ..NameAnswer::default()
        };
        let (held, _) = group(2, true).take(&[vec![], vec![]], &both);
        assert_eq!((&held[0].addresses, &held[1].addresses), (&vec![address(1), six], &vec![]));
        let (held, _) = group(1, false).take(&[vec![six, address(1)]], &both);
        assert_eq!(held[0].addresses, [six, address(1)], "in the order in which they are known");
    }

    #[test]
    fn a_services_priorities_are_tiers_and_its_weights_are_shares() {
        let of =
            |last, priority, weight| Target { ip: address(last).ip(), port: Some(8_080), priority, weight };
        let targets = vec![of(1, 20, 0), of(2, 10, 60_000), of(3, 10, 15_000), of(4, 10, 1)];
        let answer = NameAnswer { targets, ..NameAnswer::default() };
        let (held, _) = group(4, true).take(&[vec![], vec![], vec![], vec![]], &answer);
        let said: Vec<_> =
            held.iter().map(|held| held.service.map(|said| (said.tier, said.weight)).unwrap()).collect();
        assert_eq!(said, [(1, 1), (0, 60), (0, 15), (0, 1)]);
        let targets = vec![of(1, 0, 65_000_000), of(2, 0, 32_500_000)];
        let (held, _) = group(2, true).take(&[vec![], vec![]], &NameAnswer { targets, ..answer });
        assert_eq!(held.iter().map(|held| held.service.unwrap().weight).collect::<Vec<_>>(), [100, 50]);
        assert!(held.iter().all(|held| held.addresses[0].port() == 8_080));
    }

    #[test]
    fn names_are_found_with_their_slots_and_literals_are_none() {
        let endpoint =
            |host: &str, slot| Endpoint { host: host.into(), port: 80, slot, ..Endpoint::default() };
        let endpoints = [
            endpoint("10.0.0.1", None),
            endpoint("a", Some(0)),
            endpoint("a", Some(1)),
            endpoint("b", Some(0)),
            endpoint("localhost", None),
        ];
        let found: Vec<_> = groups(7, &endpoints)
            .into_iter()
            .map(|it| (it.asked.host, it.pool, it.first, it.count, it.slots))
            .collect();
        let named = |name: &str, first, count, slots| (name.to_owned(), 7, first, count, slots);
        assert_eq!(found, [named("a", 1, 2, true), named("b", 3, 1, true), named("localhost", 4, 1, false)]);
    }

    #[test]
    fn addresses_need_no_resolver() {
        assert_eq!(literal("::1", 80), Some("[::1]:80".parse().unwrap()));
        assert_eq!(literal("10.0.0.1", 80), Some(address(1)));
        assert_eq!(literal("/run/app.sock", 0), Some(AT_UNIX_SOCKET));
        assert_eq!(literal("shop.example", 80), None);
    }
}
