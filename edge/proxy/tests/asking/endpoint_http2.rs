//! Endpoints that speak HTTP/2: many requests on few connections, bodies and trailers both ways, and what an endpoint may do
//! to a connection or a request without a visitor losing anything. By the `h2` crate's server, and by bytes.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::common::{self, Running, edge};
use bytes::Bytes;
use h2::server::SendResponse;
use h2::{Reason, RecvStream};
use http::{HeaderMap, Request, Response};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_model::{Scheme, Snapshot};
use tentpole_runtime::clock;
use tentpole_runtime::ledger::Account;

/// What an endpoint has seen.
#[derive(Default)]
struct Seen {
    connections: AtomicUsize,
    requests: AtomicUsize,
    resets: AtomicUsize,
    /// Requests that one connection carried at once, at most.
    together: AtomicUsize,
    now: AtomicUsize,
    heads: Mutex<Vec<Request<()>>>,
    /// Requests for `/held` are answered when the test says so, and those for `/broken` broken off.
    go: tokio::sync::Notify,
}

#[derive(Clone, Copy)]
struct Limits {
    streams_max: u32,
    /// Ends each connection in good order after so many requests (GOAWAY), and a new one is taken.
    requests_max: usize,
    /// The first connection is as if its machine had gone after so many requests: nothing is read or said any more, and
    /// nothing is closed.
    dies_after: usize,
}

/// After which an endpoint is given up. Longer than the machine holds up one that is there.
const SILENCE: Duration = Duration::from_secs(3);

const PLENTY: Limits = Limits { streams_max: 100, requests_max: usize::MAX, dies_after: usize::MAX };

/// An endpoint that answers by the request's path, see [`answer`].
fn endpoint(limits: Limits) -> (SocketAddr, Arc<Seen>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    listener.set_nonblocking(true).unwrap();
    let seen = Arc::new(Seen::default());
    let of_thread = seen.clone();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let (socket, _) = listener.accept().await.unwrap();
                tokio::spawn(serve(socket, limits, of_thread.clone()));
            }
        });
    });
    (address, seen)
}

async fn serve(socket: tokio::net::TcpStream, limits: Limits, seen: Arc<Seen>) {
    let is_first = seen.connections.fetch_add(1, SeqCst) == 0;
    let mut builder = h2::server::Builder::new();
    builder.max_concurrent_streams(limits.streams_max);
    let Ok(mut connection) = builder.handshake::<_, Bytes>(socket).await else { return };
    let mut served = 0;
    while let Some(Ok((request, respond))) = connection.accept().await {
        served += 1;
        seen.requests.fetch_add(1, SeqCst);
        tokio::spawn(answer(request, respond, seen.clone()));
        if is_first && served == limits.dies_after {
            let wrote = std::future::poll_fn(|context| {
                let _ = connection.poll_accept(context);
                let is_answered = seen.heads.lock().unwrap().len() >= served && seen.now.load(SeqCst) == 0;
                if is_answered { std::task::Poll::Ready(()) } else { std::task::Poll::Pending }
            });
            wrote.await;
            std::future::pending::<()>().await;
        }
        if served == limits.requests_max {
            connection.graceful_shutdown();
        }
    }
}

async fn answer(request: Request<RecvStream>, mut respond: SendResponse<Bytes>, seen: Arc<Seen>) {
    let now = seen.now.fetch_add(1, SeqCst) + 1;
    seen.together.fetch_max(now, SeqCst);
    let (parts, mut body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    seen.heads.lock().unwrap().push(Request::from_parts(parts, ()));
    let plain = || Response::builder().header("cache-control", "no-store");
    match path.as_str() {
        "/refused" if seen.resets.fetch_add(1, SeqCst) == 0 => respond.send_reset(Reason::REFUSED_STREAM),
        "/reset" => respond.send_reset(Reason::INTERNAL_ERROR),
        "/echo" => {
            let mut sending = respond.send_response(plain().body(()).unwrap(), false).unwrap();
            while let Some(Ok(piece)) = body.data().await {
                body.flow_control().release_capacity(piece.len()).unwrap();
                send(&mut sending, piece).await;
            }
            let trailers = body.trailers().await.unwrap();
            sending.send_trailers(trailers.unwrap_or_default()).unwrap();
        }
        "/early" => {
            let mut sending = respond.send_response(plain().status(413).body(()).unwrap(), false).unwrap();
            sending.send_data(Bytes::from_static(b"too much"), true).unwrap();
        }
        "/grpc" => {
            let mut sending = respond.send_response(plain().body(()).unwrap(), false).unwrap();
            sending.send_data(Bytes::from_static(b"\0\0\0\0\x02hi"), false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            sending.send_trailers(trailers).unwrap();
        }
        "/broken" => {
            let head = plain().header("content-length", "100").body(()).unwrap();
            let mut sending = respond.send_response(head, false).unwrap();
            sending.send_data(Bytes::from_static(b"half"), false).unwrap();
            // What waits to be sent, or to be read, goes with a reset: the visitor has it first.
            seen.go.notified().await;
            sending.send_reset(Reason::INTERNAL_ERROR);
        }
        "/hints" => {
            let hints = Response::builder().status(103).header("link", "</a.css>").body(()).unwrap();
            respond.send_informational(hints).unwrap();
            respond.send_response(plain().status(204).body(()).unwrap(), true).unwrap();
        }
        "/silent" => {
            let _ = std::future::poll_fn(|context| respond.poll_reset(context)).await;
            seen.resets.fetch_add(1, SeqCst);
        }
        "/large" => {
            let mut sending = respond.send_response(plain().body(()).unwrap(), false).unwrap();
            sending.reserve_capacity(usize::MAX >> 33);
            while let Some(Ok(room)) = std::future::poll_fn(|context| sending.poll_capacity(context)).await {
                if sending.send_data(Bytes::from(vec![b'x'; room]), false).is_err() {
                    break;
                }
            }
        }
        "/slow" | "/slower" | "/held" => {
            match path.as_str() {
                "/slow" => tokio::time::sleep(Duration::from_secs(1)).await,
                "/slower" => tokio::time::sleep(2 * SILENCE).await,
                _ => seen.go.notified().await,
            }
            respond.send_response(plain().status(204).body(()).unwrap(), true).unwrap();
        }
        _ => {
            let head = plain().header("content-length", "5").body(()).unwrap();
            let mut sending = respond.send_response(head, false).unwrap();
            sending.send_data(Bytes::from_static(b"hello"), true).unwrap();
        }
    }
    seen.now.fetch_sub(1, SeqCst);
}

async fn send(sending: &mut h2::SendStream<Bytes>, mut piece: Bytes) {
    while !piece.is_empty() {
        sending.reserve_capacity(piece.len());
        let room = std::future::poll_fn(|context| sending.poll_capacity(context)).await.unwrap().unwrap();
        let now = piece.split_to(room.min(piece.len()));
        sending.send_data(now, false).unwrap();
    }
}

fn before(address: SocketAddr, change: impl FnOnce(&mut Snapshot)) -> Running {
    edge(address, |snapshot| {
        snapshot.pools[0].http2 = true;
        snapshot.sites[0].routes[0].body_bytes_max = 16 << 20;
        change(snapshot);
    })
}

fn post(path: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
}

/// All at once, each on a connection of its own.
fn together(edge: &Running, count: usize, request: &str) -> Vec<String> {
    std::thread::scope(|scope| {
        let asked: Vec<_> = (0..count).map(|_| scope.spawn(|| edge.ask(request))).collect();
        asked.into_iter().map(|one| one.join().unwrap()).collect()
    })
}

#[test]
fn many_requests_share_one_connection() {
    let (address, seen) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    let answers =
        together(&edge, 50, "GET /slow HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n");
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 204 ")), "{answers:?}");
    assert_eq!(seen.connections.load(SeqCst), 1);
    assert!(seen.together.load(SeqCst) > 10, "{}", seen.together.load(SeqCst));
    let heads = seen.heads.lock().unwrap();
    assert_eq!(heads[0].uri(), "http://shop.example/slow");
    assert_eq!(heads[0].headers()["te"], "trailers");
    assert!(!heads[0].headers().contains_key("connection") && !heads[0].headers().contains_key("host"));
}

#[test]
fn what_an_endpoint_takes_at_once_is_kept() {
    let (address, seen) = endpoint(Limits { streams_max: 2, ..PLENTY });
    let edge = before(address, |_| {});
    assert!(edge.get("/", "").ends_with("hello"));
    let answers = together(&edge, 12, "GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answers.iter().all(|answer| answer.starts_with("HTTP/1.1 204 ")), "{answers:?}");
    assert!(seen.connections.load(SeqCst) > 1, "more connections, not a longer wait");
}

#[test]
fn bodies_pass_both_ways_with_their_trailers() {
    let (address, _) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    for length in [0, 1, 70_000, 3_000_000] {
        let body = "abcdefghij".repeat(length / 10 + 1)[..length].to_owned();
        let answer = edge.ask(&post("/echo", &body));
        let content = unchunked(answer.split_once("\r\n\r\n").unwrap().1);
        assert_eq!(content.len(), body.len());
        assert!(content == body, "{length}");
    }
    let chunked = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTE: trailers\r\nTrailer: X-Sum\r\n\
                   Connection: close\r\n\r\n3\r\nabc\r\n0\r\nX-Sum: 7\r\n\r\n";
    let answer = edge.ask(chunked);
    assert!(answer.ends_with("3\r\nabc\r\n0\r\nx-sum: 7\r\n\r\n"), "{answer}");
    let grpc = edge.ask(
        "POST /grpc HTTP/1.1\r\nHost: a\r\nTE: trailers\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    );
    assert!(grpc.ends_with("0\r\ngrpc-status: 0\r\n\r\n"), "{grpc}");
}

fn unchunked(mut rest: &str) -> String {
    let mut content = String::new();
    while let Some((size, behind)) = rest.split_once("\r\n") {
        let size = usize::from_str_radix(size, 16).unwrap();
        if size == 0 {
            break;
        }
        content.push_str(&behind[..size]);
        rest = &behind[size + 2..];
    }
    content
}

#[test]
fn heads_that_come_early_or_twice_reach_the_visitor() {
    let (address, _) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    let early = edge.ask(&post("/early", &"x".repeat(200_000)));
    assert!(early.starts_with("HTTP/1.1 413 ") && early.ends_with("8\r\ntoo much\r\n0\r\n\r\n"), "{early}");
    let hints = edge.ask(&post("/hints", ""));
    assert!(hints.starts_with("HTTP/1.1 103 ") && hints.contains("HTTP/1.1 204 "), "{hints}");
}

#[test]
fn what_was_refused_is_sent_again_whatever_its_method() {
    let (address, seen) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    assert!(edge.get("/", "").ends_with("hello"));
    // It was kept so long: so a DELETE in half of that time goes on it, too.
    std::thread::sleep(2 * SILENCE);
    assert!(edge.get("/", "").ends_with("hello"));
    let answer = edge.ask("DELETE /refused HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert!(answer.ends_with("hello"), "{answer}");
    assert_eq!(seen.resets.load(SeqCst), 2, "asked twice");
    // What it may have seen is not.
    let before = seen.requests.load(SeqCst);
    let reset = edge.ask(&post("/reset", ""));
    assert!(reset.contains("detail=first_byte/reset\r"), "{reset}");
    assert_eq!(seen.requests.load(SeqCst), before + 1);
    let mut visitor = TcpStream::connect(edge.address).unwrap();
    visitor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    visitor.write_all(b"GET /broken HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").unwrap();
    let (mut broken, mut byte) = (Vec::new(), [0]);
    while !broken.ends_with(b"half") {
        visitor.read_exact(&mut byte).unwrap();
        broken.push(byte[0]);
    }
    seen.go.notify_one();
    // However it ends, nothing more comes.
    let _ = visitor.read_to_end(&mut broken);
    assert!(broken.ends_with(b"half"), "{}", String::from_utf8_lossy(&broken));
}

#[test]
fn an_endpoint_that_ends_its_connections_loses_no_request() {
    let (address, seen) = endpoint(Limits { requests_max: 20, ..PLENTY });
    let edge = before(address, |snapshot| snapshot.threads = Some(2));
    let (mut failed, mut asked) = (Vec::new(), 0);
    for _ in 0..50 {
        for method in ["GET", "DELETE"] {
            let request = format!("{method} / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answers = together(&edge, 10, &request);
            asked += answers.len();
            failed.extend(answers.into_iter().filter(|answer| !answer.ends_with("hello")));
        }
    }
    assert_eq!((asked, failed), (1_000, Vec::new()));
    assert!(seen.connections.load(SeqCst) >= 1_000 / 20 / 2, "{}", seen.connections.load(SeqCst));
}

#[test]
fn a_visitor_who_leaves_takes_his_request_back_and_the_connection_stays() {
    let (address, seen) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    let until = clock::now().after(Duration::from_secs(20));
    let wait = |done: &dyn Fn() -> bool| {
        while !done() {
            assert!(clock::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    std::thread::scope(|scope| {
        // Who goes on needs the connection all the while.
        let other = scope.spawn(|| edge.ask(&post("/held", "")));
        wait(&|| seen.requests.load(SeqCst) == 1);
        let mut visitor = TcpStream::connect(edge.address).unwrap();
        visitor.write_all(b"POST /silent HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n1").unwrap();
        wait(&|| seen.requests.load(SeqCst) == 2);
        drop(visitor);
        wait(&|| seen.resets.load(SeqCst) == 1);
        seen.go.notify_one();
        assert!(other.join().unwrap().starts_with("HTTP/1.1 204 "));
    });
    assert!(edge.get("/", "").ends_with("hello"));
    assert_eq!(seen.connections.load(SeqCst), 1);
}

#[test]
fn one_that_does_not_speak_it_is_a_connection_that_failed() {
    let (address, asked) =
        common::endpoint(|_| "HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".into());
    let edge = before(address, |_| {});
    let answer = edge.ask(&post("/", "abc"));
    assert!(answer.contains("detail=connect/malformed\r"), "{answer}");
    drop(asked);
}

/// An endpoint that greets, reads what comes and says these frames without end.
fn flood(first: Vec<u8>, frames: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, first, frames) = (connection.unwrap(), first.clone(), frames.clone());
            let mut reading = connection.try_clone().unwrap();
            std::thread::spawn(move || while matches!(reading.read(&mut [0; 65_536]), Ok(1..)) {});
            std::thread::spawn(move || {
                connection.write_all(&[0, 0, 0, 4, 0, 0, 0, 0, 0]).unwrap();
                // The first request is under way by then, or what follows is refused sooner.
                std::thread::sleep(Duration::from_millis(100));
                connection.write_all(&first).unwrap();
                let many = frames.repeat(1 + 16_384 / frames.len());
                while connection.write_all(&many).is_ok() {}
            });
        }
    });
    address
}

/// Memory of this process (proc(5)).
fn resident_bytes() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4_096
}

#[test]
fn an_endpoint_that_floods_holds_up_nobody_and_is_held_to_the_time() {
    let ping = vec![0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8];
    let settings = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 1, 0, 0];
    let unknown = vec![0, 0, 1, 99, 0, 0, 0, 0, 0, 1];
    let reset = vec![0, 0, 4, 3, 0, 0, 0, 0, 1, 0, 0, 0, 8];
    let window = vec![0, 0, 4, 8, 0, 0, 0, 0, 1, 0, 0, 0, 1];
    let nothing = vec![0, 0, 0, 0, 0, 0, 0, 0, 1];
    // A head without end: fields, each of its own, in frames that go on and on.
    let begin = vec![0, 0, 1, 1, 0, 0, 0, 0, 1, 0x88];
    let mut more = vec![0, 0, 36, 9, 0, 0, 0, 0, 1];
    more.extend(b"\0\x01a\x02bb".repeat(6));
    let floods = [
        (vec![], ping),
        (vec![], settings),
        (vec![], unknown),
        (vec![], reset),
        (vec![], window),
        (vec![0, 0, 1, 1, 4, 0, 0, 0, 1, 0x88], nothing),
        (begin, more),
    ];
    for (first, frames) in floods {
        let kind = frames[3];
        let edge = before(flood(first, frames), |snapshot| {
            snapshot.pools[0].timeouts.first_byte = Duration::from_millis(500);
            snapshot.pools[0].timeouts.stall = Duration::from_millis(500);
        });
        let held = resident_bytes();
        let answer = edge.get("/", "");
        assert!(answer.starts_with("HTTP/1.1 50") || kind == 0, "{kind}: {answer}");
        // Others are answered meanwhile, by the same thread.
        let refused = edge.ask("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n");
        assert!(refused.starts_with("HTTP/1.1 400 "), "{refused}");
        let grown = resident_bytes().saturating_sub(held);
        assert!(grown < 64 << 20, "{kind}: {grown} bytes more");
    }
}

#[test]
fn an_endpoint_whose_machine_is_gone_is_noticed_and_what_is_safe_goes_elsewhere() {
    for (method, answered) in [("GET", true), ("POST", false)] {
        let (address, seen) = endpoint(Limits { dies_after: 2, ..PLENTY });
        let edge = before(address, |snapshot| snapshot.pools[0].timeouts.silence = SILENCE);
        assert!(edge.get("/", "").ends_with("hello"));
        // It was kept so long: so a POST in half of that time goes on it, too.
        std::thread::sleep(2 * SILENCE);
        assert!(edge.get("/", "").ends_with("hello"));
        let request =
            format!("{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        let began = clock::now();
        let answer = edge.ask(&request);
        assert!(clock::now().since(began) >= SILENCE, "not before it was asked for a sign of life");
        if answered {
            assert!(answer.ends_with("hello"), "{answer}");
        } else {
            assert!(answer.contains("detail=first_byte/silent\r"), "{answer}");
        }
        assert_eq!(seen.connections.load(SeqCst), 1 + usize::from(answered));
        // Nobody else is sent there.
        assert!(edge.ask(&post("/", "")).ends_with("hello"));
        assert_eq!(seen.connections.load(SeqCst), 2);
    }
}

#[test]
fn an_endpoint_that_is_slow_and_there_is_waited_for() {
    let (address, seen) = endpoint(PLENTY);
    let edge = before(address, |snapshot| snapshot.pools[0].timeouts.silence = SILENCE);
    // Not a POST the second time: where nothing is learned yet, one that comes a moment too late takes a connection of its own.
    for request in
        [post("/slower", ""), "GET /slower HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".into()]
    {
        assert!(edge.ask(&request).starts_with("HTTP/1.1 204 "));
    }
    assert_eq!(seen.connections.load(SeqCst), 1);
}

#[test]
fn what_waits_on_a_connection_is_charged_and_given_back() {
    let (address, _) = endpoint(PLENTY);
    let edge = before(address, |_| {});
    let until = |what: &str, done: &dyn Fn(u64) -> bool| {
        let latest = clock::now().after(Duration::from_secs(20));
        while !done(edge.held(Account::Buffers)) {
            assert!(clock::now() < latest, "{what}: {} bytes", edge.held(Account::Buffers));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    assert!(edge.get("/", "").ends_with("hello"));
    let standing = edge.held(Account::Buffers);
    let mut visitor = TcpStream::connect(edge.address).unwrap();
    visitor.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    // The window of one request fills, for the visitor takes nothing.
    until("content is counted", &|held| held >= standing + 128 * 1024);
    drop(visitor);
    // Buffers stay in the thread's pool.
    until("it is given back", &|held| held < standing + 100 * 1024);
}

#[test]
fn an_upgrade_goes_by_http_1() {
    let (address, asked) = common::endpoint(|_| "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n".into());
    let edge = before(address, |_| {});
    let mut visitor = TcpStream::connect(edge.address).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    visitor.write_all(request.as_bytes()).unwrap();
    let answer = common::read_head(&mut visitor).unwrap();
    assert!(answer.starts_with("HTTP/1.1 404 "), "{answer}");
    assert!(asked.lock().unwrap()[0].contains("Upgrade: websocket\r\n"));
}

#[test]
fn an_endpoint_that_never_takes_the_content_is_given_up() {
    let closed = vec![0, 0, 6, 4, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 0];
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, closed) = (connection.unwrap(), closed.clone());
            std::thread::spawn(move || {
                connection.write_all(&closed).unwrap();
                while matches!(connection.read(&mut [0; 65_536]), Ok(1..)) {}
            });
        }
    });
    let edge = before(address, |snapshot| snapshot.pools[0].timeouts.stall = Duration::from_millis(300));
    let held = resident_bytes();
    let mut visitor = TcpStream::connect(edge.address).unwrap();
    visitor.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    visitor.set_write_timeout(Some(Duration::from_secs(20))).unwrap();
    // Fails when the answer comes before all of it was taken.
    let _ = visitor.write_all(post("/", &"x".repeat(8 << 20)).as_bytes());
    let answer = common::read_head(&mut visitor).unwrap();
    assert!(answer.contains("detail=send_body/timed_out\r"), "{answer}");
    assert!(resident_bytes().saturating_sub(held) < 32 << 20, "it is not gathered here");
}

/// A port where nobody takes connections: with room in its queue they stand and say nothing, without it they never stand.
fn silent(has_room: bool) -> (SocketAddr, TcpListener, Vec<TcpStream>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let listener = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
        socket.listen(if has_room { 64 } else { 1 }).unwrap().into_std().unwrap()
    });
    let address = listener.local_addr().unwrap();
    let mut waiting = Vec::new();
    while !has_room && let Ok(one) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        waiting.push(one);
        assert!(waiting.len() < 16, "its queue never fills");
    }
    (address, listener, waiting)
}

#[test]
fn a_dial_that_hangs_gives_its_permit_back_in_time() {
    // No connection; one that says nothing where TLS, or HTTP/2, should begin.
    for (has_room, https, http2) in [
        (false, false, false),
        (false, false, true),
        (true, true, false),
        (true, false, true),
        (true, true, true),
    ] {
        let (address, _listener, _waiting) = silent(has_room);
        let edge = edge(address, |snapshot| {
            let pool = &mut snapshot.pools[0];
            pool.http2 = http2;
            pool.timeouts.connect = Duration::from_millis(300);
            // One at a time: who comes next gets the permit of the one before.
            pool.endpoints[0].requests_max = Some(1);
            pool.tls.verify = false;
            if https {
                pool.endpoints[0].scheme = Scheme::Https;
            }
        });
        let answers = together(&edge, 3, &post("/", ""));
        let is_told = |answer: &String| answer.contains("detail=connect/timed_out\r");
        assert!(answers.iter().all(is_told), "{has_room} {https} {http2}: {answers:?}");
        let cell = edge.cells.of("app", &address.to_string());
        let given_back = || cell.in_flight.load(SeqCst) == 0 && cell.open.load(SeqCst) == 0;
        let latest = clock::now().after(Duration::from_secs(20));
        while !given_back() {
            assert!(clock::now() < latest);
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
