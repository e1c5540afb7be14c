//! `tentpole up`: puts edge and control plane together in one process, says in a few lines what it does, and ends
//! when it is asked to: requests in flight finish first, a second Ctrl-C does not wait. The only place that knows
//! all planes.

use crate::say;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tentpole_control::{Control, ControlParts};
use tentpole_model::{AccessLog, Dials, Membership, Snapshot};
use tentpole_observe::observed::THREADS_MAX;
use tentpole_observe::{Drain, Names, Observed};
use tentpole_proxy::{Bound, Edge, EdgeParts};
use tentpole_runtime::{Cells, Published, descriptors};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How often the end of the last request is looked for.
const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Descriptors that are not visitors' connections: logs, probes, listeners, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 128;

/// Serves until a signal ends it.
pub fn run(snapshot: Snapshot) -> ExitCode {
    match start(Arc::new(snapshot)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error.to_string());
            ExitCode::FAILURE
        }
    }
}

fn start(snapshot: Arc<Snapshot>) -> Result<(), Box<dyn std::error::Error>> {
    let descriptors = descriptors::raise_limit();
    let (cells, observed) = (Cells::new(), Observed::new(&snapshot.log));
    let membership = Published::new(Membership::default());
    let dials = Published::new(Dials::from_snapshot(&snapshot));
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = snapshot.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    let listeners = tentpole_listener::bind(&snapshot.listen, threads)?;
    let parts = EdgeParts {
        snapshot: snapshot.clone(),
        membership: membership.clone(),
        dials: dials.clone(),
        cells: cells.clone(),
        observed: observed.clone(),
    };
    let bound = Bound::new(parts, listeners)?;
    let addresses = bound.addresses().to_vec();
    // Before the doors open: the control plane finds the endpoints' addresses.
    let control = Control::start(ControlParts {
        snapshot: snapshot.clone(),
        membership,
        dials,
        cells: cells.clone(),
        observed: observed.clone(),
        ledger: bound.ledger().clone(),
        purge: bound.purger(),
    })?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    // Before anybody is told that we listen: a signal from now on ends us properly.
    let signals = runtime.block_on(async { Signals::new() })?;
    let drain = Drain::start(observed.clone(), Names::new(snapshot.clone(), cells.clone()))
        .map_err(|error| log_error(&snapshot, &error))?;
    let edge = bound.open()?;
    introduce(&snapshot, &addresses, control.admin_address());
    warn_of_few_descriptors(&snapshot, descriptors);
    runtime.block_on(serve_until_ended(edge, signals, &snapshot));
    control.stop();
    // Last: what the data threads recorded to their end is still written.
    drain.stop();
    Ok(())
}

/// What the person who started it needs to know.
fn introduce(snapshot: &Snapshot, addresses: &[SocketAddr], admin: Option<SocketAddr>) {
    let mut lines = vec![format!("tentpole {}", env!("CARGO_PKG_VERSION"))];
    lines.extend(addresses.iter().map(|address| format!("  listening on http://{address}")));
    for pool in &snapshot.pools {
        let endpoints: Vec<String> =
            pool.endpoints.iter().map(|endpoint| format!("http://{}", endpoint.authority())).collect();
        lines.push(format!("  pool {}: {}", pool.name, endpoints.join(", ")));
    }
    lines.push(match admin {
        Some(address) => format!("  admin on http://{address} (/metrics for Prometheus, /api for everybody)"),
        None => "  admin is off".to_owned(),
    });
    lines.push(match (snapshot.log.access, &snapshot.log.file) {
        (AccessLog::Off, _) => "  access log is off (--log json shows each request)".to_owned(),
        (_, Some(file)) => format!("  access log in {}", file.display()),
        (_, None) => "  access log on standard output".to_owned(),
    });
    lines.push("  Ctrl-C ends it; requests in flight finish first\n".to_owned());
    tell(snapshot, &lines.join("\n"));
}

/// Says what we do: on standard output, unless that is the access log's.
fn tell(snapshot: &Snapshot, text: &str) {
    let log_is_there = snapshot.log.access != AccessLog::Off && snapshot.log.file.is_none();
    if log_is_there {
        say::aside(text);
    } else {
        // Nobody reading is no reason to stop serving.
        let _ = say::out(text);
    }
}

fn log_error(snapshot: &Snapshot, error: &std::io::Error) -> String {
    match &snapshot.log.file {
        Some(file) => format!(
            "cannot write the access log {}: {error}. Make its folder, or choose another file with log.file.",
            file.display()
        ),
        None => format!("cannot write the access log: {error}"),
    }
}

/// A visitor costs one descriptor, and another one while an endpoint answers him.
fn warn_of_few_descriptors(snapshot: &Snapshot, limit: Option<u64>) {
    let wanted = 2 * snapshot.visitors.connections_max as u64 + OTHER_DESCRIPTORS;
    if let Some(limit) = limit.filter(|&limit| limit < wanted) {
        let connections = snapshot.visitors.connections_max;
        say::warning(&format!(
            "the system allows {limit} open files; {connections} connections may need {wanted}. Raise the limit \
             (ulimit -n, LimitNOFILE=) or lower limits.connections."
        ));
    }
}

/// The signals that end us.
struct Signals {
    interrupt: Signal,
    terminate: Signal,
    /// The terminal is gone.
    hangup: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
            _ = self.hangup.recv() => {}
        }
    }
}

async fn serve_until_ended(edge: Edge, mut signals: Signals, snapshot: &Snapshot) {
    signals.next().await;
    let seconds = edge.drain_time().as_secs();
    let open = edge.connections();
    tell(
        snapshot,
        &format!(
            "ending: requests in flight have {seconds} s to finish (Ctrl-C again: at once); open connections: {open}\n"
        ),
    );
    edge.end();
    while edge.threads_running() > 0 {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = signals.next() => {
                tell(snapshot, &format!("ended at once; connections still open: {}\n", edge.connections()));
                return;
            }
        }
    }
    match edge.join() {
        0 => tell(snapshot, "ended\n"),
        cut => tell(snapshot, &format!("ended; connections cut after {seconds} s: {cut}\n")),
    }
}
