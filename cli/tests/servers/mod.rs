//! Servers of these tests: one whose limit is known, one over TLS that remembers who asked for what.

#![allow(dead_code, reason = "each test file uses some of it")]
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A server over TLS that answers everything with 200.
pub struct Secure {
    pub port: u16,
    seen: Arc<Mutex<Vec<Asked>>>,
}

/// One request: whence, its head, its content.
#[derive(Clone, Debug)]
pub struct Asked {
    pub from: IpAddr,
    pub head: String,
    pub body: String,
}

impl Secure {
    /// For `localhost` and `127.0.0.1`; leaves the authority's certificate as `ca.pem` in this folder.
    pub fn start(folder: &Path) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        std::fs::write(folder.join("ca.pem"), params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(params, key);
        let key = KeyPair::generate().unwrap();
        let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
        let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let config = builder.unwrap().with_no_client_auth().with_single_cert(vec![certificate.into()], key);
        let config = Arc::new(config.unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, seen) = (listener.local_addr().unwrap().port(), Arc::new(Mutex::new(Vec::new())));
        let all = seen.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, config, all) = (stream.unwrap(), config.clone(), all.clone());
                std::thread::spawn(move || {
                    let from = stream.peer_addr().unwrap().ip();
                    let session = ServerConnection::new(config).unwrap();
                    let mut stream = BufReader::new(StreamOwned::new(session, stream));
                    while let Some((head, body)) = request(&mut stream) {
                        all.lock().unwrap().push(Asked { from, head, body });
                        let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                        if stream.get_mut().write_all(answer).and_then(|()| stream.get_mut().flush()).is_err()
                        {
                            break;
                        }
                    }
                });
            }
        });
        Self { port, seen }
    }

    /// What was asked for until now.
    pub fn seen(&self) -> Vec<Asked> {
        self.seen.lock().unwrap().clone()
    }
}

/// The next request: its head and its content; nothing when the other side is gone.
fn request(stream: &mut impl BufRead) -> Option<(String, String)> {
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if stream.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head
        .lines()
        .find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    stream.read_exact(&mut body).ok()?;
    Some((head, String::from_utf8(body).unwrap()))
}

/// A server that has room for so many connections, and answers all of them with 503 when there are more.
pub fn room_for(connections_max: usize) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let open = Arc::new(AtomicUsize::new(0));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, open) = (stream.unwrap(), open.clone());
            open.fetch_add(1, SeqCst);
            std::thread::spawn(move || {
                while stream.read(&mut [0; 4096]).is_ok_and(|length| length > 0) {
                    let answer: &[u8] = match open.load(SeqCst) {
                        here if here > connections_max => b"HTTP/1.1 503 No\r\nContent-Length: 2\r\n\r\nno",
                        _ => b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
                    };
                    if stream.write_all(answer).is_err() {
                        break;
                    }
                }
                open.fetch_sub(1, SeqCst);
            });
        }
    });
    url
}
