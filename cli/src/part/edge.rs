//! The edge's process: takes its sockets from the keeper, opens its doors once it knows the endpoints, and drains when
//! it is told to end.

use super::Deaf;
use std::cell::Cell;
use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tentpole_model::link::{FromEdge, SNAPSHOT_FILE, ToEdge};
use tentpole_model::{Membership, PoolMembers, Snapshot, SnapshotFile};
use tentpole_observe::observed::THREADS_MAX;
use tentpole_observe::{Drain, Names, Observed};
use tentpole_proxy::{Addresses, Beside, Bound, Edge, EdgeParts, Giving};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::{Cells, InForce, Published, clock, descriptors};
use tentpole_uplink::{Link, LinkParts, last_published};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long the doors stay closed for want of a word from control, or of a first instance. Then requests that find no
/// endpoint are told so.
const DOORS_CLOSED_MAX: Duration = Duration::from_secs(20);
/// How long the doors stay closed for a slow disk.
const KEPT_MAX: Duration = Duration::from_secs(2);
/// How often the end of the last request is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// How long control may take to know an edge that takes the place of another; without that it begins empty, for it would
/// not hear of every purge.
const KNOWN_MAX: Duration = Duration::from_secs(10);
/// How long the doors stay closed for what the edge before has stored; the hottest come first, and the rest afterwards.
const REFILL_MAX: Duration = Duration::from_secs(5);
/// How long an edge without connections stays for what it still gives.
const GIVEN_MAX: Duration = Duration::from_secs(60);

/// What the keeper gives before the start.
struct Given {
    state: PathBuf,
    listeners: Vec<Vec<TcpListener>>,
    link: Option<UnixStream>,
    /// Where objects come from, if it takes the place of another.
    take: Option<UnixStream>,
}

/// The keeper's words while the edge runs.
struct Words {
    keeper: Receiver,
    addresses: Addresses,
    /// Sockets for new addresses, by data thread; the addresses come behind them.
    new: Vec<Vec<TcpListener>>,
    beside: Beside,
    /// What is given to another edge.
    giving: Option<Giving>,
}

/// An edge before its doors open.
struct Ready {
    bound: Bound,
    membership: Arc<Published<Membership>>,
    /// Pools whose instances have to be started first; parallel to the Membership's. Empty when the endpoints are known.
    waits_for: Vec<bool>,
    link: Link,
    drain: Drain,
    take: Option<UnixStream>,
}

/// What the keeper says about the end.
#[derive(PartialEq)]
enum Ending {
    /// Another edge serves; visitors stay until they are told.
    Leaves,
    /// Requests in flight finish first.
    InOrder,
    /// The keeper is gone.
    AtOnce,
}

/// Runs the edge until the keeper ends it or is gone.
pub fn run(keeper: UnixStream) -> io::Result<ExitCode> {
    descriptors::raise_limit();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let _deaf = Deaf::new()?;
        let (to_keeper, mut from_keeper) = channel::open(keeper)?;
        let Some(given) = given(&mut from_keeper, &to_keeper).await? else { return Ok(ExitCode::SUCCESS) };
        match make(given).await {
            Ok(ready) => serve(ready, from_keeper, to_keeper).await,
            Err(why) => failed(&to_keeper, why).await,
        }
    })
}

/// Collects what comes before the start; `None` when the end comes first.
async fn given(keeper: &mut Receiver, to_keeper: &Sender) -> io::Result<Option<Given>> {
    let (mut listeners, mut link, mut take): (Vec<Vec<TcpListener>>, _, _) = (Vec::new(), None, None);
    loop {
        match keeper.receive::<ToEdge>().await? {
            Some(ToEdge::Listener { thread }) if thread < THREADS_MAX => {
                add(&mut listeners, thread, TcpListener::from(keeper.descriptor()?))?;
            }
            Some(ToEdge::Listener { thread }) => {
                return Err(io::Error::other(format!("there is no data thread {thread}")));
            }
            Some(ToEdge::Link) => link = Some(UnixStream::from(keeper.descriptor()?)),
            Some(ToEdge::Take) => take = Some(UnixStream::from(keeper.descriptor()?)),
            // It has nothing yet.
            Some(ToEdge::Give) => drop(keeper.descriptor()?),
            Some(ToEdge::Start { state }) => return Ok(Some(Given { state, listeners, link, take })),
            Some(ToEdge::End | ToEdge::Leave) => {
                to_keeper.send(&FromEdge::Ending { connections: 0 }, None).await?;
                to_keeper.send(&FromEdge::Ended { cut: 0 }, None).await?;
                return Ok(None);
            }
            // Addresses are those of the sockets until it has started.
            Some(ToEdge::Listen(_)) => {}
            None => return Ok(None),
        }
    }
}

fn add(listeners: &mut Vec<Vec<TcpListener>>, thread: usize, listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    if listeners.len() <= thread {
        listeners.resize_with(thread + 1, Vec::new);
    }
    listeners[thread].push(listener);
    Ok(())
}

/// Everything that can go wrong before the doors open.
async fn make(given: Given) -> Result<Ready, String> {
    let Given { state, listeners, link: first, take } = given;
    let file = snapshot(&state)?;
    let last = last_published(&state, &file.snapshot);
    let known = last.is_some();
    let in_force = match last {
        Some(last) => {
            let (membership, dials) = last.fitted(&file.snapshot);
            InForce::new(file, membership, dials)
        }
        None => InForce::at_first(file),
    };
    let (snapshot, membership) = (in_force.snapshot.clone(), in_force.membership.clone());
    let (cells, observed) = (Cells::new(), Observed::new(&snapshot.log));
    if listeners.is_empty() {
        return Err("the keeper gave no listening socket".into());
    }
    let parts = EdgeParts {
        in_force: in_force.clone(),
        cells: cells.clone(),
        observed: observed.clone(),
        learning: tentpole_proxy::LearningLimits::default(),
        state: Some(state.clone()),
    };
    let waits_for = match known {
        true => Vec::new(),
        false => snapshot.pools.iter().map(|pool| pool.fleet.is_some()).collect(),
    };
    let mut bound = Bound::new(parts, listeners).map_err(|error| error.to_string())?;
    let beside = bound.beside();
    if take.is_some() {
        beside.expects_refill();
    }
    let names = Names::new(in_force.version, snapshot.clone(), cells.clone());
    let drain =
        Drain::start(observed.clone(), names.clone()).map_err(|error| log_error(&snapshot, &error))?;
    let link = Link::start(LinkParts {
        in_force,
        known,
        reload: {
            let reloader = bound.reloader();
            Arc::new(move |next: &InForce| reloader.reload(next))
        },
        names,
        cells,
        observed,
        ledger: bound.ledger().clone(),
        purge: bound.purger(),
        queued: bound.queued(),
        advice: bound.advice(),
        rooms: bound.rooms(),
        purged: bound.purged().map(|purged| Arc::new(Mutex::new(purged))),
        passing: bound.passing().map(|passing| Arc::new(Mutex::new(passing))),
        beside: Arc::new(move |others| beside.are(others)),
        state,
        started: clock::now(),
        version: env!("CARGO_PKG_VERSION"),
    })
    .map_err(|error| format!("the system refused a thread: {error}"))?;
    if let Some(first) = first {
        link.replace(first).await;
    }
    Ok(Ready { bound, membership, waits_for, link, drain, take })
}

fn snapshot(state: &Path) -> Result<SnapshotFile, String> {
    let file = state.join(SNAPSHOT_FILE);
    let unreadable = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let text = std::fs::read(&file).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

fn log_error(snapshot: &Snapshot, error: &io::Error) -> String {
    match &snapshot.log.file {
        Some(file) => format!(
            "cannot write the access log {}: {error}. Make its folder, or choose another file with log.file.",
            file.display()
        ),
        None => format!("cannot write the access log: {error}"),
    }
}

/// It is the keeper who says it.
async fn failed(to_keeper: &Sender, why: String) -> io::Result<ExitCode> {
    to_keeper.send(&FromEdge::Failed(why), None).await?;
    Ok(ExitCode::FAILURE)
}

async fn serve(ready: Ready, keeper: Receiver, to_keeper: Sender) -> io::Result<ExitCode> {
    let Ready { bound, membership, waits_for, link, drain, take } = ready;
    let beside = bound.beside();
    let mut words =
        Words { keeper, addresses: bound.listening(), new: Vec::new(), beside: beside.clone(), giving: None };
    let told = async {
        // Too late is no error: the doors open all the same.
        let somebody_serves = async {
            // And another edge could take over from the first visitor on, whatever becomes of this one and of control.
            if timeout(DOORS_CLOSED_MAX, until_somebody_serves(&membership, &waits_for)).await.is_ok() {
                let _ = timeout(KEPT_MAX, link.is_kept()).await;
            }
        };
        tokio::join!(somebody_serves, refill(take, &beside, &link));
    };
    let ended_before = tokio::select! {
        () = told => None,
        ending = words.until_end(&link) => Some(ending?),
    };
    let edge = match ended_before {
        None => {
            let edge = match bound.open() {
                Ok(edge) => edge,
                Err(error) => return failed(&to_keeper, error.to_string()).await,
            };
            to_keeper.send(&FromEdge::Open, None).await?;
            let ending = words.until_end(&link).await?;
            // Before it begins to end: idle ones are closed at once.
            let connections = edge.connections();
            match ending {
                // Nobody is left to wait for: not for visitors, and not for a log.
                Ending::AtOnce => std::process::exit(1),
                Ending::InOrder => edge.end(),
                Ending::Leaves => {
                    // The other edge keeps it now.
                    link.keeps_no_file();
                    edge.leave();
                }
            }
            Some((edge, connections))
        }
        Some(Ending::AtOnce) => return Ok(ExitCode::FAILURE),
        Some(Ending::InOrder | Ending::Leaves) => None,
    };
    let connections = edge.as_ref().map_or(0, |(_, connections)| *connections);
    to_keeper.send(&FromEdge::Ending { connections }, None).await?;
    let cut = match edge {
        Some((edge, _)) => finish(edge, &mut words, &to_keeper, &link).await?,
        None => 0,
    };
    drop(link);
    // Last: what the data threads recorded to their end is still written.
    drain.stop();
    to_keeper.send(&FromEdge::Ended { cut }, None).await?;
    Ok(ExitCode::SUCCESS)
}

/// Takes what the edge before has stored. Returns when all of it is there, or enough for the doors to open.
async fn refill(take: Option<UnixStream>, beside: &Beside, link: &Link) {
    if take.is_none() {
        return;
    }
    let known = timeout(KNOWN_MAX, link.is_known()).await;
    if let Some(mut refill) = beside.take(take.filter(|_| known.is_ok())) {
        let _ = timeout(REFILL_MAX, refill.ended()).await;
    }
}

/// Waits until control has told of the pools, and each of those whose instances had to be started first has one that takes
/// traffic.
async fn until_somebody_serves(membership: &Published<Membership>, waits_for: &[bool]) {
    loop {
        let (version, now) = membership.versioned();
        let serves = |pool: &PoolMembers| {
            pool.members.iter().any(|member| member.health.takes_traffic() && !member.addresses.is_empty())
        };
        let is_there = |(at, &waits): (usize, &bool)| match now.pools.get(at) {
            Some(pool) => !waits || serves(pool),
            None => false,
        };
        if waits_for.iter().enumerate().all(is_there) {
            return;
        }
        membership.changed_since(version).await;
    }
}

impl Words {
    /// Takes new links and addresses until the end.
    async fn until_end(&mut self, link: &Link) -> io::Result<Ending> {
        let Self { keeper, addresses, new, beside, giving } = self;
        loop {
            match keeper.receive::<ToEdge>().await? {
                Some(ToEdge::Link) => link.replace(UnixStream::from(keeper.descriptor()?)).await,
                Some(ToEdge::End) => return Ok(Ending::InOrder),
                Some(ToEdge::Leave) => return Ok(Ending::Leaves),
                Some(ToEdge::Listener { thread }) if thread < THREADS_MAX => {
                    add(new, thread, TcpListener::from(keeper.descriptor()?))?;
                }
                Some(ToEdge::Listener { .. }) => drop(keeper.descriptor()?),
                Some(ToEdge::Listen(at)) => addresses.change(std::mem::take(new), &at).await,
                Some(ToEdge::Give) => *giving = Some(beside.give(UnixStream::from(keeper.descriptor()?))),
                Some(ToEdge::Take) => drop(keeper.descriptor()?),
                Some(ToEdge::Start { .. }) => {}
                None => return Ok(Ending::AtOnce),
            }
        }
    }
}

/// Lets requests in flight finish; returns the connections that had to be cut.
async fn finish(edge: Edge, words: &mut Words, to_keeper: &Sender, link: &Link) -> io::Result<usize> {
    {
        let (giving, is_needed) = (words.giving.take(), Cell::new(true));
        let given = clock::now().after(GIVEN_MAX.min(edge.leave_time()));
        let drained = async {
            while edge.threads_running() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
            let is_giving = || is_needed.get() && giving.as_ref().is_some_and(|giving| !giving.is_over());
            while is_giving() && clock::now() < given {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let mut drained = std::pin::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => break,
                ending = words.until_end(link) => {
                    let connections = edge.connections();
                    match ending {
                        Ok(Ending::InOrder) => {
                            is_needed.set(false);
                            edge.end();
                        }
                        Ok(Ending::Leaves) => {}
                        Ok(Ending::AtOnce) | Err(_) => std::process::exit(1),
                    }
                    // Told again: somebody wants to know how far it is.
                    to_keeper.send(&FromEdge::Ending { connections }, None).await?;
                }
            }
        }
    }
    Ok(edge.join())
}
