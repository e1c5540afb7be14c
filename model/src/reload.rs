//! What a change of the Snapshot is made of: the Snapshot as it lies on disk, what was published beside it, what of that
//! still holds for another Snapshot, and how a reload ended. Decides by names alone: places in lists are different in
//! each Snapshot.

use crate::{AT_UNIX_SOCKET, Dials, Endpoint, Health, Member, Membership, Pool, PoolMembers, Snapshot};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;

/// A Snapshot as it lies in the state directory.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SnapshotFile {
    /// Counts up from 1 with each reload while a keeper lives.
    pub version: u64,
    /// When it was read, in milliseconds since 1970.
    pub read_unix_ms: u64,
    /// It.
    pub snapshot: Snapshot,
}

/// What the edge keeps on disk beside the Snapshot, so that it can start alone; and what it tells a new control process.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct LastPublished {
    /// The pools and endpoints that the rest is parallel to.
    pub names: Vec<PoolNames>,
    /// Endpoints and their health.
    pub membership: Membership,
    /// Weights in force.
    pub dials: Dials,
}

/// A pool's name, and its endpoints.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PoolNames {
    /// Its name.
    pub pool: String,
    /// For each endpoint: its authority, and its weight as configured.
    pub endpoints: Vec<(String, u32)>,
}

/// Who wished for a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// The file changed (`up --watch`).
    Watch,
    /// The admin API; the number of the request.
    Asked(u64),
}

/// How a reload ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ReloadEnd {
    /// The file's configuration is in force on all data threads.
    InForce(Reloaded),
    /// Nothing has changed.
    Refused(Refusal),
    /// It was taken, and lies where every part that starts anew finds it; but one that runs has not said in time that it
    /// has it. It comes into force when that does.
    Late {
        /// The version of the Snapshot.
        version: u64,
    },
}

/// What is in force.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// The version of the Snapshot.
    pub version: u64,
    /// Whether it is another one than before.
    pub changed: bool,
    /// Sites in it.
    pub sites: usize,
    /// Pools in it.
    pub pools: usize,
    /// What one should know of it: warnings as `tentpole check` prints them, and what takes effect later.
    pub notes: String,
}

/// Why nothing has changed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// One sentence.
    pub why: String,
    /// What is wrong with the file, as `tentpole check` prints it; empty when it is something else.
    pub report: String,
}

/// A port of the control process: asks for a reload.
pub trait ReloadPort: Send + Sync {
    /// Asks; ready once the reload has ended. `None` when too many wait already, or nobody answers any more.
    fn reload(&self) -> Pin<Box<dyn Future<Output = Option<ReloadEnd>> + Send>>;
}

impl ReloadEnd {
    /// The word for it in metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Self::InForce(_) => "in_force",
            Self::Refused(_) => "refused",
            Self::Late { .. } => "late",
        }
    }
}

impl fmt::Display for ReloadEnd {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let many = |count: usize| if count == 1 { "" } else { "s" };
        match self {
            Self::InForce(Reloaded { changed: false, version, .. }) => {
                write!(
                    f,
                    "nothing to reload: version {version} of the configuration is in force, and the same"
                )
            }
            Self::InForce(Reloaded { version, sites, pools, .. }) => write!(
                f,
                "reloaded, {sites} site{}, {pools} pool{}, in force on all threads (version {version})",
                many(*sites),
                many(*pools)
            ),
            Self::Refused(Refusal { why, .. }) => write!(f, "not reloaded, nothing has changed: {why}"),
            Self::Late { version } => write!(
                f,
                "reloaded, but not yet in force everywhere: a part of Tentpole has not answered in time, and takes \
                 version {version} when it goes on or is started again"
            ),
        }
    }
}

impl SnapshotFile {
    /// The first one of a keeper.
    pub fn first(snapshot: Snapshot, read_unix_ms: u64) -> Self {
        Self { version: 1, read_unix_ms, snapshot }
    }
}

impl LastPublished {
    /// What is published for a Snapshot.
    pub fn of(snapshot: &Snapshot, membership: Membership, dials: Dials) -> Self {
        let names = snapshot.pools.iter().map(|pool| PoolNames {
            pool: pool.name.clone(),
            endpoints: pool.endpoints.iter().map(|e| (e.authority(), e.weight)).collect(),
        });
        Self { names: names.collect(), membership, dials }
    }

    /// What of it holds for this Snapshot: addresses and health of the endpoints that it knows, and the weights that
    /// somebody turned. Whatever is new is up, with its configured weight, and stands at its address where it has one by
    /// itself.
    pub fn fitted(&self, snapshot: &Snapshot) -> (Membership, Dials) {
        let mut known = HashMap::new();
        for (at, names) in self.names.iter().enumerate() {
            for (place, (authority, configured)) in names.endpoints.iter().enumerate() {
                let member = self.membership.pools.get(at).and_then(|pool| pool.members.get(place));
                let weight = self.dials.weights.get(at).and_then(|pool| pool.get(place)).copied();
                known.insert((names.pool.as_str(), authority.as_str()), (member, weight, *configured));
            }
        }
        let (mut pools, mut weights) = (Vec::new(), Vec::new());
        for pool in &snapshot.pools {
            let (mut members, mut of_pool) = (Vec::new(), Vec::new());
            for endpoint in &pool.endpoints {
                let authority = endpoint.authority();
                let before = known.get(&(pool.name.as_str(), authority.as_str())).copied();
                let (member, weight, configured) = before.unwrap_or((None, None, endpoint.weight));
                members.push(member.cloned().unwrap_or_else(|| at_first(pool, endpoint)));
                // Who turned it meant it; otherwise the file says.
                of_pool.push(weight.filter(|&weight| weight != configured).unwrap_or(endpoint.weight));
            }
            pools.push(PoolMembers { members });
            weights.push(of_pool);
        }
        (Membership { pools }, Dials { weights })
    }

    /// Whether each pool has an endpoint that can be asked: then an edge can open its doors without control.
    pub fn suffices(&self, snapshot: &Snapshot) -> bool {
        let known = !self.membership.pools.is_empty();
        let (membership, _) = self.fitted(snapshot);
        let has_one = |pool: &PoolMembers| pool.members.iter().any(|member| !member.addresses.is_empty());
        known && (self.is_of(snapshot) || membership.pools.iter().all(has_one))
    }

    /// Whether it was published for the same pools and endpoints.
    fn is_of(&self, snapshot: &Snapshot) -> bool {
        let same = |(names, pool): (&PoolNames, &Pool)| {
            names.pool == pool.name
                && names
                    .endpoints
                    .iter()
                    .map(|(name, _)| name.clone())
                    .eq(pool.endpoints.iter().map(Endpoint::authority))
        };
        self.names.len() == snapshot.pools.len() && self.names.iter().zip(&snapshot.pools).all(same)
    }
}

/// An endpoint of which nobody has heard.
fn at_first(pool: &Pool, endpoint: &Endpoint) -> Member {
    let address = endpoint.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, endpoint.port));
    let address = endpoint.unix_socket().map_or(address, |_| Some(AT_UNIX_SOCKET));
    let addresses = address.filter(|_| pool.fleet.is_none()).into_iter().collect();
    Member { addresses, health: Health::Up, tier: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DownReason;

    fn pool(name: &str, endpoints: &[(&str, u32)]) -> Pool {
        let endpoint = |&(host, weight): &(&str, u32)| Endpoint {
            host: host.into(),
            port: 80,
            weight,
            ..Endpoint::default()
        };
        Pool { name: name.into(), endpoints: endpoints.iter().map(endpoint).collect(), ..Pool::default() }
    }

    fn snapshot(pools: Vec<Pool>) -> Snapshot {
        Snapshot { pools, ..Snapshot::default() }
    }

    fn member(last: u8, health: Health) -> Member {
        Member { addresses: vec![([10, 0, 0, last], 80).into()], health, tier: 0 }
    }

    fn before() -> LastPublished {
        let old = snapshot(vec![pool("a", &[("one", 5), ("two", 5)]), pool("b", &[("one", 1)])]);
        let down = Health::Down(DownReason::Probe);
        let membership = Membership {
            pools: vec![
                PoolMembers { members: vec![member(1, down), member(2, Health::Up)] },
                PoolMembers { members: vec![member(3, Health::Up)] },
            ],
        };
        LastPublished::of(&old, membership, Dials { weights: vec![vec![5, 0], vec![1]] })
    }

    #[test]
    fn what_is_known_of_an_endpoint_follows_its_name_and_not_its_place() {
        let next = snapshot(vec![
            pool("b", &[("one", 1)]),
            pool("a", &[("10.0.0.9", 3), ("two", 7), ("three", 2), ("one", 8)]),
        ]);
        let (membership, dials) = before().fitted(&next);
        assert_eq!(membership.pools[0].members, [member(3, Health::Up)]);
        let [new, two, three, one] = &membership.pools[1].members[..] else { panic!("{membership:?}") };
        assert_eq!((new, two), (&member(9, Health::Up), &member(2, Health::Up)));
        assert_eq!(
            three,
            &Member { addresses: vec![], health: Health::Up, tier: 0 },
            "a name is looked up first"
        );
        assert_eq!(one, &member(1, Health::Down(DownReason::Probe)));
        // `two` was drained by somebody, `one` was as the file said.
        assert_eq!(dials.weights, [vec![1], vec![3, 0, 2, 8]]);
    }

    #[test]
    fn an_edge_starts_alone_only_where_each_pool_has_somebody() {
        let old = snapshot(vec![pool("a", &[("one", 5), ("two", 5)]), pool("b", &[("one", 1)])]);
        assert!(before().suffices(&old));
        assert!(!LastPublished::default().suffices(&old));
        let more = snapshot(vec![pool("a", &[("two", 5)]), pool("c", &[("nobody", 1)])]);
        assert!(!before().suffices(&more));
        let literal = snapshot(vec![pool("a", &[("two", 5)]), pool("c", &[("10.0.0.7", 1)])]);
        assert!(before().suffices(&literal));
    }
}
