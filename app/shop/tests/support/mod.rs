//! A running shop on a port of its own, and a visitor who speaks plain HTTP/1.1 and keeps cookies.

#![allow(dead_code, reason = "each test file uses its part")]

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tentpole_shop::ShopError;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

const PATIENCE: Duration = Duration::from_secs(60);

/// An empty data folder that vanishes with the test.
pub fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder can be made")
}

/// One instance of the shop.
pub struct Instance {
    pub address: SocketAddr,
    stop: oneshot::Sender<()>,
    ended: JoinHandle<Result<(), ShopError>>,
}

impl Instance {
    /// Starts one on `data`. Its first request waits until it is ready.
    pub fn start(data: &Path) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
        let address = listener.local_addr().expect("it is bound");
        let (stop, stopped) = oneshot::channel::<()>();
        let data = data.to_path_buf();
        let ended = tokio::spawn(async move {
            tentpole_shop::serve(listener, &data, async {
                let _ = stopped.await;
            })
            .await
        });
        Self { address, stop, ended }
    }

    /// Asks it to end, and waits until it has.
    pub async fn end(self) {
        self.stop.send(()).expect("it is still there");
        let ended = tokio::time::timeout(PATIENCE, self.ended).await.expect("it ends in time");
        ended.expect("it does not panic").expect("it ends well");
    }

    /// A visitor of the market `host`.
    pub fn visitor(&self, host: &str) -> Visitor {
        Visitor {
            address: self.address,
            host: format!("{host}:{}", self.address.port()),
            cookies: Vec::new(),
        }
    }
}

/// Somebody with a browser: keeps cookies, follows nothing by itself.
#[derive(Clone)]
pub struct Visitor {
    address: SocketAddr,
    host: String,
    cookies: Vec<(String, String)>,
}

/// What came back.
pub struct Reply {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Reply {
    /// The first header of this name, in small letters.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A header that must be there.
    #[track_caller]
    pub fn must(&self, name: &str) -> &str {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {:?}", self.headers))
    }

    /// What stands between two marks, first occurrence.
    #[track_caller]
    pub fn between(&self, from: &str, to: &str) -> &str {
        let (_, rest) =
            self.body.split_once(from).unwrap_or_else(|| panic!("{from} is not in {}", self.body));
        rest.split_once(to).unwrap_or_else(|| panic!("{to} is not behind {from}")).0
    }

    #[track_caller]
    pub fn says(&self, text: &str) -> &Self {
        assert!(self.body.contains(text), "{text:?} is not in {}", self.body);
        self
    }

    #[track_caller]
    pub fn is(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.body);
        self
    }
}

impl Visitor {
    /// The same visitor, with the same cookies, served by another instance.
    pub fn goes_to(&mut self, instance: &Instance) {
        self.address = instance.address;
    }

    pub fn cookie(&self, name: &str) -> Option<&str> {
        self.cookies.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    pub async fn get(&mut self, path: &str) -> Reply {
        self.ask("GET", path, &[], "").await
    }

    /// Sends a form as a browser does from the shop's own page.
    pub async fn post(&mut self, path: &str, form: &str) -> Reply {
        let origin = format!("http://{}", self.host);
        self.ask("POST", path, &[("Origin", &origin), ("Sec-Fetch-Site", "same-origin")], form).await
    }

    pub async fn ask(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> Reply {
        let asked = async {
            let mut socket = TcpStream::connect(self.address).await?;
            let mut head =
                format!("{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n", self.host);
            for (name, value) in headers {
                head += &format!("{name}: {value}\r\n");
            }
            if !self.cookies.is_empty() {
                let cookies: Vec<String> =
                    self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
                head += &format!("Cookie: {}\r\n", cookies.join("; "));
            }
            if method == "POST" {
                head += "Content-Type: application/x-www-form-urlencoded\r\n";
                head += &format!("Content-Length: {}\r\n", body.len());
            }
            socket.write_all(format!("{head}\r\n{body}").as_bytes()).await?;
            let mut bytes = Vec::new();
            socket.read_to_end(&mut bytes).await?;
            std::io::Result::Ok(bytes)
        };
        let bytes =
            tokio::time::timeout(PATIENCE, asked).await.expect("an answer in time").expect("a connection");
        let reply = parse(&bytes);
        for (_, cookie) in reply.headers.iter().filter(|(name, _)| name == "set-cookie") {
            let (name, value) =
                cookie.split(';').next().and_then(|pair| pair.split_once('=')).expect("a cookie");
            self.cookies.retain(|(own, _)| own != name);
            self.cookies.push((name.to_owned(), value.to_owned()));
        }
        reply
    }
}

fn parse(bytes: &[u8]) -> Reply {
    let text = std::str::from_utf8(bytes).expect("the shop answers in UTF-8");
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no whole head in {text:?}"));
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).expect("a status line");
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length");
    if let Some((_, length)) = length.filter(|_| status != "304" && !body.is_empty()) {
        assert_eq!(body.len().to_string(), *length, "the body is as long as it says");
    }
    Reply { status: status.parse().expect("a number"), headers, body: body.to_owned() }
}
