//! `--metrics`: the figures of the last second for whoever asks by HTTP, as long as the run goes on. Listens on loopback unless
//! told otherwise, and answers a few at once; who is slow is sent away, and nothing of it slows the load.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tentpole_runtime::clock;

/// Who is answered at once.
const AT_ONCE_MAX: usize = 4;
/// Time for a question, and for each write of the answer.
const TIME_MAX: Duration = Duration::from_secs(1);
/// Longest question.
const BYTES_MAX: usize = 8 << 10;
/// Time after a connection that could not be taken: no descriptor, as a rule.
const REST: Duration = Duration::from_millis(100);

/// Where to listen: `9464`, `127.0.0.1:9464` or `[::1]:9464`. Errors say what to write instead.
pub fn address(text: &str) -> Result<SocketAddr, String> {
    match text.parse::<u16>() {
        Ok(port) => Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port))),
        Err(_) => text
            .parse()
            .map_err(|_| format!("\"{text}\" is not where to listen; write 9464 or 127.0.0.1:9464")),
    }
}

/// What is told.
#[derive(Clone)]
pub struct Scrape(Arc<Mutex<String>>);

impl Scrape {
    /// Listens; says where. Errors say why not.
    pub fn open(at: SocketAddr) -> Result<(Self, SocketAddr), String> {
        let wrong = |error: io::Error| format!("--metrics {at}: {error}. Is something else there?");
        let listener = TcpListener::bind(at).map_err(wrong)?;
        let bound = listener.local_addr().map_err(wrong)?;
        let figures = Self(Arc::new(Mutex::new("# no second is over yet\n".to_owned())));
        let told = figures.clone();
        std::thread::Builder::new()
            .name("metrics".to_owned())
            .spawn(move || told.serve(&listener))
            .map_err(wrong)?;
        Ok((figures, bound))
    }

    /// From now on this is told.
    pub fn tell(&self, text: String) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = text;
    }

    /// For ever: it ends with the process.
    fn serve(&self, listener: &TcpListener) {
        let open = Arc::new(AtomicUsize::new(0));
        for stream in listener.incoming() {
            let Ok(stream) = stream else {
                std::thread::sleep(REST);
                continue;
            };
            if open.fetch_add(1, Relaxed) >= AT_ONCE_MAX {
                open.fetch_sub(1, Relaxed);
                continue;
            }
            let (told, opened) = (self.clone(), open.clone());
            let answering = std::thread::Builder::new().name("metrics-asked".to_owned()).spawn(move || {
                // Who went away needs no answer.
                let _ = told.answer(stream);
                opened.fetch_sub(1, Relaxed);
            });
            if answering.is_err() {
                open.fetch_sub(1, Relaxed);
            }
        }
    }

    fn answer(&self, mut stream: TcpStream) -> io::Result<()> {
        stream.set_write_timeout(Some(TIME_MAX))?;
        let until = clock::now().after(TIME_MAX);
        let (mut asked, mut bytes) = (Vec::new(), [0; 1_024]);
        while !asked.windows(4).any(|end| end == b"\r\n\r\n") {
            let left = until.since(clock::now());
            if left.is_zero() || asked.len() > BYTES_MAX {
                return Err(io::ErrorKind::TimedOut.into());
            }
            stream.set_read_timeout(Some(left))?;
            match stream.read(&mut bytes)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => asked.extend_from_slice(&bytes[..count]),
            }
        }
        let text = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        stream.write_all(reply(&asked, &text).as_bytes())
    }
}

/// The whole answer to a question.
fn reply(asked: &[u8], text: &str) -> String {
    let asked = String::from_utf8_lossy(asked);
    let mut words = asked.split(' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = target.split('?').next().unwrap_or_default();
    let (status, kind, text) = match (method, path) {
        ("GET" | "HEAD", "/metrics") => ("200 OK", "text/plain; version=0.0.4; charset=utf-8", text),
        ("GET" | "HEAD", _) => ("404 Not Found", "text/plain", "The figures are at /metrics.\n"),
        _ => ("405 Method Not Allowed\r\nAllow: GET, HEAD", "text/plain", "Write GET.\n"),
    };
    let head = format!(
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n",
        text.len()
    );
    if method == "HEAD" { head } else { head + text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_alone_is_this_machines_own() {
        assert_eq!(address("9464"), Ok(SocketAddr::from(([127, 0, 0, 1], 9464))));
        assert_eq!(address("[::1]:1").map(|at| at.to_string()), Ok("[::1]:1".to_owned()));
        for wrong in ["", "host", "127.0.0.1", "65536", ":9464"] {
            assert!(address(wrong).unwrap_err().contains("write 9464"), "{wrong}");
        }
    }

    #[test]
    fn figures_are_at_one_place_and_are_only_read() {
        let status = |asked: &str| reply(asked.as_bytes(), "x 1\n").split(' ').nth(1).map(str::to_owned);
        assert_eq!(status("GET /metrics HTTP/1.1\r\n\r\n").as_deref(), Some("200"));
        assert_eq!(status("GET /metrics?a=b HTTP/1.1\r\n\r\n").as_deref(), Some("200"));
        assert_eq!(status("GET / HTTP/1.1\r\n\r\n").as_deref(), Some("404"));
        assert_eq!(status("POST /metrics HTTP/1.1\r\n\r\n").as_deref(), Some("405"));
        assert_eq!(status("\u{fffd}\r\n\r\n").as_deref(), Some("405"));
        assert!(reply(b"GET /metrics HTTP/1.1\r\n\r\n", "x 1\n").ends_with("\r\n\r\nx 1\n"));
        assert!(
            reply(b"HEAD /metrics HTTP/1.1\r\n\r\n", "x 1\n")
                .ends_with("Content-Length: 4\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n")
        );
    }
}
