//! What a request costs in system calls, counted by strace on the data thread: a cached hit is one read and one write,
//! beside waiting. Fails when strace is missing or may not attach; never passes without having counted.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::{pool, until};
use tokio::time::Instant;

/// Requests of which each thing is counted.
const REQUESTS: u64 = 1_000;
/// System calls in a second that go with the time and not with the requests: the sweeper runs ten times a second, and
/// whoever writes the log is woken as often.
const BESIDE_PER_SECOND_MAX: u64 = 50;

const READS: [&str; 5] = ["read", "readv", "recvfrom", "recvmsg", "recvmmsg"];
const WRITES: [&str; 6] = ["write", "writev", "sendto", "sendmsg", "sendmmsg", "sendfile"];
const WAITS: [&str; 3] = ["epoll_wait", "epoll_pwait", "epoll_pwait2"];

/// System calls of the data thread by name, a write that only wakes another thread as `wake`, and in which time.
#[derive(Debug)]
struct Calls {
    by_name: BTreeMap<String, u64>,
    seconds: u64,
}

impl Calls {
    fn of(&self, names: &[&str]) -> u64 {
        names.iter().filter_map(|name| self.by_name.get(*name)).sum()
    }

    fn others(&self) -> u64 {
        self.by_name.values().sum::<u64>() - self.of(&READS) - self.of(&WRITES) - self.of(&WAITS)
    }

    /// How many may come with the time.
    fn beside_max(&self) -> u64 {
        (self.seconds + 1) * BESIDE_PER_SECOND_MAX
    }
}

/// strace at work; ended by its pid.
struct Strace {
    child: Child,
    calls: PathBuf,
    said: PathBuf,
    began: Instant,
}

impl Strace {
    /// Attaches to all threads of the edge.
    async fn attach(tentpole: &Tentpole) -> Self {
        let (calls, said) = (tentpole.dir().join("calls"), tentpole.dir().join("strace"));
        let stderr = fs::File::create(&said).expect("the temporary directory is writable");
        let spawned = Command::new("strace")
            .args(["-f", "-y", "-s", "0", "-e", "signal=none", "-o"])
            .arg(&calls)
            .args(["-p", &tentpole.edge_pid().to_string()])
            .stdin(Stdio::null())
            .stderr(stderr)
            .spawn();
        let child = spawned.unwrap_or_else(|error| {
            panic!("this test counts system calls with strace, which cannot be run ({error}): apt-get install strace")
        });
        let mut strace = Self { child, calls, said, began: Instant::now() };
        until("strace to attach", async || {
            let said = strace.said();
            let ended = strace.child.try_wait().expect("it is our child");
            assert!(
                ended.is_none() && !said.contains("not permitted"),
                "strace may not attach to the program: run the test as root, or set \
                 /proc/sys/kernel/yama/ptrace_scope to 0; in a container, allow SYS_PTRACE. It said: {said}"
            );
            said.contains("attached")
        })
        .await;
        strace
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.said).unwrap_or_default()
    }

    /// Detaches, and counts what the thread did.
    async fn detach(mut self, thread: u32) -> Calls {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a process has a positive id");
        kill_process(pid, Signal::INT).expect("it is our child");
        until("strace to end", async || self.child.try_wait().expect("it is our child").is_some()).await;
        let text = fs::read_to_string(&self.calls).expect("strace has written it");
        let mut by_name = BTreeMap::new();
        for line in text.lines() {
            // `1234 recvfrom(9<socket:[5678]>, …`; what was interrupted goes on in a line of its own: `1234 <... recvfrom resumed>`.
            let Some((id, call)) = line.split_once(' ') else { continue };
            let name = call.trim_start().split('(').next().unwrap_or_default();
            let is_name =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let name = if name == "write" && call.contains("[eventfd]") { "wake" } else { name };
            if id.parse() == Ok(thread) && is_name {
                *by_name.entry(name.to_owned()).or_insert(0) += 1;
            }
        }
        Calls { by_name, seconds: self.began.elapsed().as_secs() }
    }
}

impl Drop for Strace {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The id of the only data thread.
fn data_thread(tentpole: &Tentpole) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", tentpole.edge_pid())).expect("Linux shows its threads");
    let is_it =
        |path: &PathBuf| fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "edge-0");
    let found = tasks.flatten().map(|task| task.path()).find(is_it).expect("a thread called edge-0");
    found
        .file_name()
        .and_then(|id| id.to_str())
        .and_then(|id| id.parse().ok())
        .expect("a thread has a number")
}

/// Counts while this visitor asks for the same again and again.
async fn counted(tentpole: &Tentpole, visitor: &mut Visitor, ask: &Ask, is_hit: bool) -> Calls {
    visitor.ask(ask).await.expect(200);
    let strace = Strace::attach(tentpole).await;
    for _ in 0..REQUESTS {
        assert_eq!(visitor.ask(ask).await.expect(200).is_hit(), is_hit);
    }
    strace.detach(data_thread(tentpole)).await
}

/// One read, one write, and nothing beside but to wait.
fn check_hits(hits: &Calls) {
    println!("{REQUESTS} hits: {hits:?}");
    assert!(is_about(hits.of(&READS), 1), "a hit is not one read: {hits:?}");
    assert!(is_about(hits.of(&WRITES), 1), "a hit is not one write: {hits:?}");
    assert!(
        hits.of(&WAITS) <= REQUESTS + REQUESTS / 100 + hits.beside_max(),
        "a hit waits more than once: {hits:?}"
    );
    assert!(hits.others() <= hits.beside_max(), "a hit does something else: {hits:?}");
}

/// `count` for each request, and not more than one in a hundred beside.
fn is_about(calls: u64, count: u64) -> bool {
    (REQUESTS * count..=REQUESTS * count + REQUESTS / 100 + 20).contains(&calls)
}

#[tokio::test]
async fn a_hit_is_one_read_and_one_write_and_a_proxied_request_twice_that() {
    let origin = Origin::start().await;
    origin.forgets_requests();
    let body = "x".repeat(1024);
    origin
        .on("/hit")
        .respond(Response::ok(&body).header("Cache-Control", "max-age=3600").header("ETag", "\"1\""));
    origin.on("/proxied").respond(Response::ok(&body).header("Cache-Control", "no-store"));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;

    check_hits(&counted(&tentpole, &mut visitor, &Ask::get("/hit"), true).await);

    // The count can count: what is proxied is read twice and written twice.
    let proxied = counted(&tentpole, &mut visitor, &Ask::get("/proxied"), false).await;
    println!("{REQUESTS} proxied requests: {proxied:?}");
    assert!(is_about(proxied.of(&READS), 2), "{proxied:?}");
    assert!(is_about(proxied.of(&WRITES), 2), "{proxied:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_compressed_hit_is_one_read_and_one_write_too() {
    let origin = Origin::start().await;
    origin.forgets_requests();
    let page = Response::ok("a page of words ".repeat(2_048)).header("Cache-Control", "max-age=3600");
    origin.on("/page").respond(page.header("Content-Type", "text/html").header("ETag", "\"1\""));
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    let ask = Ask::get("/page").header("Accept-Encoding", "deflate, gzip;q=0.8");
    // Made apart from any request.
    until("the page to be compressed", async || {
        visitor.ask(&ask).await.expect(200).header("content-encoding") == Some("gzip")
    })
    .await;
    check_hits(&counted(&tentpole, &mut visitor, &ask, true).await);
    assert_eq!(visitor.ask(&ask).await.header("content-encoding"), Some("gzip"));
    tentpole.ends().await;
}
