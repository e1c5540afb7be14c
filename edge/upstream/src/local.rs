//! Connecting to a Unix socket of this machine. Knows no request.

use std::path::Path;
use std::pin::pin;
use std::time::Duration;
use tentpole_model::Cause;
use tentpole_runtime::deadline::Deadline;
use tentpole_runtime::unix;
use tokio::net::TcpStream;

/// Where a socket's queue is full, the kernel refuses at once instead of letting wait, as it does with TCP: who cannot get
/// in looks again after this time.
const AGAIN_AFTER: Duration = Duration::from_millis(5);

/// A connection to the socket at `path`. Waits while its queue is full.
///
/// # Errors
/// [`Cause::TimedOut`] when the deadline passes; else what the system said.
pub(crate) async fn connect(path: &Path, deadline: &Deadline) -> Result<TcpStream, Cause> {
    loop {
        match unix::connect(path) {
            Ok(stream) => return Ok(stream),
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(Cause::from(&error)),
        }
        let mut pause = pin!(tokio::time::sleep(AGAIN_AFTER));
        let waited = deadline.guard(|context| std::future::Future::poll(pause.as_mut(), context)).await;
        waited.map_err(|_| Cause::TimedOut)?;
    }
}
