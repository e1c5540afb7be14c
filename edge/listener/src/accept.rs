//! Accepts connections on one data thread. One too many gets a 503 at once, never a hang. A thread that carries
//! clearly more than the least loaded one hands the socket over before reading from it.

use crate::per_address::{Counted, PerAddress};
use std::future::poll_fn;
use std::io;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;
use tentpole_model::{Refused, Snapshot};
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::ledger::{Ledger, Pressure};
use tentpole_runtime::socket::Socket;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

/// Sockets that may wait for another thread to take them.
const HANDOVERS_MAX: usize = 256;
/// Refused connections that are still read from, so that their 503 arrives before the reset.
const LINGERING_MAX: usize = 256;
/// How long one of them may take.
const LINGER_TIME: Duration = Duration::from_secs(2);
/// How far a thread may be ahead of the least loaded one: this many connections, and a quarter of its own.
const AHEAD_MAX: usize = 8;

/// What the 503 at the door says. Small enough to fit into any send buffer.
const TOO_MANY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 58\r\nRetry-After: 4\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n\
    503: too many visitors right now. Please try again in 4 s\n";

/// What the 429 at the door says.
const TOO_MANY_OF_ADDRESS: &[u8] =
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: text/plain; charset=utf-8\r\n\
    Content-Length: 74\r\nRetry-After: 4\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n\
    429: too many connections from your address. Please close some, try again\n";

/// Counts the open connections of all threads and knows where a socket is best carried.
#[derive(Debug)]
pub struct Doors {
    connections_max: AtomicUsize,
    open: AtomicUsize,
    of_thread: Vec<AtomicUsize>,
    handovers: Vec<mpsc::Sender<Handed>>,
    ledger: Arc<Ledger>,
    per_address: PerAddress,
}

/// What is spoken on a listening socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// HTTP in the clear.
    Clear,
    /// HTTP behind TLS.
    Tls,
}

/// A socket on its way to another thread.
type Handed = (std::net::TcpStream, Port, IpAddr);

/// The sockets that other threads hand to one thread.
pub type Handover = mpsc::Receiver<Handed>;

/// An accepted connection's place; given back when dropped.
#[derive(Debug)]
pub struct Open {
    doors: Arc<Doors>,
    thread: usize,
    /// Where its address is counted.
    counted: Option<usize>,
}

impl Doors {
    /// Doors for `threads` data threads, and for each the sockets handed to it.
    pub fn new(connections_max: usize, threads: usize, ledger: Arc<Ledger>) -> (Arc<Self>, Vec<Handover>) {
        let (handovers, receivers) = (0..threads).map(|_| mpsc::channel(HANDOVERS_MAX)).unzip();
        let of_thread = (0..threads).map(|_| AtomicUsize::new(0)).collect();
        (
            Arc::new(Self {
                connections_max: AtomicUsize::new(connections_max),
                open: AtomicUsize::new(0),
                of_thread,
                handovers,
                ledger,
                per_address: PerAddress::new(connections_max),
            }),
            receivers,
        )
    }

    /// Connections open now, over all threads.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }

    /// From now on as many may be open, in all and of one address, as this Snapshot says. Those that are open stay.
    pub fn follow(&self, snapshot: &Snapshot) {
        self.connections_max.store(snapshot.visitors.connections_max, Ordering::Relaxed);
        self.per_address.set(snapshot);
    }

    /// Connections above the limit of their address that were let in, because it only reports.
    pub fn reported(&self) -> u64 {
        self.per_address.reported()
    }

    pub(crate) fn enter(self: &Arc<Self>, thread: usize, address: IpAddr) -> Result<Open, Refused> {
        if self.ledger.pressure() == Pressure::RefuseConnections {
            return Err(Refused::MemoryFull);
        }
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.connections_max.load(Ordering::Relaxed) {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::TooManyConnections);
        }
        let Counted::In(counted) = self.per_address.enter(address) else {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return Err(Refused::ConnectionsOfAddress);
        };
        self.of_thread[thread].fetch_add(1, Ordering::Relaxed);
        Ok(Open { doors: self.clone(), thread, counted })
    }

    /// The least loaded thread, when `thread` is clearly ahead of it.
    fn better_than(&self, thread: usize) -> Option<usize> {
        let mine = self.of_thread[thread].load(Ordering::Relaxed);
        let loads = self.of_thread.iter().map(|load| load.load(Ordering::Relaxed));
        let (least, load) = loads.enumerate().min_by_key(|&(_, load)| load)?;
        (mine > load + AHEAD_MAX + mine / 4).then_some(least)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.doors.open.fetch_sub(1, Ordering::Relaxed);
        self.doors.of_thread[self.thread].fetch_sub(1, Ordering::Relaxed);
        self.doors.per_address.leave(self.counted);
    }
}

/// Accepts on one listener until `ending` says so; then takes what the kernel already holds, and returns.
/// `serve` gets each connection with its place, `refused` hears of each that got none.
pub async fn accept(
    (listener, port): (TcpListener, Port),
    doors: Arc<Doors>,
    thread: usize,
    mut ending: watch::Receiver<bool>,
    serve: impl Fn(Socket, Port, Open),
    refused: impl Fn(Refused),
) {
    let lingering = Rc::new(std::cell::Cell::new(0));
    loop {
        let accepted = tokio::select! {
            biased;
            accepted = listener.accept() => accepted,
            _ = ending.wait_for(|&ending| ending) => break,
        };
        match accepted {
            Ok((stream, from)) => {
                admit((stream, port, from.ip()), &doors, thread, &lingering, &serve, &refused)
            }
            Err(error) if is_for_one_connection(&error) => {}
            // Out of descriptors or memory: those who wait keep waiting, and we do not spin.
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
    let waiting = |context: &mut std::task::Context<'_>| match listener.poll_accept(context) {
        Poll::Ready(accepted) => Poll::Ready(accepted.ok()),
        Poll::Pending => Poll::Ready(None),
    };
    while let Some((stream, from)) = poll_fn(waiting).await {
        admit((stream, port, from.ip()), &doors, thread, &lingering, &serve, &refused);
    }
}

/// Serves the sockets that other threads hand over, until `ending` says so: then those that are on their way, and none is
/// handed over any more.
pub async fn take_over(
    mut handover: Handover,
    doors: Arc<Doors>,
    thread: usize,
    mut ending: watch::Receiver<bool>,
    serve: impl Fn(Socket, Port, Open),
    refused: impl Fn(Refused),
) {
    loop {
        let handed = tokio::select! {
            biased;
            handed = handover.recv() => handed,
            _ = ending.wait_for(|&ending| ending), if !handover.is_closed() => {
                handover.close();
                continue;
            }
        };
        let Some((stream, port, from)) = handed else { return };
        let Ok(stream) = TcpStream::from_std(stream) else { continue };
        match doors.enter(thread, from) {
            Ok(open) => serve(Socket::new(stream), port, open),
            Err(why) => {
                refused(why);
                if port == Port::Clear {
                    // Rare: the last place went while it was handed over.
                    let _ = stream.try_write(words(why));
                }
            }
        }
    }
}

fn admit(
    (stream, port, from): (TcpStream, Port, IpAddr),
    doors: &Arc<Doors>,
    thread: usize,
    lingering: &Rc<std::cell::Cell<usize>>,
    serve: &impl Fn(Socket, Port, Open),
    refused: &impl Fn(Refused),
) {
    let stream = match doors.better_than(thread) {
        None => stream,
        Some(other) => match hand_over((stream, port, from), &doors.handovers[other]) {
            None => return,
            Some(stream) => stream,
        },
    };
    match doors.enter(thread, from) {
        Ok(open) => serve(Socket::new(stream), port, open),
        // Words would cost a handshake, which is what there is too much of.
        Err(why) if port == Port::Tls => refused(why),
        Err(why) => {
            refused(why);
            if lingering.get() < LINGERING_MAX {
                lingering.set(lingering.get() + 1);
                let lingering = lingering.clone();
                tokio::task::spawn_local(async move {
                    turn_away(Socket::new(stream), words(why)).await;
                    lingering.set(lingering.get() - 1);
                });
            } else {
                // Too many even for that: say it and close; the reset may overtake the words.
                let _ = stream.try_write(words(why));
            }
        }
    }
}

fn words(why: Refused) -> &'static [u8] {
    if why == Refused::ConnectionsOfAddress { TOO_MANY_OF_ADDRESS } else { TOO_MANY }
}

/// Gives the socket to another thread; gives it back when that thread's queue is full.
fn hand_over(
    (stream, port, from): (TcpStream, Port, IpAddr),
    to: &mpsc::Sender<Handed>,
) -> Option<TcpStream> {
    let Ok(place) = to.try_reserve() else { return Some(stream) };
    // A socket that cannot leave the reactor is broken: dropping it closes it.
    if let Ok(stream) = stream.into_std() {
        place.send((stream, port, from));
    }
    None
}

/// Says 503 and reads until the visitor closes: closing with unread bytes would reset the connection and take
/// the words with it (RFC 9112 section 9.6).
async fn turn_away(mut socket: Socket, words: &'static [u8]) {
    let deadline = Deadline::new();
    deadline.set_in(LINGER_TIME);
    let parts = [io::IoSlice::new(words)];
    let said = deadline.guard(|context| socket.poll_write(context, &parts)).await;
    if !matches!(said, Ok(Ok(count)) if count == words.len()) {
        return;
    }
    let _ = deadline.guard(|context| socket.poll_shutdown(context)).await;
    while let Ok(Ok(1..)) = deadline.guard(|context| socket.poll_discard(context)).await {}
}

/// Errors of accept(2) that concern only the connection that was to be accepted.
fn is_for_one_connection(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::Interrupted
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[test]
    fn the_refusal_at_the_door_counts_its_own_length_right() {
        for words in [TOO_MANY, TOO_MANY_OF_ADDRESS] {
            let text = std::str::from_utf8(words).unwrap();
            let (head, body) = text.split_once("\r\n\r\n").unwrap();
            assert!(head.contains(&format!("Content-Length: {}\r\n", body.len())), "{}", body.len());
        }
    }

    #[test]
    fn one_connection_too_many_is_refused_and_a_place_given_back_serves_again() {
        let (doors, _handovers) = Doors::new(2, 1, Ledger::new(1 << 20));
        let first = doors.enter(0, HERE).unwrap();
        let _second = doors.enter(0, HERE).unwrap();
        assert_eq!(doors.enter(0, HERE).unwrap_err(), Refused::TooManyConnections);
        drop(first);
        assert!(doors.enter(0, HERE).is_ok());
    }

    #[test]
    fn a_full_ledger_refuses_new_connections() {
        let ledger = Ledger::new(100);
        ledger.charge(tentpole_runtime::ledger::Account::Cache, 100);
        let (doors, _handovers) = Doors::new(2, 1, ledger);
        assert_eq!(doors.enter(0, HERE).unwrap_err(), Refused::MemoryFull);
    }

    #[test]
    fn a_thread_hands_over_only_when_it_is_clearly_ahead() {
        let (doors, _handovers) = Doors::new(1_000, 2, Ledger::new(1 << 20));
        let _mine: Vec<_> = (0..8).map(|_| doors.enter(0, HERE).unwrap()).collect();
        assert_eq!(doors.better_than(0), None);
        let _more: Vec<_> = (0..8).map(|_| doors.enter(0, HERE).unwrap()).collect();
        assert_eq!(doors.better_than(0), Some(1));
        assert_eq!(doors.better_than(1), None);
    }

    #[tokio::test(flavor = "current_thread")]
    async fn what_is_handed_to_a_thread_that_ends_is_served_there_and_the_next_one_stays() {
        let listener = std::net::TcpListener::bind((HERE, 0)).unwrap();
        let connect = || {
            let stream = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        };
        let (doors, mut handovers) = Doors::new(10, 2, Ledger::new(1 << 20));
        let (stream, next) = (connect(), TcpStream::from_std(connect()).unwrap());
        doors.handovers[1].try_send((stream, Port::Clear, HERE)).unwrap();
        let (_ends, ending) = watch::channel(true);
        let served = std::cell::Cell::new(0);
        let serve = |_, _, _| served.set(served.get() + 1);
        take_over(handovers.remove(1), doors.clone(), 1, ending, serve, |_| {}).await;
        assert_eq!(served.get(), 1);
        assert!(hand_over((next, Port::Clear, HERE), &doors.handovers[1]).is_some());
    }
}
