//! What an endpoint can take: requests and connections at most, and the queue of those who wait.

use super::named;
use tentpole_testkit::{Answer, Ask, Tentpole, Up, Visitor};
use tentpole_tests::{pool_of, until};

/// Visitors who have been served once each, so that each has its connection.
async fn visitors(tentpole: &Tentpole, count: usize) -> Vec<Visitor> {
    let mut all = Vec::new();
    for _ in 0..count {
        let mut visitor = tentpole.visitor().await;
        visitor.get("/before").await.expect(200);
        all.push(visitor);
    }
    all
}

/// How many wait for an endpoint of the pool.
async fn queued(tentpole: &Tentpole) -> u64 {
    let live = tentpole.admin_visitor().await.get("/api/live").await.expect(200);
    let live: serde_json::Value = serde_json::from_slice(&live.body).expect("it is JSON");
    live["pools"][0]["queued"].as_u64().unwrap_or(0)
}

fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").expect("it says when").parse().expect("it is a number")
}

/// Sends `POST /1`, `POST /2`, …, one for each.
async fn all_post(visitors: &mut [Visitor]) {
    for (number, visitor) in visitors.iter_mut().enumerate() {
        visitor.send(Ask::post(&format!("/n/{}", number + 1), "x").bytes("h")).await;
    }
}

#[tokio::test]
async fn requests_max_holds_and_those_who_wait_are_served_in_order() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "requests_max = 2", "queue = { length = 6, wait = \"60s\" }");
    let tentpole = Up::config(&config).start().await;
    let mut eight = visitors(&tentpole, 8).await;
    let mut one_more = visitors(&tentpole, 1).await.remove(0);
    let before = origin.request_count();
    let held = origin.holds("/n/*");
    all_post(&mut eight).await;
    // Two are at the endpoint, six wait: there is no place for another one.
    let answer = one_more.ask(&Ask::post("/too-many", "x")).await.expect(503);
    assert!(retry_after(&answer) >= 1);
    assert!(answer.text().contains("too many visitors"), "{}", answer.text());
    held.until_waiting(2).await;
    assert_eq!(origin.request_count(), before + 2);
    for served in 3..=8 {
        held.release_one();
        origin.until_requests(before + served).await;
        assert!(held.waiting() <= 2, "{} at the endpoint", held.waiting());
        assert_eq!(origin.request_count(), before + served, "one left, so one came");
    }
    held.release();
    for visitor in &mut eight {
        visitor.answer("POST").await.expect(200);
    }
    let mut order: Vec<_> = origin
        .requests()
        .into_iter()
        .map(|seen| seen.target)
        .filter(|target| target.contains("/n/"))
        .collect();
    // The first two came side by side, on connections of their own.
    order[..2].sort();
    assert_eq!(order, (1..=8).map(|number| format!("/n/{number}")).collect::<Vec<_>>());
    tentpole.ends().await;
}

#[tokio::test]
async fn who_has_waited_long_enough_gets_a_503_and_his_place_is_free() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "requests_max = 1", "queue = { length = 1, wait = \"300ms\" }");
    let tentpole = Up::config(&config).start().await;
    let mut first = tentpole.visitor().await;
    let held = origin.holds("/n/*");
    first.send(Ask::post("/n/1", "x").bytes("h")).await;
    held.until_waiting(1).await;
    for ask in [Ask::post("/n/2", "x"), Ask::get("/n/3")] {
        let answer = tentpole.visitor().await.ask(&ask).await.expect(503);
        assert!(retry_after(&answer) >= 1);
        assert_eq!(answer.header("cache-status"), Some("tentpole; detail=queue_timeout"));
    }
    held.release();
    first.answer("POST").await.expect(200);
    first.get("/n/4").await.expect(200);
    assert!(origin.requests_for("/n/2").is_empty() && origin.requests_for("/n/3").is_empty());
    tentpole.ends().await;
}

#[tokio::test]
async fn without_a_queue_nobody_waits() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "requests_max = 1", "queue = { length = 0 }");
    let tentpole = Up::config(&config).start().await;
    let mut first = tentpole.visitor().await;
    let mut second = tentpole.visitor().await;
    let held = origin.holds("/n/*");
    first.send(Ask::post("/n/1", "x").bytes("h")).await;
    held.until_waiting(1).await;
    let answer = second.get("/n/2").await.expect(503);
    assert_eq!(answer.header("cache-status"), Some("tentpole; detail=queue_full"));
    held.release();
    first.answer("POST").await.expect(200);
    second.get("/n/2").await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn who_leaves_while_he_waits_holds_nobody_up() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "requests_max = 1", "queue = { length = 2, wait = \"60s\" }");
    let tentpole = Up::config(&config).start().await;
    let mut three = visitors(&tentpole, 3).await;
    let mut last = visitors(&tentpole, 1).await.remove(0);
    let held = origin.holds("/n/*");
    all_post(&mut three).await;
    held.until_waiting(1).await;
    // A 503 proves that two are in the queue; one of them leaves.
    last.get("/n/4").await.expect(503);
    let third = three.pop();
    drop(three.remove(1));
    held.release();
    three[0].answer("POST").await.expect(200);
    third.unwrap().answer("POST").await.expect(200);
    last.get("/n/5").await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn connections_max_holds_and_those_who_wait_are_served() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "connections_max = 2", "queue = { length = 6, wait = \"60s\" }");
    let tentpole = Up::config(&config).start().await;
    let mut eight = visitors(&tentpole, 8).await;
    let mut one_more = visitors(&tentpole, 1).await.remove(0);
    let held = origin.holds("/n/*");
    // No POST, which takes a connection of its own where the edge was held up and does not know how old the last answer is.
    for (number, visitor) in eight.iter_mut().enumerate() {
        visitor.send(Ask::get(&format!("/n/{number}")).bytes("h")).await;
    }
    until("six to wait", async || queued(&tentpole).await == 6).await;
    one_more.get("/too-many").await.expect(503);
    held.until_waiting(2).await;
    assert_eq!(origin.connections_open(), 2);
    held.release();
    for visitor in &mut eight {
        visitor.answer("GET").await.expect(200);
    }
    assert_eq!(origin.connections(), 2, "their connections were used again");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_connection_that_stands_idle_on_one_thread_makes_room_for_another_thread() {
    let origin = named("x").await;
    let config = pool_of(&[&origin], "connections_max = 1", "queue = { wait = \"60s\" }");
    let tentpole = Up::config(&config.replace("threads = 1", "threads = 2")).start().await;
    // The kernel spreads them over both threads: all on one is a chance of 1 in 32,768.
    let mut sixteen = visitors(&tentpole, 16).await;
    for visitor in &mut sixteen {
        visitor.get("/again").await.expect(200);
    }
    assert_eq!(origin.request_count(), 32);
    tentpole.ends().await;
}
