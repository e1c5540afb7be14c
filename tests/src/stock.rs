//! Debian's nginx and HAProxy as a test runs them: with a configuration in a temporary directory, on a free port of
//! 127.0.0.1, in the foreground, ended by their process. Changes nothing on the machine, and says which package is
//! missing where there is none.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;
use tentpole_runtime::clock;
use tentpole_testkit::Visitor;
use tentpole_testkit::gate::PATIENCE;
use tokio::net::TcpStream;

/// How often it is looked at while it starts.
const LOOK_EVERY: Duration = Duration::from_millis(5);
/// Ports that are tried: between finding a free one and its use somebody else may take it.
const PORTS_MAX: usize = 5;
/// What both say when a port is taken.
const TAKEN: [&str; 2] = ["Address already in use", "cannot bind socket"];
/// Where Debian puts them; not everybody's PATH holds it.
const DIRS: [&str; 2] = ["/usr/sbin", "/usr/bin"];

/// A running nginx or HAProxy. Killed when dropped.
#[derive(Debug)]
pub struct Stock {
    child: Child,
    dir: TempDir,
    address: SocketAddr,
}

impl Stock {
    /// nginx with this inside `http { … }`; `{listen}` in it becomes the address.
    ///
    /// # Panics
    /// When it is not installed or does not start, with what it said.
    pub async fn nginx(http: &str) -> Self {
        let program = program("nginx");
        Self::start(&program, "nginx.conf", http, |dir, http| {
            let temp = |kind: &str| format!("{kind}_temp_path {dir}/{kind};\n");
            let temps: String =
                ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"].into_iter().map(temp).collect();
            let text = format!(
                "daemon off;\nmaster_process off;\npid {dir}/pid;\nerror_log {dir}/said warn;\n\
                 events {{ worker_connections 1024; }}\nhttp {{\naccess_log off;\n{temps}{http}\n}}\n"
            );
            (text, vec!["-p".into(), dir.into(), "-e".into(), format!("{dir}/said"), "-c".into()])
        })
        .await
    }

    /// HAProxy with these sections; `{listen}` in them becomes the address.
    ///
    /// # Panics
    /// When it is not installed or does not start, with what it said.
    pub async fn haproxy(sections: &str) -> Self {
        let program = program("haproxy");
        Self::start(&program, "haproxy.cfg", sections, |_, sections| {
            (format!("global\nmaxconn 1000\n{sections}\n"), vec!["-db".into(), "-f".into()])
        })
        .await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// `http://ADDRESS`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// A visitor who has connected to it.
    pub async fn visitor(&self) -> Visitor {
        Visitor::connect(self.address).await
    }

    /// What it has said so far: its error log, and what it writes without one.
    pub fn said(&self) -> String {
        said(&self.dir)
    }

    /// `write` makes of the directory and the configuration the whole file, and the arguments before its name.
    async fn start(
        program: &PathBuf,
        file: &str,
        text: &str,
        write: impl Fn(&str, &str) -> (String, Vec<String>),
    ) -> Self {
        let mut last = String::new();
        for _ in 0..PORTS_MAX {
            let dir = TempDir::new().expect("a temporary directory");
            let address = tentpole_testkit::address::own();
            let path = dir.path().to_str().expect("a temporary directory has a plain name");
            let (text, arguments) = write(path, &text.replace("{listen}", &address.to_string()));
            let config = dir.path().join(file);
            fs::write(&config, text).expect("the temporary directory is writable");
            let output = fs::File::create(dir.path().join("output")).expect("it is writable");
            let both = output.try_clone().expect("a file can be opened twice");
            let mut command = Command::new(program);
            command.args(arguments).arg(&config).current_dir(dir.path());
            command.stdin(Stdio::null()).stdout(output).stderr(both);
            let child =
                command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
            let mut stock = Self { child, dir, address };
            if stock.listens().await {
                return stock;
            }
            last = stock.said();
            assert!(TAKEN.iter().any(|words| last.contains(words)), "{} ended:\n{last}", program.display());
        }
        panic!("no free port in {PORTS_MAX} attempts:\n{last}");
    }

    /// Waits until it takes connections; `false` when it ended before.
    async fn listens(&mut self) -> bool {
        let due = clock::now().after(PATIENCE);
        while TcpStream::connect(self.address).await.is_err() {
            if self.child.try_wait().expect("it is a child of this process").is_some() {
                return false;
            }
            assert!(clock::now() < due, "it does not listen; it said:\n{}", self.said());
            tokio::time::sleep(LOOK_EVERY).await;
        }
        // Another's port would answer too.
        self.child.try_wait().expect("it is a child of this process").is_none()
    }
}

impl Drop for Stock {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("the stock server said:\n{}", self.said());
        }
    }
}

fn program(name: &str) -> PathBuf {
    let found = DIRS.iter().map(|dir| PathBuf::from(dir).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| panic!("{name} is not installed: this test needs Debian's package `{name}`"))
}

fn said(dir: &TempDir) -> String {
    let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
    read("output") + &read("said")
}
