//! The control plane as a whole, over real sockets: it starts, sees an endpoint die and come back, and ends.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::Duration;
use tentpole_control::{Control, ControlParts};
use tentpole_model::{
    Balance, CacheSettings, Dials, Endpoint, LogSettings, Membership, Pool, PurgeError, PurgePort, Purged,
    QueueSettings, Scheme, Snapshot, UpstreamTimeouts, VisitorLimits,
};
use tentpole_observe::Observed;
use tentpole_runtime::{Cells, Ledger, Published, clock};

/// A loopback address that only this process binds: no other test can take the port of an endpoint that died.
fn our_address() -> IpAddr {
    let [.., high, low] = std::process::id().to_be_bytes();
    IpAddr::from([127, 77, high, low.max(1)])
}

struct NoCache;

impl PurgePort for NoCache {
    fn purge_url(&self, _: &str) -> Result<Purged, PurgeError> {
        Err(PurgeError::NoSuchSite)
    }

    fn purge_all(&self) -> Purged {
        Purged { objects: 0, fills: 0 }
    }
}

fn parts(admin: Option<SocketAddr>, ports: &[u16]) -> ControlParts {
    let endpoint = |&port: &u16| Endpoint {
        scheme: Scheme::Http,
        host: our_address().to_string(),
        port,
        weight: 1,
        requests_max: None,
        connections_max: None,
    };
    let pool = Pool {
        name: "app".into(),
        endpoints: ports.iter().map(endpoint).collect(),
        balance: Balance::LeastRequests,
        health: None,
        fleet: None,
        failures_max: 2,
        timeouts: UpstreamTimeouts::default(),
        queue: QueueSettings::default(),
    };
    let snapshot = Snapshot {
        listen: Vec::new(),
        admin,
        threads: None,
        sites: Vec::new(),
        pools: vec![pool],
        visitors: VisitorLimits::default(),
        cache: CacheSettings::default(),
        log: LogSettings::default(),
    };
    ControlParts {
        membership: Published::new(Membership::default()),
        dials: Published::new(Dials::from_snapshot(&snapshot)),
        cells: Cells::new(),
        observed: Observed::new(&snapshot.log),
        ledger: Ledger::new(1 << 20),
        purge: Arc::new(NoCache),
        snapshot: Arc::new(snapshot),
    }
}

fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let until = clock::now().after(Duration::from_secs(20));
    while !is_so() {
        assert!(clock::now() < until, "never: {what}");
        std::thread::park_timeout(Duration::from_millis(5));
    }
}

fn anywhere() -> Option<SocketAddr> {
    Some(SocketAddr::from(([127, 0, 0, 1], 0)))
}

#[test]
fn an_endpoint_that_fails_is_out_in_membership_and_status_until_it_answers() {
    let first = TcpListener::bind((our_address(), 0)).unwrap();
    let second = TcpListener::bind((our_address(), 0)).unwrap();
    let (address, other) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let parts = parts(anywhere(), &[address.port(), other.port()]);
    let control = Control::start(parts.clone()).unwrap();
    let members = || parts.membership.get().pools[0].members.clone();
    assert_eq!(members()[0].addresses, [address], "published before the start returned");
    let admin = control.admin_address().unwrap();
    assert_ne!(admin.port(), 0);

    drop(first);
    let cell = parts.cells.of("app", &address.to_string());
    cell.failed();
    cell.failed();
    eventually("out of traffic", || !members()[0].health.takes_traffic());
    assert!(get(admin, "/api/status").contains(r#""health":"down","reason":"failures""#));
    assert!(members()[1].health.takes_traffic());

    let _again = TcpListener::bind(address).unwrap();
    eventually("back in traffic", || members()[0].health.takes_traffic());
    assert!(get(admin, "/metrics").contains("tentpole_endpoint_takes_traffic{pool=\"app\""));
    control.stop();
    assert!(TcpStream::connect(admin).is_err(), "nobody listens any more");
}

#[test]
fn s1_4_the_only_endpoint_stays_in_traffic_however_much_it_fails() {
    let only = TcpListener::bind((our_address(), 0)).unwrap();
    let address = only.local_addr().unwrap();
    let parts = parts(anywhere(), &[address.port()]);
    let control = Control::start(parts.clone()).unwrap();
    drop(only);
    let cell = parts.cells.of("app", &address.to_string());
    (0..10).for_each(|_| _ = cell.failed());
    eventually("last one", || {
        get(control.admin_address().unwrap(), "/api/status").contains(r#""health":"last_one""#)
    });
    assert!(parts.membership.get().pools[0].members[0].health.takes_traffic());
}

#[test]
fn a_taken_admin_address_is_an_error_that_names_it() {
    let taken = TcpListener::bind((our_address(), 0)).unwrap();
    let address = taken.local_addr().unwrap();
    let error = Control::start(parts(Some(address), &[1])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&address.to_string()));
}

#[test]
fn without_an_admin_address_health_runs_alone() {
    let parts = parts(None, &[1]);
    let control = Control::start(parts.clone()).unwrap();
    assert_eq!(control.admin_address(), None);
    assert_eq!(parts.membership.get().pools[0].members.len(), 1);
    control.stop();
}

#[test]
fn an_idle_connection_to_the_admin_api_does_not_hold_up_the_end() {
    let control = Control::start(parts(anywhere(), &[1])).unwrap();
    let address = control.admin_address().unwrap();
    let _idle = TcpStream::connect(address).unwrap();
    assert!(get(address, "/healthz").contains("200 OK"), "the idle one is accepted by now");
    let began = clock::now();
    control.stop();
    assert!(clock::now().since(began) < Duration::from_secs(10));
}
