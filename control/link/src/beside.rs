//! What edges that serve beside the other (one that leaves, or one that is about to take over) last counted of the
//! endpoints. What is under way there is under way: a fleet must not end an instance that still answers an old edge.

use std::collections::HashMap;
use std::net::IpAddr;
use tentpole_model::EndpointReport;

/// The last reports, by the number of the link.
#[derive(Default)]
pub(crate) struct Beside {
    endpoints: HashMap<u64, Vec<EndpointReport>>,
    /// Process and open connections of visitors.
    open: HashMap<u64, (u32, u64)>,
}

impl Beside {
    /// One of them has reported.
    pub(crate) fn take(&mut self, link: u64, endpoints: Vec<EndpointReport>) {
        self.endpoints.insert(link, endpoints);
    }

    /// A process has so many connections of visitors.
    pub(crate) fn has_open(&mut self, link: u64, pid: u32, connections: u64) {
        self.open.insert(link, (pid, connections));
    }

    /// What each process has.
    pub(crate) fn connections(&self) -> Vec<(u32, u64)> {
        self.open.values().copied().collect()
    }

    /// One of them is gone.
    pub(crate) fn forget(&mut self, link: u64) {
        self.open.remove(&link);
        self.endpoints.remove(&link);
    }

    /// A report of the edge that takes new visitors, with what is under way and open at the others. Totals stay its own:
    /// they would fall when another one ends.
    pub(crate) fn with(&self, endpoints: &[EndpointReport]) -> Vec<EndpointReport> {
        let mut all = endpoints.to_vec();
        for other in self.endpoints.values().flatten().filter(|other| other.in_flight > 0 || other.open > 0) {
            let is_it =
                |known: &&mut EndpointReport| known.pool == other.pool && known.authority == other.authority;
            match all.iter_mut().find(is_it) {
                Some(known) => {
                    known.in_flight += other.in_flight;
                    known.open += other.open;
                    add_ports(&mut known.local_ports, &other.local_ports);
                }
                None => all.push(EndpointReport {
                    pool: other.pool.clone(),
                    authority: other.authority.clone(),
                    in_flight: other.in_flight,
                    open: other.open,
                    local_ports: other.local_ports.clone(),
                    ..EndpointReport::default()
                }),
            }
        }
        all
    }
}

fn add_ports(all: &mut Vec<(IpAddr, u32)>, more: &[(IpAddr, u32)]) {
    for &(source, ports) in more {
        match all.iter_mut().find(|(known, _)| *known == source) {
            Some((_, known)) => *known += ports,
            None => all.push((source, ports)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(authority: &str, in_flight: u32, requests: u64) -> EndpointReport {
        let authority = authority.to_owned();
        EndpointReport { pool: "app".into(), authority, in_flight, requests, ..EndpointReport::default() }
    }

    #[test]
    fn what_is_under_way_at_an_old_edge_is_under_way_and_its_totals_are_its_own() {
        let mut beside = Beside::default();
        beside.take(7, vec![report("a", 2, 500), report("b", 1, 3), report("c", 0, 9)]);
        let all = beside.with(&[report("a", 1, 10), report("c", 0, 1)]);
        assert_eq!(all, [report("a", 3, 10), report("c", 0, 1), report("b", 1, 0)]);
        beside.has_open(7, 4_711, 3);
        beside.has_open(7, 4_711, 2);
        assert_eq!(beside.connections(), [(4_711, 2)]);
        beside.forget(7);
        assert_eq!(beside.connections(), []);
        assert_eq!(beside.with(&[report("a", 1, 10)]), [report("a", 1, 10)]);
    }
}
