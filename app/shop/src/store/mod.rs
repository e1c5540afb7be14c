//! The database that all instances share: one SQLite file in the data folder. Opens it, has it filled once, and
//! hands out two pools: one connection that reads, one that writes.

mod catalogue;
mod fill;
mod sessions;

pub use catalogue::{Found, OfferRow, PAGE, ProductPage, Shelf};
pub use sessions::{
    Added, Address, CartLine, LINES_MAX, LineKey, Order, QUANTITY_MAX, SESSION_SECONDS, SessionId,
    random_bytes,
};

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use sqlx::SqlitePool;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};

use crate::error::ShopError;

/// The database's file in the data folder.
pub const FILE: &str = "shop.sqlite";

/// How long a statement waits for another process that writes, and a request for a connection.
const WAIT: Duration = Duration::from_secs(5);

/// The open database. Cloning shares it.
#[derive(Debug, Clone)]
pub struct Store {
    reads: SqlitePool,
    writes: SqlitePool,
    shelves: Arc<[Vec<Shelf>; 3]>,
}

impl Store {
    /// Opens the database in `folder`. The first of several instances that come at once fills it; the others wait.
    ///
    /// # Errors
    /// [`ShopError`] if the folder cannot be written to, or the database not opened or filled.
    pub async fn open(folder: &Path) -> Result<Self, ShopError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| ShopError::Folder { path: folder.to_path_buf(), source })?;
        let path = folder.join(FILE);
        fill::once(folder, &path).await?;
        let opened = async {
            let options = connection(&path);
            let reads = pool(2).connect_with(options.clone().pragma("query_only", "ON")).await?;
            let writes = pool(1).connect_with(options).await?;
            let shelves = Arc::new(catalogue::shelves(&reads).await?);
            Ok(Self { reads, writes, shelves })
        };
        opened.await.map_err(|source| ShopError::Database { path, source })
    }

    /// Whether the database answers.
    ///
    /// # Errors
    /// What the database said.
    pub async fn answers(&self) -> Result<(), sqlx::Error> {
        sqlx::query("SELECT 1").fetch_one(&self.reads).await.map(drop)
    }

    /// Closes all connections.
    pub async fn close(&self) {
        self.reads.close().await;
        self.writes.close().await;
    }
}

fn connection(path: &PathBuf) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        // With a write-ahead log this loses nothing when a process dies; a power cut may take the last moments.
        .synchronous(SqliteSynchronous::Normal)
        .busy_timeout(WAIT)
        .foreign_keys(false)
        .pragma("cache_size", "-8000")
        .pragma("mmap_size", "67108864")
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(WAIT)
        .test_before_acquire(false)
        .idle_timeout(None)
        .max_lifetime(None)
}
