//! Visitors with HTTP/2, without TLS or with it: each has one connection and asks over several streams at once, again and again. Who
//! is told that the connection ends (GOAWAY) finishes what he asked there, and goes on over a new one, as browsers do;
//! everything else that is not the expected answer is a failure, with its story.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::crowd::Met;
use crate::https::Secure;
use h2::client::SendRequest;
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

/// Streams of one visitor at once.
const STREAMS: usize = 4;
/// Stories of failures that are kept.
const STORIES_MAX: usize = 20;

/// Visitors at work; end when dropped.
#[derive(Debug)]
pub struct Streams {
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
    visitors: JoinSet<Met>,
}

impl Streams {
    /// Starts `size` visitors who ask for this path.
    pub fn start(address: SocketAddr, size: usize, path: &str) -> Self {
        Self::start_by(address, size, path, None)
    }

    /// The same by https; all go on with each other's sessions.
    pub fn start_secure(address: SocketAddr, size: usize, path: &str, client: Arc<ClientConfig>) -> Self {
        Self::start_by(address, size, path, Some(client))
    }

    fn start_by(address: SocketAddr, size: usize, path: &str, client: Option<Arc<ClientConfig>>) -> Self {
        let (stop, good) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
        let mut visitors = JoinSet::new();
        for _ in 0..size {
            visitors.spawn(visit(address, path.to_owned(), client.clone(), stop.clone(), good.clone()));
        }
        Self { stop, good, visitors }
    }

    /// Good answers so far.
    pub fn good(&self) -> u64 {
        self.good.load(Ordering::Relaxed)
    }

    /// Lets everybody finish, and says what they met. `reconnects` counts connections that ended in good order.
    pub async fn ends(mut self) -> Met {
        self.stop.store(true, Ordering::Relaxed);
        let mut all = Met::default();
        while let Some(met) = self.visitors.join_next().await {
            let met = met.expect("a visitor does not panic");
            all.good += met.good;
            all.failed += met.failed;
            all.reconnects += met.reconnects;
            all.stories.extend(met.stories);
        }
        all.stories.truncate(STORIES_MAX);
        all
    }
}

/// A connection, whatever lies beneath.
trait Line: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Line for T {}

async fn connect(address: SocketAddr, client: Option<&Arc<ClientConfig>>) -> std::io::Result<Box<dyn Line>> {
    Ok(match client {
        Some(client) => Box::new(Secure::connect(address, client).await?),
        None => Box::new(TcpStream::connect(address).await?),
    })
}

async fn visit(
    address: SocketAddr,
    path: String,
    client: Option<Arc<ClientConfig>>,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
) -> Met {
    let mut met = Met::default();
    let url = match client {
        Some(_) => format!("https://localhost{path}"),
        None => format!("http://{address}{path}"),
    };
    while !stop.load(Ordering::Relaxed) {
        let opened = async {
            let socket = connect(address, client.as_ref()).await.map_err(|error| error.to_string())?;
            h2::client::handshake(socket).await.map_err(|error| error.to_string())
        };
        let (sender, connection) = match opened.await {
            Ok(opened) => opened,
            Err(story) => {
                tell(&mut met, format!("cannot connect: {story}"));
                continue;
            }
        };
        let driven = tokio::spawn(connection);
        let mut streams = JoinSet::new();
        for _ in 0..STREAMS {
            streams.spawn(stream(sender.clone(), url.clone(), stop.clone(), good.clone()));
        }
        drop(sender);
        while let Some(of_stream) = streams.join_next().await {
            let of_stream = of_stream.expect("a stream does not panic");
            met.good += of_stream.good;
            met.failed += of_stream.failed;
            met.stories.extend(of_stream.stories);
        }
        driven.abort();
        met.reconnects += u64::from(!stop.load(Ordering::Relaxed));
    }
    met
}

/// One request after the other, until the connection takes no more.
async fn stream(
    mut sender: SendRequest<bytes::Bytes>,
    url: String,
    stop: Arc<AtomicBool>,
    good: Arc<AtomicU64>,
) -> Met {
    let mut met = Met::default();
    while !stop.load(Ordering::Relaxed) {
        // Told that it ends, before anything was asked.
        let Ok(mut ready) = sender.ready().await else { return met };
        let request = http::Request::get(&url).body(()).expect("it is a request");
        let sent = match ready.send_request(request, true) {
            Ok((answer, _)) => answer,
            Err(error) if error.is_go_away() || error.is_io() => return met,
            Err(error) => {
                tell(&mut met, format!("cannot ask: {error}"));
                return met;
            }
        };
        match whole(sent).await {
            Ok(()) => {
                met.good += 1;
                good.fetch_add(1, Ordering::Relaxed);
            }
            Err(story) => tell(&mut met, story),
        }
        sender = ready;
    }
    met
}

async fn whole(answer: h2::client::ResponseFuture) -> Result<(), String> {
    let answer = answer.await.map_err(|error| format!("no answer: {error}"))?;
    let status = answer.status();
    let mut body = answer.into_body();
    while let Some(piece) = body.data().await {
        let piece = piece.map_err(|error| format!("the answer broke off: {error}"))?;
        let _ = body.flow_control().release_capacity(piece.len());
    }
    if status == 200 { Ok(()) } else { Err(format!("status {status}")) }
}

fn tell(met: &mut Met, story: String) {
    met.failed += 1;
    if met.stories.len() < STORIES_MAX {
        met.stories.push(story);
    }
}
