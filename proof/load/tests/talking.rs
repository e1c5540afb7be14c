//! Virtual users over WebSockets: what is sent is masked and whole, answers are waited for, pings answered, and what is no
//! WebSocket has its cause. The server here reads every frame by the standard's letter (RFC 6455) and hangs up otherwise.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{constant, step, walking};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_load::Plan;
use tentpole_load::result::FailureCause::*;

/// A server with a thread for each connection; its URL.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            stream.set_nodelay(true).unwrap();
            std::thread::spawn(move || serve(stream));
        }
    });
    url
}

/// Reads a request's head; its key.
fn asked(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte).unwrap();
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).unwrap();
    let field = |name: &str| {
        let line = head.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name} in {head}")).to_owned()
    };
    assert!(head.starts_with("GET /live HTTP/1.1\r\n"), "{head}");
    assert_eq!((field("Upgrade"), field("Connection")), ("websocket".to_owned(), "Upgrade".to_owned()));
    assert_eq!(field("Sec-WebSocket-Version"), "13");
    field("Sec-WebSocket-Key")
}

fn welcome(stream: &mut TcpStream) {
    use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
    let key = asked(stream);
    let hash =
        digest(&SHA1_FOR_LEGACY_USE_ONLY, format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11").as_bytes());
    let answer = base64(hash.as_ref());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {answer}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
}

/// RFC 4648 section 4, by bits.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |nth| byte >> nth & 1)).collect();
    let mut text: String = bits
        .chunks(6)
        .map(|six| {
            let mut six = six.to_vec();
            six.resize(6, 0);
            char::from(DIGITS[six.iter().fold(0, |value, bit| value << 1 | usize::from(*bit))])
        })
        .collect();
    while !text.len().is_multiple_of(4) {
        text.push('=');
    }
    text
}

/// A client's frame: its kind and content, unmasked. `None` at the end; panics on what no client may send.
fn frame(stream: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let mut head = [0; 2];
    stream.read_exact(&mut head).ok()?;
    assert_eq!((head[0] & 0xf0, head[1] & 0x80), (0x80, 0x80), "whole and masked");
    let length = match head[1] & 0x7f {
        126 => {
            let mut length = [0; 2];
            stream.read_exact(&mut length).unwrap();
            usize::from(u16::from_be_bytes(length))
        }
        127 => {
            let mut length = [0; 8];
            stream.read_exact(&mut length).unwrap();
            u64::from_be_bytes(length) as usize
        }
        length => usize::from(length),
    };
    let (mut mask, mut content) = ([0; 4], vec![0; length]);
    stream.read_exact(&mut mask).unwrap();
    stream.read_exact(&mut content).unwrap();
    content.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
    Some((head[0] & 0x0f, content))
}

fn say(stream: &mut TcpStream, first: u8, content: &[u8]) {
    let mut frame = vec![first];
    match content.len() {
        length @ 0..=125 => frame.push(length as u8),
        length => {
            frame.push(126);
            frame.extend((length as u16).to_be_bytes());
        }
    }
    frame.extend(content);
    let _ = stream.write_all(&frame);
}

fn talking(url: &str, more: &str) -> Plan {
    let journeys = format!("[[journey]]\n[[journey.step]]\nwebsocket = \"/live\"\n{more}\n");
    let mut plan = walking(url, &journeys);
    (plan.timeout, plan.think) = (Duration::from_secs(10), Duration::from_millis(10));
    plan
}

#[tokio::test]
async fn messages_go_out_masked_and_answers_are_waited_for() {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let kept = heard.clone();
    let url = server(move |mut stream| {
        welcome(&mut stream);
        while let Some((kind, content)) = frame(&mut stream) {
            match kind {
                1 => {
                    // News for all comes first, a ping, and then the answer in two parts.
                    say(&mut stream, 0x81, b"news");
                    say(&mut stream, 0x89, b"there?");
                    let Some(answer) = frame(&mut stream) else { return };
                    assert_eq!(answer, (10, b"there?".to_vec()), "a ping is answered");
                    say(&mut stream, 0x01, b"echo ");
                    say(&mut stream, 0x80, &content[..content.len().min(200)]);
                    kept.lock().unwrap().push(content.len());
                }
                8 => {
                    kept.lock().unwrap().push(0);
                    return;
                }
                other => panic!("a frame of kind {other}"),
            }
        }
    });
    let long = "x".repeat(70_000);
    let more = format!(
        "talk = [{{ send = \"hello\", expect = \"echo hello\" }}, {{ send = \"{long}\", expect = \"echo xxx\" }}]\n\
         hold = \"20ms\"\n"
    );
    let mut plan = talking(&url, &more);
    plan.shape = constant(1.0, 1_000);
    let step = step(plan).await;
    assert!(step.requests > 1 && step.failed == 0, "{step:#?}");
    assert_eq!((step.statuses[&101], step.connects), (step.requests, step.requests));
    let messages = step.message_time.expect("there were answers");
    assert_eq!(messages.count, step.requests * 2);
    let heard = heard.lock().unwrap();
    assert!(heard.starts_with(&[5, 70_000, 0]), "two messages and a proper end: {heard:?}");
}

#[tokio::test]
async fn a_held_websocket_is_open_for_as_long_as_it_was_told() {
    let open = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let (now, seen) = (open.clone(), most.clone());
    let url = server(move |mut stream| {
        welcome(&mut stream);
        seen.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
        while frame(&mut stream).is_some() {}
        now.fetch_sub(1, SeqCst);
    });
    let mut plan = talking(&url, "hold = \"10s\"\n");
    plan.shape = constant(20.0, 2_000);
    let step = step(plan).await;
    assert_eq!((step.requests, step.failed, most.load(SeqCst)), (20, 0, 20), "{step:#?}");
}

#[tokio::test]
async fn what_is_no_websocket_has_its_cause() {
    let page = server(|mut stream| {
        asked(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    });
    let refused = server(|mut stream| {
        asked(&mut stream);
        let _ = stream.write_all(b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    });
    let wrong_answer = server(|mut stream| {
        asked(&mut stream);
        let _ = stream.write_all(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
              Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n",
        );
        let _ = stream.read(&mut [0; 64]);
    });
    let masked = server(|mut stream| {
        welcome(&mut stream);
        frame(&mut stream);
        let _ = stream.write_all(&[0x81, 0x82, 1, 2, 3, 4, 5, 6]);
        while frame(&mut stream).is_some() {}
    });
    let hangs_up = server(|mut stream| {
        welcome(&mut stream);
        frame(&mut stream);
    });
    let silent = server(|mut stream| {
        welcome(&mut stream);
        while frame(&mut stream).is_some() {}
    });
    let cases = [
        (page, NoWebsocket),
        (refused, Status4xx),
        (wrong_answer, NoWebsocket),
        (masked, Malformed),
        (hangs_up, ClosedEarly),
        (silent, TimedOut),
    ];
    for (url, cause) in cases {
        let mut plan = talking(&url, "talk = [{ send = \"a\", expect = \"b\" }]\n");
        if cause == TimedOut {
            plan.timeout = Duration::from_millis(500);
        }
        let judged = step(plan).await;
        assert!(judged.requests > 0, "{cause:?}: {judged:#?}");
        assert_eq!(judged.failures.get(&cause), Some(&judged.requests), "{cause:?}: {judged:#?}");
        assert_eq!(judged.response_time, None);
    }
}

#[tokio::test]
async fn one_that_breaks_while_it_is_held_is_a_failure() {
    let url = server(|mut stream| {
        welcome(&mut stream);
        say(&mut stream, 0x88, &1001_u16.to_be_bytes());
    });
    let step = step(talking(&url, "hold = \"10s\"\n")).await;
    assert!(step.failures[&ClosedEarly] > 0 && step.requests > step.failed, "{step:#?}");
}
