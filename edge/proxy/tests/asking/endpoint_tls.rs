//! Endpoints behind TLS: whom the edge believes, each failure with its own reason, mutual TLS, tickets, names, and files
//! that change. By rustls' own server, as applications would.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use crate::common::{self, Running, edge};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SanType, date_time_ymd};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection, StreamOwned, version};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;
use tentpole_model::{
    Addressing, CertificateFiles, EndpointTls, ObjectStore, Scheme, Secret, Snapshot, TlsVersion,
};

const HELLO: &[u8] = b"HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello";

/// An authority, and a folder with what it signed.
struct Authority {
    folder: TempDir,
    issuer: CertifiedIssuer<'static, KeyPair>,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("authority.pem"), issuer.pem()).unwrap();
        Self { folder, issuer }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("authority.pem")
    }

    fn files(&self, name: &str) -> CertificateFiles {
        let at = |kind: &str| self.folder.path().join(format!("{name}.{kind}"));
        CertificateFiles { chain: at("pem"), key: at("key") }
    }

    fn write(&self, name: &str, certificate: &str, key: &KeyPair) -> CertificateFiles {
        let files = self.files(name);
        std::fs::write(&files.chain, certificate).unwrap();
        std::fs::write(&files.key, key.serialize_pem()).unwrap();
        std::fs::set_permissions(&files.key, std::fs::Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn signs(
        &self,
        name: &str,
        hosts: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> CertificateFiles {
        let (mut params, key) = (params(hosts), KeyPair::generate().unwrap());
        change(&mut params);
        self.write(name, &params.signed_by(&key, &self.issuer).unwrap().pem(), &key)
    }

    fn trusted(&self) -> EndpointTls {
        EndpointTls { authority: Some(self.file()), ..EndpointTls::default() }
    }
}

fn params(hosts: &[&str]) -> CertificateParams {
    CertificateParams::new(hosts.iter().map(|&host| host.to_owned()).collect::<Vec<_>>()).unwrap()
}

/// An application behind TLS.
struct Application {
    address: SocketAddr,
    handshakes: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    names: Arc<Mutex<Vec<Option<String>>>>,
    asked: Arc<Mutex<Vec<String>>>,
    /// What was agreed on, handshake by handshake (ALPN).
    protocols: Arc<Mutex<Vec<Option<Vec<u8>>>>>,
}

#[derive(Default)]
struct Speaks {
    clients_of: Option<PathBuf>,
    versions: Vec<&'static rustls::SupportedProtocolVersion>,
    closes: bool,
    alpn: Vec<Vec<u8>>,
}

impl Application {
    fn start(files: &CertificateFiles, speaks: Speaks) -> Self {
        let chain = CertificateDer::pem_file_iter(&files.chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(&files.key).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions =
            if speaks.versions.is_empty() { vec![&version::TLS13, &version::TLS12] } else { speaks.versions };
        let builder =
            ServerConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions).unwrap();
        let builder = match speaks.clients_of {
            None => builder.with_no_client_auth(),
            Some(file) => {
                let mut roots = RootCertStore::empty();
                roots.add(CertificateDer::from_pem_file(file).unwrap()).unwrap();
                let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider);
                builder.with_client_cert_verifier(verifier.build().unwrap())
            }
        };
        let mut config = builder.with_single_cert(chain, key).unwrap();
        config.alpn_protocols = speaks.alpn;
        let config = Arc::new(config);
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let protocols = Arc::<Mutex<Vec<Option<Vec<u8>>>>>::default();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (handshakes, resumed, names) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
        let said =
            Self { address, handshakes, resumed, names, asked: asked.clone(), protocols: protocols.clone() };
        let (handshakes, resumed, names) =
            (said.handshakes.clone(), said.resumed.clone(), said.names.clone());
        let closes = speaks.closes;
        std::thread::spawn(move || {
            for connection in listener.incoming() {
                let mut connection = connection.unwrap();
                let mut session = ServerConnection::new(config.clone()).unwrap();
                let (handshakes, resumed, names) = (handshakes.clone(), resumed.clone(), names.clone());
                let (asked, protocols) = (asked.clone(), protocols.clone());
                std::thread::spawn(move || {
                    while session.is_handshaking() {
                        if session.complete_io(&mut connection).is_err() {
                            // The client may read what it is told.
                            let _ = session.write_tls(&mut connection);
                            let _ = connection.shutdown(std::net::Shutdown::Write);
                            let _ = connection.read(&mut [0; 1024]);
                            return;
                        }
                    }
                    handshakes.fetch_add(1, Ordering::SeqCst);
                    protocols.lock().unwrap().push(session.alpn_protocol().map(<[u8]>::to_vec));
                    names.lock().unwrap().push(session.server_name().map(str::to_owned));
                    if session.handshake_kind() == Some(rustls::HandshakeKind::Resumed) {
                        resumed.fetch_add(1, Ordering::SeqCst);
                    }
                    let mut stream = StreamOwned::new(session, connection);
                    while let Some(head) = read_head_of(&mut stream) {
                        asked.lock().unwrap().push(head.clone());
                        if head.contains("Upgrade: ") {
                            return shout(stream);
                        }
                        let answer = match head.starts_with("POST") {
                            true => echo(&mut stream, &head),
                            false => HELLO.to_vec(),
                        };
                        if stream.write_all(&answer).and_then(|()| stream.flush()).is_err() || closes {
                            stream.conn.send_close_notify();
                            let _ = stream.flush();
                            return;
                        }
                    }
                });
            }
        });
        said
    }
}

fn read_head_of(stream: &mut impl Read) -> Option<String> {
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        head.push(byte[0]);
    }
    Some(String::from_utf8(head).unwrap())
}

/// Changes the protocol to one of bytes, which come back in capitals.
fn shout(mut stream: impl Read + Write) {
    let switched = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(switched).and_then(|()| stream.flush()).unwrap();
    let mut bytes = [0; 1024];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..count].to_ascii_uppercase()).and_then(|()| stream.flush()).unwrap();
    }
}

/// A request's body, back as it came.
fn echo(stream: &mut impl Read, head: &str) -> Vec<u8> {
    let lower = head.to_ascii_lowercase();
    let length: usize =
        lower.split("content-length: ").nth(1).unwrap().split('\r').next().unwrap().parse().unwrap();
    let mut body = vec![0; length];
    stream.read_exact(&mut body).unwrap();
    let mut answer =
        format!("HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: {length}\r\n\r\n")
            .into_bytes();
    answer.extend(body);
    answer
}

/// An edge before the application, whose URL says this host.
fn before(address: SocketAddr, host: &str, tls: EndpointTls) -> Running {
    edge(address, |snapshot: &mut Snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.endpoints[0].scheme = Scheme::Https;
        pool.endpoints[0].host = host.to_owned();
        pool.tls = tls;
    })
}

/// What a visitor is told when the application cannot be asked.
fn detail(edge: &Running) -> String {
    let answer = edge.get("/", "");
    assert!(answer.starts_with("HTTP/1.1 502 "), "{answer}");
    answer.split("detail=").nth(1).unwrap().split('\r').next().unwrap().to_owned()
}

#[test]
fn an_endpoint_that_the_authority_signed_is_asked_by_its_name() {
    let authority = Authority::new();
    for versions in [vec![&version::TLS13], vec![&version::TLS12]] {
        let files = authority.signs("app", &["app.internal"], |_| {});
        let app = Application::start(&files, Speaks { versions, ..Speaks::default() });
        let edge = before(app.address, "app.internal", authority.trusted());
        for _ in 0..3 {
            assert!(edge.get("/", "").ends_with("\r\n\r\nhello"));
        }
        assert_eq!(app.handshakes.load(Ordering::SeqCst), 1, "the connection is kept");
        assert_eq!(*app.names.lock().unwrap(), [Some("app.internal".to_owned())]);
    }
}

#[test]
fn a_change_of_protocol_is_offered_http_1_where_http_2_is_spoken_otherwise() {
    let authority = Authority::new();
    let alpn = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let files = authority.signs("app", &["app"], |_| {});
    let app = Application::start(&files, Speaks { alpn, ..Speaks::default() });
    let edge = edge(app.address, |snapshot: &mut Snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.endpoints[0].scheme = Scheme::Https;
        pool.endpoints[0].host = "app".into();
        pool.tls = authority.trusted();
        pool.http2 = true;
    });
    let mut visitor = std::net::TcpStream::connect(edge.address).unwrap();
    visitor
        .write_all(b"GET /talk HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
              Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .unwrap();
    let head = common::read_head(&mut visitor).unwrap();
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    for _ in 0..3 {
        visitor.write_all(b"hello").unwrap();
        let mut back = [0; 5];
        visitor.read_exact(&mut back).unwrap();
        assert_eq!(&back, b"HELLO");
    }
    assert_eq!(app.protocols.lock().unwrap()[..], [Some(b"http/1.1".to_vec())]);
}

#[test]
fn an_object_store_behind_tls_is_asked_by_its_name_and_signed_for_it() {
    let authority = Authority::new();
    let app = Application::start(&authority.signs("s3", &["s3.internal"], |_| {}), Speaks::default());
    let secret = |name: &str, text: &str| {
        let file = authority.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        Secret::File(file)
    };
    let store = ObjectStore {
        bucket: "shop".into(),
        region: "us-east-1".into(),
        key_id: secret("id", "AKID\n"),
        key: secret("secret", "s3cret\n"),
        session: None,
        addressing: Addressing::Path,
        index: "index.html".into(),
    };
    let edge = edge(app.address, |snapshot: &mut Snapshot| {
        let pool = &mut snapshot.pools[0];
        pool.endpoints[0].scheme = Scheme::Https;
        pool.endpoints[0].host = "s3.internal".into();
        pool.tls = authority.trusted();
        pool.object_store = Some(store);
    });
    for _ in 0..2 {
        let answer = edge.get("/a.png", "Cookie: session=me\r\n");
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("\r\n\r\nhello"), "{answer}");
    }
    let asked = app.asked.lock().unwrap()[0].clone();
    let host = format!("\r\nHost: s3.internal:{}\r\n", app.address.port());
    assert!(asked.starts_with("GET /shop/a.png HTTP/1.1\r\n") && asked.contains(&host), "{asked}");
    assert!(asked.contains("Authorization: AWS4-HMAC-SHA256 Credential=AKID/"), "{asked}");
    assert!(!asked.contains("session=me"), "{asked}");
    assert_eq!(app.handshakes.load(Ordering::SeqCst), 1, "the connection is kept");
    // One that somebody else signed is told nothing.
    let other = Authority::new();
    let false_store = Application::start(&other.signs("s3", &["s3.internal"], |_| {}), Speaks::default());
    let before = before(false_store.address, "s3.internal", authority.trusted());
    assert_eq!(detail(&before), "connect/tls_untrusted");
    assert!(false_store.asked.lock().unwrap().is_empty());
}

#[test]
fn bodies_pass_both_ways() {
    let authority = Authority::new();
    let app = Application::start(&authority.signs("app", &["app"], |_| {}), Speaks::default());
    let edge = before(app.address, "app", authority.trusted());
    for length in [1, 16 * 1024, 1_000_000] {
        let body = "abcdefghij".repeat(length / 10 + 1)[..length].to_owned();
        let request = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}"
        );
        let answer = edge.ask(&request);
        assert!(
            answer.ends_with(&format!("\r\n\r\n{body}")),
            "{length}: {}",
            &answer[..answer.len().min(400)]
        );
    }
}

#[test]
fn each_reason_not_to_believe_an_endpoint_has_its_own_word() {
    let (authority, other) = (Authority::new(), Authority::new());
    let cases = [
        (authority.signs("name", &["other.internal"], |_| {}), "connect/tls_wrong_name"),
        (
            authority.signs("old", &["app.internal"], |params| params.not_after = date_time_ymd(2020, 1, 1)),
            "connect/tls_expired",
        ),
        (
            authority.signs("new", &["app.internal"], |params| params.not_before = date_time_ymd(2999, 1, 1)),
            "connect/tls_not_yet_valid",
        ),
        (other.signs("other", &["app.internal"], |_| {}), "connect/tls_untrusted"),
    ];
    for (files, word) in cases {
        let app = Application::start(&files, Speaks::default());
        let edge = before(app.address, "app.internal", authority.trusted());
        assert_eq!(detail(&edge), word);
        // Said aloud, whoever answers is believed.
        let anybody = EndpointTls { verify: false, ..EndpointTls::default() };
        let edge = before(app.address, "app.internal", anybody);
        assert!(edge.get("/", "").ends_with("\r\n\r\nhello"), "{word}");
    }
    // The system's authorities know none of ours.
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), Speaks::default());
    assert_eq!(detail(&before(app.address, "app.internal", EndpointTls::default())), "connect/tls_untrusted");
}

#[test]
fn one_that_signed_itself_is_believed_when_it_is_the_authority() {
    let authority = Authority::new();
    for is_ca in [IsCa::NoCa, IsCa::ExplicitNoCa, IsCa::Ca(BasicConstraints::Unconstrained)] {
        let (mut params, key) = (params(&["app.internal"]), KeyPair::generate().unwrap());
        params.is_ca = is_ca;
        let files = authority.write("self", &params.self_signed(&key).unwrap().pem(), &key);
        let app = Application::start(&files, Speaks::default());
        let itself = EndpointTls { authority: Some(files.chain.clone()), ..EndpointTls::default() };
        let edge = before(app.address, "app.internal", itself.clone());
        assert!(edge.get("/", "").ends_with("\r\n\r\nhello"), "{is_ca:?}");
        assert_eq!(detail(&before(app.address, "shop.internal", itself)), "connect/tls_wrong_name");
        assert_eq!(
            detail(&before(app.address, "app.internal", authority.trusted())),
            "connect/tls_untrusted"
        );
    }
    // As its own authority too it must be in force.
    let (mut params, key) = (params(&["app.internal"]), KeyPair::generate().unwrap());
    params.not_after = date_time_ymd(2020, 1, 1);
    let files = authority.write("self", &params.self_signed(&key).unwrap().pem(), &key);
    let app = Application::start(&files, Speaks::default());
    let itself = EndpointTls { authority: Some(files.chain), ..EndpointTls::default() };
    assert_eq!(detail(&before(app.address, "app.internal", itself)), "connect/tls_expired");
}

#[test]
fn an_address_is_verified_as_an_address_or_under_a_name() {
    let authority = Authority::new();
    let by_address = authority.signs("address", &[], |params| {
        params.subject_alt_names = vec![SanType::IpAddress("127.0.0.1".parse().unwrap())];
    });
    let app = Application::start(&by_address, Speaks::default());
    assert!(before(app.address, "127.0.0.1", authority.trusted()).get("/", "").ends_with("hello"));
    assert_eq!(*app.names.lock().unwrap(), [None], "no address is sent as a name (RFC 6066 section 3)");
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), Speaks::default());
    assert_eq!(detail(&before(app.address, "127.0.0.1", authority.trusted())), "connect/tls_wrong_name");
    let named = EndpointTls { name: Some("app.internal".into()), ..authority.trusted() };
    assert!(before(app.address, "127.0.0.1", named).get("/", "").ends_with("hello"));
}

#[test]
fn an_endpoint_that_asks_who_we_are_is_shown_our_certificate() {
    let authority = Authority::new();
    let ours = authority.signs("us", &["edge.internal"], |_| {});
    for versions in [vec![&version::TLS13], vec![&version::TLS12]] {
        let speaks = Speaks { clients_of: Some(authority.file()), versions, ..Speaks::default() };
        let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), speaks);
        let shown = EndpointTls { certificate: Some(ours.clone()), ..authority.trusted() };
        let edge = before(app.address, "app.internal", shown);
        assert!(edge.get("/", "").ends_with("hello"));
        let edge = before(app.address, "app.internal", authority.trusted());
        assert_eq!(detail(&edge), "connect/tls_client_certificate");
        let post = edge.ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        assert!(post.contains("detail=connect/tls_client_certificate\r"), "{post}");
    }
}

#[test]
fn the_oldest_version_is_kept_and_plain_http_is_told_apart() {
    let authority = Authority::new();
    let speaks = Speaks { versions: vec![&version::TLS12], ..Speaks::default() };
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), speaks);
    let newest = EndpointTls { version_min: TlsVersion::V13, ..authority.trusted() };
    assert_eq!(detail(&before(app.address, "app.internal", newest)), "connect/tls_nothing_in_common");
    let plain = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    std::thread::spawn(move || {
        let (mut connection, _) = plain.accept().unwrap();
        let mut hello = [0; 2048];
        let _ = connection.read(&mut hello).unwrap();
        connection.write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n").unwrap();
        let _ = connection.read(&mut hello);
    });
    assert_eq!(detail(&before(address, "app.internal", authority.trusted())), "connect/tls_not_spoken");
}

#[test]
fn later_connections_go_on_from_an_earlier_one_on_any_thread() {
    let authority = Authority::new();
    let speaks = Speaks { closes: true, ..Speaks::default() };
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), speaks);
    let edge = edge(app.address, |snapshot| {
        snapshot.threads = Some(2);
        let pool = &mut snapshot.pools[0];
        (pool.endpoints[0].scheme, pool.endpoints[0].host) = (Scheme::Https, "app.internal".into());
        pool.tls = authority.trusted();
    });
    for _ in 0..10 {
        assert!(edge.get("/", "").ends_with("hello"));
    }
    let (all, resumed) = (app.handshakes.load(Ordering::SeqCst), app.resumed.load(Ordering::SeqCst));
    assert_eq!((all, resumed), (10, 9));
}

#[test]
fn without_its_files_nobody_is_asked_and_the_reason_is_told() {
    let authority = Authority::new();
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), Speaks::default());
    let missing = EndpointTls { authority: Some("/nowhere/ca.pem".into()), ..EndpointTls::default() };
    assert_eq!(detail(&before(app.address, "app.internal", missing)), "connect/tls_no_files");
    assert_eq!(app.handshakes.load(Ordering::SeqCst), 0);
}

#[test]
fn a_kept_connection_that_the_endpoint_closed_costs_no_request() {
    let authority = Authority::new();
    let speaks = Speaks { closes: true, ..Speaks::default() };
    let app = Application::start(&authority.signs("app", &["app.internal"], |_| {}), speaks);
    let edge = before(app.address, "app.internal", authority.trusted());
    let post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
    for _ in 0..50 {
        assert!(edge.ask(post).ends_with("\r\n\r\nabc"));
    }
}
