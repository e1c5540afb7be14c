//! Another configuration, in two steps that the keeper orders. *Prepare*: everything that may take time or fail, while the
//! old one is in force. *Commit*: fleets change their master, the edge takes the new one, the admin API shows it. A process
//! that dies in between leaves the old one or the new one everywhere: the file that the keeper wrote says which.

use crate::process::{RelayNow, Shared};
use crate::rooms::{self, Composed, Rooms};
use std::collections::HashMap;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use tentpole_admin::AdminParts;
use tentpole_model::link::{FromControl, ToControl};
use tentpole_model::{
    LastPublished, ReloadEnd, ReloadPort, Snapshot, SnapshotFile, Trigger, UpgradeEnd, UpgradePort,
};
use tentpole_runtime::channel::Sender;
use tentpole_runtime::{InForce, Published, notice};
use tokio::sync::{mpsc, oneshot};

/// Requests for a reload, or for an upgrade, that may wait.
pub(crate) const WISHES_MAX: usize = 32;

/// What is ready to be put in force.
struct Ready {
    composed: Composed,
    relay: RelayNow,
}

/// Makes the keeper's changes, one after the other, for ever.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    rooms: Arc<Rooms>,
    mut composed: Composed,
    parts: Arc<Published<AdminParts>>,
    mut changing: mpsc::Receiver<ToControl>,
    to_keeper: Sender,
) {
    // What a control process before this one may have been about to say: the keeper may wait for it.
    let mut in_force = Some(composed.in_force.version);
    let mut ready: Option<Ready> = None;
    loop {
        if let Some(version) = in_force.take() {
            match shared.link.taken(version).await {
                // A keeper that is gone ends this process in another way.
                Ok(()) => _ = to_keeper.send(&FromControl::InForce(version), None).await,
                Err(why) => notice(format_args!("the edge refused version {version}: {why}")),
            }
        }
        match changing.recv().await {
            Some(ToControl::Prepare(file)) => {
                let version = file.version;
                match prepare(&shared, &composed, *file).await {
                    Ok(prepared) => {
                        ready = Some(prepared);
                        _ = to_keeper.send(&FromControl::Prepared(version), None).await;
                    }
                    Err(why) => {
                        _ = to_keeper.send(&FromControl::NotPrepared { version, why }, None).await;
                    }
                }
            }
            Some(ToControl::Commit(version)) => {
                if let Some(next) = ready.take().filter(|next| next.composed.in_force.version == version) {
                    composed = commit(&shared, &rooms, composed, next, &parts);
                    in_force = Some(version);
                }
            }
            Some(_) => {}
            None => std::future::pending().await,
        }
    }
}

async fn prepare(shared: &Shared, before: &Composed, file: SnapshotFile) -> Result<Ready, String> {
    let (membership, dials) = before.in_force.published().fitted(&file.snapshot);
    let in_force = InForce::new(file, membership, dials);
    let relay = match tells_alike(&before.in_force.snapshot, &in_force.snapshot) {
        true => RelayNow::clone(&shared.relay.get()),
        false => rooms::relay(&in_force.snapshot, &shared.events)?,
    };
    let composed = Composed::prepare(shared, before, in_force).await;
    Ok(Ready { composed, relay })
}

/// Without a pause: nothing of this process may do anything between two configurations.
fn commit(
    shared: &Shared,
    rooms: &Rooms,
    before: Composed,
    next: Ready,
    parts: &Published<AdminParts>,
) -> Composed {
    let Ready { mut composed, relay } = next;
    let Composed { in_force: old, watching, statuses, fleets, .. } = before;
    drop((fleets, watching));
    // What was turned since it was prepared.
    let (_, dials) = LastPublished::fitted(&old.published(), &composed.in_force.snapshot);
    composed.in_force.dials.update(|now| (*now != dials).then_some(dials));
    composed.watching.weigh_services();
    shared.link.replace(composed.in_force.clone());
    composed.take_fleets(shared, rooms, statuses.get().to_vec());
    shared.relay.publish(relay);
    parts.publish(composed.admin_parts(shared));
    composed
}

/// Whether content networks are told alike: then who tells them stays, with what waits.
fn tells_alike(before: &Snapshot, next: &Snapshot) -> bool {
    let of = |snapshot: &Snapshot| {
        let sites = snapshot.sites.iter().map(|site| (site.name.clone(), site.hosts.clone()));
        (snapshot.content_networks.clone(), sites.collect::<Vec<_>>())
    };
    next.content_networks == before.content_networks
        && (next.content_networks.is_empty() || of(before) == of(next))
}

/// Those who asked the keeper for something and wait for what comes of it.
pub(crate) struct Wishes<T> {
    to_keeper: mpsc::Sender<FromControl>,
    waiting: Mutex<(u64, HashMap<u64, oneshot::Sender<T>>)>,
}

impl<T> Wishes<T> {
    /// Nobody yet; over this way to the keeper.
    pub(crate) fn new(to_keeper: mpsc::Sender<FromControl>) -> Arc<Self> {
        Arc::new(Self { to_keeper, waiting: Mutex::new((0, HashMap::new())) })
    }

    /// One has ended.
    pub(crate) fn ended(&self, by: Trigger, end: T) {
        let Trigger::Asked(number) = by else { return };
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = waiting.1.remove(&number) {
            // Who asked may have left.
            let _ = asked.send(end);
        }
    }

    fn ask(&self, wish: impl FnOnce(u64) -> FromControl) -> Option<oneshot::Receiver<T>> {
        let (answer, answered) = oneshot::channel();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.1.retain(|_, asked| !asked.is_closed());
        if waiting.1.len() >= WISHES_MAX {
            return None;
        }
        waiting.0 += 1;
        let number = waiting.0;
        self.to_keeper.try_send(wish(number)).ok()?;
        waiting.1.insert(number, answer);
        Some(answered)
    }
}

impl ReloadPort for Wishes<ReloadEnd> {
    fn reload(&self) -> Pin<Box<dyn Future<Output = Option<ReloadEnd>> + Send>> {
        let asked = self.ask(FromControl::Reload);
        Box::pin(async move { asked?.await.ok() })
    }
}

impl UpgradePort for Wishes<UpgradeEnd> {
    fn upgrade(&self, program: Option<PathBuf>) -> Pin<Box<dyn Future<Output = Option<UpgradeEnd>> + Send>> {
        let asked = self.ask(|number| FromControl::Upgrade { number, program });
        Box::pin(async move { asked?.await.ok() })
    }
}
