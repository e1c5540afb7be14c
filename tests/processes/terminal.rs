//! What people read, and what becomes of Tentpole when nobody reads it: a terminal that is gone or stands still stops
//! neither traffic nor scaling.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::Value;
use tentpole_testkit::address::own;
use tentpole_testkit::process::{children, runs, signal};
use tentpole_testkit::{Up, Visitor, binary};
use tentpole_tests::{until, until_within};

/// How long an ending process may take.
const END_MAX: Duration = Duration::from_secs(20);

fn origin() -> String {
    format!("{} origin --listen 127.0.0.1:{{port}}", binary("tentpole-testkit").display())
}

/// Where visitors and admin API are served, which nobody prints here.
fn ports() -> [String; 2] {
    [(); 2].map(|()| own().to_string())
}

/// A Tentpole whose both outputs go into one pipe. Killed when dropped.
struct Piped {
    child: Child,
    said: Option<BufReader<std::io::PipeReader>>,
    admin: String,
}

impl Piped {
    fn start(run: &str, config: &str) -> Self {
        let [listen, admin] = ports();
        let (said, theirs) = std::io::pipe().expect("a pipe");
        let mut command = Command::new(binary("tentpole"));
        command
            .args(["up", "--run", run, "--listen", &listen, "--admin", &admin])
            .args(config.split_whitespace());
        let errors = theirs.try_clone().expect("a descriptor");
        let child = command.stdin(Stdio::null()).stdout(theirs).stderr(errors).spawn().expect("it starts");
        Self { child, said: Some(BufReader::new(said)), admin }
    }

    fn first_line(&mut self) -> String {
        let mut line = String::new();
        self.said.as_mut().expect("it is read").read_line(&mut line).expect("it is text");
        line
    }

    async fn fleet(&self) -> Option<Value> {
        let address = self.admin.parse().ok()?;
        std::net::TcpStream::connect(&self.admin).ok()?;
        let answer = Visitor::connect(address).await.get("/api/fleets").await;
        let fleets: Value = serde_json::from_slice(&answer.body).ok()?;
        Some(fleets["fleets"][0].clone())
    }

    /// The process of the first instance that serves and is not `old`.
    async fn serves(&self, old: Option<u64>) -> u64 {
        let serving = async || {
            let fleet = self.fleet().await?;
            let first = fleet["instances"].as_array()?.first()?.clone();
            let pid = first["pid"].as_u64()?;
            (first["phase"] == "serving" && Some(pid) != old).then_some(pid)
        };
        until("an instance to serve", async || serving().await.is_some()).await;
        serving().await.expect("it has just served")
    }

    async fn ends(&mut self) {
        signal(self.child.id(), Signal::INT);
        let child = &mut self.child;
        let mut ended = false;
        until_within(END_MAX, "it to end", async || {
            ended = ended || child.try_wait().expect("it is ours").is_some();
            ended
        })
        .await;
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn a_fleet_goes_on_when_nobody_reads_after_the_first_line() {
    let mut tentpole = Piped::start(&origin(), "");
    assert_eq!(tentpole.first_line(), "tentpole: fleet app: starts with 1 instance: the minimum is 1\n");
    tentpole.said = None;
    let first = tentpole.serves(None).await;
    signal(first.try_into().expect("a pid"), Signal::KILL);
    tentpole.serves(Some(first)).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn a_fleet_goes_on_and_can_be_ended_while_the_terminal_stands_still() {
    // More than any pipe holds, and nobody reads.
    let chatty = format!("sh -c 'yes full | head -c 300000; exec {}'", origin().replace("{port}", "$PORT"));
    let mut tentpole = Piped::start(&chatty, "");
    let mut pid = None;
    for _ in 0..2 {
        let serving = tentpole.serves(pid).await;
        signal(serving.try_into().expect("a pid"), Signal::KILL);
        pid = Some(serving);
    }
    tentpole.serves(pid).await;
    tentpole.ends().await;
}

#[test]
fn a_program_that_is_not_there_is_said_at_once_and_nothing_starts() {
    let mut tentpole = Piped::start("gunicorn-that-nobody-has app:wsgi -b 127.0.0.1:{port}", "");
    let mut said = String::new();
    tentpole.said.take().expect("it is read").read_to_string(&mut said).expect("it is text");
    assert_eq!(
        said,
        "error: cannot start gunicorn-that-nobody-has, which pool app runs: there is no program of that name in PATH. \
         Install it, or say where it is.\n"
    );
    assert_eq!(tentpole.child.wait().expect("it is ours").code(), Some(1));
}

#[tokio::test]
async fn the_first_lines_say_what_is_run_and_where_the_console_is() {
    let tentpole = Up::run(&origin()).argument("--max").argument("3").start().await;
    let said = tentpole.said();
    let run = format!("  fleet app: 1 to 3 instances of `{}", binary("tentpole-testkit").display());
    assert!(said.contains(&run[..run.len().min(80)]), "{said}");
    assert!(said.contains(&format!("  console and admin on http://{} (", tentpole.admin())), "{said}");
    assert!(!said.contains("http://app-1"), "{said}");
    tentpole.ends().await;
}

#[tokio::test]
async fn an_instance_that_ends_is_told_once() {
    let tentpole = Up::run(&origin()).start().await;
    let shim = children(tentpole.pid()).into_iter().find(|&pid| !children(pid).is_empty()).expect("a shim");
    let application = children(shim)[0];
    signal(application, Signal::KILL);
    until("it to be told", async || !runs(application) && tentpole.said().contains("ended by itself")).await;
    until("the next one to answer", async || tentpole.said().matches("and takes traffic").count() == 2).await;
    let said = tentpole.said();
    assert_eq!(said.matches("SIGKILL").count(), 1, "{said}");
    tentpole.ends().await;
}
