//! Whether the connections that may be open to one endpoint find ports on this machine. Opens none.

use tentpole_model::Snapshot;

/// Where the kernel says which ports it gives to connections.
const RANGE: &str = "/proc/sys/net/ipv4/ip_local_port_range";

/// What may run out, one sentence for each pool.
pub fn doubts(snapshot: &Snapshot) -> Vec<String> {
    // Nothing is said where the system does not tell.
    let range = std::fs::read_to_string(RANGE).ok().and_then(|text| ports(&text));
    range.map(|ports| shortages(snapshot, ports)).unwrap_or_default()
}

/// `32768\t60999` → 28,232.
fn ports(range: &str) -> Option<u64> {
    let mut bounds = range.split_ascii_whitespace().map(str::parse::<u64>);
    let (low, high) = (bounds.next()?.ok()?, bounds.next()?.ok()?);
    (high >= low).then(|| high - low + 1)
}

/// Each endpoint has all ports of each source address: they need only differ towards the same one.
fn shortages(snapshot: &Snapshot, ports: u64) -> Vec<String> {
    let visitors = snapshot.visitors.connections_max as u64;
    let of_pool = |pool: &tentpole_model::Pool| {
        let planned = |max: Option<u32>| max.map_or(visitors, u64::from);
        let endpoint = pool.endpoints.iter().max_by_key(|endpoint| planned(endpoint.connections_max))?;
        let (wanted, sources) = (planned(endpoint.connections_max), pool.source_addresses.len().max(1));
        let there = ports * sources as u64;
        let limit =
            if endpoint.connections_max.is_some() { "connections_max" } else { "[limits] connections" };
        (wanted > there).then(|| {
            format!(
                "pool `{}` may open {wanted} connections to {} ({limit}), and from {} this machine has {there} ports for them: \
                 give it more `source_addresses`, widen net.ipv4.ip_local_port_range, or lower the limit.",
                pool.name,
                endpoint.authority(),
                if sources == 1 { "one address".to_owned() } else { format!("{sources} addresses") },
            )
        })
    };
    snapshot.pools.iter().filter_map(of_pool).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use tentpole_model::{Endpoint, Pool};

    fn snapshot(connections_max: Option<u32>, sources: usize) -> Snapshot {
        let endpoint = Endpoint { host: "10.0.0.7".into(), port: 80, connections_max, ..Endpoint::default() };
        let source_addresses = (0..sources).map(|last| [10, 0, 1, last as u8].into()).collect();
        let pool = Pool { endpoints: vec![endpoint], source_addresses, ..Pool::default() };
        Snapshot { pools: vec![pool], ..Snapshot::default() }
    }

    #[test]
    fn the_range_is_read_as_the_kernel_writes_it() {
        assert_eq!(ports("32768\t60999\n"), Some(28_232));
        assert_eq!(ports("60999 32768"), None);
        assert_eq!(ports(""), None);
    }

    #[test]
    fn more_connections_than_ports_are_told_of() {
        assert_eq!(shortages(&snapshot(Some(100), 0), 100), Vec::<String>::new());
        let told = shortages(&snapshot(Some(101), 0), 100);
        assert!(told[0].contains("101 connections to 10.0.0.7:80 (connections_max)"), "{told:?}");
        assert!(told[0].contains("100 ports"), "{told:?}");
    }

    #[test]
    fn each_source_address_has_ports_of_its_own() {
        assert!(shortages(&snapshot(Some(300), 3), 100).is_empty());
        assert!(shortages(&snapshot(Some(301), 3), 100)[0].contains("3 addresses"));
    }

    #[test]
    fn without_a_limit_each_visitor_may_need_one() {
        assert!(shortages(&snapshot(None, 0), 28_232).is_empty(), "as it comes it fits");
        assert!(shortages(&snapshot(None, 0), 1_000)[0].contains("[limits] connections"));
    }
}
