//! Virtual users over TLS and HTTP/2, and from several addresses: certificates that are not to be believed, hosts that say
//! one thing and do another, connections and requests that are ended from the other side. Each has its own cause.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod common;

use common::{constant, plan, run, step, walking};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tentpole_load::Plan;
use tentpole_load::result::FailureCause::{self, *};
use tentpole_load::result::StepResult;
use tentpole_load::transport::{Transport, Version};
use tentpole_model::{EndpointTls, TlsFault};
use tentpole_tls::Client;

const PAGE: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello";

/// An authority, and what its certificates are for.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    fn server(&self, host: &str, is_over: bool, protocols: &[&str]) -> Arc<ServerConfig> {
        let mut params = CertificateParams::new(vec![host.to_owned()]).unwrap();
        if is_over {
            (params.not_before, params.not_after) = (date_time_ymd(2001, 1, 1), date_time_ymd(2002, 1, 1));
        }
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let mut config =
            builder.unwrap().with_no_client_auth().with_single_cert(vec![certificate.into()], key).unwrap();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        Arc::new(config)
    }

    /// What a virtual user believes who knows this authority.
    fn believed(&self) -> Transport {
        let settings =
            EndpointTls { authority: Some(self.folder.path().join("ca.pem")), ..EndpointTls::default() };
        believing(settings)
    }
}

fn believing(settings: EndpointTls) -> Transport {
    let (client, _) = Client::load(&settings).unwrap();
    Transport { tls: Some(client.without_tickets()), ..Transport::default() }
}

/// A server with a thread for each connection; its port.
fn server(serve: impl Fn(TcpStream) + Send + Sync + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = Arc::new(serve);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (stream, serve) = (stream.unwrap(), serve.clone());
            std::thread::spawn(move || serve(stream));
        }
    });
    port
}

/// The same behind TLS: answers whatever comes with these bytes.
fn secure(config: &Arc<ServerConfig>, answer: &'static [u8]) -> u16 {
    let config = config.clone();
    server(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), stream);
        let mut asked = [0; 4096];
        while stream.read(&mut asked).is_ok_and(|length| length > 0) {
            if stream.write_all(answer).is_err() {
                break;
            }
        }
    })
}

fn visiting(port: u16, transport: Transport) -> Plan {
    let mut plan = plan(&format!("https://localhost:{port}/"));
    (plan.transport, plan.connect_timeout) = (transport, Duration::from_secs(10));
    plan
}

/// In the clear, by HTTP/2.
fn streaming(port: u16) -> Plan {
    let mut plan = plan(&format!("http://127.0.0.1:{port}/"));
    plan.transport.version = Version::Http2;
    (plan.think, plan.timeout) = (Duration::from_millis(5), Duration::from_secs(10));
    plan
}

fn all_failed(step: &StepResult, cause: FailureCause) {
    assert!(step.requests > 0, "{step:#?}");
    assert_eq!(step.failures.get(&cause), Some(&step.requests), "{step:#?}");
    assert_eq!((step.failed, step.response_time), (step.requests, None));
}

#[tokio::test]
async fn a_page_is_loaded_over_tls_and_its_handshake_is_counted_apart() {
    let authority = Authority::new();
    let port = secure(&authority.server("localhost", false, &["http/1.1"]), PAGE);
    let step = step(visiting(port, authority.believed())).await;
    assert!(step.requests > 10 && step.failed == 0, "{step:#?}");
    assert_eq!((step.connects, step.http2, step.bytes), (1, 0, step.requests * 5));
    let handshake = step.handshake_time.expect("there was one");
    assert_eq!((handshake.count, step.connect_time.unwrap().count), (1, 1));
    assert!(handshake.max <= step.service_time.unwrap().max, "and it is part of the first page's time");
}

#[tokio::test]
async fn each_visitor_makes_a_whole_handshake() {
    let authority = Authority::new();
    let config = authority.server("localhost", false, &[]);
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let (seen, serving) = (kinds.clone(), config);
    let port = server(move |stream| {
        let mut stream = StreamOwned::new(ServerConnection::new(serving.clone()).unwrap(), stream);
        if stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
            seen.lock().unwrap().push(stream.conn.handshake_kind().unwrap());
            // Closed after each page, so that every one needs another handshake.
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    let step = step(visiting(port, authority.believed())).await;
    let kinds = kinds.lock().unwrap();
    assert!(step.failed == 0 && step.requests > 2, "{step:#?}");
    assert!(kinds.iter().all(|kind| *kind != rustls::HandshakeKind::Resumed), "{kinds:?}");
}

#[tokio::test]
async fn a_certificate_that_is_not_to_be_believed_is_a_cause_of_its_own() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        ("of another authority", TlsFault::Untrusted, other.server("localhost", false, &[])),
        ("for another name", TlsFault::WrongName, authority.server("shop.example", false, &[])),
        ("that is over", TlsFault::Expired, authority.server("localhost", true, &[])),
    ];
    for (which, why, config) in cases {
        let port = secure(&config, PAGE);
        let transport = authority.believed();
        let judged = step(visiting(port, transport.clone())).await;
        assert!(judged.requests > 0, "{which}");
        assert_eq!(transport.disbelief.why(), Some(why), "{which}");
        all_failed(&judged, Certificate);
        let anybody = believing(EndpointTls { verify: false, ..EndpointTls::default() });
        let run = run(visiting(port, anybody)).await;
        assert!(run.unverified && run.steps[0].failed == 0, "{which} is taken when nobody looks: {run:#?}");
    }
}

#[tokio::test]
async fn hosts_that_do_not_speak_tls_are_named() {
    let authority = Authority::new();
    let plain = server(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(PAGE);
        let _ = stream.read(&mut [0; 4096]);
    });
    all_failed(&step(visiting(plain, authority.believed())).await, Tls);
    let closes = server(|mut stream| drop(stream.read(&mut [0; 4096])));
    all_failed(&step(visiting(closes, authority.believed())).await, ClosedEarly);
    let says_nothing =
        server(|mut stream| while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {});
    let mut soon = visiting(says_nothing, authority.believed());
    soon.connect_timeout = Duration::from_millis(500);
    all_failed(&step(soon).await, ConnectTimedOut);
}

#[tokio::test]
async fn hosts_that_agree_on_one_protocol_and_speak_another_are_not_understood() {
    let authority = Authority::new();
    let lies = secure(&authority.server("localhost", false, &["h2"]), PAGE);
    all_failed(&step(visiting(lies, authority.believed())).await, Malformed);
    let garbage =
        secure(&authority.server("localhost", false, &["http/1.1"]), b"\x00\xffnothing of the kind");
    all_failed(&step(visiting(garbage, authority.believed())).await, Malformed);
    let only_http1 = secure(&authority.server("localhost", false, &[]), PAGE);
    let transport = Transport { version: Version::Http2, ..authority.believed() };
    all_failed(&step(visiting(only_http1, transport)).await, Tls);
}

/// A server of HTTP/2 by the codec's other half: answers with 100,000 bytes, or with as many as came. Each connection
/// ends properly after so many requests.
fn answering(requests_max: usize, connections: Arc<Mutex<usize>>) -> u16 {
    server(move |stream| {
        *connections.lock().unwrap() += 1;
        stream.set_nonblocking(true).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let stream = tokio::net::TcpStream::from_std(stream).unwrap();
            let mut connection = h2::server::handshake(stream).await.unwrap();
            let mut served = 0;
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                served += 1;
                if served == requests_max {
                    connection.graceful_shutdown();
                }
                tokio::spawn(async move {
                    let mut content = Vec::new();
                    let mut body = request.into_body();
                    while let Some(Ok(piece)) = body.data().await {
                        let _ = body.flow_control().release_capacity(piece.len());
                        content.extend_from_slice(&piece);
                    }
                    let length = if content.is_empty() { 100_000 } else { content.len() };
                    let response = http::Response::builder().header("x-method", "seen").body(()).unwrap();
                    let mut sending = respond.send_response(response, false).unwrap();
                    let _ = sending.send_data(vec![b'x'; length].into(), true);
                });
            }
        });
    })
}

#[tokio::test]
async fn pages_are_loaded_by_http2_one_after_the_other_on_one_connection() {
    let connections = Arc::new(Mutex::new(0));
    let port = answering(usize::MAX, connections.clone());
    let step = step(streaming(port)).await;
    assert!(step.requests > 5 && step.failed == 0, "{step:#?}");
    assert_eq!((step.http2, step.bytes), (step.requests, step.requests * 100_000));
    assert_eq!(*connections.lock().unwrap(), 1);
}

#[tokio::test]
async fn content_of_any_size_goes_out_by_http2() {
    let port = answering(usize::MAX, Arc::default());
    let body = "y".repeat(300_000);
    let journeys = format!("[[journey]]\n[[journey.step]]\npath = \"/\"\nbody = \"{body}\"\n");
    let mut plan = walking(&format!("http://127.0.0.1:{port}/"), &journeys);
    plan.transport.version = Version::Http2;
    let step = step(plan).await;
    assert!(step.requests > 0 && step.failed == 0, "{step:#?}");
    assert_eq!(step.bytes, step.requests * 300_000);
}

#[tokio::test]
async fn a_connection_that_ends_properly_costs_no_request() {
    let connections = Arc::new(Mutex::new(0));
    let port = answering(3, connections.clone());
    let step = step(streaming(port)).await;
    assert!(step.requests > 5 && step.failed == 0, "{step:#?}");
    assert!(step.connects > 1 && *connections.lock().unwrap() > 1, "{step:#?}");
}

/// A frame (RFC 9113 section 4.1).
fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = (payload.len() as u32).to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A server that sends its SETTINGS and, once a request's head came, what `answer` says to it.
fn scripted(answer: impl Fn(&mut TcpStream, u32) + Send + Sync + 'static) -> u16 {
    server(move |mut stream| {
        let _ = stream.write_all(&frame(4, 0, 0, &[]));
        let mut preface = [0; 24];
        if stream.read_exact(&mut preface).is_err() {
            return;
        }
        let mut head = [0; 9];
        while stream.read_exact(&mut head).is_ok() {
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            if stream.read_exact(&mut payload).is_err() {
                return;
            }
            let id = u32::from_be_bytes([head[5], head[6], head[7], head[8]]);
            if head[3] == 1 {
                answer(&mut stream, id);
            }
        }
    })
}

#[tokio::test]
async fn an_ended_connection_and_a_reset_request_are_told_apart() {
    // Each connection is ended before its first request was looked at.
    let storm = scripted(|stream, _| {
        let _ = stream.write_all(&frame(7, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 11]));
    });
    all_failed(&step(streaming(storm)).await, GoAway);
    let resets = scripted(|stream, id| {
        let _ = stream.write_all(&frame(3, 0, id, &[0, 0, 0, 2]));
    });
    all_failed(&step(streaming(resets)).await, StreamReset);
    let cuts = scripted(|stream, _| stream.shutdown(std::net::Shutdown::Both).unwrap());
    all_failed(&step(streaming(cuts)).await, ClosedEarly);
}

#[tokio::test]
async fn heads_without_an_end_are_given_up() {
    // A head that goes on and on (CONTINUATION): its fields are one literal after another.
    let endless = scripted(|stream, id| {
        let field = [&[0x00, 1, b'a', 100][..], &[b'b'; 100]].concat();
        let piece = field.repeat(100);
        let mut frames = frame(1, 0, id, &[&[0x88][..], &piece].concat());
        for _ in 0..200 {
            frames.extend(frame(9, 0, id, &piece));
            if stream.write_all(&frames).is_err() {
                return;
            }
            frames.clear();
        }
    });
    let judged = step(streaming(endless)).await;
    all_failed(&judged, Malformed);
    // Interim responses without a final one: status 103, literal, without an end of the stream.
    let interim = scripted(|stream, id| {
        for _ in 0..200 {
            if stream.write_all(&frame(1, 4, id, &[0x08, 3, b'1', b'0', b'3'])).is_err() {
                return;
            }
        }
    });
    all_failed(&step(streaming(interim)).await, Malformed);
    let silent = scripted(|_, _| {});
    let mut soon = streaming(silent);
    soon.timeout = Duration::from_millis(500);
    all_failed(&step(soon).await, TimedOut);
}

#[tokio::test]
async fn what_was_measured_before_a_host_turned_bad_is_kept() {
    let turned = Arc::new(Mutex::new(0));
    let port = scripted(move |stream, id| {
        let mut asked = turned.lock().unwrap();
        *asked += 1;
        let answer = match *asked {
            0..=5 => frame(1, 5, id, &[0x88]),
            _ => frame(3, 0, id, &[0, 0, 0, 1]),
        };
        let _ = stream.write_all(&answer);
    });
    let step = step(streaming(port)).await;
    assert_eq!((step.requests - step.failed, step.failures[&StreamReset]), (5, step.failed), "{step:#?}");
    assert_eq!(step.response_time.unwrap().count, 5);
}

#[tokio::test]
async fn visitors_come_from_the_addresses_that_they_were_given() {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let peers = seen.clone();
    let port = server(move |mut stream| {
        peers.lock().unwrap().insert(stream.peer_addr().unwrap().ip());
        while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
            stream.write_all(PAGE).unwrap();
        }
    });
    let mut plan = plan(&format!("http://127.0.0.1:{port}/"));
    let sources: Vec<IpAddr> =
        ["127.0.0.2", "127.0.0.3", "127.0.0.4"].map(|address| address.parse().unwrap()).to_vec();
    plan.transport.sources = sources.clone();
    (plan.shape, plan.think) = (constant(9.0, 400), Duration::from_millis(20));
    let step = step(plan).await;
    assert_eq!(step.failed, 0, "{step:#?}");
    assert_eq!(seen.lock().unwrap().iter().copied().collect::<Vec<_>>(), sources);
}

#[tokio::test]
async fn an_address_that_is_not_ours_has_no_port() {
    let mut plan = plan("http://127.0.0.1:1/");
    plan.transport.sources = vec!["192.0.2.1".parse().unwrap()];
    plan.think = Duration::from_millis(20);
    all_failed(&step(plan).await, NoPort);
}
