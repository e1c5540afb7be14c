//! The order of things: the keeper's start, the edge's hello, then the rooms, then word that all is ready. From then on
//! the keeper's messages are handed to whom they concern.

use crate::keeper::{self, Beginning};
use crate::rooms::{self, Rooms};
use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tentpole_admin::{Admin, Events, Page};
use tentpole_link::{Link, LinkParts};
use tentpole_model::link::{FromControl, LastPublished, ToControl};
use tentpole_model::{Dials, FleetAddresses, Membership, PurgeOrder, RelayPort, Snapshot};
use tentpole_runtime::channel::{self, Sender};
use tentpole_runtime::{Cells, Published, notice};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

/// How long the edge's hello is waited for.
const HELLO_MAX: Duration = Duration::from_secs(2);
/// How long fleets may take until their first instances take traffic, before all is called ready without them.
const FIRST_INSTANCES_MAX: Duration = Duration::from_secs(20);
/// How long requests to the admin API may take to end when everything ends.
const ADMIN_END_MAX: Duration = Duration::from_secs(2);
/// Links that wait to be taken over; only the last one counts.
const LINKS_MAX: usize = 4;

/// What a control process is given by who composes it.
#[derive(Debug, Default)]
pub struct Process {
    /// Pages that the admin API serves beside itself: the console.
    pub pages: Vec<Page>,
}

/// What all rooms work on.
pub(crate) struct Shared {
    pub(crate) snapshot: Arc<Snapshot>,
    pub(crate) membership: Arc<Published<Membership>>,
    pub(crate) dials: Arc<Published<Dials>>,
    pub(crate) cells: Arc<Cells>,
    pub(crate) link: Arc<Link>,
    pub(crate) events: Arc<Events>,
    pub(crate) relay: Option<Arc<dyn RelayPort>>,
}

/// Runs until the keeper ends it or is gone.
pub(crate) async fn run(keeper: UnixStream, process: Process) -> io::Result<ExitCode> {
    let (to_keeper, mut keeper) = channel::open(keeper)?;
    let Some(beginning) = keeper::beginning(&mut keeper).await? else { return Ok(ExitCode::SUCCESS) };
    let (shared, admin) = match begin(&beginning) {
        Ok(begun) => begun,
        Err(why) => {
            to_keeper.send(&FromControl::Failed(why), None).await?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let mut tasks = JoinSet::new();
    let (links, coming) = mpsc::channel(LINKS_MAX);
    tasks.spawn(serve_links(shared.link.clone(), coming));
    if let Some(link) = beginning.link {
        hand_over(&links, link).await;
    }
    let (rooms, outbox) = Rooms::new(beginning.instances);
    let rooms = Arc::new(rooms);
    tasks.spawn(relay(outbox, to_keeper.clone()));
    let (end, ending) = watch::channel(false);
    let last = keeper::last_published(&beginning.state);
    let composed =
        tokio::spawn(compose(shared.clone(), rooms.clone(), admin, process.pages, to_keeper, last, ending));
    let in_order = loop {
        match keeper.receive::<ToControl>().await? {
            Some(ToControl::Link) => hand_over(&links, UnixStream::from(keeper.descriptor()?)).await,
            Some(word @ (ToControl::Started { .. } | ToControl::Exited { .. })) => rooms.heard(&word),
            Some(ToControl::Restarted { part, how }) => shared.events.restarted(&part, &how),
            Some(ToControl::Start { .. }) => {}
            Some(ToControl::End) => break true,
            None => break false,
        }
    };
    if in_order {
        // Requests to the admin API get a moment.
        end.send_replace(true);
        let _ = timeout(ADMIN_END_MAX, composed).await;
    }
    Ok(ExitCode::SUCCESS)
}

/// What can fail at the start.
fn begin(beginning: &Beginning) -> Result<(Arc<Shared>, Option<Admin>), String> {
    let snapshot = keeper::snapshot(&beginning.state)?;
    let admin = match &beginning.admin {
        Some(listener) => {
            let admin = listener.try_clone().and_then(Admin::from_listener);
            Some(admin.map_err(|error| format!("cannot open the admin API: {error}"))?)
        }
        None => None,
    };
    let membership = Published::new(Membership::default());
    let dials = Published::new(Dials::from_snapshot(&snapshot));
    let cells = Cells::new();
    let events = Arc::new(Events::new());
    let relay = rooms::relay(&snapshot, &events)?;
    let on_purge = {
        let relay = relay.clone();
        move |order: &PurgeOrder| relay.iter().for_each(|relay| relay.pass_on(order))
    };
    let link = Link::new(LinkParts {
        snapshot: snapshot.clone(),
        membership: membership.clone(),
        dials: dials.clone(),
        cells: cells.clone(),
        on_purge: Arc::new(on_purge),
    });
    Ok((Arc::new(Shared { snapshot, membership, dials, cells, link, events, relay }), admin))
}

async fn hand_over(links: &mpsc::Sender<UnixStream>, link: UnixStream) {
    // Whoever serves them lives as long as this process.
    let _ = links.send(link).await;
}

/// Serves one link after the other; a newer one ends the older one.
async fn serve_links(link: Arc<Link>, mut coming: mpsc::Receiver<UnixStream>) {
    let mut next = coming.recv().await;
    while let Some(stream) = next {
        next = tokio::select! {
            newer = coming.recv() => newer,
            () = link.serve(stream) => coming.recv().await,
        };
    }
}

/// Tells the keeper what the instances' provider has to say.
async fn relay(mut outbox: mpsc::Receiver<FromControl>, to_keeper: Sender) {
    while let Some(message) = outbox.recv().await {
        if to_keeper.send(&message, None).await.is_err() {
            // The keeper is gone: its end of the channel ends this process.
            return;
        }
    }
}

/// Starts the rooms one after the other, and goes on until `ending`.
async fn compose(
    shared: Arc<Shared>,
    rooms: Arc<Rooms>,
    admin: Option<Admin>,
    pages: Vec<Page>,
    to_keeper: Sender,
    last: Option<LastPublished>,
    mut ending: watch::Receiver<bool>,
) {
    // First of all: nothing that is in force may be changed by starting again.
    if timeout(HELLO_MAX, shared.link.hello()).await.is_err() {
        shared.link.begin_with(last);
    }
    let statuses = Published::new(Vec::new());
    // Before health, which puts what they say into the first Membership.
    let addresses = Published::new(FleetAddresses::default());
    let fleets = rooms.fleets(&shared, &addresses, &statuses);
    let watching = rooms::watch(&shared, addresses).start().await;
    let mut serving = JoinSet::new();
    if let Some(admin) = admin {
        let parts = rooms::admin_parts(&shared, statuses, pages);
        let mut ending = ending.clone();
        serving.spawn(admin.serve(parts, async move { until(&mut ending).await }));
    }
    tokio::select! {
        _ = timeout(FIRST_INSTANCES_MAX, first_instances(&shared)) => {}
        // Who ends it now shall not wait for them.
        () = until(&mut ending) => {}
    }
    // A keeper that is gone ends this process in another way.
    let _ = to_keeper.send(&FromControl::Ready, None).await;
    tokio::select! {
        () = until(&mut ending) => {
            let _ = serving.join_next().await;
        }
        Some(ended) = serving.join_next() => {
            notice(format_args!("the admin API ended: {ended:?}; health goes on"));
            until(&mut ending).await;
        }
    }
    drop((watching, fleets));
}

/// Returns once it ends.
async fn until(ending: &mut watch::Receiver<bool>) {
    // Without a sender it ends as well.
    let _ = ending.wait_for(|&ending| ending).await;
}

/// Returns once an instance of each fleet takes traffic.
async fn first_instances(shared: &Shared) {
    loop {
        let (version, membership) = shared.membership.versioned();
        let serves = |pool: usize| {
            let members = membership.pools.get(pool).map_or(&[][..], |pool| &pool.members);
            members.iter().any(|member| member.health.takes_traffic() && !member.addresses.is_empty())
        };
        let mut fleets = shared.snapshot.pools.iter().enumerate().filter(|(_, pool)| pool.fleet.is_some());
        if fleets.all(|(at, _)| serves(at)) {
            return;
        }
        shared.membership.changed_since(version).await;
    }
}
