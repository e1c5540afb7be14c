//! S5.5: four proxies before one application, each with a limit of what the application carries ÷ 4. The visitors come by
//! names that are answered in turn (S5.4), so all of them are at one proxy for a while, and then at the next. The busy one is at its
//! limit and refuses, while three idle and the application has three quarters of its workers free. The application has 8 workers of 25 ms
//! each; the queue waits 400 ms where the story's waited a minute.

use std::net::SocketAddr;
use std::time::Duration;

use tentpole_testkit::{Tentpole, Up};
use tentpole_tests::stock::Stock;
use tentpole_tests::workers::Workers;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// The application carries 320 a second.
const WORKERS: u32 = 8;
const TAKES: Duration = Duration::from_millis(25);
const PROXIES: usize = 4;
/// Visitors, at 160 a second: half of what the application carries, twice what a quarter of its workers does.
const GAP: Duration = Duration::from_micros(6_250);
/// How many come to one proxy before all go to the next.
const AT_ONE: u32 = 240;
const ROUNDS: u32 = 8;

/// What the visitors were answered.
#[derive(Debug, Default)]
struct Seen {
    good: usize,
    refused: usize,
    other: Vec<String>,
}

/// Visitors come evenly, whether those before them were served or not; each on a connection of its own.
async fn load(proxies: &[SocketAddr], late: MissedTickBehavior) -> Seen {
    let mut gaps = tokio::time::interval(GAP);
    gaps.set_missed_tick_behavior(late);
    let mut visits = JoinSet::new();
    for number in 0..AT_ONE * ROUNDS {
        gaps.tick().await;
        let proxy = proxies[(number / AT_ONE) as usize % PROXIES];
        visits.spawn(async move {
            let page = format!("/page/{number}");
            tentpole_testkit::Visitor::connect(proxy).await.get(&page).await.status
        });
    }
    let mut seen = Seen::default();
    for status in visits.join_all().await {
        match status {
            200 => seen.good += 1,
            503 => seen.refused += 1,
            other => seen.other.push(other.to_string()),
        }
    }
    seen
}

async fn haproxy(app: &Workers) -> Stock {
    let share = WORKERS as usize / PROXIES;
    let sections = format!(
        "defaults\nmode http\ntimeout connect 5s\ntimeout client 30s\ntimeout server 30s\ntimeout queue 400ms\n\
         frontend all\nbind {{listen}}\ndefault_backend app\nbackend app\nserver app {} maxconn {share}\n",
        app.address()
    );
    Stock::haproxy(&sections).await
}

async fn tentpole(app: &Workers) -> Tentpole {
    let config = format!(
        "threads = 1\n[pool.app]\nendpoints = [\"{}\"]\nlimit = \"adaptive\"\nqueue = {{ wait = \"400ms\" }}\n",
        app.url()
    );
    Up::config(&config).start().await
}

#[tokio::test]
async fn s5_5_the_busy_proxy_refuses_while_three_idle_and_the_busy_tentpole_uses_all_there_is() {
    let app = Workers::start(WORKERS as usize, TAKES).await;
    let mut stock = Vec::new();
    for _ in 0..PROXIES {
        stock.push(haproxy(&app).await);
    }
    let theirs = load(&stock.iter().map(Stock::address).collect::<Vec<_>>(), MissedTickBehavior::Burst).await;
    let most = app.inside_most();
    println!("HAProxy, workers ÷ {PROXIES}: {theirs:?}, {most} of {WORKERS} workers at once");
    assert!(theirs.refused as u32 * 4 > AT_ONE * ROUNDS, "a quarter or more is refused: {theirs:?}");
    // A quarter of the workers is busy; while the visitors change over, that of two proxies.
    assert!(theirs.other.is_empty() && most <= WORKERS as usize / PROXIES * 2, "{theirs:?}, {most}");
    drop(stock);

    let mut ours = Vec::new();
    for _ in 0..PROXIES {
        ours.push(tentpole(&app).await);
    }
    // Those whom the machine held up do not all come at once afterwards; and a few may have waited for it, not for a worker, longer
    // than the queue's 400 ms.
    let seen = load(&ours.iter().map(Tentpole::address).collect::<Vec<_>>(), MissedTickBehavior::Delay).await;
    println!("Tentpole, adaptive: {seen:?}, {} at once", app.inside_most());
    assert!(seen.refused * 10 <= theirs.refused && seen.other.is_empty(), "{seen:?}");
    for one in ours {
        one.ends().await;
    }
}
