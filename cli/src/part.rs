//! `tentpole part …`: the processes that the keeper of `tentpole up` starts. Each speaks with the keeper over its
//! standard input and ends when that ends, however the keeper went. Signals are the keeper's to heed: edge and control
//! process go on when one tells them to end. Nobody types this.

mod edge;

use crate::args::WhichPart;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_control::{Page, Process};
use tentpole_runtime::notice::{self, notice};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How long the last words may take to be written.
const SAID_MAX: Duration = Duration::from_millis(500);

/// Runs one part until the keeper ends it or is gone.
pub fn run(part: WhichPart) -> ExitCode {
    let ended = match part {
        WhichPart::Edge => keeper().and_then(edge::run),
        WhichPart::Control => keeper().and_then(control),
        // It outlives a keeper that was killed, for as long as it takes to leave no process behind.
        WhichPart::Check { arguments } => return crate::upgrade::check(arguments),
        WhichPart::Instance { command } => Ok(tentpole_keeper::instance::run(&command)),
    };
    let code = ended.unwrap_or_else(|error| {
        notice(format_args!("a part could not work: {error}"));
        ExitCode::FAILURE
    });
    // Last words.
    notice::finish(SAID_MAX);
    code
}

fn control(keeper: UnixStream) -> io::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let _deaf = runtime.block_on(async { Deaf::new() })?;
    let page = |(path, content_type, body)| Page { path, content_type, body };
    tentpole_control::run(
        keeper,
        Process { pages: tentpole_console::pages().into_iter().map(page).collect() },
    )
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
