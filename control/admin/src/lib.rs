//! The admin API: metrics, status, recent requests, purges, drains. Listens on loopback only and refuses what a web
//! page in somebody's browser could send: foreign `Host` values (DNS rebinding) and foreign origins. Never on the
//! way of a visitor's request.

mod api;
mod connections;
mod endpoints;
mod error;
mod guard;
mod status;

use connections::Connections;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use tentpole_model::{Dials, Membership, PurgePort, Snapshot};
use tentpole_observe::{Names, Observed};
use tentpole_runtime::{Cells, Instant, Ledger, Published, clock};
use tokio::net::TcpListener;

/// What the API shows and turns.
#[derive(Clone)]
pub struct AdminParts {
    /// What is served.
    pub snapshot: Arc<Snapshot>,
    /// How the endpoints are.
    pub membership: Arc<Published<Membership>>,
    /// The weights in force; drains change them.
    pub dials: Arc<Published<Dials>>,
    /// What the edge counts of each endpoint.
    pub cells: Arc<Cells>,
    /// What the edge counts and records of each request.
    pub observed: Arc<Observed>,
    /// What memory is held for.
    pub ledger: Arc<Ledger>,
    /// Empties the cache.
    pub purge: Arc<dyn PurgePort>,
}

/// The admin API, bound to its address and not yet serving.
#[derive(Debug)]
pub struct Admin {
    listener: TcpListener,
    address: SocketAddr,
}

/// What the handlers share.
struct State {
    parts: AdminParts,
    names: Names,
    started: Instant,
    gate: guard::Gate,
}

impl Admin {
    /// Binds the address; port 0 takes a free one.
    ///
    /// # Errors
    /// When the address is not a loopback address (the API has no passwords), or cannot be bound.
    pub async fn bind(address: SocketAddr) -> io::Result<Self> {
        if !address.ip().is_loopback() {
            let reason = format!("admin address {address} is not a loopback address; use 127.0.0.1 or [::1]");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
        }
        let said = |error: io::Error| {
            let reason = match error.kind() {
                io::ErrorKind::AddrInUse => {
                    "another program already listens there. End it, or choose another address with --admin, or \
                     --admin off."
                        .to_owned()
                }
                _ => error.to_string(),
            };
            io::Error::new(error.kind(), format!("cannot open the admin API on {address}: {reason}"))
        };
        let listener = TcpListener::bind(address).await.map_err(said)?;
        let address = listener.local_addr()?;
        Ok(Self { listener, address })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is ready and the requests under way are answered.
    ///
    /// # Errors
    /// When the listener breaks.
    pub async fn serve(
        self,
        parts: AdminParts,
        stop: impl Future<Output = ()> + Send + 'static,
    ) -> io::Result<()> {
        let names = Names::new(parts.snapshot.clone(), parts.cells.clone());
        let state = Arc::new(State { parts, names, started: clock::now(), gate: guard::Gate::new() });
        axum::serve(Connections::new(self.listener), api::router(state)).with_graceful_shutdown(stop).await
    }
}
