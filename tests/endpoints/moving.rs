//! Connections that go from one data thread to another, where an endpoint takes only a few.

use super::named;
use tentpole_testkit::{Origin, Tentpole, Up};
use tentpole_tests::pool_of;
use tokio::task::JoinSet;

fn config(origin: &Origin, threads: usize, connections: u32) -> String {
    let config =
        pool_of(&[origin], &format!("connections_max = {connections}"), "queue = { wait = \"60s\" }");
    config.replace("threads = 1", &format!("threads = {threads}"))
}

/// So many visitors at once, each with so many requests.
async fn crowd(tentpole: &Tentpole, visitors: usize, requests: usize) {
    let mut running = JoinSet::new();
    for number in 0..visitors {
        let address = tentpole.address();
        running.spawn(async move {
            let mut visitor = tentpole_testkit::Visitor::connect(address).await;
            for round in 0..requests {
                visitor.get(&format!("/{number}/{round}")).await.expect(200);
            }
        });
    }
    while let Some(done) = running.join_next().await {
        done.expect("a visitor does not panic");
    }
}

#[tokio::test]
async fn a_few_connections_serve_all_threads_without_being_made_anew() {
    let origin = named("x").await;
    origin.forgets_requests();
    let tentpole = Up::config(&config(&origin, 4, 4)).start().await;
    crowd(&tentpole, 32, 50).await;
    assert_eq!(origin.request_count(), 1_600);
    assert_eq!(origin.connections(), 4, "each was made once");
    tentpole.ends().await;
}

#[tokio::test]
async fn the_only_connection_is_handed_to_whoever_needs_it() {
    let origin = named("x").await;
    let tentpole = Up::config(&config(&origin, 2, 1)).start().await;
    // One after the other: between two requests it stands idle on some thread. The kernel spreads sixteen visitors over
    // both threads: all on one is a chance of 1 in 32,768.
    let mut visitors = Vec::new();
    for _ in 0..16 {
        visitors.push(tentpole.visitor().await);
    }
    for _ in 0..3 {
        for visitor in &mut visitors {
            visitor.get("/").await.expect(200);
        }
    }
    assert_eq!((origin.request_count(), origin.connections()), (48, 1));
    tentpole.ends().await;
}

#[tokio::test]
async fn threads_that_dial_at_once_never_make_one_connection_too_many() {
    let origin = named("x").await;
    let tentpole = Up::config(&config(&origin, 4, 3)).start().await;
    let held = origin.holds("/*");
    let mut visitors = Vec::new();
    for number in 0..24 {
        let mut visitor = tentpole.visitor().await;
        visitor.send(format!("GET /{number} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
        visitors.push(visitor);
    }
    held.until_waiting(3).await;
    held.release();
    for visitor in &mut visitors {
        visitor.answer("GET").await.expect(200);
    }
    assert_eq!(origin.connections(), 3);
    tentpole.ends().await;
}
