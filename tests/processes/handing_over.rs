//! What one edge leaves to the next in an upgrade: the hottest objects in memory, the cache on disk, and purges, which
//! hold at both however late they come.

use crate::upgrade::{another, api_answers, parts, upgrade, upgraded};
use rustix::process::Signal;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tentpole_testkit::process::{runs, signal};
use tentpole_testkit::{Answer, Ask, Origin, Response, Tentpole, Up, Visitor};
use tentpole_tests::{pool, until, until_within};

/// An application whose answers count up, each with its number in a field; `length` bytes each. Returns how many it gave.
async fn counting(length: usize) -> (Origin, Arc<AtomicU64>) {
    let origin = Origin::start().await;
    origin.forgets_requests();
    let versions = Arc::new(AtomicU64::new(0));
    let given = versions.clone();
    origin.otherwise(move |seen| {
        let version = given.fetch_add(1, Ordering::SeqCst) + 1;
        let line =
            format!("{} in version {version} for {};", seen.path(), seen.header("X-Kind").unwrap_or("all"));
        let body: String = line.chars().cycle().take(length).collect();
        let mut answer = Response::ok(body)
            .header("Cache-Control", "max-age=3600")
            .header("Age", "100")
            .header("ETag", format!("\"{version}\""))
            .header("Cache-Tag", "all")
            .header("X-Version", version.to_string());
        if seen.path().starts_with("/kinds") {
            answer = answer.header("Vary", "X-Kind");
        }
        answer
    });
    (origin, versions)
}

fn version(answer: &Answer) -> u64 {
    answer.header("X-Version").and_then(|text| text.parse().ok()).unwrap_or_else(|| panic!("{answer:?}"))
}

async fn purge_by_api(tentpole: &Tentpole, wish: &str) {
    let ask = Ask::post("/api/purge", wish).header("Content-Type", "application/json");
    tentpole.admin_visitor().await.ask(&ask).await.expect(200);
}

#[tokio::test]
async fn what_was_hot_before_an_upgrade_is_a_hit_after_it_and_the_application_is_not_asked() {
    const OBJECTS: usize = 300;
    let (origin, versions) = counting(3_000).await;
    let tentpole = Up::config(&pool(&[&origin], "")).start().await;
    let asks: Vec<Ask> = (0..OBJECTS)
        .map(|number| match number % 3 {
            0 => Ask::get(&format!("/kinds/{}", number / 9)).header("X-Kind", format!("kind {}", number % 9)),
            _ => Ask::get(&format!("/p{number}?q={number}")),
        })
        .collect();
    let mut visitor = tentpole.visitor().await;
    let mut before = Vec::new();
    for ask in &asks {
        visitor.ask(ask).await.expect(200);
        before.push(visitor.ask(ask).await.expect(200));
        assert!(before.last().is_some_and(Answer::is_hit));
    }
    let stored = tokio::time::Instant::now();
    let asked = versions.load(Ordering::SeqCst);
    let program = another(&tentpole);
    drop(visitor);
    for number in 0..2 {
        let (old, control) = (tentpole.edge_pid(), parts(&tentpole, "control"));
        upgrade(&tentpole, Some(&program).filter(|_| number == 0)).await.expect(200);
        until("the edge before to end", async || !runs(old)).await;
        let mut visitor = tentpole.visitor().await;
        for (ask, before) in asks.iter().zip(&before) {
            let answer = visitor.ask(ask).await.expect(200);
            assert!(answer.is_hit(), "{ask:?}: {answer:?}");
            assert_eq!(answer.body, before.body);
            for name in ["ETag", "X-Version", "Cache-Control", "Vary", "Content-Length", "Content-Type"] {
                assert_eq!(answer.header(name), before.header(name), "{name}");
            }
            let age: u64 = answer.header("Age").and_then(|age| age.parse().ok()).expect("an age");
            assert!((100..=102 + stored.elapsed().as_secs() + 5).contains(&age), "{age}");
        }
        assert_eq!(versions.load(Ordering::SeqCst), asked, "upgrade {number}: the application was asked");
        // By tag, it is purged like any other.
        if number == 1 {
            until("control to be replaced", async || {
                let now = parts(&tentpole, "control");
                now.len() == 1 && now != control
            })
            .await;
            api_answers(&tentpole).await;
            purge_by_api(&tentpole, "{\"tags\":[\"all\"]}").await;
            assert!(!tentpole.visitor().await.ask(&asks[1]).await.expect(200).is_hit());
        }
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn purges_while_objects_go_over_hold_wherever_they_come_and_whoever_asks_afterwards() {
    const PATHS: usize = 120;
    let (origin, versions) = counting(400_000).await;
    let lines = "[purge]\nfrom = [\"127.0.0.1\"]";
    let tentpole = Up::config(&pool(&[&origin], lines)).start().await;
    let path = |number: usize| format!("/p{number}");
    let mut first = tentpole.visitor().await;
    for number in 0..PATHS {
        first.get(&path(number)).await.expect(200);
    }
    let old = tentpole.edge_pid();
    // They stay with the edge before until each has asked once.
    let mut kept = Vec::new();
    for _ in 0..PATHS / 3 {
        let mut visitor = tentpole.visitor().await;
        visitor.get(&path(0)).await.expect(200);
        kept.push(visitor);
    }
    let purging = async {
        let mut purged = HashMap::new();
        let mut over = 0;
        until("a second edge", async || parts(&tentpole, "edge").iter().any(|&pid| pid != old)).await;
        for number in 0..PATHS {
            let path = path(number);
            let before = versions.load(Ordering::SeqCst);
            let purge = Ask::new("PURGE", &path);
            let done = match number % 3 {
                // At the edge before, for as long as that is so.
                0 => kept.pop().expect("one each").ask(&purge).await.status,
                1 => tentpole.visitor().await.ask(&purge).await.status,
                _ => {
                    let wish = format!("{{\"url\":\"http://{}{path}\"}}", tentpole.address());
                    let ask = Ask::post("/api/purge", wish).header("Content-Type", "application/json");
                    // Control is replaced in the middle of it.
                    let Ok(mut admin) = Visitor::try_connect(tentpole.admin()).await else { continue };
                    admin.try_ask(&ask).await.map_or(0, |answer| answer.status)
                }
            };
            if done == 200 {
                purged.insert(number, before);
                over += usize::from(parts(&tentpole, "edge").len() > 1);
            }
        }
        (purged, over)
    };
    let (answer, (purged, over)) = tokio::join!(upgrade(&tentpole, None), purging);
    answer.expect(200);
    eprintln!("{} of {PATHS} purges answered for, {over} of them while both edges served", purged.len());
    assert!(over >= 5 && purged.len() >= PATHS / 2, "{over} {}", purged.len());
    drop((first, kept));
    // What still comes over must not bring anything back either.
    for _ in 0..2 {
        let mut visitor = tentpole.visitor().await;
        for (&number, &before) in &purged {
            let answer = visitor.get(&path(number)).await.expect(200);
            assert!(version(&answer) > before, "{number}: {} after a purge of {before}", version(&answer));
            // The edge before may have taken him in its last moment; it says goodbye with an answer.
            if answer.closed {
                visitor = tentpole.visitor().await;
            }
        }
        until("the edge before to end", async || !runs(old)).await;
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_purge_at_one_of_two_edges_holds_at_both_before_it_is_answered() {
    let (origin, _) = counting(2_000).await;
    let lines = "[purge]\nfrom = [\"127.0.0.1\"]\n[site.all]\npool = \"app\"\n\
                 [[site.all.route]]\npath = \"/change\"\ncache = { purges = [\"/list/*\", \"/front\"] }";
    let tentpole = Up::config(&pool(&[&origin], lines)).start().await;
    let mut at_old = Vec::new();
    let pages = ["/a", "/b", "/c", "/list/1", "/front?x=1"];
    for _ in 0..9 {
        let mut visitor = tentpole.visitor().await;
        for page in pages {
            visitor.get(page).await.expect(200);
        }
        at_old.push(visitor);
    }
    let old = tentpole.edge_pid();
    upgraded(&tentpole).await;
    // Once it says so, it takes nobody new.
    let mut first = at_old.pop().expect("there are enough");
    until("the edge before to leave", async || first.get("/a").await.expect(200).closed).await;
    let mut at_new = tentpole.visitor().await;
    let mut versions = HashMap::new();
    for page in pages {
        let answer = at_new.get(page).await.expect(200);
        assert!(answer.is_hit(), "{page}: {answer:?}");
        versions.insert(page, version(&answer));
    }
    let mut old_one = || at_old.pop().expect("there are enough");
    // An application's purge that comes to the edge before…
    let answer = old_one().ask(&Ask::new("PURGE", "/a")).await.expect(200);
    assert!(answer.closed, "it was the edge that leaves");
    assert!(version(&at_new.get("/a").await.expect(200)) > versions["/a"]);
    // …and one that comes to the new one, with both ways round asked at once after it.
    at_new.ask(&Ask::new("PURGE", "/b")).await.expect(200);
    assert!(version(&old_one().get("/b").await.expect(200)) > versions["/b"]);
    // A change of the page itself, at the edge before (RFC 9111 section 4.4).
    old_one().ask(&Ask::post("/c", "changed")).await.expect(200);
    assert!(version(&at_new.get("/c").await.expect(200)) > versions["/c"]);
    // A change that a route's `purges` make more of.
    old_one().ask(&Ask::post("/change", "x")).await.expect(200);
    for page in ["/list/1", "/front?x=1"] {
        assert!(version(&at_new.get(page).await.expect(200)) > versions[page], "{page}");
    }
    at_new.ask(&Ask::post("/change", "x")).await.expect(200);
    assert!(version(&old_one().get("/list/1").await.expect(200)) > versions["/list/1"]);
    // An edge that does not answer: the purge says so, and goes through once it does.
    signal(old, Signal::STOP);
    let answer = at_new.ask(&Ask::new("PURGE", "/a")).await.expect(503);
    assert!(answer.text().contains("did not answer in time"), "{}", answer.text());
    signal(old, Signal::CONT);
    let mut at_new = tentpole.visitor().await;
    until("a purge to be answered for", async || {
        let mut visitor = tentpole.visitor().await;
        visitor.ask(&Ask::new("PURGE", "/a")).await.status == 200
    })
    .await;
    drop(at_old);
    until_within(Duration::from_secs(20), "the edge before to end", async || !runs(old)).await;
    // Alone again, nobody else is asked.
    until("control to know", async || at_new.ask(&Ask::new("PURGE", "/a")).await.status == 200).await;
    tentpole.ends().await;
}

#[tokio::test]
async fn what_lay_on_disk_before_an_upgrade_comes_from_disk_after_it() {
    const PATHS: usize = 40;
    let directory = tempfile::tempdir().expect("a directory");
    let (origin, versions) = counting(60_000).await;
    // Memory holds hardly any of it, so that it is the disk that has it.
    let lines = format!(
        "[cache]\nmemory = \"300KiB\"\n[cache.disk]\ndirectory = \"{}\"\nsize = \"64MiB\"",
        directory.path().display()
    );
    let tentpole = Up::config(&pool(&[&origin], &lines)).start().await;
    let figure = async |name: &str| {
        let page = tentpole.admin_visitor().await.get("/metrics").await.text();
        page.lines().find_map(|line| line.strip_prefix(name)?.trim().parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let mut before = HashMap::new();
    let mut visitor = tentpole.visitor().await;
    for number in 0..PATHS {
        let path = format!("/p{number}");
        before.insert(number, version(&visitor.get(&path).await.expect(200)));
    }
    until("all to be written", async || {
        figure("tentpole_disk_writes_total{result=\"written\"}").await >= PATHS as f64
    })
    .await;
    let asked = versions.load(Ordering::SeqCst);
    drop(visitor);
    for round in 0..2 {
        let old = tentpole.edge_pid();
        upgraded(&tentpole).await;
        until("the edge before to end", async || !runs(old)).await;
        until("the new edge to have the disk", async || {
            figure("tentpole_disk_objects").await >= (PATHS - round) as f64
        })
        .await;
        // What is purged after that stays gone, at the next edge too.
        purge_by_api(&tentpole, &format!("{{\"url\":\"http://{}/p{round}\"}}", tentpole.address())).await;
        let mut visitor = tentpole.visitor().await;
        for number in round + 1..PATHS {
            let answer = visitor.get(&format!("/p{number}")).await.expect(200);
            assert_eq!(version(&answer), before[&number], "round {round}: {number}");
        }
        assert_eq!(versions.load(Ordering::SeqCst), asked, "the application was asked");
        assert!(figure("tentpole_disk_lookups_total{result=\"hit\"}").await >= 20.0, "from disk");
    }
    for purged in 0..2 {
        let answer = tentpole.visitor().await.get(&format!("/p{purged}")).await.expect(200);
        assert!(version(&answer) > before[&purged]);
    }
    tentpole.ends().await;
}
