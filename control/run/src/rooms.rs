//! The one place that knows how each room is put to use: provider, fleets, health, admin API. Everything else in this
//! crate knows only the order.

use crate::process::{RelayNow, Shared};
use std::sync::Arc;
use tentpole_admin::{AdminParts, EventKind, Events};
use tentpole_fleet::{FleetParts, Running as Fleets};
use tentpole_health::{Before, Event, Watch, Watching};
use tentpole_model::link::{FromControl, ToControl};
use tentpole_model::{FleetAddresses, FleetStatus, Health, HealthDetails, Instance, Membership, Snapshot};
use tentpole_names::{Files, Followed, Names};
use tentpole_provider::LocalProvider;
use tentpole_relay::{PATIENCE, Relay, RelayParts};
use tentpole_runtime::{InForce, Published, notice};
use tokio::sync::mpsc;

/// What outlives configurations.
pub(crate) struct Rooms {
    provider: Arc<LocalProvider>,
}

/// The rooms of one configuration. Dropping it ends their work; instances and what is published stay.
pub(crate) struct Composed {
    pub(crate) in_force: InForce,
    pub(crate) watching: Watching,
    pub(crate) details: Arc<Published<HealthDetails>>,
    pub(crate) addresses: Arc<Published<FleetAddresses>>,
    pub(crate) statuses: Arc<Published<Vec<FleetStatus>>>,
    pub(crate) fleets: Option<Fleets>,
    /// The wish for the names of its endpoints.
    _names: Followed,
}

impl Rooms {
    /// The provider, which takes over the instances that there are, and what it has to say to the keeper.
    pub(crate) fn new(instances: Vec<Instance>) -> (Self, mpsc::Receiver<FromControl>) {
        let (provider, outbox) = LocalProvider::new(instances);
        (Self { provider }, outbox)
    }

    /// The keeper said something of an instance.
    pub(crate) fn heard(&self, word: &ToControl) {
        self.provider.heard(word);
    }
}

impl Composed {
    /// The rooms of the first configuration of this process.
    pub(crate) async fn start(shared: &Shared, rooms: &Rooms, in_force: InForce) -> Self {
        let (addresses, statuses) = (Published::new(FleetAddresses::default()), Published::new(Vec::new()));
        // Before health, which puts what they say into the first Membership.
        let fleets = Some(fleets(shared, rooms, &in_force, &addresses, &statuses, None));
        let names = shared.names.follow(&in_force.snapshot);
        let details = Published::new(HealthDetails::default());
        let watching = watch(shared, &in_force, &addresses, &details, None).start().await;
        Self { in_force, watching, details, addresses, statuses, fleets, _names: names }
    }

    /// Those of a further one: health looks at its endpoints already, and knows what the one before knew. Fleets have one
    /// master: [`Composed::take_fleets`].
    pub(crate) async fn prepare(shared: &Shared, before: &Self, in_force: InForce) -> Self {
        let statuses = Published::new(Vec::new());
        let addresses = Published::new(slot_addresses(&in_force));
        let knowledge = Some(before.watching.knowledge());
        let names = shared.names.follow(&in_force.snapshot);
        let details = Published::new(HealthDetails::default());
        let watching = watch(shared, &in_force, &addresses, &details, knowledge).start().await;
        Self { in_force, watching, details, addresses, statuses, fleets: None, _names: names }
    }

    /// Cares for the fleets from now on; those of the configuration before must have been dropped.
    pub(crate) fn take_fleets(&mut self, shared: &Shared, rooms: &Rooms, before: Vec<FleetStatus>) {
        let fleets = fleets(shared, rooms, &self.in_force, &self.addresses, &self.statuses, Some(before));
        self.fleets = Some(fleets);
    }

    /// What the admin API shows and turns.
    pub(crate) fn admin_parts(&self, shared: &Shared) -> AdminParts {
        let InForce { version, read_unix_ms, snapshot, membership, dials } = self.in_force.clone();
        AdminParts {
            snapshot,
            membership,
            dials,
            health: self.details.clone(),
            edge: shared.link.clone(),
            fleets: self.statuses.clone(),
            events: shared.events.clone(),
            version: (version, read_unix_ms),
            reload: Some(shared.wishes.clone()),
            upgrade: Some(shared.upgrades.clone()),
            restarts: self.fleets.as_ref().map(Fleets::restarts),
            relay: RelayNow::clone(&shared.relay.get()),
            names: Some(shared.names.clone()),
            pages: shared.pages.clone(),
        }
    }
}

/// Starts the fleets. When this returns, where their instances take traffic is published.
fn fleets(
    shared: &Shared,
    rooms: &Rooms,
    in_force: &InForce,
    addresses: &Arc<Published<FleetAddresses>>,
    status: &Arc<Published<Vec<FleetStatus>>>,
    before: Option<Vec<FleetStatus>>,
) -> Fleets {
    let events = shared.events.clone();
    let parts = FleetParts {
        snapshot: in_force.snapshot.clone(),
        provider: rooms.provider.clone(),
        cells: shared.cells.clone(),
        membership: in_force.membership.clone(),
        dials: in_force.dials.clone(),
        addresses: addresses.clone(),
        status: status.clone(),
        before,
        on_event: Box::new(move |event: String| {
            notice(&event);
            events.add(EventKind::Fleet, event);
        }),
    };
    parts.start()
}

/// Health, and to whom it speaks.
fn watch(
    shared: &Shared,
    in_force: &InForce,
    fleets: &Arc<Published<FleetAddresses>>,
    details: &Arc<Published<HealthDetails>>,
    before: Option<Before>,
) -> Watch {
    let events = shared.events.clone();
    // Taken over from the edge or the configuration before, or nothing yet.
    let initial = Membership::clone(&in_force.membership.get());
    Watch {
        snapshot: in_force.snapshot.clone(),
        membership: in_force.membership.clone(),
        dials: in_force.dials.clone(),
        cells: shared.cells.clone(),
        fleets: fleets.clone(),
        names: shared.names.answers(),
        details: details.clone(),
        initial: Some(initial),
        before,
        on_event: Box::new(move |event: Event| {
            notice(&event);
            if let Health::Down(reason) = event.health {
                events.ejected(&event.pool, reason);
            }
            events.add(EventKind::Health, event.to_string());
        }),
    }
}

/// Where instances take traffic, as the Membership has it.
fn slot_addresses(in_force: &InForce) -> FleetAddresses {
    let membership = in_force.membership.get();
    let pools =
        in_force.snapshot.pools.iter().zip(&membership.pools).map(|(pool, members)| match &pool.fleet {
            Some(_) => members.members.iter().map(|member| member.addresses.first().copied()).collect(),
            None => Vec::new(),
        });
    FleetAddresses { pools: pools.collect() }
}

/// Who looks up names, whatever the configuration. Runs on the calling runtime.
pub(crate) fn names(snapshot: &Snapshot, events: &Arc<Events>) -> Arc<Names> {
    let events = events.clone();
    let on_event = Box::new(move |event: String| {
        notice(&event);
        events.add(EventKind::Health, event);
    });
    Arc::new(Names::start(snapshot.names.clone(), Files::default(), on_event))
}

/// Who tells the content networks of purges, when there are any.
pub(crate) fn relay(snapshot: &Arc<Snapshot>, events: &Arc<Events>) -> Result<RelayNow, String> {
    if snapshot.content_networks.is_empty() {
        return Ok(None);
    }
    let events = events.clone();
    let parts = RelayParts {
        snapshot: snapshot.clone(),
        on_event: Arc::new(move |event: String| {
            notice(&event);
            events.add(EventKind::ContentNetwork, event);
        }),
        patience: PATIENCE,
    };
    let relay = Relay::start(parts).map_err(|error| format!("the system refused a thread: {error}"))?;
    Ok(Some(Arc::new(relay)))
}
