//! A crowd that comes by https and HTTP/1.1: each visitor keeps his connection while he may, and goes on with his session on the
//! next one. A kept connection that closes without a word before an answer is a failure here: an edge that leaves says so.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::https::Secure;
use rustls::ClientConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

/// Requests on one connection at most, so that sessions go on again and again.
const REQUESTS: usize = 20;
/// Stories of failures that are kept.
const STORIES_MAX: usize = 20;

/// What it met.
#[derive(Clone, Debug, Default)]
pub struct Met {
    /// Answers with status 200, whole.
    pub good: u64,
    /// Everything else, with the first stories.
    pub failed: u64,
    /// The first failures.
    pub stories: Vec<String>,
    /// Connections whose session was new.
    pub new: u64,
    /// Connections whose session went on.
    pub resumed: u64,
}

/// A crowd at work; ends when dropped.
#[derive(Debug)]
pub struct SecureCrowd {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    visitors: JoinSet<Met>,
}

impl SecureCrowd {
    /// Starts `size` visitors who ask for this path, each with a session of his own.
    pub fn start(
        address: SocketAddr,
        size: usize,
        path: &str,
        client: impl Fn() -> Arc<ClientConfig>,
    ) -> Self {
        let (stop, good) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut visitors = JoinSet::new();
        for _ in 0..size {
            visitors.spawn(visit(address, path.to_owned(), client(), stop.clone(), good.clone()));
        }
        Self { stop, good, visitors }
    }

    /// Good answers so far.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Lets everybody finish, and says what they met.
    pub async fn ends(mut self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Met::default();
        while let Some(met) = self.visitors.join_next().await {
            let met = met.expect("a visitor does not panic");
            all.good += met.good;
            all.failed += met.failed;
            all.new += met.new;
            all.resumed += met.resumed;
            all.stories.extend(met.stories);
        }
        all.stories.truncate(STORIES_MAX);
        all
    }
}

async fn visit(
    address: SocketAddr,
    path: String,
    config: Arc<ClientConfig>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
) -> Met {
    let mut met = Met::default();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
    while !stop.load(Ordering::Relaxed) {
        let mut connection = match Secure::connect(address, &config).await {
            Ok(connection) => connection,
            Err(error) => {
                met.tell(format!("cannot connect: {error}"));
                continue;
            }
        };
        for number in 0..REQUESTS {
            match ask(&mut connection, &request).await {
                Ok(closes) => {
                    met.good += 1;
                    good.fetch_add(1, Ordering::Relaxed);
                    if number == 0 && connection.resumed() {
                        met.resumed += 1;
                    } else if number == 0 {
                        met.new += 1;
                    }
                    if closes || stop.load(Ordering::Relaxed) {
                        break;
                    }
                }
                Err(story) => {
                    met.tell(format!("request {number} of a connection: {story}"));
                    break;
                }
            }
        }
        let _ = connection.shutdown().await;
    }
    met
}

/// Whether the connection ends behind the answer, which must be whole and a 200.
async fn ask(connection: &mut Secure, request: &str) -> Result<bool, String> {
    let said = |error: std::io::Error| error.to_string();
    connection.write_all(request.as_bytes()).await.map_err(said)?;
    connection.flush().await.map_err(said)?;
    let mut answer = Vec::new();
    let head_end = loop {
        if let Some(at) = answer.windows(4).position(|four| four == b"\r\n\r\n") {
            break at + 4;
        }
        if connection.read_buf(&mut answer).await.map_err(said)? == 0 {
            return Err(format!("closed after {} bytes of an answer", answer.len()));
        }
    };
    let head = String::from_utf8_lossy(&answer[..head_end]).to_ascii_lowercase();
    if !head.starts_with("http/1.1 200 ") {
        return Err(head);
    }
    let field = |name: &str| head.lines().find_map(|line| line.strip_prefix(name).map(str::trim));
    let length: usize = field("content-length:").and_then(|value| value.parse().ok()).ok_or("no length")?;
    while answer.len() < head_end + length {
        if connection.read_buf(&mut answer).await.map_err(said)? == 0 {
            return Err("the content broke off".to_owned());
        }
    }
    Ok(field("connection:") == Some("close"))
}

impl Met {
    fn tell(&mut self, story: String) {
        self.failed += 1;
        if self.stories.len() < STORIES_MAX {
            self.stories.push(story);
        }
    }
}
