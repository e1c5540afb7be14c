//! The origin's thread: accepts connections, reads requests and does with each what the script says. Notices when
//! the other side leaves while it waits.

use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, SockRef, Socket, Type};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::response::Step;
use super::script::{Act, Continue, Plan, Seen};
use super::{Command, Response, Shared};
use crate::http::chunked::Decoder;
use crate::http::request::{Framing, Head};

/// Connections at the same time; more are closed at once.
const CONNECTIONS_MAX: usize = 10_000;
/// The longest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024 * 1024;
/// What may arrive while an answer is being sent, in bytes.
const AHEAD_BYTES_MAX: usize = 1024 * 1024;
/// How long the other side may go on sending after the origin has closed.
const LINGER: Duration = Duration::from_secs(2);

/// Accepts until the test drops the origin.
pub(crate) async fn accept(
    listener: StdListener,
    shared: Arc<Shared>,
    mut commands: mpsc::Receiver<Command>,
) {
    let address = listener.local_addr().expect("it was bound");
    let mut listener = Some(TcpListener::from_std(listener).expect("it is not blocking"));
    let mut kept = None;
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            command = commands.recv() => match command {
                None => return,
                Some(Command::Stop(done)) => {
                    listener = None;
                    kept = keeps(address);
                    connections.shutdown().await;
                    done.send(()).ok();
                }
                Some(Command::Start(done)) => {
                    let again = TcpListener::bind(address).await;
                    drop(kept.take());
                    listener = Some(again.unwrap_or_else(|error| panic!("cannot listen again at {address}: {error}")));
                    done.send(()).ok();
                }
            },
            Ok((stream, _)) = accept_one(listener.as_ref()) => {
                if connections.len() < CONNECTIONS_MAX {
                    connections.spawn(Connection::open(stream, shared.clone()).run());
                }
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Keeps the address for this origin while it does not listen: who connects there is refused, and nobody else is given its port.
fn keeps(address: SocketAddr) -> Option<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).ok()?;
    // As the listener has it, which comes to the same address later.
    socket.set_reuse_address(true).ok()?;
    socket.bind(&address.into()).ok()?;
    Some(socket)
}

async fn accept_one(listener: Option<&TcpListener>) -> io::Result<(TcpStream, SocketAddr)> {
    match listener {
        Some(listener) => listener.accept().await,
        None => std::future::pending().await,
    }
}

struct Connection {
    stream: TcpStream,
    shared: Arc<Shared>,
    number: u64,
    input: Vec<u8>,
}

/// The connection is over: closed or broken, by either side.
struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.shared.record(|script| script.connections_open -= 1);
    }
}

impl Connection {
    fn open(stream: TcpStream, shared: Arc<Shared>) -> Self {
        stream.set_nodelay(true).ok();
        let mut number = 0;
        shared.record(|script| {
            script.connections += 1;
            script.connections_open += 1;
            number = script.connections;
        });
        Self { stream, shared, number, input: Vec::new() }
    }

    async fn run(mut self) {
        let mut answered = 0;
        while self.exchange().await.is_ok() {
            answered += 1;
            let max = self.shared.script().requests_per_connection;
            if max.is_some_and(|max| answered >= max) {
                self.close().await.ok();
                return;
            }
        }
    }

    /// One request and its answer.
    async fn exchange(&mut self) -> Result<(), Over> {
        let Some((mut seen, framing, keep_alive, expects)) = self.read_head().await? else {
            return self.close().await;
        };
        let plan = self.shared.script().plan(&seen.method, &seen.target);
        if expects {
            match &plan.on_expect {
                Continue::Sends => self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?,
                Continue::Ignores => {}
                Continue::Refuses(response) => {
                    let steps = response.clone().closes().steps(&seen.method);
                    seen.complete = false;
                    self.shared.record(|script| script.remember(seen));
                    self.perform(steps).await?;
                    return self.close().await;
                }
            }
        }
        if plan.before_body {
            self.answer(&plan, &seen).await?;
            self.read_body(seen, framing).await?;
        } else {
            let seen = self.read_body(seen, framing).await?;
            self.answer(&plan, &seen).await?;
        }
        if keep_alive { Ok(()) } else { self.close().await }
    }

    /// The next head; `None` when there will be none. What is no request is answered with 400.
    async fn read_head(&mut self) -> Result<Option<(Seen, Framing, bool, bool)>, Over> {
        loop {
            match Head::parse(&self.input) {
                Ok(Some(head)) => {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
                    let seen = Seen {
                        connection: self.number,
                        method: text(head.method),
                        target: text(head.target),
                        headers: head.fields().map(|(name, value)| (text(name), text(value))).collect(),
                        head: head.raw.to_vec(),
                        body: Vec::new(),
                        trailers: Vec::new(),
                        complete: true,
                    };
                    let result = (seen, head.framing, head.keep_alive, head.expects_continue);
                    let len = head.raw.len();
                    self.input.drain(..len);
                    return Ok(Some(result));
                }
                Ok(None) => {}
                Err(why) => {
                    let shown = self.input[..self.input.len().min(200)].escape_ascii().to_string();
                    let line = format!("connection {}: {why}: {shown}", self.number);
                    self.shared.record(|script| script.malformed.push(line));
                    self.perform(Response::status(400).closes().steps("GET")).await?;
                    return Ok(None);
                }
            }
            let (idle_max, deaf) = {
                let script = self.shared.script();
                (script.idle_max, script.deaf)
            };
            match idle_max {
                Some(max) => match tokio::time::timeout(max, self.read()).await {
                    Ok(read) => read?,
                    Err(_) => {
                        tokio::time::sleep(deaf).await;
                        return Ok(None);
                    }
                },
                None => self.read().await?,
            }
        }
    }

    /// Reads the body and remembers the request, also if the body is cut off.
    async fn read_body(&mut self, mut seen: Seen, framing: Framing) -> Result<Seen, Over> {
        let read = self.fill_body(&mut seen, framing).await;
        seen.complete = read.is_ok();
        let copy = seen.clone();
        self.shared.record(|script| script.remember(copy));
        read.map(|()| seen)
    }

    async fn fill_body(&mut self, seen: &mut Seen, framing: Framing) -> Result<(), Over> {
        let mut decoder = Decoder::default();
        loop {
            match framing {
                Framing::Length(len) => {
                    let wanted = usize::try_from(len).map_err(|_| Over)? - seen.body.len();
                    let now = wanted.min(self.input.len());
                    seen.body.extend(self.input.drain(..now));
                    if now == wanted {
                        return Ok(());
                    }
                }
                _ => {
                    let taken = decoder.feed(&self.input, &mut seen.body);
                    self.input.drain(..taken.map_err(|why| self.note_malformed(&why.to_string()))?);
                    if decoder.is_done() {
                        seen.trailers = decoder.into_trailers();
                        return Ok(());
                    }
                }
            }
            if seen.body.len() > BODY_BYTES_MAX {
                return Err(self.note_malformed("the body is too long"));
            }
            self.read().await?;
        }
    }

    fn note_malformed(&self, why: &str) -> Over {
        let line = format!("connection {}: {why}", self.number);
        self.shared.record(|script| script.malformed.push(line));
        Over
    }

    async fn answer(&mut self, plan: &Plan, seen: &Seen) -> Result<(), Over> {
        if let Some(gate) = plan.gate.clone() {
            self.unless_gone(gate.pass()).await?;
        }
        if !plan.delay.is_zero() {
            self.unless_gone(tokio::time::sleep(plan.delay)).await?;
        }
        let response = match &plan.act {
            Act::Respond(response) => response.clone(),
            Act::Handle(handler) => handler(seen),
            Act::Raw(steps) => return self.perform(steps.clone()).await,
            Act::Upgrade => return self.upgrade(seen).await,
        };
        let closes = response.closes;
        self.perform(response.steps(&seen.method)).await?;
        if closes { self.close().await } else { Ok(()) }
    }

    async fn perform(&mut self, steps: Vec<Step>) -> Result<(), Over> {
        for step in steps {
            match step {
                Step::Send(bytes) => self.stream.write_all(&bytes).await?,
                Step::Wait(gate) => self.unless_gone(gate.pass()).await?,
                Step::Pause(time) => self.unless_gone(tokio::time::sleep(time)).await?,
                Step::Hang => self.unless_gone(std::future::pending()).await?,
                Step::Close => return self.close().await,
                Step::Reset => {
                    SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                    return Err(Over);
                }
            }
        }
        Ok(())
    }

    async fn upgrade(&mut self, seen: &Seen) -> Result<(), Over> {
        let Some(protocol) = seen.header("upgrade") else {
            return self
                .perform(Response::status(426).header("Upgrade", "websocket").steps(&seen.method))
                .await;
        };
        let head =
            format!("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: {protocol}\r\n\r\n");
        self.stream.write_all(head.as_bytes()).await?;
        loop {
            let echo = std::mem::take(&mut self.input);
            self.stream.write_all(&echo).await?;
            if self.read().await.is_err() {
                return self.close().await;
            }
        }
    }

    /// Reads once; the end is an error, since all that is read is wanted.
    async fn read(&mut self) -> Result<(), Over> {
        match self.stream.read_buf(&mut self.input).await? {
            0 => Err(Over),
            _ => Ok(()),
        }
    }

    /// Waits, but not longer than the other side does.
    async fn unless_gone(&mut self, wait: impl Future<Output = ()>) -> Result<(), Over> {
        tokio::pin!(wait);
        loop {
            tokio::select! {
                biased;
                () = &mut wait => return Ok(()),
                read = self.stream.read_buf(&mut self.input), if self.input.len() < AHEAD_BYTES_MAX => {
                    if read? == 0 {
                        return Err(Over);
                    }
                }
            }
        }
    }

    /// Closes in order. Goes on reading for a while, as unread bytes would turn the close into a reset that destroys
    /// what the other side has not read yet.
    async fn close(&mut self) -> Result<(), Over> {
        self.stream.shutdown().await?;
        let mut rest = [0; 4096];
        let read_all = async { while self.stream.read(&mut rest).await.is_ok_and(|len| len > 0) {} };
        tokio::time::timeout(LINGER, read_all).await.ok();
        Err(Over)
    }
}
