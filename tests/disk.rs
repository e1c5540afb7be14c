//! A Tentpole with a cache on disk whose edge is killed at any moment while it writes: what visitors get afterwards is
//! whole, what the application gave under that address, and never what a purge has answered for.

use std::collections::HashMap;

use rustix::process::Signal;
use tentpole_testkit::process::{runs, signal};
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up};
use tentpole_tests::{pool, until};

const PATHS: usize = 24;
const ROUNDS: usize = 12;

/// What the application answers: every byte follows from path and version, and the sizes go from one record to many.
fn body(path: &str, version: u64) -> String {
    let number: usize = path.trim_start_matches("/p").parse().expect("a path of ours");
    let length = [40, 9_000, 70_000, 400_000][number % 4] + number;
    let line = format!("{path} in version {version};");
    line.chars().cycle().take(length).collect()
}

async fn kill_edge(tentpole: &Tentpole) {
    let old = tentpole.part("edge").expect("an edge runs");
    signal(old, Signal::KILL);
    until("another edge", async || !runs(old) && tentpole.part("edge").is_some_and(|pid| pid != old)).await;
}

async fn disk_says(tentpole: &Tentpole, metric: &str) -> Option<f64> {
    let page = tentpole.admin_visitor().await.get("/metrics").await;
    page.text().lines().find_map(|line| line.strip_prefix(metric)?.trim().parse().ok())
}

#[tokio::test]
async fn a_killed_edge_gives_what_lay_on_disk_whole_and_nothing_that_was_purged() {
    let directory = tempfile::tempdir().expect("a directory");
    let origin = Origin::start().await;
    // The version counts up with every answer.
    let versions = std::sync::atomic::AtomicU64::new(1);
    origin.otherwise(move |seen| {
        let version = versions.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        Response::ok(body(seen.path(), version))
            .header("Cache-Control", "max-age=3600")
            .header("X-Version", version.to_string())
    });
    let disk = format!("\n[cache.disk]\ndirectory = \"{}\"\nsize = \"64MiB\"\n", directory.path().display());
    let tentpole = Up::config(&(pool(&[&origin], "") + &disk)).start().await;
    let mut purged: HashMap<String, u64> = HashMap::new();
    let (mut from_disk, mut asked) = (0, 0);
    for round in 0..ROUNDS {
        let mut visitor = tentpole.visitor().await;
        let mut latest = HashMap::new();
        // How many are asked for before the kill differs, so that it meets different writes.
        for number in (0..PATHS).cycle().skip(round * 5).take(PATHS + round * 3) {
            let path = format!("/p{number}");
            let answer = visitor.get(&path).await.expect(200);
            let version: u64 =
                answer.header("X-Version").and_then(|text| text.parse().ok()).expect("a version");
            assert!(answer.text() == body(&path, version), "round {round}: {path} is not what was given");
            let gone = purged.get(&path).copied().unwrap_or(0);
            assert!(version > gone, "round {round}: {path} has version {version}, up to {gone} was purged");
            from_disk +=
                usize::from(answer.header("Cache-Status").is_some_and(|said| said.contains("detail=disk")));
            asked += 1;
            latest.insert(path, version);
        }
        let path = format!("/p{}", round * 7 % PATHS);
        if let Some(version) = latest.get(&path) {
            let order = format!("{{\"url\":\"http://{}{path}\"}}", tentpole.address());
            tentpole.admin_visitor().await.ask(&Ask::post("/api/purge", order)).await.expect(200);
            purged.insert(path, *version);
        }
        kill_edge(&tentpole).await;
        until("what was there is looked through", async || {
            disk_says(&tentpole, "tentpole_disk_in_use ").await == Some(1.0)
                && (round < 2
                    || disk_says(&tentpole, "tentpole_disk_objects ").await >= Some(PATHS as f64 / 2.0))
        })
        .await;
    }
    assert!(from_disk > asked / 3, "{from_disk} of {asked} answers came from disk: too few to mean much");
    tentpole.ends().await;
}
