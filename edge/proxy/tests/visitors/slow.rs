//! Visitors who hold on to what they have by moving a byte now and then: they are cut off, and others notice nothing.

#![allow(clippy::unwrap_used, reason = "the helpers of a test fail it by panicking")]

use crate::common::{Running, edge, endpoint};
use crate::frames::{self, END_STREAM, Raw, SETTINGS, WINDOW_UPDATE, frame, request};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tentpole_model::Refused;
use tentpole_runtime::clock;

const LARGE: usize = 32 << 20;
/// Who moves a byte now and then does not stand still so long.
const FAR_LONGER: Duration = Duration::from_secs(60);

fn house(stall_time: Duration) -> Running {
    let large = "x".repeat(LARGE);
    let (address, _) = endpoint(move |head| match head.split(' ').take(2).collect::<Vec<_>>()[..] {
        // It waits for the rest.
        ["POST", _] => String::new(),
        [_, "/large"] => {
            format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {LARGE}\r\n\r\n{large}")
        }
        _ => "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok".to_owned(),
    });
    edge(address, |snapshot| {
        let limits = &mut snapshot.visitors;
        (limits.pace_min, limits.pace_grace) = (20_000, Duration::from_millis(300));
        limits.stall_time = stall_time;
    })
}

/// Calls `step` again and again, a little apart, until it says that the connection is over.
fn until_cut_off(edge: &Running, mut step: impl FnMut() -> bool) {
    let began = clock::now();
    while step() {
        assert!(clock::now().since(began) < Duration::from_secs(20), "still served");
        // The pace of this visitor, which is what is tested.
        std::thread::sleep(Duration::from_millis(20));
        assert!(edge.get("/small", "").ends_with("ok"), "others are served meanwhile");
    }
}

fn refused(edge: &Running, why: Refused) -> u64 {
    let metrics = edge.observed.metrics();
    metrics.iter().map(|thread| thread.refused[why as usize].load(Ordering::Relaxed)).sum()
}

/// Whether a request failed.
fn failed(edge: &Running) -> bool {
    let metrics = edge.observed.metrics();
    metrics.iter().flat_map(|thread| &thread.failures).any(|count| count.load(Ordering::Relaxed) > 0)
}

/// Waits until the request is counted as failed.
fn until_failed(edge: &Running) {
    let began = clock::now();
    while !failed(edge) {
        assert!(clock::now().since(began) < Duration::from_secs(20), "nothing failed");
        std::thread::yield_now();
    }
}

#[test]
fn a_body_that_trickles_is_refused() {
    let edge = house(FAR_LONGER);
    let mut slow = TcpStream::connect(edge.address).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").unwrap();
    until_cut_off(&edge, || slow.write_all(b"x").is_ok() && refused(&edge, Refused::BodyTooSlow) == 0);
    assert_eq!(refused(&edge, Refused::BodyTooSlow), 1);
    let mut answer = String::new();
    let _ = slow.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 408 ") && answer.contains("detail=body_too_slow"), "{answer}");
}

#[test]
fn a_body_of_http2_that_trickles_is_refused() {
    let edge = house(FAR_LONGER);
    let mut slow = Raw::connect(edge.address);
    slow.send(&request(1, 0, "POST", "/", &[(b"content-length", b"100000")]));
    until_cut_off(&edge, || {
        slow.send(&frame(frames::DATA, 0, 1, b"x")) && refused(&edge, Refused::BodyTooSlow) == 0
    });
    assert_eq!(refused(&edge, Refused::BodyTooSlow), 1);
}

#[test]
fn who_reads_a_trickle_is_cut_off() {
    // What the kernel has taken already moves in large pieces only: between two of them he stands still.
    let edge = house(Duration::from_millis(500));
    let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    socket.set_recv_buffer_size(4_096).unwrap();
    socket.connect(&edge.address.into()).unwrap();
    let mut slow = TcpStream::from(socket);
    slow.write_all(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let mut some = [0; 64];
    until_cut_off(&edge, || slow.read(&mut some).is_ok_and(|count| count > 0) && !failed(&edge));
    until_failed(&edge);
}

#[test]
fn a_window_of_http2_that_opens_a_byte_at_a_time_is_closed() {
    let edge = house(FAR_LONGER);
    let mut slow = Raw::connect(edge.address);
    // SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113 section 6.5.2).
    slow.send(&frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 1]));
    slow.send(&request(1, END_STREAM, "GET", "/large", &[]));
    until_cut_off(&edge, || slow.send(&frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes())) && !failed(&edge));
    until_failed(&edge);
}
