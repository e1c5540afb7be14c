//! How requests are shared between endpoints, and how an operator takes one out.

use super::named;
use tentpole_testkit::{Origin, Up};
use tentpole_tests::{pool, turn, until_health};

#[tokio::test]
async fn round_robin_takes_each_in_its_turn() {
    let (a, b, c) = (named("a").await, named("b").await, named("c").await);
    let tentpole = Up::config(&pool(&[&a, &b, &c], "balance = \"round_robin\"")).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..10 {
        let mut round = Vec::new();
        for _ in 0..3 {
            round.push(visitor.get("/").await.expect(200).text());
        }
        round.sort();
        assert_eq!(round, ["a", "b", "c"]);
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn round_robin_gives_twice_the_weight_twice_the_requests() {
    let (a, b) = (named("a").await, named("b").await);
    let heavy = format!("{{ url = \"{}\", weight = 2 }}", a.url());
    let config =
        format!("threads = 1\n[pool.app]\nendpoints = [{heavy}, \"{}\"]\nbalance = \"round_robin\"", b.url());
    let tentpole = Up::config(&config).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..30 {
        visitor.get("/").await.expect(200);
    }
    assert_eq!((a.request_count(), b.request_count()), (20, 10));
    tentpole.ends().await;
}

#[tokio::test]
async fn least_requests_prefers_the_endpoint_with_fewer_in_flight() {
    let (a, b) = (named("a").await, named("b").await);
    let tentpole = Up::config(&pool(&[&a, &b], "")).start().await;
    let (held_a, held_b) = (a.holds("/slow"), b.holds("/slow"));
    let mut slow = tentpole.visitor().await;
    slow.send("GET /slow HTTP/1.1\r\nHost: h\r\n\r\n").await;
    let has_slow = |origin: &Origin| !origin.requests_for("/slow").is_empty();
    tentpole_tests::until("the slow request", async || has_slow(&a) || has_slow(&b)).await;
    let free = if has_slow(&a) { "b" } else { "a" };
    let mut visitor = tentpole.visitor().await;
    for _ in 0..20 {
        assert_eq!(visitor.get("/").await.expect(200).text(), free);
    }
    drop((held_a, held_b));
    slow.answer("GET").await.expect(200);
    tentpole.ends().await;
}

#[tokio::test]
async fn least_requests_shares_among_equals() {
    let (a, b) = (named("a").await, named("b").await);
    let tentpole = Up::config(&pool(&[&a, &b], "")).start().await;
    let mut visitor = tentpole.visitor().await;
    for _ in 0..200 {
        visitor.get("/").await.expect(200);
    }
    // Fair coins fall this far from 100 once in a hundred million runs (binomial, 5.7 standard deviations).
    for origin in [&a, &b] {
        assert!((60..=140).contains(&origin.request_count()), "{} of 200", origin.request_count());
    }
    tentpole.ends().await;
}

#[tokio::test]
async fn a_drained_endpoint_gets_nothing_new_and_finishes_what_it_has() {
    let (a, b) = (named("a").await, named("b").await);
    let tentpole = Up::config(&pool(&[&a, &b], "balance = \"round_robin\"")).start().await;
    // Both have it, so that it does not matter who is asked first.
    let (held_a, held_b) = (a.holds("/slow"), b.holds("/slow"));
    let mut slow = [tentpole.visitor().await, tentpole.visitor().await];
    for (number, visitor) in slow.iter_mut().enumerate() {
        visitor.send(format!("GET /slow?{number} HTTP/1.1\r\nHost: h\r\n\r\n")).await;
    }
    held_a.until_waiting(1).await;
    held_b.until_waiting(1).await;

    let drained = turn(&tentpole, &a, "drain").await.expect(200).text();
    assert!(drained.contains("\"in_force\":true"), "{drained}");
    let mut visitor = tentpole.visitor().await;
    for _ in 0..20 {
        assert_eq!(visitor.get("/").await.expect(200).text(), "b");
    }
    assert_eq!(a.request_count(), 1);
    drop((held_a, held_b));
    let mut answers = Vec::new();
    for visitor in &mut slow {
        answers.push(visitor.answer("GET").await.expect(200).text());
    }
    answers.sort();
    assert_eq!(answers, ["a", "b"], "the request in flight was finished by the drained endpoint");

    turn(&tentpole, &a, "resume").await.expect(200);
    let two = [visitor.get("/").await.text(), visitor.get("/").await.text()];
    assert!(two.contains(&"a".to_owned()), "{two:?}");
    tentpole.ends().await;
}

#[tokio::test]
async fn the_last_endpoint_is_drained_only_by_force_and_visitors_are_told_when_to_come_again() {
    let only = named("only").await;
    let tentpole = Up::config(&pool(&[&only], "")).start().await;
    until_health(&tentpole, &only, "up").await;
    turn(&tentpole, &only, "drain").await.expect(409);
    let mut visitor = tentpole.visitor().await;
    visitor.get("/").await.expect(200);
    turn(&tentpole, &only, "drain?force=true").await.expect(200);
    let answer = visitor.get("/").await.expect(503);
    assert_eq!(answer.header("retry-after"), Some("4"), "{answer:?}");
    assert!(answer.text().contains("cannot be reached right now"), "{}", answer.text());
    turn(&tentpole, &only, "resume").await.expect(200);
    visitor.get("/").await.expect(200);
    assert_eq!(only.request_count(), 2);
    tentpole.ends().await;
}
