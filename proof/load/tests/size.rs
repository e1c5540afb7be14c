//! What a virtual user who thinks costs in memory: counted at the allocator while some are there, and while more are. The
//! server's part is not in it, and neither is what the kernel keeps for a socket.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(unsafe_code, reason = "GlobalAlloc is an unsafe trait, and counting memory needs one")]

mod common;

use common::{constant, plan};
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::future::poll_fn;
use std::io::IoSlice;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tentpole_load::Stop;
use tentpole_load::transport::{Transport, Version};
use tentpole_model::EndpointTls;
use tentpole_runtime::descriptors;
use tentpole_runtime::socket::Socket;
use tentpole_tls::Client;
use tokio::runtime::LocalOptions;

struct Counting;

/// Bytes that are taken, by all threads but the servers'.
static TAKEN: AtomicI64 = AtomicI64::new(0);

thread_local! {
    static IS_SERVER: Cell<bool> = const { Cell::new(false) };
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// As the C library counts: 8 bytes for itself, in steps of 16, 32 at least.
fn count(size: usize, sign: i64) {
    if !IS_SERVER.try_with(Cell::get).unwrap_or(false) {
        TAKEN.fetch_add(sign * (size + 8).next_multiple_of(16).max(32) as i64, Relaxed);
    }
}

// SAFETY: every call goes unchanged to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// How many visitors are there, when their memory is compared.
const FEW: usize = 128;
const MANY: usize = 512;
/// 300,000 of them in 5 GB.
const BYTES_MAX: i64 = 5_000_000_000 / 300_000;

const PAGE: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nServer: size\r\n\r\nhello";

#[derive(Clone, Copy, PartialEq)]
enum Speaks {
    Http1,
    Http1OverTls,
    Http2OverTls,
}

fn config(speaks: Speaks) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap();
    config.alpn_protocols =
        vec![if speaks == Speaks::Http2OverTls { b"h2".to_vec() } else { b"http/1.1".to_vec() }];
    Arc::new(config)
}

/// A server on a thread of its own; its port, and how many pages it has answered.
fn server(speaks: Speaks) -> (u16, Arc<AtomicUsize>) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let answered = Arc::new(AtomicUsize::new(0));
    let counted = answered.clone();
    std::thread::spawn(move || {
        IS_SERVER.set(true);
        let config = config(speaks);
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build_local(LocalOptions::default()).unwrap().block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).unwrap();
            loop {
                let mut socket = Socket::new(listener.accept().await.unwrap().0);
                if speaks != Speaks::Http1 {
                    socket.secure(tentpole_tls::server(config.clone()).unwrap());
                }
                tokio::task::spawn_local(serve(socket, speaks, counted.clone()));
            }
        });
    });
    (port, answered)
}

async fn serve(mut socket: Socket, speaks: Speaks, answered: Arc<AtomicUsize>) {
    if poll_fn(|context| socket.poll_handshake(context)).await.is_err() {
        return;
    }
    let mut came = Vec::new();
    loop {
        match poll_fn(|context| socket.poll_fill(context, 1 << 16)).await {
            Ok(0) | Err(_) => return,
            Ok(_) => came.extend_from_slice(socket.filled()),
        }
        socket.consume(socket.filled().len());
        let (answer, pages) = match speaks {
            Speaks::Http2OverTls => answers_to_frames(&mut came),
            _ if came.ends_with(b"\r\n\r\n") => {
                came.clear();
                (PAGE.to_vec(), 1)
            }
            _ => continue,
        };
        let mut sent = 0;
        while sent < answer.len() {
            let rest = [IoSlice::new(&answer[sent..])];
            match poll_fn(|context| socket.poll_write(context, &rest)).await {
                Ok(count) => sent += count,
                Err(_) => return,
            }
        }
        answered.fetch_add(pages, Relaxed);
    }
}

/// SETTINGS for SETTINGS, and a page whose head goes into the table for each request.
fn answers_to_frames(came: &mut Vec<u8>) -> (Vec<u8>, usize) {
    let (mut answer, mut pages) = (Vec::new(), 0);
    if came.starts_with(b"PRI") {
        came.drain(..24.min(came.len()));
        answer.extend(frame(4, 0, 0, &[]));
    }
    while came.len() >= 9 {
        let length = u32::from_be_bytes([0, came[0], came[1], came[2]]) as usize;
        if came.len() < 9 + length {
            break;
        }
        let (kind, flags) = (came[3], came[4]);
        let stream = u32::from_be_bytes([came[5], came[6], came[7], came[8]]);
        came.drain(..9 + length);
        match (kind, flags) {
            (4, 0) => answer.extend(frame(4, 1, 0, &[])),
            (1, _) => {
                let mut lines = vec![0x88];
                for number in 0..8_u8 {
                    lines.extend([0x40, 8]);
                    lines.extend(format!("x-name-{number}").bytes());
                    lines.push(40);
                    lines.extend([b'v'; 40]);
                }
                answer.extend(frame(1, 4, stream, &lines));
                answer.extend(frame(0, 1, stream, b"hello"));
                pages += 1;
            }
            _ => {}
        }
    }
    (answer, pages)
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// Bytes that are taken while so many visitors have their page and think.
fn taken_by(visitors: usize, speaks: Speaks) -> i64 {
    let (port, answered) = server(speaks);
    let scheme = if speaks == Speaks::Http1 { "http" } else { "https" };
    let mut plan = plan(&format!("{scheme}://localhost:{port}/"));
    if speaks != Speaks::Http1 {
        let (client, _) = Client::load(&EndpointTls { verify: false, ..EndpointTls::default() }).unwrap();
        plan.transport = Transport { tls: Some(client.without_tickets()), ..Transport::default() };
    }
    plan.transport.version = if speaks == Speaks::Http2OverTls { Version::Http2 } else { Version::Http1 };
    (plan.think, plan.shape) = (Duration::from_secs(1_000), constant(visitors as f64, 600_000));
    (plan.timeout, plan.connect_timeout) = (Duration::from_secs(60), Duration::from_secs(60));
    let stop = Stop::default();
    let stopping = stop.clone();
    let running = std::thread::spawn(move || tentpole_load::run(plan, &stopping, &mut |_| {}).unwrap());
    // All have asked, and nothing has changed for a while.
    let mut same = 0;
    let mut before = 0;
    while same < 10 {
        std::thread::sleep(Duration::from_millis(30));
        let now = TAKEN.load(Relaxed);
        same = if answered.load(Relaxed) == visitors && now == before { same + 1 } else { 0 };
        before = now;
    }
    stop.now();
    let run = running.join().unwrap();
    assert!(run.steps.iter().all(|step| step.failed == 0), "{run:#?}");
    before
}

/// One of many more: what all have together counts for nobody.
fn bytes_of_one(speaks: Speaks) -> i64 {
    descriptors::raise_limit();
    (taken_by(MANY, speaks) - taken_by(FEW, speaks)) / (MANY - FEW) as i64
}

#[test]
fn three_hundred_thousand_who_think_have_room_in_five_gigabytes() {
    // One after another: all are counted together.
    for (name, speaks, wanted) in [
        ("HTTP/1.1", Speaks::Http1, 4 * 1024),
        ("HTTP/1.1 over TLS", Speaks::Http1OverTls, BYTES_MAX),
        ("HTTP/2 over TLS", Speaks::Http2OverTls, BYTES_MAX),
    ] {
        let bytes = bytes_of_one(speaks);
        println!("{name}: {bytes} bytes");
        assert!(bytes > 500, "{name}: {bytes} bytes cannot be all");
        assert!(bytes <= wanted, "{name}: {bytes} bytes, wanted {wanted}");
    }
}
