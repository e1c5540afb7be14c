//! A php-fpm of our own: its configuration, socket and scripts in a folder that goes with it. Listens nowhere else and is
//! ended by its number.

#![allow(clippy::expect_used, reason = "a helper that fails ends its test")]

use rustix::process::{Pid, Signal, geteuid, kill_process};
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// A running php-fpm.
#[derive(Debug)]
pub struct Fpm {
    child: Option<Child>,
    folder: TempDir,
    address: Option<SocketAddr>,
}

impl Fpm {
    /// Starts one with so many workers and these further settings of its pool, and waits until it listens.
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub fn start(workers: u32, settings: &str) -> Self {
        Self::listening(workers, settings, None)
    }

    /// The same, which listens on TCP: see [`Fpm::address`].
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub fn over_tcp(workers: u32, settings: &str) -> Self {
        Self::listening(workers, settings, Some(crate::address::own()))
    }

    fn listening(workers: u32, settings: &str, address: Option<SocketAddr>) -> Self {
        let folder = tempfile::tempdir().expect("a folder for php-fpm");
        let place = folder.path().display();
        let listen = address.map_or(format!("{place}/socket"), |address| address.to_string());
        // As root it runs only on demand, and as nobody else than root.
        let user = if geteuid().is_root() { "user = root\ngroup = root\n" } else { "" };
        let text = format!(
            "[global]\nerror_log = {place}/log\ndaemonize = no\n[test]\n{user}listen = {listen}\n\
             pm = static\npm.max_children = {workers}\nping.path = /ping\n{settings}"
        );
        fs::write(folder.path().join("conf"), text).expect("its configuration is written");
        fs::create_dir(folder.path().join("www")).expect("a folder for scripts");
        let mut fpm = Self { child: None, folder, address };
        fpm.start_again();
        fpm
    }

    /// Starts it once more, after [`Fpm::stop`].
    ///
    /// # Panics
    /// When it is not installed, or does not start.
    pub fn start_again(&mut self) {
        let program = program().expect("php-fpm is not installed: apt-get install php-fpm");
        let mut command = Command::new(program);
        command.args(["-n", "-F", "-y"]).arg(self.folder.path().join("conf"));
        if geteuid().is_root() {
            command.arg("-R");
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        self.child = Some(command.spawn().expect("php-fpm starts"));
        for _ in 0..1_000 {
            let listens = match self.address {
                Some(address) => TcpStream::connect(address).is_ok(),
                None => UnixStream::connect(self.socket()).is_ok(),
            };
            if listens {
                return;
            }
            let ended =
                self.child.as_mut().is_some_and(|child| child.try_wait().is_ok_and(|end| end.is_some()));
            assert!(!ended, "php-fpm ended: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("php-fpm does not listen: {}", self.log());
    }

    /// Ends it, with its workers and whatever they are doing.
    pub fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        // TERM, so that it ends its workers.
        let _ = kill_process(Pid::from_child(&child), Signal::TERM);
        let _ = child.wait();
    }

    /// Writes a file below the root.
    ///
    /// # Panics
    /// When that fails.
    pub fn write(&self, path: &str, text: &str) {
        let file = self.root().join(path);
        fs::create_dir_all(file.parent().unwrap_or(&file)).expect("its folder is made");
        fs::write(file, text).expect("it is written");
    }

    /// Where it listens, if that is on TCP.
    ///
    /// # Panics
    /// When it is not.
    pub fn address(&self) -> SocketAddr {
        self.address.expect("it listens at a socket of this machine")
    }

    /// Where it listens.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The folder of scripts.
    pub fn root(&self) -> PathBuf {
        self.folder.path().join("www")
    }

    /// A folder beside the root, that no visitor may reach.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

impl Drop for Fpm {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Debian has the version in the name.
fn program() -> Option<PathBuf> {
    let is_fpm = |path: &PathBuf| {
        path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("php-fpm"))
    };
    ["/usr/sbin", "/usr/local/sbin", "/usr/bin"]
        .iter()
        .filter_map(|folder| fs::read_dir(folder).ok())
        .flat_map(|entries| entries.flatten().map(|entry| entry.path()))
        .find(is_fpm)
}
