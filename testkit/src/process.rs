//! Programs of this workspace as tests run them: found or built, started on free ports, ended by their pid. Never
//! finds a program that is merely installed on the machine.

mod build;

use std::fs;
use std::io::{self, BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tentpole_runtime::clock;

pub use build::binary;

use crate::gate::PATIENCE;
use crate::visitor::Visitor;

/// How much of what the program says is kept, in bytes.
const SAID_BYTES_MAX: usize = 256 * 1024;
/// How often a running program is looked at while something is waited for.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// How long the program may take to end after it was told to.
const END_MAX: Duration = Duration::from_secs(15);

/// How `tentpole up` is to be started.
///
/// ```no_run
/// # async fn example() {
/// use tentpole_testkit::{Origin, Up};
/// let origin = Origin::start().await;
/// let tentpole = Up::to(&origin.url()).start().await;
/// tentpole.visitor().await.get("/").await.expect(404);
/// tentpole.ends().await;
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Up {
    binary: Option<PathBuf>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    config: Option<String>,
    own_listen: bool,
}

impl Up {
    /// `tentpole up --to URL`.
    pub fn to(url: &str) -> Self {
        Self::default().argument("--to").argument(url)
    }

    /// `tentpole up FILE`, with this text in the file.
    pub fn config(text: &str) -> Self {
        Self { config: Some(text.to_owned()), ..Self::default() }
    }

    /// `tentpole up --run COMMAND`.
    pub fn run(command: &str) -> Self {
        Self::default().argument("--run").argument(command)
    }

    /// `tentpole up` alone: the demo.
    pub fn demo() -> Self {
        Self::default()
    }

    /// Adds an argument.
    pub fn argument(mut self, argument: &str) -> Self {
        self.arguments.push(argument.to_owned());
        self
    }

    /// Listens where the file says, not at an address of its own choice. The first one is [`Tentpole::address`].
    pub fn as_the_file_says(mut self) -> Self {
        self.own_listen = true;
        self
    }

    /// Sets an environment variable.
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Runs this program instead of the one from [`binary`].
    pub fn binary(mut self, path: &Path) -> Self {
        self.binary = Some(path.to_owned());
        self
    }

    /// Starts it on free ports and waits until it listens. It lives in a temporary directory, which is its working
    /// directory and its home.
    ///
    /// # Panics
    /// When it ends or says nothing of listening within [`PATIENCE`], with all that it said.
    pub async fn start(self) -> Tentpole {
        let dir = TempDir::new().expect("a temporary directory");
        let binary = self.binary.unwrap_or_else(|| binary("tentpole"));
        let mut command = Command::new(&binary);
        command.arg("up").args(["--admin", "127.0.0.1:0"]);
        if !self.own_listen {
            command.args(["--listen", "127.0.0.1:0"]);
        }
        let config = dir.path().join("tentpole.toml");
        if let Some(text) = &self.config {
            fs::write(&config, text).expect("the temporary directory is writable");
            command.arg(&config);
        }
        command.args(&self.arguments).current_dir(dir.path());
        for variable in ["HOME", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR"] {
            command.env(variable, dir.path());
        }
        command.envs(self.variables).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child =
            command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", binary.display()));
        let said = Arc::new(Said::default());
        listen_to(child.stdout.take(), &said);
        listen_to(child.stderr.take(), &said);
        let mut tentpole =
            Tentpole { child, said, dir, address: SocketAddr::from(([0; 4], 0)), admin: None, ended: None };
        tentpole.address = tentpole.address_after("listening on http://").await;
        tentpole.admin = Some(tentpole.address_after("admin on http://").await);
        tentpole
    }
}

/// A running `tentpole`. Killed when dropped.
#[derive(Debug)]
pub struct Tentpole {
    child: Child,
    said: Arc<Said>,
    dir: TempDir,
    address: SocketAddr,
    admin: Option<SocketAddr>,
    ended: Option<ExitStatus>,
}

impl Tentpole {
    /// Where visitors are served.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS` of the listener.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where the admin API listens.
    ///
    /// # Panics
    /// Before it has started, which nobody but [`Up::start`] sees.
    pub fn admin(&self) -> SocketAddr {
        self.admin.expect("known since the start")
    }

    /// A visitor who has connected to the listener.
    pub async fn visitor(&self) -> Visitor {
        Visitor::connect(self.address).await
    }

    /// A connection to the admin API.
    pub async fn admin_visitor(&self) -> Visitor {
        Visitor::connect(self.admin()).await
    }

    /// The process's id: the keeper's, which serves nobody itself.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The id of the process that serves visitors.
    ///
    /// # Panics
    /// When there is none now.
    pub fn edge_pid(&self) -> u32 {
        self.part("edge").unwrap_or_else(|| panic!("no edge process; it said:\n{}", self.said()))
    }

    /// The id of the process that watches endpoints and answers the admin API.
    ///
    /// # Panics
    /// When there is none now.
    pub fn control_pid(&self) -> u32 {
        self.part("control").unwrap_or_else(|| panic!("no control process; it said:\n{}", self.said()))
    }

    /// The pid of its part `edge` or `control`; `None` while there is none.
    pub fn part(&self, name: &str) -> Option<u32> {
        let is_it = |pid: &u32| {
            fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| {
                line.split(|&byte| byte == 0).skip(1).take(2).eq(["part".as_bytes(), name.as_bytes()])
            })
        };
        children(self.pid()).into_iter().find(is_it)
    }

    /// The pids of all processes that it has started, and of those that they have.
    pub fn descendants(&self) -> Vec<u32> {
        let mut found = children(self.pid());
        let mut at = 0;
        while at < found.len() {
            found.extend(children(found[at]));
            at += 1;
        }
        found
    }

    /// The temporary directory it lives in; the configuration is `tentpole.toml` there.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Everything it has said so far, on both outputs.
    pub fn said(&self) -> String {
        self.said.text()
    }

    /// Waits until it has said this.
    ///
    /// # Panics
    /// When it ends before or [`PATIENCE`] is over, with all that it said.
    pub async fn says(&mut self, text: &str) {
        self.line_with(text).await;
    }

    /// Sends it a signal.
    ///
    /// # Panics
    /// When it has ended.
    pub fn signal(&mut self, signal: Signal) {
        assert!(self.look().is_none(), "it has ended; it said:\n{}", self.said());
        kill_process(self.kernel_pid(), signal).expect("it is a child of this process");
    }

    /// Ends it as Ctrl-C does and waits for it.
    ///
    /// # Panics
    /// When it does not end in time, or not with 0.
    pub async fn ends(mut self) {
        self.signal(Signal::INT);
        let status = self.until_ended().await;
        assert!(status.success(), "it ended with {status}; it said:\n{}", self.said());
    }

    /// Waits for its end.
    ///
    /// # Panics
    /// When it does not end in time.
    pub async fn until_ended(&mut self) -> ExitStatus {
        let due = clock::now().after(END_MAX);
        loop {
            if let Some(status) = self.look() {
                return status;
            }
            assert!(clock::now() < due, "it did not end within {END_MAX:?}; it said:\n{}", self.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    fn look(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().expect("it is a child of this process");
        }
        self.ended
    }

    fn kernel_pid(&self) -> Pid {
        i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a positive id")
    }

    async fn address_after(&mut self, words: &str) -> SocketAddr {
        let line = self.line_with(words).await;
        let rest = line.split(words).nth(1).unwrap_or_default();
        let end = rest.find(|c: char| !c.is_ascii_digit() && !".:[]".contains(c)).unwrap_or(rest.len());
        rest[..end].parse().unwrap_or_else(|_| panic!("no address after {words:?} in {line:?}"))
    }

    /// The first line with these words, waited for.
    async fn line_with(&mut self, words: &str) -> String {
        let due = clock::now().after(PATIENCE);
        loop {
            // Looked at first: what it said before its end is in the text once both outputs have ended.
            let ended = self.look();
            if let Some(line) = self.said().lines().find(|line| line.contains(words)) {
                return line.to_owned();
            }
            let over = ended.is_some() && self.said.is_over();
            assert!(!over, "it ended ({ended:?}) without {words:?}; it said:\n{}", self.said());
            assert!(clock::now() < due, "waited {PATIENCE:?} for {words:?}; it said:\n{}", self.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Tentpole {
    fn drop(&mut self) {
        if self.look().is_none() {
            self.child.kill().ok();
            self.child.wait().ok();
        }
        if std::thread::panicking() {
            eprintln!("tentpole said:\n{}", self.said());
        }
    }
}

/// The processes whose parent this is, now.
pub fn children(pid: u32) -> Vec<u32> {
    let numbered = |entry: io::Result<fs::DirEntry>| entry.ok()?.file_name().to_str()?.parse().ok();
    let parent = |pid: u32| -> Option<u32> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // The name before it may hold blanks and brackets; it ends with the last bracket.
        stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
    };
    let all = fs::read_dir("/proc").into_iter().flatten().filter_map(numbered);
    all.filter(|&one| parent(one) == Some(pid)).collect()
}

/// Whether a process runs: there, and no zombie.
pub fn runs(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_some_and(|(_, rest)| !matches!(rest.trim_start().as_bytes().first(), Some(b'Z' | b'X')))
}

/// Sends a process a signal; it need not be there any more.
pub fn signal(pid: u32, signal: Signal) {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).expect("a process has a positive id");
    kill_process(pid, signal).ok();
}

/// What a program says on both outputs, as far as it fits.
#[derive(Debug, Default)]
struct Said {
    text: Mutex<String>,
}

impl Said {
    fn text(&self) -> String {
        self.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn add(&self, line: &[u8]) {
        let mut text = self.text.lock().unwrap_or_else(PoisonError::into_inner);
        if text.len() < SAID_BYTES_MAX {
            text.push_str(&String::from_utf8_lossy(line));
        }
    }
}

/// Reads on a thread, so that the program never blocks on a full pipe.
fn listen_to(output: Option<impl Read + Send + 'static>, said: &Arc<Said>) {
    let Some(output) = output else { return };
    let said = said.clone();
    std::thread::spawn(move || {
        let mut lines = BufReader::new(output);
        let mut line = Vec::new();
        while lines.read_until(b'\n', &mut line).is_ok_and(|len| len > 0) {
            said.add(&line);
            line.clear();
        }
    });
}

impl Said {
    /// Have both outputs ended? Each reading thread holds one reference.
    fn is_over(self: &Arc<Self>) -> bool {
        Arc::strong_count(self) == 1
    }
}
