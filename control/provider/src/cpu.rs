//! CPU time of an instance with all its processes. Each process tells its own and that of its children that ended, so a
//! sum over those that live misses what ended unseen and, for a moment, what is just being handed from child to parent:
//! what is told never falls and counts nothing twice.

use std::collections::{HashMap, HashSet};
use std::time::Duration;
use tentpole_model::InstanceId;
use tentpole_runtime::processes::{self, Process};
use tentpole_runtime::{Instant, clock};

/// How long one reading of all processes serves, where the kernel does not list a process's children: all instances are
/// asked for at about the same time.
const READING_AGE_MAX: Duration = Duration::from_millis(200);

/// What was found so far.
#[derive(Debug, Default)]
pub(crate) struct CpuTimes {
    known: HashMap<InstanceId, Known>,
    reading: Option<(Instant, Vec<Process>)>,
}

impl CpuTimes {
    /// CPU time used by what the shim of the application `pid` watches over, and never less than before; `None` when it
    /// cannot be read.
    pub fn of(&mut self, id: InstanceId, pid: u32) -> Option<Duration> {
        let shim = Process::read(Process::read(pid)?.parent)?;
        let its_shim = self.known.get(&id).map(|known| known.shim);
        if its_shim.is_some_and(|its| its != (shim.pid, shim.started)) {
            // Its shim was killed, and the keeper is its parent for the moment that it has left.
            return None;
        }
        let (shim_then, below) = match processes::below_by_lists(shim.pid) {
            Some(below) => (shim, below),
            None => {
                let all = self.reading()?;
                // Of the same moment: what it took over later is still found below it.
                let shim_then = all.iter().find(|process| process.pid == shim.pid)?;
                (*shim_then, processes::below(all, shim.pid, &HashSet::new()))
            }
        };
        // What the shim waited for was the application's; what it used itself was not.
        let of_all = below.iter().map(|process| process.own_cpu + process.children_cpu);
        let sum = of_all.sum::<Duration>() + shim_then.children_cpu;
        let first = || Known { shim: (shim.pid, shim.started), total: Steady::default() };
        Some(self.known.entry(id).or_insert_with(first).total.read(sum))
    }

    /// It is gone.
    pub fn forget(&mut self, id: InstanceId) {
        self.known.remove(&id);
    }

    fn reading(&mut self) -> Option<&[Process]> {
        let now = clock::now();
        if self.reading.as_ref().is_none_or(|(at, _)| now.since(*at) > READING_AGE_MAX) {
            self.reading = Some((now, processes::all().ok()?));
        }
        self.reading.as_ref().map(|(_, all)| all.as_slice())
    }
}

/// What is known of one instance.
#[derive(Debug)]
struct Known {
    /// Its shim's id and start.
    shim: (u32, u64),
    total: Steady,
}

/// A total from sums that may fall.
#[derive(Clone, Copy, Debug, Default)]
struct Steady {
    total: Duration,
    /// What was counted and is in no sum any more.
    lost: Duration,
    /// The last sum was too small: only if the next one is so too, something is gone for good.
    was_short: bool,
}

impl Steady {
    fn read(&mut self, sum: Duration) -> Duration {
        let short = sum + self.lost < self.total;
        if short && self.was_short {
            self.lost = self.total - sum;
        }
        self.was_short = short && !self.was_short;
        self.total = self.total.max(sum + self.lost);
        self.total
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    fn totals(sums: &[u64]) -> Vec<u64> {
        let mut steady = Steady::default();
        sums.iter().map(|&sum| steady.read(Duration::from_secs(sum)).as_secs()).collect()
    }

    #[test]
    fn a_total_never_falls_and_goes_on_after_a_loss() {
        assert_eq!(totals(&[0, 3, 5, 5]), [0, 3, 5, 5]);
        // A worker with 4 seconds ended unseen; the others go on.
        assert_eq!(totals(&[10, 6, 6, 7, 9, 12]), [10, 10, 10, 11, 13, 16]);
    }

    #[test]
    fn what_is_missing_for_one_reading_is_not_counted_twice() {
        assert_eq!(totals(&[10, 6, 11, 7, 12]), [10, 10, 11, 11, 12]);
    }

    /// A process in the place of a shim, that runs a script and waits for it.
    fn under_a_shim(script: &str) -> (std::process::Child, u32) {
        let mut shim =
            Command::new("sh").args(["-c", &format!("sh -c '{script}' & wait; exit 0")]).spawn().unwrap();
        let deadline = clock::now().after(Duration::from_secs(10));
        loop {
            let child = processes::all().unwrap().into_iter().find(|process| process.parent == shim.id());
            if let Some(child) = child {
                return (shim, child.pid);
            }
            assert!(clock::now() < deadline && shim.try_wait().unwrap().is_none());
        }
    }

    #[test]
    fn the_work_of_a_process_below_is_counted() {
        let (mut shim, application) = under_a_shim("(while :; do :; done) & wait");
        let mut times = CpuTimes::default();
        let wanted = Duration::from_millis(100);
        let deadline = clock::now().after(Duration::from_secs(20));
        while times.of(InstanceId(1), application).unwrap() < wanted {
            assert!(clock::now() < deadline);
            std::thread::sleep(Duration::from_millis(5));
        }
        // Of a process that does nothing, nothing.
        let (mut idle, sleeps) = under_a_shim("sleep 1000");
        assert!(times.of(InstanceId(2), sleeps).unwrap() < Duration::from_millis(50));
        assert_eq!(times.of(InstanceId(3), u32::MAX), None);
        for shim in [&mut shim, &mut idle] {
            for process in
                processes::below(&processes::all().unwrap(), shim.id(), &HashSet::new()).iter().rev()
            {
                // Some have ended already, with those that they waited for.
                Command::new("kill").args(["-9", &process.pid.to_string()]).output().unwrap();
            }
            shim.kill().unwrap();
            shim.wait().unwrap();
        }
    }
}
