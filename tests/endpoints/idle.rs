//! An endpoint that closes connections which stood idle: nobody notices, whatever the method, with default settings.
//! Behind a balancer that keeps them longer than the endpoint does, a request meets the closing connection now and
//! then, and a trickle of 502 is what visitors see.

use rustix::process::Signal;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tentpole_testkit::process::signal;
use tentpole_testkit::{Ask, Origin, Response, Tentpole, Up, Visitor};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

/// The endpoint's limit.
const LIMIT: Duration = Duration::from_secs(1);
/// What is sent so long before it closes is lost: as if the news of it took this time. On one machine it takes a few
/// microseconds, and the race would be met once in a very long run.
const DEAF: Duration = Duration::from_millis(20);

/// What came of the requests of one run.
#[derive(Debug, Default)]
struct Met {
    good: u64,
    stories: Vec<String>,
}

/// The request that a visitor sends in a round: over rounds and visitors each method has its turn.
fn ask(number: usize) -> Ask {
    let target = format!("/{number}");
    match number % 8 {
        0 => Ask::get(&target),
        1 => Ask::post(&target, "a=1"),
        2 => Ask::head(&target),
        3 => Ask::new("PUT", &target).body("whole"),
        4 => Ask::new("DELETE", &target),
        5 => Ask::new("PATCH", &target).chunked(["one", "two"]),
        6 => Ask::new("OPTIONS", &target),
        _ => Ask::new("POST", &target),
    }
}

/// A visitor who asks, and waits for about as long as the endpoint keeps connections: 0.9 to 1.1 s.
async fn visit((address, admin): (SocketAddr, SocketAddr), number: usize, rounds: usize) -> Met {
    let mut met = Met::default();
    let mut visitor = Visitor::connect(address).await;
    for round in 0..rounds {
        let nth = number * 7 + round;
        match visitor.try_ask(&ask(nth)).await {
            Ok(answer) if answer.status == 200 => met.good += 1,
            Ok(answer) => {
                let recorded = recorded(admin, &format!("/{nth}")).await;
                met.stories.push(format!("round {round}: {} {recorded}", answer.status));
            }
            Err(trouble) => {
                met.stories.push(format!("{nth}: {trouble}"));
                visitor = Visitor::connect(address).await;
            }
        }
        // Spread over the whole range, by a step that has no common divisor with it.
        sleep(LIMIT - Duration::from_millis(100) + Duration::from_millis((nth as u64 * 73) % 201)).await;
    }
    met
}

/// What the edge recorded of the last request for this path: which attempts it made, on what, and how each ended.
async fn recorded(admin: SocketAddr, target: &str) -> String {
    let answer = Visitor::connect(admin).await.get("/api/requests?limit=256").await.text();
    let all: serde_json::Value = serde_json::from_str(&answer).unwrap_or_default();
    let found = all["requests"].as_array().into_iter().flatten().find(|seen| seen["target"] == target);
    found.map_or_else(|| format!("{target} is not among the last requests"), ToString::to_string)
}

/// Everything that was learned of the limit meanwhile, in milliseconds, in its order.
async fn follows(tentpole: &Tentpole, over: &AtomicBool) -> Vec<Option<u64>> {
    let mut all = Vec::new();
    while !over.load(SeqCst) {
        let now = learned(tentpole).await;
        if all.last() != Some(&now) {
            all.push(now);
        }
        sleep(Duration::from_millis(100)).await;
    }
    all
}

async fn all_methods_with_gaps_around_the_limit(visitors: usize, rounds: usize) {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(|_| Response::ok("here").header("Cache-Control", "no-store"));
    origin.closes_after_idle(LIMIT);
    origin.is_deaf_before_closing(DEAF);
    let tentpole = Up::to(&origin.url()).start().await;
    let mut running = JoinSet::new();
    for number in 0..visitors {
        running.spawn(visit((tentpole.address(), tentpole.admin()), number, rounds));
    }
    let over = AtomicBool::new(false);
    let visits = async {
        let mut all = Met::default();
        while let Some(met) = running.join_next().await {
            let met = met.expect("a visitor does not panic");
            all.good += met.good;
            all.stories.extend(met.stories);
        }
        over.store(true, SeqCst);
        all
    };
    let (all, limits) = tokio::join!(visits, follows(&tentpole, &over));
    let (requests, connections) = (origin.request_count(), origin.connections());
    eprintln!(
        "{} good, {} failed; the endpoint saw {requests} requests on {connections} connections; limits {limits:?} ms",
        all.good,
        all.stories.len(),
    );
    assert!(all.stories.is_empty(), "{} failed, first: {:?}", all.stories.len(), all.stories.first());
    assert_eq!(all.good, (visitors * rounds) as u64);
    // Learned to a tenth of a second, the distance of two looks, on an idle machine. One that holds up the endpoint lets its
    // connections stand for longer, and that is seen, too.
    let limit = learned(&tentpole).await.expect("the limit was learned");
    assert!((700..=2_000).contains(&limit), "{limit} ms");
    assert!(connections < requests, "{connections} connections for {requests} requests: none was used again");
    tentpole.ends().await;
}

/// The limit in the status, in milliseconds.
async fn learned(tentpole: &Tentpole) -> Option<u64> {
    let status = tentpole.admin_visitor().await.get("/api/status").await.expect(200);
    let status: serde_json::Value = serde_json::from_slice(&status.body).expect("the status is JSON");
    status["pools"][0]["endpoints"][0]["idle_limit_ms"].as_u64()
}

#[tokio::test]
async fn an_endpoint_that_closes_idle_connections_is_not_noticed_by_anybody() {
    all_methods_with_gaps_around_the_limit(250, 12).await;
}

/// Visitors order again and again, each after about half the time for which the endpoint keeps connections: where everybody is held
/// up for the other half, an order may still come in time.
async fn order(address: SocketAddr, number: usize, over: Arc<AtomicBool>) -> Met {
    let mut met = Met::default();
    let mut visitor = Visitor::connect(address).await;
    while !over.load(SeqCst) {
        match visitor.try_ask(&Ask::post("/order", "a=1")).await {
            Ok(answer) if answer.status == 200 => met.good += 1,
            other => {
                met.stories.push(format!("{other:?}"));
                visitor = Visitor::connect(address).await;
            }
        }
        sleep(LIMIT / 2 + Duration::from_millis((number as u64 * 7 + met.good * 37) % 120)).await;
    }
    met
}

#[tokio::test]
async fn an_endpoint_that_was_held_up_and_closed_nothing_meanwhile_loses_nothing_afterwards() {
    let origin = Origin::start().await;
    origin.forgets_requests();
    origin.otherwise(|_| Response::ok("taken").header("Cache-Control", "no-store"));
    origin.closes_after_idle(LIMIT);
    // Whoever takes a connection that stood for more than half of that loses his request.
    origin.is_deaf_before_closing(LIMIT);
    let tentpole = Up::config(&tentpole_tests::pool(&[&origin], "")).start().await;
    let over = Arc::new(AtomicBool::new(false));
    let mut running = JoinSet::new();
    (0..60).for_each(|number| {
        running.spawn(order(tentpole.address(), number, over.clone()));
    });
    tentpole_tests::until("the limit to be learned", async || learned(&tentpole).await.is_some()).await;
    sleep(2 * LIMIT).await;
    // Connections stand open for longer now, all of them, and everybody who looks sees it.
    origin.closes_after_idle(4 * LIMIT);
    tentpole_tests::until("it to be seen", async || learned(&tentpole).await > Some(3_000)).await;
    origin.closes_after_idle(LIMIT);
    sleep(3 * LIMIT).await;
    over.store(true, SeqCst);
    let all: Vec<Met> = running.join_all().await;
    let stories: Vec<&String> = all.iter().flat_map(|met| &met.stories).collect();
    let good: u64 = all.iter().map(|met| met.good).sum();
    assert!(stories.is_empty(), "{} of {good} failed, first: {:?}", stories.len(), stories.first());
    tentpole.ends().await;
}

#[tokio::test]
#[ignore = "takes two minutes: 100,000 requests"]
async fn not_by_a_hundred_thousand_requests_either() {
    all_methods_with_gaps_around_the_limit(1_000, 100).await;
}

#[tokio::test]
async fn an_edge_that_was_held_up_does_not_take_a_late_answer_for_a_fresh_connection() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("here").header("Cache-Control", "no-store"));
    origin.closes_after_idle(LIMIT);
    // What is sent in this time is lost.
    origin.is_deaf_before_closing(LIMIT);
    let tentpole = Up::config(&tentpole_tests::pool(&[&origin], "")).start().await;
    let edge = tentpole.edge_pid();
    let held_up = Arc::new(AtomicBool::new(false));
    let seen = held_up.clone();
    origin.on("/held").respond_with(move |_| {
        // From here on the machine gives the edge no time. The answer lies there.
        signal(edge, Signal::STOP);
        seen.store(true, SeqCst);
        Response::ok("here").header("Cache-Control", "no-store")
    });
    let mut visitor = tentpole.visitor().await;
    visitor.get("/").await.expect(200);
    tentpole_tests::until("the limit to be learned", async || learned(&tentpole).await.is_some()).await;

    let held = Ask::post("/held", "x");
    let (answer, ()) = tokio::join!(visitor.ask(&held), async {
        tentpole_tests::until("the edge to be held up", async || held_up.load(SeqCst)).await;
        // Half of what was learned, which is twice the limit, is long over, and the endpoint has not closed yet.
        sleep(LIMIT * 7 / 4).await;
        signal(edge, Signal::CONT);
    });
    answer.expect(200);
    // The endpoint has waited all the time, although the answer was read a moment ago.
    visitor.ask(&Ask::post("/", "x")).await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn a_request_with_an_effect_goes_on_a_connection_that_is_not_about_to_close() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("here").header("Cache-Control", "no-store"));
    let tentpole = Up::config(&tentpole_tests::pool(&[&origin], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    let connection = |seen: &[tentpole_testkit::Seen]| seen.last().expect("a request came").connection;

    let began = Instant::now();
    visitor.get("/").await.expect(200);
    let first = connection(&origin.requests());
    sleep(Duration::from_millis(300)).await;
    visitor.get("/").await.expect(200);
    assert_eq!(connection(&origin.requests()), first, "one that can be sent again goes on any that is open");

    // Longer than it was ever seen to stand.
    sleep(2 * began.elapsed()).await;
    visitor.ask(&Ask::post("/", "x")).await.expect(200);
    assert_ne!(connection(&origin.requests()), first, "nobody knows yet how long the endpoint keeps it");
    assert_eq!(origin.connections_open(), 2, "the other one stays, and shows it");

    // By now it stood three times as long.
    tentpole_tests::until("a connection to be idle for long", async || {
        sleep(Duration::from_millis(200)).await;
        visitor.ask(&Ask::post("/", "x")).await.expect(200);
        let made = origin.connections();
        sleep(Duration::from_millis(200)).await;
        visitor.ask(&Ask::post("/", "x")).await.expect(200);
        origin.connections() == made
    })
    .await;
    tentpole.ends().await;
}

#[tokio::test]
async fn what_an_endpoint_says_of_its_limit_is_shown_before_it_was_met() {
    let origin = Origin::start().await;
    origin.otherwise(|_| Response::ok("here").header("Keep-Alive", "timeout=5, max=100"));
    let tentpole = Up::config(&tentpole_tests::pool(&[&origin], "")).start().await;
    assert_eq!(learned(&tentpole).await, None);
    let answer = tentpole.visitor().await.get("/").await.expect(200);
    assert_eq!(answer.header("keep-alive"), None, "it is about that connection, not the visitor's");
    tentpole_tests::until("the limit in the status", async || learned(&tentpole).await == Some(5_000)).await;
    let metrics = tentpole.admin_visitor().await.get("/metrics").await.expect(200);
    let line =
        format!("tentpole_endpoint_idle_limit_seconds{{pool=\"app\",endpoint=\"{}\"}} 5\n", origin.address());
    assert!(metrics.text().contains(&line), "{}", metrics.text());
    tentpole.ends().await;
}
