//! `tentpole part …`: the processes that the keeper of `tentpole up` starts. Each speaks with the keeper over its
//! standard input and ends when that ends, however the keeper went. Signals are the keeper's to heed: a part that is
//! told to end by one goes on. Nobody types this.

mod edge;

use crate::args::WhichPart;
use crate::say;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Runs one part until the keeper ends it or is gone.
pub fn run(part: WhichPart) -> ExitCode {
    let ended = keeper().and_then(|keeper| match part {
        WhichPart::Edge => edge::run(keeper),
        WhichPart::Control => control(keeper),
    });
    match ended {
        Ok(code) => code,
        Err(error) => {
            say::error(&format!("tentpole part: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn control(keeper: UnixStream) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _deaf = runtime.block_on(async { Deaf::new() })?;
    tentpole_control::run(keeper, tentpole_control::Process::default())
}

/// The channel to the keeper. From here on this process does not outlive it.
fn keeper() -> io::Result<UnixStream> {
    use rustix::process::{Signal, set_parent_process_death_signal};
    // A keeper that was killed ends this process even while its own loop hangs; one that died before this line shows
    // as the end of the channel.
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let channel = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    match channel.peer_addr() {
        Ok(_) => Ok(channel),
        Err(_) => Err(io::Error::other(
            "this is a part of `tentpole up`, which starts it itself; run `tentpole up` instead",
        )),
    }
}

/// Signals that would end this process, heard and not heeded: a service manager sends them to all processes at once,
/// and it is the keeper who ends its parts in order.
struct Deaf {
    _signals: [Signal; 3],
}

impl Deaf {
    /// Needs a tokio runtime.
    fn new() -> io::Result<Self> {
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        let [interrupt, terminate, hangup] = kinds.map(signal);
        Ok(Self { _signals: [interrupt?, terminate?, hangup?] })
    }
}
