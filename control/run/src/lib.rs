//! Puts the control process together: the keeper's orders on one side, the link to the edge on the other, and between
//! them health, fleets and the admin API, each of which knows nothing of the rest. Begins with what the edge has in
//! force, so that a control process that starts again changes nothing. Ends when the keeper says so or is gone, and
//! what the edge serves then goes on.

mod change;
mod keeper;
mod process;
mod rooms;

pub use process::Process;
pub use tentpole_admin::Page;
pub use tentpole_relay::cannot_tell;

use std::io;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;

/// Threads for what blocks: questions to the edge, files.
const BLOCKING_THREADS_MAX: usize = 16;
/// How long what blocks may take to end when everything ends.
const BLOCKING_END_MAX: Duration = Duration::from_millis(500);

/// Runs a control process on this thread, until the keeper at the other end of the channel ends it or is gone. When it
/// could not start, the keeper was told why, and will say it.
///
/// # Errors
/// When the system gives no reactor, or the channel breaks.
pub fn run(keeper: UnixStream, process: Process) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .build()?;
    let ended = runtime.block_on(process::run(keeper, process));
    // What hangs must not hold up the end.
    runtime.shutdown_timeout(BLOCKING_END_MAX);
    ended
}
