//! What stays open over HTTP/2: WebSockets (RFC 8441), and responses that come bit by bit.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::{edge, read_head};
use crate::frames::{self, connected, get, read};
use bytes::Bytes;
use h2::ext::Protocol;
use http::{Method, Request};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

/// An endpoint whose connections are talked to by the test.
fn by_hand(talk: impl Fn(TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().for_each(|connection| talk(connection.unwrap())));
    address
}

/// The answer to a challenge (RFC 6455 section 4.2.2), reckoned apart from the code under test.
fn answer(head: &str) -> String {
    let key = head.lines().find_map(|line| line.strip_prefix("sec-websocket-key: ")).expect("a challenge");
    let magic = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    let hash = ring::digest::digest(&ring::digest::SHA1_FOR_LEGACY_USE_ONLY, magic.as_bytes());
    let digits = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let bits: String = hash.as_ref().iter().map(|byte| format!("{byte:08b}")).collect();
    let mut text: String = bits
        .as_bytes()
        .chunks(6)
        .map(|six| format!("{:0<6}", std::str::from_utf8(six).unwrap()))
        .map(|six| char::from(digits[usize::from_str_radix(&six, 2).unwrap()]))
        .collect();
    text.push('=');
    text
}

fn socket_request() -> Request<()> {
    let request = Request::builder().method(Method::CONNECT).uri("http://shop.example/chat?room=1");
    let request = request.extension(Protocol::from_static("websocket"));
    request.header("sec-websocket-version", "13").header("sec-websocket-protocol", "chat").body(()).unwrap()
}

fn switches(head: &str) -> String {
    let answer = answer(head);
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Accept: {answer}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    )
}

#[test]
fn a_websocket_is_a_handshake_of_http_1_and_then_bytes_both_ways() {
    let (heard, heads) = sync_channel(1);
    let address = by_hand(move |mut connection| {
        let head = read_head(&mut connection).unwrap();
        connection.write_all(switches(&head).as_bytes()).unwrap();
        heard.send(head).unwrap();
        let mut bytes = [0; 1024];
        loop {
            let count = connection.read(&mut bytes).unwrap();
            if count == 0 {
                break;
            }
            connection.write_all(&bytes[..count].to_ascii_uppercase()).unwrap();
        }
        connection.write_all(b"bye").unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, mut sending) = ready.send_request(socket_request(), false).unwrap();
        let (parts, mut incoming) = response.await.unwrap().into_parts();
        assert_eq!(parts.status, 200);
        assert!(ready.is_extended_connect_protocol_enabled());
        assert_eq!(parts.headers["sec-websocket-protocol"], "chat");
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!parts.headers.contains_key(name), "{name}");
        }
        for word in ["hello", "again"] {
            sending.send_data(Bytes::from(word), false).unwrap();
            assert_eq!(incoming.data().await.unwrap().unwrap(), word.to_uppercase());
        }
        sending.send_data(Bytes::new(), true).unwrap();
        assert_eq!(incoming.data().await.unwrap().unwrap(), "bye");
        while let Some(rest) = incoming.data().await {
            assert_eq!(rest.unwrap(), "");
        }
    });
    let head: String = heads.recv().unwrap();
    assert!(head.starts_with("GET /chat?room=1 HTTP/1.1\r\nHost: shop.example\r\n"), "{head}");
    for line in ["Connection: Upgrade", "Upgrade: websocket", "sec-websocket-version: 13"] {
        assert!(head.contains(&format!("\r\n{line}\r\n")), "{line}: {head}");
    }
}

#[test]
fn a_handshake_that_is_answered_wrongly_opens_nothing() {
    let address = by_hand(|mut connection| {
        let head = read_head(&mut connection).unwrap();
        let wrong = switches(&head).replace("Accept: ", "Accept: A");
        connection.write_all(wrong.as_bytes()).unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, _sending) = ready.send_request(socket_request(), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 502);
    });
}

#[test]
fn an_answer_that_opens_no_tunnel_is_passed_on_but_success_would_look_like_one() {
    let address = by_hand(|mut connection| {
        let head = read_head(&mut connection).unwrap();
        let status = if head.contains("room=1") { "403 Forbidden" } else { "200 OK" };
        let answer = format!("HTTP/1.1 {status}\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
        connection.write_all(answer.as_bytes()).unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, _sending) = ready.send_request(socket_request(), false).unwrap();
        let answer = read(response).await.unwrap();
        assert_eq!((answer.status, answer.text().as_str()), (403, "no"));
        let mut request = socket_request();
        *request.uri_mut() = "http://shop.example/chat".parse().unwrap();
        let mut ready = ready.ready().await.unwrap();
        let (response, _sending) = ready.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 502);
    });
}

#[test]
fn another_protocol_than_websocket_is_refused() {
    let address = by_hand(|_| panic!("nobody is to be asked"));
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut request = socket_request();
        request.extensions_mut().insert(Protocol::from_static("connect-udp"));
        let mut ready = client.ready().await.unwrap();
        let (response, _sending) = ready.send_request(request, false).unwrap();
        assert_eq!(response.await.unwrap().status(), 405);
    });
}

#[test]
fn a_websocket_that_the_visitor_resets_closes_at_the_endpoint() {
    let (closing, closed) = sync_channel(1);
    let address = by_hand(move |mut connection| {
        let head = read_head(&mut connection).unwrap();
        connection.write_all(switches(&head).as_bytes()).unwrap();
        let ended = connection.read(&mut [0; 10]);
        closing.send(matches!(ended, Ok(0) | Err(_))).unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, mut sending) = ready.send_request(socket_request(), false).unwrap();
        assert_eq!(response.await.unwrap().status(), 200);
        sending.send_reset(h2::Reason::CANCEL);
        let closed = tokio::task::spawn_blocking(move || closed.recv_timeout(frames::PATIENCE));
        assert!(closed.await.unwrap().unwrap());
    });
}

#[test]
fn events_arrive_one_by_one_and_stop_when_nobody_listens() {
    let (go, gone_ahead) = sync_channel(1);
    let (closing, closed) = sync_channel(1);
    let gone_ahead = std::sync::Mutex::new(gone_ahead);
    let address = by_hand(move |mut connection| {
        read_head(&mut connection).unwrap();
        let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\r\n";
        connection.write_all(head.as_bytes()).unwrap();
        for number in 0..3 {
            gone_ahead.lock().unwrap().recv().unwrap();
            connection.write_all(format!("data: {number}\n\n").as_bytes()).unwrap();
        }
        // Nothing more is written: only by its closing can the endpoint see that nobody listens.
        connection.set_read_timeout(Some(Duration::from_secs(15))).unwrap();
        closing.send(matches!(connection.read(&mut [0; 10]), Ok(0))).unwrap();
    });
    let edge = edge(address, |_| {});
    connected(edge.address, |client| async move {
        let mut ready = client.ready().await.unwrap();
        let (response, mut sending) = ready.send_request(get("/events"), true).unwrap();
        let (parts, mut incoming) = response.await.unwrap().into_parts();
        assert_eq!(parts.headers["content-type"], "text/event-stream");
        for number in 0..3 {
            go.send(()).unwrap();
            assert_eq!(incoming.data().await.unwrap().unwrap(), format!("data: {number}\n\n"));
        }
        sending.send_reset(h2::Reason::CANCEL);
        let closed = tokio::task::spawn_blocking(move || closed.recv_timeout(frames::PATIENCE));
        assert!(closed.await.unwrap().unwrap(), "the endpoint goes on for nobody");
    });
}
