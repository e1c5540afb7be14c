//! S1.3 and S1.4: pages take longer than the balancer waits. It cuts them off, takes the server out, and then everything
//! fails at once, while the server itself is slow but answers. The story's times divided by ten: the balancer waits 1 s
//! where it waited 10 s, and the application answers after 1.2 s, like its health page.

use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tentpole_runtime::clock;
use tentpole_testkit::{Origin, Response, Tentpole, Up, Visitor, binary};
use tentpole_tests::stock::Stock;
use tentpole_tests::{pool, until, until_health};

/// How long the application takes for each answer.
const SLOW: Duration = Duration::from_millis(1_200);
/// Visitors at once.
const VISITORS: usize = 6;
/// Pages that each of them asks for, one after the other.
const PAGES: usize = 3;

/// An application whose every page is made anew, and slowly.
async fn slow() -> Origin {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("page").header("Cache-Control", "no-store"));
    origin.delays(SLOW);
    origin
}

/// What the visitors got, each answer with the time that it took.
struct Seen(Vec<(u16, Duration)>);

impl Seen {
    fn all_answered(&self) -> bool {
        self.0.len() == VISITORS * PAGES && self.0.iter().all(|(status, _)| *status == 200)
    }

    fn with(&self, status: u16) -> usize {
        self.0.iter().filter(|(seen, _)| *seen == status).count()
    }
}

/// Pages that the application was asked for, its health page not counted.
fn asked(application: &Origin) -> usize {
    application.requests().iter().filter(|request| request.target != "/health").count()
}

/// The load: the same wherever it goes. Each visitor connects anew for each page, for a balancer that fails may close.
async fn load(address: std::net::SocketAddr) -> Seen {
    let visit = |number: usize| async move {
        let mut seen = Vec::new();
        for page in 0..PAGES {
            let mut visitor = Visitor::connect(address).await;
            let began = clock::now();
            let answer = visitor.get(&format!("/{number}/{page}")).await;
            seen.push((answer.status, clock::now().since(began)));
        }
        seen
    };
    let mut visits = tokio::task::JoinSet::new();
    (0..VISITORS).for_each(|number| _ = visits.spawn(visit(number)));
    Seen(visits.join_all().await.into_iter().flatten().collect())
}

/// HAProxy before one server, as in the story: it waits 1 s, and so do its checks.
async fn haproxy(to: &Origin) -> Stock {
    let sections = format!(
        "defaults\nmode http\ntimeout connect 1s\ntimeout client 30s\ntimeout server 1s\ntimeout check 1s\n\
         frontend all\nbind {{listen}}\ndefault_backend app\n\
         backend app\noption httpchk GET /health\nserver a {} check inter 200ms fall 2 rise 2\n",
        to.address()
    );
    Stock::haproxy(&sections).await
}

async fn tentpole(to: &[&Origin], lines: &str) -> Tentpole {
    Up::config(&pool(to, lines)).start().await
}

#[tokio::test]
async fn s1_3_straight_at_the_application_everything_is_slow_and_everything_is_answered() {
    let application = slow().await;
    let seen = load(application.address()).await;
    assert!(seen.all_answered(), "{:?}", seen.0);
    assert!(seen.0.iter().all(|(_, took)| *took >= SLOW), "{:?}", seen.0);
}

#[tokio::test]
async fn s1_4_the_only_server_is_cut_off_and_taken_out_by_haproxy_and_kept_by_tentpole() {
    let application = slow().await;
    let stock = haproxy(&application).await;
    // The checks take longer than they may, like every page: after two of them nobody is left.
    let down = || async { stock.visitor().await.get("/").await.status == 503 };
    let first = load(stock.address()).await;
    assert!(first.with(504) > 0, "none was cut off: {:?}", first.0);
    assert_eq!(first.with(200), 0, "{:?}", first.0);
    until("HAProxy to take its only server out", down).await;
    let before = asked(&application);
    let then = load(stock.address()).await;
    assert_eq!(then.with(503), VISITORS * PAGES, "{:?}", then.0);
    assert_eq!(asked(&application), before, "they hang no longer, they fail at once");
    drop(stock);

    // With checks whose time is as short, and otherwise as it comes.
    let check = "health = { path = \"/health\", interval = \"1s\", timeout = \"1s\", unhealthy_after = 2 }";
    let tentpole = tentpole(&[&application], check).await;
    assert!(load(tentpole.address()).await.all_answered());
    let judged = until_health(&tentpole, &application, "last_one").await;
    assert_eq!(judged.reason.as_deref(), Some("probe"));
    let then = load(tentpole.address()).await;
    assert!(then.all_answered(), "{:?}", then.0);
    tentpole.ends().await;
}

#[tokio::test]
async fn s1_4_both_servers_are_cut_off_and_taken_out_by_nginx_and_kept_by_tentpole() {
    let (a, b) = (slow().await, slow().await);
    let http = format!(
        "upstream app {{ server {} max_fails=1 fail_timeout=60s; server {} max_fails=1 fail_timeout=60s; }}\n\
         server {{ listen {{listen}}; location / {{ proxy_pass http://app; proxy_read_timeout 1s; }} }}",
        a.address(),
        b.address()
    );
    let stock = Stock::nginx(&http).await;
    let seen = load(stock.address()).await;
    assert_eq!(seen.with(200), 0, "{:?}", seen.0);
    assert!(seen.with(504) > 0, "none was cut off: {:?}", seen.0);
    let before = asked(&a) + asked(&b);
    let then = load(stock.address()).await;
    assert_eq!(then.with(502), VISITORS * PAGES, "{:?}", then.0);
    assert_eq!(asked(&a) + asked(&b), before, "nobody was asked any more");
    assert!(stock.said().contains("no live upstreams"), "{}", stock.said());
    drop(stock);

    let tentpole = tentpole(&[&a, &b], "").await;
    for _ in 0..2 {
        let seen = load(tentpole.address()).await;
        assert!(seen.all_answered(), "{:?}", seen.0);
    }
    tentpole.ends().await;
}

/// One run of `tentpole load`, kept in a folder: its data.
async fn measured(url: &str, out: &std::path::Path) -> Value {
    let visitors = VISITORS.to_string();
    let arguments = ["--time", "3s", "--ramp", "200ms", "--think", "50ms", "--threads", "1", "--plain"];
    let mut command = Command::new(binary("tentpole"));
    command.args(["load", url, "--visitors", &visitors]).args(arguments).arg("--out").arg(out);
    let ended = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let data = std::fs::read(out.join("report.json"));
    let data = data.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&ended.stderr)));
    serde_json::from_slice(&data).unwrap()
}

/// All requests of a run, and those that failed.
fn counts(run: &Value) -> (u64, u64) {
    let steps = run["steps"].as_array().into_iter().flatten();
    steps.fold((0, 0), |(all, failed), step| {
        (all + step["requests"].as_u64().unwrap_or(0), failed + step["failed"].as_u64().unwrap_or(0))
    })
}

#[tokio::test]
async fn s1_3_the_same_run_at_the_application_and_through_the_balancer_lie_over_one_another() {
    let application = slow().await;
    let stock = haproxy(&application).await;
    let dir = tempfile::tempdir().unwrap();
    let (direct, balanced) = (dir.path().join("direct"), dir.path().join("balanced"));
    let straight = measured(&application.url(), &direct).await;
    let through = measured(&stock.url(), &balanced).await;
    let ((asked, failed), (asked_there, failed_there)) = (counts(&straight), counts(&through));
    assert!(asked > 0 && failed == 0, "straight at it {failed} of {asked} failed");
    assert!(asked_there > 0 && failed_there == asked_there, "{failed_there} of {asked_there} failed");

    let page = dir.path().join("compared.html");
    let mut command = Command::new(binary("tentpole"));
    command.arg("report").args([&direct, &balanced]).arg("--out").arg(&page);
    command.args(["--label", "straight at it", "--label", "through the balancer"]);
    let said = command.output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("straight at it") && page.contains("through the balancer"));
}
