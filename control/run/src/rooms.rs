//! The one place that knows how each room is put to use: provider, fleets, health, admin API. Everything else in this
//! crate knows only the order.

use crate::process::Shared;
use std::sync::Arc;
use tentpole_admin::{AdminParts, EventKind, Events, Page};
use tentpole_fleet::{FleetParts, Running as Fleets};
use tentpole_health::{Event, Watch};
use tentpole_model::link::{FromControl, ToControl};
use tentpole_model::{FleetAddresses, FleetStatus, Instance, Membership, RelayPort, Snapshot};
use tentpole_provider::LocalProvider;
use tentpole_relay::{PATIENCE, Relay, RelayParts};
use tentpole_runtime::{Published, notice};
use tokio::sync::mpsc;

/// What outlives the start.
pub(crate) struct Rooms {
    provider: Arc<LocalProvider>,
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

    /// Starts the fleets, when any pool has one. When this returns, where their instances take traffic is published.
    pub(crate) fn fleets(
        &self,
        shared: &Shared,
        addresses: &Arc<Published<FleetAddresses>>,
        status: &Arc<Published<Vec<FleetStatus>>>,
    ) -> Option<Fleets> {
        let events = shared.events.clone();
        let parts = FleetParts {
            snapshot: shared.snapshot.clone(),
            provider: self.provider.clone(),
            cells: shared.cells.clone(),
            membership: shared.membership.clone(),
            dials: shared.dials.clone(),
            addresses: addresses.clone(),
            status: status.clone(),
            on_event: Box::new(move |event: String| {
                notice(&event);
                events.add(EventKind::Fleet, event);
            }),
        };
        shared.snapshot.pools.iter().any(|pool| pool.fleet.is_some()).then(|| parts.start())
    }
}

/// Health, and to whom it speaks.
pub(crate) fn watch(shared: &Shared, fleets: Arc<Published<FleetAddresses>>) -> Watch {
    let events = shared.events.clone();
    // Taken over from the edge, or nothing yet.
    let initial = Membership::clone(&shared.membership.get());
    Watch {
        snapshot: shared.snapshot.clone(),
        membership: shared.membership.clone(),
        dials: shared.dials.clone(),
        cells: shared.cells.clone(),
        fleets,
        initial: Some(initial),
        on_event: Box::new(move |event: Event| {
            notice(&event);
            events.add(EventKind::Health, event.to_string());
        }),
    }
}

/// Who tells the content networks of purges, when there are any.
pub(crate) fn relay(
    snapshot: &Arc<Snapshot>,
    events: &Arc<Events>,
) -> Result<Option<Arc<dyn RelayPort>>, String> {
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

/// What the admin API shows and turns.
pub(crate) fn admin_parts(
    shared: &Shared,
    fleets: Arc<Published<Vec<FleetStatus>>>,
    pages: Vec<Page>,
) -> AdminParts {
    AdminParts {
        snapshot: shared.snapshot.clone(),
        membership: shared.membership.clone(),
        dials: shared.dials.clone(),
        edge: shared.link.clone(),
        fleets,
        events: shared.events.clone(),
        relay: shared.relay.clone(),
        pages,
    }
}
