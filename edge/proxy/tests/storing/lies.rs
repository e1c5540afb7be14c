//! Endpoints that lie about their response's length, end it early or never end it: every visitor sees that it is
//! broken, nothing is stored, and the connection serves nobody else.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{Running, edge};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

/// What the endpoint does after it has written what it was told to.
#[derive(Clone, Copy, PartialEq)]
enum Then {
    Ends,
    Resets,
    SaysNothingMore,
}

/// An endpoint that writes the first half of a response, waits until it is told to go on, writes the second and does
/// what it shall then.
struct Liar {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<AtomicUsize>,
    go_on: Arc<(Mutex<bool>, Condvar)>,
}

impl Liar {
    fn new(first: &'static str, second: &'static str, then: Then) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (connections, requests) = (Arc::<AtomicUsize>::default(), Arc::<AtomicUsize>::default());
        let go_on = Arc::<(Mutex<bool>, Condvar)>::default();
        let (counted, asked, door) = (connections.clone(), requests.clone(), go_on.clone());
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                counted.fetch_add(1, Ordering::Relaxed);
                let (asked, door) = (asked.clone(), door.clone());
                std::thread::spawn(move || serve(connection.unwrap(), first, second, then, &asked, &door));
            }
        });
        Self { address, connections, requests, go_on }
    }

    fn goes_on(&self) {
        *self.go_on.0.lock().unwrap() = true;
        self.go_on.1.notify_all();
    }
}

fn serve(
    mut connection: TcpStream,
    first: &str,
    second: &str,
    then: Then,
    asked: &AtomicUsize,
    door: &(Mutex<bool>, Condvar),
) {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while connection.read(&mut byte).is_ok_and(|count| count == 1) {
        head.push(byte[0]);
        if !head.ends_with(b"\r\n\r\n") {
            continue;
        }
        head.clear();
        asked.fetch_add(1, Ordering::Relaxed);
        let _ = connection.write_all(first.as_bytes());
        drop(door.1.wait_while(door.0.lock().unwrap(), |open| !*open).unwrap());
        let _ = connection.write_all(second.as_bytes());
        match then {
            Then::Ends => {
                let _ = connection.shutdown(Shutdown::Write);
            }
            Then::Resets => {
                rustix::net::sockopt::set_socket_linger(&connection, Some(Duration::ZERO)).unwrap();
                return;
            }
            Then::SaysNothingMore => {}
        }
    }
}

/// What a visitor got, and how his connection ended.
struct Heard {
    bytes: String,
    broken: bool,
}

impl Heard {
    /// Whether the visitor can tell that there should be more.
    fn is_cut(&self) -> bool {
        let (head, body) = self.bytes.split_once("\r\n\r\n").unwrap_or((&self.bytes, ""));
        let length = head.lines().find_map(|line| line.strip_prefix("Content-Length: "));
        match length {
            Some(length) => body.len() < length.parse().unwrap(),
            None if head.contains("Transfer-Encoding: chunked") => !body.ends_with("0\r\n\r\n"),
            None => self.broken,
        }
    }
}

fn ask(edge: &Running, version: &str) -> TcpStream {
    let mut connection = TcpStream::connect(edge.address).unwrap();
    connection.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    write!(connection, "GET /a HTTP/{version}\r\nHost: shop.example\r\nConnection: close\r\n\r\n").unwrap();
    connection
}

fn hear(mut connection: TcpStream) -> Heard {
    let (mut bytes, mut buffer) = (Vec::new(), [0; 4096]);
    let broken = loop {
        match connection.read(&mut buffer) {
            Ok(0) => break false,
            Ok(count) => bytes.extend_from_slice(&buffer[..count]),
            Err(error) if error.kind() == ErrorKind::ConnectionReset => break true,
            // By whoever stopped this process and let it go on.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    };
    Heard { bytes: String::from_utf8(bytes).unwrap(), broken }
}

fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    for _ in 0..2_000 {
        if is_so() {
            return;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    panic!("waited for {what}");
}

const LONG: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 20\r\n\r\n01234";
const LONG_OWN: &str = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 20\r\n\r\n01234";
const CHUNKED: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n";
const CHUNKED_OWN: &str =
    "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n01234\r\n";

#[test]
fn all_who_read_a_response_that_breaks_off_see_it_and_nobody_gets_it_later() {
    let lies = [
        (LONG, "56789", Then::Ends),
        (LONG, "56789", Then::Resets),
        (LONG, "", Then::SaysNothingMore),
        (CHUNKED, "5\r\n567", Then::Ends),
        (CHUNKED, "5\r\n56789\r\n", Then::Resets),
        (CHUNKED, "5\r\n56789\r\n", Then::SaysNothingMore),
        (CHUNKED, "5\r\n5678901234\r\n0\r\n\r\n", Then::SaysNothingMore),
        (CHUNKED, "rubbish\r\n", Then::SaysNothingMore),
    ];
    for (number, (first, second, then)) in lies.into_iter().enumerate() {
        let liar = Liar::new(first, second, then);
        // Nobody is told to go on before all are there.
        let edge = edge(liar.address, |snapshot| snapshot.pools[0].timeouts.stall = Duration::from_secs(3));
        // Who leads, and who reads along, in both versions.
        let readers: Vec<_> = ["1.1", "1.1", "1.0", "1.0"].map(|version| ask(&edge, version)).into();
        let mut first_byte = [0];
        for reader in &readers {
            // All of them have the head: they read what the leader's fetch brings.
            assert_eq!(reader.peek(&mut first_byte).unwrap(), 1);
        }
        liar.goes_on();
        for reader in readers {
            let heard = hear(reader);
            assert!(heard.is_cut(), "lie {number}: {}", heard.bytes);
            assert!(heard.bytes.contains("01234"), "lie {number}: {}", heard.bytes);
        }
        assert_eq!(liar.requests.load(Ordering::Relaxed), 1);
        let again = hear(ask(&edge, "1.1"));
        assert!(!again.bytes.contains("; hit"), "lie {number} was stored: {}", again.bytes);
        assert_eq!(liar.requests.load(Ordering::Relaxed), 2, "lie {number} was stored: {}", again.bytes);
        assert_eq!(liar.connections.load(Ordering::Relaxed), 2, "lie {number}: the connection served again");
    }
}

#[test]
fn who_gets_a_response_of_his_own_that_breaks_off_sees_it_too() {
    for (first, second, then) in [
        (LONG_OWN, "56789", Then::Ends),
        (LONG_OWN, "", Then::SaysNothingMore),
        (CHUNKED_OWN, "5\r\n567", Then::Ends),
        (CHUNKED_OWN, "", Then::SaysNothingMore),
    ] {
        for version in ["1.1", "1.0"] {
            let liar = Liar::new(first, second, then);
            let edge = edge(liar.address, |snapshot| {
                snapshot.pools[0].timeouts.stall = Duration::from_millis(300);
            });
            liar.goes_on();
            for requests in 1..=2 {
                let heard = hear(ask(&edge, version));
                assert!(heard.is_cut() && heard.bytes.contains("01234"), "{}", heard.bytes);
                assert_eq!(liar.connections.load(Ordering::Relaxed), requests);
            }
        }
    }
}

#[test]
fn what_comes_after_the_announced_length_is_nobodys() {
    let says = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n01234HTTP/1.1 200 OK\r\nX: evil\r\n\r\n";
    let liar = Liar::new(says, "", Then::SaysNothingMore);
    liar.goes_on();
    let edge = edge(liar.address, |_| {});
    let heard = hear(ask(&edge, "1.1"));
    assert!(!heard.is_cut() && heard.bytes.ends_with("\r\n\r\n01234"), "{}", heard.bytes);
    edge.purger.purge(&tentpole_model::PurgeOrder::hard(tentpole_model::PurgeWhat::All)).unwrap();
    let again = hear(ask(&edge, "1.1"));
    assert!(again.bytes.contains("fwd=uri-miss") && !again.bytes.contains("evil"), "{}", again.bytes);
    assert_eq!(liar.connections.load(Ordering::Relaxed), 2);
}

#[test]
fn a_response_without_an_end_is_given_up_when_nobody_reads_it_and_it_cannot_be_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let given_up = Arc::new(AtomicUsize::new(0));
    let count = given_up.clone();
    std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let mut head = [0; 4096];
        let _ = connection.read(&mut head);
        let begin = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nTransfer-Encoding: chunked\r\n\r\n";
        let mut wrote = connection.write_all(begin.as_bytes());
        let chunk = format!("4000\r\n{}\r\n", "x".repeat(0x4000));
        while wrote.is_ok() {
            wrote = connection.write_all(chunk.as_bytes());
        }
        count.fetch_add(1, Ordering::Relaxed);
    });
    let edge = edge(address, |snapshot| snapshot.cache.object_bytes_max = 1 << 20);
    let mut visitor = ask(&edge, "1.1");
    let mut buffer = vec![0; 4 << 20];
    visitor.read_exact(&mut buffer).unwrap();
    assert_eq!(given_up.load(Ordering::Relaxed), 0, "it goes on as long as somebody reads");
    drop(visitor);
    until("the endpoint to be left", || given_up.load(Ordering::Relaxed) == 1);
}
