//! Connections of HTTP/2 to endpoints, which carry many requests each: those of one data thread. A task for each connection
//! dials it and moves its frames; requests wait for that and then have no task of their own. Never shares one with another
//! thread, never begins a request on one that its endpoint is about to close.

use crate::connection::not_connected;
use crate::http2::account::{Account, Piece};
use crate::http2::pulse::{Beat, Pulse, Signs};
use crate::http2::stream::Stream;
use crate::http2::wire::{Seen, Wire};
use crate::idle::now_for;
use crate::opening::Opening;
use crate::source::Sources;
use crate::watch::{self, Watch};
use crate::{dial, secure};
use h2::client::{Builder, Connection, SendRequest};
use h2::{Ping, PingPong};
use std::cell::{Cell as Flag, RefCell};
use std::collections::HashMap;
use std::future::{Future, poll_fn};
use std::net::SocketAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tentpole_idle::Need;
use tentpole_model::{Cause, Failure, Phase, Retry, TlsFault};
use tentpole_runtime::clock::{self, Instant};
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::secure::Session;
use tentpole_runtime::socket::Socket;
use tentpole_runtime::{Cell, Ledger};

/// Requests that one connection carries at once, also where the endpoint allows more: then another is made.
const STREAMS_MAX: usize = 100;
/// Content of responses that may lie here unused, over one connection.
const WINDOW_BYTES: u32 = 1 << 20;
/// The same for one request.
const STREAM_WINDOW_BYTES: u32 = 256 * 1024;
/// Content of one request that may wait to be sent.
const OUTGOING_BYTES_MAX: usize = 32 * 1024;
/// Largest head of a response, as for HTTP/1.1.
const HEAD_BYTES_MAX: u32 = 128 * 1024;

/// The connections of one data thread, by the slot of their endpoint's cell.
#[derive(Debug)]
pub struct Carriers {
    ledger: Arc<Ledger>,
    by_slot: RefCell<HashMap<u32, Vec<Rc<Carrier>>>>,
}

/// How a connection is made.
pub struct Dial<'a> {
    /// The right to make it.
    pub opening: Opening,
    /// Where it may lead.
    pub addresses: &'a [SocketAddr],
    /// Where it comes from.
    pub sources: &'a Arc<Sources>,
    /// What it begins with, behind TLS.
    pub session: Option<Box<dyn Session>>,
    /// Time for dialing, handshake and the endpoint's first word together.
    pub timeout: Duration,
    /// How long it is kept without a request.
    pub keep_for: Duration,
    /// How long it may bring nothing while there are requests.
    pub silence: Duration,
}

/// One connection.
pub(crate) struct Carrier {
    pub cell: Arc<Cell>,
    pub https: bool,
    pub seen: Rc<Seen>,
    pub account: Rc<Account>,
    address: Flag<Option<SocketAddr>>,
    state: RefCell<State>,
    /// Requests under way, or about to be.
    live: Flag<usize>,
    /// When the first of them began.
    busy_since: Flag<Instant>,
    streams_max: Flag<usize>,
    keep_for: Duration,
    watch: RefCell<Watch>,
    waiting: RefCell<Vec<Waker>>,
}

enum State {
    Dialing,
    Open(SendRequest<Piece>),
    /// No request begins on it any more, and why.
    Over(Failure),
}

/// The right to one request on a connection; given back when dropped.
#[derive(Debug)]
pub(crate) struct Place(pub Rc<Carrier>);

impl Carriers {
    /// None yet; what they hold in memory is charged there.
    pub fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, by_slot: RefCell::default() }
    }

    /// A request's place on a connection that is there or being made, which does for this need; whether it has served
    /// before.
    pub fn take(&self, slot: u32, need: Need) -> Option<(Stream, bool)> {
        let by_slot = self.by_slot.borrow();
        let all = by_slot.get(&slot)?;
        let now = now_for(need);
        let carrier = all.iter().find(|carrier| carrier.has_room() && carrier.does(need, now))?;
        let is_open = matches!(*carrier.state.borrow(), State::Open(_));
        Some((Stream::new(Place::new(carrier.clone())), is_open))
    }

    /// Whether a connection to the endpoint takes another request.
    pub fn has(&self, slot: u32) -> bool {
        self.by_slot.borrow().get(&slot).is_some_and(|all| all.iter().any(|carrier| carrier.has_room()))
    }

    /// A request's place on a new connection, which is dialed meanwhile.
    pub fn dial(&self, dial: Dial<'_>) -> Stream {
        let Dial { opening, addresses, sources, session, timeout, keep_for, silence } = dial;
        let cell = opening.cell();
        let carrier = Rc::new(Carrier {
            cell: cell.clone(),
            https: session.is_some(),
            seen: Rc::default(),
            account: Account::new(self.ledger.clone()),
            address: Flag::new(None),
            state: RefCell::new(State::Dialing),
            live: Flag::new(0),
            busy_since: Flag::new(clock::coarse()),
            streams_max: Flag::new(STREAMS_MAX),
            keep_for,
            watch: RefCell::default(),
            waiting: RefCell::default(),
        });
        let mut by_slot = self.by_slot.borrow_mut();
        let all = by_slot.entry(cell.slot).or_default();
        all.retain(|carrier| !carrier.is_over());
        all.push(carrier.clone());
        let place = Place::new(carrier.clone());
        drop(by_slot);
        let to = (addresses.to_vec(), sources.clone());
        tokio::task::spawn_local(carry(carrier, opening, to, session, (timeout, silence)));
        Stream::new(place)
    }

    /// Ends what stood unused too long, or is about to be closed by its endpoint.
    pub fn sweep(&self, now: Instant) {
        for all in self.by_slot.borrow_mut().values_mut() {
            all.retain(|carrier| {
                carrier.look(now);
                !carrier.is_over()
            });
        }
    }

    /// No request begins any more on connections to the endpoint that lead to none of these addresses.
    pub fn keep_only(&self, slot: u32, addresses: &[SocketAddr]) {
        if let Some(all) = self.by_slot.borrow_mut().get_mut(&slot) {
            all.retain(|carrier| {
                let stays = carrier.address.get().is_none_or(|address| addresses.contains(&address));
                if !stays {
                    carrier.retire();
                }
                stays
            });
        }
    }

    /// Ends the connections to endpoints that are no longer known.
    pub fn keep_those(&self, is_known: impl Fn(u32) -> bool) {
        self.by_slot.borrow_mut().retain(|&slot, all| {
            let stays = is_known(slot);
            if !stays {
                all.iter().for_each(|carrier| carrier.retire());
            }
            stays
        });
    }

    /// Ends one connection to the endpoint that carries nothing, for another thread; returns whether there was one.
    pub fn drop_one(&self, slot: u32) -> bool {
        let by_slot = self.by_slot.borrow();
        let idle = by_slot.get(&slot).and_then(|all| all.iter().find(|carrier| carrier.is_idle()));
        idle.inspect(|carrier| carrier.retire()).is_some()
    }
}

impl Carrier {
    fn has_room(&self) -> bool {
        !self.is_over() && self.live.get() < self.streams_max.get().clamp(1, STREAMS_MAX)
    }

    fn is_over(&self) -> bool {
        matches!(*self.state.borrow(), State::Over(_))
    }

    fn is_idle(&self) -> bool {
        self.live.get() == 0 && matches!(*self.state.borrow(), State::Open(_))
    }

    /// One that carries something is not about to be closed for standing idle.
    fn does(&self, need: Need, now: Instant) -> bool {
        let below = watch::usable_below(&self.cell, need, now);
        !self.is_idle() || below.is_none_or(|below| self.watch.borrow().idle_at_most(now) < below)
    }

    fn signs(&self, answered: bool) -> Signs {
        Signs {
            alive_at: self.seen.alive_at.get(),
            bytes_read: self.seen.bytes_read.get(),
            busy_since: (self.live.get() > 0).then(|| self.busy_since.get()),
            answered,
        }
    }

    fn look(&self, now: Instant) {
        if !self.is_idle() {
            return;
        }
        let mut watch = self.watch.borrow_mut();
        watch.survived(&self.cell, now);
        if watch.idle(now) >= self.keep_for || !self.does(Need::Usable, now) {
            drop(watch);
            self.retire();
        }
    }

    /// Nothing begins on it any more; what is under way goes on, and then it is closed.
    pub fn retire(&self) {
        if !self.is_over() {
            self.end(Failure::upstream(Phase::Connect, Retry::Unsent, Cause::Closed));
        }
    }

    fn end(&self, why: Failure) {
        // The codec closes the connection with the last of its handles.
        let before = self.state.replace(State::Over(why));
        drop(before);
        self.wake();
    }

    fn wake(&self) {
        std::mem::take(&mut *self.waiting.borrow_mut()).into_iter().for_each(Waker::wake);
    }

    /// Where it leads, once that is known.
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get()
    }

    /// What begins a request, once the connection stands.
    pub fn poll_open(&self, context: &mut Context<'_>) -> Poll<Result<SendRequest<Piece>, Failure>> {
        match &*self.state.borrow() {
            State::Open(send) => Poll::Ready(Ok(send.clone())),
            State::Over(why) => Poll::Ready(Err(*why)),
            State::Dialing => {
                self.waiting.borrow_mut().push(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

impl Place {
    fn new(carrier: Rc<Carrier>) -> Self {
        let before = carrier.live.get();
        carrier.live.set(before + 1);
        if before == 0 {
            carrier.busy_since.set(clock::coarse());
        }
        carrier.account.begin_stream();
        Self(carrier)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let left = self.0.live.get() - 1;
        self.0.live.set(left);
        self.0.account.end_stream();
        if left == 0 {
            self.0.watch.borrow_mut().begin_idle(clock::coarse());
        }
    }
}

/// A connection's whole life.
async fn carry(
    carrier: Rc<Carrier>,
    opening: Opening,
    (addresses, sources): (Vec<SocketAddr>, Arc<Sources>),
    session: Option<Box<dyn Session>>,
    (timeout, silence): (Duration, Duration),
) {
    let deadline = Deadline::new();
    deadline.set_in(timeout);
    let opened = open(&carrier, opening, (&addresses, &sources), session, &deadline).await;
    // Counts as open as long as this lives.
    let (mut connection, _opening) = match opened {
        Ok(opened) => opened,
        Err(cause) => return carrier.end(not_connected(cause)),
    };
    let mut life = Life { pings: connection.ping_pong(), pulse: Pulse::new(silence), deadline };
    poll_fn(|context| {
        carrier.seen.begin_turn();
        let polled = std::pin::Pin::new(&mut connection).poll(context);
        if carrier.seen.content_came.replace(false) {
            carrier.account.count_incoming();
        }
        carrier.streams_max.set(connection.max_concurrent_send_streams());
        if carrier.seen.last_stream.get().is_some() {
            carrier.retire();
        }
        if polled.is_pending() && life.is_over(context, &carrier) {
            // Those who wait on it hear of it when the connection goes, which is now.
            carrier.seen.cause.set(Some(Cause::Silent));
            return Poll::Ready(());
        }
        polled.map(drop)
    })
    .await;
    if carrier.is_idle() {
        carrier.watch.borrow().was_closed(&carrier.cell);
    }
    carrier.retire();
}

/// Asks for signs of life.
struct Life {
    pings: Option<PingPong>,
    pulse: Pulse,
    deadline: Deadline,
}

impl Life {
    /// Whether nobody is at the other end any more. Wakes the task when there is something to look at again.
    fn is_over(&mut self, context: &mut Context<'_>, carrier: &Carrier) -> bool {
        let Some(pings) = &mut self.pings else { return false };
        // What has come since the turn began nobody has seen yet.
        let now = clock::turn().unwrap_or_else(clock::coarse);
        let answered = matches!(pings.poll_pong(context), Poll::Ready(Ok(_)));
        let mut beat = self.pulse.look(now, carrier.signs(answered));
        if beat == Beat::Ask {
            // Refused only while one is under way, and this says when. It wakes the task that writes it.
            let _ = pings.send_ping(Ping::opaque());
            beat = self.pulse.look(now, carrier.signs(false));
        }
        match beat {
            Beat::Until(until) => self.deadline.set_at(until),
            Beat::Rest | Beat::Ask => self.deadline.clear(),
            Beat::Gone => return true,
        }
        let _ = self.deadline.poll_expired(context);
        false
    }
}

/// Until the endpoint has said its first word: then it is HTTP/2 for sure, and how many requests it takes is known.
async fn open(
    carrier: &Carrier,
    opening: Opening,
    (addresses, sources): (&[SocketAddr], &Sources),
    session: Option<Box<dyn Session>>,
    deadline: &Deadline,
) -> Result<(Connection<Wire, Piece>, Opening), Cause> {
    let connect = |address| sources.connect(address);
    let (stream, address, opening) = dial::first_of(addresses, opening, connect, deadline).await?;
    let mut socket = Socket::new(stream);
    if let Some(session) = session {
        secure::shake_hands(&mut socket, session, deadline).await?;
        if socket.alpn() != Some(b"h2") {
            return Err(Cause::Tls(TlsFault::NothingInCommon));
        }
    }
    let seen = &carrier.seen;
    let told = || seen.cause.get().unwrap_or(Cause::Malformed);
    let mut greeting = pin!(
        Builder::new()
            .initial_connection_window_size(WINDOW_BYTES)
            .initial_window_size(STREAM_WINDOW_BYTES)
            .max_header_list_size(HEAD_BYTES_MAX)
            .max_send_buffer_size(OUTGOING_BYTES_MAX)
            .enable_push(false)
            .handshake(Wire::new(socket, seen.clone()))
    );
    seen.begin_turn();
    let greeted = deadline.guard(|context| greeting.as_mut().poll(context)).await;
    let (send, mut connection) = greeted.map_err(|_| Cause::TimedOut)?.map_err(|_| told())?;
    let first_word = deadline.guard(|context| {
        seen.begin_turn();
        match std::pin::Pin::new(&mut connection).poll(context) {
            Poll::Ready(_) => Poll::Ready(Err(told())),
            Poll::Pending if seen.greeted.get() => Poll::Ready(Ok(())),
            Poll::Pending => Poll::Pending,
        }
    });
    first_word.await.map_err(|_| Cause::TimedOut)??;
    carrier.cell.connects.fetch_add(1, Relaxed);
    carrier.address.set(Some(address));
    carrier.streams_max.set(connection.max_concurrent_send_streams());
    if !carrier.is_over() {
        carrier.state.replace(State::Open(send));
        carrier.wake();
    }
    Ok((connection, opening))
}

impl std::fmt::Debug for Carrier {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Carrier").field("cell", &self.cell.authority).field("live", &self.live.get()).finish()
    }
}
