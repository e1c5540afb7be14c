//! The one place that knows how each room is put to use: provider, fleets, health, admin API. Everything else in this
//! crate knows only the order.

use crate::process::Shared;
use std::sync::Arc;
use tentpole_admin::{AdminParts, EventKind, Page};
use tentpole_health::{Event, Watch};
use tentpole_model::link::FromControl;
use tentpole_model::{FleetAddresses, FleetStatus, Instance, InstanceId};
use tentpole_runtime::Published;
use tokio::sync::mpsc;

/// What outlives the start.
pub(crate) struct Rooms {}

/// The fleets as they run.
pub(crate) struct Fleets {}

impl Rooms {
    /// The provider, which takes over the instances that there are, and what it has to say to the keeper.
    pub(crate) fn new(_shared: &Shared, _instances: Vec<Instance>) -> (Self, mpsc::Receiver<FromControl>) {
        (Self {}, mpsc::channel(1).1)
    }

    /// The keeper started an instance.
    pub(crate) fn started(&self, _id: InstanceId, _pid: u32) {}

    /// An instance ended.
    pub(crate) fn exited(&self, _id: InstanceId, _how: String) {}

    /// Starts the fleets, when any pool has one; returns where their instances take traffic.
    pub(crate) fn fleets(
        &self,
        _shared: &Shared,
        _statuses: Arc<Published<Vec<FleetStatus>>>,
    ) -> (Fleets, Arc<Published<FleetAddresses>>) {
        (Fleets {}, Published::new(FleetAddresses::default()))
    }
}

/// Health, and to whom it speaks.
pub(crate) fn watch(shared: &Shared, _addresses: Arc<Published<FleetAddresses>>) -> Watch {
    let events = shared.events.clone();
    Watch {
        snapshot: shared.snapshot.clone(),
        membership: shared.membership.clone(),
        dials: shared.dials.clone(),
        cells: shared.cells.clone(),
        on_event: Box::new(move |event: Event| {
            eprintln!("tentpole: {event}");
            events.add(EventKind::Health, event.to_string());
        }),
    }
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
        pages,
    }
}
