//! The admin API and the console's pages: metrics, status, the last hour, recent requests, purges, drains. Listens on
//! loopback only and refuses what a web page in somebody's browser could send: foreign `Host` values (DNS rebinding) and
//! foreign origins. Never on the way of a visitor's request.

mod api;
mod ask;
mod cache;
mod connections;
mod endpoints;
mod error;
mod events;
mod guard;
mod history;
mod ladder;
mod live;
mod metrics;
mod pages;
mod progress;
mod purge;
mod quantile;
mod recorder;
mod reload;
mod restart;
mod rooms;
mod sample;
mod status;
mod upgrade;

pub use events::{EventKind, Events};
pub use metrics::OWN as METRICS_OWN;
pub use pages::Page;

use axum::extract::FromRef;
use connections::Connections;
use recorder::Recorded;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use tentpole_model::{
    Dials, EdgePort, FleetStatus, HealthDetails, Membership, NamesPort, RelayPort, ReloadPort, RestartPort,
    Snapshot, UpgradePort,
};
use tentpole_runtime::{Instant, Published, clock};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// What the API shows and turns.
#[derive(Clone)]
pub struct AdminParts {
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// How the endpoints are.
    pub membership: Arc<Published<Membership>>,
    /// The weights in force; drains change them.
    pub dials: Arc<Published<Dials>>,
    /// Why endpoints are not up.
    pub health: Arc<Published<HealthDetails>>,
    /// The edge: what it counted, and who purges.
    pub edge: Arc<dyn EdgePort>,
    /// What the fleets do.
    pub fleets: Arc<Published<Vec<FleetStatus>>>,
    /// What happened lately; drains and purges are added to it.
    pub events: Arc<Events>,
    /// The version of what is served, and when it was read, in milliseconds since 1970.
    pub version: (u64, u64),
    /// Who reads the configuration again; `None` when nobody can.
    pub reload: Option<Arc<dyn ReloadPort>>,
    /// Who restarts instances of fleets one by one; `None` when nobody can.
    pub restarts: Option<Arc<dyn RestartPort>>,
    /// Who puts another program in the place of this one; `None` when nobody can.
    pub upgrade: Option<Arc<dyn UpgradePort>>,
    /// Who tells content networks of purges; `None` when there are none.
    pub relay: Option<Arc<dyn RelayPort>>,
    /// Who looks up names, if anybody does.
    pub names: Option<Arc<dyn NamesPort>>,
    /// The console; empty for the API alone.
    pub pages: Vec<Page>,
}

/// The admin API on its socket, not yet serving.
#[derive(Debug)]
pub struct Admin {
    listener: std::net::TcpListener,
    address: SocketAddr,
}

/// What the handlers share, as of one configuration.
struct State {
    parts: Arc<AdminParts>,
    started: Instant,
    gate: Arc<guard::Gate>,
    questions: Arc<Semaphore>,
    recorded: Arc<Mutex<Recorded>>,
}

/// The state of the moment: each request has one of its own from beginning to end.
#[derive(Clone)]
struct Current {
    parts: Arc<Published<AdminParts>>,
    first: Arc<State>,
}

impl FromRef<Current> for Arc<State> {
    fn from_ref(current: &Current) -> Self {
        let State { started, gate, questions, recorded, .. } = &*current.first;
        Self::new(State {
            parts: current.parts.get(),
            started: *started,
            gate: gate.clone(),
            questions: questions.clone(),
            recorded: recorded.clone(),
        })
    }
}

impl Admin {
    /// Takes a socket that listens already.
    ///
    /// # Errors
    /// When its address is not a loopback address (the API has no passwords), or the socket is not usable.
    pub fn from_listener(listener: std::net::TcpListener) -> io::Result<Self> {
        let address = listener.local_addr()?;
        if !address.ip().is_loopback() {
            let reason = format!("admin address {address} is not a loopback address; use 127.0.0.1 or [::1]");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        listener.set_nonblocking(true)?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves what `parts` are at each moment, and records the last hour, until `stop` is ready and the requests under way are answered. Runs inside a
    /// tokio runtime.
    ///
    /// # Errors
    /// When the listener breaks.
    ///
    /// # Panics
    /// When two pages have the same path, or one has a path of the API.
    pub async fn serve(
        self,
        parts: Arc<Published<AdminParts>>,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let first = Arc::new(State {
            parts: parts.get(),
            started: clock::now(),
            gate: Arc::new(guard::Gate::new()),
            questions: Arc::new(Semaphore::new(ask::QUESTIONS_MAX)),
            recorded: Arc::default(),
        });
        let state = Current { parts, first };
        // Ends with this function, however it ends.
        let mut recording = JoinSet::new();
        recording.spawn(recorder::record(state.clone()));
        let listener = TcpListener::from_std(self.listener)?;
        axum::serve(Connections::new(listener), api::router(state)).with_graceful_shutdown(stop).await
    }
}
