//! The shim: the application's parent and, as a subreaper, in the end the parent of everything that the application
//! starts. Waits for the keeper's words, for the application's end and for the keeper's end, and ends everything below it
//! at the first of the last two.

use super::output::Output;
use super::{FromShim, ToShim};
use crate::kill::{self, Reaped, how, kill_below, reap};
use rustix::process::{
    Resource, Rlimit, Signal, WaitStatus, getpid, getrlimit, kill_process, kill_process_group,
    set_child_subreaper, set_parent_process_death_signal, setrlimit,
};
use std::collections::HashSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream as StdStream;
use std::os::unix::process::{CommandExt, parent_id};
use std::process::{ExitCode, Stdio};
use std::time::Duration;
use tentpole_model::Launch;
use tentpole_runtime::{channel, clock, notice};
use tokio::io::AsyncReadExt;
use tokio::net::UnixStream;
use tokio::signal::unix::{Signal as Signals, SignalKind, signal};
use tokio::time::{sleep, timeout};

/// How long killed processes may take to go. Only one that hangs in the kernel or that another user owns takes longer.
const KILLED_MAX: Duration = Duration::from_secs(5);
/// How long the reason of a failed start may take, once its process has ended.
const REASON_MAX: Duration = Duration::from_secs(1);
/// Bytes of such a reason.
const REASON_BYTES_MAX: u64 = 1_000;
/// Between two looks at processes that were killed: short at first, they go within a millisecond.
const LOOK_FIRST: Duration = Duration::from_micros(200);
const LOOK_LONGEST: Duration = Duration::from_millis(20);

/// Runs it to its end.
pub(super) fn run() -> ExitCode {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
    let done = runtime.and_then(|runtime| runtime.block_on(serve()));
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            notice(format_args!("the part of an instance could not work: {error}"));
            ExitCode::FAILURE
        }
    }
}

async fn serve() -> io::Result<()> {
    // Before anything can come that they are for.
    let died = signal(SignalKind::child())?;
    let ends = Ends::new()?;
    set_child_subreaper(Some(getpid()))?;
    // Besides the end of the channel. Not SIGKILL: there is something to do. One that is stopped wakes up by it, to do so.
    set_parent_process_death_signal(Some(Signal::CONT))?;
    let stdin = StdStream::from(io::stdin().as_fd().try_clone_to_owned()?);
    let (to_keeper, mut from_keeper) = channel::open(stdin)?;
    let Some(ToShim::Launch { name, launch, port, program, open_files }) = from_keeper.receive().await?
    else {
        return Ok(());
    };
    let limit = Rlimit { current: open_files, ..getrlimit(Resource::Nofile) };
    // At worst the application gets the keeper's own.
    let _ = setrlimit(Resource::Nofile, limit);
    let how = match Application::start(&name, &launch, port, &program) {
        Ok(application) => Shim { to_keeper: &to_keeper, from_keeper, died, ends, application }.run().await,
        Err(reason) => cannot_start(&launch, &reason),
    };
    // A keeper that is gone does not want to know.
    let _ = to_keeper.send(&FromShim::Exited { how }, None).await;
    Ok(())
}

struct Shim<'a> {
    to_keeper: &'a channel::Sender,
    from_keeper: channel::Receiver,
    died: Signals,
    ends: Ends,
    application: Application,
}

impl Shim<'_> {
    /// Waits until it is over, ends everything, and says how the application ended.
    async fn run(mut self) -> String {
        let failed = self.until_over().await;
        let by_itself = self.application.ended.is_some();
        let killed = self.end_all().await;
        let Application { launch, ended, output, .. } = self.application;
        output.finish().await;
        let how = ended.map_or_else(|| "signal 9 (SIGKILL)".into(), how);
        match (failed, killed) {
            (Some(reason), _) => cannot_start(&launch, &reason),
            (None, left @ 1..) if by_itself && how == "exit status 0" => {
                format!(
                    "{how}; {left} processes that it left behind were ended: it must stay in the foreground"
                )
            }
            _ => how,
        }
    }

    /// Until the application has ended, shall end, or nobody is left to ask for it. Returns why it could not start.
    async fn until_over(&mut self) -> Option<String> {
        let mut starting = true;
        let mut reason = Vec::new();
        loop {
            tokio::select! {
                read = self.application.start.read_buf(&mut reason), if starting => {
                    if matches!(read, Ok(1..)) && reason.len() as u64 <= REASON_BYTES_MAX {
                        continue;
                    }
                    starting = false;
                    if reason.is_empty() {
                        let pid = self.application.pid;
                        // A keeper that is gone shows at the other end of the channel.
                        let _ = self.to_keeper.send(&FromShim::Started { pid }, None).await;
                    }
                }
                _ = self.died.recv() => {
                    self.application.reap();
                    if self.application.ended.is_some() {
                        break;
                    }
                }
                word = self.from_keeper.receive() => match word {
                    Ok(Some(ToShim::Terminate)) => self.application.terminate(),
                    Ok(Some(ToShim::Launch { .. })) => {}
                    Ok(Some(ToShim::Kill) | None) | Err(_) => break,
                },
                () = self.ends.next() => break,
            }
        }
        if starting && self.application.ended.is_some() {
            let rest = self.application.start.read_to_end(&mut reason);
            let _ = timeout(REASON_MAX, rest).await;
        }
        (!reason.is_empty()).then(|| String::from_utf8_lossy(&reason).into_owned())
    }

    /// Ends everything below this process. Returns how many processes were found alive.
    async fn end_all(&mut self) -> usize {
        let due = clock::now().after(KILLED_MAX);
        let (mut killed, mut wait) = (0, LOOK_FIRST);
        // Without children nothing is below us: whoever loses his parent becomes our child.
        while !self.application.reap() {
            match kill_below(&HashSet::new()) {
                Ok(found) => killed = killed.max(found),
                // Without /proc at least those that did not leave the group.
                Err(_) => self.application.kill_group(),
            }
            if clock::now() >= due {
                notice(format_args!(
                    "processes of {} do not end, although they were killed",
                    self.application.name
                ));
                break;
            }
            sleep(wait).await;
            wait = (wait * 2).min(LOOK_LONGEST);
        }
        killed
    }
}

/// Signals that are heard. Those that would end this process before what it watches over: whoever sends them, all below
/// it ends first. And the one that the kernel sends when the keeper has died.
struct Ends {
    ending: [Signals; 4],
    continued: Signals,
    keeper: u32,
}

impl Ends {
    fn new() -> io::Result<Self> {
        let kinds =
            [SignalKind::terminate(), SignalKind::hangup(), SignalKind::interrupt(), SignalKind::quit()];
        let [terminate, hangup, interrupt, quit] = kinds.map(signal);
        let continued = signal(SignalKind::from_raw(Signal::CONT.as_raw()))?;
        Ok(Self { ending: [terminate?, hangup?, interrupt?, quit?], continued, keeper: parent_id() })
    }

    async fn next(&mut self) {
        let [terminate, hangup, interrupt, quit] = &mut self.ending;
        loop {
            tokio::select! {
                _ = terminate.recv() => return,
                _ = hangup.recv() => return,
                _ = interrupt.recv() => return,
                _ = quit.recv() => return,
                // Or somebody had stopped this process and let it go on.
                _ = self.continued.recv() => if parent_id() != self.keeper { return },
            }
        }
    }
}

/// The application's own process.
struct Application {
    name: String,
    launch: Launch,
    pid: u32,
    /// Set when notice was taken of its end; until then its id is nobody else's.
    ended: Option<WaitStatus>,
    /// Closes when its program runs; brings the reason when it cannot.
    start: UnixStream,
    output: Output,
}

impl Application {
    fn start(name: &str, launch: &Launch, port: u16, program: &crate::Program) -> Result<Self, String> {
        if let Some(directory) = launch.directory.as_ref().filter(|directory| !directory.is_dir()) {
            return Err(format!("there is no directory {}", directory.display()));
        }
        let failed = |error: io::Error| error.to_string();
        let mut output = Output::start(name).map_err(failed)?;
        let (start, theirs) = StdStream::pair().map_err(failed)?;
        start.set_nonblocking(true).map_err(failed)?;
        let start = UnixStream::from_std(start).map_err(failed)?;
        let mut command = program.command("instance");
        command.arg("--").args(&launch.run).env("PORT", port.to_string());
        command.envs(launch.env.iter().map(|(name, value)| (name, value)));
        if let Some(directory) = &launch.directory {
            command.current_dir(directory);
        }
        command.stdin(OwnedFd::from(theirs)).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut child = command.spawn().map_err(failed)?;
        let pipes = [child.stdout.take().map(OwnedFd::from), child.stderr.take().map(OwnedFd::from)];
        let copied = pipes.into_iter().flatten().try_for_each(|pipe| output.copy(pipe));
        let name = name.to_owned();
        let application = Self { name, launch: launch.clone(), pid: child.id(), ended: None, start, output };
        if let Err(error) = copied {
            application.kill_group();
            return Err(failed(error));
        }
        Ok(application)
    }

    /// Takes notice of everything that has ended. True when nothing is left.
    fn reap(&mut self) -> bool {
        loop {
            match reap() {
                Reaped::Ended(pid, status) if pid == self.pid => self.ended = Some(status),
                Reaped::Ended(..) => {}
                Reaped::NoneEnded => return false,
                Reaped::Childless => return true,
            }
        }
    }

    fn terminate(&self) {
        if let (None, Some(pid)) = (self.ended, kill::pid(self.pid)) {
            // It has just ended at worst. The second one is for a process that was stopped: it could not end.
            let _ = kill_process(pid, Signal::TERM);
            let _ = kill_process(pid, Signal::CONT);
        }
    }

    fn kill_group(&self) {
        if let Some(pid) = kill::pid(self.pid) {
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

fn cannot_start(launch: &Launch, reason: &str) -> String {
    format!("cannot start {}: {reason}", launch.run.first().map_or("nothing", String::as_str))
}
