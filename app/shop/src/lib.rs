//! The reference shop: a server-rendered fashion store in three markets (S1.1, S3), several instances of which may
//! share one data folder (S4.1). It stands behind an edge and knows none: what it says, it says in HTTP headers.
//!
//! Refuses to be more than a demonstration: no payments, no accounts, nothing is sent to anybody.

pub mod catalogue;
pub mod draw;
mod error;
pub mod market;
pub mod money;
pub mod store;
mod web;
pub mod words;

use std::future::Future;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::net::TcpListener as Listener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

pub use error::ShopError;

use axum::serve::ListenerExt as _;

/// How long requests under way may take once the shop has been asked to end.
pub const GRACE: Duration = Duration::from_secs(10);

/// How long expired sessions may lie around.
const TIDY_EVERY: Duration = Duration::from_secs(600);

/// What an instance of the shop is started with.
#[derive(Debug)]
pub struct Options {
    /// A bound, listening socket: port 0 gives any free port.
    pub listener: TcpListener,
    /// The folder that all instances share. It is made if it is missing.
    pub data: PathBuf,
}

impl Options {
    /// Binds `listen`.
    ///
    /// # Errors
    /// [`ShopError::Listen`] if the address cannot be had, for example because another program has it.
    pub fn bind(listen: std::net::SocketAddr, data: impl Into<PathBuf>) -> Result<Self, ShopError> {
        let listener = TcpListener::bind(listen).map_err(|source| ShopError::Listen { listen, source })?;
        Ok(Self { listener, data: data.into() })
    }
}

/// Serves the shop until SIGTERM or SIGINT. Then it accepts nothing more, finishes what is under way within
/// [`GRACE`], and returns. Builds its own runtime of one thread, for an instance is one processor's worth (the database's three
/// connections have a thread each beside it): call it outside of any runtime.
///
/// # Errors
/// [`ShopError`] if the data folder, the database or the socket cannot be used.
pub fn run(options: Options) -> Result<(), ShopError> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(ShopError::Runtime)?;
    let served = runtime.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).map_err(ShopError::Runtime)?;
        let mut interrupt = signal(SignalKind::interrupt()).map_err(ShopError::Runtime)?;
        let stop = async move {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
            }
        };
        serve(options.listener, &options.data, stop).await
    });
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Serves the shop on `listener` until `stop` is ready, then ends as [`run`] does. Needs a tokio runtime with time,
/// input and output.
///
/// # Errors
/// [`ShopError`] if the data folder, the database or the socket cannot be used.
pub async fn serve(
    listener: TcpListener,
    data: &Path,
    stop: impl Future<Output = ()> + Send + 'static,
) -> Result<(), ShopError> {
    let port = listener.local_addr().map_err(ShopError::Socket)?.port();
    listener.set_nonblocking(true).map_err(ShopError::Socket)?;
    let listener = Listener::from_std(listener).map_err(ShopError::Socket)?;
    let store = store::Store::open(data).await?;
    let (asked, mut ending) = watch::channel(false);
    tokio::spawn(tidy(store.clone(), ending.clone()));
    tokio::spawn(async move {
        stop.await;
        let _ = asked.send(true);
    });
    let mut graceful = ending.clone();
    let app = web::router(store.clone(), port);
    let listener = listener.tap_io(|socket| {
        let _ = socket.set_nodelay(true);
    });
    let server = axum::serve(listener, app).with_graceful_shutdown(async move {
        let _ = graceful.wait_for(|ending| *ending).await;
    });
    let out_of_time = async move {
        let _ = ending.wait_for(|ending| *ending).await;
        tokio::time::sleep(GRACE).await;
    };
    let served = tokio::select! {
        served = server.into_future() => served.map_err(ShopError::Socket),
        () = out_of_time => Ok(()),
    };
    store.close().await;
    served
}

/// Removes expired sessions now and then, a bounded number at a time.
async fn tidy(store: store::Store, mut ending: watch::Receiver<bool>) {
    loop {
        if let Err(error) = store.forget_expired_sessions().await {
            eprintln!("shop: expired sessions stay for now: {error}");
        }
        tokio::select! {
            _ = ending.wait_for(|ending| *ending) => return,
            () = tokio::time::sleep(TIDY_EVERY) => {}
        }
    }
}
