//! What the keeper says first, and what is made of it.

use std::io;
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use tentpole_model::link::{PUBLISHED_FILE, SNAPSHOT_FILE, ToControl};
use tentpole_model::{Instance, LastPublished, SnapshotFile};
use tentpole_runtime::channel::Receiver;

/// Everything to begin with.
pub(crate) struct Beginning {
    pub(crate) state: PathBuf,
    pub(crate) admin: Option<TcpListener>,
    pub(crate) instances: Vec<Instance>,
    /// A link that came before the start.
    pub(crate) link: Option<UnixStream>,
    /// Links to further edges that did.
    pub(crate) beside: Vec<UnixStream>,
}

/// Waits for the start; `None` when the keeper ends it before, or is gone.
pub(crate) async fn beginning(keeper: &mut Receiver) -> io::Result<Option<Beginning>> {
    let (mut link, mut beside) = (None, Vec::new());
    loop {
        match keeper.receive::<ToControl>().await? {
            Some(ToControl::Start { state, admin, instances }) => {
                let admin = if admin { Some(TcpListener::from(keeper.descriptor()?)) } else { None };
                return Ok(Some(Beginning { state, admin, instances, link, beside }));
            }
            Some(ToControl::Link) => link = Some(UnixStream::from(keeper.descriptor()?)),
            Some(ToControl::LinkBeside) => beside.push(UnixStream::from(keeper.descriptor()?)),
            Some(ToControl::End) | None => return Ok(None),
            // Instances belong to the start, which comes first.
            Some(_) => {}
        }
    }
}

/// The Snapshot that the keeper has written.
pub(crate) fn snapshot(state: &Path) -> Result<SnapshotFile, String> {
    let file = state.join(SNAPSHOT_FILE);
    let unreadable = |error: &dyn std::fmt::Display| format!("cannot read {}: {error}", file.display());
    let text = std::fs::read(&file).map_err(|error| unreadable(&error))?;
    serde_json::from_slice(&text).map_err(|error| unreadable(&error))
}

/// What the edge kept on disk, for when no edge is there to say it. Whether it fits is for the link to see.
pub(crate) fn last_published(state: &Path) -> Option<LastPublished> {
    serde_json::from_slice(&std::fs::read(state.join(PUBLISHED_FILE)).ok()?).ok()
}
