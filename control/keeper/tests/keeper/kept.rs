//! A keeper in a process of its own, as the tests see it: what it and all its parts print, and which of its processes
//! are left. Ends every process that carries its mark when dropped.

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tentpole_runtime::processes::{self, Process};
use tentpole_runtime::{Instant, clock};

/// How long anything may take on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(1);
/// The variable that all processes of one keeper inherit.
const MARK: &str = "PLAYER_MARK";

pub struct Kept {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
    mark: String,
    /// Its home: state directories and whatever a test puts there.
    pub dir: tempfile::TempDir,
    pub addresses: Vec<SocketAddr>,
    pub edge: u32,
    pub control: u32,
}

/// A keeper that is not started yet.
pub fn keeper(variables: &[(&str, &str)]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tentpole-keeper-player"));
    command.arg("keeper").stdin(Stdio::null()).envs(variables.iter().copied());
    command
}

impl Kept {
    /// Starts one, and waits until its edge and its control process have met.
    pub fn start(variables: &[(&str, &str)]) -> Self {
        let mut kept = Self::begin(variables);
        kept.edge = kept.line(|line| word_after(line, "linked to edge ")?.parse().ok());
        kept.control = kept.line(|line| number_between(line, "control ", " linked"));
        kept.line(|line| line.starts_with("event Open").then_some(()));
        kept
    }

    /// Starts one that is not expected to come far.
    pub fn begin(variables: &[(&str, &str)]) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let mark = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let dir = tempfile::tempdir().unwrap();
        let (said, theirs) = std::io::pipe().unwrap();
        let mut command = keeper(variables);
        command.env(MARK, &mark).env("XDG_RUNTIME_DIR", dir.path());
        command.stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let child = command.spawn().unwrap();
        let lines = Arc::new(Mutex::new(Vec::new()));
        let heard = lines.clone();
        std::thread::spawn(move || {
            for line in BufReader::new(said).split(b'\n').map_while(Result::ok) {
                heard.lock().unwrap().push(String::from_utf8_lossy(&line).into_owned());
            }
        });
        let mut kept = Self { child, lines, mark, dir, addresses: Vec::new(), edge: 0, control: 0 };
        let addresses = kept.line(|line| line.strip_prefix("listening ").map(str::to_owned));
        kept.addresses = addresses.split(' ').map(|address| address.parse().unwrap()).collect();
        kept
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line that `find` finds something in.
    pub fn line<T>(&self, find: impl Fn(&str) -> Option<T>) -> T {
        wait_for(
            || format!("a line; it said:\n{}", self.said()),
            || self.lines.lock().unwrap().iter().find_map(|line| find(line)),
        )
    }

    /// Waits for a line that holds this text.
    pub fn says(&self, text: &str) -> String {
        wait_for(
            || format!("{text:?}; it said:\n{}", self.said()),
            || self.lines.lock().unwrap().iter().find(|line| line.contains(text)).cloned(),
        )
    }

    /// The number of the first line that holds this text; waits for it.
    pub fn place(&self, text: &str) -> usize {
        self.says(text);
        self.lines.lock().unwrap().iter().position(|line| line.contains(text)).unwrap()
    }

    pub fn said(&self) -> String {
        self.lines.lock().unwrap().join("\n")
    }

    pub fn signal(&self, signal: Signal) {
        send(self.pid(), signal);
    }

    /// Waits for its end.
    pub fn ended(&mut self) -> ExitStatus {
        let deadline = clock::now().after(PATIENCE);
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(clock::now() < deadline, "it does not end; it said:\n{}", self.said());
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Lets the control process say this to the keeper.
    pub fn control_says(&self, word: &serde_json::Value) {
        let mut stream = TcpStream::connect(self.addresses[2]).unwrap();
        writeln!(stream, "{word}").unwrap();
    }

    /// Starts an instance of a shell script, and returns its process once it runs.
    pub fn starts(&self, id: u64, script: &str) -> u32 {
        self.launches(id, &["sh", "-c", script]);
        let begin = format!("told {{\"Started\":{{\"id\":{id},\"pid\":");
        self.line(|line| number_between(line, &begin, "}"))
    }

    /// Lets the control process start an instance.
    pub fn launches(&self, id: u64, run: &[&str]) {
        self.launches_in(id, run, None);
    }

    pub fn launches_in(&self, id: u64, run: &[&str], directory: Option<&Path>) {
        let instance = json!({
            "id": id, "pool": "shop", "slot": id - 1, "address": format!("127.0.0.1:{}", 20_000 + id), "pid": null,
            "started_unix_ms": 1, "mark": "", "ended": null
        });
        let launch = json!({ "run": run, "directory": directory, "env": [["COLOUR", "green"]] });
        self.control_says(&json!({ "StartInstance": { "instance": instance, "launch": launch } }));
    }

    /// How the instance ended, once the control process knows.
    pub fn exited(&self, id: u64) -> String {
        let begin = format!("told {{\"Exited\":{{\"id\":{id},\"how\":\"");
        self.line(|line| Some(line.split_once(&begin)?.1.strip_suffix("\"}}")?.to_owned()))
    }

    /// What answers at the listener of this data thread: the edge's process.
    pub fn edge_at(&self, thread: usize) -> u32 {
        answer(TcpStream::connect(self.addresses[thread]).unwrap(), thread)
    }

    /// All processes of it and its parts that are alive.
    pub fn left(&self) -> Vec<u32> {
        let mark = format!("{MARK}={}", self.mark);
        let all = processes::all().unwrap();
        let marked = |process: &&Process| {
            let environment = fs::read(format!("/proc/{}/environ", process.pid)).unwrap_or_default();
            environment.split(|&byte| byte == 0).any(|variable| variable == mark.as_bytes())
        };
        all.iter().filter(|process| !process.ended).filter(marked).map(|process| process.pid).collect()
    }

    /// Waits until none of them is; returns how long that took since `since`.
    pub fn none_left(&self, since: Instant) -> Duration {
        let what = || format!("processes to end: {:?}; it said:\n{}", self.describe_left(), self.said());
        wait_for(what, || self.left().is_empty().then_some(()));
        clock::now().since(since)
    }

    fn describe_left(&self) -> Vec<String> {
        let name = |pid: &u32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            format!("{pid} {}", String::from_utf8_lossy(&line).replace('\0', " "))
        };
        self.left().iter().map(name).collect()
    }

    /// State directories in its home.
    pub fn state_directories(&self) -> Vec<String> {
        let ours = fs::read_dir(self.dir.path()).unwrap().flatten();
        let ours = ours.filter(|entry| entry.file_name().as_bytes().starts_with(b"tentpole-"));
        let entries = ours.flat_map(|ours| fs::read_dir(ours.path()).unwrap().flatten());
        let directories = entries.filter(|entry| entry.file_type().unwrap().is_dir());
        directories.map(|entry| entry.file_name().into_string().unwrap()).collect()
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        let left = self.left();
        left.iter().for_each(|&pid| {
            let _ = kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL);
        });
        let _ = self.child.wait();
    }
}

/// The edge's process that answers on a connection to the listener of this data thread.
pub fn answer(mut stream: TcpStream, thread: usize) -> u32 {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (pid, of_thread) = text.split_once(' ').unwrap();
    assert_eq!(of_thread, thread.to_string());
    pid.parse().unwrap()
}

pub fn send(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), signal).unwrap();
}

pub fn is_alive(pid: u32) -> bool {
    Process::read(pid).is_some_and(|process| !process.ended)
}

/// Waits until `look` finds something.
pub fn wait_for<T>(what: impl Fn() -> String, look: impl Fn() -> Option<T>) -> T {
    let deadline = clock::now().after(PATIENCE);
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(clock::now() < deadline, "waited {PATIENCE:?} for {}", what());
        std::thread::sleep(LOOK_EVERY);
    }
}

fn word_after<'a>(line: &'a str, before: &str) -> Option<&'a str> {
    line.split_once(before)?.1.split(' ').next()
}

pub fn number_between(line: &str, before: &str, after: &str) -> Option<u32> {
    line.split_once(before)?.1.split_once(after)?.0.parse().ok()
}
