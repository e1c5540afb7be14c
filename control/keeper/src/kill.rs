//! Ends whole families of processes. Those below the calling process are stopped first, so that none forks away while
//! it is looked for, and then killed. Relies on the caller being a subreaper: whoever loses its parent comes to it.
//! Sends no signal to a process that merely has the number of one that was seen.

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, kill_process, pidfd_open, pidfd_send_signal, wait,
};
use std::collections::HashSet;
use std::io;
use tentpole_runtime::processes::{self, Process};

/// How often new ones are looked for before those that were found are killed: a program that forks faster is met again
/// in the next pass.
const FREEZES_MAX: usize = 20;

/// Stops and kills everything below this process, but the spared and what is below them. Returns how many were there.
///
/// # Errors
/// When `/proc` is not there.
pub(crate) fn kill_below(spared: &HashSet<u32>) -> io::Result<usize> {
    let mut stopped = HashSet::new();
    for _ in 0..FREEZES_MAX {
        let found = living_below(spared)?;
        let new: Vec<Process> =
            found.into_iter().filter(|process| stopped.insert((process.pid, process.started))).collect();
        if new.is_empty() {
            break;
        }
        new.iter().for_each(|process| signal(process, Signal::STOP));
    }
    let found = living_below(spared)?;
    found.iter().for_each(|process| signal(process, Signal::KILL));
    Ok(found.len())
}

/// Those below this process that have not ended.
pub(crate) fn living_below(spared: &HashSet<u32>) -> io::Result<Vec<Process>> {
    let all = processes::all()?;
    let mut below = processes::below(&all, std::process::id(), spared);
    below.retain(|process| !process.ended);
    Ok(below)
}

/// The children of this process at this moment.
pub(crate) fn children() -> io::Result<HashSet<u32>> {
    let me = std::process::id();
    let all = processes::all()?;
    Ok(all.iter().filter(|process| process.parent == me).map(|process| process.pid).collect())
}

/// Sends a signal to exactly the process that was seen.
fn signal(seen: &Process, signal: Signal) {
    let Some(pid) = pid(seen.pid) else { return };
    match pidfd_open(pid, PidfdFlags::empty()) {
        // From here on the descriptor is the process: if it is still the one that was seen, it stays that one.
        Ok(descriptor) if is(seen) => {
            // It has ended, or is another user's, which nobody can help.
            let _ = pidfd_send_signal(descriptor, signal);
        }
        Ok(_) | Err(Errno::SRCH) => {}
        Err(_) if is(seen) => {
            let _ = kill_process(pid, signal);
        }
        Err(_) => {}
    }
}

fn is(seen: &Process) -> bool {
    Process::read(seen.pid).is_some_and(|now| now.started == seen.started)
}

/// A process's id as the kernel's calls take it.
pub(crate) fn pid(pid: u32) -> Option<Pid> {
    Pid::from_raw(i32::try_from(pid).ok()?)
}

/// What [`reap`] found.
pub(crate) enum Reaped {
    /// A child has ended.
    Ended(u32, WaitStatus),
    /// None has ended, and there are some.
    NoneEnded,
    /// There are no children, and so nothing at all below this process.
    Childless,
}

/// Takes notice of one child that has ended. Never waits.
pub(crate) fn reap() -> Reaped {
    loop {
        match wait(WaitOptions::NOHANG) {
            Ok(Some((pid, status))) => return Reaped::Ended(pid.as_raw_pid().unsigned_abs(), status),
            Ok(None) => return Reaped::NoneEnded,
            Err(Errno::INTR) => {}
            Err(_) => return Reaped::Childless,
        }
    }
}

/// How a process ended, in words.
pub(crate) fn how(status: WaitStatus) -> String {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => format!("exit status {code}"),
        (None, Some(number)) => match signal_name(number) {
            Some(name) => format!("signal {number} ({name})"),
            None => format!("signal {number}"),
        },
        (None, None) => format!("status {:#x}", status.as_raw()),
    }
}

fn signal_name(number: i32) -> Option<&'static str> {
    let names = [
        (Signal::HUP, "SIGHUP"),
        (Signal::INT, "SIGINT"),
        (Signal::QUIT, "SIGQUIT"),
        (Signal::ILL, "SIGILL"),
        (Signal::TRAP, "SIGTRAP"),
        (Signal::ABORT, "SIGABRT"),
        (Signal::BUS, "SIGBUS"),
        (Signal::FPE, "SIGFPE"),
        (Signal::KILL, "SIGKILL"),
        (Signal::USR1, "SIGUSR1"),
        (Signal::SEGV, "SIGSEGV"),
        (Signal::USR2, "SIGUSR2"),
        (Signal::PIPE, "SIGPIPE"),
        (Signal::ALARM, "SIGALRM"),
        (Signal::TERM, "SIGTERM"),
        (Signal::XCPU, "SIGXCPU"),
        (Signal::XFSZ, "SIGXFSZ"),
        (Signal::SYS, "SIGSYS"),
    ];
    names.iter().find(|(signal, _)| signal.as_raw() == number).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_have_their_names() {
        assert_eq!(signal_name(9), Some("SIGKILL"));
        assert_eq!(signal_name(15), Some("SIGTERM"));
        assert_eq!(signal_name(63), None);
    }

    #[test]
    fn a_signal_reaches_only_the_process_that_was_seen() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let seen = Process::read(child.id()).unwrap();
        signal(&Process { started: seen.started + 1, ..seen }, Signal::KILL);
        assert!(is(&seen) && child.try_wait().unwrap().is_none());
        signal(&seen, Signal::KILL);
        assert!(!child.wait().unwrap().success());
    }
}
