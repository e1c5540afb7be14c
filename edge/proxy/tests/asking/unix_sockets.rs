//! An application that listens at a Unix socket instead of a port.

#![allow(clippy::unwrap_used, reason = "a test, with helpers outside its functions")]

use crate::common::edge;
use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::atomic::Ordering::Relaxed;
use tentpole_model::{AT_UNIX_SOCKET, Snapshot};

/// Answers every request with its head and content.
fn echo(path: &Path) {
    let listener = UnixListener::bind(path).unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.unwrap();
            std::thread::spawn(move || while answer(&connection).is_some() {});
        }
    });
}

fn answer(mut connection: &UnixStream) -> Option<()> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if connection.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    let text = String::from_utf8(head).unwrap();
    let length = text
        .split_once("Content-Length: ")
        .map_or(0, |(_, rest)| rest.split_once("\r\n").unwrap().0.parse().unwrap());
    let mut content = vec![0; length];
    connection.read_exact(&mut content).ok()?;
    let body = text + &String::from_utf8(content).unwrap();
    write!(connection, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()).ok()
}

fn at(socket: &Path) -> impl FnOnce(&mut Snapshot) {
    let path = socket.to_str().unwrap().to_owned();
    move |snapshot| {
        let endpoint = &mut snapshot.pools[0].endpoints[0];
        (endpoint.host, endpoint.port) = (path, 0);
    }
}

#[test]
fn http_is_spoken_to_a_unix_socket_and_connections_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("app.sock");
    let edge = edge(AT_UNIX_SOCKET, at(&socket));
    assert!(edge.get("/", "").starts_with("HTTP/1.1 502"), "nobody is there yet");
    echo(&socket);
    for number in 0..10 {
        let answer = edge.get(&format!("/{number}"), "");
        assert!(answer.contains(&format!("GET /{number} HTTP/1.1\r\nHost: shop.example\r\n")), "{answer}");
    }
    let answer =
        edge.ask("POST /form HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\na=1");
    assert!(answer.ends_with("\r\n\r\na=1"), "{answer}");
    let cell = &edge.cells.all()[0];
    assert_eq!(cell.authority, format!("unix:{}", socket.display()));
    assert!(cell.connects.load(Relaxed) <= 2, "{} connections for 11 requests", cell.connects.load(Relaxed));
}
