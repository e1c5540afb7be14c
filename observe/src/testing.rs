//! What the tests of this room share: a small Snapshot and a request with a history.

use crate::log::Names;
use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use tentpole_model::{
    Attempt, Balance, Bypass, CacheOutcome, Canonical, Cause, End, Endpoint, Failure, Filter, FilterAction,
    FilterWhen, Method, Outcome, Phase, Pool, Retry, Route, RouteId, Site, SiteId, Snapshot, Why,
};
use tentpole_runtime::Cells;

/// One site `shop`, one route, one pool `app` of two endpoints.
pub fn snapshot() -> Snapshot {
    let endpoint = |last: u8| Endpoint { host: format!("10.0.0.{last}"), port: 80, ..Endpoint::default() };
    Snapshot {
        sites: vec![Site {
            name: "shop".into(),
            canonical: Canonical::Redirect,
            merge_slashes: true,
            routes: vec![Route { path: "/p/{slug}".into(), body_bytes_max: 1 << 20, ..Route::default() }],
            ..Site::default()
        }],
        pools: vec![Pool {
            name: "app".into(),
            endpoints: vec![endpoint(1), endpoint(2)],
            balance: Balance::RoundRobin,
            failures_max: 5,
            ..Pool::default()
        }],
        filters: vec![Filter {
            name: "login".into(),
            report: false,
            when: FilterWhen::default(),
            action: FilterAction::Deny,
        }],
        ..Snapshot::default()
    }
}

/// Cells for the endpoints of [`snapshot`], in slots 0 and 1.
pub fn cells() -> Arc<Cells> {
    let cells = Cells::new();
    cells.of("app", "10.0.0.1:80");
    cells.of("app", "10.0.0.2:80");
    cells
}

/// The names of [`snapshot`].
pub fn names() -> Names {
    Names::new(0, Arc::new(snapshot()), cells())
}

/// A request that found its first endpoint closed and was answered by the second.
pub fn why_that_was_retried() -> Why {
    let refused = Cause::Io(ErrorKind::ConnectionRefused);
    let mut why = Why {
        arrived_unix_us: 1_795_770_000_000_001,
        took_us: 4_200,
        head_us: 4_000,
        bytes_out: 512,
        peer: IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)),
        peer_port: 50_000,
        status: 200,
        method: Method::Get,
        site: Some(SiteId(0)),
        route: Some(RouteId(0)),
        cache: CacheOutcome::Bypass(Bypass::SetCookie),
        end: End::Complete,
        ..Why::new()
    };
    let attempt = Attempt {
        endpoint: 0,
        connection_reused: false,
        queued_us: 0,
        connect_us: 100,
        first_byte_us: 0,
        hedged: false,
        not_again: None,
        detour: None,
        outcome: Outcome::Failed(Failure::upstream(Phase::Connect, Retry::Unsent, refused)),
    };
    why.attempted(attempt);
    let answered = Outcome::Status(200);
    why.attempted(Attempt { endpoint: 1, queued_us: 30, first_byte_us: 3_000, outcome: answered, ..attempt });
    why
}
