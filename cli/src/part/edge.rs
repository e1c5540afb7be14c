//! The edge's process: takes its sockets from the keeper, opens its doors once it knows the endpoints, and drains when
//! it is told to end.

use super::Deaf;
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
use tentpole_proxy::{Addresses, Bound, Edge, EdgeParts};
use tentpole_runtime::channel::{self, Receiver, Sender};
use tentpole_runtime::{Cells, InForce, Published, clock, descriptors};
use tentpole_uplink::{Link, LinkParts, last_published};
use tokio::sync::Mutex;
use tokio::time::timeout;

/// How long the doors stay closed for want of a word from control, or of a first instance. Then requests that find no
/// endpoint are told so.
const DOORS_CLOSED_MAX: Duration = Duration::from_secs(20);
/// How often the end of the last request is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// What the keeper gives before the start.
struct Given {
    state: PathBuf,
    listeners: Vec<Vec<TcpListener>>,
    link: Option<UnixStream>,
}

/// The keeper's words while the edge runs.
struct Words {
    keeper: Receiver,
    addresses: Addresses,
    /// Sockets for new addresses, by data thread; the addresses come behind them.
    new: Vec<Vec<TcpListener>>,
}

/// An edge before its doors open.
struct Ready {
    bound: Bound,
    membership: Arc<Published<Membership>>,
    /// Pools whose instances have to be started first; parallel to the Membership's. Empty when the endpoints are known.
    waits_for: Vec<bool>,
    link: Link,
    drain: Drain,
}

/// What the keeper says about the end.
#[derive(PartialEq)]
enum Ending {
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
    let (mut listeners, mut link): (Vec<Vec<TcpListener>>, _) = (Vec::new(), None);
    loop {
        match keeper.receive::<ToEdge>().await? {
            Some(ToEdge::Listener { thread }) if thread < THREADS_MAX => {
                add(&mut listeners, thread, TcpListener::from(keeper.descriptor()?))?;
            }
            Some(ToEdge::Listener { thread }) => {
                return Err(io::Error::other(format!("there is no data thread {thread}")));
            }
            Some(ToEdge::Link) => link = Some(UnixStream::from(keeper.descriptor()?)),
            Some(ToEdge::Start { state }) => return Ok(Some(Given { state, listeners, link })),
            Some(ToEdge::End) => {
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
    let Given { state, listeners, link: first } = given;
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
        purged: bound.purged().map(|purged| Arc::new(Mutex::new(purged))),
        state,
        started: clock::now(),
        version: env!("CARGO_PKG_VERSION"),
    })
    .map_err(|error| format!("the system refused a thread: {error}"))?;
    if let Some(first) = first {
        link.replace(first).await;
    }
    Ok(Ready { bound, membership, waits_for, link, drain })
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
    let Ready { bound, membership, waits_for, link, drain } = ready;
    let mut words = Words { keeper, addresses: bound.listening(), new: Vec::new() };
    let told = async {
        // Too late is no error: the doors open all the same.
        let _ = timeout(DOORS_CLOSED_MAX, until_somebody_serves(&membership, &waits_for)).await;
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
            if words.until_end(&link).await? == Ending::AtOnce {
                // Nobody is left to wait for: not for visitors, and not for a log.
                std::process::exit(1);
            }
            Some(edge)
        }
        Some(Ending::AtOnce) => return Ok(ExitCode::FAILURE),
        Some(Ending::InOrder) => None,
    };
    let connections = edge.as_ref().map_or(0, Edge::connections);
    to_keeper.send(&FromEdge::Ending { connections }, None).await?;
    let cut = match edge {
        Some(edge) => finish(edge, &mut words, &to_keeper, &link).await?,
        None => 0,
    };
    drop(link);
    // Last: what the data threads recorded to their end is still written.
    drain.stop();
    to_keeper.send(&FromEdge::Ended { cut }, None).await?;
    Ok(ExitCode::SUCCESS)
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
        let Self { keeper, addresses, new } = self;
        loop {
            match keeper.receive::<ToEdge>().await? {
                Some(ToEdge::Link) => link.replace(UnixStream::from(keeper.descriptor()?)).await,
                Some(ToEdge::End) => return Ok(Ending::InOrder),
                Some(ToEdge::Listener { thread }) if thread < THREADS_MAX => {
                    add(new, thread, TcpListener::from(keeper.descriptor()?))?;
                }
                Some(ToEdge::Listener { .. }) => drop(keeper.descriptor()?),
                Some(ToEdge::Listen(at)) => addresses.change(std::mem::take(new), &at).await,
                Some(ToEdge::Start { .. }) => {}
                None => return Ok(Ending::AtOnce),
            }
        }
    }
}

/// Lets requests in flight finish; returns the connections that had to be cut.
async fn finish(edge: Edge, words: &mut Words, to_keeper: &Sender, link: &Link) -> io::Result<usize> {
    edge.end();
    {
        let drained = async {
            while edge.threads_running() > 0 {
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        let mut drained = std::pin::pin!(drained);
        loop {
            tokio::select! {
                () = &mut drained => break,
                ending = words.until_end(link) => {
                    if !matches!(ending, Ok(Ending::InOrder)) {
                        std::process::exit(1);
                    }
                    // Told again: somebody wants to know how far it is.
                    let connections = edge.connections();
                    to_keeper.send(&FromEdge::Ending { connections }, None).await?;
                }
            }
        }
    }
    Ok(edge.join())
}
