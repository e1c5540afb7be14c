//! The processes of this machine as `/proc` shows them: who is whose child, whether it still runs, what CPU time it
//! used. Only looks; signals are sent by those who own processes.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::time::Duration;

/// Processes below one root that are looked at, at most: more is taken for a runaway.
const BELOW_MAX: usize = 100_000;

/// One process at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Process {
    /// Its id.
    pub pid: u32,
    /// Its parent's id.
    pub parent: u32,
    /// It has ended and waits for its parent to take notice.
    pub ended: bool,
    /// When it started, in ticks since the machine did: with the id, this names a process for good.
    pub started: u64,
    /// CPU time of its own.
    pub own_cpu: Duration,
    /// CPU time of those of its children that ended and that it took notice of, and of theirs.
    pub children_cpu: Duration,
}

impl Process {
    /// Reads one process; `None` when there is none with this id.
    pub fn read(pid: u32) -> Option<Self> {
        // Not text: a process may have any bytes for its name.
        Self::parse(&fs::read(format!("/proc/{pid}/stat")).ok()?)
    }

    /// Understands the content of `/proc/PID/stat` (proc_pid_stat(5)).
    fn parse(stat: &[u8]) -> Option<Self> {
        // The name in parentheses may itself hold spaces and parentheses: the last one ends it.
        let name_begin = stat.iter().position(|&byte| byte == b'(')?;
        let name_end = stat.iter().rposition(|&byte| byte == b')')?;
        let pid = std::str::from_utf8(&stat[..name_begin]).ok()?.trim().parse().ok()?;
        let rest = std::str::from_utf8(stat.get(name_end + 1..)?).ok()?;
        // Field 3 of the manual page is number 0 here.
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |of_manual: usize| fields.get(of_manual - 3)?.parse::<u64>().ok();
        Some(Self {
            pid,
            parent: u32::try_from(number(4)?).ok()?,
            ended: matches!(fields.first(), Some(&("Z" | "X" | "x"))),
            started: number(22)?,
            own_cpu: from_ticks(number(14)? + number(15)?),
            children_cpu: from_ticks(number(16)? + number(17)?),
        })
    }
}

/// All processes that can be seen, in the order of `/proc` (by id).
///
/// # Errors
/// When `/proc` is not there.
pub fn all() -> io::Result<Vec<Process>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let pid = entry?.file_name().to_str().and_then(|name| name.parse().ok());
        // One that ended meanwhile is not there any more.
        found.extend(pid.and_then(Process::read));
    }
    Ok(found)
}

/// Of `all`, those below `root`, each after its parent; `root` is not among them, nor are the processes in `spared` and
/// what is below those.
pub fn below(all: &[Process], root: u32, spared: &HashSet<u32>) -> Vec<Process> {
    let mut children: HashMap<u32, Vec<&Process>> = HashMap::new();
    for process in all {
        children.entry(process.parent).or_default().push(process);
    }
    let mut found: Vec<Process> = Vec::new();
    let mut next = root;
    for at in 0.. {
        let its = children.remove(&next).into_iter().flatten();
        found.extend(its.filter(|child| !spared.contains(&child.pid)).copied());
        if at >= found.len() || at >= BELOW_MAX {
            break;
        }
        next = found[at].pid;
    }
    found
}

/// The processes below `root`, each after its parent, found without reading all of `/proc`; `None` when this kernel
/// does not list children (`CONFIG_PROC_CHILDREN`) or there is no such process.
pub fn below_by_lists(root: u32) -> Option<Vec<Process>> {
    let mut found: Vec<Process> = Vec::new();
    children(root, &mut found)?;
    let mut at = 0;
    while at < found.len().min(BELOW_MAX) {
        // One that ended meanwhile has no children any more.
        let _ = children(found[at].pid, &mut found);
        at += 1;
    }
    Some(found)
}

/// Adds the children of all threads of `pid`.
fn children(pid: u32, found: &mut Vec<Process>) -> Option<()> {
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let listed = fs::read_to_string(thread.path().join("children")).ok()?;
        let pids = listed.split_ascii_whitespace().filter_map(|pid| pid.parse().ok());
        found.extend(pids.filter_map(Process::read));
    }
    Some(())
}

fn from_ticks(ticks: u64) -> Duration {
    Duration::from_micros(ticks.saturating_mul(1_000_000) / rustix::param::clock_ticks_per_second().max(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line of the kernel's, with this name.
    fn line(name: &str) -> Vec<u8> {
        format!(
            "4711 ({name}) S 42 4711 4711 0 -1 4194560 200 300 0 0 150 50 30 20 20 0 3 0 98765 1000 100 18446744073709551615"
        )
        .into_bytes()
    }

    #[test]
    fn a_line_of_stat_is_understood_whatever_the_name() {
        for name in ["sh", "my app", ") Z 1 (", "a)b", ""] {
            let process = Process::parse(&line(name)).unwrap();
            assert_eq!((process.pid, process.parent, process.started), (4711, 42, 98765), "{name}");
            assert!(!process.ended, "{name}");
            let per_second = rustix::param::clock_ticks_per_second();
            assert_eq!(process.own_cpu, Duration::from_secs(200) / u32::try_from(per_second).unwrap());
            assert_eq!(process.children_cpu, Duration::from_secs(50) / u32::try_from(per_second).unwrap());
        }
        let mut not_text = line("x");
        not_text[6] = 0xff;
        assert!(Process::parse(&not_text).is_some());
    }

    #[test]
    fn what_is_no_line_of_stat_is_no_process() {
        for stat in ["", "4711", "4711 (sh", "4711 (sh)", "4711 (sh) S 42", "x (sh) S 42 1 1 1 1"] {
            assert_eq!(Process::parse(stat.as_bytes()), None, "{stat}");
        }
    }

    #[test]
    fn this_process_is_found_with_its_parent() {
        let me = Process::read(std::process::id()).unwrap();
        assert_eq!(me.parent, std::os::unix::process::parent_id());
        assert!(!me.ended && me.started > 0);
        assert!(all().unwrap().iter().any(|process| process.pid == me.pid));
        assert_eq!(Process::read(u32::MAX), None);
    }

    #[test]
    fn those_below_a_process_come_after_their_parents_and_without_the_spared() {
        let process = |pid, parent| Process {
            pid,
            parent,
            ended: false,
            started: 0,
            own_cpu: Duration::ZERO,
            children_cpu: Duration::ZERO,
        };
        let all = [
            process(3, 2),
            process(2, 1),
            process(4, 3),
            process(5, 1),
            process(6, 5),
            process(7, 0),
            process(8, 7),
        ];
        let pids = |spared: &[u32]| -> Vec<u32> {
            below(&all, 1, &spared.iter().copied().collect()).iter().map(|process| process.pid).collect()
        };
        assert_eq!(pids(&[]), [2, 5, 3, 6, 4]);
        assert_eq!(pids(&[2]), [5, 6]);
        // A process that claims to be its own parent is not followed for ever.
        assert_eq!(below(&[process(1, 1)], 1, &HashSet::new()).len(), 1);
    }

    #[test]
    fn children_are_found_either_way() {
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        let me = std::process::id();
        let by_scan = below(&all().unwrap(), me, &HashSet::new());
        assert!(by_scan.iter().any(|process| process.pid == child.id()));
        if let Some(by_lists) = below_by_lists(me) {
            assert!(by_lists.iter().any(|process| process.pid == child.id()));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
