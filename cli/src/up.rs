//! `tentpole up`: binds the addresses, hands them to the keeper, says in a few lines what goes on, and ends when the
//! keeper does: requests in flight finish first, a second Ctrl-C does not wait.

use crate::args::Up;
use crate::meant::{self, Again};
use crate::{certificates, ports, programs, say, watch};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use tentpole_keeper::{KeeperEnd, KeeperEvent, KeeperParts, Program, ReloadParts};
use tentpole_model::{
    AccessLog, Endpoint, Lookup, Pool, Refusal, ReloadEnd, Reloaded, Scheme, Snapshot, UpgradeEnd,
};
use tentpole_observe::observed::THREADS_MAX;
use tentpole_runtime::{descriptors, notice};

/// Descriptors that are not visitors' connections: logs, probes, listeners, the runtime's own.
const OTHER_DESCRIPTORS: u64 = 128;

/// Characters of a command that are shown.
const RUN_CHARS_MAX: usize = 80;
/// How long the last words may take to be written.
const SAID_MAX: Duration = Duration::from_secs(1);

/// Serves until a signal ends it.
pub fn run(snapshot: Snapshot, state: Option<PathBuf>, again: Again, watched: bool) -> ExitCode {
    // Before there is another thread, which would take them.
    tentpole_keeper::hold_signals();
    ended(start(snapshot, state, again, watched))
}

/// Goes on with what the program before left on standard input.
pub fn take_over(typed: Up) -> ExitCode {
    let taken = tentpole_keeper::take_over();
    let served = taken.and_then(|taken| {
        let watched = typed.watch;
        let again = meant::again(typed, taken.read_again());
        descriptors::raise_limit();
        let parts = parts(taken.file().snapshot.clone(), again, watched)?;
        keep(KeeperParts { taken_over: Some(taken), ..parts })
    });
    ended(served)
}

fn ended(served: Result<(), String>) -> ExitCode {
    match served {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            say::error(&error);
            ExitCode::FAILURE
        }
    }
}

fn start(snapshot: Snapshot, state: Option<PathBuf>, again: Again, watched: bool) -> Result<(), String> {
    programs::are_there(&snapshot)?;
    for doubt in certificates::look(&snapshot).map_err(|errors| errors.join("\n"))? {
        warn(&doubt);
    }
    for wrong in tentpole_timeouts::order(&snapshot, &[]).warnings {
        warn(&wrong.to_string());
    }
    ports::doubts(&snapshot).iter().for_each(|doubt| warn(doubt));
    // What instances get; the edge needs more.
    let open_files = descriptors::limit();
    let descriptors = descriptors::raise_limit();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = snapshot.threads.unwrap_or(cores).clamp(1, THREADS_MAX);
    let listeners =
        tentpole_listener::bind(&snapshot.addresses(), threads).map_err(|error| error.to_string())?;
    let admin = snapshot.admin.map(bind_admin).transpose()?;
    let addresses: Vec<_> = listeners[0].iter().filter_map(|listener| listener.local_addr().ok()).collect();
    let admin_address = admin.as_ref().and_then(|admin| admin.local_addr().ok());
    let parts = parts(snapshot.clone(), again, watched)?;
    let tell = parts.tell;
    keep(KeeperParts {
        state,
        listeners,
        admin,
        open_files,
        tell: Box::new(move |event| match event {
            KeeperEvent::Open => {
                introduce(&snapshot, &addresses, admin_address);
                warn_of_few_descriptors(&snapshot, descriptors);
            }
            event => tell(event),
        }),
        ..parts
    })
}

/// What a keeper is made of, but for its sockets.
fn parts(snapshot: Snapshot, again: Again, watched: bool) -> Result<KeeperParts, String> {
    let file = again.file.clone();
    let changed = file.clone().filter(|_| watched).map(watch::start).transpose();
    let changed = changed.map_err(|error| format!("the system refused a thread: {error}"))?;
    let bind = |addresses: &[SocketAddr], threads| {
        tentpole_listener::bind(addresses, threads).map_err(|error| error.to_string())
    };
    let reload = ReloadParts { changed, file, ..ReloadParts::new(move || again.read(), bind) };
    let said = snapshot.clone();
    Ok(KeeperParts {
        snapshot,
        state: None,
        listeners: Vec::new(),
        admin: None,
        program: Program::default(),
        open_files: None,
        reload: Some(reload),
        taken_over: None,
        tell: Box::new(move |event| say_event(&said, event)),
    })
}

fn keep(parts: KeeperParts) -> Result<(), String> {
    let snapshot = parts.snapshot.clone();
    let failed = match tentpole_keeper::run(parts) {
        KeeperEnd::Failed(why) => Err(why),
        ended => {
            say_how(ended, &snapshot, snapshot.visitors.drain_time.as_secs());
            Ok(())
        }
    };
    notice::finish(SAID_MAX);
    failed
}

fn say_event(snapshot: &Snapshot, event: KeeperEvent) {
    match event {
        // Said by who started it.
        KeeperEvent::Open => {}
        KeeperEvent::PartRestarted { part, how, .. } => {
            warn(&format!("the {part} process ended ({how}) and was started again"));
        }
        // The fleet says it, and what it does about it.
        KeeperEvent::InstanceEnded { told: true, .. } => {}
        KeeperEvent::InstanceEnded { name, how, told: false } => warn(&format!("{name} ended: {how}")),
        KeeperEvent::Ending { connections } => {
            let seconds = snapshot.visitors.drain_time.as_secs();
            let open = connections.map(|open| format!("; open connections: {open}")).unwrap_or_default();
            let text = "ending: requests in flight have";
            tell(snapshot, &format!("{text} {seconds} s to finish (Ctrl-C again: at once){open}\n"));
        }
        KeeperEvent::Reloaded { end, .. } => say_reloaded(snapshot, &end),
        KeeperEvent::Upgraded { end: end @ UpgradeEnd::Done { .. }, .. } => {
            tell(snapshot, &format!("{end}\n"))
        }
        KeeperEvent::Upgraded { end: end @ UpgradeEnd::Refused(_), .. } => warn(&end.to_string()),
        KeeperEvent::EdgeLeft { cut: 0 } => {}
        KeeperEvent::EdgeLeft { cut } => {
            warn(&format!(
                "the edge before the upgrade ended; connections cut: {cut} (limits.drain_time_upgrade)"
            ));
        }
        KeeperEvent::Trouble(trouble) => warn(&trouble),
    }
}

fn say_how(ended: KeeperEnd, snapshot: &Snapshot, seconds: u64) {
    match ended {
        KeeperEnd::Ended { cut: Some(0) } => tell(snapshot, "ended\n"),
        KeeperEnd::Ended { cut: None } => {
            tell(snapshot, "ended; the edge was gone before it could say which connections were cut\n");
        }
        KeeperEnd::Ended { cut: Some(cut) } => {
            tell(snapshot, &format!("ended; connections cut after {seconds} s: {cut}\n"));
        }
        KeeperEnd::AtOnce { connections } => {
            let open =
                connections.map(|open| format!("; connections still open: {open}")).unwrap_or_default();
            tell(snapshot, &format!("ended at once{open}\n"));
        }
        KeeperEnd::Failed(_) => {}
    }
}

/// What came of a reload, with what is wrong with the file.
fn say_reloaded(snapshot: &Snapshot, end: &ReloadEnd) {
    match end {
        ReloadEnd::InForce(Reloaded { notes, .. }) => {
            notice::aside(notes.clone());
            tell(snapshot, &format!("{end}\n"));
        }
        ReloadEnd::Refused(Refusal { report, .. }) => {
            notice::aside(report.clone());
            warn(&end.to_string());
        }
        ReloadEnd::Late { .. } => warn(&end.to_string()),
    }
}

fn bind_admin(address: SocketAddr) -> Result<TcpListener, String> {
    if !address.ip().is_loopback() {
        return Err(format!("admin address {address} is not a loopback address; use 127.0.0.1 or [::1]"));
    }
    TcpListener::bind(address).map_err(|error| {
        let reason = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "another program already listens there. End it, or choose another address with --admin, or --admin off."
                    .to_owned()
            }
            _ => error.to_string(),
        };
        format!("cannot open the admin API on {address}: {reason}")
    })
}

/// What the person who started it needs to know.
fn introduce(snapshot: &Snapshot, addresses: &[SocketAddr], admin: Option<SocketAddr>) {
    let mut lines = vec![format!("tentpole {}", env!("CARGO_PKG_VERSION"))];
    let (clear, by_https) = addresses.split_at(snapshot.listen.len().min(addresses.len()));
    lines.extend(clear.iter().map(|address| format!("  listening on http://{address}")));
    lines.extend(by_https.iter().map(|address| format!("  listening on https://{address}")));
    lines.extend(snapshot.pools.iter().map(|pool| format!("  {}", stands_behind(pool))));
    lines.push(match admin {
        Some(address) => {
            format!("  console and admin on http://{address} (/metrics for Prometheus, /api for programs)")
        }
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

/// What a pool is made of.
fn stands_behind(pool: &Pool) -> String {
    let name = &pool.name;
    let files = pool.files.as_ref().map(|files| format!("files beneath {}", files.root.display()));
    let Some(fleet) = &pool.fleet else {
        let address = |endpoint: &Endpoint| {
            let scheme = match (endpoint.lookup, endpoint.scheme) {
                (Lookup::Services, _) => return endpoint.name(),
                (_, Scheme::Http) => "http",
                (_, Scheme::Https) => "https",
                (_, Scheme::FastCgi) => "fastcgi",
            };
            format!("{scheme}://{}", endpoint.name())
        };
        let endpoints = pool.endpoints.iter().filter(|e| !e.is_further()).map(address);
        let all: Vec<String> = files.into_iter().chain(endpoints).collect();
        return format!("pool {name}: {}", all.join(", "));
    };
    let run = shell_words(&fleet.launch.run);
    match (fleet.min, fleet.max) {
        (1, 1) => format!("fleet {name}: 1 instance of `{run}`"),
        (min, max) if min == max => format!("fleet {name}: {max} instances of `{run}`"),
        (min, max) => format!("fleet {name}: {min} to {max} instances of `{run}`"),
    }
}

/// A command as it could be typed; a long one is cut off.
fn shell_words(run: &[String]) -> String {
    let plain = |word: &str| {
        !word.is_empty() && word.chars().all(|c| c.is_alphanumeric() || "-_./:=,+@%{}".contains(c))
    };
    let quoted = |word: &String| if plain(word) { word.clone() } else { format!("'{word}'") };
    let whole = run.iter().map(quoted).collect::<Vec<_>>().join(" ").replace(char::is_control, " ");
    match whole.char_indices().nth(RUN_CHARS_MAX) {
        Some((end, _)) => format!("{}…", &whole[..end]),
        None => whole,
    }
}

/// Says what we do: on standard output, unless that is the access log's.
fn tell(snapshot: &Snapshot, text: &str) {
    let log_is_there = snapshot.log.access != AccessLog::Off && snapshot.log.file.is_none();
    if log_is_there {
        notice::aside(text.to_owned());
    } else {
        notice::out(text.to_owned());
    }
}

/// Says something that one should know. The keeper must not stand still with the terminal.
fn warn(message: &str) {
    notice::aside(say::warning_text(message));
}

/// A visitor costs one descriptor, and another one while an endpoint answers him.
fn warn_of_few_descriptors(snapshot: &Snapshot, limit: Option<u64>) {
    let connections = snapshot.visitors.connections_max as u64;
    let wanted = connections + at_endpoints(snapshot, connections) + OTHER_DESCRIPTORS;
    if let Some(limit) = limit.filter(|&limit| limit < wanted) {
        warn(&format!(
            "the system allows {limit} open files; {connections} connections may need {wanted}. Raise the limit \
             (ulimit -n, LimitNOFILE=) or lower limits.connections."
        ));
    }
}

/// Connections to endpoints that this many visitors can need at once, or files in their place.
fn at_endpoints(snapshot: &Snapshot, visitors: u64) -> u64 {
    let most = |endpoint: &Endpoint| match (endpoint.requests_max, endpoint.connections_max) {
        (Some(requests), Some(connections)) => u64::from(requests.min(connections)),
        (Some(one), None) | (None, Some(one)) => u64::from(one),
        (None, None) => visitors,
    };
    let endpoints = snapshot.pools.iter().flat_map(|pool| &pool.endpoints);
    let files = if snapshot.pools.iter().any(|pool| pool.files.is_some()) { visitors } else { 0 };
    endpoints.map(most).fold(files, u64::saturating_add).min(visitors)
}
