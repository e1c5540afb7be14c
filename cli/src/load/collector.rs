//! `--otlp`: tells an OpenTelemetry collector, in the clear or over TLS, from a thread of its own. A slow or absent one slows
//! nothing: what it could not take is said at the end.

use std::io::{self, IoSlice, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::sync::mpsc::{SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_load::url::Url;
use tentpole_model::EndpointTls;
use tentpole_runtime::secure::Session;
use tentpole_tls::{Client, Offer};

/// Time for one read or write of an exchange with a collector.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Bodies that wait for a slow collector.
const WAITING_MAX: usize = 16;
/// Of an answer, its version and status: `HTTP/1.1 200`.
const STATUS_BYTES: usize = 12;

/// The thread that speaks to a collector.
pub struct Collector {
    bodies: SyncSender<String>,
    sending: JoinHandle<Result<(), String>>,
    lost: u64,
}

impl Collector {
    /// Errors say what to type instead, or which file is wrong.
    pub fn open(url: &str, authority: Option<PathBuf>) -> Result<Self, String> {
        let mut to = Url::parse(url)
            .map_err(|_| format!("--otlp {url}: write http://HOST:4318 or https://HOST:4318."))?;
        if to.target == "/" {
            to.target = "/v1/metrics".to_owned();
        }
        if authority.is_some() && !to.https {
            return Err("--otlp-ca is for a collector at https:// only.".to_owned());
        }
        let settings = EndpointTls { authority, ..EndpointTls::default() };
        let load = || Client::load(&settings).map(|(client, _)| client);
        let tls = to.https.then(load).transpose().map_err(|trouble| format!("--otlp: {trouble}."))?;
        let (bodies, waiting) = sync_channel::<String>(WAITING_MAX);
        let sending = std::thread::Builder::new().name("otlp".to_owned()).spawn(move || {
            let mut last = Ok(());
            for body in waiting {
                last = post(&to, tls.as_ref(), &body);
            }
            last
        });
        Ok(Self { bodies, sending: sending.map_err(|error| error.to_string())?, lost: 0 })
    }

    /// Tells this when it is its turn.
    pub fn send(&mut self, body: &serde_json::Value) {
        if self.bodies.try_send(body.to_string()).is_err() {
            self.lost += 1;
        }
    }

    /// Waits until all is told; what could not be.
    pub fn end(self) -> Option<String> {
        drop(self.bodies);
        match self.sending.join() {
            Ok(Ok(())) if self.lost == 0 => None,
            Ok(Ok(())) => Some(format!("the collector was too slow for {} reports", self.lost)),
            Ok(Err(says)) => Some(says),
            Err(_) => Some("the thread that sent it panicked".to_owned()),
        }
    }
}

/// One exchange over a connection of its own.
fn post(to: &Url, tls: Option<&Client>, body: &str) -> Result<(), String> {
    let wrong = |error: io::Error| format!("{}:{} does not take it: {error}", to.host, to.port);
    let host = to.host.trim_start_matches('[').trim_end_matches(']');
    let address = (host, to.port).to_socket_addrs().map_err(wrong)?.next();
    let address = address.ok_or_else(|| format!("{} has no address", to.host))?;
    let stream = TcpStream::connect_timeout(&address, TIME_MAX).map_err(wrong)?;
    stream
        .set_read_timeout(Some(TIME_MAX))
        .and_then(|()| stream.set_write_timeout(Some(TIME_MAX)))
        .map_err(wrong)?;
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: {}:{}\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        to.target,
        to.host,
        to.port,
        body.len()
    );
    let answer = match tls {
        None => in_the_clear(stream, request.as_bytes()),
        Some(client) => {
            let session = client.session(host, Offer::Http1).map_err(wrong)?;
            secured(stream, session, request.as_bytes())
        }
    };
    match answer.map_err(wrong)?.get(9..STATUS_BYTES) {
        Some([b'2', ..]) => Ok(()),
        status => Err(format!(
            "{}:{} answers with {}",
            to.host,
            to.port,
            String::from_utf8_lossy(status.unwrap_or_default())
        )),
    }
}

fn in_the_clear(mut stream: TcpStream, request: &[u8]) -> io::Result<Vec<u8>> {
    stream.write_all(request)?;
    let mut answer = vec![0; STATUS_BYTES];
    stream.read_exact(&mut answer)?;
    Ok(answer)
}

/// The same over TLS.
fn secured(mut stream: TcpStream, mut session: Box<dyn Session>, request: &[u8]) -> io::Result<Vec<u8>> {
    let (mut sent, mut answer, mut bytes) = (0, Vec::new(), [0; 4_096]);
    loop {
        if !session.is_handshaking() && sent < request.len() {
            sent += session.write(&[IoSlice::new(&request[sent..])])?;
        }
        let has_output = session.has_output();
        while session.has_output() {
            session.put_out(&mut stream)?;
        }
        if answer.len() >= STATUS_BYTES {
            return Ok(answer);
        }
        if has_output && !session.is_handshaking() && sent < request.len() {
            continue;
        }
        let count = stream.read(&mut bytes)?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let mut arrived = &bytes[..count];
        while !arrived.is_empty() {
            let taken = session.take(arrived);
            if taken.is_err() {
                // What the other side is told of it.
                let _ = session.put_out(&mut stream);
            }
            arrived = &arrived[taken?..];
            let mut content = [0; 4_096];
            while session.content() > 0 && answer.len() < STATUS_BYTES {
                let count = session.read(&mut content)?;
                answer.extend_from_slice(&content[..count]);
            }
            if answer.len() >= STATUS_BYTES {
                break;
            }
        }
    }
}
