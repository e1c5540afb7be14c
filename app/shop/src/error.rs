//! Why the shop could not start or had to end, each with what to do about it.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why the shop could not start, or had to end.
#[derive(Debug)]
pub enum ShopError {
    /// The address cannot be listened on.
    Listen {
        /// Which address.
        listen: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The data folder cannot be made or written to.
    Folder {
        /// Which path.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another instance holds the lock of the first fill for too long.
    FillTakesTooLong {
        /// The lock file.
        path: PathBuf,
    },
    /// The folder holds a shop of another version.
    OtherVersion {
        /// The database's file.
        path: PathBuf,
    },
    /// The database cannot be opened or filled.
    Database {
        /// The database's file.
        path: PathBuf,
        /// What it said.
        source: sqlx::Error,
    },
    /// The listening socket failed.
    Socket(io::Error),
    /// The runtime or its signals cannot be set up.
    Runtime(io::Error),
}

impl fmt::Display for ShopError {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen { listen, source } if source.kind() == io::ErrorKind::AddrInUse => write!(
                out,
                "the shop cannot listen on {listen}: another program does. End it, or choose another port (0 takes any)"
            ),
            Self::Listen { listen, source } => {
                write!(out, "the shop cannot listen on {listen}: {source}. Choose an address of this machine")
            }
            Self::Folder { path, source } => write!(
                out,
                "the shop cannot write to {}: {source}. Its data folder must be one that this user may write to",
                path.display()
            ),
            Self::FillTakesTooLong { path } => write!(
                out,
                "another instance has held {} for 60 s. If none is starting, remove the file and start again",
                path.display()
            ),
            Self::OtherVersion { path } => write!(
                out,
                "{} was made by another version of the shop. Start with an empty data folder, or remove the file",
                path.display()
            ),
            Self::Database { path, source } => {
                write!(out, "the shop's database {} cannot be used: {source}", path.display())
            }
            Self::Socket(source) => write!(out, "the shop's socket failed: {source}"),
            Self::Runtime(source) => write!(out, "the shop cannot set up its threads or signals: {source}"),
        }
    }
}

impl std::error::Error for ShopError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Listen { source, .. } | Self::Folder { source, .. } => Some(source),
            Self::Socket(source) | Self::Runtime(source) => Some(source),
            Self::Database { source, .. } => Some(source),
            Self::FillTakesTooLong { .. } | Self::OtherVersion { .. } => None,
        }
    }
}
