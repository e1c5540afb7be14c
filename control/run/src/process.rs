//! The order of things: the keeper's start, the edge's hello, then the rooms, then word that all is ready. From then on
//! the keeper's messages are handed to whom they concern.

use crate::change::{self, Wishes};
use crate::keeper::{self, Beginning};
use crate::rooms::{self, Composed, Rooms};
use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tentpole_admin::{Admin, Events, Page};
use tentpole_link::{Link, LinkParts};
use tentpole_model::link::{FromControl, ToControl};
use tentpole_model::{LastPublished, PurgeOrder, RelayPort, ReloadEnd, UpgradeEnd};
use tentpole_names::Names;
use tentpole_runtime::channel::{self, Sender};
use tentpole_runtime::{Cells, InForce, Published, notice};
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
/// Changes that wait; the keeper makes one after the other.
const CHANGES_MAX: usize = 8;

/// What a control process is given by who composes it.
#[derive(Debug, Default)]
pub struct Process {
    /// Pages that the admin API serves beside itself: the console.
    pub pages: Vec<Page>,
}

/// Who tells content networks of purges, if there are any.
pub(crate) type RelayNow = Option<Arc<dyn RelayPort>>;

/// What all rooms work on, whatever the configuration.
pub(crate) struct Shared {
    pub(crate) cells: Arc<Cells>,
    pub(crate) link: Arc<Link>,
    pub(crate) events: Arc<Events>,
    /// Where names lead.
    pub(crate) names: Arc<Names>,
    /// Replaced with the configuration.
    pub(crate) relay: Arc<Published<RelayNow>>,
    /// Those who asked for a reload.
    pub(crate) wishes: Arc<Wishes<ReloadEnd>>,
    /// Those who asked for an upgrade.
    pub(crate) upgrades: Arc<Wishes<UpgradeEnd>>,
    pub(crate) pages: Vec<Page>,
}

/// What begins.
struct Begun {
    shared: Arc<Shared>,
    in_force: InForce,
    admin: Option<Admin>,
}

/// Runs until the keeper ends it or is gone.
pub(crate) async fn run(keeper: UnixStream, process: Process) -> io::Result<ExitCode> {
    let (to_keeper, mut keeper) = channel::open(keeper)?;
    let Some(mut beginning) = keeper::beginning(&mut keeper).await? else { return Ok(ExitCode::SUCCESS) };
    let (to_wish, wished) = mpsc::channel(change::WISHES_MAX);
    let wishes = (Wishes::new(to_wish.clone()), Wishes::new(to_wish));
    let begun = match begin(&beginning, process.pages, wishes) {
        Ok(begun) => begun,
        Err(why) => {
            to_keeper.send(&FromControl::Failed(why), None).await?;
            return Ok(ExitCode::FAILURE);
        }
    };
    let shared = begun.shared.clone();
    let mut tasks = JoinSet::new();
    let (links, coming) = mpsc::channel(LINKS_MAX);
    tasks.spawn(serve_links(shared.link.clone(), coming));
    for beside in std::mem::take(&mut beginning.beside) {
        serve_beside(&mut tasks, &shared, beside);
    }
    if let Some(link) = beginning.link {
        hand_over(&links, link).await;
    }
    let (rooms, outbox) = Rooms::new(beginning.instances);
    let rooms = Arc::new(rooms);
    tasks.spawn(relay(outbox, to_keeper.clone()));
    tasks.spawn(relay(wished, to_keeper.clone()));
    let (end, ending) = watch::channel(false);
    let last = keeper::last_published(&beginning.state);
    let (changes, changing) = mpsc::channel(CHANGES_MAX);
    let composed = tokio::spawn(compose(begun, rooms.clone(), to_keeper, last, changing, ending));
    let in_order = loop {
        match keeper.receive::<ToControl>().await? {
            Some(ToControl::Link) => hand_over(&links, UnixStream::from(keeper.descriptor()?)).await,
            Some(ToControl::LinkBeside) => {
                while tasks.try_join_next().is_some() {}
                serve_beside(&mut tasks, &shared, UnixStream::from(keeper.descriptor()?));
            }
            Some(word @ (ToControl::Started { .. } | ToControl::Exited { .. })) => rooms.heard(&word),
            Some(ToControl::Restarted { part, how }) => shared.events.restarted(&part, &how),
            Some(word @ (ToControl::Prepare(_) | ToControl::Commit(_))) => {
                // More than these the keeper does not send without an answer.
                let _ = changes.try_send(word);
            }
            Some(ToControl::Reloaded { by, end }) => {
                shared.events.reloaded(by, &end);
                shared.wishes.ended(by, end);
            }
            Some(ToControl::Upgrading(progress)) => shared.events.upgrading(progress),
            Some(ToControl::Upgraded { by, end }) => {
                shared.events.upgraded(by, &end);
                shared.upgrades.ended(by, end);
            }
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
fn begin(
    beginning: &Beginning,
    pages: Vec<Page>,
    (wishes, upgrades): (Arc<Wishes<ReloadEnd>>, Arc<Wishes<UpgradeEnd>>),
) -> Result<Begun, String> {
    let in_force = InForce::at_first(keeper::snapshot(&beginning.state)?);
    let admin = match &beginning.admin {
        Some(listener) => {
            let admin = listener.try_clone().and_then(Admin::from_listener);
            Some(admin.map_err(|error| format!("cannot open the admin API: {error}"))?)
        }
        None => None,
    };
    let cells = Cells::new();
    let events = Arc::new(Events::new());
    let relay = Published::new(rooms::relay(&in_force.snapshot, &events)?);
    let on_purge = {
        let relay = relay.clone();
        move |order: &PurgeOrder| relay.get().iter().for_each(|relay| relay.pass_on(order))
    };
    let link = Link::new(LinkParts {
        in_force: in_force.clone(),
        cells: cells.clone(),
        on_purge: Arc::new(on_purge),
    });
    let names = rooms::names(&in_force.snapshot, &events);
    let shared = Shared { cells, link, events, names, relay, wishes, upgrades, pages };
    Ok(Begun { shared: Arc::new(shared), in_force, admin })
}

async fn hand_over(links: &mpsc::Sender<UnixStream>, link: UnixStream) {
    // Whoever serves them lives as long as this process.
    let _ = links.send(link).await;
}

/// Serves a link to one more edge. The keeper bounds their number.
fn serve_beside(tasks: &mut JoinSet<()>, shared: &Shared, link: UnixStream) {
    let to = shared.link.clone();
    tasks.spawn(async move { to.serve_beside(link).await });
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

/// Tells the keeper what somebody here has to say.
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
    begun: Begun,
    rooms: Arc<Rooms>,
    to_keeper: Sender,
    last: Option<LastPublished>,
    changing: mpsc::Receiver<ToControl>,
    mut ending: watch::Receiver<bool>,
) {
    let Begun { shared, in_force, admin } = begun;
    // First of all: nothing that is in force may be changed by starting again.
    if timeout(HELLO_MAX, shared.link.hello()).await.is_err() {
        shared.link.begin_with(last);
    }
    let composed = Composed::start(&shared, &rooms, in_force.clone()).await;
    let mut serving = JoinSet::new();
    let parts = Published::new(composed.admin_parts(&shared));
    if let Some(admin) = admin {
        let (mut ending, parts) = (ending.clone(), parts.clone());
        serving.spawn(admin.serve(parts, async move { until(&mut ending).await }));
    }
    tokio::select! {
        _ = timeout(FIRST_INSTANCES_MAX, first_instances(&in_force)) => {}
        // Who ends it now shall not wait for them.
        () = until(&mut ending) => {}
    }
    // A keeper that is gone ends this process in another way.
    let _ = to_keeper.send(&FromControl::Ready, None).await;
    let changing = change::follow(shared, rooms, composed, parts, changing, to_keeper);
    let mut changing = std::pin::pin!(changing);
    let mut serves = true;
    loop {
        tokio::select! {
            () = until(&mut ending) => {
                let _ = serving.join_next().await;
                return;
            }
            () = &mut changing => return,
            Some(ended) = serving.join_next(), if serves => {
                notice(format_args!("the admin API ended: {ended:?}; health goes on"));
                serves = false;
            }
        }
    }
}

/// Returns once it ends.
async fn until(ending: &mut watch::Receiver<bool>) {
    // Without a sender it ends as well.
    let _ = ending.wait_for(|&ending| ending).await;
}

/// Returns once an instance of each fleet takes traffic.
async fn first_instances(in_force: &InForce) {
    loop {
        let (version, membership) = in_force.membership.versioned();
        let serves = |pool: usize| {
            let members = membership.pools.get(pool).map_or(&[][..], |pool| &pool.members);
            members.iter().any(|member| member.health.takes_traffic() && !member.addresses.is_empty())
        };
        let mut fleets = in_force.snapshot.pools.iter().enumerate().filter(|(_, pool)| pool.fleet.is_some());
        if fleets.all(|(at, _)| serves(at)) {
            return;
        }
        in_force.membership.changed_since(version).await;
    }
}
