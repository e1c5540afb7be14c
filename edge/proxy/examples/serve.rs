//! tmp
use std::sync::Arc;
use tentpole_model::*;
use tentpole_observe::Observed;
use tentpole_proxy::{Bound, EdgeParts};
use tentpole_runtime::{Cells, Published};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    let to: std::net::SocketAddr = args[2].parse().unwrap();
    let snapshot = Arc::new(Snapshot {
        listen: vec![args[1].parse().unwrap()], admin: None, threads: Some(1),
        sites: vec![Site { name: "all".into(), hosts: vec![], canonical: Canonical::Redirect, merge_slashes: false,
            routes: vec![Route { path: "/*".into(), pool: PoolId(0), swallow_segments: false, cache: RouteCache::Standard, body_bytes_max: 1 << 30 }] }],
        pools: vec![Pool { name: "app".into(), endpoints: vec![Endpoint { scheme: Scheme::Http, host: to.ip().to_string(), port: to.port(), weight: 1, requests_max: None, connections_max: None }],
            balance: Balance::LeastRequests, health: None, failures_max: 3, timeouts: Default::default(), queue: Default::default() }],
        visitors: Default::default(), cache: Default::default(), log: Default::default(),
    });
    let membership = Published::new(Membership { pools: vec![PoolMembers { members: vec![Member { addresses: vec![to], health: Health::Up }] }] });
    let bound = Bound::new(EdgeParts { snapshot: snapshot.clone(), membership, dials: Published::new(Dials::from_snapshot(&snapshot)), cells: Cells::new(), observed: Observed::new(&snapshot.log) }).unwrap();
    let _edge = bound.open().unwrap();
    loop { std::thread::park(); }
}
