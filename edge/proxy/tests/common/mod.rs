//! An edge in this process before an endpoint that a test scripts, and a client that sees the bytes.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]
#![allow(dead_code, reason = "not every test needs every helper")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_disk::Disk;
use tentpole_learn::Limits;
use tentpole_model::{
    Canonical, Detour, Dials, Endpoint, Health, Member, Membership, Pool, PoolMembers, PurgePort, Route,
    Site, Snapshot,
};
use tentpole_observe::Observed;
use tentpole_proxy::{Bound, CompressionStats, Edge, EdgeParts, RoomsPort, Secure};
use tentpole_runtime::ledger::Account;
use tentpole_runtime::{Cells, InForce, Ledger, Published};

/// A running edge; ended when dropped.
pub struct Running {
    pub address: SocketAddr,
    /// Where https is spoken, when it is.
    pub https: Option<SocketAddr>,
    pub secure: Option<Arc<Secure>>,
    pub observed: Arc<Observed>,
    pub cells: Arc<Cells>,
    pub purger: Arc<dyn PurgePort>,
    pub membership: Arc<Published<Membership>>,
    pub dials: Arc<Published<Dials>>,
    pub disk: Option<Arc<Disk>>,
    pub ledger: Arc<Ledger>,
    pub advice: Arc<dyn Fn() -> String + Send + Sync>,
    pub rooms: Arc<RoomsPort>,
    queue: Arc<dyn Fn() -> Vec<u32> + Send + Sync>,
    compressed: Arc<dyn Fn() -> CompressionStats + Send + Sync>,
    edge: Option<Edge>,
}

/// What the endpoint was asked, head by head.
pub type Asked = Arc<Mutex<Vec<String>>>;

impl Drop for Running {
    fn drop(&mut self) {
        let edge = self.edge.take().unwrap();
        edge.end();
        edge.join();
    }
}

/// An endpoint that answers each request's head with what `answer` makes of it, on kept connections. An empty
/// answer means silence until the edge gives up.
pub fn endpoint(answer: impl Fn(&str) -> String + Send + Sync + 'static) -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let (answer, heard) = (Arc::new(answer), asked.clone());
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, answer, heard) = (connection.unwrap(), answer.clone(), heard.clone());
            std::thread::spawn(move || {
                while let Some(head) = read_head(&mut connection) {
                    heard.lock().unwrap().push(head.clone());
                    if connection.write_all(answer(&head).as_bytes()).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, asked)
}

/// An endpoint that hears requests with bodies in chunks to their very end, trailers included, and answers 200.
pub fn listener_of_whole_requests() -> (SocketAddr, Asked) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let asked = Asked::default();
    let heard = asked.clone();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut whole = read_head(&mut connection).unwrap_or_default();
            while !whole.contains("\r\n0\r\n") {
                whole += &read_head(&mut connection).unwrap_or_else(|| "\r\n0\r\n".into());
            }
            heard.lock().unwrap().push(whole);
            let _ =
                connection.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    (address, asked)
}

pub fn read_head(connection: &mut TcpStream) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

/// An edge of one thread with one pool of one endpoint, which `change` may alter.
pub fn edge(endpoint: SocketAddr, change: impl FnOnce(&mut Snapshot)) -> Running {
    learning_edge(endpoint, Limits::default(), change)
}

/// The same, with these limits of what is learned.
pub fn learning_edge(endpoint: SocketAddr, learning: Limits, change: impl FnOnce(&mut Snapshot)) -> Running {
    made(endpoint, learning, None, change)
}

/// The same, with a state directory.
pub fn kept_edge(endpoint: SocketAddr, state: PathBuf, change: impl FnOnce(&mut Snapshot)) -> Running {
    made(endpoint, Limits::default(), Some(state), change)
}

fn made(
    endpoint: SocketAddr,
    learning: Limits,
    state: Option<PathBuf>,
    change: impl FnOnce(&mut Snapshot),
) -> Running {
    let mut snapshot = snapshot(endpoint);
    change(&mut snapshot);
    let snapshot = Arc::new(snapshot);
    let member = Member { addresses: vec![endpoint], health: Health::Up, tier: 0 };
    let cells = Cells::new();
    let membership = Published::new(Membership { pools: vec![PoolMembers { members: vec![member] }] });
    let dials = Published::new(Dials::from_snapshot(&snapshot));
    let listeners = tentpole_listener::bind(&snapshot.addresses(), snapshot.threads.unwrap_or(1)).unwrap();
    let observed = Observed::new(&snapshot.log);
    let in_force = InForce {
        version: 0,
        read_unix_ms: 0,
        snapshot: snapshot.clone(),
        membership: membership.clone(),
        dials: dials.clone(),
    };
    let parts = EdgeParts { in_force, cells: cells.clone(), observed: observed.clone(), learning, state };
    let bound = Bound::new(parts, listeners).unwrap();
    let address = bound.addresses()[0];
    let (https, secure) = (bound.addresses().get(snapshot.listen.len()).copied(), bound.secure());
    let (purger, queue, advice) = (bound.purger(), bound.queued(), bound.advice());
    let rooms = bound.rooms();
    let (compressed, disk, ledger) = (bound.compressed(), bound.disk(), bound.ledger().clone());
    let edge = Some(bound.open().unwrap());
    Running {
        address,
        https,
        secure,
        observed,
        cells,
        purger,
        membership,
        dials,
        disk,
        ledger,
        rooms,
        queue,
        advice,
        compressed,
        edge,
    }
}

fn snapshot(endpoint: SocketAddr) -> Snapshot {
    let route = Route { body_bytes_max: 1 << 20, ..Route::default() };
    let endpoint = Endpoint { host: endpoint.ip().to_string(), port: endpoint.port(), ..Endpoint::default() };
    let pool = Pool { name: "app".into(), endpoints: vec![endpoint], ..Pool::default() };
    let site =
        Site { name: "all".into(), canonical: Canonical::Redirect, routes: vec![route], ..Site::default() };
    Snapshot {
        listen: vec!["127.0.0.1:0".parse().unwrap()],
        threads: Some(1),
        sites: vec![site],
        pools: vec![pool],
        ..Snapshot::default()
    }
}

impl Running {
    /// What was compressed.
    pub fn compressed(&self) -> CompressionStats {
        (self.compressed)()
    }

    /// Attempts that went elsewhere for this reason.
    pub fn detours(&self, reason: Detour) -> u64 {
        let threads = self.observed.metrics();
        threads.iter().map(|thread| thread.detours[reason as usize].load(Relaxed)).sum()
    }

    /// Bytes in one account.
    pub fn held(&self, account: Account) -> u64 {
        self.ledger.held(account)
    }

    /// Requests that wait for a permit, in each pool.
    pub fn queued(&self) -> Vec<u32> {
        (self.queue)()
    }

    /// One request on a connection of its own; everything that comes until the edge closes. Send
    /// `Connection: close`.
    pub fn ask(&self, request: &str) -> String {
        let mut connection = TcpStream::connect(self.address).unwrap();
        connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        connection.write_all(request.as_bytes()).unwrap();
        let mut answer = Vec::new();
        connection.read_to_end(&mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    /// [`Running::ask`] for a GET with more field lines, each with its line end.
    pub fn get(&self, path: &str, fields: &str) -> String {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: shop.example\r\n{fields}Connection: close\r\n\r\n"))
    }
}
