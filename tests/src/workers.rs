//! An application as most are: a few workers, everything else waits inside it in order, and it goes on with what it has begun
//! whether or not anybody still listens. Speaks as much HTTP/1.1 as it takes to be proxied.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Bytes of a request at most.
const REQUEST_BYTES_MAX: usize = 16 << 10;

/// A running application; takes nobody more once it is dropped.
#[derive(Debug)]
pub struct Workers {
    address: SocketAddr,
    state: Arc<State>,
    accepts: JoinHandle<()>,
}

#[derive(Debug)]
struct State {
    /// Given in the order of asking.
    workers: Semaphore,
    time: Duration,
    in_hand: AtomicU64,
    in_hand_most: AtomicU64,
    done: AtomicU64,
    busy_us: AtomicU64,
}

impl Workers {
    /// So many workers, each busy for `time` with one request.
    ///
    /// # Panics
    /// When the system has no free port.
    pub async fn start(workers: usize, time: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("the system has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let workers = Semaphore::new(workers);
        let state = Arc::new(State {
            workers,
            time,
            in_hand: AtomicU64::new(0),
            in_hand_most: AtomicU64::new(0),
            done: AtomicU64::new(0),
            busy_us: AtomicU64::new(0),
        });
        let served = state.clone();
        let accepts = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, served.clone()));
            }
        });
        Self { address, state, accepts }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that it has taken and not finished.
    pub fn in_hand(&self) -> u64 {
        self.state.in_hand.load(SeqCst)
    }

    /// The same at most, since this was last asked.
    pub fn inside_most(&self) -> usize {
        self.state.in_hand_most.swap(self.in_hand(), SeqCst) as usize
    }

    /// For how long workers were at work so far, all together.
    pub fn busy(&self) -> Duration {
        Duration::from_micros(self.state.busy_us.load(SeqCst))
    }

    /// Requests that it has finished, whoever may have left meanwhile.
    pub fn done(&self) -> u64 {
        self.state.done.load(SeqCst)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.accepts.abort();
    }
}

async fn serve(mut stream: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(length) = request(&mut stream, &mut buffer).await {
        buffer.drain(..length);
        let in_hand = state.in_hand.fetch_add(1, SeqCst) + 1;
        state.in_hand_most.fetch_max(in_hand, SeqCst);
        // A task of its own: it ends whatever becomes of the connection.
        let working = state.clone();
        let work = tokio::spawn(async move {
            let _worker = working.workers.acquire().await.expect("nobody closes it");
            let began = tokio::time::Instant::now();
            tokio::time::sleep(working.time).await;
            working.busy_us.fetch_add(began.elapsed().as_micros() as u64, SeqCst);
            working.in_hand.fetch_sub(1, SeqCst);
            working.done.fetch_add(1, SeqCst);
        });
        work.await.expect("it does not panic");
        let answer =
            b"HTTP/1.1 200 OK\r\nCache-Control: private, no-store\r\nContent-Length: 5\r\n\r\nhere\n";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// Reads until a whole request is there; its length.
async fn request(stream: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<usize> {
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&buffer[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let whole = end + 4 + length.map_or(0, |length| length.trim().parse().unwrap_or(0));
            if buffer.len() >= whole {
                return Some(whole);
            }
        }
        let mut piece = [0; 4096];
        let count = stream.read(&mut piece).await.ok().filter(|&count| count > 0)?;
        buffer.extend_from_slice(&piece[..count]);
        if buffer.len() > REQUEST_BYTES_MAX {
            return None;
        }
    }
}
