//! `slowhttptest` (Debian's package) in each of its modes: other visitors are served meanwhile, memory stays bounded, and the slow
//! ones are cut off with their reason. With shorter limits than by default, so that it is over in seconds.

use super::standstill::{MEMORY_MAX, resident};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tentpole_testkit::{Origin, Response, Tentpole, Up};
use tentpole_tests::pool;

/// Slow connections at once.
const CONNECTIONS: &str = "200";
/// How long one attack goes on, in seconds: longer than any limit that is set here.
const SECONDS: &str = "12";
/// How often another visitor asks meanwhile.
const ASK_EVERY: Duration = Duration::from_millis(50);

const LIMITS: &str = "timeouts = { stall = \"3s\" }\n[limits]\nhead_time = \"3s\"\nstall_time = \"3s\"\n\
                      pace_grace = \"2s\"\nidle_time = \"3s\"";

/// What one attack came to: the metrics behind it.
struct Attacked {
    metrics: String,
}

impl Attacked {
    /// The sum of the samples whose line begins so.
    fn sum(&self, beginning: &str) -> u64 {
        let values = self.metrics.lines().filter(|line| line.starts_with(beginning));
        values.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }
}

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // Fails only when it has ended.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// One visitor asks for a page, and the edge says how much memory it holds.
async fn resident_and_served(tentpole: &Tentpole) -> u64 {
    // Within the patience that every visitor of a test has.
    tentpole.visitor().await.get("/").await.expect(200);
    resident(tentpole)
}

async fn attack(mode: &[&str], path: &str) -> Attacked {
    let origin = Origin::start().await;
    let large = "x".repeat(4 << 20);
    origin.otherwise(move |request| match request.path() {
        "/page" => Response::ok(&large[..64 << 10]).header("Cache-Control", "max-age=60"),
        "/large" => Response::ok(&large).header("Cache-Control", "max-age=60"),
        _ => Response::ok("hello").header("Cache-Control", "no-store"),
    });
    let tentpole = Up::config(&pool(&[&origin], LIMITS)).start().await;
    let url = format!("http://{}{path}", tentpole.address());
    let attack = Command::new("slowhttptest")
        .args(mode)
        .args(["-c", CONNECTIONS, "-r", "200", "-l", SECONDS, "-u", &url])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("slowhttptest, of Debian's package of that name");
    let mut attack = Running(attack);
    // Once at least: an attack whose connections all get their answers is over soon.
    let mut most = resident_and_served(&tentpole).await;
    while attack.0.try_wait().expect("a child's state").is_none() {
        tokio::time::sleep(ASK_EVERY).await;
        most = most.max(resident_and_served(&tentpole).await);
    }
    assert!(most < MEMORY_MAX, "{most} bytes of memory");
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    tentpole.ends().await;
    Attacked { metrics }
}

fn refused(reason: &str) -> String {
    format!("tentpole_refused_total{{reason=\"{reason}\"}}")
}

#[tokio::test]
async fn slow_headers_are_cut_off() {
    let attacked = attack(&["-H", "-i", "1"], "/").await;
    let count = attacked.sum(&refused("head_timeout"));
    assert!(count >= 100, "{count} of {CONNECTIONS}");
}

#[tokio::test]
async fn slow_bodies_are_cut_off() {
    let attacked = attack(&["-B", "-i", "1", "-s", "100000"], "/").await;
    let count = attacked.sum(&refused("body_too_slow"));
    assert!(count >= 100, "{count} of {CONNECTIONS}");
}

#[tokio::test]
async fn hundreds_of_ranges_at_once_cost_others_nothing() {
    attack(&["-R", "-a", "1", "-b", "3000"], "/page").await;
}

#[tokio::test]
async fn slow_readers_are_cut_off() {
    let attacked = attack(&["-X", "-w", "512", "-y", "1024", "-n", "1", "-z", "32"], "/large").await;
    let failed = "tentpole_failures_total{side=\"visitor\",phase=\"deliver\"}";
    let count = attacked.sum(failed);
    assert!(count >= 100, "{count} of {CONNECTIONS}");
}
