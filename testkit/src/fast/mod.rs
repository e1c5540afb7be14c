//! The fast origin: an origin that costs as little CPU time as possible, because it shares its cores with what is
//! measured. One epoll loop per thread, each with its own `SO_REUSEPORT` listener. Speaks HTTP/1.1 with keep-alive
//! and pipelining. Never misbehaves: for that there is [`crate::origin`].
//!
//! Paths: `/bytes/N` (N bytes, `max-age=3600`), `/text/N` (likewise, HTML that compresses about as well as a page),
//! `/nocache/N` (`no-store`), `/chunked/N`, `/slow/MS`, `/late/MS` (1 KiB, `max-age=3600`, after that time),
//! `/status/CODE`, `/echo` (the request's head and body as received), `/count` (requests served before, other than
//! to `/count`).

mod answers;
mod connection;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use tentpole_runtime::clock::{self, Instant};

use answers::Answers;
use connection::{After, Connection, Shared};

/// Connections per thread; more are refused by closing them.
const CONNECTIONS_MAX: usize = 20_000;
const EVENTS: usize = 512;
const BACKLOG: i32 = 4_096;
/// Sleeps are rounded up to this, epoll's unit.
const TICK: Duration = Duration::from_millis(1);
const LISTENER: Token = Token(usize::MAX);

/// A fast origin that is listening and not yet answering.
#[derive(Debug)]
pub struct FastOrigin {
    address: SocketAddr,
    listeners: Vec<TcpListener>,
}

impl FastOrigin {
    /// Listens at `address` (port 0 takes a free one) for `threads` threads. Errors are the system's.
    pub fn bind(address: SocketAddr, threads: usize) -> io::Result<Self> {
        let first = listen(address)?;
        let address = first.local_addr()?;
        let mut listeners = vec![first];
        for _ in 1..threads.max(1) {
            listeners.push(listen(address)?);
        }
        Ok(Self { address, listeners })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers until the process ends; returns only with an error of the system.
    pub fn run(self) -> io::Result<()> {
        let served = Arc::new(AtomicU64::new(0));
        let threads: Vec<_> = self
            .listeners
            .into_iter()
            .map(|listener| {
                let served = served.clone();
                std::thread::spawn(move || Loop::new(listener, served)?.run())
            })
            .collect();
        for thread in threads {
            thread.join().map_err(|_| io::Error::other("a thread of the origin panicked"))??;
        }
        Ok(())
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    use socket2::{Domain, Protocol, Socket, Type};
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

struct Loop {
    poll: Poll,
    listener: mio::net::TcpListener,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    accepted: u64,
    /// When which place's connection is to be resumed, if it still has this serial then.
    sleepers: BinaryHeap<Reverse<(Instant, usize, u64)>>,
    shared: Shared,
}

impl Loop {
    fn new(listener: TcpListener, served: Arc<AtomicU64>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mut listener = mio::net::TcpListener::from_std(listener);
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        Ok(Self {
            poll,
            listener,
            connections: Vec::new(),
            free: Vec::new(),
            accepted: 0,
            sleepers: BinaryHeap::new(),
            shared: Shared::new(Answers::new(served)),
        })
    }

    fn run(mut self) -> io::Result<()> {
        let mut events = Events::with_capacity(EVENTS);
        loop {
            let timeout = self.sleepers.peek().map(|Reverse((due, ..))| due.since(clock::now()) + TICK);
            match self.poll.poll(&mut events, timeout) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error),
                _ => clock::renew(),
            };
            for event in &events {
                match event.token() {
                    LISTENER => self.accept()?,
                    Token(at) => self.turn(at, event.is_read_closed() || event.is_error()),
                }
            }
            self.wake_sleepers();
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        loop {
            let mut stream = match self.listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                // The visitor left before being accepted, or there is no file descriptor left: others go on.
                Err(_) => continue,
            };
            if self.connections.len() - self.free.len() >= CONNECTIONS_MAX {
                continue;
            }
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or_else(|| {
                self.connections.push(None);
                self.connections.len() - 1
            });
            self.poll.registry().register(&mut stream, Token(at), Interest::READABLE | Interest::WRITABLE)?;
            self.accepted += 1;
            self.connections[at] = Some(Connection::new(stream, self.accepted));
        }
    }

    fn turn(&mut self, at: usize, ended: bool) {
        let Some(Some(connection)) = self.connections.get_mut(at) else { return };
        let serial = connection.serial;
        let after = connection.turn(&mut self.shared, ended);
        self.follow(at, serial, after);
    }

    fn follow(&mut self, at: usize, serial: u64, after: After) {
        match after {
            After::Wait => {}
            After::Sleep(time) => self.sleepers.push(Reverse((clock::now().after(time), at, serial))),
            After::Close => {
                self.connections[at] = None;
                self.free.push(at);
            }
        }
    }

    fn wake_sleepers(&mut self) {
        while let Some(Reverse((due, at, serial))) = self.sleepers.peek().copied() {
            if due > clock::now() {
                return;
            }
            self.sleepers.pop();
            if let Some(Some(connection)) = self.connections.get_mut(at)
                && connection.serial == serial
            {
                let after = connection.resume(&mut self.shared);
                self.follow(at, serial, after);
            }
        }
    }
}
