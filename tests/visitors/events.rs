//! Server-sent events arrive one by one as they are made, through a reload too, and end with whoever listens.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::process::Stdio;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use tentpole_testkit::Ask;
use tentpole_testkit::gate::PATIENCE;
use tentpole_tests::https::{self, Https, WAYS, Way};

/// An endpoint that sends an event when it is told to, and says when nobody listens any more.
struct Endpoint {
    address: SocketAddr,
    events: Option<SyncSender<String>>,
    left: Receiver<bool>,
}

impl Endpoint {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let (events, to_send) = sync_channel::<String>(1);
        let (leaves, left) = sync_channel(1);
        std::thread::spawn(move || {
            let (mut connection, _) = listener.accept().expect("a connection");
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                connection.read_exact(&mut byte).expect("a head");
                head.push(byte[0]);
            }
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-store\r\n\
                        Transfer-Encoding: chunked\r\n\r\n";
            connection.write_all(head.as_bytes()).expect("it listens");
            for event in to_send {
                let chunk = format!("{:x}\r\n{event}\r\n", event.len());
                connection.write_all(chunk.as_bytes()).expect("it listens");
            }
            // Nothing more is sent: only by its closing can be seen that nobody listens.
            connection.set_read_timeout(Some(PATIENCE)).expect("a time");
            let ended = match connection.read(&mut [0; 10]) {
                Ok(count) => count == 0,
                Err(error) => error.kind() == std::io::ErrorKind::ConnectionReset,
            };
            leaves.send(ended).expect("somebody waits");
        });
        Self { address, events: Some(events), left }
    }

    /// Sends one, and waits for its line: no other comes that could push it on.
    fn arrives(&self, number: u32, lines: &Receiver<String>) {
        self.events.as_ref().expect("it sends").send(format!("data: {number}\n\n")).expect("it sends");
        let expected = [format!("data: {number}"), String::new()];
        for line in expected {
            assert_eq!(lines.recv_timeout(PATIENCE), Ok(line), "event {number}");
        }
    }
}

async fn listens(way: Way) {
    let mut endpoint = Endpoint::start();
    let text = |connections: u32| {
        format!(
            "threads = 1\n[limits]\nhttp2_without_tls = true\nconnections = {connections}\n{}\
             [pool.app]\nendpoints = [\"http://{}\"]\n",
            https::LINES,
            endpoint.address
        )
    };
    let https = Https::start(&text(1_000)).await;
    let mut curl = https.curl(way, "/events");
    let mut curl = curl.stdout(Stdio::piped()).spawn().expect("curl runs; apt-get install curl");
    let output = curl.stdout.take().expect("it is ours");
    let (line_came, lines) = sync_channel(1);
    std::thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            if line_came.send(line).is_err() {
                break;
            }
        }
    });
    for number in 0..3 {
        endpoint.arrives(number, &lines);
    }
    std::fs::write(https.tentpole.dir().join("tentpole.toml"), text(1_001)).expect("it is writable");
    https.tentpole.admin_visitor().await.ask(&Ask::post("/api/reload", "")).await.expect(200);
    for number in 3..6 {
        endpoint.arrives(number, &lines);
    }
    endpoint.events = None;
    curl.kill().expect("it is ours");
    curl.wait().expect("it is ours");
    assert_eq!(endpoint.left.recv_timeout(PATIENCE), Ok(true), "the endpoint goes on for nobody");
    https.tentpole.ends().await;
}

#[tokio::test]
async fn events_arrive_one_by_one_through_a_reload_and_end_by_each_way() {
    for way in WAYS {
        listens(way).await;
    }
}
