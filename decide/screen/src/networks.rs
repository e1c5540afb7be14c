//! A set of networks in which an address is found by a binary search. Made once, never changed.

use std::net::IpAddr;
use tentpole_model::Network;

/// Ranges of addresses, sorted and apart from one another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Networks {
    v4: Box<[(u32, u32)]>,
    v6: Box<[(u128, u128)]>,
}

impl Networks {
    /// The addresses of these networks.
    pub fn new(networks: &[Network]) -> Self {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        for network in networks {
            match network.address.to_canonical() {
                IpAddr::V4(address) => {
                    // Written as IPv6, the first 96 bits are the same for all of them.
                    let given = network.bits.saturating_sub(if network.address.is_ipv6() { 96 } else { 0 });
                    let host = u32::MAX.checked_shr(given.min(32).into()).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    v4.push((first, first | host));
                }
                IpAddr::V6(address) => {
                    let host = u128::MAX.checked_shr(network.bits.min(128).into()).unwrap_or(0);
                    let first = address.to_bits() & !host;
                    v6.push((first, first | host));
                }
            }
        }
        Self { v4: merged(v4), v6: merged(v6) }
    }

    /// Whether an address is in one of them. One of IPv4 that is written as IPv6 is the same address.
    pub fn contains(&self, address: IpAddr) -> bool {
        match address.to_canonical() {
            IpAddr::V4(address) => is_in(&self.v4, address.to_bits()),
            IpAddr::V6(address) => is_in(&self.v6, address.to_bits()),
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.v4.is_empty() && self.v6.is_empty()
    }
}

fn is_in<T: Ord + Copy>(ranges: &[(T, T)], wanted: T) -> bool {
    let behind = ranges.partition_point(|&(first, _)| first <= wanted);
    behind > 0 && wanted <= ranges[behind - 1].1
}

/// Networks either hold one another or are apart, so a range that begins within the one before it ends there too.
fn merged<T: Ord + Copy>(mut ranges: Vec<(T, T)>) -> Box<[(T, T)]> {
    ranges.sort_unstable_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
    ranges.dedup_by(|next, before| next.0 <= before.1);
    ranges.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn network(text: &str) -> Network {
        let (address, bits) = text.split_once('/').unwrap();
        Network { address: address.parse().unwrap(), bits: bits.parse().unwrap() }
    }

    #[test]
    fn an_address_is_found_in_whatever_way_it_is_written() {
        let set = Networks::new(&["10.1.0.0/16", "10.0.0.0/8", "192.0.2.7/32", "2001:db8::/32"].map(network));
        for inside in ["10.0.0.0", "10.255.255.255", "192.0.2.7", "::ffff:10.2.3.4", "2001:db8:1::1"] {
            assert!(set.contains(inside.parse().unwrap()), "{inside}");
        }
        for outside in ["9.255.255.255", "11.0.0.0", "192.0.2.6", "192.0.2.8", "2001:db9::", "::1"] {
            assert!(!set.contains(outside.parse().unwrap()), "{outside}");
        }
        let all = Networks::new(&[network("0.0.0.0/0")]);
        assert!(all.contains("255.255.255.255".parse().unwrap()) && !all.contains("::1".parse().unwrap()));
        assert!(Networks::new(&[]).is_empty());
    }

    proptest! {
        #[test]
        fn the_set_says_what_its_networks_say(
            networks in proptest::collection::vec((any::<bool>(), any::<u128>(), 0..=128u8), 0..24),
            near in any::<prop::sample::Index>(), by in -2i64..=2, wild in any::<u128>(),
        ) {
            let address = |v4: bool, bits: u128| match v4 {
                // Few bits, so that networks hold one another.
                true => IpAddr::from((((bits as u32) & 0x00f0_000f) | 0x0a00_0000).to_be_bytes()),
                false => IpAddr::from((bits & (0xf << 64 | 0xf)).to_be_bytes()),
            };
            let networks: Vec<_> = networks.into_iter()
                .map(|(v4, a, bits)| Network { address: address(v4, a), bits: if v4 { bits.min(32) } else { bits } })
                .filter(|network| network.address.to_canonical() == network.address)
                .collect();
            let set = Networks::new(&networks);
            let mut asked = vec![address(true, wild), address(false, wild)];
            if !networks.is_empty() {
                asked.push(match networks[near.index(networks.len())].address {
                    IpAddr::V4(a) => IpAddr::from(((i64::from(a.to_bits()) + by).clamp(0, u32::MAX.into()) as u32).to_be_bytes()),
                    IpAddr::V6(a) => IpAddr::from(a.to_bits().wrapping_add(by as u128).to_be_bytes()),
                });
            }
            for address in asked {
                let address = address.to_canonical();
                let expected = networks.iter().any(|network| network.contains(address));
                prop_assert_eq!(set.contains(address), expected, "{}", address);
            }
        }
    }
}
