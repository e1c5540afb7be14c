//! What is sent once more: after which statuses, within which budget, where to, and as a second copy of what is slow.

use super::named;
use serde_json::Value;
use std::time::Duration;
use tentpole_testkit::{Ask, Origin, Response, Step, Tentpole, Up};
use tentpole_tests::{pool, until};

/// Nobody is ejected, so that each request meets the broken endpoint again.
const STAYS: &str = "balance = \"round_robin\"\nfailures_max = 1000\n";

/// The attempts of the last request that asked for this target.
async fn attempts(tentpole: &Tentpole, target: &str) -> Vec<Value> {
    let mut found = None;
    until("the request's record", async || {
        let answer = tentpole.admin_visitor().await.get("/api/requests?limit=100").await.expect(200);
        let all: Value = serde_json::from_slice(&answer.body).expect("the records are JSON");
        let all = all.as_array().or_else(|| all["requests"].as_array()).cloned().unwrap_or_default();
        found = all.into_iter().find(|request| request["target"] == target);
        found.is_some()
    })
    .await;
    found.and_then(|request| request["attempts"].as_array().cloned()).unwrap_or_default()
}

async fn metric(tentpole: &Tentpole, line: &str) -> f64 {
    let text = tentpole.admin_visitor().await.get("/metrics").await.expect(200).text();
    let value = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
    value.unwrap_or_else(|| panic!("no {line} in {text}")).parse().expect("a number")
}

#[tokio::test]
async fn a_status_that_was_told_sends_what_is_safe_elsewhere() {
    let (busy, well) = (Origin::start().await, named("well").await);
    busy.otherwise(|_| Response::status(503).body("busy"));
    let told = format!("{STAYS}retry = {{ on = [503] }}");
    let tentpole = Up::config(&pool(&[&busy, &well], &told)).start().await;
    let mut visitor = tentpole.visitor().await;
    for number in 0..10 {
        assert_eq!(visitor.get(&format!("/{number}")).await.expect(200).text(), "well");
    }
    // The second attempt took the other one's turn, so each request begins at the same endpoint.
    assert!(busy.request_count() >= 5, "it was asked only {} times", busy.request_count());
    assert_eq!(well.request_count(), 10);
    assert_eq!(busy.connections(), 1, "the answer that was not used is read to its end");
    let mut statuses = Vec::new();
    for _ in 0..2 {
        statuses.push(visitor.ask(&Ask::post("/order", "x")).await.status);
    }
    statuses.sort();
    assert_eq!(statuses, [200, 503], "an order is not sent twice");
    tentpole.ends().await;
}

#[tokio::test]
async fn without_being_told_an_answer_is_an_answer() {
    let (busy, well) = (Origin::start().await, named("well").await);
    busy.otherwise(|_| Response::status(503).body("busy"));
    let tentpole = Up::config(&pool(&[&busy, &well], STAYS)).start().await;
    let mut visitor = tentpole.visitor().await;
    let mut statuses = Vec::new();
    for number in 0..4 {
        statuses.push(visitor.get(&format!("/{number}")).await.status);
    }
    statuses.sort();
    assert_eq!(statuses, [200, 200, 503, 503]);
    tentpole.ends().await;
}

#[tokio::test]
async fn an_endpoint_that_says_when_to_come_again_is_believed() {
    let (busy, well) = (Origin::start().await, named("well").await);
    busy.otherwise(|_| Response::status(503).header("Retry-After", "7").body("busy"));
    let told = format!("{STAYS}retry = {{ on = [503] }}");
    let tentpole = Up::config(&pool(&[&busy, &well], &told)).start().await;
    let mut visitor = tentpole.visitor().await;
    let (a, b) = (visitor.get("/a").await, visitor.get("/b").await);
    let (refused, target) = if a.status == 503 { (a, "/a") } else { (b, "/b") };
    refused.expect(503);
    let tried = attempts(&tentpole, target).await;
    assert_eq!(tried.last().map(|last| &last["not_again"]), Some(&Value::from("told_to_wait")), "{tried:?}");
    assert_eq!(well.request_count(), 1);
    tentpole.ends().await;
}

#[tokio::test]
async fn the_only_endpoint_is_asked_again_after_a_pause() {
    let origin = named("x").await;
    let tentpole = Up::config(&pool(&[&origin], "retry = { on = [503] }")).start().await;
    let mut visitor = tentpole.visitor().await;
    origin.answers_next(2, Response::status(503));
    visitor.get("/").await.expect(200);
    assert_eq!(origin.request_count(), 3);
    origin.answers_next(3, Response::status(503));
    visitor.get("/again").await.expect(503);
    assert_eq!(origin.request_count(), 6, "three attempts, not four");
    assert_eq!(attempts(&tentpole, "/again").await[2]["not_again"], "attempts_spent");
    tentpole.ends().await;
}

#[tokio::test]
async fn copies_end_with_the_budget_and_the_reason_is_told() {
    let (dies, well) = (named("dies").await, named("well").await);
    dies.on("/*").raw([Step::Close]);
    // At the start there is what ten seconds bring: ten.
    let told = format!("{STAYS}retry = {{ budget = \"0%\", budget_min = 1 }}");
    let tentpole = Up::config(&pool(&[&dies, &well], &told)).start().await;
    let mut visitor = tentpole.visitor().await;
    let (mut good, mut spent) = (0, None);
    for number in 0..60 {
        let target = format!("/{number}");
        match visitor.get(&target).await.status {
            200 => good += 1,
            status => {
                assert_eq!(status, 502);
                spent = Some(target);
            }
        }
    }
    let copies = metric(&tentpole, "tentpole_retries_total").await;
    let refused = metric(&tentpole, "tentpole_retries_refused_total{reason=\"budget_spent\"}").await;
    assert!((10.0..=30.0).contains(&copies), "{copies} copies");
    assert!(refused > 0.0, "the budget ends");
    assert_eq!(f64::from(good) + refused, 60.0, "who got no copy has failed, and nobody else");
    assert_eq!(dies.request_count() as f64, copies + refused, "each that died asked for one");
    let tried = attempts(&tentpole, &spent.expect("the budget ends")).await;
    assert_eq!(tried.last().map(|last| &last["not_again"]), Some(&Value::from("budget_spent")), "{tried:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn what_reached_nobody_goes_elsewhere_without_a_budget() {
    let (gone, well) = (named("gone").await, named("well").await);
    gone.stops().await;
    let told = format!("{STAYS}retry = {{ budget = \"0%\", budget_min = 0 }}");
    let tentpole = Up::config(&pool(&[&gone, &well], &told)).start().await;
    let mut visitor = tentpole.visitor().await;
    for number in 0..50 {
        visitor.ask(&Ask::post(&format!("/{number}"), "x")).await.expect(200);
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn kept_connections_that_die_are_no_matter_of_budget() {
    let origin = named("x").await;
    let told = "retry = { budget = \"0%\", budget_min = 0 }";
    let tentpole = Up::config(&pool(&[&origin], told)).start().await;
    let mut visitors = Vec::new();
    let held = origin.holds("/warm");
    for _ in 0..2 {
        let mut visitor = tentpole.visitor().await;
        visitor.send(Ask::post("/warm", "x").bytes("h")).await;
        visitors.push(visitor);
    }
    held.until_waiting(2).await;
    held.release();
    for visitor in &mut visitors {
        visitor.answer("POST").await.expect(200);
    }
    let before = origin.request_count();
    origin.resets_next(1);
    visitors[0].get("/").await.expect(200);
    assert_eq!(origin.request_count(), before + 2, "it was sent twice");
    tentpole.ends().await;
}

#[tokio::test]
async fn a_slow_request_gets_a_second_copy_and_the_first_answer_is_used() {
    let (slow, well) = (named("slow").await, named("well").await);
    // Longer than the machine may hold up the one that is well.
    let told = format!("{STAYS}retry = {{ hedge = \"2s\" }}");
    let tentpole = Up::config(&pool(&[&slow, &well], &told)).start().await;
    let held = slow.holds("/*");
    let mut visitor = tentpole.visitor().await;
    for number in 0..6 {
        assert_eq!(visitor.get(&format!("/{number}")).await.expect(200).text(), "well");
    }
    let copies = slow.request_count();
    assert!(copies >= 3, "it was asked only {copies} times");
    slow.until_connections_open(0).await;
    let hedged = [attempts(&tentpole, "/4").await, attempts(&tentpole, "/5").await];
    let hedged = hedged.iter().find(|attempts| attempts.len() == 2).expect("every other one was hedged");
    assert_eq!((&hedged[0]["given_up"], &hedged[1]["hedged"]), (&Value::from(true), &Value::from(true)));
    assert_eq!(metric(&tentpole, "tentpole_hedges_won_total").await, copies as f64);

    // What may have an effect has one copy, however slow it is.
    let before = slow.request_count() + well.request_count();
    let held_too = well.holds("/*");
    let mut both = Vec::new();
    for _ in 0..2 {
        let mut visitor = tentpole.visitor().await;
        visitor.send(Ask::post("/order", "x").bytes("h")).await;
        both.push(visitor);
    }
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    drop((held, held_too));
    for visitor in &mut both {
        visitor.answer("POST").await.expect(200);
    }
    assert_eq!(slow.request_count() + well.request_count(), before + 2);
    tentpole.ends().await;
}

#[tokio::test]
async fn who_is_slower_than_most_is_known_from_those_before() {
    let (a, b) = (named("a").await, named("b").await);
    let told = format!("{STAYS}retry = {{ hedge = \"p95\" }}");
    let tentpole = Up::config(&pool(&[&a, &b], &told)).start().await;
    let mut visitor = tentpole.visitor().await;
    for number in 0..200 {
        visitor.get(&format!("/{number}")).await.expect(200);
    }
    let held = a.holds("/*");
    for number in 0..4 {
        assert_eq!(visitor.get(&format!("/then/{number}")).await.expect(200).text(), "b");
    }
    drop(held);
    tentpole.ends().await;
}
