//! The last published values on disk, so that an edge can start alone: read at the start, written after each change.
//! A file is replaced whole, never changed; a write that fails costs that and a line on standard error.

use crate::Shared;
use std::io;
use std::path::Path;
use std::sync::Arc;
use tentpole_model::link::PUBLISHED_FILE;
use tentpole_model::{LastPublished, Snapshot};
use tentpole_runtime::notice;
use tokio::sync::watch;

/// What an edge before this one published last. `None` when there is none or it is broken, and when it is of a
/// configuration that says too little about this one: then control says it anew.
pub fn last_published(state: &Path, snapshot: &Snapshot) -> Option<LastPublished> {
    let text = std::fs::read(state.join(PUBLISHED_FILE)).ok()?;
    let last: LastPublished = serde_json::from_slice(&text).ok()?;
    last.suffices(snapshot).then_some(last)
}

/// Writes after each change, one file at a time; what changed meanwhile is in the next one.
pub(crate) async fn keep(shared: Arc<Shared>, mut changes: watch::Receiver<u64>) {
    while changes.changed().await.is_ok() {
        let Some(published) = shared.published() else { continue };
        if !shared.keeps_file() {
            return;
        }
        let state = shared.parts.state.clone();
        let written = tokio::task::spawn_blocking(move || write(&state, &published)).await;
        if let Ok(Err(error)) = written {
            notice(format_args!(
                "cannot write {}: {error}. An edge that starts again waits for control instead.",
                shared.parts.state.join(PUBLISHED_FILE).display()
            ));
        }
        shared.is_kept.send_replace(true);
    }
}

fn write(state: &Path, published: &LastPublished) -> io::Result<()> {
    // While one edge takes another's place both write, each one file at a time, and the same.
    let new = state.join(format!("{PUBLISHED_FILE}.{}.new", std::process::id()));
    std::fs::write(&new, serde_json::to_vec(published)?)?;
    std::fs::rename(new, state.join(PUBLISHED_FILE))
}
