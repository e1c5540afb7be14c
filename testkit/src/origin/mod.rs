//! The scripted origin: an origin that does in tests what it is told, well or badly, down to the byte. It runs on a
//! thread of its own and remembers every request. Never fast; for that there is [`crate::fast`].
//!
//! ```no_run
//! # async fn example() {
//! use tentpole_testkit::{Origin, Response};
//! let origin = Origin::start().await;
//! origin.on("/a").respond(Response::ok("hello").header("Cache-Control", "max-age=60"));
//! origin.fails_next(1);
//! # }
//! ```

mod response;
mod script;
mod serve;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot, watch};

pub use response::{Response, Step};
pub use script::{Continue, Seen};

use crate::gate::{Gate, Hold, PATIENCE};
use script::{Act, Script};

/// A running origin. Ends when dropped, with all its connections.
#[derive(Debug)]
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
    commands: Option<mpsc::Sender<Command>>,
    thread: Option<JoinHandle<()>>,
}

/// What the test and the origin's thread share.
#[derive(Debug)]
pub(crate) struct Shared {
    script: Mutex<Script>,
    changed: watch::Sender<()>,
}

impl Shared {
    pub(crate) fn script(&self) -> MutexGuard<'_, Script> {
        self.script.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the record and wakes those who wait for it.
    pub(crate) fn record(&self, change: impl FnOnce(&mut Script)) {
        change(&mut self.script());
        self.changed.send_replace(());
    }
}

#[derive(Debug)]
pub(crate) enum Command {
    Stop(oneshot::Sender<()>),
    Start(oneshot::Sender<()>),
}

impl Origin {
    /// An origin on a free port of 127.0.0.1. It answers 404 until told otherwise.
    ///
    /// # Panics
    /// When the system gives no port.
    pub async fn start() -> Self {
        Self::listen(SocketAddr::from(([127, 0, 0, 1], 0))).expect("an origin needs a free port")
    }

    /// An origin at this address; port 0 takes a free one. Errors are the system's.
    pub fn listen(address: SocketAddr) -> io::Result<Self> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { script: Mutex::default(), changed: watch::Sender::new(()) });
        let (commands, received) = mpsc::channel(1);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let theirs = shared.clone();
        let thread = std::thread::Builder::new().name("origin".to_owned()).spawn(move || {
            runtime.block_on(serve::accept(listener, theirs, received));
        })?;
        Ok(Self { address, shared, commands: Some(commands), thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    // ---- What it answers.

    /// What it does with requests for this pattern, whatever their method: a path (`/a`, any query), a path with its
    /// query (`/a?b=1`) or a prefix (`/a/*`). The most exact pattern is taken.
    pub fn on<'a>(&'a self, pattern: &'a str) -> On<'a> {
        On { origin: self, method: None, pattern }
    }

    /// The same for one method only.
    pub fn on_method<'a>(&'a self, method: &'a str, pattern: &'a str) -> On<'a> {
        On { origin: self, method: Some(method), pattern }
    }

    /// What it answers where nothing else was said.
    pub fn otherwise(&self, handler: impl Fn(&Seen) -> Response + Send + Sync + 'static) {
        self.shared.script().otherwise = Some(Act::Handle(Arc::new(handler)));
    }

    /// The next `count` requests are read and the connection closed without an answer.
    pub fn fails_next(&self, count: usize) {
        self.queue(count, &Act::Raw(vec![Step::Close]));
    }

    /// The next `count` requests are read and the connection broken (RST).
    pub fn resets_next(&self, count: usize) {
        self.queue(count, &Act::Raw(vec![Step::Reset]));
    }

    /// The next `count` requests get this answer, whatever they ask for.
    pub fn answers_next(&self, count: usize, response: Response) {
        self.queue(count, &Act::Respond(response));
    }

    fn queue(&self, count: usize, act: &Act) {
        self.shared.script().next.extend(std::iter::repeat_n(act, count).cloned());
    }

    // ---- When it answers.

    /// Waits this long before each answer from now on; zero ends it.
    pub fn delays(&self, time: Duration) {
        self.shared.script().delay = time;
    }

    /// Holds the answers to requests for this pattern until the returned value is released or dropped. The requests
    /// have been read and are in [`Origin::requests`] by then.
    pub fn holds(&self, pattern: &str) -> Hold {
        let gate = Gate::new();
        self.shared.script().hold(pattern, gate.clone());
        Hold(gate)
    }

    // ---- What it does with connections.

    /// Closes connections that have been idle this long, without a word, as applications do.
    pub fn closes_after_idle(&self, time: Duration) {
        self.shared.script().idle_max = Some(time);
    }

    /// A connection that is closed for its idle time reads nothing any more this long before: what a network between
    /// brings about, where the news takes its time and what is sent meanwhile is lost.
    pub fn is_deaf_before_closing(&self, time: Duration) {
        self.shared.script().deaf = time;
    }

    /// Closes each connection after this many requests, without having announced it. (An announcement:
    /// [`Response::closes`].)
    pub fn closes_after(&self, requests: usize) {
        self.shared.script().requests_per_connection = Some(requests);
    }

    /// Stops listening and ends all connections: from now on, connecting is refused.
    pub async fn stops(&self) {
        self.command(Command::Stop).await;
    }

    /// Listens again, at the same port.
    ///
    /// # Panics
    /// When the port has been taken by somebody else.
    pub async fn starts_again(&self) {
        self.command(Command::Start).await;
    }

    async fn command(&self, command: impl FnOnce(oneshot::Sender<()>) -> Command) {
        let (done, wait) = oneshot::channel();
        let commands = self.commands.as_ref().expect("present until dropped");
        commands.send(command(done)).await.expect("the origin's thread runs until it is dropped");
        wait.await.expect("the origin could not do it; its thread says why");
    }

    // ---- What it has seen.

    /// Every request so far, in the order in which they were complete (at most 100,000 are remembered).
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.script().seen.clone()
    }

    /// The requests so far for this path or target.
    pub fn requests_for(&self, target: &str) -> Vec<Seen> {
        let script = self.shared.script();
        script.seen.iter().filter(|seen| seen.target == target || seen.path() == target).cloned().collect()
    }

    /// How many requests came so far.
    pub fn request_count(&self) -> u64 {
        self.shared.script().seen_count
    }

    /// Only counts requests from now on, for long runs.
    pub fn forgets_requests(&self) {
        self.shared.script().forgets = true;
    }

    /// What arrived and was no request, with the reason.
    pub fn malformed(&self) -> Vec<String> {
        self.shared.script().malformed.clone()
    }

    /// How many connections were made so far.
    pub fn connections(&self) -> u64 {
        self.shared.script().connections
    }

    /// How many connections are open now.
    pub fn connections_open(&self) -> usize {
        self.shared.script().connections_open
    }

    /// Waits until at least `count` requests came.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub async fn until_requests(&self, count: u64) {
        self.until(&format!("{count} requests"), |script| script.seen_count >= count).await;
    }

    /// Waits until exactly `count` connections are open.
    ///
    /// # Panics
    /// After [`PATIENCE`].
    pub async fn until_connections_open(&self, count: usize) {
        self.until(&format!("{count} open connections"), |script| script.connections_open == count).await;
    }

    async fn until(&self, what: &str, reached: impl Fn(&Script) -> bool) {
        let mut changed = self.shared.changed.subscribe();
        let wait = async {
            while !reached(&self.shared.script()) {
                changed.changed().await.expect("the sender lives as long as the origin");
            }
        };
        if tokio::time::timeout(PATIENCE, wait).await.is_err() {
            let script = self.shared.script();
            let (open, seen) = (script.connections_open, script.seen_count);
            panic!(
                "waited {PATIENCE:?} for {what} at the origin; it has seen {seen} requests, {open} connections are open"
            );
        }
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.commands.take();
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
            && !std::thread::panicking()
        {
            panic!("the origin's thread panicked");
        }
    }
}

/// What is done with some requests; from [`Origin::on`]. Each method replaces what was said before.
#[derive(Clone, Copy, Debug)]
pub struct On<'a> {
    origin: &'a Origin,
    method: Option<&'a str>,
    pattern: &'a str,
}

impl On<'_> {
    /// This answer, from now on.
    pub fn respond(self, response: Response) -> Self {
        self.set([Act::Respond(response)])
    }

    /// These answers, one after the other; the last one stays.
    pub fn respond_in_turn(self, responses: impl IntoIterator<Item = Response>) -> Self {
        self.set(responses.into_iter().map(Act::Respond))
    }

    /// What this function says.
    pub fn respond_with(self, handler: impl Fn(&Seen) -> Response + Send + Sync + 'static) -> Self {
        self.set([Act::Handle(Arc::new(handler))])
    }

    /// These steps instead of an answer. If they do not end the connection, the next request is read after them.
    pub fn raw(self, steps: impl IntoIterator<Item = Step>) -> Self {
        self.set([Act::Raw(steps.into_iter().collect())])
    }

    /// `101 Switching Protocols` to whatever `Upgrade` asks for, then sends back every byte.
    pub fn upgrades(self) -> Self {
        self.set([Act::Upgrade])
    }

    /// What is done about `Expect: 100-continue`.
    pub fn on_expect(self, behaviour: Continue) -> Self {
        self.rule(|rule| rule.on_expect = behaviour)
    }

    /// Answers when the head has arrived, and reads the body afterwards.
    pub fn before_body(self) -> Self {
        self.rule(|rule| rule.before_body = true)
    }

    fn set(self, acts: impl IntoIterator<Item = Act>) -> Self {
        self.rule(|rule| rule.acts = acts.into_iter().collect())
    }

    fn rule(self, change: impl FnOnce(&mut script::Rule)) -> Self {
        change(self.origin.shared.script().rule(self.method, self.pattern));
        self
    }
}
