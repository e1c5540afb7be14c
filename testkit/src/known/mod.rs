//! Servers whose breaking point is known by construction: they sleep, and need next to nothing of the machine. `limit` decides what
//! a request gets, `truth` says at which load that breaks, and this asks and answers over real sockets. Speaks as much HTTP/1.1 as
//! visitors of one page do: heads without bodies, on kept connections. Never misbehaves: for that there is [`crate::origin`].

pub mod limit;
pub mod truth;

pub use limit::Limit;
pub use truth::{Crowd, Goal};

use limit::State;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
use tentpole_runtime::clock;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;

/// Connections at once; more are closed.
const CONNECTIONS_MAX: usize = 4_096;
/// A head that is longer closes its connection.
const HEAD_MAX: usize = 16 * 1024;

/// A running server of a known limit. Ends when dropped, with all its connections.
#[derive(Debug)]
pub struct Known {
    address: SocketAddr,
    end: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Known {
    /// One on a free port of 127.0.0.1. Errors are the system's.
    pub fn start(limit: Limit) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (end, ended) = oneshot::channel();
        let thread = std::thread::Builder::new().name("known".to_owned()).spawn(move || {
            runtime.block_on(async move {
                tokio::select! {
                    _ = accept(listener, limit) => {}
                    _ = ended => {}
                }
            });
        })?;
        Ok(Self { address, end: Some(end), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Known {
    fn drop(&mut self) {
        self.end.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

async fn accept(listener: TcpListener, limit: Limit) -> io::Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let (state, open) = (Arc::new(Mutex::new(State::new(limit))), Arc::new(AtomicUsize::new(0)));
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        if open.load(Relaxed) >= CONNECTIONS_MAX {
            continue;
        }
        open.fetch_add(1, Relaxed);
        let (state, open) = (state.clone(), open.clone());
        tokio::spawn(async move {
            // Whoever leaves takes his error with him.
            let _ = converse(stream, &state).await;
            open.fetch_sub(1, Relaxed);
        });
    }
}

async fn converse(mut stream: TcpStream, state: &Mutex<State>) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let mut read = Vec::new();
    loop {
        while let Some(end) = memchr::memmem::find(&read, b"\r\n\r\n") {
            read.drain(..end + 4);
            let now = clock::now();
            let verdict = state.lock().unwrap_or_else(PoisonError::into_inner).ask(now.as_micros());
            if verdict.at_us > now.as_micros() {
                tokio::time::sleep(Duration::from_micros(verdict.at_us - now.as_micros())).await;
            }
            let answer = match verdict.status {
                200 => "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nyes",
                429 => "HTTP/1.1 429 Too Many Requests\r\nContent-Length: 2\r\n\r\nno",
                _ => "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 2\r\n\r\nno",
            };
            stream.write_all(answer.as_bytes()).await?;
        }
        if read.len() > HEAD_MAX || stream.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
}
