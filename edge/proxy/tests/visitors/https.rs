//! Visitors behind TLS: versions, certificates by name, resumption, what is no TLS at all, bodies both ways, tunnels,
//! client certificates, and files that change. By rustls' own client, as browsers would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

#[path = "https/certificates.rs"]
mod certificates;
use crate::common::{self, Running, edge, endpoint, read_head};
use crate::frames;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::client::Resumption;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, HandshakeKind, ProtocolVersion, RootCertStore, StreamOwned};
use rustls::{SupportedProtocolVersion, version};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tempfile::TempDir;
use tentpole_model::{CertificateFiles, HandshakeFault, Network, Snapshot, TlsSettings, TlsVersion};

const HELLO: &str = "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhello";
const BOTH: &[&SupportedProtocolVersion] = &[&version::TLS13, &version::TLS12];

/// An authority and a folder of certificates that it signed.
struct Authority {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
    root: CertificateDer<'static>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let root = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.crt"), root.pem()).unwrap();
        Self { folder, root: root.der().clone(), issuer: Issuer::new(params, key) }
    }

    /// Signs a certificate for these hosts, and writes it as `name.pem` and `name.key`.
    fn signs(&self, name: &str, hosts: &[&str]) -> CertificateFiles {
        let params = CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>());
        let key = KeyPair::generate().unwrap();
        let certificate = params.unwrap().signed_by(&key, &self.issuer).unwrap();
        let at = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        std::fs::write(at("pem"), certificate.pem()).unwrap();
        std::fs::write(at("key"), key.serialize_pem()).unwrap();
        std::fs::set_permissions(at("key"), std::fs::Permissions::from_mode(0o600)).unwrap();
        CertificateFiles { chain: at("pem"), key: at("key") }
    }

    /// A client that believes it, and keeps its tickets to itself.
    fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> Arc<ClientConfig> {
        Arc::new(self.builder(versions).with_no_client_auth())
    }

    fn builder(
        &self,
        versions: &[&'static SupportedProtocolVersion],
    ) -> rustls::ConfigBuilder<ClientConfig, rustls::client::WantsClientCert> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
    }
}

type Client = StreamOwned<ClientConnection, TcpStream>;

fn connect(address: SocketAddr, config: &Arc<ClientConfig>, host: &str) -> Client {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let name = ServerName::try_from(host.to_owned()).unwrap();
    StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), stream)
}

/// Sends one request and reads until the end of the connection, which must be a proper one.
fn ask(client: &mut Client, request: &str) -> std::io::Result<String> {
    client.write_all(request.as_bytes())?;
    let mut answer = String::new();
    client.read_to_string(&mut answer)?;
    Ok(answer)
}

fn get(host: &str) -> String {
    format!("GET /a HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")
}

/// An edge with these certificates before an endpoint that says hello.
fn https_edge(
    certificates: Vec<CertificateFiles>,
    change: impl FnOnce(&mut Snapshot),
) -> (Running, common::Asked, SocketAddr) {
    let (address, asked) = endpoint(|_| HELLO.into());
    let edge = edge(address, |snapshot| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        snapshot.tls = TlsSettings { listen, certificates, ..TlsSettings::default() };
        change(snapshot);
    });
    let https = edge.https.unwrap();
    (edge, asked, https)
}

fn failed(edge: &Running, fault: HandshakeFault) -> u64 {
    let all = edge.observed.metrics();
    all.iter().map(|thread| thread.handshake_faults[fault as usize].load(Ordering::Relaxed)).sum()
}

fn shaken(edge: &Running, version: TlsVersion, resumed: bool) -> u64 {
    let slot = 2 * version as usize + usize::from(resumed);
    edge.observed.metrics().iter().map(|thread| thread.handshakes[slot].load(Ordering::Relaxed)).sum()
}

/// Waits for what another thread counts a moment later.
fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let held = (0..4_000).any(|_| {
        std::thread::sleep(Duration::from_millis(5));
        holds()
    });
    assert!(held, "{what}");
}

#[test]
fn both_versions_are_spoken_and_endpoints_hear_of_https() {
    let authority = Authority::new();
    let (edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |_| {});
    for (versions, spoken) in
        [(&[&version::TLS12][..], ProtocolVersion::TLSv1_2), (&[&version::TLS13], ProtocolVersion::TLSv1_3)]
    {
        let mut client = connect(https, &authority.client(versions), "shop.example");
        let answer = ask(&mut client, &get("shop.example")).unwrap();
        assert!(answer.ends_with("hello"), "{answer}");
        assert_eq!(client.conn.protocol_version(), Some(spoken));
    }
    assert_eq!((shaken(&edge, TlsVersion::V12, false), shaken(&edge, TlsVersion::V13, false)), (1, 1));
    // The second was a hit; in the clear it is another page.
    assert!(edge.get("/a", "").ends_with("hello"));
    let heard = asked.lock().unwrap();
    let schemes: Vec<_> = heard.iter().map(|head| head.contains("X-Forwarded-Proto: https\r\n")).collect();
    assert_eq!(schemes, [true, false], "{heard:?}");
}

#[test]
fn old_versions_can_be_refused() {
    let authority = Authority::new();
    let (edge, _, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.tls.version_min = TlsVersion::V13;
    });
    let mut client = connect(https, &authority.client(&[&version::TLS12]), "shop.example");
    let error = ask(&mut client, &get("shop.example")).unwrap_err().to_string();
    assert!(error.contains("ProtocolVersion"), "{error}");
    until("counted", || failed(&edge, HandshakeFault::Version) == 1);
}

#[test]
fn a_session_goes_on_on_another_thread() {
    let authority = Authority::new();
    let (edge, _, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.threads = Some(4);
    });
    for (versions, version) in
        [(&[&version::TLS12][..], TlsVersion::V12), (&[&version::TLS13], TlsVersion::V13)]
    {
        let mut config = (*authority.client(versions)).clone();
        config.resumption = Resumption::in_memory_sessions(32);
        let config = Arc::new(config);
        // Tickets come behind the handshake: a first request fetches some.
        assert!(ask(&mut connect(https, &config, "shop.example"), &get("shop.example")).is_ok());
        for _ in 0..12 {
            let mut client = connect(https, &config, "shop.example");
            assert!(ask(&mut client, &get("shop.example")).unwrap().ends_with("hello"));
            assert_eq!(client.conn.handshake_kind(), Some(HandshakeKind::Resumed));
        }
        assert_eq!((shaken(&edge, version, false), shaken(&edge, version, true)), (1, 12));
    }
    // The kernel spreads 26 connections over 4 sockets: resumed ones were on several.
    let resumed = |thread: &Arc<tentpole_observe::EdgeMetrics>| {
        [1, 3].map(|slot| thread.handshakes[slot].load(Ordering::Relaxed)).iter().sum::<u64>() > 0
    };
    assert!(edge.observed.metrics().iter().filter(|thread| resumed(thread)).count() > 1);
}

#[test]
fn requests_follow_one_another_on_one_connection() {
    let authority = Authority::new();
    let (edge, _, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |_| {});
    let mut client = connect(https, &authority.client(BOTH), "shop.example");
    for _ in 0..50 {
        client.write_all(b"GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n").unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"hello") {
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
    }
    // And many at once, in one write.
    let last = get("shop.example");
    let answer =
        ask(&mut client, &("GET /a HTTP/1.1\r\nHost: shop.example\r\n\r\n".repeat(20) + &last)).unwrap();
    assert_eq!(answer.matches("hello").count(), 21);
    assert_eq!(shaken(&edge, TlsVersion::V13, false), 1);
}

#[test]
fn what_is_no_tls_is_refused_and_counted() {
    let authority = Authority::new();
    let (edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |_| {});
    let says = |bytes: &[u8]| {
        let mut stream = TcpStream::connect(https).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        // A reset is an answer too.
        let _ = stream.read_to_end(&mut answer);
        answer
    };
    let answer = String::from_utf8(says(get("shop.example").as_bytes())).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400 ") && answer.contains("speaks https"), "{answer}");
    for garbage in
        [&b"\0\0\0\0\0\0\0\0\0\0"[..], b"\x16\x09\x09\xff\xff\xff\xff", &[0xff; 100], b"ssh-2.0-x\r\n"]
    {
        says(garbage);
    }
    until("garbage is counted", || {
        failed(&edge, HandshakeFault::NotTls) + failed(&edge, HandshakeFault::Misbehaved) == 4
    });
    // A port scan says nothing, and is none.
    drop(TcpStream::connect(https).unwrap());
    // A handshake that ends after its first bytes.
    drop({
        let mut stream = TcpStream::connect(https).unwrap();
        stream.write_all(b"\x16\x03\x01").unwrap();
        stream
    });
    until("an early end is counted", || failed(&edge, HandshakeFault::Closed) == 1);
    assert!(asked.lock().unwrap().is_empty());
    let mut client = connect(https, &authority.client(BOTH), "shop.example");
    assert!(ask(&mut client, &get("shop.example")).unwrap().ends_with("hello"), "others are served as ever");
}

#[test]
fn a_handshake_has_no_more_time_than_a_head() {
    let authority = Authority::new();
    let (edge, _, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.visitors.head_time = Duration::from_millis(400);
    });
    let mut slow = TcpStream::connect(https).unwrap();
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.write_all(b"\x16\x03\x01\x02\x00\x01").unwrap();
    let mut answer = Vec::new();
    let _ = slow.read_to_end(&mut answer);
    until("counted", || failed(&edge, HandshakeFault::TimedOut) == 1);
}

#[test]
fn too_many_handshakes_at_once_leave_room_for_those_who_are_served() {
    let authority = Authority::new();
    let (edge, _, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.visitors.connections_max = 8;
    });
    let half = |_| {
        let mut stream = TcpStream::connect(https).unwrap();
        stream.write_all(b"\x16\x03").unwrap();
        stream
    };
    let _held: Vec<_> = (0..6).map(half).collect();
    until("the fifth and sixth are refused", || failed(&edge, HandshakeFault::TooMany) == 2);
    assert!(edge.get("/a", "").ends_with("hello"));
}

/// An endpoint that reads a body of this many bytes and sends it back.
fn echo(bytes: usize) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            if read_head(&mut connection).is_none() {
                continue;
            }
            let mut body = vec![0; bytes];
            connection.read_exact(&mut body).unwrap();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {bytes}\r\nConnection: close\r\n\r\n");
            connection.write_all(head.as_bytes()).unwrap();
            connection.write_all(&body).unwrap();
        }
    });
    address
}

#[test]
fn a_mebibyte_goes_both_ways_unchanged() {
    const BYTES: usize = 1 << 20;
    let authority = Authority::new();
    let certificates = vec![authority.signs("a", &["shop.example"])];
    let edge = edge(echo(BYTES), |snapshot| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        snapshot.tls = TlsSettings { listen, certificates, ..TlsSettings::default() };
    });
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let mut client = connect(edge.https.unwrap(), &authority.client(versions), "shop.example");
        let body: Vec<u8> = (0..BYTES).map(|at| (at * 31 + at / 7) as u8).collect();
        let head = format!(
            "POST /a HTTP/1.1\r\nHost: shop.example\r\nContent-Length: {BYTES}\r\nConnection: close\r\n\r\n"
        );
        client.write_all(head.as_bytes()).unwrap();
        client.write_all(&body).unwrap();
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).unwrap();
        let at = answer.windows(4).position(|four| four == b"\r\n\r\n").unwrap() + 4;
        assert!(answer[at..] == body[..], "{} bytes came back", answer.len() - at);
    }
}

#[test]
fn a_visitor_who_reads_slowly_gets_all_of_it() {
    const BYTES: usize = 8 << 20;
    let (address, _) = endpoint(|_| {
        format!(
            "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {BYTES}\r\n\r\n{}",
            "x".repeat(BYTES)
        )
    });
    let authority = Authority::new();
    let certificates = vec![authority.signs("a", &["shop.example"])];
    let edge = edge(address, |snapshot| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        snapshot.tls = TlsSettings { listen, certificates, ..TlsSettings::default() };
    });
    let mut client = connect(edge.https.unwrap(), &authority.client(BOTH), "shop.example");
    client.write_all(get("shop.example").as_bytes()).unwrap();
    let (mut read, mut piece) = (0, vec![0; 1 << 20]);
    loop {
        match client.read(&mut piece).unwrap() {
            0 => break,
            count => read += count,
        }
        std::thread::sleep(Duration::from_millis(1));
    }
    assert!(read > BYTES, "{read}");
}

#[test]
fn a_tunnel_goes_through_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let authority = Authority::new();
    let certificates = vec![authority.signs("a", &["shop.example"])];
    let edge = edge(address, |snapshot| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        snapshot.tls = TlsSettings { listen, certificates, ..TlsSettings::default() };
    });
    let endpoint = std::thread::spawn(move || {
        let (mut connection, _) = listener.accept().unwrap();
        let head = read_head(&mut connection).unwrap();
        assert!(head.contains("Upgrade: websocket\r\n"), "{head}");
        let answer = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n";
        connection.write_all(answer.as_bytes()).unwrap();
        let mut all = Vec::new();
        let mut piece = [0; 4096];
        while let Ok(count @ 1..) = connection.read(&mut piece) {
            all.extend_from_slice(&piece[..count]);
            connection.write_all(&piece[..count]).unwrap();
        }
        all.len()
    });
    let mut client = connect(edge.https.unwrap(), &authority.client(BOTH), "shop.example");
    let head = "GET /ws HTTP/1.1\r\nHost: shop.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    client.write_all(head.as_bytes()).unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        client.read_exact(&mut byte).unwrap();
        answer.push(byte[0]);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101 "));
    let message = vec![7; 30_000];
    for _ in 0..10 {
        client.write_all(&message).unwrap();
        let mut echoed = vec![0; message.len()];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, message);
    }
    client.conn.send_close_notify();
    client.flush().unwrap();
    // The endpoint sees our end, and we its.
    assert_eq!(client.read(&mut [0; 16]).unwrap(), 0);
    assert_eq!(endpoint.join().unwrap(), 300_000);
}

#[test]
fn requests_in_the_clear_are_sent_to_https_and_browsers_told_to_remember() {
    let authority = Authority::new();
    let (edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.sites[0].to_https = true;
        snapshot.sites[0].hsts_s = 300;
        snapshot.tls.listen = vec!["127.0.0.1:0".parse().unwrap()];
    });
    let answer = edge.get("/a?b=c", "");
    assert!(answer.starts_with("HTTP/1.1 308 "), "{answer}");
    // Port 0 stands for the one that was found, which only this test does not know.
    assert!(answer.contains("\r\nLocation: https://shop.example:0/a?b=c\r\n"), "{answer}");
    assert!(!answer.contains("Strict-Transport-Security"), "RFC 6797 section 7.2: {answer}");
    assert!(asked.lock().unwrap().is_empty());
    for _ in 0..2 {
        let mut client = connect(https, &authority.client(BOTH), "shop.example");
        let answer = ask(&mut client, &get("shop.example")).unwrap();
        assert_eq!(answer.matches("\r\nStrict-Transport-Security: max-age=300\r\n").count(), 1, "{answer}");
    }
}

#[test]
fn who_offers_http_2_gets_it_and_an_endpoint_hears_of_https() {
    let authority = Authority::new();
    let (edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |_| {});
    for versions in [&[&version::TLS12][..], &[&version::TLS13]] {
        let mut config = ClientConfig::clone(&authority.client(versions));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let mut client = connect(https, &Arc::new(config), "shop.example");
        client.conn.complete_io(&mut client.sock).unwrap();
        assert_eq!(client.conn.alpn_protocol(), Some(&b"h2"[..]));
        let mut raw = frames::Raw::over(client);
        assert!(raw.send(&frames::request(1, frames::END_STREAM, "GET", "/a", &[])));
        // 200, of which the static table has the whole field (RFC 7541 appendix A).
        assert_eq!(raw.first(frames::HEADERS, 1).unwrap().payload[0], 0x88);
        assert_eq!(raw.first(frames::DATA, 1).unwrap().payload, b"hello");
    }
    let asked = asked.lock().unwrap();
    assert!(asked.len() == 1 && asked[0].contains("X-Forwarded-Proto: https\r\n"), "{asked:?}");
    drop(edge);
}

#[test]
fn where_http_1_was_agreed_on_there_is_no_http_2() {
    let authority = Authority::new();
    let (_edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |_| {});
    let mut client = connect(https, &authority.client(BOTH), "shop.example");
    let answer = ask(&mut client, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
    assert!(answer.starts_with("HTTP/1.1 505 "), "{answer}");
    assert!(asked.lock().unwrap().is_empty());
}

/// A connection that keeps what came over it.
struct Tap(TcpStream, Vec<u8>);

impl Read for Tap {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let count = self.0.read(into)?;
        self.1.extend_from_slice(&into[..count]);
        Ok(count)
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

#[test]
fn what_is_said_first_can_be_read_packet_by_packet_and_the_rest_costs_few_records() {
    let large: String = (0..200_000).map(|number| char::from(b'a' + (number % 23) as u8)).collect();
    let (length, content) = (large.len(), large.clone());
    let authority = Authority::new();
    let (address, _) = endpoint(move |_| {
        format!("HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: {length}\r\n\r\n{content}")
    });
    let edge = edge(address, |snapshot| {
        let listen = vec!["127.0.0.1:0".parse().unwrap()];
        let certificates = vec![authority.signs("a", &["shop.example"])];
        snapshot.tls = TlsSettings { listen, certificates, ..TlsSettings::default() };
    });
    // There, what is content and what is handshake stands in each record's first byte (RFC 5246 section 6.2.1).
    let config = authority.client(&[&version::TLS12]);
    for _ in 0..2 {
        let stream = TcpStream::connect(edge.https.unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let name = ServerName::try_from("shop.example").unwrap();
        let tap = Tap(stream, Vec::new());
        let mut client = StreamOwned::new(ClientConnection::new(config.clone(), name).unwrap(), tap);
        client.write_all(get("shop.example").as_bytes()).unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        assert!(answer.split_once("\r\n\r\n").unwrap().1 == large, "{} bytes came", answer.len());
        let (mut rest, mut records) = (&client.sock.1[..], Vec::new());
        while let [kind, _, _, a, b, behind @ ..] = rest {
            let length = usize::from(u16::from_be_bytes([*a, *b]));
            if *kind == 23 {
                records.push(5 + length);
            }
            rest = &behind[length..];
        }
        let (first, later) = records.split_at(10);
        assert!(first.iter().all(|bytes| *bytes <= 1_400), "{records:?}");
        assert!(later.len() < 25, "{records:?}");
    }
}

#[test]
fn behind_a_balancer_its_header_comes_before_the_handshake_for_both_versions_of_http() {
    let authority = Authority::new();
    let (_edge, asked, https) = https_edge(vec![authority.signs("a", &["shop.example"])], |snapshot| {
        snapshot.front.trusted = vec![Network { address: "127.0.0.1".parse().unwrap(), bits: 32 }];
        snapshot.front.proxy_protocol = true;
    });
    let behind = |config: &Arc<ClientConfig>, header: &str| {
        let mut client = connect(https, config, "shop.example");
        client.sock.write_all(header.as_bytes()).unwrap();
        client
    };
    let header = "PROXY TCP4 203.0.113.9 192.0.2.2 56324 443\r\n";
    let config = authority.client(BOTH);
    let answer = ask(&mut behind(&config, header), &get("shop.example").replace("/a", "/one")).unwrap();
    assert!(answer.ends_with("hello"), "{answer}");
    let mut both = ClientConfig::clone(&config);
    both.alpn_protocols = vec![b"h2".to_vec()];
    let mut raw = frames::Raw::over(behind(&Arc::new(both), header));
    assert!(raw.send(&frames::request(1, frames::END_STREAM, "GET", "/two", &[])));
    assert_eq!(raw.first(frames::DATA, 1).unwrap().payload, b"hello");
    // Without it nobody is served, nor is there a handshake.
    assert!(ask(&mut behind(&config, ""), &get("shop.example")).is_err());
    let heard = asked.lock().unwrap().clone();
    assert_eq!(heard.len(), 2);
    for head in heard {
        assert!(head.contains("\r\nX-Forwarded-For: 203.0.113.9\r\n"), "{head}");
    }
}
